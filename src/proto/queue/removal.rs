//! What leaves the queue otherwise than by being sent: it expired, its link is down, its peer or its way is gone.

use std::collections::VecDeque;
use std::time::Instant;

use super::turns::Turns;
use super::{Entry, PeerIndex, Queue};
use crate::account::Account;
use crate::event::DropReason;

impl Queue {
    /// Takes out everything, each flow's frames in their order.
    pub fn take_all(&mut self) -> Vec<(PeerIndex, Entry)> {
        self.len = 0;
        self.turns = Turns::default();
        let shares = std::mem::take(&mut self.shares).into_iter();
        let flows = shares.flat_map(|(peer, share)| share.flows.into_values().map(move |flow| (peer, flow)));
        flows.flat_map(|(peer, flow)| flow.entries.into_iter().map(move |entry| (peer, entry))).collect()
    }

    /// Forgets a peer; returns how many frames waited for it.
    pub fn forget_peer(&mut self, peer: PeerIndex) -> usize {
        let Some(share) = self.shares.remove(&peer) else { return 0 };
        self.turns.forget(peer, &share);
        self.len -= share.waiting;
        share.waiting
    }

    /// Takes out the frames that are `astray`, each flow's in their order.
    pub fn take_astray(&mut self, astray: impl Fn(PeerIndex, &Entry) -> bool) -> Vec<(PeerIndex, Entry)> {
        let mut taken = Vec::new();
        let busy: Vec<_> = self.turns.busy().collect();
        for peer in busy {
            let Some(share) = self.shares.get_mut(&peer) else { continue };
            self.turns.forget(peer, share);
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
            self.turns.note(peer, share);
        }
        self.len -= taken.len();
        self.prune();
        taken
    }

    /// Drops what is of no more use.
    pub fn expire(&mut self, account: &mut Account, now: Instant) {
        for (peer, _) in self.take_astray(|_, entry| entry.is_expired(now)) {
            account.count(peer, DropReason::Expired);
        }
    }
}
