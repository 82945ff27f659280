//! A peer's object.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use meshnet_bus::Error;
use meshnet_bus::describe;
use meshnet_bus::names::ACTION_TRANSMIT;
use meshnet_bus::settings::Pong;
use meshnet_proto::key::PublicKey;
use zbus::message::Header;
use zbus::wire::{OwnedVariant, Variant};

use super::arguments;
use super::core::Core;
use super::network::path_of;
use crate::control::{Command, Scope};

/// `org.meshnet1.Peer`.
pub struct Peer {
    core: Core,
    key: PublicKey,
}

impl Peer {
    /// The properties whose changes are told.
    pub const SIGNALLED: &[&str] =
        &["AllowedIPs", "CurrentPath", "Endpoints", "Mode", "Name", "Origin", "PathReason", "State", "Tier"];

    /// The object of the peer with this key.
    #[must_use]
    pub const fn new(core: Core, key: PublicKey) -> Self {
        Self { core, key }
    }

    async fn read<T>(&self, pick: impl FnOnce(&describe::Peer) -> T) -> Result<T, Error> {
        self.read_with(|_, peer| pick(peer)).await
    }

    async fn read_with<T>(
        &self,
        pick: impl FnOnce(&describe::Network, &describe::Peer) -> T,
    ) -> Result<T, Error> {
        let network = self.core.describe(Scope::Peer(self.key)).await?;
        let peer = network.peers.first();
        let peer = peer.ok_or_else(|| Error::NoSuchPeer(format!("the peer {} is gone", self.key)))?;
        Ok(pick(&network, peer))
    }

    async fn time(&self, ago: impl FnOnce(&describe::Peer) -> Option<u64>) -> Result<u64, Error> {
        self.read_with(|network, peer| ago(peer).map_or(0, |ago| network.unix_time.saturating_sub(ago))).await
    }
}

#[zbus::interface(name = "org.meshnet1.Peer")]
impl Peer {
    /// Sends an ICMP echo request with this many bytes of data (at most 1200) through the tunnel to the peer's own address, and
    /// waits for the answer: for as many milliseconds (at most 600000), or with 0 for as long as the path may take.
    /// Returns the microseconds from the question to the answer, and the microseconds that both packets take on the air with
    /// the wait for a free channel: the least that the path allows (0 if it costs no air).
    ///
    /// Asks polkit for org.meshnet1.transmit. Errors: NotAuthorized, InvalidArgs, NoSuchPeer, LinkDown, AirtimeExhausted, Timeout,
    /// NotSupported (the peer has no address of its own), Busy, Failed.
    #[zbus(out_args("pong"))]
    async fn ping(
        &self,
        bytes: u32,
        timeout_ms: u32,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Pong, Error> {
        let _permit = self.core.admit(&header, ACTION_TRANSMIT).await?;
        let bytes = arguments::ping_len(bytes)?;
        let patience = match arguments::ping_timeout(timeout_ms)? {
            Duration::ZERO => None,
            patience => Some(patience),
        };
        self.core.handle().order(|reply| Command::Ping(self.key, bytes, patience, reply)).await
    }

    /// The peer's identity: its public key in base64.
    #[zbus(property(emits_changed_signal = "const"))]
    fn public_key(&self) -> String {
        self.key.to_string()
    }

    /// What logs and status call the peer; may be empty.
    #[zbus(property)]
    async fn name(&self) -> Result<String, Error> {
        self.read(|peer| peer.name.clone().unwrap_or_default()).await
    }

    /// Where the peer is, as configured: node ids as !d45b9db8, addresses and names as udp://HOST:PORT; none if it comes to us.
    #[zbus(property)]
    async fn endpoints(&self) -> Result<Vec<String>, Error> {
        self.read(|peer| peer.endpoints.clone()).await
    }

    /// The peer's addresses, as configured: prefixes as 10.42.0.2/32.
    #[zbus(property, name = "AllowedIPs")]
    async fn allowed_ips(&self) -> Result<Vec<String>, Error> {
        self.read(|peer| peer.allowed_ips.clone()).await
    }

    /// The session protocol: PKI, SYMMETRIC, WIREGUARD.
    #[zbus(property)]
    async fn mode(&self) -> Result<String, Error> {
        self.read(|peer| peer.mode.clone()).await
    }

    /// Where the peer was defined: config (the configuration file), bus (AddPeer), bus-volatile (AddPeer, until the daemon ends).
    #[zbus(property)]
    async fn origin(&self) -> Result<String, Error> {
        self.read(|peer| peer.origin.clone()).await
    }

    /// The session: idle, handshaking, established.
    #[zbus(property)]
    async fn state(&self) -> Result<String, Error> {
        self.read(|peer| peer.state.clone()).await
    }

    /// The link and the endpoint there, as "radio0 !d45b9db8"; empty if there is no way.
    #[zbus(property)]
    async fn current_path(&self) -> Result<String, Error> {
        self.read(path_of).await
    }

    /// Why CurrentPath is the one that is used, as a word; empty if there is none, or nothing to choose from. docs/status.md has
    /// the words.
    #[zbus(property)]
    async fn path_reason(&self) -> Result<String, Error> {
        self.read(|peer| peer.path_reason.clone().unwrap_or_default()).await
    }

    /// How near the peer is: offline (no way to it), radio, relayed (by UDP through somebody), direct (by UDP).
    #[zbus(property)]
    async fn tier(&self) -> Result<String, Error> {
        self.read(|peer| peer.tier.clone().unwrap_or_default()).await
    }

    /// Every way to the peer, the one in use first, each with what is known of: Link s, Endpoint s, Tier s, State s, Current b
    /// (whether it is in use), Origin s (how it came to be known), LastHeard t (seconds since 1970), Rtt t (microseconds), Loss
    /// d (0 to 1), DatagramsSent t, BytesSent t, AirtimeSent t (milliseconds). docs/status.md has the words.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn paths(&self) -> Result<Vec<HashMap<String, OwnedVariant>>, Error> {
        let all = |network: &describe::Network, peer: &describe::Peer| {
            peer.paths.iter().map(|path| known(path, network.unix_time)).collect()
        };
        self.read_with(all).await?
    }

