//! Sending: what becomes of a packet from the host or from the radio's own modules.
//!
//! Refusals come in the firmware's order (duty cycle, keys and length, transmitter, queue), each with its own answer to
//! the host. What is not answered is sent again.

use std::sync::Arc;

use meshnet_proto::meshtastic::message::mesh_packet::Payload;
use meshnet_proto::meshtastic::message::{
    ClientNotification, Data, MeshPacket, Routing, port, priority, routing, routing_error as error,
};
use prost::Message;

use super::frame::{BROADCAST, Body, Cipher, Frame, Kind};
use super::queue::Queued;
use super::retry::{NEXT_HOP_SENDS, RELIABLE_SENDS};
use super::{Radio, Turn};
use crate::chance::Chance;

/// `QueueStatus::res` where the queue is full.
pub(crate) const QUEUE_FULL: i32 = 32;
/// `QueueStatus::res` where the transmitter is off: by configuration, or for want of a region.
pub(crate) const TX_DISABLED: i32 = 34;

const PRIORITY_HIGH: i32 = 100;
const PRIORITY_RESPONSE: i32 = 80;
/// `ClientNotification::level` of a warning.
const WARNING: i32 = 30;

/// A packet that this radio is to send as its own.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) to: u32,
    pub(crate) id: u32,
    /// The channel's index.
    pub(crate) channel: u32,
    pub(crate) hop_limit: u8,
    pub(crate) want_ack: bool,
    /// 0 lets the radio choose.
    pub(crate) priority: i32,
    /// The host insists on radio-to-radio encryption, and maybe with this key.
    pub(crate) pki: bool,
    pub(crate) public_key: Vec<u8>,
    pub(crate) data: Data,
    pub(crate) kind: Kind,
}

impl Outgoing {
    /// A packet that the radio itself has something to say in.
    pub(crate) fn of_radio(to: u32, hop_limit: u8, data: Data, kind: Kind, chance: &mut Chance) -> Self {
        Self {
            to,
            id: chance.packet_id(),
            channel: 0,
            hop_limit,
            want_ack: false,
            priority: 0,
            pki: false,
            public_key: Vec::new(),
            data,
            kind,
        }
    }
}

impl Radio {
    /// Sends a packet of this radio; returns what a `QueueStatus` says of it.
    pub(crate) fn originate(&mut self, mut packet: Outgoing, turn: &mut Turn<'_>) -> i32 {
        if packet.want_ack && packet.hop_limit == 0 {
            packet.hop_limit = self.config.hop_limit;
        }
        if let Err(refusal) = self.check_duty_cycle(turn) {
            self.tell_routing(packet.id, refusal, turn);
            return refusal;
        }
        let body = match self.encode(&packet) {
            Ok(body) => body,
            Err(refusal) => {
                self.tell_routing(packet.id, refusal, turn);
                return refusal;
            }
        };
        let unicast = packet.to != BROADCAST;
        let frame = Frame {
            from: self.config.num,
            to: packet.to,
            id: packet.id,
            hop_limit: packet.hop_limit,
            hop_start: packet.hop_limit,
            want_ack: packet.want_ack && unicast,
            next_hop: if unicast { self.nodes.next_hop(packet.to) } else { 0 },
            relay_node: self.short(),
            body,
        };
        let priority = effective_priority(&packet);
        let airtime = frame.airtime(&self.modem);
        self.retries.extend(airtime, Some((frame.from, frame.id)));
        let sends = match packet.want_ack {
            true => RELIABLE_SENDS,
            false if frame.next_hop != 0 && frame.hop_limit > 0 => NEXT_HOP_SENDS,
            false => 1,
        };
        if sends > 1 {
            let at = turn.now + self.retransmission_delay(airtime, turn.now);
            self.retries.start(frame.clone(), priority, sends, at);
        }
        self.history.note(&frame, self.short(), turn.now);
        self.enqueue(Queued { frame, priority, kind: packet.kind, heard: None }, turn)
    }

    /// Over the region's share of the hour nothing goes out, and the host is told.
    pub(super) fn check_duty_cycle(&mut self, turn: &mut Turn<'_>) -> Result<(), i32> {
        let duty = f64::from(self.region.duty_permille) / 10.0;
        if self.config.override_duty_cycle || duty >= 100.0 || self.airlog.tx_percent(turn.now) <= duty {
            return Ok(());
        }
        let minutes = self.airlog.silent_minutes(duty, turn.now);
        self.phone.push_notification(ClientNotification {
            reply_id: None,
            time: turn.unix,
            level: WARNING,
            message: format!("Duty cycle limit exceeded. You can send again in {minutes} mins"),
        });
        Err(error::DUTY_CYCLE_LIMIT)
    }

