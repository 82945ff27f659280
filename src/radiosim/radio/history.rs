//! Packets that a radio has sent or heard lately, so that it takes each once and knows who relayed it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::frame::Frame;

/// How long a packet is remembered.
const LIFETIME: Duration = Duration::from_secs(600);
/// How many: the firmware's bound is of this order on most hardware.
const CAPACITY: usize = 256;
/// How many relays of a packet are remembered.
const RELAYERS: usize = 3;

/// What is remembered of one packet.
#[derive(Debug, Clone)]
struct Seen {
    at: Instant,
    next_hop: u8,
    relayers: Vec<u8>,
}

/// What a radio knew of a packet before this copy came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dupe {
    /// Was sent to a chosen next hop before, and now floods, for that hop did not relay it; nor did we.
    pub(crate) fell_back: bool,
    /// We were that next hop.
    pub(crate) we_were_next_hop: bool,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    seen: BTreeMap<(u32, u32), Seen>,
}

impl History {
    /// Remembers a packet, and says whether and how it was known.
    pub(crate) fn note(&mut self, frame: &Frame, me: u8, now: Instant) -> Option<Dupe> {
        let key = (frame.from, frame.id);
        if let Some(seen) = self.seen.get_mut(&key).filter(|seen| now < seen.at + LIFETIME) {
            let relayed = |node: u8| seen.relayers.contains(&node);
            let fell_back = seen.next_hop != 0
                && frame.next_hop == 0
                && relayed(frame.relay_node)
                && !relayed(me)
                && !relayed(seen.next_hop);
            let dupe = Dupe { fell_back, we_were_next_hop: seen.next_hop == me };
            seen.at = now;
            seen.next_hop = frame.next_hop;
            remember(&mut seen.relayers, frame.relay_node);
            return Some(dupe);
        }
        self.make_room(now);
        let seen = Seen { at: now, next_hop: frame.next_hop, relayers: vec![frame.relay_node] };
        self.seen.insert(key, seen);
        None
    }

    /// True if this node relayed (or sent) that packet.
    pub(crate) fn was_relayer(&self, node: u8, from: u32, id: u32) -> bool {
        self.seen.get(&(from, id)).is_some_and(|seen| seen.relayers.contains(&node))
    }

    /// True if nobody but this node relayed (or sent) that packet.
    pub(crate) fn was_sole_relayer(&self, node: u8, from: u32, id: u32) -> bool {
        self.seen.get(&(from, id)).is_some_and(|seen| seen.relayers == [node])
    }

    fn make_room(&mut self, now: Instant) {
        if self.seen.len() < CAPACITY {
            return;
        }
        self.seen.retain(|_, seen| now < seen.at + LIFETIME);
        while self.seen.len() >= CAPACITY {
            let Some(oldest) = self.seen.iter().min_by_key(|(_, seen)| seen.at).map(|(key, _)| *key) else {
                return;
            };
            self.seen.remove(&oldest);
        }
    }
}

fn remember(relayers: &mut Vec<u8>, node: u8) {
    if !relayers.contains(&node) {
        relayers.insert(0, node);
        relayers.truncate(RELAYERS);
    }
}
