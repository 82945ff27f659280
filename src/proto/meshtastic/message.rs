//! The messages of the client API that a VPN needs, by their documented field numbers.
//!
//! Two roots: [`ToRadio`] goes to the device, [`FromRadio`] comes from it; `settings` and `measured` have what it says of
//! itself. Whatever is not listed is skipped by the decoder: a newer firmware's variants arrive as `variant: None`, and a host
//! must ignore them.
#![allow(missing_docs, reason = "the derive writes undocumented accessors")]

mod measured;
mod numbers;
mod settings;

use prost::{Message, Oneof};

pub use self::measured::{DeviceMetrics, LocalStats, Telemetry, telemetry};
pub use self::numbers::{port, priority, routing_error};
pub use self::settings::{
    Channel, ChannelSettings, Config, DeviceConfig, DeviceMetadata, LoraConfig, SecurityConfig, config,
};

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
