//! What the core knows of a link: what it can carry, what that costs, and what it says back.
//!
//! A *link* is a carrier that this host has. Its driver lives outside the core and speaks in two vocabularies only:
//! it tells the core [`LinkEvent`]s, and it takes [`Transmit`]s. Life-cycle: `Down` (as born) → `Up(caps)` → any number
//! of `Room`, `Refused`, `Spent`, `KeyKnown` and further `Up` (the capabilities changed) → `Down`.
//!
//! Invariants: the core hands a link no more datagrams than its last [`LinkEvent::Room`] allows, none longer than its
//! `mtu`, and none while it is down. The core never asks which technology a link is; an address is opaque to it but
//! for order and equality.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

/// One link of this host; the shell numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u16);

/// What kind of addresses a link reaches. Only drivers and configuration give it a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AddrKind {
    /// A Meshtastic node number.
    Radio,
    /// An IP address and a UDP port.
    Udp,
}

/// Where a peer is on one kind of link: opaque to the core but for its kind, order and equality.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkAddr(Addr);

/// In 24 bytes: every peer has several.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Addr {
    Radio(u32),
    V4(Ipv4Addr, u16),
    /// With the number of the interface that a link-local address is on.
    V6(Ipv6Addr, u16, u32),
}

impl LinkAddr {
    /// The address of a Meshtastic node.
    #[must_use]
    pub const fn radio(node: u32) -> Self {
        Self(Addr::Radio(node))
    }

    /// An IP address and a UDP port. An IPv4 address in IPv6 clothes (`::ffff:a.b.c.d`) is the IPv4 address: sockets for
    /// both families name it so, and one place must have one name.
    #[must_use]
    pub fn udp(address: SocketAddr) -> Self {
        let scope = match address {
            SocketAddr::V6(v6) => v6.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        Self(match address.ip().to_canonical() {
            IpAddr::V4(ip) => Addr::V4(ip, address.port()),
            IpAddr::V6(ip) => Addr::V6(ip, address.port(), scope),
        })
    }

    /// Returns which kind of link reaches this address.
    #[must_use]
    pub const fn kind(&self) -> AddrKind {
        match self.0 {
            Addr::Radio(_) => AddrKind::Radio,
            Addr::V4(..) | Addr::V6(..) => AddrKind::Udp,
        }
    }

    /// Returns the Meshtastic node number, if this is one.
    #[must_use]
    pub const fn as_radio(&self) -> Option<u32> {
        match self.0 {
            Addr::Radio(node) => Some(node),
            Addr::V4(..) | Addr::V6(..) => None,
        }
    }

    /// Returns the IP address and port, if this is that.
    #[must_use]
    pub const fn as_udp(&self) -> Option<SocketAddr> {
        match self.0 {
            Addr::V4(ip, port) => Some(SocketAddr::V4(SocketAddrV4::new(ip, port))),
            Addr::V6(ip, port, scope) => Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope))),
            Addr::Radio(_) => None,
        }
    }
}

impl fmt::Display for LinkAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Addr::Radio(node) => write!(f, "!{node:08x}"),
            Addr::V4(ip, port) => write!(f, "udp://{}", SocketAddrV4::new(ip, port)),
            Addr::V6(ip, port, scope) => write!(f, "udp://{}", SocketAddrV6::new(ip, port, 0, scope)),
        }
    }
}

impl fmt::Debug for LinkAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a link promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkCaps {
    /// The kind of endpoint that it reaches.
    pub kind: AddrKind,
    /// The longest datagram in bytes that it carries whole.
    pub mtu: u16,
    /// What sending costs.
    pub airtime: Airtime,
    /// Preference among links that reach a peer: lower is better.
    pub cost: u32,
    /// Datagrams arrive in the order sent, if at all.
    pub ordered: bool,
    /// One datagram can reach all neighbours.
    pub broadcast: bool,
    /// How many datagrams of equal length it takes at once in one [`Transmit`]; 1 where they go one by one.
    pub segments: u16,
}

/// Whether sending takes a scarce, shared and legally limited medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Airtime {
    /// It does not.
    Free,
    /// It does.
    Metered(Metered),
}

/// The price list of a metered link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metered {
    /// Microseconds of air that a datagram of `n` bytes takes, at index `n`, for every `n` up to the link's MTU.
    pub price: Arc<[u32]>,
    /// The mean wait for the medium before a datagram goes out, on an idle channel.
    pub access: Duration,
    /// How much air this host may take in any hour: the region's duty cycle, less what the carrier needs itself.
    pub hourly: Duration,
}

impl Metered {
    /// Returns the air that a datagram of `len` bytes takes; one over the MTU costs as much as the longest.
    #[must_use]
    pub fn airtime(&self, len: usize) -> Duration {
        let at = len.min(self.price.len().saturating_sub(1));
        Duration::from_micros(self.price.get(at).copied().unwrap_or(0).into())
    }
}

/// What a driver tells the core about its link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The link works, with these capabilities; also sent when they change.
    Up(LinkCaps),
    /// The link works no longer. Everything handed to it and not refused may or may not have gone out.
    Down,
    /// The driver takes this many more datagrams as of now (absolute, not added to what it said before).
    Room(u16),
    /// The datagram with this token did not go out, or in vain ([`Refusal::Unreachable`]).
    Refused {
        /// [`Transmit::token`] of the refused datagram.
        token: u64,
        /// Why.
        reason: Refusal,
    },
    /// How much air the carrier says that this host took in the hour that ends now, all its traffic together.
    Spent(Duration),
    /// The carrier can encrypt for this address again (or for the first time), after a [`Refusal::NoKey`] or before
    /// anything was sent there: what waits for the key may be tried at once.
    KeyKnown(LinkAddr),
}

/// Why a link did not carry a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Longer than the link can carry after all.
    TooLarge,
    /// The carrier's own queue is full.
    QueueFull,
    /// The hour's airtime is spent.
    DutyCycle,
    /// The carrier limits the rate of such datagrams.
    RateLimit,
    /// The carrier cannot encrypt for that address yet; it (or its driver) is finding the key.
    NoKey,
    /// No way to that address, or the carrier gave up after its own retries, or the other end refused it: the air is spent.
    Unreachable,
    /// The carrier cannot send at all for the moment.
    Disabled,
}

/// How urgent a datagram is; earlier is more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A handshake: without it nothing else goes.
    Handshake,
    /// Address resolution for a version 1 peer, and other small things that unblock traffic.
    Control,
    /// Somebody waits for it.
    Interactive,
    /// The rest.
    Bulk,
}

/// A datagram to hand to a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Through which link.
    pub link: LinkId,
    /// To whom.
    pub to: LinkAddr,
    /// The bytes: one datagram of at most the link's MTU, unless `segment` says that there are several.
    pub payload: Vec<u8>,
    /// `payload` is a row of datagrams of this many bytes each, the last of which may be shorter: what the kernel can cut
    /// up by itself (UDP segmentation offload). Only for links that promise [`LinkCaps::segments`].
    pub segment: Option<u16>,
    /// How urgent.
    pub class: Class,
    /// Earlier tries got no answer: the driver should reach as far as it can, whatever it costs.
    pub far: bool,
    /// Names this datagram in a later [`LinkEvent::Refused`].
    pub token: u64,
}
