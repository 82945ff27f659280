//! Towards a peer: the gates that a frame passes, the queue it waits in, and the moment it is sealed and leaves.

use std::net::IpAddr;
use std::ops::Bound;
use std::time::Instant;

use super::Node;
use super::links::Ready;
use super::peer::{Keying, Peer, Resolution};
use super::pki::{Action, Readiness};
use crate::event::{DropReason, Event, SessionState};
use crate::frame::{Frame, Inner};
use crate::link::{Class, LinkAddr, LinkId, Transmit};
use crate::neighbour;
use crate::queue::{Entry, PeerIndex};
use crate::v1::fragment;
use crate::v1::wire::Data;

impl Node {
    /// Lets a frame for a peer as far as it gets: into a link's queue, or to wait. `expires` is set when it was let in.
    pub(super) fn admit(&mut self, at: PeerIndex, frame: Vec<u8>, expires: Option<Instant>, now: Instant) {
        if let Keying::Wireguard(_) = self.peers[at].keying {
            return self.admit_wireguard(at, frame, expires, None, now);
        }
        let Some((link, _)) = self.path(at) else {
            return self.wait_for_link(at, frame, expires, now);
        };
        let state = &self.links[&link];
        let (pace, tempo) = (state.pace(), state.tempo());
        let expires = expires.unwrap_or(now + state.useful_time());
        match self.peers[at].readiness(pace, &mut self.rng, now) {
            Readiness::Ready => {}
            Readiness::Wait => return self.wait(at, frame, expires, now),
            Readiness::Away => return self.drop_frame(at, &frame, DropReason::HandshakeTimeout, now),
        }
        match self.peers[at].resolve(pace, now) {
            (Resolution::Known, _) => {
                if self.peers[at].doubts_mac(pace, now) {
                    self.ask_for_mac(at, destination(&frame), now);
                }
                let frame = self.address(at, frame);
                let entry = Entry::new(frame, expires);
                if let Some(state) = self.links.get_mut(&link) {
                    state.queue.push(at, entry, tempo, &mut self.account, now);
                }
            }
            (Resolution::Asked, ask) => {
                let dropped = self.peers[at].wait(frame, expires);
                self.account.count_many(at, DropReason::HandshakeBacklog, dropped);
                if ask {
                    let destination = self.peers[at].first_waiting().and_then(destination);
                    self.ask_for_mac(at, destination, now);
                }
            }
            (Resolution::Unresolved, _) => self.drop_frame(at, &frame, DropReason::Unresolved, now),
        }
    }

    /// Lets a frame that was in a link's queue look for its way again.
    pub(super) fn readmit(&mut self, at: PeerIndex, entry: Entry, now: Instant) {
        // A question or an answer of ours is not worth a wait: it will be asked again.
        if entry.class == Class::Control {
            return self.account.count(at, DropReason::LinkDown);
        }
        if entry.original.is_some() {
            return self.admit_wireguard(at, entry.frame, Some(entry.expires), entry.original, now);
        }
        self.admit(at, entry.frame, Some(entry.expires), now);
    }

    /// Keeps a frame until there is a session; asks the peer for a proof of the one that it was offered.
    fn wait(&mut self, at: PeerIndex, frame: Vec<u8>, expires: Instant, now: Instant) {
        let dropped = self.peers[at].wait(frame, expires);
        self.account.count_many(at, DropReason::HandshakeBacklog, dropped);
        let pace = self.pace(at);
        if self.peers[at].take_probe(pace, now) {
            self.probe(at, now);
        }
    }

    pub(super) fn wait_for_link(
        &mut self,
        at: PeerIndex,
        frame: Vec<u8>,
        expires: Option<Instant>,
        now: Instant,
    ) {
        let kinds: Vec<_> = self.peers[at].endpoints.iter().map(LinkAddr::kind).collect();
        let state = self.links.values().find(|state| state.is_worth_waiting_for(now));
        match state.filter(|_| !kinds.is_empty()) {
            Some(state) => {
                let expires = expires.unwrap_or(now + state.useful_time());
                let dropped = self.peers[at].wait(frame, expires);
                self.account.count_many(at, DropReason::HandshakeBacklog, dropped);
            }
            None => self.drop_frame(at, &frame, DropReason::NoPath, now),
        }
    }

