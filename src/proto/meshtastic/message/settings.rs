//! What a device is set to, and what it runs.

use prost::{Message, Oneof};

use super::Opaque;

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

/// How the radio is set: see [`airtime`](crate::meshtastic::airtime).
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
