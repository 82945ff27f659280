//! The JSON that `Describe` returns, `meshctl --json` prints and the status file holds. docs/status.md tells each field.
//!
//! A field that is added needs no new [`SCHEMA`]; one that goes, or means something else, does. What is not known, or never
//! happened, is `null`. Durations end in their unit; times are seconds since 1970.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of the fields' meaning.
pub const SCHEMA: u32 = 1;

/// A network at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The daemon's.
    pub version: String,
    /// The interface, which is the network's name.
    pub interface: String,
    /// starting, running, degraded, stopping.
    pub state: String,
    /// Why it is degraded: interface-down, no-link, state-unsaved.
    pub state_reason: Option<String>,
    /// Ours, in base64.
    pub public_key: String,
    /// Ours, with prefix lengths.
    pub addresses: Vec<String>,
    /// In bytes.
    pub mtu: u16,
    /// When this was made.
    pub unix_time: u64,
    /// How long the daemon runs.
    pub uptime_seconds: u64,
    /// Those of the configuration first, in its order.
    pub peers: Vec<Peer>,
    /// `[Interface]`'s first, then those of `[Link]` sections.
    pub links: Vec<Link>,
    /// Packets that went nowhere, by reason.
    pub drops: BTreeMap<String, u64>,
}

/// A peer at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// In base64.
    pub public_key: String,
    /// What logs and status call it.
    pub name: Option<String>,
    /// PKI, SYMMETRIC, WIREGUARD.
    pub mode: String,
    /// Where it was defined: config, bus, bus-volatile (over the bus, until the daemon ends).
    pub origin: String,
    /// idle, handshaking, established.
    pub state: String,
    /// How long ago a handshake completed.
    pub last_handshake_seconds: Option<u64>,
    /// How long ago an authentic packet came.
    pub last_seen_seconds: Option<u64>,
    /// Where it was last heard, or is sent to.
    pub endpoint: Option<String>,
    /// Through which link.
    pub link: Option<String>,
    /// As configured.
    pub endpoints: Vec<String>,
    /// As configured.
    pub allowed_ips: Vec<String>,
    /// Smoothed, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// The share of questions that stay unanswered, 0 to 1.
    pub loss: Option<f64>,
    /// What we sent.
    pub sent: Counters,
    /// What we received.
    pub received: Counters,
    /// Frames that wait for a session or an address.
    pub waiting: u64,
    /// Packets of it or for it that went nowhere, by reason.
    pub drops: BTreeMap<String, u64>,
    /// How near it is: offline, radio, relayed (by UDP through somebody), direct (by UDP). `null`: the daemon is too old to say.
    #[serde(default)]
    pub tier: Option<String>,
    /// Why the current path is the one that is used: no-path, untried, proven, cheaper, faster, silent, unanswered, link-down,
    /// removed, roamed, heard. docs/status.md tells what each means.
    #[serde(default)]
    pub path_reason: Option<String>,
    /// Every way to it that is known, the current one first.
    #[serde(default)]
    pub paths: Vec<Path>,
}

/// A way to a peer at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Path {
    /// Through which link.
    pub link: String,
    /// To where.
    pub endpoint: String,
    /// What it makes of the peer while it is used: radio, relayed, direct.
    pub tier: String,
    /// How it stands: down, dead, untried, proven.
    pub state: String,
    /// Whether what is sent to the peer goes this way.
    pub current: bool,
    /// How it came to be known: configured, announced, heard.
    pub origin: Option<String>,
    /// How long ago an authentic packet came this way.
    pub last_heard_seconds: Option<u64>,
    /// Smoothed, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// The share of questions that stayed unanswered, 0 to 1.
    pub loss: Option<f64>,
    /// What it has cost.
    pub sent: PathCounters,
}

/// What was sent on a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PathCounters {
    /// Datagrams.
    pub datagrams: u64,
    /// Their bytes, all headers of ours included.
    pub bytes: u64,
    /// Air that they took.
    pub airtime_ms: u64,
}

/// What traffic took, in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Inner packets.
    pub packets: u64,
    /// Bytes of inner packets.
    pub bytes: u64,
    /// Datagrams on links.
    pub datagrams: u64,
    /// Air that these took.
    pub airtime_ms: u64,
}

