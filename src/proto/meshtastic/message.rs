//! The messages of the client API that a VPN needs, by their documented field numbers.
//!
//! Two roots: [`ToRadio`] goes to the device, [`FromRadio`] comes from it. Whatever is not listed is skipped by the
//! decoder: a newer firmware's variants arrive as `variant: None`, and a host must ignore them.
#![allow(missing_docs, reason = "the derive writes undocumented accessors")]

use prost::{Message, Oneof};

/// Ports (`Data::portnum`) that matter to us.
pub mod port {
    /// Messages between nodes for people to read.
    pub const TEXT_MESSAGE: u32 = 1;
    /// Where a node says its position.
    pub const POSITION: u32 = 3;
    /// Where a node says its [`User`](super::User), its key included.
    pub const NODE_INFO: u32 = 4;
    /// Acknowledgements and refusals: [`Routing`](super::Routing).
    pub const ROUTING: u32 = 5;
    /// Orders to a node: [`AdminMessage`](super::AdminMessage).
    pub const ADMIN: u32 = 6;
    /// Another tool's IP packets; version 1 peers may send on it.
    pub const IP_TUNNEL: u32 = 33;
    /// Measurements: [`Telemetry`](super::Telemetry).
    pub const TELEMETRY: u32 = 67;
    /// The way of a packet, asked for and answered.
    pub const TRACEROUTE: u32 = 70;
    /// Ours and every private application's: where version 1 sends.
    pub const PRIVATE: u32 = 256;
}

/// `MeshPacket::priority`.
pub mod priority {
    /// Ordinary data.
    pub const DEFAULT: i32 = 64;
    /// Handshakes.
    pub const RELIABLE: i32 = 70;
    /// The firmware's own acknowledgements.
    pub const ACK: i32 = 120;
}

/// `Routing::error_reason` and, for values that stem from routing, `QueueStatus::res`.
pub mod routing_error {
    pub const NONE: i32 = 0;
    pub const NO_ROUTE: i32 = 1;
    pub const GOT_NAK: i32 = 2;
    pub const TIMEOUT: i32 = 3;
    pub const NO_INTERFACE: i32 = 4;
    pub const MAX_RETRANSMIT: i32 = 5;
    pub const NO_CHANNEL: i32 = 6;
    pub const TOO_LARGE: i32 = 7;
    pub const NO_RESPONSE: i32 = 8;
    pub const DUTY_CYCLE_LIMIT: i32 = 9;
    /// In a `QueueStatus`: the queue is full.
    pub const BAD_REQUEST: i32 = 32;
    /// In a `QueueStatus`: there is no radio interface.
    pub const NOT_AUTHORIZED: i32 = 33;
    /// In a `QueueStatus`: sending is disabled.
    pub const PKI_FAILED: i32 = 34;
    pub const PKI_UNKNOWN_PUBKEY: i32 = 35;
    pub const RATE_LIMIT_EXCEEDED: i32 = 38;
    /// Our radio lacks the receiver's key.
    pub const PKI_SEND_FAIL_PUBLIC_KEY: i32 = 39;
}

/// What a host sends to the device.
#[derive(Clone, PartialEq, Message)]
pub struct ToRadio {
    #[prost(oneof = "to_radio::Variant", tags = "1, 3, 4, 7")]
    pub variant: Option<to_radio::Variant>,
}

/// The variants of [`ToRadio`].
pub mod to_radio {
    /// One of these.
    #[derive(Clone, PartialEq, super::Oneof)]
    pub enum Variant {
        #[prost(message, tag = "1")]
        Packet(super::MeshPacket),
        /// Asks for everything the device knows; the nonce comes back in `config_complete_id`.
        #[prost(uint32, tag = "3")]
        WantConfigId(u32),
        #[prost(bool, tag = "4")]
        Disconnect(bool),
        #[prost(message, tag = "7")]
        Heartbeat(super::Heartbeat),
    }
}

