//! What the paths of a WIREGUARD peer want done, and what it takes to move from one to another.
//!
//! The session is told which kind of link carries it; what waits for the old path, and copies of what may have been lost on
//! it, take the new one.

use std::time::Instant;

use super::Node;
use super::peer::Keying;
use crate::event::Event;
use crate::link::{LinkAddr, LinkId};
use crate::path::{self, Paths};
use crate::queue::PeerIndex;

impl Node {
    /// Carries out what a peer's paths want done, before anything else of it is.
    pub(super) fn follow_path(&mut self, at: PeerIndex, now: Instant) {
        while let Keying::Wireguard(wireguard) = &mut self.peers[at].keying
            && let Some(action) = wireguard.paths.poll_action(&mut self.rng, now)
        {
            self.path_action(at, action, now);
        }
    }

    pub(super) fn path_action(&mut self, at: PeerIndex, action: path::Action, now: Instant) {
        match action {
            path::Action::Probe { link, to, token } => self.send_probe(at, (link, to), token, now),
            path::Action::Announce => self.announce(at, now),
            path::Action::Stranded => {
                let peer = self.peers[at].public_key;
                self.push_event(Event::Stranded { peer });
            }
            path::Action::Changed { from, to, why } => {
                let peer = self.peers[at].public_key;
                self.push_event(Event::PathChanged { peer, from, to, why: Some(why) });
                self.moved(at, from, now);
            }
        }
    }

    /// What is sent to a peer takes another path: the session's constants are those of its link, and what waits for the old
    /// one takes the new one.
    fn moved(&mut self, at: PeerIndex, from: Option<(LinkId, LinkAddr)>, now: Instant) {
        self.tell_regime(at, now);
        if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying {
            // An initiation that went by the old path is not waited for.
            wireguard.tunnel.hurry_if_stale(now);
        }
        self.send_copies(at, now);
        let queued = from.and_then(|(link, _)| self.links.get_mut(&link));
        let queued = queued.map(|state| state.queue.take_astray(|peer, _| peer == at)).unwrap_or_default();
        for (at, entry) in queued {
            self.readmit(at, entry, now);
        }
        self.flush(at, now);
    }

    /// Tells a peer's tunnel which link carries it.
    pub(super) fn tell_regime(&mut self, at: PeerIndex, now: Instant) {
        let regime = self.path(at).and_then(|(link, _)| self.regime(link));
        if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying {
            wireguard.tunnel.set_regime(regime, now);
        }
    }

    /// Lets every WIREGUARD peer's paths know of something that happened to links.
    pub(super) fn tell_paths(&mut self, now: Instant, mut tell: impl FnMut(&mut Paths)) {
        for at in self.peers.numbers() {
            if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying {
                tell(&mut wireguard.paths);
                self.tell_regime(at, now);
                self.settle_wireguard(at, now);
            }
        }
    }

    /// Brings the table of current paths in line with a peer's.
    pub(super) fn note_way(&mut self, at: PeerIndex) {
        let Self { peers, ways, .. } = self;
        let Keying::Wireguard(wireguard) = &mut peers[at].keying else { return };
        let current = wireguard.paths.current();
        if wireguard.way == current {
            return;
        }
        let before = std::mem::replace(&mut wireguard.way, current);
        before.map(|(link, to)| ways.remove(&(link, to, at)));
        ways.extend(current.map(|(link, to)| (link, to, at)));
    }
}