    /// Puts the MAC addresses in a frame that the peer's kernel will take.
    fn address(&self, at: PeerIndex, mut frame: Vec<u8>) -> Vec<u8> {
        if neighbour::is_unicast(&[frame[0], frame[1], frame[2], frame[3], frame[4], frame[5]]) {
            frame[..6].copy_from_slice(&self.peers[at].mac_for_frames());
        }
        frame[6..12].copy_from_slice(&self.mac);
        frame
    }

    /// Puts the question for a peer's MAC address on the air.
    fn ask_for_mac(&mut self, at: PeerIndex, destination: Option<IpAddr>, now: Instant) {
        let Some(destination) = destination else { return };
        let on_link = self.addresses.iter().any(|ours| ours.contains(&destination));
        let target = self.peers[at].whom_to_ask(destination, on_link);
        if let Some(question) = self.question(target) {
            self.send_control(at, question, now);
        }
    }

    fn question(&self, target: IpAddr) -> Option<Vec<u8>> {
        let ours =
            self.addresses.iter().map(ipnet::IpNet::addr).find(|ours| ours.is_ipv4() == target.is_ipv4())?;
        neighbour::question(self.mac, ours, target)
    }

    /// Asks under a session that was only offered: the answer proves it.
    fn probe(&mut self, at: PeerIndex, now: Instant) {
        let Some(question) = self.peers[at].own_address().and_then(|target| self.question(target)) else {
            return;
        };
        let Keying::Pki(pki) = &mut self.peers[at].keying else { return };
        if let Some((counter, ciphertext)) = pki.seal_probe(&question) {
            self.send_sealed(at, &Data { counter, ciphertext: &ciphertext }, now);
        }
    }

    /// Queues a frame of our own making, which has its addresses and is not worth waiting for a session.
    pub(super) fn send_control(&mut self, at: PeerIndex, frame: Vec<u8>, now: Instant) {
        let Some((link, _)) = self.path(at) else { return self.account.count(at, DropReason::NoPath) };
        if let Some(state) = self.links.get_mut(&link) {
            let entry = Entry::new(frame, now + state.useful_time());
            state.queue.push(at, entry, state.tempo(), &mut self.account, now);
        }
    }

    fn send_sealed(&mut self, at: PeerIndex, data: &Data<'_>, now: Instant) {
        self.send_datagram(at, data.emit(), Class::Control, false, now);
    }

    fn send_datagram(&mut self, at: PeerIndex, payload: Vec<u8>, class: Class, far: bool, now: Instant) {
        let path = self.path(at);
        let state = path.and_then(|(link, to)| self.links.get_mut(&link).map(|state| (state, to)));
        let Some((state, to)) = state else { return self.account.count(at, DropReason::NoPath) };
        let expires = now + state.useful_time();
        if !state.push_ready(Ready { peer: at, to, payload, class, far, expires, ping: None }) {
            self.account.count(at, DropReason::QueueOverflow);
        }
    }

    /// Lets everything that waits for a peer try its gates again.
    pub(super) fn flush(&mut self, at: PeerIndex, now: Instant) {
        for waiting in self.peers[at].take_waiting() {
            self.admit(at, waiting.frame, Some(waiting.expires), now);
        }
    }

