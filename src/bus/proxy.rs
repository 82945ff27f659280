//! The interfaces as a client calls them. What each member means stands at the daemon's objects, whose documentation is in
//! the interface XML.

use std::collections::{BTreeMap, HashMap};

use zbus::wire::{ObjectPath, OwnedObjectPath, OwnedVariant};

use crate::error::Error;
use crate::settings::{PeerSettings, Pong};

/// A network, at [`crate::names::ROOT`].
#[zbus::proxy(interface = "org.meshnet1.Network", default_path = "/org/meshnet1", assume_defaults = false)]
pub trait Network {
    /// Adds a peer.
    #[zbus(allow_interactive_auth)]
    fn add_peer(&self, public_key: &str, settings: PeerSettings) -> Result<OwnedObjectPath, Error>;
    /// Changes a peer that was added over the bus.
    #[zbus(allow_interactive_auth)]
    fn set_peer(&self, public_key: &str, settings: PeerSettings) -> Result<(), Error>;
    /// Removes a peer that was added over the bus.
    #[zbus(allow_interactive_auth)]
    fn remove_peer(&self, public_key: &str) -> Result<(), Error>;
    /// Agrees on fresh keys, with one peer or (an empty string) with all.
    #[zbus(allow_interactive_auth)]
    fn rekey(&self, public_key: &str) -> Result<(), Error>;
    /// Reads the configuration file again.
    #[zbus(allow_interactive_auth)]
    fn reload(&self) -> Result<(), Error>;
    /// Returns the state of everything as JSON ([`crate::describe`]).
    fn describe(&self) -> Result<String, Error>;

    /// starting, running, degraded, stopping.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    /// Why it is degraded: interface-down, no-link, state-unsaved; else empty.
    #[zbus(property)]
    fn state_reason(&self) -> zbus::Result<String>;
    /// The interface's name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn interface(&self) -> zbus::Result<String>;
    /// The daemon's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;
    /// Our public key in base64.
    #[zbus(property(emits_changed_signal = "const"))]
    fn public_key(&self) -> zbus::Result<String>;
    /// Our addresses with prefix lengths.
    #[zbus(property)]
    fn addresses(&self) -> zbus::Result<Vec<String>>;
    /// The interface's MTU in bytes.
    #[zbus(property)]
    fn mtu(&self) -> zbus::Result<u32>;
    /// Inner packets sent.
    #[zbus(property(emits_changed_signal = "false"))]
    fn packets_sent(&self) -> zbus::Result<u64>;
    /// Inner packets received.
    #[zbus(property(emits_changed_signal = "false"))]
    fn packets_received(&self) -> zbus::Result<u64>;
    /// Bytes of inner packets sent.
    #[zbus(property(emits_changed_signal = "false"))]
    fn bytes_sent(&self) -> zbus::Result<u64>;
    /// Bytes of inner packets received.
    #[zbus(property(emits_changed_signal = "false"))]
    fn bytes_received(&self) -> zbus::Result<u64>;
    /// Milliseconds of air taken.
    #[zbus(property(emits_changed_signal = "false"))]
    fn airtime_sent(&self) -> zbus::Result<u64>;
    /// Packets that went nowhere, by reason.
    #[zbus(property(emits_changed_signal = "false"))]
    fn drops(&self) -> zbus::Result<BTreeMap<String, u64>>;

