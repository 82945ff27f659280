//! The radio's own applications: who it is, and how it fares.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meshnet_proto::meshtastic::message::mesh_packet::Payload;
use meshnet_proto::meshtastic::message::{
    Data, DeviceMetrics, MeshPacket, Telemetry, User, port, routing_error as error, telemetry,
};
use prost::Message;

use super::frame::{BROADCAST, Frame, Kind};
use super::send::Outgoing;
use super::{Radio, Turn};

/// From boot to the first node info.
const FIRST: Duration = Duration::from_secs(30);
/// Between broadcasts after that.
const EVERY: Duration = Duration::from_secs(3 * 3600);
/// A node info is not sent again within this time...
const THROTTLE: Duration = Duration::from_secs(300);
/// ...unless the host asks, and then not within this.
const ASKED_THROTTLE: Duration = Duration::from_secs(60);
/// Whoever asked within this time is not answered again.
const ANSWERED: Duration = Duration::from_secs(12 * 3600);
/// Above this channel utilisation, in percent, a radio does not speak for itself.
const POLITE: f64 = 25.0;
/// Above this not even an answer.
const IMPOLITE: f64 = 40.0;
/// How many askers are remembered.
const ASKERS: usize = 250;
const PRIORITY_BACKGROUND: i32 = 10;

#[derive(Debug, Default)]
pub(crate) struct NodeInfoModule {
    pub(crate) due: Option<Instant>,
    last_sent: Option<Instant>,
    /// Who asked for ours, and when.
    askers: BTreeMap<u32, Instant>,
    /// After boot everyone is asked for theirs.
    introduced: bool,
}

impl NodeInfoModule {
    /// `late` is added to the firmware's 30 s: radios are not switched on by one clock.
    pub(crate) fn at_boot(enabled: bool, late: Duration, boot: Instant) -> Self {
        Self { due: enabled.then(|| boot + FIRST + late), ..Self::default() }
    }

    /// True if this asker is to be answered.
    fn heard_asker(&mut self, num: u32, now: Instant) -> bool {
        if self.askers.len() >= ASKERS {
            self.askers.retain(|_, at| now < *at + ANSWERED);
        }
        let before = self.askers.insert(num, now);
        before.is_none_or(|at| now >= at + ANSWERED)
    }
}

impl Radio {
    pub(crate) fn node_info_due(&mut self, turn: &mut Turn<'_>) {
        if self.node_info.due.is_some_and(|at| at <= turn.now) {
            self.node_info.due = Some(turn.now + EVERY);
            if self.airlog.channel_utilisation(turn.now) < POLITE {
                let ask = !std::mem::replace(&mut self.node_info.introduced, true);
                self.send_node_info(BROADCAST, ask, 0, THROTTLE, turn);
            }
        }
    }

    /// The host asks for a broadcast of our node info.
    pub(crate) fn announce(&mut self, turn: &mut Turn<'_>) {
        self.send_node_info(BROADCAST, true, 0, ASKED_THROTTLE, turn);
    }

    fn send_node_info(
        &mut self,
        to: u32,
        ask: bool,
        request_id: u32,
        throttle: Duration,
        turn: &mut Turn<'_>,
    ) {
        let too_soon = self.node_info.last_sent.is_some_and(|at| turn.now < at + throttle);
        if too_soon || self.airlog.channel_utilisation(turn.now) > IMPOLITE {
            return;
        }
        self.node_info.last_sent = Some(turn.now);
        let data = Data {
            portnum: port::NODE_INFO,
            payload: self.user().encode_to_vec(),
            want_response: ask,
            request_id,
            ..Data::default()
        };
        let packet = Outgoing::of_radio(to, self.config.hop_limit, data, Kind::NodeInfo, turn.chance);
        self.originate(Outgoing { priority: PRIORITY_BACKGROUND, ..packet }, turn);
    }

    /// Lets the radio's own applications see a packet that it received.
    pub(crate) fn offer_to_modules(&mut self, frame: &Frame, channel: u32, turn: &mut Turn<'_>) {
        let data = &frame.body.data;
        if data.portnum == port::NODE_INFO {
            self.handle_node_info(frame, turn);
        } else if self.nodes.known(frame.from).is_none_or(|node| node.user.is_none())
            && self.airlog.channel_utilisation(turn.now) < POLITE
        {
            // A stranger: introduce ourselves, and ask who that is.
            self.send_node_info(frame.from, true, 0, THROTTLE, turn);
        }
        let asked = data.want_response && frame.to == self.config.num;
        match data.portnum {
            port::TELEMETRY if asked => self.answer_telemetry(frame, channel, turn),
            port::NODE_INFO | port::TRACEROUTE => {}
            _ if asked => {
                let hops = self.hops_for_answer(frame);
                self.send_routing(frame, channel, hops, error::NO_RESPONSE, turn);
            }
            _ => {}
        }
    }

    fn handle_node_info(&mut self, frame: &Frame, turn: &mut Turn<'_>) {
        let data = &frame.body.data;
        let Ok(user) = User::decode(data.payload.as_slice()) else { return };
        self.nodes.learn_user(frame.from, user);
        if data.want_response && self.node_info.heard_asker(frame.from, turn.now) {
            self.send_node_info(frame.from, false, frame.id, THROTTLE, turn);
        }
    }

    fn answer_telemetry(&mut self, frame: &Frame, channel: u32, turn: &mut Turn<'_>) {
        let data = Data { request_id: frame.id, ..self.telemetry(turn) };
        let hops = self.hops_for_answer(frame);
        let packet = Outgoing::of_radio(frame.from, hops, data, Kind::Reply, turn.chance);
        self.originate(Outgoing { channel, ..packet }, turn);
    }

    /// Tells the host how the radio fares, unless packets wait.
    pub(crate) fn telemetry_due(&mut self, turn: &mut Turn<'_>) {
        if self.telemetry_due.is_none_or(|at| at > turn.now) {
            return;
        }
        self.telemetry_due = self.config.telemetry.map(|every| turn.now + every);
        if !self.phone.has_no_packets() {
            return;
        }
        let data = self.telemetry(turn);
        self.phone.push_packet(MeshPacket {
            from: self.config.num,
            to: BROADCAST,
            id: turn.chance.packet_id(),
            rx_time: turn.unix,
            payload: Some(Payload::Decoded(data)),
            priority: PRIORITY_BACKGROUND,
            ..MeshPacket::default()
        });
    }

    fn telemetry(&mut self, turn: &Turn<'_>) -> Data {
        let metrics = self.device_metrics(turn.now);
        let telemetry =
            Telemetry { time: turn.unix, variant: Some(telemetry::Variant::DeviceMetrics(metrics)) };
        Data { portnum: port::TELEMETRY, payload: telemetry.encode_to_vec(), ..Data::default() }
    }

    #[allow(clippy::cast_possible_truncation, reason = "percentages")]
    pub(crate) fn device_metrics(&mut self, now: Instant) -> DeviceMetrics {
        let uptime = now.saturating_duration_since(self.boot).as_secs();
        DeviceMetrics {
            // Over 100: on external power.
            battery_level: Some(101),
            voltage: Some(5.0),
            channel_utilization: Some(self.airlog.channel_utilisation(now) as f32),
            air_util_tx: Some(self.airlog.tx_percent(now) as f32),
            uptime_seconds: Some(u32::try_from(uptime).unwrap_or(u32::MAX)),
        }
    }
}
