//! The network's object.

use std::collections::BTreeMap;

use meshnet_bus::Error;
use meshnet_bus::describe;
use meshnet_bus::names::{ACTION_CONFIGURE, ACTION_CONTROL, peer_path};
use meshnet_bus::settings::PeerSettings;
use meshnet_proto::key::PublicKey;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::wire::{ObjectPath, OwnedObjectPath};

use super::arguments;
use super::core::Core;
use crate::control::Command;

/// `org.meshnet1.Network`.
pub struct Network {
    core: Core,
}

impl Network {
    /// The properties whose changes are told.
    pub const SIGNALLED: &[&str] = &["Addresses", "Mtu", "State", "StateReason"];

    /// An object that speaks for this core.
    #[must_use]
    pub const fn new(core: Core) -> Self {
        Self { core }
    }

    async fn read<T>(&self, pick: impl FnOnce(&describe::Network) -> T) -> Result<T, Error> {
        Ok(pick(&*self.core.describe().await?))
    }

    async fn sum(&self, pick: impl Fn(&describe::Peer) -> u64) -> Result<u64, Error> {
        self.read(|network| network.peers.iter().map(pick).fold(0, u64::saturating_add)).await
    }
}

#[zbus::interface(name = "org.meshnet1.Network")]
impl Network {
    /// Adds a peer and returns its object.
    ///
    /// public_key is 32 bytes in base64. The keys of settings: Name s (1 to 32 letters, digits, hyphens, underscores, dots; empty
    /// for none), AllowedIPs as (prefixes as 10.42.0.2/32, at most 64), Endpoints as (node ids as !d45b9db8, and for the mode
    /// WIREGUARD also HOST:PORT or udp://HOST:PORT; at most 16), Mode s (PKI, SYMMETRIC, WIREGUARD; if missing, PKI for a peer
    /// with radios only, else WIREGUARD), PresharedKey h (a file descriptor to read one line from, base64; a pipe or a memfd),
    /// RadioPublicKeys as (base64, one for each endpoint that is a radio, or none), PersistentKeepalive q (seconds; 0 for
    /// never), BulkOverRadio b (whether bulk traffic may take the radio of a peer that is reached by UDP too), Persist b
    /// (whether the peer outlives the daemon; also if missing). AllowedIPs are needed, and Endpoints but for a peer of the mode
    /// WIREGUARD that comes to us by UDP. No other key is known.
    ///
    /// Asks polkit for org.meshnet1.configure. Errors: NotAuthorized, InvalidArgs, PeerExists, NotSupported, Busy, Failed.
    #[zbus(out_args("peer"))]
    async fn add_peer(
        &self,
        public_key: String,
        settings: PeerSettings,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let _permit = self.core.admit(&header, ACTION_CONFIGURE).await?;
        let key = arguments::public_key(&public_key)?;
        if settings.allowed_ips.is_none() {
            return Err(Error::InvalidArgs("a peer that is added needs AllowedIPs".to_owned()));
        }
        let change = arguments::peer_change(settings).await?;
        self.core.handle().order(|reply| Command::AddPeer(key, change, reply)).await?;
        Ok(peer_path(key.as_bytes()))
    }

    /// Changes a peer that was added with AddPeer, in what settings has a key for; keys as there. The session stays, unless
    /// Mode or PresharedKey become others.
    ///
    /// Asks polkit for org.meshnet1.configure. Errors: NotAuthorized, InvalidArgs, NoSuchPeer, FromConfigFile, PeerExists (a
    /// prefix or endpoint is another peer's), NotSupported, Busy, Failed.
    async fn set_peer(
        &self,
        public_key: String,
        settings: PeerSettings,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let _permit = self.core.admit(&header, ACTION_CONFIGURE).await?;
        let key = arguments::public_key(&public_key)?;
        let change = arguments::peer_change(settings).await?;
        self.core.handle().order(|reply| Command::SetPeer(key, change, reply)).await
    }

    /// Removes a peer that was added with AddPeer, and forgets its keys.
    ///
    /// Asks polkit for org.meshnet1.configure. Errors: NotAuthorized, InvalidArgs, NoSuchPeer, FromConfigFile, Busy, Failed.
    async fn remove_peer(&self, public_key: String, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        let _permit = self.core.admit(&header, ACTION_CONFIGURE).await?;
        let key = arguments::public_key(&public_key)?;
        self.core.handle().order(|reply| Command::RemovePeer(key, reply)).await
    }

    /// Agrees on fresh keys, with the peer that has this public key or (an empty string) with all. The session in use serves
    /// until then. Returns as soon as the handshake is queued.
    ///
    /// Asks polkit for org.meshnet1.control. Errors: NotAuthorized, InvalidArgs, NoSuchPeer, NotSupported (the peer's mode has
    /// no handshake), LinkDown, AirtimeExhausted, Busy, Failed.
    async fn rekey(&self, public_key: String, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        let _permit = self.core.admit(&header, ACTION_CONTROL).await?;
        let key = if public_key.is_empty() { None } else { Some(arguments::public_key(&public_key)?) };
        self.core.handle().order(|reply| Command::Rekey(key, reply)).await
    }