    /// Carries out what the peer's machine wants done, and sets its timer.
    pub(super) fn settle(&mut self, at: PeerIndex, now: Instant) {
        if let Keying::Wireguard(_) = self.peers[at].keying {
            return self.settle_wireguard(at, now);
        }
        if let Keying::Symmetric(_) = self.peers[at].keying {
            self.unsaved.insert(at);
        }
        while let Some(action) = self.poll_action(at) {
            match action {
                Action::Send { payload, far } => self.send_datagram(at, payload, Class::Handshake, far, now),
                Action::Usable { first } => {
                    let peer = self.peers[at].public_key;
                    self.peers[at].up = true;
                    self.peers[at].prove_by = None;
                    if let Some(silence) = self.peers[at].silence() {
                        silence.rekeyed(now);
                    }
                    self.push_event(if first { Event::PeerUp { peer } } else { Event::Rekeyed { peer } });
                    self.flush(at, now);
                }
                Action::Ended => self.session_ended(at),
                Action::Measured(rtt) => self.peers[at].quality.answered(rtt),
                Action::Prove => self.prove(at, now),
                Action::Failed { tries, lost } => self.failed(at, tries, lost, now),
            }
        }
        if let Peer { keying: Keying::Pki(pki), quality, .. } = &mut self.peers[at] {
            (0..pki.take_lost()).for_each(|_| quality.lost());
        }
        self.note_path(at);
        self.arm(at, now);
    }

    /// Packets were sealed for a peer: it is settled once for all that come in a row, before anything leaves.
    pub(super) fn settle_later(&mut self, at: PeerIndex, now: Instant) {
        if self.unsettled.is_some_and(|(before, _)| before != at) {
            self.settle_sealed();
        }
        self.unsettled.get_or_insert((at, now));
    }

    /// Settles the peer that packets were sealed for.
    pub(super) fn settle_sealed(&mut self) {
        if let Some((at, now)) = self.unsettled.take() {
            self.settle(at, now);
        }
    }

    fn poll_action(&mut self, at: PeerIndex) -> Option<Action> {
        match &mut self.peers[at].keying {
            Keying::Pki(pki) => pki.poll_action(),
            Keying::Symmetric(_) | Keying::Wireguard(_) => None,
        }
    }

    /// One of us uses a session that it answered for only when something came through it. A frame that is about to leave
    /// serves; else, or if none has left for as long as a handshake takes, an empty message does.
    pub(super) fn prove(&mut self, at: PeerIndex, now: Instant) {
        let first_asked = self.peers[at].prove_by.take().is_none();
        let peer = &self.peers[at];
        if peer.kin() != Some(true) {
            return;
        }
        let busy = self.links.values().any(|state| state.queue.has_peer(at));
        if first_asked && (peer.waiting_len() > 0 || busy) {
            self.peers[at].prove_by = Some(now + self.pace(at));
            return;
        }
        let Keying::Pki(pki) = &mut self.peers[at].keying else { return };
        if let Some((counter, ciphertext)) = pki.seal(&[], now) {
            self.send_sealed(at, &Data { counter, ciphertext: &ciphertext }, now);
        }
    }

    fn failed(&mut self, at: PeerIndex, tries: u32, lost: bool, now: Instant) {
        let peer = self.peers[at].public_key;
        self.push_event(Event::HandshakeTimedOut { peer, attempts: tries });
        if self.peers[at].state() != SessionState::Established {
            self.peers[at].heard_on = None;
            self.peers[at].detours = self.peers[at].detours.wrapping_add(1);
        }
        if lost {
            self.session_ended(at);
        }
        for waiting in self.peers[at].take_waiting() {
            // A session that goes on takes what waited for a better one.
            self.admit(at, waiting.frame, Some(waiting.expires), now);
        }
    }

