//! What a [`Node`](crate::Node) is told, at its birth and later: parsed and checked, so that nothing in it can be wrong in form.

use std::time::Duration;

use ipnet::IpNet;

use crate::key::{PresharedKey, PrivateKey, PublicKey};
use crate::link::LinkAddr;

/// After how many messages the reference renews a session.
pub const REKEY_AFTER_MESSAGES: u64 = 1 << 16;

/// A network's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our identity.
    pub private_key: PrivateKey,
    /// Our addresses on the interface, each with its prefix length.
    pub addresses: Vec<IpNet>,
    /// The interface's MTU in bytes (of an IP packet).
    pub mtu: u16,
    /// After how many messages a version 1 session is renewed: [`REKEY_AFTER_MESSAGES`] unless there is a reason.
    pub rekey_after_messages: u64,
    /// Everybody we talk to.
    pub peers: Vec<PeerConfig>,
}

/// A peer's configuration.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// Its identity.
    pub public_key: PublicKey,
    /// A secret shared beforehand; [`PeerMode::Symmetric`] needs one.
    pub preshared_key: Option<PresharedKey>,
    /// Which inner addresses are this peer's: for routing there, and for what it may send.
    pub allowed_ips: Vec<IpNet>,
    /// Where it is.
    pub endpoints: Vec<LinkAddr>,
    /// Which session protocol.
    pub mode: PeerMode,
    /// [`PeerMode::Wireguard`] on links where air is free: how often at least the peer hears something, so that a NAT on
    /// the way does not forget us. Nothing of the kind goes over a metered link.
    pub keepalive: Option<Duration>,
    /// [`PeerMode::Wireguard`]: bulk traffic may use a metered link while a link where air is free could reach the peer.
    pub bulk_over_metered: bool,
}

/// The session protocol spoken with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PeerMode {
    /// MeshNet version 1 with a handshake.
    #[default]
    Pki,
    /// MeshNet version 1 with one static key for both directions, and no handshake.
    Symmetric,
    /// The WireGuard protocol, on every link: to the byte where air is free, tersely where it is metered.
    Wireguard,
}

/// Why a configuration makes no node, or a peer's is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No peer has this public key.
    #[error("no peer has the public key {0}")]
    UnknownPeer(PublicKey),
    /// Two peers have the same public key.
    #[error("two peers have the public key {0}")]
    DuplicatePeer(PublicKey),
    /// A peer has our own public key.
    #[error("a peer has our own public key")]
    OwnKey,
    /// A peer's public key is a point of small order: it agrees on no secret.
    #[error("{0} is no usable public key")]
    WeakKey(PublicKey),
    /// A symmetric peer has no preshared key.
    #[error("the symmetric peer {0} has no preshared key")]
    NoPresharedKey(PublicKey),
    /// Two peers have the same AllowedIPs prefix.
    #[error("two peers have the allowed prefix {0}")]
    DuplicatePrefix(IpNet),
    /// Two peers have the same endpoint.
    #[error("two peers have the endpoint {0}")]
    DuplicateEndpoint(LinkAddr),
}
