//! What a link's driver says: it is up or down, has room, refused a datagram, knows a key.

use std::time::Instant;

use super::Node;
use super::links::{LinkState, Ready};
use super::peer::Keying;
use crate::event::{DropReason, Event};
use crate::link::{LinkAddr, LinkEvent, LinkId, Refusal};
use crate::queue::PeerIndex;
use crate::v1::wire::Datagram;

impl Node {
    /// Takes news about a link from its driver.
    pub fn handle_link(&mut self, link: LinkId, event: LinkEvent, now: Instant) {
        if self.removed_links.contains(&link) {
            return;
        }
        let state = self.links.entry(link).or_insert_with(|| LinkState::new(now));
        match event {
            LinkEvent::Up(caps) => {
                let was_down = state.caps.is_none();
                state.up(caps.clone());
                self.tell_paths(now, |paths| paths.handle_link_up(link, &caps, now));
                if was_down {
                    self.link_is_back(now);
                } else {
                    self.note_paths();
                }
            }
            LinkEvent::Down => {
                state.down(&mut self.account, now);
                self.outbox.forget_link(link);
                let queued = state.queue.take_all();
                self.tell_paths(now, |paths| paths.handle_link_down(link, now));
                // Another link may reach the peer; if none does, the frames wait for this one to come back.
                for (at, entry) in queued {
                    self.readmit(at, entry, now);
                    self.settle(at, now);
                }
                self.note_paths();
            }
            LinkEvent::Room(room) => state.room = room,
            LinkEvent::Spent(air) => {
                if let Some(budget) = &mut state.budget {
                    budget.carrier_says(air, now);
                }
            }
            LinkEvent::Refused { token, reason } => self.refused(link, token, reason, now),
            LinkEvent::KeyKnown(addr) => self.key_known(link, addr, now),
        }
    }

    /// Removes a link. What waits for it goes by another, or waits for one that may come back, or is dropped. Whatever its
    /// driver still says is ignored: a number of a link is not used again in the life of a node.
    pub fn remove_link(&mut self, link: LinkId, now: Instant) {
        self.removed_links.insert(link);
        let Some(mut state) = self.links.remove(&link) else { return };
        state.down(&mut self.account, now);
        self.outbox.forget_link(link);
        self.tell_paths(now, |paths| paths.remove_link(link, now));
        self.keyless.retain(|(on, _)| *on != link);
        for (_, peer) in self.peers.iter_mut() {
            peer.heard_on = peer.heard_on.filter(|(on, _)| *on != link);
        }
        for (at, entry) in state.queue.take_all() {
            self.readmit(at, entry, now);
        }
        for at in self.peers.numbers() {
            self.renew(at, now);
            self.flush(at, now);
            self.settle(at, now);
        }
    }

    /// Tells the operator which peers are reached otherwise than before.
    fn note_paths(&mut self) {
        for at in self.peers.numbers() {
            self.note_path(at);
        }
    }

    /// Tells the operator if a peer is reached otherwise than before.
    pub(super) fn note_path(&mut self, at: PeerIndex) {
        // Whose paths say so themselves.
        if let Keying::Wireguard(_) = self.peers[at].keying {
            return;
        }
        let to = self.path(at);
        let peer = &mut self.peers[at];
        let from = std::mem::replace(&mut peer.told_path, to);
        if from != to {
            let peer = peer.public_key;
            self.push_event(Event::PathChanged { peer, from, to, why: None });
        }
    }

    /// A datagram for a peer was handed to a link at `left`, or (`None`) the link gave it back: of what demands an answer,
    /// it is noted.
    pub(super) fn note_left(&mut self, link: LinkId, ready: &Ready, left: Option<Instant>) {
        if let Keying::Wireguard(_) = self.peers[ready.peer].keying {
            self.note_terse_left(link, ready, left);
        }
        if let Some(token) = ready.ping {
            self.ping_left(token, left);
        }
        if let (Keying::Pki(pki), Ok(Datagram::Init(init))) =
            (&mut self.peers[ready.peer].keying, Datagram::parse(&ready.payload))
        {
            pki.note_left(&init, left);
        }
    }

    /// What waited for a link may go, and the handshakes that somebody wants; those that were given up for lack of a link
    /// start again with the next frame.
    fn link_is_back(&mut self, now: Instant) {
        for at in self.peers.numbers() {
            self.renew(at, now);
            self.flush(at, now);
            self.settle(at, now);
        }
    }

    fn refused(&mut self, link: LinkId, token: u64, reason: Refusal, now: Instant) {
        let Some(state) = self.links.get_mut(&link) else { return };
        // That nobody was reached shows only after the carrier sent: the air is spent.
        let went_out = reason == Refusal::Unreachable;
        let Some(ready) = state.take_back(token, went_out) else { return };
        if !went_out {
            self.note_left(link, &ready, None);
        }
        match reason {
            // It did not go because of the moment, not of itself: it goes first as soon as it can.
            Refusal::QueueFull | Refusal::DutyCycle | Refusal::RateLimit | Refusal::Disabled
                if ready.expires > now =>
            {
                if let Some(state) = self.links.get_mut(&link) {
                    state.ready.push_front(ready);
                }
                return;
            }
            Refusal::NoKey if self.keyless.insert((link, ready.to)) => {
                self.push_event(Event::NoRadioKey { link, to: ready.to });
            }
            _ => {}
        }
        if let Some(token) = ready.ping.filter(|_| !went_out) {
            self.lose_ping(token);
        }
        self.account.count(ready.peer, DropReason::Refused);
    }

    fn key_known(&mut self, link: LinkId, addr: LinkAddr, now: Instant) {
        // Radios tell their peers' keys often: only one that was missed is news.
        if !self.keyless.remove(&(link, addr)) {
            return;
        }
        let Some(&at) = self.by_endpoint.get(&addr) else { return };
        let Some(pace) = self.path(at).map(|(link, _)| self.links[&link].pace()) else { return };
        if let Keying::Pki(pki) = &mut self.peers[at].keying {
            pki.hurry(pace, &mut self.rng, now);
        }
        self.settle(at, now);
    }
}