    /// Returns the next datagram for a link that has room.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if let Some(row) = self.outbox.poll() {
            return Some(row);
        }
        // One after the other by number, without a list: this is asked after every input.
        let mut next = self.links.keys().next().copied();
        while let Some(link) = next {
            if let Some(transmit) = self.poll_link(link, now) {
                return Some(transmit);
            }
            let after = (Bound::Excluded(link), Bound::Unbounded);
            next = self.links.range(after).next().map(|(link, _)| *link);
        }
        None
    }

    fn poll_link(&mut self, link: LinkId, now: Instant) -> Option<Transmit> {
        loop {
            let state = self.links.get_mut(&link)?;
            if state.caps.is_none() || state.room == 0 {
                return None;
            }
            if let Some(ready) = state.next_ready(&mut self.account, now) {
                return self.transmit(link, ready, now);
            }
            let Some(least) = state.least_affordable(now) else {
                self.note_exhausted(link, now);
                return None;
            };
            if least < Class::Bulk && state.queue.len() > 0 {
                self.note_exhausted(link, now);
            } else if let Some(state) = self.links.get_mut(&link) {
                state.exhausted = false;
            }
            let state = self.links.get_mut(&link)?;
            let (at, entry) = state.pop(least, &mut self.account, now)?;
            self.seal_entry(link, at, entry, now);
        }
    }

    /// Tells the operator, once, that a link's air is spent.
    fn note_exhausted(&mut self, link: LinkId, now: Instant) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let waits = state.queue.len() + state.ready.len() + state.fragments.len() > 0;
        if !waits || std::mem::replace(&mut state.exhausted, true) {
            return;
        }
        let full = state.datagram_price(state.mtu());
        let until = state.budget.as_ref().map_or(now, |budget| budget.when(Class::Bulk, full, now));
        self.push_event(Event::AirtimeExhausted { link, until });
    }

    /// Seals a frame whose turn it is, and makes its datagrams ready; or lets it wait if its session has gone meanwhile.
    fn seal_entry(&mut self, link: LinkId, at: PeerIndex, entry: Entry, now: Instant) {
        let Some(state) = self.links.get(&link) else { return };
        let (pace, mtu) = (state.pace(), state.mtu());
        // The peer may have been heard elsewhere since the frame was queued.
        let Some((_, to)) = self.path(at).filter(|(now_by, _)| *now_by == link) else {
            return self.readmit(at, entry, now);
        };
        if let Keying::Wireguard(_) = self.peers[at].keying {
            self.leave_wireguard(link, at, to, entry, now);
            return self.settle(at, now);
        }
        match self.peers[at].readiness(pace, &mut self.rng, now) {
            Readiness::Ready => {}
            Readiness::Wait => {
                // A question or an answer of ours is not worth a wait: it will be asked again.
                if entry.class == Class::Control {
                    self.account.count(at, DropReason::NoSession);
                } else {
                    self.wait(at, entry.frame, entry.expires, now);
                }
                return self.settle(at, now);
            }
            Readiness::Away => {
                self.drop_frame(at, &entry.frame, DropReason::HandshakeTimeout, now);
                return self.settle(at, now);
            }
        }
        let ping = self.own_ping(at, &entry.frame);
        let peer = &mut self.peers[at];
        let sealed = match &mut peer.keying {
            Keying::Pki(pki) => pki.seal(&entry.frame, now),
            Keying::Symmetric(symmetric) => symmetric.seal(&entry.frame),
            Keying::Wireguard(_) => None,
        };
        let Some((counter, ciphertext)) = sealed else {
            self.account.count(at, DropReason::NoSession);
            return self.settle(at, now);
        };
        let Some(datagrams) = fragment::split(counter, &ciphertext, &mut peer.message, mtu) else {
            return self.account.count(at, DropReason::TooBig);
        };
        peer.prove_by = None;
        if entry.class != Class::Control {
            peer.sent.packets += 1;
            peer.sent.bytes += u64::try_from(entry.frame.len() - 14).unwrap_or(0);
        }
        if let Some(state) = self.links.get_mut(&link) {
            let (class, expires) = (entry.class, entry.expires);
            let ready = |payload| Ready { peer: at, to, payload, class, far: false, expires, ping };
            state.push_sealed(datagrams.into_iter().map(ready).collect());
        }
        self.settle(at, now);
    }
}

/// Returns whither a frame goes, if it carries IP.
pub(super) fn destination(frame: &[u8]) -> Option<IpAddr> {
    match Frame::parse(frame) {
        Ok(Frame { inner: Inner::Ip(packet), .. }) => Some(packet.destination),
        _ => None,
    }
}
