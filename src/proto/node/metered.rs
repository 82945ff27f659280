//! Onto and from links where air is metered: the same session, written tersely (`docs/terse.md`).
//!
//! Here datagrams are made and taken; `sessions` has what a session keeps for that, `parts` what is done about packets that go
//! in parts, `loss` how many of these are lost, `length` how long a packet may be.

mod length;
mod loss;
mod parts;
mod sessions;

use std::time::Instant;

use super::Node;
use super::controls::content_of;
use super::copies::copy_of;
use super::links::Ready;
use super::peer::Keying;
use super::stock::{Path, refused_by_gate};
use super::wireguard::packet_of;
use crate::aead::TAG_LEN;
use crate::control::Control;
use crate::event::DropReason;
use crate::link::{Class, LinkAddr, LinkId};
use crate::path::{Heard, Sent};
use crate::queue::{Entry, PeerIndex};
use crate::terse::fragment::{Cut, split};
use crate::terse::frame::{
    ADDITIONAL_DATA, DATA_HEADER, Data, Datagram, counter_low, expand_counter, tag_of,
};
use crate::terse::handshake::{INIT_LEN, RESPONSE_LEN, expand_init, strip_init, strip_response};
use crate::terse::header::Context;
use crate::terse::parity::{Prices, pays};
use crate::wg::message::{INIT_NOISE, RESPONSE_NOISE};
use crate::wg::noise::identify;
use crate::wg::tunnel::{Content, Framing, Tunnel};

use parts::{askable, order_time, patience};
pub(super) use parts::{repair_time, tempo};
pub(super) use sessions::Sessions;

/// A sealed question for parts: first byte, counter, message, tag.
const QUESTION_LEN: usize = 3 + 5 + TAG_LEN;

impl Node {
    /// Seals a frame whose turn it is, tersely, and makes its datagrams ready.
    pub(super) fn seal_terse(
        &mut self,
        link: LinkId,
        at: PeerIndex,
        to: LinkAddr,
        entry: &Entry,
        now: Instant,
    ) {
        if entry.original.is_some_and(|original| !self.may_copy(at, original, now)) {
            return self.account.count(at, DropReason::NoSession);
        }
        let ping = self.own_ping(at, &entry.frame);
        let packet = packet_of(&entry.frame);
        let Some(state) = self.links.get(&link) else { return };
        let (mtu, lifetime) = (state.mtu(), patience(state).lifetime);
        let prices = Prices {
            part: state.datagram_price(mtu) + state.access(),
            ask: state.datagram_price(QUESTION_LEN) + state.access(),
        };
        let Self { peers, aead, account, .. } = self;
        let Keying::Wireguard(wireguard) = &mut peers[at].keying else { return };
        let Some(mut sealing) = wireguard.tunnel.sealing(Content::Data, now) else {
            return account.count(at, DropReason::NoSession);
        };
        let loss = wireguard.sessions.losses.of((link, to), now);
        let session = wireguard.sessions.get(sealing.index);
        let Some(counter) = sealing.counter() else { return account.count(at, DropReason::NoSession) };
        let room = mtu.saturating_sub(DATA_HEADER + TAG_LEN);
        let mut sealed = match entry.original {
            Some(original) => copy_of(packet, original, &session.context),
            None => {
                let mut out = Vec::with_capacity(packet.len() + TAG_LEN + 4);
                session.flows.compress(packet, &session.context, counter, room, &mut out);
                out
            }
        };
        let tag = aead.seal(sealing.key, counter, ADDITIONAL_DATA, &mut sealed);
        sealed.extend_from_slice(&tag);
        let name = tag_of(sealing.receiver);
        let cut = Cut::of(sealed.len(), mtu);
        let parity = cut.is_some_and(|cut| pays(cut.count(), loss, &prices));
        let Some(datagrams) = split(name, counter, &sealed, mtu, parity) else {
            return account.count(at, DropReason::TooBig);
        };
        if let Some(cut) = cut {
            session.keep(counter, entry.segment(), (sealed, name), cut, lifetime, now);
        }
        wireguard.sessions.sealed = true;
        if entry.class != Class::Control && entry.original.is_none() {
            let sent = &mut self.peers[at].sent;
            sent.packets += 1;
            sent.bytes += u64::try_from(packet.len()).unwrap_or(0);
        }
        let (class, expires) = (entry.class, entry.expires);
        let ready = |payload| Ready { peer: at, to, payload, class, far: false, expires, ping };
        if let Some(state) = self.links.get_mut(&link) {
            state.push_sealed(datagrams.into_iter().map(ready).collect());
        }
    }