    /// Encrypts for one radio where that is possible, else for the channel.
    fn encode(&self, packet: &Outgoing) -> Result<Arc<Body>, i32> {
        let data = Data { bitfield: Some(u32::from(packet.data.want_response) << 1), ..packet.data.clone() };
        let index = usize::try_from(packet.channel).unwrap_or(usize::MAX);
        let channel = self.config.channels.get(index);
        let signed = packet.to == BROADCAST && !self.config.licensed;
        let cipher = if self.uses_pki(packet) {
            // The length is checked before the keys are looked up.
            let unknown = Cipher::Pki { sender: self.key, receiver: [0; 32] };
            Body::seal(data.clone(), unknown, false).map_err(|_| error::TOO_LARGE)?;
            let receiver = self.nodes.key(packet.to).ok_or(error::PKI_SEND_FAIL_PUBLIC_KEY)?;
            let insisted = packet.pki && packet.public_key.iter().any(|byte| *byte != 0);
            if insisted && packet.public_key != receiver {
                return Err(error::PKI_FAILED);
            }
            Cipher::Pki { sender: self.key, receiver }
        } else if packet.pki {
            return Err(error::PKI_FAILED);
        } else {
            let channel = channel.ok_or(error::NO_CHANNEL)?;
            Cipher::Channel { name: channel.name.clone(), psk: channel.psk.clone() }
        };
        Body::seal(data, cipher, signed).map_err(|_| error::TOO_LARGE)
    }

    fn uses_pki(&self, packet: &Outgoing) -> bool {
        let index = usize::try_from(packet.channel).unwrap_or(usize::MAX);
        let plain_channel = self.config.channels.get(index).is_some_and(|channel| {
            channel.name.eq_ignore_ascii_case("serial") || channel.name.eq_ignore_ascii_case("gpio")
        });
        let plain_port = matches!(
            packet.data.portnum,
            port::TRACEROUTE | port::NODE_INFO | port::ROUTING | port::POSITION
        );
        packet.to != BROADCAST && !self.config.licensed && !plain_port && (packet.pki || !plain_channel)
    }

    /// Hands a frame to the radio interface.
    pub(super) fn enqueue(&mut self, queued: Queued, turn: &mut Turn<'_>) -> i32 {
        if self.config.region == meshnet_proto::meshtastic::airtime::Region::UNSET || !self.config.tx_enabled
        {
            return TX_DISABLED;
        }
        if !self.queue.push(queued) {
            return QUEUE_FULL;
        }
        self.set_transmit_delay(turn);
        error::NONE
    }

    /// Tells the host what became of its packet, as a routing message from the radio itself.
    pub(crate) fn tell_routing(&mut self, request_id: u32, reason: i32, turn: &mut Turn<'_>) {
        let num = self.config.num;
        let packet = MeshPacket {
            from: num,
            to: num,
            id: turn.chance.packet_id(),
            rx_time: turn.unix,
            priority: priority::ACK,
            payload: Some(Payload::Decoded(routing_data(request_id, reason))),
            ..MeshPacket::default()
        };
        self.phone.push_packet(packet);
    }

    /// Repeats, or gives up, the packets that nobody was heard to have.
    pub(crate) fn retransmit_due(&mut self, turn: &mut Turn<'_>) {
        while let Some(mut retry) = self.retries.take_due(turn.now) {
            let ours = retry.frame.from == self.config.num;
            if retry.left == 0 {
                if ours {
                    self.tell_routing(retry.frame.id, error::MAX_RETRANSMIT, turn);
                }
                continue;
            }
            if let Err(refusal) = self.check_duty_cycle(turn) {
                if ours {
                    self.tell_routing(retry.frame.id, refusal, turn);
                }
                continue;
            }
            if retry.left == 1 {
                // The last one floods, and what was learned of the way is forgotten.
                retry.frame.next_hop = 0;
                self.nodes.set_next_hop(retry.frame.to, 0);
            }
            let airtime = retry.frame.airtime(&self.modem);
            let queued = Queued {
                frame: retry.frame.clone(),
                priority: retry.priority,
                kind: Kind::Retransmit,
                heard: None,
            };
            self.history.note(&retry.frame, self.short(), turn.now);
            self.enqueue(queued, turn);
            retry.left -= 1;
            retry.at = turn.now + self.retransmission_delay(airtime, turn.now);
            self.retries.put_back(retry);
        }
    }
}

pub(crate) fn routing_data(request_id: u32, reason: i32) -> Data {
    let routing = Routing { variant: Some(routing::Variant::ErrorReason(reason)) };
    Data { portnum: port::ROUTING, payload: routing.encode_to_vec(), request_id, ..Data::default() }
}

fn effective_priority(packet: &Outgoing) -> i32 {
    match packet.data.portnum {
        _ if packet.priority != 0 => packet.priority,
        port::ROUTING => priority::ACK,
        port::TEXT_MESSAGE => PRIORITY_HIGH,
        port::ADMIN => priority::RELIABLE,
        _ if packet.data.request_id != 0 => PRIORITY_RESPONSE,
        _ if packet.want_ack => priority::RELIABLE,
        _ => priority::DEFAULT,
    }
}
