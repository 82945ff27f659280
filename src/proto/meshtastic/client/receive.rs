//! From the radio to the core: every message that a radio sends to its host, and what it means for a link.

use std::time::{Duration, Instant};

use prost::Message as _;

use crate::link::{LinkAddr, LinkEvent, Refusal};
use crate::meshtastic::message::{
    ClientNotification, Config, Data, DeviceMetrics, FromRadio, MeshPacket, NodeInfo, QueueStatus, Routing,
    Telemetry, User, config, from_radio, mesh_packet, port, routing, routing_error, telemetry,
};
use crate::meshtastic::stream::Piece;

use super::device::{Device, printable};
use super::ids::Sent;
use super::notice::Notice;
use super::radios::Introduction;
use super::{Client, Output, Phase, Reconnect, tempo};

/// A radio that refuses to send for the hour's airtime is tried again after this, unless it says when. A try that is
/// refused costs no air.
const DUTY_CYCLE_WAIT: Duration = Duration::from_secs(60);
/// An hour is the longest that a duty cycle can make anybody wait.
const MAX_DUTY_CYCLE_WAIT: Duration = Duration::from_secs(3600);
/// The same text from the radio is told once in this time.
const SAME_TEXT: Duration = Duration::from_secs(60);

impl Client {
    /// Takes bytes from the stream.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        if self.phase == Phase::Disconnected {
            return;
        }
        self.counters.bytes_in += bytes.len() as u64;
        let mut pieces = Vec::new();
        self.decoder.push(bytes, |piece| pieces.push(piece));
        for piece in pieces {
            if self.phase == Phase::Disconnected {
                return;
            }
            match piece {
                Piece::Text(line) => {
                    self.saw_text = true;
                    self.tell(Notice::Log(printable(&line)));
                }
                Piece::Message(message) => match FromRadio::decode(message.as_slice()) {
                    Ok(message) => self.handle_message(message, now),
                    Err(_) => self.counters.malformed += 1,
                },
            }
        }
        if self.phase == Phase::Up {
            self.flush(now);
        }
    }

    fn handle_message(&mut self, message: FromRadio, now: Instant) {
        use from_radio::Variant;
        self.keepalive.handle_received();
        match message.variant {
            Some(Variant::Packet(packet)) => self.handle_packet(packet, now),
            Some(Variant::QueueStatus(status)) => self.handle_queue_status(status, now),
            Some(Variant::NodeInfo(info)) => self.handle_node_info(info, now),
            Some(Variant::ConfigCompleteId(nonce)) => self.handle_config_complete(nonce, now),
            Some(Variant::Rebooted(true)) => self.handle_rebooted(now),
            Some(Variant::ClientNotification(notification)) => self.handle_notification(&notification, now),
            Some(Variant::LogRecord(record)) => self.tell(Notice::Log(printable(&record.message))),
            Some(Variant::MyInfo(info)) => self.change(now, |device| device.handle_my_info(&info)),
            Some(Variant::Metadata(metadata)) => self.change(now, |device| device.metadata = Some(metadata)),
            Some(Variant::Channel(channel)) => self.change(now, |device| device.handle_channel(channel)),
            Some(Variant::Config(Config { variant })) => match variant {
                Some(config::Variant::Lora(lora)) => self.change(now, |device| device.lora = Some(lora)),
                Some(config::Variant::Security(security)) => {
                    self.change(now, |device| device.handle_security(security));
                }
                Some(
                    config::Variant::Device(_)
                    | config::Variant::Position(_)
                    | config::Variant::Power(_)
                    | config::Variant::Network(_)
                    | config::Variant::Display(_)
                    | config::Variant::Bluetooth(_)
                    | config::Variant::SessionKey(_),
                )
                | None => {}
            },
            // A newer firmware's variants arrive as none at all.
            Some(
                Variant::Rebooted(false)
                | Variant::ModuleConfig(_)
                | Variant::FileInfo(_)
                | Variant::DeviceUiConfig(_),
            )
            | None => {}
        }
    }

    /// Takes a part of the configuration: gathered while it was asked for, a change of what stands otherwise.
    fn change(&mut self, now: Instant, apply: impl FnOnce(&mut Device)) {
        match self.phase {
            Phase::Disconnected | Phase::Waking { .. } => {}
            Phase::Configuring { .. } => apply(&mut self.incoming),
            Phase::Up | Phase::Faulty => {
                apply(&mut self.device);
                self.consider(now);
            }
        }
    }

    fn handle_config_complete(&mut self, nonce: u32, now: Instant) {
        if !matches!(self.phase, Phase::Configuring { nonce: ours, .. } if ours == nonce) {
            return;
        }
        if !self.incoming.is_complete() {
            self.give_up(Notice::IncompleteConfig, Reconnect::IncompleteConfig);
            return;
        }
        self.device = std::mem::take(&mut self.incoming);
        let verdict = self.evictions.handle_configured(self.device.reboots);
        self.tell_verdict(verdict);
        self.keepalive.expect_until(now);
        self.consider(now);
    }

    /// Decides whether the radio can serve, and tells the core what it promises if that changed.
    fn consider(&mut self, now: Instant) {
        if let Some(fault) = self.device.fault(self.config.channel_index) {
            self.go_down();
            self.phase = Phase::Faulty;
            self.tell_fault(fault);
            return;
        }
        match self.device.defect() {
            Some(defect) => self.tell_fault(defect),
            None => self.told = None,
        }
        let caps = self.device.caps(self.config.port, self.config.channel_index);
        let tempo = tempo(&self.device);
        self.flow.set_tempo(tempo);
        self.keepalive.set_expect((tempo.longest + tempo.access) * 2 * self.config.expect_round_trips);
        let fresh = self.phase != Phase::Up;
        self.phase = Phase::Up;
        if self.announced.as_ref() != Some(&caps) {
            self.announced = Some(caps.clone());
            self.outputs.push_back(Output::Link(LinkEvent::Up(caps)));
            // The core counts anew from an `Up`.
            self.told_room = 0;
        }
        if fresh {
            self.see_to_keys(|_| true, now);
            self.tell_spent();
        }
        self.flush(now);
    }

    fn handle_rebooted(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Waking { .. }) {
            return;
        }
        self.tell(Notice::Rebooted);
        self.go_down();
        self.ask_config(now);
    }

    fn handle_queue_status(&mut self, status: QueueStatus, now: Instant) {
        if status.res == routing_error::NONE {
            self.told_duty_cycle &= status.mesh_packet_id == 0;
            self.flow.handle_status(status, now);
            return;
        }
        self.flow.handle_refusal(status.mesh_packet_id);
        self.flow.handle_status(status, now);
        let reason = match status.res {
            // These two are the queue's own here, not routing errors.
            routing_error::BAD_REQUEST => Some(Refusal::QueueFull),
            routing_error::PKI_FAILED => Some(Refusal::Disabled),
            other => refusal(other),
        };
        if let (Some(reason), Some(sent)) = (reason, self.sent.take(status.mesh_packet_id)) {
            self.handle_refused(sent, reason, now);
        }
    }

    /// A packet did not go out, by the radio's word.
    fn handle_refused(&mut self, sent: Sent, reason: Refusal, now: Instant) {
        match reason {
            Refusal::TooLarge if sent.token.is_some() => {
                let limit = self.device.lower_limit(sent.len);
                self.tell(Notice::LimitLowered { payload: u16::try_from(limit).unwrap_or(u16::MAX) });
                self.consider(now);
            }
            Refusal::DutyCycle => self.stop(DUTY_CYCLE_WAIT, now),
            Refusal::NoKey if sent.token.is_some() => {
                if let Some(remedy) = self.radios.handle_no_key(sent.to, now) {
                    self.refuse_token(sent, reason);
                    self.cure(sent.to, remedy, now);
                    return;
                }
            }
            _ => {}
        }
        self.refuse_token(sent, reason);
    }

    fn refuse_token(&mut self, sent: Sent, reason: Refusal) {
        if let Some(token) = sent.token {
            self.refuse(token, reason);
        }
    }

    /// Hands nothing over for this long. An earlier word stands if it reaches further.
    fn stop(&mut self, wait: Duration, now: Instant) {
        let until = now + wait;
        if self.flow.stopped_until().is_some_and(|stands| stands >= until) {
            return;
        }
        self.flow.stop_until(until);
        if !self.told_duty_cycle || wait > DUTY_CYCLE_WAIT {
            self.told_duty_cycle = true;
            self.tell(Notice::DutyCycle { wait });
        }
    }

    fn handle_packet(&mut self, packet: MeshPacket, now: Instant) {
        let Some(own) = self.own_number() else { return };
        let Some(mesh_packet::Payload::Decoded(data)) = &packet.payload else { return };
        if packet.from != own && packet.from != 0 && !packet.via_mqtt {
            let hops = hops_taken(&packet, data);
            self.radios.handle_heard(packet.from, hops, packet.rx_snr, packet.rx_rssi, now);
        }
        match data.portnum {
            port::PRIVATE | port::IP_TUNNEL if packet.to == own && packet.from != own && packet.from != 0 => {
                self.counters.received += 1;
                self.keepalive.handle_traffic(now);
                let Some(mesh_packet::Payload::Decoded(data)) = packet.payload else { return };
                let from = LinkAddr::radio(packet.from);
                self.outputs.push_back(Output::Datagram { from, payload: data.payload });
            }
            port::ROUTING => self.handle_routing(packet.from, own, data.request_id, &data.payload, now),
            port::NODE_INFO => {
                if let Ok(user) = User::decode(data.payload.as_slice()) {
                    self.handle_user(packet.from, user);
                }
                if data.want_response && packet.from != own {
                    self.radios.handle_asked(packet.from, now);
                }
            }
            port::TELEMETRY if packet.from == own => self.handle_telemetry(&data.payload),
            _ => {}
        }
    }

    /// The radio's number, also while its configuration is still coming in.
    fn own_number(&self) -> Option<u32> {
        match self.phase {
            Phase::Configuring { .. } => self.incoming.node,
            Phase::Disconnected | Phase::Waking { .. } => None,
            Phase::Up | Phase::Faulty => self.device.node,
        }
    }

    /// A packet was acknowledged or refused. Only our radio and the packet's receiver have a say in that.
    fn handle_routing(&mut self, from: u32, own: u32, request: u32, payload: &[u8], now: Instant) {
        let Ok(Routing { variant: Some(routing::Variant::ErrorReason(error)) }) = Routing::decode(payload)
        else {
            return;
        };
        let Some(sent) = self.sent.find(request).filter(|sent| from == own || from == sent.to) else {
            return;
        };
        let Some(reason) = refusal(error) else { return };
        self.sent.take(request);
        if from == own {
            self.flow.handle_refusal(request);
            self.handle_refused(sent, reason, now);
        } else {
            if error == routing_error::PKI_UNKNOWN_PUBKEY {
                self.tell(Notice::PeerLacksOurKey { peer: LinkAddr::radio(from) });
                self.introduce(Introduction::AskEverybody, now);
            }
            // A stranger on the channel could have sent it in the peer's name: it refuses this packet, and nothing more. And
            // the packet did go out.
            self.refuse_token(sent, Refusal::Unreachable);
        }
    }

    fn handle_node_info(&mut self, info: NodeInfo, now: Instant) {
        let own = self.own_number();
        if let Phase::Configuring { .. } = self.phase {
            self.nodes_known = self.nodes_known.saturating_add(1);
        }
        if Some(info.num) == own {
            if let Some(metrics) = info.device_metrics {
                self.handle_metrics(metrics.channel_utilization, metrics.air_util_tx);
            }
        } else if !info.via_mqtt {
            self.radios.handle_distance(info.num, info.hops_away, now);
        }
        if let Some(user) = info.user {
            self.handle_user(info.num, user);
        }
    }

    fn handle_user(&mut self, node: u32, user: User) {
        if Some(node) == self.own_number() {
            match self.phase {
                Phase::Configuring { .. } => self.incoming.user = Some(user),
                Phase::Disconnected | Phase::Waking { .. } | Phase::Up | Phase::Faulty => {
                    self.device.user = Some(user);
                }
            }
        } else if self.radios.handle_key(node, &user.public_key, &printable(&user.long_name)) {
            let peer = LinkAddr::radio(node);
            self.tell(Notice::KeyArrived { peer });
            self.outputs.push_back(Output::Link(LinkEvent::KeyKnown(peer)));
        }
    }

    fn handle_telemetry(&mut self, payload: &[u8]) {
        match Telemetry::decode(payload).map(|telemetry| telemetry.variant) {
            Ok(Some(telemetry::Variant::DeviceMetrics(DeviceMetrics {
                channel_utilization,
                air_util_tx,
                ..
            }))) => self.handle_metrics(channel_utilization, air_util_tx),
            Ok(Some(telemetry::Variant::LocalStats(stats))) => {
                self.handle_metrics(Some(stats.channel_utilization), Some(stats.air_util_tx));
            }
            Ok(None) => {}
            Err(_) => self.counters.malformed += 1,
        }
    }

    fn handle_metrics(&mut self, channel_utilization: Option<f32>, air_util_tx: Option<f32>) {
        let percent = |value: &f32| (0.0..=100.0).contains(value);
        self.channel_utilization = channel_utilization.filter(percent).or(self.channel_utilization);
        if let Some(spent) = air_util_tx.filter(percent) {
            self.air_util_tx = Some(spent);
            if self.phase == Phase::Up {
                self.tell_spent();
            }
        }
    }

    fn tell_spent(&mut self) {
        if let Some(percent) = self.air_util_tx {
            let spent = Duration::from_secs(3600).mul_f32(percent / 100.0);
            self.outputs.push_back(Output::Link(LinkEvent::Spent(spent)));
        }
    }

    fn handle_notification(&mut self, notification: &ClientNotification, now: Instant) {
        if let Some(minutes) = minutes_to_wait(&notification.message) {
            let wait = Duration::from_secs(minutes.max(1).saturating_mul(60)).min(MAX_DUTY_CYCLE_WAIT);
            self.stop(wait, now);
            return;
        }
        let text = printable(&notification.message);
        let repeated =
            self.last_text.as_ref().is_some_and(|(last, at)| *last == text && now < *at + SAME_TEXT);
        if !text.is_empty() && !repeated {
            self.last_text = Some((text.clone(), now));
            self.tell(Notice::RadioSays(text));
        }
    }
}

