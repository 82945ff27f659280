//! The terse encoding: a WireGuard session on a link where every byte costs air.
//!
//! `docs/terse.md` is the specification. The keys, the counters and the replay window are those of the session; what is here
//! leaves out whatever the other side knows or can derive.
//!
//! - [`frame`]: what a datagram is, and how a counter travels as 16 bits.
//! - [`header`]: inner IP, UDP, TCP and ICMP headers, compressed before sealing.
//! - [`handshake`]: the two messages of the handshake without what follows from the static keys.
//! - [`fragment`], [`keeper`], [`reassembly`]: a sealed packet that is longer than the link carries goes in parts, and what
//!   is lost of it is sent again.
//! - [`order`]: segments of TCP connections do not overtake one that is being repaired.
//! - [`parity`]: when a part more is cheaper than asking.

pub mod fragment;
pub mod frame;
pub mod handshake;
pub mod header;
pub mod keeper;
pub mod order;
pub mod parity;
pub mod reassembly;

pub use frame::Malformed;

#[cfg(test)]
mod tests;
