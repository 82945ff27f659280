//! The router: what becomes of a packet from the host, from the radio's own modules, or from the air.
//!
//! Sending: refusals in the firmware's order (duty cycle, keys and length, transmitter, queue), each with its answer to
//! the host. Receiving: once per packet; acknowledge, learn the next hop, relay, hand to the modules and the host.

use std::sync::Arc;
use std::time::Duration;

use meshnet_proto::meshtastic::message::mesh_packet::Payload;
use meshnet_proto::meshtastic::message::{
    ClientNotification, Data, MeshPacket, Routing, port, priority, routing, routing_error as error,
};
use prost::Message;

use super::frame::{BROADCAST, Body, Cipher, Frame, Kind};
use super::queue::Queued;
use super::retry::{NEXT_HOP_SENDS, RELIABLE_SENDS};
use super::{Radio, Turn};
use crate::config::Role;

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
    fn check_duty_cycle(&mut self, turn: &mut Turn<'_>) -> Result<(), i32> {
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
    fn enqueue(&mut self, queued: Queued, turn: &mut Turn<'_>) -> i32 {
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

    /// Takes a frame from the air.
    pub(crate) fn handle_frame(&mut self, frame: &Frame, snr: f32, turn: &mut Turn<'_>) {
        if frame.from == self.config.num && self.retries.stop(frame.from, frame.id) {
            // Somebody relays it: an implicit acknowledgement.
            self.tell_routing(frame.id, error::NONE, turn);
        }
        self.log(turn.now, format_args!("received !{:08x} {:08x}, snr {snr}", frame.from, frame.id));
        self.retries.extend(frame.airtime(&self.modem), None);
        let to_us = frame.to == self.config.num;
        let channel = self.readable_on(frame);
        if to_us && channel.is_none() {
            // Not for anyone's eyes but ours, and not for ours either: dropped without a word, repeated or not.
            return;
        }
        if let Some(dupe) = self.history.note(frame, self.short(), turn.now) {
            self.handle_dupe(frame, snr, dupe, turn);
            return;
        }
        if frame.from == self.config.num {
            return;
        }
        let Some(channel) = channel else {
            self.relay(frame, snr, turn);
            return;
        };
        self.note_sender(frame, snr, turn.unix);
        if to_us {
            self.acknowledge(frame, channel, turn);
        }
        self.learn_from_answer(frame);
        self.relay(frame, snr, turn);
        if to_us || frame.is_broadcast() {
            self.deliver(frame, channel, snr, turn);
        }
    }

    fn handle_dupe(&mut self, frame: &Frame, snr: f32, dupe: super::history::Dupe, turn: &mut Turn<'_>) {
        if frame.from != self.config.num {
            self.retries.stop(frame.from, frame.id);
        }
        let waiting = self.queue.contains(frame.from, frame.id);
        if dupe.fell_back || (frame.is_direct() && frame.hop_start > 0) {
            // Its sender repeats it: our acknowledgement, or our relayed copy, was lost.
            if !waiting && !self.relay(frame, snr, turn) && frame.to == self.config.num && frame.want_ack {
                self.send_ack(frame, 0, 0, turn);
            }
        } else if !dupe.we_were_next_hop && self.config.role != Role::Router {
            // Another was first.
            self.queue.cancel(frame.from, frame.id);
        }
    }

    /// Returns the index of the channel on which this radio can read a frame.
    fn readable_on(&self, frame: &Frame) -> Option<u32> {
        match &frame.body.cipher {
            Cipher::Channel { name, psk } => {
                let same = |channel: &crate::ChannelConfig| (&channel.name, &channel.psk) == (name, psk);
                self.config.channels.iter().position(same).and_then(|at| u32::try_from(at).ok())
            }
            Cipher::Pki { sender, receiver } => {
                let for_us = frame.to == self.config.num && *receiver == self.key && !self.config.licensed;
                (for_us && self.nodes.key(frame.from) == Some(*sender)).then_some(0)
            }
        }
    }

    fn note_sender(&mut self, frame: &Frame, snr: f32, unix: u32) {
        let node = self.nodes.entry(frame.from);
        node.last_heard = unix;
        node.snr = snr;
        node.hops_away = Some(frame.hops());
    }

    /// Answers a packet that was meant for us and wants to know it.
    fn acknowledge(&mut self, frame: &Frame, channel: u32, turn: &mut Turn<'_>) {
        let data = &frame.body.data;
        let is_answer = data.request_id != 0 || data.reply_id != 0;
        if frame.want_ack && !is_answer {
            let hops = self.hops_for_answer(frame);
            self.send_ack(frame, channel, hops, turn);
        } else if frame.want_ack && (frame.is_direct() || frame.next_hop != 0) {
            self.send_ack(frame, channel, 0, turn);
        } else if !frame.want_ack && frame.next_hop == self.short() && frame.hop_limit > 0 {
            // We are the chosen next hop: the one before us waits to hear it relayed.
            self.send_ack(frame, channel, 0, turn);
        }
        if data.request_id != 0 {
            // Any answer will do, and a refusal too.
            self.retries.stop(frame.to, data.request_id);
        }
    }

    fn send_ack(&mut self, frame: &Frame, channel: u32, hop_limit: u8, turn: &mut Turn<'_>) {
        let answer = Outgoing {
            to: frame.from,
            id: turn.chance.packet_id(),
            channel,
            hop_limit,
            want_ack: false,
            priority: priority::ACK,
            pki: false,
            public_key: Vec::new(),
            data: routing_data(frame.id, error::NONE),
            kind: Kind::Ack,
        };
        self.originate(answer, turn);
    }

    /// An answer gets as many hops as its question took, and two to spare.
    pub(crate) fn hops_for_answer(&self, frame: &Frame) -> u8 {
        let limit = self.config.hop_limit;
        match frame.hops() {
            _ if frame.hop_start == 0 => limit,
            hops if hops > limit => hops,
            hops if hops + 2 < limit => hops + 2,
            _ => limit,
        }
    }

    /// An answer shows which relay reaches its sender, and that its question has arrived.
    fn learn_from_answer(&mut self, frame: &Frame) {
        let data = &frame.body.data;
        let request = if data.request_id != 0 { data.request_id } else { data.reply_id };
        if request == 0 || frame.is_broadcast() {
            return;
        }
        let relayed = |node: u8| self.history.was_relayer(node, frame.to, request);
        let alone = self.history.was_sole_relayer(self.short(), frame.to, request);
        let both_relayed = relayed(self.short()) && relayed(frame.relay_node);
        if self.config.learns_next_hop && (both_relayed || (frame.hops() == 0 && alone)) {
            self.nodes.set_next_hop(frame.from, frame.relay_node);
        }
        if frame.to != self.config.num {
            self.queue.cancel(frame.to, request);
            self.retries.stop(frame.to, request);
        }
    }

    /// Repeats somebody else's packet if it may and should; true if it does.
    fn relay(&mut self, frame: &Frame, snr: f32, turn: &mut Turn<'_>) -> bool {
        let foreign = frame.to != self.config.num && frame.from != self.config.num;
        let ours_to_relay = frame.next_hop == 0 || frame.next_hop == self.short();
        if !foreign || !ours_to_relay || frame.hop_limit == 0 || self.config.role == Role::ClientMute {
            return false;
        }
        if self.check_duty_cycle(turn).is_err() {
            return false;
        }
        let mut copy = Frame { hop_limit: frame.hop_limit - 1, relay_node: self.short(), ..frame.clone() };
        if frame.next_hop != 0 {
            copy.next_hop = match self.nodes.next_hop(frame.to) {
                back if back == frame.relay_node => 0,
                next => next,
            };
        }
        let airtime = copy.airtime(&self.modem);
        let priority = relayed_priority(frame);
        if copy.next_hop != 0 && (copy.hop_limit > 0 || copy.want_ack) {
            let at = turn.now + self.retransmission_delay(airtime, turn.now);
            self.retries.start(copy.clone(), priority, NEXT_HOP_SENDS, at);
        }
        self.history.note(&copy, self.short(), turn.now);
        self.enqueue(Queued { frame: copy, priority, kind: Kind::Relay, heard: Some(snr) }, turn);
        true
    }

    /// Hands a packet to the modules and to the host.
    fn deliver(&mut self, frame: &Frame, channel: u32, snr: f32, turn: &mut Turn<'_>) {
        self.offer_to_modules(frame, channel, turn);
        let sender = match &frame.body.cipher {
            Cipher::Pki { sender, .. } => sender.to_vec(),
            Cipher::Channel { .. } => Vec::new(),
        };
        #[allow(clippy::cast_possible_truncation, reason = "a few dB")]
        let packet = MeshPacket {
            from: frame.from,
            to: frame.to,
            channel,
            payload: Some(Payload::Decoded(frame.body.data.clone())),
            id: frame.id,
            rx_time: turn.unix,
            rx_snr: snr,
            hop_limit: frame.hop_limit.into(),
            want_ack: frame.want_ack,
            priority: 0,
            rx_rssi: NOISE_FLOOR + snr as i32,
            hop_start: frame.hop_start.into(),
            pki_encrypted: frame.body.is_pki(),
            public_key: sender,
            next_hop: frame.next_hop.into(),
            relay_node: frame.relay_node.into(),
            ..MeshPacket::default()
        };
        self.hand_over(packet, turn);
    }

    /// On its last way, to the host, the faults strike.
    fn hand_over(&mut self, mut packet: MeshPacket, turn: &mut Turn<'_>) {
        let faults = turn.faults;
        if let Some(Payload::Decoded(data)) = &mut packet.payload
            && !data.payload.is_empty()
            && data.portnum != port::ROUTING
            && turn.chance.hit(faults.corrupt)
        {
            let at = turn.chance.below(data.payload.len() as u64);
            let at = usize::try_from(at).expect("an index of a payload");
            data.payload[at] ^= 1 << turn.chance.below(8);
        }
        if turn.chance.hit(faults.duplicate) {
            self.phone.push_packet(packet.clone());
        }
        if turn.chance.hit(faults.reorder) {
            let delay = faults.reorder_delay.mul_f64(turn.chance.unit()) + Duration::from_millis(1);
            self.late.push((turn.now + delay, packet));
        } else {
            self.phone.push_packet(packet);
        }
    }
}

/// In dBm, for the strength that a host is shown.
const NOISE_FLOOR: i32 = -110;

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

/// The priority is not on the air: a relay goes by what it can see.
fn relayed_priority(frame: &Frame) -> i32 {
    if frame.want_ack { priority::RELIABLE } else { priority::DEFAULT }
}
