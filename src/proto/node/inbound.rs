//! From a link: datagrams of strangers, until they authenticate.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use super::Node;
use super::device::is_link_chatter;
use super::peer::Keying;
use crate::event::{DropReason, Event};
use crate::frame::{Arp, Frame, Inner, Mac, Packet};
use crate::link::{AddrKind, LinkAddr, LinkId};
use crate::neighbour::{self, Discovery};
use crate::queue::PeerIndex;
use crate::v1::fragment::Piece;
use crate::v1::session::OpenError;
use crate::v1::wire::{Data, Datagram, Init, Response};

impl Node {
    /// Takes a datagram from a link.
    pub fn handle_datagram(&mut self, link: LinkId, from: LinkAddr, bytes: &[u8], now: Instant) {
        if self.removed_links.contains(&link) {
            return self.account.count_nobodys(DropReason::LinkDown);
        }
        if self.is_free(link) && from.kind() == AddrKind::Udp {
            return self.handle_datagrams(link, from, &mut bytes.to_vec(), bytes.len(), now);
        }
        let Some(&at) = self.by_endpoint.get(&from) else {
            return self.account.count_nobodys(DropReason::UnknownSender);
        };
        let price = self.links.get(&link).map(|state| state.datagram_price(bytes.len()));
        let received = &mut self.peers[at].received;
        received.datagrams += 1;
        received.airtime += price.unwrap_or_default();
        if let Keying::Wireguard(_) = self.peers[at].keying {
            if let Err(reason) = self.handle_terse(at, (link, from), bytes, now) {
                self.account.count(at, reason);
            }
            return self.settle(at, now);
        }
        let handled = match Datagram::parse(bytes) {
            Ok(Datagram::Init(init)) => self.init(at, (link, from), &init, now),
            Ok(Datagram::Response(response)) => self.response(at, (link, from), &response, now),
            Ok(Datagram::Data(data)) => self.data(at, (link, from), &data, now),
            Ok(Datagram::Fragment(fragment)) => {
                let before = self.reassembler.given_up();
                let piece = self.reassembler.push(from, &fragment, now);
                let gone = self.reassembler.given_up() - before;
                self.account.count_many(at, DropReason::BadFragment, gone);
                match piece {
                    Piece::Whole { counter, ciphertext } => {
                        self.data(at, (link, from), &Data { counter, ciphertext: &ciphertext }, now)
                    }
                    Piece::Kept => Ok(()),
                    Piece::Refused => Err(DropReason::BadFragment),
                }
            }
            Err(_) => Err(DropReason::MalformedDatagram),
        };
        if let Err(reason) = handled {
            self.account.count(at, reason);
        }
        self.settle(at, now);
    }

    fn init(
        &mut self,
        at: PeerIndex,
        path: (LinkId, LinkAddr),
        init: &Init,
        now: Instant,
    ) -> Result<(), DropReason> {
        let pace = self.pace(at);
        // A symmetric peer does not shake hands.
        let Keying::Pki(pki) = &mut self.peers[at].keying else { return Err(DropReason::BadHandshake) };
        let handled = pki.handle_init(init, pace, &mut self.handshakes, &mut self.rng, now);
        self.after_handshake(at, path, handled, now)
    }

    fn response(
        &mut self,
        at: PeerIndex,
        path: (LinkId, LinkAddr),
        response: &Response,
        now: Instant,
    ) -> Result<(), DropReason> {
        let Keying::Pki(pki) = &mut self.peers[at].keying else { return Err(DropReason::BadHandshake) };
        let handled = pki.handle_response(response, &mut self.handshakes, now);
        self.after_handshake(at, path, handled, now)
    }

    fn after_handshake(
        &mut self,
        at: PeerIndex,
        path: (LinkId, LinkAddr),
        handled: Result<(), DropReason>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let peer = &mut self.peers[at];
        match handled {
            // An init may be a recording, but it names no path that is not the peer's own; the answer must go there.
            Ok(()) => peer.heard_on = Some(path),
            Err(DropReason::BadHandshake) if peer.complaints.take(now) => {
                let peer = peer.public_key;
                self.push_event(Event::HandshakeRefused { peer });
            }
            Err(_) => {}
        }
        handled
    }

    fn data(
        &mut self,
        at: PeerIndex,
        path: (LinkId, LinkAddr),
        data: &Data<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let pace = self.pace(at);
        let peer = &mut self.peers[at];
        let opened = match &mut peer.keying {
            Keying::Pki(pki) => {
                let opened = pki.open(data, now);
                if matches!(opened, Err(DropReason::NoSession | DropReason::Unauthentic)) {
                    pki.note_unopened(pace, &mut self.rng, now);
                }
                opened
            }
            Keying::Symmetric(symmetric) => symmetric.open(data).map_err(|error| match error {
                OpenError::Replayed => DropReason::Replayed,
                OpenError::Unauthentic => DropReason::Unauthentic,
            }),
            Keying::Wireguard(_) => Err(DropReason::NoSession),
        };
        let frame = opened?;
        // A key for both directions opens what we sealed ourselves: such a frame bears our own address and shows nothing.
        if frame.get(6..12) == Some(&self.mac[..]) {
            return Err(DropReason::SpoofedSource);
        }
        peer.last_seen = Some(now);
        peer.heard_on = Some(path);
        if let Some(silence) = peer.silence() {
            silence.heard();
        }
        // A session announces itself; a key shared beforehand shows by its first packet that the peer is there.
        if matches!(peer.keying, Keying::Symmetric(_)) && !std::mem::replace(&mut peer.up, true) {
            let peer = peer.public_key;
            self.push_event(Event::PeerUp { peer });
        }
        self.deliver(at, frame, now)
    }

