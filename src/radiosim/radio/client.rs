//! The client API: the host's messages, and the radio's answers.

use std::time::{Duration, Instant};

use meshnet_proto::meshtastic::message::from_radio::Variant;
use meshnet_proto::meshtastic::message::mesh_packet::Payload;
use meshnet_proto::meshtastic::message::{
    ClientNotification, Heartbeat, MeshPacket, QueueStatus, ToRadio, port as portnum, routing_error as error,
    to_radio,
};
use meshnet_proto::meshtastic::stream::{self, Piece};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::frame::{Kind, MAX_DATA_PAYLOAD};
use super::phone::Item;
use super::port::{SILENCE, Transport};
use super::queue::MAX_QUEUE;
use super::send::Outgoing;
use super::{Radio, Turn, greeting};

/// Packet numbers of the host that are remembered against repetition.
const RECENT_IDS: usize = 20;
/// The host may send on these ports only so often.
const TEXT_EVERY: Duration = Duration::from_secs(2);
const TRACEROUTE_EVERY: Duration = Duration::from_secs(30);
const CHATTER_EVERY: Duration = Duration::from_secs(10);
/// Waypoint and alert, which nobody else here needs by name.
const WAYPOINT: u32 = 8;
const ALERT: u32 = 11;
const WARNING: i32 = 30;

impl Radio {
    /// The poll: reads what the host sent, handles it; what there is to send goes out with [`serve_host`](Self::serve_host).
    pub(crate) fn poll_client_api(&mut self, turn: &mut Turn<'_>) {
        let due =
            |session: &super::port::Session| !session.stalled && session.due.is_some_and(|at| at <= turn.now);
        if !self.port.session.as_ref().is_some_and(due) {
            return;
        }
        let deaf = self.port.transport == Transport::Serial && !self.config.serial_enabled;
        let input = if deaf { Vec::new() } else { self.port.take_input() };
        let mut pieces = Vec::new();
        if let Some(session) = &mut self.port.session {
            session.due = None;
            session.grid.polled(!input.is_empty(), turn.now);
            session.decoder.push(&input, |piece| pieces.push(piece));
        }
        for piece in pieces {
            if let Piece::Message(bytes) = piece {
                self.handle_message(&bytes, turn);
            }
        }
        self.write();
        self.port.forget_gone();
    }

    /// Whatever has come up for the host goes out at the next poll; on a serial port, at once.
    pub(crate) fn serve_host(&mut self, turn: &mut Turn<'_>) {
        if self.phone.told_full() && self.queue.len() < MAX_QUEUE {
            self.push_status(error::NONE, 0);
        }
        let Some(session) = &mut self.port.session else { return };
        let pending =
            session.talking && (!session.config.is_empty() || session.heartbeat || !self.phone.is_empty());
        if !pending || session.stalled {
            return;
        }
        if self.port.transport == Transport::Serial {
            self.write();
        } else if self.port.has_room()
            && let Some(session) = &mut self.port.session
        {
            session.wake(turn.now);
        }
    }

    pub(crate) fn drop_silent_client(&mut self, now: Instant) {
        let silent = |session: &super::port::Session| now >= session.last_contact + SILENCE;
        if !self.port.session.as_ref().is_some_and(silent) {
            return;
        }
        match self.port.transport {
            Transport::Tcp => self.port.close(),
            Transport::Serial => {
                if let Some(session) = &mut self.port.session {
                    session.talking = false;
                    session.last_contact = now;
                }
            }
        }
    }

    /// A serial port tells of the boot: a message for a host that was connected before, text for anyone else.
    pub(crate) fn say_booted(&mut self, now: Instant) {
        if self.port.transport == Transport::Serial {
            self.send_message(&greeting::encode(Variant::Rebooted(true)));
            let num = self.config.num;
            self.log(now, format_args!("up as !{num:08x}"));
        }
    }

    /// Writes a line of the text log, if the port carries it.
    pub(crate) fn log(&mut self, now: Instant, line: std::fmt::Arguments<'_>) {
        let Some(session) = &self.port.session else { return };
        let carries = !session.greeted || self.config.debug_log;
        if self.port.transport == Transport::Serial && carries && !session.stalled {
            let uptime = now.saturating_duration_since(self.boot).as_secs();
            self.port.send(format!("DEBUG | ??:??:?? {uptime} {line}\r\n").as_bytes());
        }
    }

    fn handle_message(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        let Ok(ToRadio { variant }) = ToRadio::decode(bytes) else {
            self.log(turn.now, format_args!("malformed message from the host"));
            return;
        };
        if let Some(to_radio::Variant::Packet(packet)) = &variant
            && payload_len(packet) > MAX_DATA_PAYLOAD
        {
            // The firmware's decoder has no room for it and gives up on the whole message.
            self.log(turn.now, format_args!("malformed message from the host"));
            return;
        }
        if let Some(session) = &mut self.port.session {
            session.last_contact = turn.now;
            session.greeted = true;
        }
        match variant {
            Some(to_radio::Variant::Packet(packet)) => self.handle_packet(packet, turn),
            Some(to_radio::Variant::WantConfigId(nonce)) => self.start_config(nonce, turn.now),
            Some(to_radio::Variant::Heartbeat(Heartbeat { nonce })) => self.handle_heartbeat(nonce, turn),
            Some(to_radio::Variant::Disconnect(true)) => self.handle_disconnect(),
            Some(to_radio::Variant::Disconnect(false)) | None => {}
        }
    }

    fn start_config(&mut self, nonce: u32, now: Instant) {
        let greeting = self.greeting(nonce, now);
        if let Some(session) = &mut self.port.session {
            session.talking = true;
            session.config = greeting;
        }
    }

