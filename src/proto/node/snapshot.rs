//! How a node is at one moment, for status displays: all of it, one peer, or everything but peers.
//!
//! A snapshot of everything takes time in proportion to the peers; who wants to know of one peer asks for that one.

use std::time::{Duration, Instant};

use super::Node;
use super::peer::{Keying, Peer};
use crate::event::{LinkSnapshot, PeerSnapshot, SessionState, Snapshot, Ways};
use crate::key::PublicKey;
use crate::link::Class;
use crate::queue::PeerIndex;

impl Node {
    /// Returns the state of everything, for status displays.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let peers = self.peers.iter().map(|(at, peer)| self.snapshot_at(at, peer)).collect();
        Snapshot { peers, ..self.snapshot_without_peers(now) }
    }

    /// Returns the state of one peer; `None` if there is no such.
    #[must_use]
    pub fn snapshot_of(&self, key: &PublicKey) -> Option<PeerSnapshot> {
        let at = self.peers.find(key)?;
        Some(self.snapshot_at(at, &self.peers[at]))
    }

    /// Returns the state of everything but the peers.
    #[must_use]
    pub fn snapshot_without_peers(&self, now: Instant) -> Snapshot {
        let links = self.links.iter().map(|(link, state)| LinkSnapshot {
            link: *link,
            up: state.caps.is_some(),
            queued: state.queue.by_class(),
            airtime_used: state.budget.as_ref().map_or(Duration::ZERO, |budget| budget.used(now)),
            airtime_left: state.budget.as_ref().map(|budget| budget.left(Class::Handshake, now)),
        });
        Snapshot { peers: Vec::new(), links: links.collect(), drops: self.account.total().clone() }
    }

    /// Counts the peers that have a session, and all peers.
    #[must_use]
    pub fn count_peers(&self) -> (usize, usize) {
        self.peers.iter().fold((0, 0), |(established, all), (_, peer)| {
            (established + usize::from(peer.state() == SessionState::Established), all + 1)
        })
    }

    /// Returns a peer whose session stands otherwise than when this was last asked: a handshake began or was given up, or
    /// keys came or ran out. Poll until there is none.
    pub fn poll_moved_on(&mut self) -> Option<PublicKey> {
        self.moved_on.pop_first().map(|at| self.peers[at].public_key)
    }

    fn snapshot_at(&self, at: PeerIndex, peer: &Peer) -> PeerSnapshot {
        PeerSnapshot {
            public_key: peer.public_key,
            state: peer.state(),
            last_handshake: match &peer.keying {
                Keying::Pki(pki) => pki.last_handshake(),
                Keying::Symmetric(_) => None,
                Keying::Wireguard(wireguard) => wireguard.tunnel.last_handshake(),
            },
            ways: match &peer.keying {
                Keying::Wireguard(wireguard) => Some(Ways {
                    tier: wireguard.paths.tier(),
                    why: wireguard.paths.why().0,
                    paths: wireguard.paths.views().collect(),
                }),
                Keying::Pki(_) | Keying::Symmetric(_) => None,
            },
            last_seen: peer.last_seen,
            endpoint: self.path(at),
            sent: peer.sent,
            received: peer.received,
            waiting: peer.waiting_len(),
            drops: self.account.of(at),
            rtt: peer.quality.rtt(),
            loss: peer.quality.loss(),
        }
    }
}
