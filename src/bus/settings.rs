//! Dictionaries that methods take.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zbus::wire::{DeserializeDict, OwnedFd, SerializeDict, Type};

/// The longest list in [`PeerSettings`].
pub const MAX_LIST_LEN: usize = 64;
/// The longest text in [`PeerSettings`], in bytes.
pub const MAX_TEXT_LEN: usize = 256;
/// The most endpoints in [`PeerSettings`], and radios' keys.
pub const MAX_ENDPOINTS: usize = 16;
/// The most bytes of data that `Ping` sends: what fits the least MTU of IPv6 with room for headers.
pub const MAX_PING_LEN: u16 = 1200;
/// The longest that `Ping` waits.
pub const MAX_PING_TIMEOUT: Duration = Duration::from_secs(600);

/// What `AddPeer` and `SetPeer` are told of a peer. A key that is missing leaves `SetPeer`'s peer as it is in that respect.
#[derive(Debug, Default, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "PascalCase", deny_unknown_fields)]
pub struct PeerSettings {
    /// What logs and status call it; empty for none.
    pub name: Option<String>,
    /// Its addresses: prefixes (`10.42.0.2/32`). `AddPeer` needs them.
    #[zbus(rename = "AllowedIPs")]
    pub allowed_ips: Option<Vec<String>>,
    /// Where it is: `!d45b9db8`, `udp://HOST:PORT`, `HOST:PORT`. A peer that comes to us by UDP has none.
    pub endpoints: Option<Vec<String>>,
    /// `PKI`, `SYMMETRIC` or `WIREGUARD`; where it is missing, what the endpoints suggest.
    pub mode: Option<String>,
    /// A file descriptor to read the preshared key from: base64, one line. A secret never travels in a message.
    pub preshared_key: Option<OwnedFd>,
    /// The public keys of its radios in base64, one for each endpoint that is a radio, or none.
    pub radio_public_keys: Option<Vec<String>>,
    /// After how many seconds of silence on a free link something is sent to it; 0 for never.
    pub persistent_keepalive: Option<u16>,
    /// Whether bulk traffic may take its radio although it is reached by UDP too.
    pub bulk_over_radio: Option<bool>,
    /// Whether the change outlives the daemon (also where it is missing).
    pub persist: Option<bool>,
}

/// What `Ping` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Pong {
    /// Microseconds from the question to the answer.
    pub rtt_us: u64,
    /// Microseconds that both packets take on the air, with the wait for a free channel: the least that the path allows; 0 if
    /// it costs no air.
    pub floor_us: u64,
}
