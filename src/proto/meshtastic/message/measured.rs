//! What a device has measured.

use prost::{Message, Oneof};

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
