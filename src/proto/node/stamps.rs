//! The timestamps of WIREGUARD handshakes, across restarts.
//!
//! An initiation bears a timestamp greater than all before it, and whoever has answered it answers none that is no greater.
//! So both ends have something to remember: of the peer's, the greatest that was answered, or a recording of an older one is
//! answered again after a restart; of ours, the greatest that was used, or a host that starts with a clock that is behind (a
//! board without a battery) is not heard until its clock has caught up.
//!
//! **Ours** are reserved ahead: the state file names one that is greater than any that is used until the next write, by
//! [`LEASE`] where the clock is right. One write covers all peers. A new life begins above what was reserved, and reserves no
//! more than it needs ([`LEAST_LEASE`]) while the clock is behind that: many restarts in a row do not run far ahead. **The peer's** are written as they are, for what is
//! named too great would keep the peer out: the first few at once, then as often as [`WRITES`] allows, all that came meanwhile
//! together. What an orderly end writes is exact.
//!
//! Invariants: no initiation leaves before the file was to name a greater timestamp; a disk that cannot be written holds up
//! nothing, for no counter is at stake. If the host crashes, the initiations that
//! can be answered once more are those that were answered in the last few minutes, when there were many.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Node;
use super::peer::Keying;
use super::store::Line;
use crate::key::PublicKey;
use crate::limit::Bucket;
use crate::queue::PeerIndex;
use crate::wg::tai64n::Tai64n;
use crate::wg::tunnel::Stamps;

/// How far ahead of the clock timestamps are reserved: a write an hour while there are handshakes.
const LEASE: Duration = Duration::from_secs(3600);
/// And how far at least ahead of the last one, where the clock is behind: a thousand handshakes.
const LEAST_LEASE: Duration = Duration::from_secs(16);
/// Writes for the sake of what peers sent: flash memory wears out.
const WRITES: Bucket = Bucket::new(8, Duration::from_secs(300));
/// Removed peers whose timestamps are remembered.
const MAX_RETIRED: usize = 64;

/// See the module's introduction.
pub(super) struct StampStore {
    writes: Bucket,
    /// When what was not worth a write at once is written.
    due: Option<Instant>,
    /// Of peers that are not there (any more or yet), the oldest first.
    retired: VecDeque<(PublicKey, Stamps)>,
}

impl Default for StampStore {
    fn default() -> Self {
        Self { writes: WRITES, due: None, retired: VecDeque::new() }
    }
}

impl StampStore {
    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        self.due.map(|due| (due, "state"))
    }

    fn remember(&mut self, peer: PublicKey, stamps: Stamps) {
        if stamps == Stamps::default() {
            return;
        }
        self.retired.push_back((peer, stamps));
        if self.retired.len() > MAX_RETIRED {
            self.retired.pop_front();
        }
    }

    /// What is remembered of a peer that is there from here on.
    fn take(&mut self, peer: &PublicKey) -> Stamps {
        let mut taken = Stamps::default();
        self.retired.retain(|(known, stamps)| {
            if known == peer {
                taken = taken.max_of(*stamps);
            }
            known != peer
        });
        taken
    }
}

impl Node {
    /// A handshake message of a peer's was answered, or one of ours was made: what the file has to say of it is written in
    /// time.
    pub(super) fn note_stamps(&mut self, at: PeerIndex, now: Instant) {
        let Keying::Wireguard(wireguard) = &self.peers[at].keying else { return };
        let (stamps, kept) = (wireguard.tunnel.stamps(), wireguard.kept);
        if stamps.sent > kept.sent {
            self.reserve_stamps(now);
            self.store_wanted = true;
        } else if stamps.received > kept.received && !self.store_wanted && self.stamps.due.is_none() {
            if self.stamps.writes.take(now) {
                self.store_wanted = true;
            } else {
                self.stamps.due = Some(self.stamps.writes.next(now));
            }
        }
    }

    /// Reserves timestamps for all peers: what is written for one costs nothing for the others.
    fn reserve_stamps(&mut self, now: Instant) {
        let by_clock = Tai64n::from_unix(self.clock.unix_time(now) + LEASE);
        for (_, peer) in self.peers.iter_mut() {
            if let Keying::Wireguard(wireguard) = &mut peer.keying {
                let used = wireguard.tunnel.stamps().sent;
                let reserved = used.map_or(by_clock, |used| by_clock.max(used.plus(LEAST_LEASE)));
                wireguard.kept.sent = wireguard.kept.sent.max(Some(reserved));
            }
        }
    }

    /// Has written what was put off, if that is due.
    pub(super) fn stamps_timeout(&mut self, now: Instant) {
        if self.stamps.due.is_some_and(|due| due <= now) {
            self.stamps.due = None;
            self.store_wanted |= self.stamps.writes.take(now);
        }
    }

    /// What is known of a peer's handshakes when its keys are made: of those before, or of an earlier life.
    pub(super) fn known_stamps(&mut self, peer: &PublicKey) -> Stamps {
        let taken = self.stamps.take(peer);
        match self.peers.find(peer).map(|at| &self.peers[at].keying) {
            Some(Keying::Wireguard(wireguard)) => taken.max_of(wireguard.tunnel.stamps()),
            _ => taken,
        }
    }

    /// A WIREGUARD peer is there no more, or is of another mode, or has other keys, which know already. A timestamp of the
    /// peer's that is far ahead of our clock is forgotten: its clock was wrong once, and whoever takes the peer out and puts it
    /// in again wants it to be heard.
    pub(super) fn retire_stamps(&mut self, peer: PublicKey, mut stamps: Stamps, now: Instant) {
        let latest = Tai64n::from_unix(self.clock.unix_time(now) + LEASE);
        stamps.received = stamps.received.filter(|received| *received <= latest);
        let now = self.peers.find(&peer).map(|at| &self.peers[at].keying);
        if !matches!(now, Some(Keying::Wireguard(_))) {
            self.stamps.remember(peer, stamps);
        }
    }

    /// Takes up what the state file says of a peer's handshakes.
    pub(super) fn restore_stamps(&mut self, peer: PublicKey, stamps: Stamps) {
        match self.peers.find(&peer).map(|at| &mut self.peers[at].keying) {
            Some(Keying::Wireguard(wireguard)) => {
                wireguard.tunnel.restore(stamps);
                wireguard.kept = wireguard.kept.max_of(stamps);
            }
            _ => self.stamps.remember(peer, stamps),
        }
    }

    /// What the state file is to say.
    pub(super) fn stamp_lines(&mut self) -> Vec<Line> {
        self.stamps.due = None;
        let mut lines: Vec<Line> = Vec::new();
        for (peer, stamps) in &self.stamps.retired {
            lines.push(Line::Handshakes { peer: *peer, stamps: *stamps });
        }
        for (_, peer) in self.peers.iter_mut() {
            let Keying::Wireguard(wireguard) = &mut peer.keying else { continue };
            let stamps = wireguard.tunnel.stamps();
            wireguard.kept.received = stamps.received;
            if self.closing {
                wireguard.kept.sent = stamps.sent;
            }
            if wireguard.kept != Stamps::default() {
                lines.push(Line::Handshakes { peer: peer.public_key, stamps: wireguard.kept });
            }
        }
        lines
    }
}
