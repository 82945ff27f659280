//! Onto and from links where air is metered: the same session, written tersely (`docs/terse.md`).
//!
//! Each session of a peer keeps apart what belongs to it alone: whether both ends agreed on what they know of each other's
//! addresses, the packets that went in parts and may be asked for again, and the parts that came.

use std::time::{Duration, Instant};

use super::Node;
use super::controls::content_of;
use super::links::{LinkState, Ready};
use super::peer::Keying;
use super::stock::{Path, refused_by_gate};
use super::wireguard::packet_of;
use crate::aead::TAG_LEN;
use crate::control::Control;
use crate::event::DropReason;
use crate::frame::Packet;
use crate::link::{Class, LinkAddr, LinkId};
use crate::path::{Heard, PathState, Sent, Tier};
use crate::queue::{Entry, PeerIndex};
use crate::terse::fragment::{Cut, Part, split};
use crate::terse::frame::{ADDITIONAL_DATA, DATA_HEADER, Data, Datagram, expand_counter, tag_of};
use crate::terse::handshake::{INIT_LEN, RESPONSE_LEN, expand_init, strip_init, strip_response};
use crate::terse::header::{Context, Flows};
use crate::terse::keeper::Keeper;
use crate::terse::parity::{Prices, pays};
use crate::terse::reassembly::{Missing, Outcome, Patience, Reassembler};
use crate::wg::message::{INIT_NOISE, RESPONSE_NOISE};
use crate::wg::noise::identify;
use crate::wg::tunnel::{Content, Framing, Tunnel};

/// A packet longer than what takes so long to send keeps everything else from the air: its sender is told to make shorter
/// ones.
const LONGEST: Duration = Duration::from_secs(6);
/// What every host must be able to send (RFC 791), and what IPv6 demands of a link.
const LEAST_V4: usize = 576;
const LEAST_V6: usize = 1280;
/// What compression takes from the headers of a TCP segment, at the least, with timestamps.
const HEADERS_SAVED: usize = 28;
/// A sealed question for parts: first byte, counter, message, tag.
const QUESTION_LEN: usize = 3 + 5 + TAG_LEN;

/// What the sessions of a peer keep for metered links: three at most.
#[derive(Default)]
pub(super) struct Sessions {
    list: Vec<Session>,
    /// Something was sealed since the last session could be used: it is proven by that.
    pub(super) sealed: bool,
}

struct Session {
    /// Our index of it.
    index: u32,
    /// What both ends knew of each other's addresses when they shook hands; nothing if they did not agree.
    context: Context,
    flows: Flows,
    keeper: Option<Keeper>,
    reassembler: Option<Reassembler>,
}

impl Sessions {
    fn get(&mut self, index: u32) -> &mut Session {
        let at = self.list.iter().position(|session| session.index == index).unwrap_or_else(|| {
            self.list.push(Session {
                index,
                context: Context::default(),
                flows: Flows::new(),
                keeper: None,
                reassembler: None,
            });
            self.list.len() - 1
        });
        &mut self.list[at]
    }

