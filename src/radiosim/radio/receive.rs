//! Receiving: each packet once; acknowledge, learn the next hop, relay, hand to the modules and to the host.

use std::time::Duration;

use meshnet_proto::meshtastic::message::mesh_packet::Payload;
use meshnet_proto::meshtastic::message::{MeshPacket, port, priority, routing_error as error};

use super::frame::{Cipher, Frame, Kind};
use super::history::Dupe;
use super::queue::Queued;
use super::retry::NEXT_HOP_SENDS;
use super::send::{Outgoing, routing_data};
use super::{Radio, Turn};
use crate::config::{ChannelConfig, Role};

/// How many packets a fault may hold back at a time.
const MAX_LATE: usize = 100;
/// In dBm, for the strength that a host is shown.
const NOISE_FLOOR: i32 = -110;

impl Radio {
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

    fn handle_dupe(&mut self, frame: &Frame, snr: f32, dupe: Dupe, turn: &mut Turn<'_>) {
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
                let same = |channel: &ChannelConfig| (&channel.name, &channel.psk) == (name, psk);
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
        self.send_routing(frame, channel, hop_limit, error::NONE, turn);
    }

    /// Tells a packet's sender what became of it here.
    pub(super) fn send_routing(
        &mut self,
        frame: &Frame,
        channel: u32,
        hop_limit: u8,
        reason: i32,
        turn: &mut Turn<'_>,
    ) {
        let data = routing_data(frame.id, reason);
        let answer = Outgoing::of_radio(frame.from, hop_limit, data, Kind::Ack, turn.chance);
        self.originate(Outgoing { channel, ..answer }, turn);
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
        if turn.chance.hit(faults.reorder) && self.late.len() < MAX_LATE {
            let delay = faults.reorder_delay.mul_f64(turn.chance.unit()) + Duration::from_millis(1);
            self.late.push((turn.now + delay, packet));
        } else {
            self.phone.push_packet(packet);
        }
    }
}

/// The priority is not on the air: a relay goes by what it can see.
fn relayed_priority(frame: &Frame) -> i32 {
    if frame.want_ack { priority::RELIABLE } else { priority::DEFAULT }
}
