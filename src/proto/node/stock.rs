//! From links where air is free: WireGuard's own messages, of anybody, until they authenticate.

use std::time::Instant;

use rand_core::Rng as _;

use super::Node;
use super::controls::content_of;
use super::peer::Keying;
use crate::aead::TAG_LEN;
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
        let mut touched: Option<PeerIndex> = None;
        for datagram in bytes.chunks_mut(segment.max(1)) {
            let at = self.stock((link, from), datagram, now);
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

    /// Takes a datagram; returns whose it was, if it was somebody's.
    fn stock(&mut self, path: Path, datagram: &mut [u8], now: Instant) -> Option<PeerIndex> {
        let (at, handled) = if datagram.first() == Some(&4) && datagram.len() >= KEEPALIVE_LEN {
            self.stock_data(path, datagram, now)
        } else {
            match Message::parse(datagram) {
                Ok(Message::Init(init)) => self.stock_init(path, datagram, &init, now),
                Ok(Message::Response(response)) => self.stock_response(path, datagram, &response, now),
                Ok(Message::CookieReply(reply)) => self.stock_cookie(&reply, now),
                Ok(Message::Data(_)) | Err(_) => (None, Err(DropReason::MalformedDatagram)),
            }
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

    fn stock_data(
        &mut self,
        path: Path,
        datagram: &mut [u8],
        now: Instant,
    ) -> (Option<PeerIndex>, Result<(), DropReason>) {
        let Some((header, body)) = datagram.split_first_chunk_mut::<DATA_HEADER>() else {
            return (None, Err(DropReason::MalformedDatagram));
        };
        let [4, 0, 0, 0, r0, r1, r2, r3, counter @ ..] = *header else {
            return (None, Err(DropReason::MalformedDatagram));
        };
        let (index, counter) = (u32::from_le_bytes([r0, r1, r2, r3]), u64::from_le_bytes(counter));
        let Some(at) = self.indices.owner(index) else { return (None, Err(DropReason::NoSession)) };
        (Some(at), self.stock_body(at, path, (index, counter), body, now))
    }

    fn stock_body(
        &mut self,
        at: PeerIndex,
        path: Path,
        (index, counter): (u32, u64),
        body: &mut [u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let Self { peers, aead, .. } = self;
        let Keying::Wireguard(wireguard) = &mut peers[at].keying else { return Err(DropReason::NoSession) };
        let opening = wireguard.tunnel.opening(index, now).ok_or(DropReason::NoSession)?;
        if !opening.allows(counter) {
            return Err(DropReason::Replayed);
        }
        let (plaintext, tag) = body.split_last_chunk_mut::<TAG_LEN>().ok_or(DropReason::MalformedDatagram)?;
        aead.open(opening.key, counter, &[], plaintext, tag).map_err(|_| DropReason::Unauthentic)?;
        self.note_opened(at, path, (index, counter), plaintext, now)?;
        self.opened(at, path, plaintext, now)
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
        let peer = &mut self.peers[at];
        let Keying::Wireguard(wireguard) = &mut peer.keying else { return Err(DropReason::NoSession) };
        let opened = wireguard.tunnel.opened(index, counter, content_of(plaintext), now);
        let opened = opened.map_err(|error| match error {
            NotOpened::NoSession => DropReason::NoSession,
            NotOpened::Replayed => DropReason::Replayed,
        })?;
        let proof = match opened {
            opened if opened.confirmed && wireguard.answered_to == Some(path) => Heard::Answer,
            _ if Control::is_probe(plaintext) => Heard::Question,
            opened if opened.newest && content_of(plaintext) == Content::Data => Heard::Packet,
            opened if opened.newest => Heard::Newest,
            _ => Heard::Late,
        };
        peer.last_seen = Some(now);
        // What came out of the tunnel itself says nothing of a way to the peer.
        let inside = path.1.as_udp().is_some_and(|address| self.leads_inside(address.ip()));
        if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying
            && !inside
        {
            wireguard.paths.heard(path.0, path.1, proof, now);
            if !wireguard.doubtful.is_empty() && !wireguard.paths.is_silent(now) {
                wireguard.doubtful.take();
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
                    wireguard.answered_to = Some(path);
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
            let proof = if wireguard.asked_at == Some(path) { Heard::Answer } else { Heard::Newest };
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
        let taken = wireguard.cookies.take(reply, now);
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

/// How it counts that the gate did not let something pass.
pub(super) const fn refused_by_gate(refused: Refused) -> DropReason {
    match refused {
        Refused::Malformed => DropReason::MalformedDatagram,
        Refused::WrongMac => DropReason::BadHandshake,
        _ => DropReason::HandshakeFlood,
    }
}