/// Returns over how many relays a packet came, if it shows. One that started with hop limit 0 cannot have been
/// repeated, but firmware before 2.3 wrote no start at all: the bitfield, which is younger, tells them apart.
fn hops_taken(packet: &MeshPacket, data: &Data) -> Option<u8> {
    let says_start = packet.hop_start > 0 || data.bitfield.is_some();
    let taken = packet.hop_start.checked_sub(packet.hop_limit).filter(|_| says_start)?;
    u8::try_from(taken).ok()
}

/// Returns what a routing error means for a datagram; `None` if it is none.
const fn refusal(error: i32) -> Option<Refusal> {
    use routing_error as e;
    match error {
        e::NONE => None,
        e::TOO_LARGE => Some(Refusal::TooLarge),
        e::DUTY_CYCLE_LIMIT => Some(Refusal::DutyCycle),
        e::RATE_LIMIT_EXCEEDED => Some(Refusal::RateLimit),
        e::PKI_SEND_FAIL_PUBLIC_KEY | e::PKI_UNKNOWN_PUBKEY => Some(Refusal::NoKey),
        e::NO_INTERFACE | e::NOT_AUTHORIZED => Some(Refusal::Disabled),
        _ => Some(Refusal::Unreachable),
    }
}

/// Reads the minutes in "... send again in 50 mins".
fn minutes_to_wait(text: &str) -> Option<u64> {
    let after = text.to_ascii_lowercase();
    let (_, rest) = after.split_once("send again in ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let unit = rest.get(digits.len()..)?.trim_start();
    unit.starts_with("min").then(|| digits.parse().ok()).flatten()
}
