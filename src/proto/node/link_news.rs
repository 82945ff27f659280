//! What a link's driver says: it is up or down, has room, refused a datagram, knows a key.

use std::time::Instant;

use super::Node;
use super::links::LinkState;
use super::peer::Keying;
use crate::event::{DropReason, Event};
use crate::link::{LinkAddr, LinkEvent, LinkId, Refusal};
use crate::queue::count;

impl Node {
    /// Takes news about a link from its driver.
    pub fn handle_link(&mut self, link: LinkId, event: LinkEvent, now: Instant) {
        let state = self.links.entry(link).or_insert_with(|| LinkState::new(now));
        match event {
            LinkEvent::Up(caps) => {
                let was_down = state.caps.is_none();
                state.up(caps);
                if was_down {
                    self.link_is_back(now);
                }
            }
            LinkEvent::Down => {
                for _ in 0..state.down(now) {
                    count(&mut self.drops, DropReason::LinkDown);
                }
                // Another link may reach the peer; if none does, the frames wait for this one to come back.
                for (at, entry) in state.queue.take_all() {
                    self.readmit(at, entry, now);
                    self.settle(at, now);
                }
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

    /// What waited for a link may go; handshakes that were given up for lack of one start again with the next frame.
    fn link_is_back(&mut self, now: Instant) {
        for at in 0..self.peers.len() {
            self.flush(at, now);
            self.settle(at, now);
        }
    }

    fn refused(&mut self, link: LinkId, token: u64, reason: Refusal, now: Instant) {
        let Some(state) = self.links.get_mut(&link) else { return };
        // That nobody was reached shows only after the carrier sent: the air is spent.
        let went_out = reason == Refusal::Unreachable;
        let Some(ready) = state.take_back(token, went_out) else { return };
        match reason {
            // It did not go because of the moment, not of itself: it goes first as soon as it can.
            Refusal::QueueFull | Refusal::DutyCycle | Refusal::RateLimit | Refusal::Disabled
                if ready.expires > now =>
            {
                state.ready.push_front(ready);
                return;
            }
            Refusal::NoKey if self.keyless.insert((link, ready.to)) => {
                self.push_event(Event::NoRadioKey { link, to: ready.to });
            }
            _ => {}
        }
        count(&mut self.drops, DropReason::Refused);
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
