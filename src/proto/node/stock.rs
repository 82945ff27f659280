//! From links where air is free: WireGuard's own messages, of anybody, until they authenticate.

use std::time::Instant;

use rand_core::Rng as _;

use super::Node;
use super::controls::content_of;
use super::peer::Keying;
use crate::aead::{Row, TAG_LEN};
use crate::control::Control;
use crate::event::{DropReason, Event};
use crate::link::{LinkAddr, LinkId};
use crate::path::Heard;
use crate::queue::PeerIndex;
use crate::wg::gate::{Refused, Verdict};
use crate::wg::message::{CookieReply, DATA_HEADER, Init, KEEPALIVE_LEN, Message, Response};
use crate::wg::noise::identify;
use crate::wg::sign;
use crate::wg::tunnel::{Content, Framing, HandshakeError, NotOpened};

/// Data messages that are opened together, at most: what the kernel joins.
const RUN: usize = 64;

/// A way that something came.
pub(super) type Path = (LinkId, LinkAddr);

impl Node {
    /// Takes datagrams from a link: `bytes` is a row of them, each `segment` bytes long but for the last, which may be
    /// shorter. They are opened in place. The outcome is that of [`Self::handle_datagram`] for each, in order.
    pub fn handle_datagrams(
        &mut self,
        link: LinkId,
        from: LinkAddr,
        bytes: &mut [u8],
        segment: usize,
        now: Instant,
    ) {
        if self.removed_links.contains(&link) || !self.is_free(link) {
            for datagram in bytes.chunks(segment.max(1)) {
                self.handle_datagram(link, from, datagram, now);
            }
            return;
        }
        let segment = segment.max(1);
        let mut touched: Option<PeerIndex> = None;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (run, index) = first_run(rest, segment);
            let (run, after) = std::mem::take(&mut rest).split_at_mut(run);
            rest = after;
            let at = match index {
                Some(index) => self.stock_data((link, from), index, (run, segment), now),
                None => self.stock((link, from), run, now),
            };
            // What a row changes is carried out once for all of it.
            if let Some(before) = touched.filter(|_| touched != at) {
                self.settle(before, now);
            }
            touched = at;
        }
        if let Some(at) = touched {
            self.settle(at, now);
        }
    }

    /// Takes a datagram that bears no data; returns whose it was, if it was somebody's.
    fn stock(&mut self, path: Path, datagram: &[u8], now: Instant) -> Option<PeerIndex> {
        let (at, handled) = match Message::parse(datagram) {
            Ok(Message::Init(init)) => self.stock_init(path, datagram, &init, now),
            Ok(Message::Response(response)) => self.stock_response(path, datagram, &response, now),
            Ok(Message::CookieReply(reply)) => self.stock_cookie(&reply, now),
            Ok(Message::Data(_)) | Err(_) => (None, Err(DropReason::MalformedDatagram)),
        };
        if let Some(at) = at {
            self.peers[at].received.datagrams += 1;
        }
        match (at, handled) {
            (Some(at), Err(reason)) => self.account.count(at, reason),
            (None, Err(reason)) => self.account.count_nobodys(reason),
            _ => {}
        }
        at
    }

    /// Takes data messages of one session, [`RUN`] at most; returns whose they were, if they were somebody's.
    fn stock_data(
        &mut self,
        path: Path,
        index: u32,
        (run, segment): (&mut [u8], usize),
        now: Instant,
    ) -> Option<PeerIndex> {
        let mut outcomes = [Ok(()); RUN];
        let outcomes = &mut outcomes[..run.len().div_ceil(segment)];
        let Some(at) = self.indices.owner(index) else {
            outcomes.iter().for_each(|_| self.account.count_nobodys(DropReason::NoSession));
            return None;
        };
        self.peers[at].received.datagrams += u64::try_from(outcomes.len()).unwrap_or(0);
        let mut counters = [0; RUN];
        self.open_run(at, index, (run, segment), &mut counters, outcomes, now);
        let inside = self.comes_from_inside(path);
        for ((message, counter), outcome) in run.chunks(segment).zip(counters).zip(outcomes) {
            let plaintext = &message[DATA_HEADER..message.len() - TAG_LEN];
            let handled = outcome
                .and_then(|()| self.note_authentic(at, (path, inside), (index, counter), plaintext, now))
                .and_then(|()| self.opened(at, path, (index, counter), plaintext, now));
            if let Err(reason) = handled {
                self.account.count(at, reason);
            }
        }
        Some(at)
    }

    /// Opens data messages of one session in place; says what their counters are, and why one is not to be looked at.
    fn open_run(
        &self,
        at: PeerIndex,
        index: u32,
        (run, segment): (&mut [u8], usize),
        counters: &mut [u64; RUN],
        outcomes: &mut [Result<(), DropReason>],
        now: Instant,
    ) {
        let opening = match &self.peers[at].keying {
            Keying::Wireguard(wireguard) => wireguard.tunnel.opening(index, now),
            Keying::Pki(_) | Keying::Symmetric(_) => None,
        };
        let Some(opening) = opening else { return outcomes.fill(Err(DropReason::NoSession)) };
        let mut authentic = [false; RUN];
        for ((message, counter), outcome) in run.chunks(segment).zip(&mut *counters).zip(&mut *outcomes) {
            *counter = counter_of(message);
            if !opening.allows(*counter) {
                *outcome = Err(DropReason::Replayed);
            }
        }
        let row = Row { bytes: run, segment, head: DATA_HEADER };
        if outcomes.iter().all(Result::is_ok) {
            self.aead.open_all(opening.key, counters, row, &mut authentic);
        } else {
            // What was seen before is not worth its opening.
            for (at, (text, tag)) in row.messages().enumerate().filter(|(at, _)| outcomes[*at].is_ok()) {
                authentic[at] = self.aead.open(opening.key, counters[at], &[], text, tag).is_ok();
            }
        }
        for (outcome, authentic) in outcomes.iter_mut().zip(authentic) {
            *outcome = outcome.and(if authentic { Ok(()) } else { Err(DropReason::Unauthentic) });
        }
    }

    /// Takes note that something authenticated under a session, if it is not a repetition.
    pub(super) fn note_opened(
        &mut self,
        at: PeerIndex,
        path: Path,
        (index, counter): (u32, u64),
        plaintext: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let inside = self.comes_from_inside(path);
        self.note_authentic(at, (path, inside), (index, counter), plaintext, now)
    }

    /// What came out of the tunnel itself says nothing of a way to the peer.
    fn comes_from_inside(&self, path: Path) -> bool {
        path.1.as_udp().is_some_and(|address| self.leads_inside(address.ip()))
    }

    /// [`Self::note_opened`], where it is known whether it came from inside.
    fn note_authentic(
        &mut self,
        at: PeerIndex,
        (path, inside): (Path, bool),
        (index, counter): (u32, u64),
        plaintext: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let peer = &mut self.peers[at];
        let Keying::Wireguard(wireguard) = &mut peer.keying else { return Err(DropReason::NoSession) };
        let opened = wireguard.tunnel.opened(index, counter, content_of(plaintext), now);
        let opened = opened.map_err(|error| match error {
            NotOpened::NoSession => DropReason::NoSession,
            NotOpened::Replayed => DropReason::Replayed,
        })?;
        let proof = match opened {
            opened if opened.confirmed && wireguard.answered_to() == Some(path) => Heard::Answer,
            _ if Control::is_probe(plaintext) => Heard::Question,
            opened if opened.newest && content_of(plaintext) == Content::Data => Heard::Packet,
            opened if opened.newest => Heard::Newest,
            _ => Heard::Late,
        };
        peer.last_seen = Some(now);
        if !inside {
            wireguard.paths.heard(path.0, path.1, proof, now);
            // Where this, or what came before it in the row, makes us leave the path for another, what was kept goes there.
            let stays = wireguard.paths.current() == wireguard.way;
            if stays && wireguard.doubtful.is_some() && !wireguard.paths.is_silent(now) {
                wireguard.doubtful = None;
            }
        }
        Ok(())
    }

    fn stock_init(
        &mut self,
        path: Path,
        datagram: &[u8],
        init: &Init,
        now: Instant,
    ) -> (Option<PeerIndex>, Result<(), DropReason>) {
        if let Err(reason) = self.pass_gate(path, datagram, now) {
            return (None, reason.map_or(Ok(()), Err));
        }
        let Ok(hello) = identify(&self.identity, &init.noise, &mut self.rng) else {
            return (None, Err(DropReason::BadHandshake));
        };
        let is_wireguard = |at: &PeerIndex| matches!(self.peers[*at].keying, Keying::Wireguard(_));
        let Some(at) = self.peers.find(hello.peer()).filter(is_wireguard) else {
            return (None, Err(DropReason::UnknownSender));
        };
        let framing = Framing::Stock { sender: init.sender, receiver: 0 };
        let answer = self.with_tunnel(at, now, |tunnel, context| tunnel.accept(hello, framing, context));
        match answer {
            Some(Ok(answer)) => {
                self.note_stamps(at, now);
                if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying {
                    wireguard.paths.heard(path.0, path.1, Heard::Newest, now);
                    wireguard.handshakes().answered_to = Some(path);
                }
                self.send_stock_response(at, path, (answer.sender, answer.receiver), &answer.noise, now);
                (Some(at), Ok(()))
            }
            Some(Err(error)) => (Some(at), Err(self.refused_handshake(at, error, now))),
            None => (Some(at), Err(DropReason::BadHandshake)),
        }
    }

    fn stock_response(
        &mut self,
        path: Path,
        datagram: &[u8],
        response: &Response,
        now: Instant,
    ) -> (Option<PeerIndex>, Result<(), DropReason>) {
        if let Err(reason) = self.pass_gate(path, datagram, now) {
            return (None, reason.map_or(Ok(()), Err));
        }
        let Some(at) = self.indices.owner(response.receiver) else {
            return (None, Err(DropReason::BadHandshake));
        };
        let framing = Framing::Stock { sender: response.sender, receiver: response.receiver };
        let handled = self.with_tunnel(at, now, |tunnel, context| {
            tunnel.handle_response(framing, &response.noise, context)
        });
        match handled {
            Some(Ok(())) => {
                self.note_answer(at, path, now);
                self.greet_kin(at, path, response.sender, now);
                (Some(at), Ok(()))
            }
            Some(Err(error)) => (Some(at), Err(self.refused_handshake(at, error, now))),
            None => (Some(at), Err(DropReason::BadHandshake)),
        }
    }

    /// A peer of whom nothing is known seems to be one of us: what it answers to a probe tells both.
    fn greet_kin(&mut self, at: PeerIndex, path: Path, sender: u32, now: Instant) {
        let (theirs, ours) = (self.peers[at].public_key, *self.identity.public());
        let Keying::Wireguard(wireguard) = &self.peers[at].keying else { return };
        if !wireguard.paths.is_kin() && sign::is_borne(sender, &theirs, &ours) {
            let token = self.rng.next_u32();
            self.send_probe(at, path, token, now);
        }
    }

    /// A response to an init of ours came by this path.
    pub(super) fn note_answer(&mut self, at: PeerIndex, path: Path, now: Instant) {
        self.peers[at].last_seen = Some(now);
        if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying {
            // Somebody on the way may have sent it on from another place.
            let proof = if wireguard.asked_at() == Some(path) { Heard::Answer } else { Heard::Newest };
            wireguard.paths.heard(path.0, path.1, proof, now);
        }
    }

    fn stock_cookie(
        &mut self,
        reply: &CookieReply,
        now: Instant,
    ) -> (Option<PeerIndex>, Result<(), DropReason>) {
        let Some(at) = self.indices.owner(reply.receiver) else {
            return (None, Err(DropReason::BadHandshake));
        };
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else {
            return (Some(at), Err(DropReason::BadHandshake));
        };
        let taken = wireguard.handshakes.as_mut().is_some_and(|known| known.cookies.take(reply, now));
        (Some(at), if taken { Ok(()) } else { Err(DropReason::BadHandshake) })
    }

    /// Lets a handshake message pass, or not: then why it counts as dropped, if it does.
    fn pass_gate(&mut self, path: Path, datagram: &[u8], now: Instant) -> Result<(), Option<DropReason>> {
        match self.gate.admit(datagram, path.1, false, &mut self.rng, now) {
            Verdict::Accept => Ok(()),
            Verdict::Cookie(reply) => {
                self.send_cookie(path, &reply);
                Err(None)
            }
            Verdict::Drop(refused) => Err(Some(refused_by_gate(refused))),
        }
    }

    /// Tells the operator of a handshake that does not authenticate, once in a while; returns how it counts.
    pub(super) fn refused_handshake(
        &mut self,
        at: PeerIndex,
        error: HandshakeError,
        now: Instant,
    ) -> DropReason {
        match error {
            HandshakeError::Replayed => DropReason::Replayed,
            HandshakeError::Crossed => DropReason::HandshakeCollision,
            HandshakeError::Flood => DropReason::HandshakeFlood,
            _ => {
                if self.peers[at].complaints.take(now) {
                    let peer = self.peers[at].public_key;
                    self.push_event(Event::HandshakeRefused { peer });
                }
                DropReason::BadHandshake
            }
        }
    }
}

