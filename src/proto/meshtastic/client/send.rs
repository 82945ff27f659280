//! From the core to the radio: datagrams, refusals, and what the client itself sends to come by a key.

use std::time::{Duration, Instant};

use prost::Message as _;

use crate::link::{Class, LinkAddr, LinkEvent, Refusal, Transmit};
use crate::meshtastic::BROADCAST;
use crate::meshtastic::airtime::{MAX_ON_AIR, on_air_len};
use crate::meshtastic::message::{
    AdminMessage, Data, Heartbeat, MeshPacket, SharedContact, User, admin_message, mesh_packet, port,
    priority, to_radio,
};

use super::device::MAX_HOPS;
use super::notice::{Cure, Notice};
use super::radios::{Introduction, Remedy};
use super::{Client, Output, Phase};

/// Datagrams kept that came while the last word on the room was under way; the core keeps to its word otherwise.
const OVERFLOW: usize = 8;
/// The firmware introduces itself at most this often on demand.
const INTRODUCE: Duration = Duration::from_secs(60);
/// The longest names that a device takes, in bytes.
const LONG_NAME: usize = 39;
const SHORT_NAME: usize = 4;

impl Client {
    /// Takes a datagram from the core.
    pub fn handle_transmit(&mut self, transmit: Transmit, now: Instant) {
        self.told_room = self.told_room.saturating_sub(1);
        if let Err(reason) = self.check(&transmit) {
            self.refuse(transmit.token, reason);
        } else if self.overflow.len() < OVERFLOW {
            self.overflow.push_back(transmit);
        } else {
            self.refuse(transmit.token, Refusal::QueueFull);
        }
        self.flush(now);
    }

    fn check(&self, transmit: &Transmit) -> Result<u32, Refusal> {
        if self.phase != Phase::Up {
            return Err(Refusal::Disabled);
        }
        let node = transmit.to.as_radio().filter(|node| *node != BROADCAST && *node != 0);
        let node = node.filter(|node| Some(*node) != self.device.node).ok_or(Refusal::Unreachable)?;
        if transmit.payload.len() > self.device.mtu(self.config.port, self.config.channel_index) {
            return Err(Refusal::TooLarge);
        }
        if self.flow.stopped_until().is_some() {
            return Err(Refusal::DutyCycle);
        }
        Ok(node)
    }

    /// Hands over what waits, as far as there is room, and tells the core how much room is left.
    pub(super) fn flush(&mut self, now: Instant) {
        while self.flow.room() > 0
            && let Some(transmit) = self.overflow.pop_front()
        {
            match self.check(&transmit) {
                Ok(node) => self.send(node, transmit, now),
                Err(reason) => self.refuse(transmit.token, reason),
            }
        }
        let room = self.flow.room().saturating_sub(self.overflow.len());
        if self.phase == Phase::Up && room != self.told_room {
            self.told_room = room;
            let room = u16::try_from(room).unwrap_or(u16::MAX);
            self.outputs.push_back(Output::Link(LinkEvent::Room(room)));
        }
    }

    fn send(&mut self, node: u32, transmit: Transmit, now: Instant) {
        self.counters.sent += 1;
        self.radios.handle_sent(node);
        self.keepalive.handle_traffic(now);
        let hop_limit = self.hop_limit(node, transmit.far, now);
        let priority = match transmit.class {
            Class::Handshake => priority::RELIABLE,
            Class::Control | Class::Interactive | Class::Bulk => priority::DEFAULT,
        };
        let data = Data { portnum: self.config.port, payload: transmit.payload, ..Data::default() };
        let pki = self.device.encrypts(self.config.channel_index);
        self.send_data(node, data, hop_limit, priority, pki, Some(transmit.token), now);
    }