    fn handle_heartbeat(&mut self, nonce: u32, turn: &mut Turn<'_>) {
        if let Some(session) = &mut self.port.session {
            session.heartbeat = true;
        }
        if nonce == 1 {
            self.announce(turn);
        }
    }

    fn handle_disconnect(&mut self) {
        match self.port.transport {
            Transport::Tcp => self.port.close(),
            Transport::Serial => {
                if let Some(session) = &mut self.port.session {
                    session.talking = false;
                }
            }
        }
    }

    fn handle_packet(&mut self, packet: MeshPacket, turn: &mut Turn<'_>) {
        if self.is_repeated(packet.id) {
            return;
        }
        let Some(Payload::Decoded(data)) = packet.payload else {
            // Already encrypted by the host: nothing here does that, and the firmware refuses it too.
            return;
        };
        let id = if packet.id == 0 { turn.chance.packet_id() } else { packet.id };
        if self.is_too_frequent(data.portnum, turn.now) {
            self.refuse_too_frequent(id, data.portnum, turn);
            return;
        }
        let res = if packet.to == self.config.num {
            if data.portnum == portnum::ADMIN {
                self.obey(id, &data, turn);
            }
            if packet.want_ack {
                self.tell_routing(id, error::NONE, turn);
            }
            error::NONE
        } else {
            let outgoing = Outgoing {
                to: packet.to,
                id,
                channel: packet.channel,
                // Three bits in the header.
                hop_limit: u8::try_from(packet.hop_limit.min(7)).expect("at most 7"),
                want_ack: packet.want_ack,
                priority: packet.priority,
                pki: packet.pki_encrypted,
                public_key: packet.public_key,
                data,
                kind: Kind::Data,
            };
            self.originate(outgoing, turn)
        };
        self.push_status(res, id);
    }

    /// True for a packet number that this host used a moment ago.
    fn is_repeated(&mut self, id: u32) -> bool {
        let Some(session) = &mut self.port.session else { return true };
        if id == 0 {
            return false;
        }
        if session.recent.contains(&id) {
            return true;
        }
        if session.recent.len() >= RECENT_IDS {
            session.recent.pop_front();
        }
        session.recent.push_back(id);
        false
    }

    fn is_too_frequent(&mut self, port: u32, now: Instant) -> bool {
        let every = match port {
            portnum::TEXT_MESSAGE => TEXT_EVERY,
            portnum::TRACEROUTE => TRACEROUTE_EVERY,
            portnum::POSITION | portnum::TELEMETRY | WAYPOINT | ALERT => CHATTER_EVERY,
            _ => return false,
        };
        let Some(session) = &mut self.port.session else { return true };
        if session.last_on_port.get(&port).is_some_and(|last| now < *last + every) {
            return true;
        }
        session.last_on_port.insert(port, now);
        false
    }

    fn refuse_too_frequent(&mut self, id: u32, port: u32, turn: &mut Turn<'_>) {
        self.push_status(error::NONE, id);
        if port == portnum::TEXT_MESSAGE {
            self.tell_routing(id, error::RATE_LIMIT_EXCEEDED, turn);
        } else if port == portnum::TRACEROUTE {
            self.phone.push_notification(ClientNotification {
                reply_id: Some(id),
                time: turn.unix,
                level: WARNING,
                message: "TraceRoute can only be sent once every 30 seconds".into(),
            });
        }
    }

    fn queue_status(&self, res: i32, id: u32) -> QueueStatus {
        QueueStatus {
            res,
            free: u32::try_from(MAX_QUEUE - self.queue.len()).expect("at most 16"),
            maxlen: u32::try_from(MAX_QUEUE).expect("16"),
            mesh_packet_id: id,
        }
    }

    pub(crate) fn push_status(&mut self, res: i32, id: u32) {
        let status = self.queue_status(res, id);
        self.phone.push_status(status);
    }

    /// Writes what waits for the host, as long as it reads.
    fn write(&mut self) {
        // When the host reads again, the port sees to the next poll.
        while self.port.has_room()
            && let Some(message) = self.next_message()
        {
            self.send_message(&message);
        }
    }

    fn next_message(&mut self) -> Option<Vec<u8>> {
        let status = self.queue_status(error::NONE, 0);
        let session = self.port.session.as_mut().filter(|session| session.talking && !session.stalled)?;
        if std::mem::take(&mut session.heartbeat) {
            return Some(greeting::encode(Variant::QueueStatus(status)));
        }
        if let Some(message) = session.config.pop_front() {
            return Some(message);
        }
        let variant = match self.phone.pop()? {
            Item::Status(status) => Variant::QueueStatus(status),
            Item::Notification(notification) => Variant::ClientNotification(notification),
            Item::Packet(packet) => Variant::Packet(packet),
        };
        Some(greeting::encode(variant))
    }

    /// Numbers a message and sends it.
    fn send_message(&mut self, message: &[u8]) {
        let Some(session) = &mut self.port.session else { return };
        session.next_message += 1;
        let mut numbered = Vec::with_capacity(message.len() + 6);
        encode_key(1, WireType::Varint, &mut numbered);
        encode_varint(session.next_message.into(), &mut numbered);
        numbered.extend_from_slice(message);
        if numbered.len() <= stream::MAX_LEN {
            self.port.send(&stream::frame(&numbered));
        }
    }
}

fn payload_len(packet: &MeshPacket) -> usize {
    match &packet.payload {
        Some(Payload::Decoded(data)) => data.payload.len(),
        Some(Payload::Encrypted(bytes)) => bytes.len(),
        None => 0,
    }
}
