//! When a node needs attention, and what it does then: one timer for each peer, some for links, pings and the state file, and
//! the first of them all for the shell.

use std::time::{Duration, Instant};

use super::Node;
use super::peer::Keying;
use crate::event::DropReason;
use crate::queue::PeerIndex;

impl Node {
    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(due, at, _)) = self.timers.first() {
            if due > now {
                break;
            }
            self.peer_timeout(at, now);
        }
        for state in self.links.values_mut() {
            state.queue.expire(&mut self.account, now);
            state.expire_ready(&mut self.account, now);
        }
        self.expire_pings(now);
        self.stamps_timeout(now);
    }

    fn peer_timeout(&mut self, at: PeerIndex, now: Instant) {
        let expired = self.peers[at].expire_waiting(now);
        self.account.count_many(at, DropReason::Expired, expired);
        if let Keying::Wireguard(_) = self.peers[at].keying {
            return self.wireguard_timeout(at, now);
        }
        let pace = self.path(at).map(|(link, _)| self.links[&link].pace());
        if let Keying::Pki(pki) = &mut self.peers[at].keying {
            match pace {
                Some(pace) => pki.handle_timeout(pace, &mut self.rng, now),
                None => pki.park(now),
            }
        }
        if self.peers[at].prove_by.is_some_and(|by| by <= now) {
            self.prove(at, now);
        }
        self.renew(at, now);
        self.flush(at, now);
        self.settle(at, now);
    }

    /// Brings the peer's timer in line with its state, and notes if that is another: whatever happened to the peer ends here.
    pub(super) fn arm(&mut self, at: PeerIndex, now: Instant) {
        let peer = &mut self.peers[at];
        let state = peer.state();
        if std::mem::replace(&mut peer.told_state, state) != state {
            self.moved_on.insert(at);
        }
        let pace = self.pace(at);
        let wanted = self.peers[at].deadline(pace, now);
        // A machine that still wants what it was just given would spin; it is looked at again a little later.
        let wanted = wanted.map(|(due, why)| (due.max(now + Duration::from_millis(1)), why));
        let before = std::mem::replace(&mut self.peers[at].timer, wanted);
        if before == wanted {
            return;
        }
        if let Some((due, why)) = before {
            self.timers.remove(&(due, at, why));
        }
        if let Some((due, why)) = wanted {
            self.timers.insert((due, at, why));
        }
    }

    /// How long a handshake takes on the peer's path, or would on a middling one.
    pub(super) fn pace(&self, at: PeerIndex) -> Duration {
        self.path(at).map_or(Duration::from_secs(2), |(link, _)| self.links[&link].pace())
    }

    /// Returns when [`Self::handle_timeout`] must be called next, and why.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<(Instant, &'static str)> {
        let peer = self.timers.first().map(|(due, _, why)| (*due, *why));
        let links = self.links.values().filter_map(|state| state.deadline(now));
        links.chain(peer).chain(self.ping_deadline()).chain(self.stamps.deadline()).min()
    }
}