    fn hop_limit(&self, node: u32, far: bool, now: Instant) -> u8 {
        let radio = self.device.hop_limit();
        if let Some(fixed) = self.config.hop_limit {
            return fixed.min(MAX_HOPS);
        }
        if far { radio } else { self.radios.distance(node, now).unwrap_or(radio) }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one packet")]
    fn send_data(
        &mut self,
        to: u32,
        data: Data,
        hop_limit: u8,
        priority: i32,
        pki: bool,
        token: Option<u64>,
        now: Instant,
    ) {
        let sent = self.sent.add(to, token, data.payload.len(), &mut self.rng);
        if Some(to) != self.device.node {
            let bytes = on_air_len(data.payload.len(), data.portnum, pki).min(MAX_ON_AIR);
            self.flow.handle_packet(sent.id, self.device.modem().airtime(bytes), now);
        }
        let packet = MeshPacket {
            to,
            channel: self.config.channel_index.into(),
            payload: Some(mesh_packet::Payload::Decoded(data)),
            id: sent.id,
            hop_limit: hop_limit.into(),
            want_ack: false,
            priority,
            ..MeshPacket::default()
        };
        self.write(to_radio::Variant::Packet(packet), false, now);
    }

    pub(super) fn refuse(&mut self, token: u64, reason: Refusal) {
        self.counters.refused += 1;
        self.outputs.push_back(Output::Link(LinkEvent::Refused { token, reason }));
    }

    /// Does something about a missing key.
    pub(super) fn cure(&mut self, node: u32, remedy: Remedy, now: Instant) {
        let peer = LinkAddr::radio(node);
        match remedy {
            Remedy::HandOver { key, replaces } => {
                let cure = if replaces { Cure::Replaced } else { Cure::Configured };
                self.tell(Notice::KeyMissing { peer, cure });
                self.hand_over(node, key, now);
                // The radio reads its stream in order: whatever follows is encrypted with this key.
                self.outputs.push_back(Output::Link(LinkEvent::KeyKnown(peer)));
            }
            Remedy::Ask => {
                self.tell(Notice::KeyMissing { peer, cure: Cure::Asked });
                self.introduce(Introduction::AskPeer(node), now);
            }
        }
    }

    /// Puts a peer's key into our own radio's table.
    fn hand_over(&mut self, node: u32, key: [u8; 32], now: Instant) {
        let Some(own) = self.device.node else { return };
        let hex = format!("{node:08x}");
        let long_name =
            self.radios.long_name(node).map_or_else(|| format!("Meshtastic {}", &hex[4..]), str::to_owned);
        let user = User {
            id: format!("!{hex}"),
            long_name: shorten(&long_name, LONG_NAME),
            short_name: hex[4..].to_owned(),
            public_key: key.to_vec(),
            ..User::default()
        };
        let contact = SharedContact { node_num: node, user: Some(user) };
        let order = AdminMessage { variant: Some(admin_message::Variant::AddContact(contact)) };
        let data = Data { portnum: port::ADMIN, payload: order.encode_to_vec(), ..Data::default() };
        self.send_data(own, data, 0, priority::RELIABLE, false, None, now);
    }

    /// Says who our radio is, and asks the others if need be.
    pub(super) fn introduce(&mut self, introduction: Introduction, now: Instant) {
        match introduction {
            Introduction::AskPeer(node) => self.send_user(node, true, now),
            Introduction::Answer(node) => self.send_user(node, false, now),
            Introduction::AskEverybody => {
                if self.introduced.is_none_or(|at| at + INTRODUCE <= now) {
                    self.introduced = Some(now);
                    self.write(to_radio::Variant::Heartbeat(Heartbeat { nonce: 1 }), false, now);
                }
            }
        }
    }

    /// Sends our radio's user, its key included, to a peer's radio.
    fn send_user(&mut self, node: u32, want_response: bool, now: Instant) {
        let Some(user) = self.device.user.as_ref() else { return };
        let user = User {
            id: shorten(&user.id, 16),
            long_name: shorten(&user.long_name, LONG_NAME),
            short_name: shorten(&user.short_name, SHORT_NAME),
            macaddr: user.macaddr.iter().copied().take(6).collect(),
            public_key: user.public_key.iter().copied().take(32).collect(),
            ..user.clone()
        };
        let data = Data {
            portnum: port::NODE_INFO,
            payload: user.encode_to_vec(),
            want_response,
            ..Data::default()
        };
        let hop_limit = self.hop_limit(node, true, now);
        self.send_data(node, data, hop_limit, priority::DEFAULT, false, None, now);
    }
}

/// Returns the start of a text, at most `len` bytes.
fn shorten(text: &str, len: usize) -> String {
    let end = (0..=len.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].to_owned()
}