/// Keeps the connection; answered by a [`QueueStatus`]. Nonce 1 asks the node to broadcast its node info.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Heartbeat {
    #[prost(uint32, tag = "1")]
    pub nonce: u32,
}

/// What the device sends to its host.
#[derive(Clone, PartialEq, Message)]
pub struct FromRadio {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(oneof = "from_radio::Variant", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 16, 17")]
    pub variant: Option<from_radio::Variant>,
}

/// The variants of [`FromRadio`].
pub mod from_radio {
    /// One of these.
    #[derive(Clone, PartialEq, super::Oneof)]
    pub enum Variant {
        #[prost(message, tag = "2")]
        Packet(super::MeshPacket),
        #[prost(message, tag = "3")]
        MyInfo(super::MyNodeInfo),
        #[prost(message, tag = "4")]
        NodeInfo(super::NodeInfo),
        #[prost(message, tag = "5")]
        Config(super::Config),
        #[prost(message, tag = "6")]
        LogRecord(super::LogRecord),
        #[prost(uint32, tag = "7")]
        ConfigCompleteId(u32),
        #[prost(bool, tag = "8")]
        Rebooted(bool),
        /// A section of the module configuration: never read, but the official client expects some.
        #[prost(message, tag = "9")]
        ModuleConfig(super::Opaque),
        #[prost(message, tag = "10")]
        Channel(super::Channel),
        #[prost(message, tag = "11")]
        QueueStatus(super::QueueStatus),
        #[prost(message, tag = "13")]
        Metadata(super::DeviceMetadata),
        #[prost(message, tag = "15")]
        FileInfo(super::Opaque),
        #[prost(message, tag = "16")]
        ClientNotification(super::ClientNotification),
        #[prost(message, tag = "17")]
        DeviceUiConfig(super::Opaque),
    }
}

/// A message whose content is of no interest: all fields are skipped.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Opaque {}

/// The device's own number.
#[derive(Clone, PartialEq, Message)]
pub struct MyNodeInfo {
    #[prost(uint32, tag = "1")]
    pub my_node_num: u32,
    #[prost(uint32, tag = "8")]
    pub reboot_count: u32,
    #[prost(uint32, tag = "11")]
    pub min_app_version: u32,
    #[prost(bytes = "vec", tag = "12")]
    pub device_id: Vec<u8>,
    #[prost(string, tag = "13")]
    pub pio_env: String,
    #[prost(uint32, tag = "15")]
    pub nodedb_count: u32,
}

/// A node that the device knows.
#[derive(Clone, PartialEq, Message)]
pub struct NodeInfo {
    #[prost(uint32, tag = "1")]
    pub num: u32,
    #[prost(message, optional, tag = "2")]
    pub user: Option<User>,
    #[prost(float, tag = "4")]
    pub snr: f32,
    #[prost(fixed32, tag = "5")]
    pub last_heard: u32,
    #[prost(message, optional, tag = "6")]
    pub device_metrics: Option<DeviceMetrics>,
    #[prost(uint32, tag = "7")]
    pub channel: u32,
    #[prost(bool, tag = "8")]
    pub via_mqtt: bool,
    #[prost(uint32, optional, tag = "9")]
    pub hops_away: Option<u32>,
}

/// Who a node is.
#[derive(Clone, PartialEq, Message)]
pub struct User {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub long_name: String,
    #[prost(string, tag = "3")]
    pub short_name: String,
    #[prost(bytes = "vec", tag = "4")]
    pub macaddr: Vec<u8>,
    #[prost(int32, tag = "5")]
    pub hw_model: i32,
    #[prost(bool, tag = "6")]
    pub is_licensed: bool,
    #[prost(int32, tag = "7")]
    pub role: i32,
    /// The node's Meshtastic public key: empty or 32 bytes. Not a meshnet key.
    #[prost(bytes = "vec", tag = "8")]
    pub public_key: Vec<u8>,
}

/// A packet of the mesh.
#[derive(Clone, PartialEq, Message)]
pub struct MeshPacket {
    /// The sender; a host leaves it 0.
    #[prost(fixed32, tag = "1")]
    pub from: u32,
    #[prost(fixed32, tag = "2")]
    pub to: u32,
    /// Channel index between host and device.
    #[prost(uint32, tag = "3")]
    pub channel: u32,
    #[prost(oneof = "mesh_packet::Payload", tags = "4, 5")]
    pub payload: Option<mesh_packet::Payload>,
    /// Chosen by the sender's host; 0 lets the device choose.
    #[prost(fixed32, tag = "6")]
    pub id: u32,
    #[prost(fixed32, tag = "7")]
    pub rx_time: u32,
    #[prost(float, tag = "8")]
    pub rx_snr: f32,
    #[prost(uint32, tag = "9")]
    pub hop_limit: u32,
    #[prost(bool, tag = "10")]
    pub want_ack: bool,
    #[prost(int32, tag = "11")]
    pub priority: i32,
    #[prost(int32, tag = "12")]
    pub rx_rssi: i32,
    #[prost(bool, tag = "14")]
    pub via_mqtt: bool,
    #[prost(uint32, tag = "15")]
    pub hop_start: u32,
    #[prost(bytes = "vec", tag = "16")]
    pub public_key: Vec<u8>,
    #[prost(bool, tag = "17")]
    pub pki_encrypted: bool,
    #[prost(uint32, tag = "18")]
    pub next_hop: u32,
    #[prost(uint32, tag = "19")]
    pub relay_node: u32,
}

/// The payload of a [`MeshPacket`].
pub mod mesh_packet {
    /// One of these.
    #[derive(Clone, PartialEq, super::Oneof)]
    pub enum Payload {
        #[prost(message, tag = "4")]
        Decoded(super::Data),
        #[prost(bytes = "vec", tag = "5")]
        Encrypted(Vec<u8>),
    }
}

/// What an application sends.
#[derive(Clone, PartialEq, Message)]
pub struct Data {
    #[prost(uint32, tag = "1")]
    pub portnum: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
    #[prost(bool, tag = "3")]
    pub want_response: bool,
    #[prost(fixed32, tag = "4")]
    pub dest: u32,
    #[prost(fixed32, tag = "5")]
    pub source: u32,
    #[prost(fixed32, tag = "6")]
    pub request_id: u32,
    #[prost(fixed32, tag = "7")]
    pub reply_id: u32,
    #[prost(uint32, optional, tag = "9")]
    pub bitfield: Option<u32>,
}

/// What became of a packet: see [`routing_error`].
#[derive(Clone, PartialEq, Message)]
pub struct Routing {
    #[prost(oneof = "routing::Variant", tags = "1, 2, 3")]
    pub variant: Option<routing::Variant>,
}

/// The variants of [`Routing`].
pub mod routing {
    /// One of these.
    #[derive(Clone, Copy, PartialEq, Eq, super::Oneof)]
    pub enum Variant {
        #[prost(message, tag = "1")]
        RouteRequest(super::Opaque),
        #[prost(message, tag = "2")]
        RouteReply(super::Opaque),
        #[prost(int32, tag = "3")]
        ErrorReason(i32),
    }
}

/// The device's answer to every packet and heartbeat from its host: what it did, and the room in its queue.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct QueueStatus {
    #[prost(int32, tag = "1")]
    pub res: i32,
    #[prost(uint32, tag = "2")]
    pub free: u32,
    #[prost(uint32, tag = "3")]
    pub maxlen: u32,
    #[prost(uint32, tag = "4")]
    pub mesh_packet_id: u32,
}