    /// Hands an authentic frame on, if the peer may say what it says.
    pub(super) fn deliver(&mut self, at: PeerIndex, frame: Vec<u8>, now: Instant) -> Result<(), DropReason> {
        if frame.is_empty() {
            return Ok(()); // The proof of a session, and nothing else.
        }
        let Ok(parsed) = Frame::parse(&frame) else { return Err(DropReason::MalformedInner) };
        match parsed.inner {
            Inner::Arp(arp) => {
                self.may_speak_as(at, arp.sender.into())?;
                self.learn_mac(at, arp.sender_mac, now);
                self.peer_arp(at, &arp, frame, now)
            }
            Inner::Ip(packet) => {
                if let Some(discovery) = Discovery::parse(&packet) {
                    return self.peer_discovery(at, &packet, discovery, parsed.source, now);
                }
                // A peer may be our route to everywhere; it is not our link's router.
                if is_link_chatter(&packet) {
                    return Err(DropReason::NotForUs);
                }
                self.may_speak_as(at, packet.source)?;
                self.learn_mac(at, parsed.source, now);
                let len = u64::try_from(packet.bytes.len()).unwrap_or(0);
                let many = packet.destination.is_multicast();
                if let Some(silence) = self.peers[at].silence() {
                    silence.ended();
                }
                let received = &mut self.peers[at].received;
                received.packets += 1;
                received.bytes += len;
                if !self.take_answer(at, &packet, now) {
                    self.push_inner(at, frame, many);
                }
                Ok(())
            }
            Inner::Other => Err(DropReason::NotForUs),
        }
    }

    pub(super) fn may_speak_as(&self, at: PeerIndex, source: IpAddr) -> Result<(), DropReason> {
        let owner = self.routes.find(source).map(|(_, owner)| owner);
        if owner == Some(at) { Ok(()) } else { Err(DropReason::SpoofedSource) }
    }

    /// Puts the MAC addresses in the frame that the kernel here knows: its own, and the one it was told for the peer.
    fn push_inner(&mut self, at: PeerIndex, mut frame: Vec<u8>, many: bool) {
        if !many {
            frame[..6].copy_from_slice(&self.mac);
        }
        frame[6..12].copy_from_slice(&neighbour::mac_of(&self.peers[at].public_key));
        self.push_device(frame);
    }

    /// A peer that is not one of us needs its own MAC address in the frames that it gets.
    pub(super) fn learn_mac(&mut self, at: PeerIndex, mac: Mac, now: Instant) {
        let peer = &mut self.peers[at];
        if peer.kin() != Some(true) && peer.learn_mac(mac) {
            // Forgetting the last change costs a question after a restart.
            self.store_due |= peer.may_write_mac(now);
            self.flush(at, now);
        }
    }

    /// A peer asks for one of our addresses, and is answered; for another host, which is the kernel's business; or answers.
    fn peer_arp(&mut self, at: PeerIndex, arp: &Arp, frame: Vec<u8>, now: Instant) -> Result<(), DropReason> {
        if !arp.is_request {
            return Ok(());
        }
        if self.is_ours(arp.target.into()) {
            let answer = neighbour::arp_answer(arp, arp.target, self.mac);
            self.send_control(at, answer, now);
            return Ok(());
        }
        if self.routes.find(arp.target.into()).is_some() {
            return Err(DropReason::NotForUs);
        }
        self.push_inner(at, frame, true);
        Ok(())
    }

    fn peer_discovery(
        &mut self,
        at: PeerIndex,
        packet: &Packet<'_>,
        discovery: Discovery,
        source: Mac,
        now: Instant,
    ) -> Result<(), DropReason> {
        match (discovery, packet.source) {
            (Discovery::Solicitation { target }, IpAddr::V6(asker)) if self.is_ours(target.into()) => {
                self.may_ask_as(at, asker)?;
                self.learn_mac(at, source, now);
                let answer = neighbour::discovery_answer(source, asker, target, self.mac);
                self.send_control(at, answer, now);
                Ok(())
            }
            (Discovery::Advertisement { target, mac }, _) => {
                self.may_speak_as(at, target.into())?;
                self.learn_mac(at, mac.unwrap_or(source), now);
                Ok(())
            }
            _ => Err(DropReason::NotForUs),
        }
    }

    /// Neighbour discovery may come from a link-local address, which is in nobody's AllowedIPs.
    fn may_ask_as(&self, at: PeerIndex, asker: Ipv6Addr) -> Result<(), DropReason> {
        if asker.is_unicast_link_local() { Ok(()) } else { self.may_speak_as(at, asker.into()) }
    }
}