/// Returns the length of the data messages of one session that a row begins with, and the index of that; or of the first
/// datagram, if it is none.
fn first_run(row: &[u8], segment: usize) -> (usize, Option<u32>) {
    let mut datagrams = row.chunks(segment);
    let index = datagrams.next().and_then(index_of);
    let first = segment.min(row.len());
    if index.is_none() {
        return (first, None);
    }
    let more = datagrams.take(RUN - 1).take_while(|next| index_of(next) == index);
    (more.fold(first, |len, next| len + next.len()), index)
}

/// The session that a datagram names, if it may be a data message.
fn index_of(datagram: &[u8]) -> Option<u32> {
    let [4, 0, 0, 0, i0, i1, i2, i3, ..] = *datagram else { return None };
    (datagram.len() >= KEEPALIVE_LEN).then_some(u32::from_le_bytes([i0, i1, i2, i3]))
}

/// The counter of a data message.
fn counter_of(message: &[u8]) -> u64 {
    let counter = message.get(DATA_HEADER - 8..DATA_HEADER).and_then(<[u8]>::first_chunk);
    u64::from_le_bytes(*counter.expect("a data message has a header"))
}

/// How it counts that the gate did not let something pass.
pub(super) const fn refused_by_gate(refused: Refused) -> DropReason {
    match refused {
        Refused::Malformed => DropReason::MalformedDatagram,
        Refused::WrongMac => DropReason::BadHandshake,
        _ => DropReason::HandshakeFlood,
    }
}