/// A section of the device's configuration.
#[derive(Clone, PartialEq, Message)]
pub struct Config {
    #[prost(oneof = "config::Variant", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9")]
    pub variant: Option<config::Variant>,
}

/// The variants of [`Config`].
pub mod config {
    /// One of these.
    #[derive(Clone, PartialEq, super::Oneof)]
    pub enum Variant {
        #[prost(message, tag = "1")]
        Device(super::DeviceConfig),
        #[prost(message, tag = "2")]
        Position(super::Opaque),
        #[prost(message, tag = "3")]
        Power(super::Opaque),
        #[prost(message, tag = "4")]
        Network(super::Opaque),
        #[prost(message, tag = "5")]
        Display(super::Opaque),
        #[prost(message, tag = "6")]
        Lora(super::LoraConfig),
        #[prost(message, tag = "7")]
        Bluetooth(super::Opaque),
        #[prost(message, tag = "8")]
        Security(super::SecurityConfig),
        #[prost(message, tag = "9")]
        SessionKey(super::Opaque),
    }
}

/// The device's role and node info interval.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct DeviceConfig {
    #[prost(int32, tag = "1")]
    pub role: i32,
    #[prost(int32, tag = "6")]
    pub rebroadcast_mode: i32,
    #[prost(uint32, tag = "7")]
    pub node_info_broadcast_secs: u32,
}

