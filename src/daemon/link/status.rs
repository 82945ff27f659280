//! What a status display shows of a link.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use meshnet_proto::link::LinkAddr;
use meshnet_proto::meshtastic::client::{KeyState, Status};
use serde::Serialize;

use super::{LinkKind, LinkSpec, RadioSpec};

/// A link at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LinkStatus {
    /// As configured.
    pub name: String,
    /// "meshtastic", "udp".
    pub kind: &'static str,
    /// As configured: where the carrier is.
    pub connect: String,
    /// "down" (waits before the next try), "connecting", "configuring", "up", "faulty" (connected, but the radio cannot
    /// serve as it is set).
    pub state: &'static str,
    /// What is wrong, as a sentence, while it is.
    pub fault: Option<String>,
    /// Why the last connection failed or ended.
    pub last_error: Option<String>,
    /// How many connections were opened.
    pub connections: u64,
    /// The radio's node id.
    pub radio: Option<String>,
    /// Its owner's name for it.
    pub radio_name: Option<String>,
    /// As it says itself.
    pub firmware: Option<String>,
    /// The region whose law it keeps.
    pub region: Option<&'static str>,
    /// The modem preset, or "custom".
    pub preset: Option<&'static str>,
    /// The hop limit that it gives its own packets.
    pub hop_limit: Option<u8>,
    /// The channel that we send on.
    pub channel_index: u8,
    /// Its name; empty if it is the preset's.
    pub channel_name: Option<String>,
    /// Whether the radio encrypts what is encrypted already.
    pub radio_encryption: Option<bool>,
    /// The longest datagram in bytes.
    pub mtu: Option<u16>,
    /// The share of any hour that may be sent, in percent.
    pub duty_percent: Option<f32>,
    /// Percent of the last minute that the channel was busy.
    pub channel_utilization: Option<f32>,
    /// Percent of the last hour that this radio sent.
    pub air_util_tx: Option<f32>,
    /// Free places in the radio's queue, as last told.
    pub queue_free: Option<u32>,
    /// All places in the radio's queue.
    pub queue_len: Option<u32>,
    /// Seconds since 1970 until which the radio refuses to send.
    pub stopped_until: Option<u64>,
    /// Nodes in the radio's table.
    pub nodes_known: u32,
    /// Different nodes heard.
    pub nodes_heard: usize,
    /// The peers' radios.
    pub peers: Vec<PeerRadio>,
    /// Datagrams handed to the radio.
    pub sent: u64,
    /// Datagrams received for us.
    pub received: u64,
    /// Datagrams refused.
    pub refused: u64,
    /// Messages from the radio that made no sense.
    pub malformed: u64,
    /// Bytes to the radio.
    pub bytes_out: u64,
    /// Bytes from the radio.
    pub bytes_in: u64,
}

/// A peer's radio.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PeerRadio {
    /// Its node id.
    pub radio: String,
    /// Hops to it when last heard; 0 is direct.
    pub hops: Option<u8>,
    /// Signal to noise ratio in dB.
    pub snr: Option<f32>,
    /// Signal strength in dBm.
    pub rssi: Option<i32>,
    /// When it was last heard, in seconds since 1970.
    pub heard: Option<u64>,
    /// Whether our radio has its key: "unknown", "known", "missing".
    pub key: &'static str,
}

impl LinkStatus {
    /// A link whose driver has said nothing yet.
    #[must_use]
    pub fn new(spec: &LinkSpec) -> Self {
        Self {
            name: spec.name.clone(),
            kind: spec.kind.as_str(),
            connect: spec.kind.to_string(),
            state: "connecting",
            ..Self::default()
        }
    }

    /// A radio whose driver has said nothing yet.
    pub(super) fn radio(name: &str, radio: &RadioSpec) -> Self {
        let spec = LinkSpec { name: name.to_owned(), kind: LinkKind::Meshtastic(radio.clone()) };
        Self { channel_index: radio.channel_index, ..Self::new(&spec) }
    }

    /// Takes over what the client says of its radio, but for the state of the connection itself.
    pub(super) fn update(&mut self, status: Status, now: Instant) {
        self.fault = status.fault;
        self.radio = status.node.map(|node| LinkAddr::radio(node).to_string());
        self.radio_name = status.name;
        self.firmware = status.firmware;
        self.region = status.region;
        self.preset = status.preset;
        self.hop_limit = status.hop_limit;
        (self.channel_index, self.channel_name) = status.channel;
        self.radio_encryption = status.radio_encryption;
        self.mtu = status.mtu;
        self.duty_percent = status.duty_permille.map(|permille| f32::from(permille) / 10.0);
        self.channel_utilization = status.channel_utilization;
        self.air_util_tx = status.air_util_tx;
        (self.queue_free, self.queue_len) = status.queue.unzip();
        self.stopped_until = status.stopped_until.map(|at| unix_time(at, now));
        self.nodes_known = status.nodes_known;
        self.nodes_heard = status.nodes_heard;
        let peers = status.peers.into_iter().map(|(node, radio)| PeerRadio {
            radio: LinkAddr::radio(node).to_string(),
            hops: radio.hops,
            snr: radio.snr,
            rssi: radio.rssi,
            heard: radio.heard.map(|at| unix_time(at, now)),
            key: match radio.key {
                KeyState::Unknown => "unknown",
                KeyState::Known(_) => "known",
                KeyState::Missing => "missing",
            },
        });
        self.peers = peers.collect();
        let counters = status.counters;
        (self.sent, self.received, self.refused) = (counters.sent, counters.received, counters.refused);
        self.malformed = counters.malformed;
        (self.bytes_out, self.bytes_in) = (counters.bytes_out, counters.bytes_in);
    }
}

/// The wall clock at another instant than `now`.
fn unix_time(at: Instant, now: Instant) -> u64 {
    let wall = SystemTime::now();
    let at = if at > now { wall.checked_add(at - now) } else { wall.checked_sub(now - at) };
    at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs())
}
