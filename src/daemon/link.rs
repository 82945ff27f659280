//! Links: the drivers that carry datagrams, one task each.
//!
//! A driver is started by [`start`] and lives until its [`Link`] is dropped; it reconnects by itself, with backoff and
//! jitter, and tells the core's task what happens as [`FromLink`]. All channels are bounded: a full channel is
//! back-pressure, not memory.
#![allow(dead_code, reason = "skeleton")]

use meshnet_proto::link::{LinkAddr, LinkEvent, LinkId, Transmit};
use tokio::sync::{mpsc, watch};

/// A link as configured.
#[derive(Debug, Clone)]
pub struct LinkSpec {
    /// Its name in logs and status.
    pub name: String,
    /// How to reach the radio.
    pub connect: Connect,
    /// The channel index to send on.
    pub channel_index: u8,
    /// How many hops a packet may take; `None` lets the driver choose by what it has heard.
    pub hop_limit: Option<u8>,
    /// Peers on this link whose radio keys are known.
    pub contacts: Vec<Contact>,
}

/// How to reach a radio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connect {
    /// The client API on TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// 4403 unless said otherwise.
        port: u16,
    },
    /// The client API on a serial port.
    Serial {
        /// The device.
        path: std::path::PathBuf,
    },
}

/// A peer's radio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Its node number.
    pub node: u32,
    /// Its Meshtastic public key, if configured (`RadioPublicKey =`).
    pub public_key: Option<[u8; 32]>,
}

/// From a driver to the core's task.
#[derive(Debug)]
pub struct FromLink {
    /// Which link.
    pub link: LinkId,
    /// What.
    pub what: Incoming,
}

/// What a driver has to say.
#[derive(Debug)]
pub enum Incoming {
    /// For the core.
    Event(LinkEvent),
    /// A datagram, for the core.
    Datagram {
        /// From whom.
        from: LinkAddr,
        /// The bytes.
        payload: Vec<u8>,
    },
}

/// A running driver; dropping it stops the driver.
pub struct Link {
    /// Takes datagrams; never more than the driver's last `LinkEvent::Room` allows.
    pub outgoing: mpsc::Sender<Transmit>,
    /// What a status display shows of it.
    pub status: watch::Receiver<LinkStatus>,
}

/// What a status display shows of a link.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LinkStatus {
    /// "down", "connecting", "configuring", "up", "faulty"
    pub state: &'static str,
}

/// Starts a driver.
pub fn start(_link: LinkId, _spec: LinkSpec, _seed: [u8; 32], to_core: mpsc::Sender<FromLink>) -> Link {
    let (outgoing, mut datagrams) = mpsc::channel(1);
    let (say, status) = watch::channel(LinkStatus { state: "down" });
    tokio::spawn(async move {
        while datagrams.recv().await.is_some() {}
        drop((to_core, say));
    });
    Link { outgoing, status }
}