/// How the radio is set: see [`airtime`](super::airtime).
#[derive(Clone, Copy, PartialEq, Message)]
pub struct LoraConfig {
    #[prost(bool, tag = "1")]
    pub use_preset: bool,
    #[prost(int32, tag = "2")]
    pub modem_preset: i32,
    /// In kHz, some rounded (31, 62, 200, 400, 800, 1600); only without a preset.
    #[prost(uint32, tag = "3")]
    pub bandwidth: u32,
    #[prost(uint32, tag = "4")]
    pub spread_factor: u32,
    /// The denominator: 5 to 8.
    #[prost(uint32, tag = "5")]
    pub coding_rate: u32,
    #[prost(int32, tag = "7")]
    pub region: i32,
    #[prost(uint32, tag = "8")]
    pub hop_limit: u32,
    #[prost(bool, tag = "9")]
    pub tx_enabled: bool,
    #[prost(int32, tag = "10")]
    pub tx_power: i32,
    #[prost(uint32, tag = "11")]
    pub channel_num: u32,
    #[prost(bool, tag = "12")]
    pub override_duty_cycle: bool,
}

/// The node's Meshtastic keys; the private one is not read.
#[derive(Clone, PartialEq, Message)]
pub struct SecurityConfig {
    #[prost(bytes = "vec", tag = "1")]
    pub public_key: Vec<u8>,
    #[prost(bool, tag = "5")]
    pub serial_enabled: bool,
}

/// One of the device's eight channels.
#[derive(Clone, PartialEq, Message)]
pub struct Channel {
    #[prost(int32, tag = "1")]
    pub index: i32,
    #[prost(message, optional, tag = "2")]
    pub settings: Option<ChannelSettings>,
    /// 0 disabled, 1 primary, 2 secondary.
    #[prost(int32, tag = "3")]
    pub role: i32,
}

/// A channel's name and key.
#[derive(Clone, PartialEq, Message)]
pub struct ChannelSettings {
    #[prost(bytes = "vec", tag = "2")]
    pub psk: Vec<u8>,
    #[prost(string, tag = "3")]
    pub name: String,
}

/// What the device runs.
#[derive(Clone, PartialEq, Message)]
pub struct DeviceMetadata {
    #[prost(string, tag = "1")]
    pub firmware_version: String,
    #[prost(uint32, tag = "2")]
    pub device_state_version: u32,
    #[prost(int32, tag = "7")]
    pub role: i32,
    #[prost(int32, tag = "9")]
    pub hw_model: i32,
    /// The firmware has public key encryption (2.5 and later).
    #[prost(bool, tag = "11")]
    pub has_pkc: bool,
}

/// Something the device wants a person to read.
#[derive(Clone, PartialEq, Message)]
pub struct ClientNotification {
    #[prost(uint32, optional, tag = "1")]
    pub reply_id: Option<u32>,
    #[prost(fixed32, tag = "2")]
    pub time: u32,
    #[prost(int32, tag = "3")]
    pub level: i32,
    #[prost(string, tag = "4")]
    pub message: String,
}

