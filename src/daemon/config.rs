//! The configuration file: an INI-like text in the dialect of the Python tool `meshnet`, and what goes beyond it.
//!
//! Three steps, each in its own file: `syntax` cuts the text into sections and entries with their line numbers,
//! `value` reads single values, `interpret` puts them together and checks what contradicts. None of these touches a
//! file: [`parse`] is a function of the text alone. [`load()`] reads the file, its private key file and their permissions.
//!
//! Invariants: every problem is found in one go, each with its file, line and key, what is wrong and what would be
//! right; no message ever holds a secret; no text can make [`parse`] panic or take more memory than a small multiple of its
//! length.

mod endpoint;
mod error;
mod interpret;
mod load;
mod section;
mod syntax;
pub(crate) mod value;

use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;

use ipnet::IpNet;
use meshnet_proto::key::PrivateKey;
use meshnet_proto::link::AddrKind;

pub(crate) use endpoint::read as read_endpoint;
pub use endpoint::{Endpoint, HostPort};
pub use error::{ConfigError, Severity};
pub(crate) use interpret::contacts;
pub use interpret::{parse, parse_peers};
pub use load::{MAX_FILE_LEN, Source, load};
pub use section::peer_section;
pub use value::name as check_name;

use crate::link::{Contact, LinkSpec};

/// The MTU where the file gives none, in bytes: what the Python tool takes.
pub const DEFAULT_MTU: u16 = 180;
/// The MTU where the file gives none but an IPv6 address: the least that IPv6 allows (RFC 8200 section 5).
pub const IPV6_MTU: u16 = 1280;
/// The MTU where the file gives none but a udp link: what fits WireGuard's data message, over IPv6, in the 1500 bytes that
/// nearly every path carries.
pub const UDP_MTU: u16 = 1420;
/// The MTU where the file gives none, radios are the only links and every peer is in mode WIREGUARD. What is longer than a
/// radio's datagram goes in parts there, of which only what is lost goes again: one seal and one header on six parts take
/// less air than six of each, and fewer segments are acknowledged. This fills six parts of a radio's 219 bytes to the last
/// byte with a TCP segment, as its flow begins (4 bytes of each part are not the packet's; 52 of headers become 26, 16 of
/// authentication come to it), and is enough for IPv6.
pub const TERSE_MTU: u16 = 1300;
/// The interface's name where the file gives none.
pub const DEFAULT_TAP_NAME: &str = "mesh0";

/// What a configuration file says.
#[derive(Debug)]
pub struct Config {
    /// Where our identity is.
    pub key: KeySource,
    /// Our addresses on the interface.
    pub addresses: Vec<IpNet>,
    /// The interface's MTU in bytes.
    pub mtu: u16,
    /// After how many messages a session is renewed.
    pub rekey_after_messages: u64,
    /// On how many threads packets are sealed; `None`: as suits the machine.
    pub sealing_threads: Option<NonZeroUsize>,
    /// The interface's name.
    pub tap_name: String,
    /// Whom to become after setup: a name or a number.
    pub run_as_user: Option<String>,
    /// Which group to take after setup: a name or a number.
    pub run_as_group: Option<String>,
    /// The links, at least one.
    pub links: Vec<LinkSpec>,
    /// Everybody we talk to, but for those that are added at run time.
    pub peers: Vec<Peer>,
    /// What is allowed but deserves a look.
    pub warnings: Vec<ConfigError>,
}

/// Where the private key is.
#[derive(Debug)]
pub enum KeySource {
    /// In the text itself.
    Inline(PrivateKey),
    /// In a file of its own, named on this line; a relative path starts at the configuration file's directory.
    File {
        /// The path as written.
        path: PathBuf,
        /// Where it was written.
        line: u32,
    },
    /// In the credential that the service manager passed.
    Credential,
}

/// A peer as configured.
#[derive(Debug, Clone)]
pub struct Peer {
    /// What logs and status call it; its public key says who it is.
    pub name: Option<String>,
    /// The line of its public key.
    pub line: u32,
    /// What the core needs to know of it.
    pub core: meshnet_proto::config::PeerConfig,
    /// Its radios.
    pub contacts: Vec<Contact>,
    /// Where it is by name: [`crate::resolve`] finds out what the names stand for, and the core is told addresses alone.
    pub names: Vec<HostPort>,
    /// After how many seconds of silence on a free link something is sent to it, so that a NAT in between remembers us.
    pub keepalive: Option<NonZeroU16>,
    /// Whether bulk traffic may take the radio, as far as the file says; see [`Self::bulk_over_radio`].
    pub bulk: Option<bool>,
}

impl Peer {
    /// Returns whether some way to the peer is a radio.
    #[must_use]
    pub fn has_radio(&self) -> bool {
        self.core.endpoints.iter().any(|endpoint| endpoint.kind() == AddrKind::Radio)
    }

    /// Returns whether some way to the peer is UDP, by address or by name.
    #[must_use]
    pub fn has_udp(&self) -> bool {
        !self.names.is_empty() || self.core.endpoints.iter().any(|endpoint| endpoint.kind() == AddrKind::Udp)
    }

    /// Returns whether bulk traffic to the peer may take a radio: as the file says; else if the peer has a radio among its
    /// endpoints, for that the operator gave it one is the permission.
    #[must_use]
    pub fn bulk_over_radio(&self) -> bool {
        self.bulk.unwrap_or_else(|| self.has_radio())
    }

    /// Returns the peer's endpoints as a configuration file has them: addresses first, then names.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint> + '_ {
        let addresses = self.core.endpoints.iter().map(|address| Endpoint::Address(*address));
        addresses.chain(self.names.iter().cloned().map(Endpoint::Name))
    }
}

impl Config {
    /// Returns the private key's own file, if it has one; `dir` is where the configuration is.
    #[must_use]
    pub fn key_file(&self, dir: &std::path::Path) -> Option<PathBuf> {
        match &self.key {
            KeySource::File { path, .. } => Some(dir.join(path)),
            KeySource::Inline(_) | KeySource::Credential => None,
        }
    }

    /// Returns what the core is told, given the private key that [`load()`] found.
    #[must_use]
    pub fn core(&self, private_key: PrivateKey) -> meshnet_proto::config::Config {
        meshnet_proto::config::Config {
            private_key,
            addresses: self.addresses.clone(),
            mtu: self.mtu,
            rekey_after_messages: self.rekey_after_messages,
            peers: self.peers.iter().map(|peer| peer.core.clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
