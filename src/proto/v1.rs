//! MeshNet version 1: the protocol of the Python tool, to the byte.
//!
//! Four datagrams ([`wire`]), a handshake of two messages ([`handshake`]), keys and counters that come of it
//! ([`session`]) or are shared beforehand ([`symmetric`], [`counters`]), and fragments ([`fragment`]). These are the parts; when a
//! handshake is due and which session a frame goes through is decided by the node's peers.
//!
//! Version 1 has weaknesses of its format; where they can be contained without changing a byte, the part concerned says
//! how. What the format cannot give: an init carries neither a time nor a proof of liveness, so a recorded one may be
//! answered; it never replaces a session by itself.

pub mod counters;
pub mod fragment;
pub mod handshake;
pub mod replay;
pub mod session;
pub mod symmetric;
pub mod wire;

/// The authentication tag behind every ciphertext.
pub const TAG_LEN: usize = 16;
/// What a TransportData puts around a frame: type, counter, tag.
pub const DATA_OVERHEAD: usize = wire::DATA_HEADER + TAG_LEN;
