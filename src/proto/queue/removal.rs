//! What leaves the queue otherwise than by being sent: it expired, its link is down, its peer or its way is gone.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Entry, PeerIndex, Queue};
use crate::account::Account;
use crate::event::DropReason;

impl Queue {
    /// Takes out everything, each flow's frames in their order.
    pub fn take_all(&mut self) -> Vec<(PeerIndex, Entry)> {
        self.len = 0;
        let shares = std::mem::take(&mut self.shares).into_iter();
        let flows = shares.flat_map(|(peer, share)| share.flows.into_values().map(move |flow| (peer, flow)));
        flows.flat_map(|(peer, flow)| flow.entries.into_iter().map(move |entry| (peer, entry))).collect()
    }

    /// Forgets a peer; returns how many frames waited for it.
    pub fn forget_peer(&mut self, peer: PeerIndex) -> usize {
        let waiting = self.shares.remove(&peer).map_or(0, |share| share.waiting);
        self.len -= waiting;
        waiting
    }

    /// Takes out the frames that are `astray`, each flow's in their order.
    pub fn take_astray(&mut self, astray: impl Fn(PeerIndex, &Entry) -> bool) -> Vec<(PeerIndex, Entry)> {
        let mut taken = Vec::new();
        for (&peer, share) in &mut self.shares {
            for flow in share.flows.values_mut() {
                if !flow.entries.iter().any(|entry| astray(peer, entry)) {
                    continue;
                }
                let (gone, stay): (Vec<_>, _) =
                    std::mem::take(&mut flow.entries).into_iter().partition(|entry| astray(peer, entry));
                flow.entries = VecDeque::from(stay);
                share.waiting -= gone.len();
                taken.extend(gone.into_iter().map(|entry| (peer, entry)));
            }
        }
        self.len -= taken.len();
        taken
    }

    /// Drops what is of no more use.
    pub fn expire(&mut self, account: &mut Account, now: Instant) {
        for (peer, _) in self.take_astray(|_, entry| entry.is_expired(now)) {
            account.count(peer, DropReason::Expired);
        }
    }
}