    /// When a handshake last completed, in seconds since 1970; 0 for never.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn last_handshake(&self) -> Result<u64, Error> {
        self.time(|peer| peer.last_handshake_seconds).await
    }

    /// When an authentic packet last came, in seconds since 1970; 0 for never.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn last_seen(&self) -> Result<u64, Error> {
        self.time(|peer| peer.last_seen_seconds).await
    }

    /// The round trip in microseconds, smoothed; 0 if unknown.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn rtt(&self) -> Result<u64, Error> {
        self.read(|peer| peer.rtt_ms.map_or(0, microseconds)).await
    }

    /// The share of questions that stay unanswered, 0 to 1; below 0 if unknown.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn loss(&self) -> Result<f64, Error> {
        self.read(|peer| peer.loss.unwrap_or(-1.0)).await
    }

    /// Inner packets sent.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn packets_sent(&self) -> Result<u64, Error> {
        self.read(|peer| peer.sent.packets).await
    }

    /// Inner packets received.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn packets_received(&self) -> Result<u64, Error> {
        self.read(|peer| peer.received.packets).await
    }

    /// Bytes of inner packets sent.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn bytes_sent(&self) -> Result<u64, Error> {
        self.read(|peer| peer.sent.bytes).await
    }

    /// Bytes of inner packets received.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn bytes_received(&self) -> Result<u64, Error> {
        self.read(|peer| peer.received.bytes).await
    }

    /// Milliseconds of air that was taken for the peer.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn airtime_sent(&self) -> Result<u64, Error> {
        self.read(|peer| peer.sent.airtime_ms).await
    }

    /// Milliseconds of air that what came from the peer took.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn airtime_received(&self) -> Result<u64, Error> {
        self.read(|peer| peer.received.airtime_ms).await
    }

    /// Packets of the peer or for it that went nowhere, by reason. docs/status.md has the reasons.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn drops(&self) -> Result<BTreeMap<String, u64>, Error> {
        self.read(|peer| peer.drops.clone()).await
    }
}

/// A path as a dictionary of what is known of it.
fn known(path: &describe::Path, unix_time: u64) -> Result<HashMap<String, OwnedVariant>, Error> {
    let text = |text: &str| Some(Variant::from(text.to_owned()));
    let known = [
        ("Link", text(&path.link)),
        ("Endpoint", text(&path.endpoint)),
        ("Tier", text(&path.tier)),
        ("State", text(&path.state)),
        ("Current", Some(Variant::from(path.current))),
        ("Origin", path.origin.as_deref().and_then(text)),
        ("LastHeard", path.last_heard_seconds.map(|ago| Variant::from(unix_time.saturating_sub(ago)))),
        ("Rtt", path.rtt_ms.map(|rtt| Variant::from(microseconds(rtt)))),
        ("Loss", path.loss.map(Variant::from)),
        ("DatagramsSent", Some(Variant::from(path.sent.datagrams))),
        ("BytesSent", Some(Variant::from(path.sent.bytes))),
        ("AirtimeSent", Some(Variant::from(path.sent.airtime_ms))),
    ];
    let known = known.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)));
    known
        .map(|(key, value)| Ok((key.to_owned(), OwnedVariant::try_from(value)?)))
        .collect::<zbus::Result<_>>()
        .map_err(Error::ZBus)
}

/// Whole microseconds; what no round trip takes (below zero, endless, not a number) is unknown.
fn microseconds(milliseconds: f64) -> u64 {
    Duration::try_from_secs_f64(milliseconds / 1000.0)
        .map_or(0, |rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX))
}