/// A line of the device's log.
#[derive(Clone, PartialEq, Message)]
pub struct LogRecord {
    #[prost(string, tag = "1")]
    pub message: String,
}

/// Measurements of a node.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Telemetry {
    #[prost(fixed32, tag = "1")]
    pub time: u32,
    #[prost(oneof = "telemetry::Variant", tags = "2, 6")]
    pub variant: Option<telemetry::Variant>,
}

/// The variants of [`Telemetry`].
pub mod telemetry {
    /// One of these.
    #[derive(Clone, Copy, PartialEq, super::Oneof)]
    pub enum Variant {
        #[prost(message, tag = "2")]
        DeviceMetrics(super::DeviceMetrics),
        #[prost(message, tag = "6")]
        LocalStats(super::LocalStats),
    }
}

/// Battery and air.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct DeviceMetrics {
    #[prost(uint32, optional, tag = "1")]
    pub battery_level: Option<u32>,
    #[prost(float, optional, tag = "2")]
    pub voltage: Option<f32>,
    /// Percent of the last minute that the channel was busy.
    #[prost(float, optional, tag = "3")]
    pub channel_utilization: Option<f32>,
    /// Percent of the last hour that this node sent.
    #[prost(float, optional, tag = "4")]
    pub air_util_tx: Option<f32>,
    #[prost(uint32, optional, tag = "5")]
    pub uptime_seconds: Option<u32>,
}

/// The device's counters, which it tells its host alone.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct LocalStats {
    #[prost(uint32, tag = "1")]
    pub uptime_seconds: u32,
    #[prost(float, tag = "2")]
    pub channel_utilization: f32,
    #[prost(float, tag = "3")]
    pub air_util_tx: f32,
    #[prost(uint32, tag = "4")]
    pub num_packets_tx: u32,
    #[prost(uint32, tag = "5")]
    pub num_packets_rx: u32,
}

/// An order to a node; we give ours only one.
#[derive(Clone, PartialEq, Message)]
pub struct AdminMessage {
    #[prost(oneof = "admin_message::Variant", tags = "66")]
    pub variant: Option<admin_message::Variant>,
}

/// The variants of [`AdminMessage`].
pub mod admin_message {
    /// One of these.
    #[derive(Clone, PartialEq, super::Oneof)]
    pub enum Variant {
        /// Take this node, and its key, into the node database.
        #[prost(message, tag = "66")]
        AddContact(super::SharedContact),
    }
}

/// A node as its owner would hand it over on a card.
#[derive(Clone, PartialEq, Message)]
pub struct SharedContact {
    #[prost(uint32, tag = "1")]
    pub node_num: u32,
    #[prost(message, optional, tag = "2")]
    pub user: Option<User>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_of_a_newer_firmware_is_skipped() {
        // Field 19, length-delimited, two bytes: not listed here.
        let decoded = FromRadio::decode(&[0x08, 0x05, 0x9a, 0x01, 0x02, 0x08, 0x01][..]).unwrap();
        assert_eq!(decoded, FromRadio { id: 5, variant: None });
    }

    #[test]
    fn a_packet_keeps_its_documented_bytes() {
        let packet = MeshPacket {
            to: 0xd45b_9db8,
            payload: Some(mesh_packet::Payload::Decoded(Data {
                portnum: port::PRIVATE,
                payload: vec![1, 2],
                ..Data::default()
            })),
            id: 7,
            ..MeshPacket::default()
        };
        let bytes = ToRadio { variant: Some(to_radio::Variant::Packet(packet)) }.encode_to_vec();
        // field 1 { to: fixed32 (0x15), decoded: field 4 (0x22) { portnum 256, payload }, id: fixed32 (0x35) }
        let expected = [
            0x0a, 19, 0x15, 0xb8, 0x9d, 0x5b, 0xd4, 0x22, 7, 0x08, 0x80, 0x02, 0x12, 2, 1, 2, 0x35, 7, 0, 0,
            0,
        ];
        assert_eq!(bytes, expected);
    }
}