    pub(super) fn forget(&mut self, index: u32) {
        self.list.retain(|session| session.index != index);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for session in &mut self.list {
            session.keeper.iter_mut().for_each(|keeper| keeper.handle_timeout(now));
            session.reassembler.iter_mut().for_each(|reassembler| reassembler.handle_timeout(now));
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let keepers = self.list.iter().filter_map(|session| session.keeper.as_ref()?.deadline());
        let parts = self.list.iter().filter_map(|session| session.reassembler.as_ref()?.deadline());
        keepers.chain(parts).min()
    }
}

/// How long to wait for parts on a link.
fn patience(state: &LinkState) -> Patience {
    let part = state.datagram_price(state.mtu()) + state.access();
    let silence = part * 2 + Duration::from_millis(500);
    Patience { silence, lifetime: silence * 12 }
}

/// For how long after a frame's turn selective repeat brings what is lost of it: until its parts have left, and two
/// questions were answered of which the first was lost. TCP takes a segment that comes after its successors for lost, and
/// sends it again whole; that copy is not worth its air before. Nothing for what one datagram carries.
pub(super) fn repair_time(state: &LinkState, frame: &[u8]) -> Duration {
    let sealed = packet_of(frame).len().saturating_sub(HEADERS_SAVED) + TAG_LEN;
    let Some(cut) = Cut::of(sealed, state.mtu()) else { return Duration::ZERO };
    let part = state.datagram_price(cut.datagram_len()) + state.access();
    part * u32::from(cut.count()) + patience(state).silence * 3
}

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
        let ping = self.own_ping(at, &entry.frame);
        let packet = packet_of(&entry.frame);
        let Some(state) = self.links.get(&link) else { return };
        let (mtu, lifetime) = (state.mtu(), patience(state).lifetime);
        let loss = self.peers[at].quality.loss().unwrap_or(0.0);
        let prices = Prices {
            part: state.datagram_price(mtu) + state.access(),
            ask: state.datagram_price(QUESTION_LEN) + state.access(),
        };
        let Self { peers, aead, account, .. } = self;
        let Keying::Wireguard(wireguard) = &mut peers[at].keying else { return };
        let Some(mut sealing) = wireguard.tunnel.sealing(Content::Data, now) else {
            return account.count(at, DropReason::NoSession);
        };
        let session = wireguard.sessions.get(sealing.index);
        let Some(counter) = sealing.counter() else { return account.count(at, DropReason::NoSession) };
        let mut sealed = Vec::with_capacity(packet.len() + TAG_LEN + 4);
        let room = mtu.saturating_sub(DATA_HEADER + TAG_LEN);
        session.flows.compress(packet, &session.context, counter, room, &mut sealed);
        let tag = aead.seal(sealing.key, counter, ADDITIONAL_DATA, &mut sealed);
        sealed.extend_from_slice(&tag);
        let name = tag_of(sealing.receiver);
        let cut = Cut::of(sealed.len(), mtu);
        let parity = cut.is_some_and(|cut| pays(cut.count(), loss.into(), &prices));
        let Some(datagrams) = split(name, counter, &sealed, mtu, parity) else {
            return account.count(at, DropReason::TooBig);
        };
        if let Some(cut) = cut {
            let keeper = session.keeper.get_or_insert_with(|| Keeper::new(name, lifetime));
            keeper.keep(counter, sealed, cut, now);
        }
        wireguard.sessions.sealed = true;
        if entry.class != Class::Control {
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
        let counter_low = crate::terse::frame::counter_low(counter);
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
        let airtime = self.links.get(&link).map(|state| state.datagram_price(ready.payload.len()));
        let Keying::Wireguard(wireguard) = &mut self.peers[ready.peer].keying else { return };
        let is_init = ready.class == Class::Handshake && ready.payload.len() == INIT_LEN;
        if let Some(sender) = wireguard.init.filter(|_| is_init) {
            wireguard.tunnel.note_left(sender, left);
        }
        if let Some(left) = left {
            let what = match ready.class {
                Class::Handshake => Sent::Handshake,
                Class::Control => Sent::Control,
                Class::Interactive | Class::Bulk => Sent::Packet,
            };
            let bytes = ready.payload.len();
            wireguard.paths.sent(link, ready.to, what, bytes, airtime.unwrap_or_default(), left);
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
        wireguard.answered_to = Some(path);
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
            Content::Control => self.control(at, path, &plaintext, now),
            Content::Data => self.decompressed(at, (index, counter), &plaintext, now),
        }
    }

    fn decompressed(
        &mut self,
        at: PeerIndex,
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
        self.inner(at, &packet, now)
    }

    fn terse_part(
        &mut self,
        at: PeerIndex,
        path: Path,
        part: &Part<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let patience = self.links.get(&path.0).map(patience).ok_or(DropReason::LinkDown)?;
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else {
            return Err(DropReason::NoSession);
        };
        let index = wireguard.tunnel.openings(now).map(|opening| opening.index);
        let Some(index) = index.filter(|index| tag_of(*index) == part.tag).min() else {
            self.with_tunnel(at, now, Tunnel::unopened);
            return Err(DropReason::NoSession);
        };
        let session = wireguard.sessions.get(index);
        let reassembler = session.reassembler.get_or_insert_with(|| Reassembler::new(patience));
        let before = reassembler.given_up();
        let outcome = reassembler.push(part, now);
        let given_up = reassembler.given_up() - before;
        self.account.count_many(at, DropReason::BadFragment, given_up);
        match outcome {
            Outcome::Kept => Ok(()),
            Outcome::Refused => Err(DropReason::BadFragment),
            Outcome::Whole { counter_low, sealed } => {
                self.terse_data(at, path, part.tag, counter_low, &sealed, now)?;
                if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying
                    && let Some(reassembler) = &mut wireguard.sessions.get(index).reassembler
                {
                    reassembler.accepted(counter_low, now);
                }
                Ok(())
            }
        }
    }

