//! Links: the drivers that carry datagrams, one task each.
//!
//! A radio's driver is started by [`start`] and lives until its [`Link`] is dropped; it reconnects by itself, with backoff and
//! jitter, and tells the core's task what happens as [`FromLink`]. All channels are bounded: a full channel is
//! back-pressure, not memory.
//!
//! The core's task never waits for a driver: it hands datagrams over by `try_send`, and the last `LinkEvent::Room` says
//! how many the driver takes. A driver does wait for the core's task, and reads nothing from its radio meanwhile. So the two
//! cannot wait for each other.

mod meshtastic;
mod serial;
mod status;
mod stream;
mod supervisor;
pub mod udp;
mod udp_spec;

use meshnet_proto::link::{AddrKind, LinkAddr, LinkEvent, LinkId, Transmit};
pub use meshnet_proto::meshtastic::client::Contact;
use tokio::sync::{mpsc, watch};

pub use status::{LinkStatus, PeerRadio};
pub use udp_spec::{DEFAULT_PORT, UdpSpec};

/// Datagrams under way to a driver: more than a driver ever grants room for.
const OUTGOING: usize = 16;

/// A link as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSpec {
    /// Its name in logs and status.
    pub name: String,
    /// What carries it.
    pub kind: LinkKind,
}

/// What carries a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    /// A Meshtastic radio.
    Meshtastic(RadioSpec),
    /// UDP, on whatever IP networks this host is in.
    Udp(UdpSpec),
}

/// A radio as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RadioSpec {
    /// How to reach the radio.
    pub connect: Connect,
    /// The channel index to send on. An index that names a secondary channel called `serial` spares the radio's own
    /// encryption, 12 bytes of every packet.
    pub channel_index: u8,
    /// How many hops a packet may take; `None` lets the driver choose by what it has heard.
    pub hop_limit: Option<u8>,
}

impl LinkKind {
    /// Returns the name in status displays and on D-Bus.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Meshtastic(_) => "meshtastic",
            Self::Udp(_) => "udp",
        }
    }

    /// Returns which kind of addresses such a link reaches.
    #[must_use]
    pub const fn reaches(&self) -> AddrKind {
        match self {
            Self::Meshtastic(_) => AddrKind::Radio,
            Self::Udp(_) => AddrKind::Udp,
        }
    }
}

/// Where the carrier is.
impl std::fmt::Display for LinkKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Meshtastic(radio) => radio.connect.fmt(f),
            Self::Udp(udp) => udp.fmt(f),
        }
    }
}

/// How to reach a radio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connect {
    /// The client API on TCP.
    Tcp {
        /// Name or address; a name is resolved at each try.
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

impl std::fmt::Display for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Serial { path } => write!(f, "serial://{}", path.display()),
        }
    }
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
    /// The link's state, or what is wrong with it, is another: look at its [`Link::status`].
    Changed,
}

/// A running driver; dropping it (and any clone of its sender) stops the driver.
#[derive(Debug)]
pub struct Link {
    /// Takes datagrams by `try_send`, which never finds it full while the driver's last `LinkEvent::Room` is respected.
    pub outgoing: mpsc::Sender<Transmit>,
    /// What a status display shows of it.
    pub status: watch::Receiver<LinkStatus>,
}

/// Starts the driver of a radio, which logs and status call `name`, as a task of the current runtime. `contacts` are the peers' radios, which may change at any time; `seed`
/// comes from the operating system's randomness.
///
/// # Panics
/// Outside of a tokio runtime.
#[must_use]
pub fn start(
    link: LinkId,
    name: String,
    radio: RadioSpec,
    contacts: watch::Receiver<Vec<Contact>>,
    seed: [u8; 32],
    to_core: mpsc::Sender<FromLink>,
) -> Link {
    let (outgoing, from_core) = mpsc::channel(OUTGOING);
    let (status_tx, status) = watch::channel(LinkStatus::radio(&name, &radio));
    let ports = supervisor::Ports { link, from_core, to_core, contacts, status: status_tx };
    tokio::spawn(supervisor::run(name, radio, seed, ports));
    Link { outgoing, status }
}
