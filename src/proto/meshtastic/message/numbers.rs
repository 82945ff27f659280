//! Numbers that stand for something, where the messages have no type of their own for them.

/// Ports (`Data::portnum`) that matter to us.
pub mod port {
    /// Messages between nodes for people to read.
    pub const TEXT_MESSAGE: u32 = 1;
    /// Where a node says its position.
    pub const POSITION: u32 = 3;
    /// Where a node says its [`User`](super::super::User), its key included.
    pub const NODE_INFO: u32 = 4;
    /// Acknowledgements and refusals: [`Routing`](super::super::Routing).
    pub const ROUTING: u32 = 5;
    /// Orders to a node: [`AdminMessage`](super::super::AdminMessage).
    pub const ADMIN: u32 = 6;
    /// Another tool's IP packets; version 1 peers may send on it.
    pub const IP_TUNNEL: u32 = 33;
    /// Measurements: [`Telemetry`](super::super::Telemetry).
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