    /// A session with a peer is established.
    #[zbus(signal)]
    fn peer_up(&self, peer: ObjectPath<'_>, public_key: &str, name: &str) -> zbus::Result<()>;
    /// A peer's session ended.
    #[zbus(signal)]
    fn peer_down(&self, peer: ObjectPath<'_>, public_key: &str, name: &str) -> zbus::Result<()>;
    /// A peer is reached another way.
    #[zbus(signal)]
    fn path_changed(
        &self,
        peer: ObjectPath<'_>,
        public_key: &str,
        name: &str,
        path: &str,
        reason: &str,
    ) -> zbus::Result<()>;
    /// A link works.
    #[zbus(signal)]
    fn link_up(&self, link: ObjectPath<'_>, name: &str) -> zbus::Result<()>;
    /// A link works no longer.
    #[zbus(signal)]
    fn link_down(&self, link: ObjectPath<'_>, name: &str, reason: &str) -> zbus::Result<()>;
}

/// A peer.
#[zbus::proxy(interface = "org.meshnet1.Peer", assume_defaults = false)]
pub trait Peer {
    /// Sends an ICMP echo of this many bytes of data through the tunnel; waits for as many milliseconds (0: as long as the path
    /// may take).
    #[zbus(allow_interactive_auth)]
    fn ping(&self, bytes: u32, timeout_ms: u32) -> Result<Pong, Error>;

    /// In base64.
    #[zbus(property(emits_changed_signal = "const"))]
    fn public_key(&self) -> zbus::Result<String>;
    /// May be empty.
    #[zbus(property)]
    fn name(&self) -> zbus::Result<String>;
    /// Where it is.
    #[zbus(property)]
    fn endpoints(&self) -> zbus::Result<Vec<String>>;
    /// Its addresses.
    #[zbus(property, name = "AllowedIPs")]
    fn allowed_ips(&self) -> zbus::Result<Vec<String>>;
    /// PKI, SYMMETRIC, WIREGUARD.
    #[zbus(property)]
    fn mode(&self) -> zbus::Result<String>;
    /// config, bus, bus-volatile.
    #[zbus(property)]
    fn origin(&self) -> zbus::Result<String>;
    /// idle, handshaking, established.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    /// The link and the endpoint there, as `radio0 !d45b9db8`; empty if there is no way.
    #[zbus(property)]
    fn current_path(&self) -> zbus::Result<String>;
    /// Why that one; empty if there is none, or nothing to choose from.
    #[zbus(property)]
    fn path_reason(&self) -> zbus::Result<String>;
    /// offline, radio, relayed, direct.
    #[zbus(property)]
    fn tier(&self) -> zbus::Result<String>;
    /// Every way to the peer, each with what is known of: Link s, Endpoint s, Tier s, State s, Current b, Origin s, LastHeard t,
    /// Rtt t, Loss d, DatagramsSent t, BytesSent t, AirtimeSent t.
    #[zbus(property(emits_changed_signal = "false"))]
    fn paths(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
    /// Seconds since 1970; 0 for never.
    #[zbus(property(emits_changed_signal = "false"))]
    fn last_handshake(&self) -> zbus::Result<u64>;
    /// Seconds since 1970; 0 for never.
    #[zbus(property(emits_changed_signal = "false"))]
    fn last_seen(&self) -> zbus::Result<u64>;
    /// Microseconds, smoothed; 0 if unknown.
    #[zbus(property(emits_changed_signal = "false"))]
    fn rtt(&self) -> zbus::Result<u64>;
    /// The share of questions that stay unanswered, 0 to 1; below 0 if unknown.
    #[zbus(property(emits_changed_signal = "false"))]
    fn loss(&self) -> zbus::Result<f64>;
    /// Inner packets sent.
    #[zbus(property(emits_changed_signal = "false"))]
    fn packets_sent(&self) -> zbus::Result<u64>;
    /// Inner packets received.
    #[zbus(property(emits_changed_signal = "false"))]
    fn packets_received(&self) -> zbus::Result<u64>;
    /// Bytes of inner packets sent.
    #[zbus(property(emits_changed_signal = "false"))]
    fn bytes_sent(&self) -> zbus::Result<u64>;
    /// Bytes of inner packets received.
    #[zbus(property(emits_changed_signal = "false"))]
    fn bytes_received(&self) -> zbus::Result<u64>;
    /// Milliseconds of air that was taken for it.
    #[zbus(property(emits_changed_signal = "false"))]
    fn airtime_sent(&self) -> zbus::Result<u64>;
    /// Milliseconds of air that what came from it took.
    #[zbus(property(emits_changed_signal = "false"))]
    fn airtime_received(&self) -> zbus::Result<u64>;
    /// Packets of it or for it that went nowhere, by reason.
    #[zbus(property(emits_changed_signal = "false"))]
    fn drops(&self) -> zbus::Result<BTreeMap<String, u64>>;
}

/// A link.
#[zbus::proxy(interface = "org.meshnet1.Link", assume_defaults = false)]
pub trait Link {
    /// As configured.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> zbus::Result<String>;
    /// meshtastic, udp.
    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> zbus::Result<String>;
    /// Where the carrier is: `tcp://192.0.2.7:4403`, `serial:///dev/ttyUSB0`, `udp://*:51820`.
    #[zbus(property)]
    fn connect(&self) -> zbus::Result<String>;
    /// down, connecting, configuring, up, faulty.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    /// What is wrong while it is, as a sentence; else empty.
    #[zbus(property)]
    fn fault(&self) -> zbus::Result<String>;
    /// The longest datagram in bytes; 0 if unknown.
    #[zbus(property)]
    fn mtu(&self) -> zbus::Result<u32>;
    /// Datagrams sent.
    #[zbus(property(emits_changed_signal = "false"))]
    fn datagrams_sent(&self) -> zbus::Result<u64>;
    /// Datagrams received for us.
    #[zbus(property(emits_changed_signal = "false"))]
    fn datagrams_received(&self) -> zbus::Result<u64>;
    /// Datagrams that the carrier refused.
    #[zbus(property(emits_changed_signal = "false"))]
    fn datagrams_refused(&self) -> zbus::Result<u64>;
    /// Datagrams that wait for air, by class.
    #[zbus(property(emits_changed_signal = "false"))]
    fn queued(&self) -> zbus::Result<BTreeMap<String, u32>>;
}

/// A link that is a radio.
#[zbus::proxy(interface = "org.meshnet1.Link.Radio", assume_defaults = false)]
pub trait Radio {
    /// `!d45b9db8`; empty while unknown.
    #[zbus(property)]
    fn node_id(&self) -> zbus::Result<String>;
    /// Its owner's name for it.
    #[zbus(property)]
    fn radio_name(&self) -> zbus::Result<String>;
    /// As it says itself.
    #[zbus(property)]
    fn firmware(&self) -> zbus::Result<String>;
    /// The region whose law it keeps.
    #[zbus(property)]
    fn region(&self) -> zbus::Result<String>;
    /// The modem preset.
    #[zbus(property)]
    fn preset(&self) -> zbus::Result<String>;
    /// Percent of the last minute that the channel was busy; below 0 if unknown.
    #[zbus(property(emits_changed_signal = "false"))]
    fn channel_utilization(&self) -> zbus::Result<f64>;
    /// Milliseconds of air that we took in the last hour.
    #[zbus(property(emits_changed_signal = "false"))]
    fn airtime_used(&self) -> zbus::Result<u64>;
    /// Milliseconds of air that may still be taken; the largest number if there is no limit.
    #[zbus(property(emits_changed_signal = "false"))]
    fn airtime_left(&self) -> zbus::Result<u64>;
    /// Free places in the radio's queue.
    #[zbus(property(emits_changed_signal = "false"))]
    fn queue_free(&self) -> zbus::Result<u32>;
    /// All places in the radio's queue.
    #[zbus(property(emits_changed_signal = "false"))]
    fn queue_length(&self) -> zbus::Result<u32>;
    /// Nodes that the radio heard.
    #[zbus(property(emits_changed_signal = "false"))]
    fn nodes_heard(&self) -> zbus::Result<u32>;
    /// The peers' radios, each with what is known of: Radio s, Hops y, Snr d, Rssi i, Heard t, Key s.
    #[zbus(property(emits_changed_signal = "false"))]
    fn neighbours(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
}