    /// Reads the configuration file again and applies what is added, changed and removed; all other sessions stay. Nothing is
    /// applied of a file with an error.
    ///
    /// Asks polkit for org.meshnet1.control. Errors: NotAuthorized, InvalidConfig (with file and line), NotSupported (what
    /// changed takes a restart: the private key, the interface's name, RunAsUser, RunAsGroup, SealingThreads; or a link does,
    /// with a FwMark or a port below 1024), Busy, Failed (the kernel refused something: the text says what).
    async fn reload(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        let _permit = self.core.admit(&header, ACTION_CONTROL).await?;
        self.core.handle().order(Command::Reload).await
    }

    /// Returns the state of everything as JSON: one object with a number "schema"; fields may be added within one schema.
    /// The status file holds the same, and meshctl prints it for scripts. Free to read. Errors: Busy, Failed.
    #[zbus(out_args("json"))]
    async fn describe(&self, #[zbus(header)] header: Header<'_>) -> Result<String, Error> {
        let _permit = self.core.enter(&header)?;
        self.core.describe().await?.to_json().map_err(|error| Error::Failed(error.to_string()))
    }

    /// starting, running, degraded, stopping.
    #[zbus(property)]
    async fn state(&self) -> Result<String, Error> {
        self.read(|network| network.state.clone()).await
    }

    /// Why State is degraded: interface-down, no-link, state-unsaved; else empty.
    #[zbus(property)]
    async fn state_reason(&self) -> Result<String, Error> {
        self.read(|network| network.state_reason.clone().unwrap_or_default()).await
    }

    /// The interface's name, which is also the network's.
    #[zbus(property(emits_changed_signal = "const"))]
    async fn interface(&self) -> Result<String, Error> {
        self.read(|network| network.interface.clone()).await
    }

    /// The daemon's version.
    #[zbus(property(emits_changed_signal = "const"))]
    async fn version(&self) -> Result<String, Error> {
        self.read(|network| network.version.clone()).await
    }

    /// Our public key in base64.
    #[zbus(property(emits_changed_signal = "const"))]
    async fn public_key(&self) -> Result<String, Error> {
        self.read(|network| network.public_key.clone()).await
    }

    /// Our addresses on the interface, with prefix lengths.
    #[zbus(property)]
    async fn addresses(&self) -> Result<Vec<String>, Error> {
        self.read(|network| network.addresses.clone()).await
    }

    /// The interface's MTU in bytes of an IP packet.
    #[zbus(property)]
    async fn mtu(&self) -> Result<u32, Error> {
        self.read(|network| u32::from(network.mtu)).await
    }

    /// Inner packets sent to the peers of the moment.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn packets_sent(&self) -> Result<u64, Error> {
        self.sum(|peer| peer.sent.packets).await
    }

    /// Inner packets received from the peers of the moment.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn packets_received(&self) -> Result<u64, Error> {
        self.sum(|peer| peer.received.packets).await
    }

    /// Bytes of inner packets sent to the peers of the moment.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn bytes_sent(&self) -> Result<u64, Error> {
        self.sum(|peer| peer.sent.bytes).await
    }

    /// Bytes of inner packets received from the peers of the moment.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn bytes_received(&self) -> Result<u64, Error> {
        self.sum(|peer| peer.received.bytes).await
    }

    /// Milliseconds of air taken for the peers of the moment.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn airtime_sent(&self) -> Result<u64, Error> {
        self.sum(|peer| peer.sent.airtime_ms).await
    }

    /// Packets that went nowhere, by reason. docs/status.md has the reasons.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn drops(&self) -> Result<BTreeMap<String, u64>, Error> {
        self.read(|network| network.drops.clone()).await
    }

    /// A session with a peer is established.
    #[zbus(signal)]
    pub async fn peer_up(
        emitter: &SignalEmitter<'_>,
        peer: ObjectPath<'_>,
        public_key: &str,
        name: &str,
    ) -> zbus::Result<()>;

    /// A peer's session ended, and no other took its place.
    #[zbus(signal)]
    pub async fn peer_down(
        emitter: &SignalEmitter<'_>,
        peer: ObjectPath<'_>,
        public_key: &str,
        name: &str,
    ) -> zbus::Result<()>;

    /// A peer is reached another way: path is as its CurrentPath, reason as its PathReason.
    #[zbus(signal)]
    pub async fn path_changed(
        emitter: &SignalEmitter<'_>,
        peer: ObjectPath<'_>,
        public_key: &str,
        name: &str,
        path: &str,
        reason: &str,
    ) -> zbus::Result<()>;

    /// A link works.
    #[zbus(signal)]
    pub async fn link_up(emitter: &SignalEmitter<'_>, link: ObjectPath<'_>, name: &str) -> zbus::Result<()>;

    /// A link works no longer; reason is a sentence.
    #[zbus(signal)]
    pub async fn link_down(
        emitter: &SignalEmitter<'_>,
        link: ObjectPath<'_>,
        name: &str,
        reason: &str,
    ) -> zbus::Result<()>;
}

/// How a description names a key.
pub(super) fn key_of(peer: &describe::Peer) -> Option<PublicKey> {
    peer.public_key.parse().ok()
}

/// What a peer's `CurrentPath` says.
pub(super) fn path_of(peer: &describe::Peer) -> String {
    match (&peer.link, &peer.endpoint) {
        (Some(link), Some(endpoint)) => format!("{link} {endpoint}"),
        _ => String::new(),
    }
}