    /// Seals a plaintext of ours, tersely, and makes it ready.
    pub(super) fn send_metered(
        &mut self,
        at: PeerIndex,
        path: Path,
        plaintext: &[u8],
        content: Content,
        class: Class,
        now: Instant,
    ) {
        let Self { peers, aead, .. } = self;
        let Keying::Wireguard(wireguard) = &mut peers[at].keying else { return };
        let Some(mut sealing) = wireguard.tunnel.sealing(content, now) else { return };
        let Some(counter) = sealing.counter() else { return };
        let mut sealed = plaintext.to_vec();
        let tag = aead.seal(sealing.key, counter, ADDITIONAL_DATA, &mut sealed);
        sealed.extend_from_slice(&tag);
        let counter_low = counter_low(counter);
        let payload = Data { tag: tag_of(sealing.receiver), counter_low, sealed: &sealed }.emit();
        wireguard.sessions.sealed = true;
        self.push_complete(at, path, payload, class, false, now);
    }

    fn push_complete(
        &mut self,
        at: PeerIndex,
        (link, to): Path,
        payload: Vec<u8>,
        class: Class,
        far: bool,
        now: Instant,
    ) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let expires = now + state.useful_time();
        if !state.push_ready(Ready { peer: at, to, payload, class, far, expires, ping: None }) {
            self.account.count(at, DropReason::QueueOverflow);
        }
    }

    pub(super) fn send_terse_init(
        &mut self,
        at: PeerIndex,
        path: Path,
        sender: u32,
        noise: &[u8; INIT_NOISE],
        far: bool,
        now: Instant,
    ) {
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return };
        wireguard.init = Some(sender);
        let check = wireguard.compression.check(true, ephemeral(noise));
        // An older one that still waits would only be answered in vain.
        if let Some(state) = self.links.get_mut(&path.0) {
            state.forget_ready(|ready| ready.peer == at && ready.payload.len() == INIT_LEN);
        }
        self.push_complete(at, path, strip_init(noise, check).to_vec(), Class::Handshake, far, now);
    }

    /// A datagram for a WIREGUARD peer was handed to a metered link, or (`None`) given back by it.
    pub(super) fn note_terse_left(&mut self, link: LinkId, ready: &Ready, left: Option<Instant>) {
        let Some(state) = self.links.get(&link) else { return };
        let (airtime, until) =
            (state.datagram_price(ready.payload.len()), left.map(|at| at + askable(state)));
        let Keying::Wireguard(wireguard) = &mut self.peers[ready.peer].keying else { return };
        let is_init = ready.class == Class::Handshake && ready.payload.len() == INIT_LEN;
        if let Some(sender) = wireguard.init.filter(|_| is_init) {
            wireguard.tunnel.note_left(sender, left);
        }
        if let Ok(Datagram::Part(part)) = Datagram::parse(&ready.payload) {
            let (losses, path) = (&mut wireguard.sessions.losses, (link, ready.to));
            match left.zip(until) {
                Some((left, until)) => losses.left(path, &part, until, left),
                None => losses.given_back(path, &part),
            }
        }
        if let Some(left) = left {
            let what = match ready.class {
                Class::Handshake => Sent::Handshake,
                Class::Control => Sent::Control,
                Class::Interactive | Class::Bulk => Sent::Packet,
            };
            let bytes = ready.payload.len();
            wireguard.paths.sent(link, ready.to, what, bytes, airtime, left);
        }
    }

    /// Takes a datagram of a WIREGUARD peer's from a metered link.
    pub(super) fn handle_terse(
        &mut self,
        at: PeerIndex,
        path: Path,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        match Datagram::parse(bytes).map_err(|_| DropReason::MalformedDatagram)? {
            Datagram::Init { check, body } => self.terse_init(at, path, check, body, now),
            Datagram::Response { check, noise } => self.terse_response(at, path, check, noise, now),
            Datagram::Data(data) => self.terse_data(at, path, data.tag, data.counter_low, data.sealed, now),
            Datagram::Part(part) => self.terse_part(at, path, &part, now),
        }
    }

    fn terse_init(
        &mut self,
        at: PeerIndex,
        path: Path,
        check: u8,
        body: &[u8; INIT_LEN - 1],
        now: Instant,
    ) -> Result<(), DropReason> {
        self.gate.admit_terse(path.1, now).map_err(refused_by_gate)?;
        let theirs = self.peers[at].public_key;
        let hello = expand_init(body, &self.private_key, &theirs)
            .ok()
            .and_then(|noise| Some((identify(&self.identity, &noise, &mut self.rng).ok()?, noise)));
        let Some((hello, noise)) = hello else {
            return Err(self.refused_handshake(at, crate::wg::tunnel::HandshakeError::Rejected, now));
        };
        let answer =
            self.with_tunnel(at, now, |tunnel, context| tunnel.accept(hello, Framing::Terse, context));
        let answer = match answer {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => return Err(self.refused_handshake(at, error, now)),
            None => return Err(DropReason::BadHandshake),
        };
        self.note_stamps(at, now);
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return Ok(()) };
        wireguard.paths.set_kin(true, now);
        wireguard.paths.heard(path.0, path.1, Heard::Newest, now);
        wireguard.handshakes().answered_to = Some(path);
        let agreed = check == wireguard.compression.check(false, ephemeral(&noise));
        let known = if agreed { wireguard.compression } else { Context::default() };
        wireguard.sessions.get(answer.sender).context = known;
        let ours = wireguard.compression.response_check(agreed, ephemeral(&answer.noise));
        let response = strip_response(&answer.noise, ours).to_vec();
        self.push_complete(at, path, response, Class::Handshake, false, now);
        Ok(())
    }

    fn terse_response(
        &mut self,
        at: PeerIndex,
        path: Path,
        check: u8,
        noise: &[u8; RESPONSE_LEN - 1],
        now: Instant,
    ) -> Result<(), DropReason> {
        self.gate.admit_terse(path.1, now).map_err(refused_by_gate)?;
        let noise: &[u8; RESPONSE_NOISE] = noise;
        let handled = self
            .with_tunnel(at, now, |tunnel, context| tunnel.handle_response(Framing::Terse, noise, context));
        match handled {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(self.refused_handshake(at, error, now)),
            None => return Err(DropReason::BadHandshake),
        }
        self.note_answer(at, path, now);
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return Ok(()) };
        wireguard.paths.set_kin(true, now);
        // The session that a response makes is the current one.
        let index = wireguard.tunnel.openings(now).next().map(|opening| opening.index);
        if let Some(index) = index {
            let agreed = check == wireguard.compression.check(true, ephemeral(noise));
            let known = if agreed { wireguard.compression } else { Context::default() };
            wireguard.sessions.get(index).context = known;
        }
        Ok(())
    }

    fn terse_data(
        &mut self,
        at: PeerIndex,
        path: Path,
        tag: u8,
        counter_low: u16,
        sealed: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let (text, seal) = sealed.split_last_chunk::<TAG_LEN>().ok_or(DropReason::MalformedDatagram)?;
        let Self { peers, aead, .. } = self;
        let Keying::Wireguard(wireguard) = &mut peers[at].keying else { return Err(DropReason::NoSession) };
        let mut failure = DropReason::NoSession;
        let mut found = None;
        for opening in wireguard.tunnel.openings(now).filter(|opening| tag_of(opening.index) == tag) {
            let counter = expand_counter(counter_low, opening.greatest().unwrap_or(0));
            if !opening.allows(counter) {
                failure = DropReason::Replayed;
                continue;
            }
            let mut plaintext = text.to_vec();
            if aead.open(opening.key, counter, ADDITIONAL_DATA, &mut plaintext, seal).is_ok() {
                found = Some((opening.index, counter, plaintext));
                break;
            }
            failure = DropReason::Unauthentic;
        }
        let Some((index, counter, plaintext)) = found else {
            if failure != DropReason::Replayed {
                self.with_tunnel(at, now, Tunnel::unopened);
            }
            return Err(failure);
        };
        self.note_opened(at, path, (index, counter), &plaintext, now)?;
        match content_of(&plaintext) {
            Content::Empty => Ok(()),
            _ if Control::is_control(&plaintext) => self.control(at, path, (index, counter), &plaintext, now),
            Content::Control | Content::Data => {
                self.decompressed(at, path, (index, counter), &plaintext, now)
            }
        }
    }

    fn decompressed(
        &mut self,
        at: PeerIndex,
        path: Path,
        (index, counter): (u32, u64),
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return Ok(()) };
        let session = wireguard.sessions.get(index);
        let mut packet = Vec::with_capacity(bytes.len() + 64);
        session
            .flows
            .decompress(bytes, &session.context, counter, &mut packet)
            .map_err(|_| DropReason::MalformedInner)?;
        self.in_order(at, path, (index, counter), packet, now)
    }

    /// Hands on a packet, or lets it wait for one that was sealed before.
    pub(super) fn in_order(
        &mut self,
        at: PeerIndex,
        path: Path,
        (index, counter): (u32, u64),
        packet: Vec<u8>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let until = now + self.links.get(&path.0).map(order_time).unwrap_or_default();
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return Ok(()) };
        let session = wireguard.sessions.get(index);
        let awaited = session.awaits_before(counter);
        match session.order.push(packet, counter, awaited, until) {
            Some(packet) => self.inner(at, &packet, now),
            None => Ok(()),
        }
    }
}

/// The ephemeral key that starts a message of Noise.
fn ephemeral(noise: &[u8]) -> &[u8; 32] {
    noise.first_chunk().expect("every message of the handshake begins with an ephemeral key")
}
