//! Packets that are sent again until somebody is heard to have them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::frame::Frame;

/// Sends of a packet that asks for an acknowledgement.
pub(crate) const RELIABLE_SENDS: u8 = 3;
/// Sends of a packet, ours or another's, that goes to a chosen next hop and asks for none.
pub(crate) const NEXT_HOP_SENDS: u8 = 2;
/// More cannot be under way: the firmware's pool of packets is of this order.
const CAPACITY: usize = 100;

/// A packet under way.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    pub(crate) frame: Frame,
    pub(crate) priority: i32,
    /// How often it may still be sent.
    pub(crate) left: u8,
    /// When it is sent again, or given up.
    pub(crate) at: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Retries(BTreeMap<(u32, u32), Retry>);

impl Retries {
    /// Watches a packet that was sent for the first of `sends` times.
    pub(crate) fn start(&mut self, frame: Frame, priority: i32, sends: u8, at: Instant) {
        let key = (frame.from, frame.id);
        if self.0.len() < CAPACITY || self.0.contains_key(&key) {
            self.0.insert(key, Retry { frame, priority, left: sends - 1, at });
        }
    }

    /// Forgets a packet; true if it was watched.
    pub(crate) fn stop(&mut self, from: u32, id: u32) -> bool {
        self.0.remove(&(from, id)).is_some()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.values().map(|retry| retry.at).min()
    }

    /// Takes out a packet that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Retry> {
        let key = self.0.iter().find(|(_, retry)| retry.at <= now).map(|(key, _)| *key)?;
        self.0.remove(&key)
    }

    pub(crate) fn put_back(&mut self, retry: Retry) {
        self.0.insert((retry.frame.from, retry.frame.id), retry);
    }

    /// While another packet is on the air no acknowledgement can be heard: everyone else's timer waits for it.
    pub(crate) fn extend(&mut self, airtime: Duration, except: Option<(u32, u32)>) {
        for (key, retry) in &mut self.0 {
            if Some(*key) != except {
                retry.at += airtime;
            }
        }
    }
}
