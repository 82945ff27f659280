//! What of a node outlives its process, and what of a peer outlives its removal.
//!
//! Symmetric keys are the first reason ([`stamps`](super::stamps) has the other): nothing but our memory keeps a recorded packet from being opened twice. So what was seen
//! under a key stays known when its peer is removed or gets another key ([`Retired`]), in the state file too, and is taken
//! up when the two come together again. That our own counters are used once needs no such memory: see
//! [`Counters`](crate::v1::counters::Counters).
//!
//! Invariant: at most [`MAX_RETIRED`] keys are remembered; the oldest is forgotten first, and then what was recorded of it
//! can be delivered again, once, if that peer ever comes back with that key.

use std::time::Instant;

use super::Node;
use super::peer::{Keying, Peer};
use super::store::{self, Line};
use crate::config::{ConfigError, PeerConfig};
use crate::key::PublicKey;
use crate::v1::symmetric::{KeyName, Symmetric};

/// Keys out of use that are remembered.
const MAX_RETIRED: usize = 64;

/// A symmetric key that is out of use.
pub(super) struct Retired {
    peer: PublicKey,
    /// Which key; not known if an older state file says nothing.
    name: Option<KeyName>,
    seen: Vec<(u64, u64)>,
}

/// What the state file is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The whole text, which replaces the old one.
    pub text: Vec<u8>,
    /// Whether nothing may leave before it is on disk: a counter would be used twice in the next life. Else a failure to write
    /// costs what the text would have remembered, and no more.
    pub must: bool,
}

impl Node {
    /// Takes up what an earlier life of this node gave out by [`Self::poll_store`]. Call it once, before anything is
    /// handled. Lines that make no sense are ignored and counted in the return value. What the file says of symmetric
    /// peers that there are not (yet) is kept for when they are added.
    pub fn restore(&mut self, stored: &[u8]) -> usize {
        let (lines, unknown) = store::parse(stored);
        for line in lines {
            match line {
                Line::Counters { upper, reserved } => self.counters.restore(upper, reserved),
                Line::Symmetric { peer, reserved, seen, name } => {
                    self.counters.restore(self.is_upper_towards(&peer), reserved);
                    self.restore_seen(Retired { peer, name, seen });
                }
                Line::Handshakes { peer, stamps } => self.restore_stamps(peer, stamps),
                Line::Mac { peer, mac } => {
                    if let Some(at) = self.peers.find(&peer) {
                        self.peers[at].learn_mac(mac);
                    }
                }
            }
        }
        unknown
    }

    fn restore_seen(&mut self, retired: Retired) {
        let at = self.peers.find(&retired.peer);
        match at.map(|at| &mut self.peers[at].keying) {
            Some(Keying::Symmetric(keying)) if retired.name.is_none_or(|name| name == keying.name()) => {
                keying.restore(&retired.seen);
            }
            _ => self.remember(retired),
        }
    }

    fn remember(&mut self, retired: Retired) {
        self.retired.push_back(retired);
        if self.retired.len() > MAX_RETIRED {
            self.retired.pop_front();
        }
    }

    /// Of the two counting under one symmetric key, who has the upper half of the range?
    fn is_upper_towards(&self, peer: &PublicKey) -> bool {
        self.public_key > *peer
    }

    /// Makes the keys of a symmetric peer, with what was seen under them before.
    pub(super) fn symmetric(&mut self, peer: &PeerConfig) -> Result<Symmetric, ConfigError> {
        let psk = peer.preshared_key.as_ref().ok_or(ConfigError::NoPresharedKey(peer.public_key))?;
        let mut symmetric = Symmetric::new(psk);
        let name = symmetric.name();
        self.retired.retain(|retired| {
            let is_this = retired.peer == peer.public_key && retired.name.is_none_or(|known| known == name);
            if is_this {
                symmetric.restore(&retired.seen);
            }
            !is_this
        });
        Ok(symmetric)
    }

    /// A peer's keys go out of use.
    pub(super) fn retire(&mut self, peer: PublicKey, keying: &Keying, now: Instant) {
        match keying {
            Keying::Symmetric(keying) => {
                self.remember(Retired { peer, name: Some(keying.name()), seen: keying.seen() });
            }
            Keying::Wireguard(wireguard) => {
                self.store_wanted = true;
                return self.retire_stamps(peer, wireguard.tunnel.stamps(), now);
            }
            Keying::Pki(_) => {}
        }
        self.store_due = true;
    }

    /// Returns what is to be on disk before the next [`Self::poll_transmit`] is called, if anything changed.
    pub fn poll_store(&mut self) -> Option<Stored> {
        for at in std::mem::take(&mut self.unsaved) {
            let Peer { public_key, keying, .. } = &mut self.peers[at];
            let Keying::Symmetric(symmetric) = keying else { continue };
            if let Some(at_least) = symmetric.wants_counters() {
                let block = self.counters.grant(self.public_key > *public_key, at_least);
                self.store_due |= !block.is_empty();
                symmetric.grant(block);
            }
            self.store_due |= symmetric.outgrew_store();
        }
        let must = std::mem::take(&mut self.store_due);
        let wanted = std::mem::take(&mut self.store_wanted);
        (must || wanted).then(|| Stored { text: store::emit(&self.lines()), must })
    }

    fn lines(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        for upper in [false, true] {
            lines.extend(self.counters.reserved(upper).map(|reserved| Line::Counters { upper, reserved }));
        }
        let reserved = |peer: &PublicKey| self.counters.reserved(self.public_key > *peer).unwrap_or(0);
        for Retired { peer, name, seen } in &self.retired {
            let (peer, name, seen) = (*peer, *name, seen.clone());
            lines.push(Line::Symmetric { peer, reserved: reserved(&peer), seen, name });
        }
        for (_, peer) in self.peers.iter_mut() {
            if let Keying::Symmetric(symmetric) = &mut peer.keying {
                let seen = if self.closing { symmetric.seen() } else { symmetric.seen_ahead() };
                let (peer, name) = (peer.public_key, Some(symmetric.name()));
                lines.push(Line::Symmetric { peer, reserved: reserved(&peer), seen, name });
            }
            lines.extend(peer.mac.map(|mac| Line::Mac { peer: peer.public_key, mac }));
        }
        lines.extend(self.stamp_lines());
        lines
    }

    /// Ends this node's life in an orderly way: the next [`Self::poll_store`] returns a state that loses nothing.
    pub const fn close(&mut self) {
        self.closing = true;
        self.store_due = true;
    }
}
