//! The peers that there are, by numbers that are never given twice.
//!
//! Queues, timers and tables elsewhere hold a peer's number. Whoever removes a peer takes its number out of them all; if
//! one were overlooked it would name nobody, not somebody else.

use std::ops::{Index, IndexMut};

use super::peer::Peer;
use crate::key::PublicKey;
use crate::queue::PeerIndex;

/// See the module's introduction.
#[derive(Default)]
pub(super) struct Peers {
    /// In the order of their numbers.
    peers: Vec<(PeerIndex, Box<Peer>)>,
    /// The numbers in the order of the peers' keys.
    by_key: Vec<PeerIndex>,
    next: PeerIndex,
}

impl Peers {
    /// Adds a peer; returns its number, which is greater than all before it.
    pub(super) fn add(&mut self, peer: Peer) -> PeerIndex {
        let at = self.next;
        self.next += 1;
        let place = self.rank(&peer.public_key).unwrap_or_else(|place| place);
        self.by_key.insert(place, at);
        self.peers.push((at, Box::new(peer)));
        at
    }

    pub(super) fn remove(&mut self, at: PeerIndex) -> Option<Peer> {
        let place = self.place(at)?;
        if let Ok(rank) = self.rank(&self.peers[place].1.public_key) {
            self.by_key.remove(rank);
        }
        Some(*self.peers.remove(place).1)
    }

    pub(super) fn find(&self, key: &PublicKey) -> Option<PeerIndex> {
        self.rank(key).ok().map(|rank| self.by_key[rank])
    }

    /// Where in `by_key` the peer with this key is, or would be.
    fn rank(&self, key: &PublicKey) -> Result<usize, usize> {
        self.by_key.binary_search_by(|at| self[*at].public_key.cmp(key))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerIndex, &Peer)> {
        self.peers.iter().map(|(at, peer)| (*at, &**peer))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PeerIndex, &mut Peer)> {
        self.peers.iter_mut().map(|(at, peer)| (*at, &mut **peer))
    }

    /// Returns all numbers, so that each peer can be looked at while the node changes.
    pub(super) fn numbers(&self) -> Vec<PeerIndex> {
        self.peers.iter().map(|(at, _)| *at).collect()
    }

    /// Where a peer is in the list: at its number as long as none was removed, and never behind.
    fn place(&self, at: PeerIndex) -> Option<usize> {
        match self.peers.get(at) {
            Some((number, _)) if *number == at => Some(at),
            _ => self.peers.binary_search_by_key(&at, |(number, _)| *number).ok(),
        }
    }
}

impl Index<PeerIndex> for Peers {
    type Output = Peer;
    fn index(&self, at: PeerIndex) -> &Peer {
        let place = self.place(at).expect("a peer's number leaves every queue and table with the peer");
        &self.peers[place].1
    }
}

impl IndexMut<PeerIndex> for Peers {
    fn index_mut(&mut self, at: PeerIndex) -> &mut Peer {
        let place = self.place(at).expect("a peer's number leaves every queue and table with the peer");
        &mut self.peers[place].1
    }
}