    /// Sends the parts that a peer asked for.
    pub(super) fn repeat_parts(&mut self, at: PeerIndex, path: Path, missing: Missing, now: Instant) {
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return };
        let keepers = wireguard.sessions.list.iter_mut().filter_map(|session| session.keeper.as_mut());
        let parts: Vec<_> = keepers.flat_map(|keeper| keeper.answer(missing, now)).collect();
        // Asked by whichever way, parts fit a metered link alone.
        let Some(path) = self.metered_way(at, path) else { return };
        let Some(state) = self.links.get_mut(&path.0) else { return };
        let (to, expires) = (path.1, now + state.useful_time());
        let ready = |payload| Ready {
            peer: at,
            to,
            payload,
            class: Class::Interactive,
            far: false,
            expires,
            ping: None,
        };
        state.push_sealed(parts.into_iter().map(ready).collect());
    }

    /// The given way to a peer if it is metered, else one that is and may be used.
    fn metered_way(&self, at: PeerIndex, path: Path) -> Option<Path> {
        if !self.is_free(path.0) {
            return Some(path);
        }
        let Keying::Wireguard(wireguard) = &self.peers[at].keying else { return None };
        let usable = |view: &crate::path::PathView| {
            matches!(view.state, PathState::Untried | PathState::Proven) && view.tier == Tier::Radio
        };
        wireguard.paths.views().find(usable).map(|view| (view.link, view.to))
    }

    /// Asks a peer for parts that are missing, if it is time.
    pub(super) fn ask_for_missing(&mut self, at: PeerIndex, now: Instant) {
        loop {
            let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return };
            let reassemblers =
                wireguard.sessions.list.iter_mut().filter_map(|session| session.reassembler.as_mut());
            let Some(missing) = reassemblers.filter_map(|parts| parts.poll_missing(now)).next() else {
                return;
            };
            // Parts come by radio: the question goes where they come from, if that is where things go.
            let Some(path) = self.path(at) else { return };
            let Missing { counter_low, bitmap } = missing;
            let question = Control::Missing { counter_low, bitmap }.emit();
            self.send_inside(at, path, &question, Content::Control, now);
        }
    }

    /// Returns how long the packet of a frame may be on a metered link, if it is longer and its sender can be told so.
    pub(super) fn metered_mtu(&self, link: LinkId, frame: &[u8]) -> Option<u16> {
        let packet = Packet::parse(packet_of(frame)).ok()?;
        let v4 = packet.source.is_ipv4();
        // What may be fragmented on the way is not answered; it goes as it is.
        if v4 && packet.bytes.get(6).is_none_or(|flags| flags & 0x40 == 0) {
            return None;
        }
        let most = self.longest_packet(link, v4)?;
        (packet.bytes.len() > most).then(|| u16::try_from(most).unwrap_or(u16::MAX))
    }

    /// Returns how long packets over a metered link may be: so that none takes it for longer than a few seconds, but what
    /// every link must carry.
    pub(super) fn longest_packet(&self, link: LinkId, v4: bool) -> Option<usize> {
        let state = self.links.get(&link)?;
        let part = state.datagram_price(state.mtu()) + state.access();
        let parts = usize::try_from(LONGEST.as_micros() / part.as_micros().max(1)).ok()?.clamp(1, 16);
        let least = if v4 { LEAST_V4 } else { LEAST_V6 };
        Some((parts * state.mtu().saturating_sub(4)).max(least).min(self.mtu))
    }

    /// Returns how long IPv4 packets may be on the present path to a peer, if it is a metered one; for routes.
    #[must_use]
    pub fn metered_path_mtu(&self, key: &crate::key::PublicKey) -> Option<u16> {
        let (link, _) = self.path(self.peers.find(key)?)?;
        let metered = !self.is_free(link);
        self.longest_packet(link, true).filter(|_| metered).and_then(|mtu| u16::try_from(mtu).ok())
    }
}

/// The ephemeral key that starts a message of Noise.
fn ephemeral(noise: &[u8]) -> &[u8; 32] {
    noise.first_chunk().expect("every message of the handshake begins with an ephemeral key")
}