/// A link at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// As configured.
    pub name: String,
    /// meshtastic, udp.
    pub kind: String,
    /// As configured: where the carrier is.
    pub connect: String,
    /// down, connecting, configuring, up, faulty.
    pub state: String,
    /// What is wrong while it is, as a sentence.
    pub fault: Option<String>,
    /// Why the last connection failed or ended.
    pub last_error: Option<String>,
    /// How many connections were opened.
    pub connections: u64,
    /// Whether the core may use it.
    pub up: bool,
    /// The longest datagram in bytes.
    pub mtu: Option<u16>,
    /// Datagrams that wait for air, by class: handshake, control, interactive, bulk.
    pub queued: BTreeMap<String, u64>,
    /// Air used in the last hour.
    pub airtime_used_ms: u64,
    /// Air that may still be used; `null`: no limit, or unknown.
    pub airtime_left_ms: Option<u64>,
    /// Datagrams handed to the carrier.
    pub sent: u64,
    /// Datagrams received for us.
    pub received: u64,
    /// Datagrams refused.
    pub refused: u64,
    /// Messages from the carrier that made no sense.
    pub malformed: u64,
    /// Bytes to the carrier.
    pub bytes_out: u64,
    /// Bytes from the carrier.
    pub bytes_in: u64,
    /// What a radio says of itself.
    #[serde(flatten)]
    pub radio: Radio,
    /// The peers' radios.
    pub peers: Vec<PeerRadio>,
}

/// What a radio says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Radio {
    /// Its node id.
    pub radio: Option<String>,
    /// Its owner's name for it.
    pub radio_name: Option<String>,
    /// As it says itself.
    pub firmware: Option<String>,
    /// The region whose law it keeps.
    pub region: Option<String>,
    /// The modem preset, or "custom".
    pub preset: Option<String>,
    /// The hop limit that it gives its own packets.
    pub hop_limit: Option<u8>,
    /// The channel that we send on.
    pub channel_index: u8,
    /// Its name; empty if it is the preset's.
    pub channel_name: Option<String>,
    /// Whether the radio encrypts what is encrypted already.
    pub radio_encryption: Option<bool>,
    /// The share of any hour that may be sent, in percent.
    pub duty_percent: Option<f32>,
    /// Percent of the last minute that the channel was busy.
    pub channel_utilization: Option<f32>,
    /// Percent of the last hour that this radio sent.
    pub air_util_tx: Option<f32>,
    /// Free places in the radio's queue.
    pub queue_free: Option<u32>,
    /// All places in the radio's queue.
    pub queue_len: Option<u32>,
    /// Seconds since 1970 until which the radio refuses to send.
    pub stopped_until: Option<u64>,
    /// Nodes in the radio's table.
    pub nodes_known: u32,
    /// Different nodes heard.
    pub nodes_heard: u64,
}

/// A peer's radio.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// Whether our radio has its key: unknown, known, missing.
    pub key: String,
}

impl Network {
    /// Returns the JSON text.
    ///
    /// # Errors
    /// If there is something that JSON cannot say, a number that is none.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// Reads what a daemon of this schema wrote; fields that are unknown here are passed over.
    ///
    /// # Errors
    /// If it is something else.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_daemon_adds_is_passed_over() {
        let network = Network { schema: SCHEMA, interface: "mesh0".to_owned(), ..Network::default() };
        let text = network.to_json().unwrap();
        let later = text.replacen('{', "{\"later\":{\"x\":[1]},", 1);
        assert_eq!(Network::from_json(&later).unwrap(), network);
    }

    #[test]
    fn a_daemon_that_knows_no_paths_is_understood() {
        let peer = Peer { name: Some("cabin".to_owned()), ..Peer::default() };
        let text = Network { peers: vec![peer.clone()], ..Network::default() }.to_json().unwrap();
        let earlier = text.replace(",\"tier\":null,\"path_reason\":null,\"paths\":[]", "");
        assert!(earlier.len() < text.len());
        assert_eq!(Network::from_json(&earlier).unwrap().peers, [peer]);
    }
}
