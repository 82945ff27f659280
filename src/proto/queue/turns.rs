//! Whose turn it is among the peers: their shares by tag, those for which something waits apart from the idle ones.
//!
//! Invariants: every share of the queue is in exactly one of the two sets, under its present tag; at most [`MAX_IDLE`] are
//! idle once [`Turns::take_idle`] returned nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{PeerIndex, Share};

/// Idle peers whose tags and flows are remembered.
pub(super) const MAX_IDLE: usize = 64;

/// See the module's introduction.
#[derive(Debug, Default)]
pub(super) struct Turns {
    busy: BTreeSet<(Duration, PeerIndex)>,
    idle: BTreeSet<(Duration, PeerIndex)>,
}

impl Turns {
    /// A share is about to change: call [`Self::note`] afterwards.
    pub(super) fn forget(&mut self, peer: PeerIndex, share: &Share) {
        self.set_of(share).remove(&(share.tag, peer));
    }

    /// A share is as it is.
    pub(super) fn note(&mut self, peer: PeerIndex, share: &Share) {
        self.set_of(share).insert((share.tag, peer));
    }

    /// The peers for which something waits, the next one first.
    pub(super) fn busy(&self) -> impl Iterator<Item = PeerIndex> {
        self.busy.iter().map(|(_, peer)| *peer)
    }

    /// Takes out an idle peer if there are too many: the one that had the least air.
    pub(super) fn take_idle(&mut self) -> Option<PeerIndex> {
        let (_, peer) = if self.idle.len() > MAX_IDLE { self.idle.pop_first() } else { None }?;
        Some(peer)
    }

    /// All shares, by whether something waits for them.
    #[cfg(test)]
    pub(super) fn sets(&self) -> [&BTreeSet<(Duration, PeerIndex)>; 2] {
        [&self.idle, &self.busy]
    }

    fn set_of(&mut self, share: &Share) -> &mut BTreeSet<(Duration, PeerIndex)> {
        if share.waiting > 0 { &mut self.busy } else { &mut self.idle }
    }
}
