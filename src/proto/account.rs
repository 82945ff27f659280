//! The account of packets that went nowhere: of the node in all, and of each peer that they came from or were for.
//!
//! Invariant: the total never sinks, also when a peer and its part of the account are forgotten.

use std::collections::BTreeMap;

use crate::event::{DropReason, Drops};
use crate::queue::PeerIndex;

/// See the module's introduction.
#[derive(Debug, Clone, Default)]
pub struct Account {
    total: Drops,
    peers: BTreeMap<PeerIndex, Drops>,
}

impl Account {
    /// Counts a packet of or for a peer.
    pub fn count(&mut self, peer: PeerIndex, reason: DropReason) {
        self.count_many(peer, reason, 1);
    }

    /// Counts packets of or for a peer; a reason that nothing was dropped for does not appear.
    pub fn count_many(&mut self, peer: PeerIndex, reason: DropReason, number: u64) {
        if number > 0 {
            *self.total.entry(reason).or_default() += number;
            *self.peers.entry(peer).or_default().entry(reason).or_default() += number;
        }
    }

    /// Counts a packet that no peer has to do with.
    pub fn count_nobodys(&mut self, reason: DropReason) {
        *self.total.entry(reason).or_default() += 1;
    }

    /// Returns everything that went nowhere.
    #[must_use]
    pub const fn total(&self) -> &Drops {
        &self.total
    }

    /// Returns what went nowhere of a peer's.
    #[must_use]
    pub fn of(&self, peer: PeerIndex) -> Drops {
        self.peers.get(&peer).cloned().unwrap_or_default()
    }

    /// Forgets which part of the total was a peer's.
    pub fn forget(&mut self, peer: PeerIndex) {
        self.peers.remove(&peer);
    }
}
