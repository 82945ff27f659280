//! The Meshtastic radio as seen by its host: the client API, and what a packet costs on the air.
//!
//! Written from the documented field numbers; holds no text of the project's own `.proto` files. [`stream`] cuts a byte
//! stream into messages, [`message`] gives them their meaning, [`airtime`] says what sending costs, [`client`] makes a
//! radio a link. Pure encoders, decoders and machines: nothing here opens anything.

pub mod airtime;
pub mod client;
pub mod message;
pub mod stream;

/// The Meshtastic address of everybody.
pub const BROADCAST: u32 = 0xffff_ffff;
