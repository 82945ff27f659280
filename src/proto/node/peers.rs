//! The peers that there are, by numbers that are never given twice.
//!
//! Queues, timers and tables elsewhere hold a peer's number. Whoever removes a peer takes its number out of them all; if
//! one were overlooked it would name nobody, not somebody else.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use super::peer::Peer;
use crate::key::PublicKey;
use crate::queue::PeerIndex;

/// See the module's introduction.
#[derive(Default)]
pub(super) struct Peers {
    /// In the order of their numbers.
    peers: Vec<(PeerIndex, Box<Peer>)>,
    by_key: BTreeMap<PublicKey, PeerIndex>,
    next: PeerIndex,
}

impl Peers {
    /// Adds a peer; returns its number, which is greater than all before it.
    pub(super) fn add(&mut self, peer: Peer) -> PeerIndex {
        let at = self.next;
        self.next += 1;
        self.by_key.insert(peer.public_key, at);
        self.peers.push((at, Box::new(peer)));
        at
    }

    pub(super) fn remove(&mut self, at: PeerIndex) -> Option<Peer> {
        let place = self.place(at)?;
        let (_, peer) = self.peers.remove(place);
        self.by_key.remove(&peer.public_key);
        Some(*peer)
    }

    pub(super) fn find(&self, key: &PublicKey) -> Option<PeerIndex> {
        self.by_key.get(key).copied()
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
