//! The daemon of a station: ours, or one that behaves as the Python tool; the world treats both alike.

use std::net::SocketAddr;
use std::time::Instant;

use meshnet_proto::Node;
use meshnet_proto::event::Event;
use meshnet_proto::frame::Mac;
use meshnet_proto::link::{AddrKind, Airtime, LinkAddr, LinkCaps, LinkEvent, LinkId, Transmit};

use crate::tool::Tool;

/// The link of every station, as long as it is not replaced.
pub const LINK: LinkId = LinkId(0);
/// The link of every station where air is free; radios that are replaced never get so far.
pub const FREE: LinkId = LinkId(1000);

/// A running daemon.
pub enum Daemon {
    /// Ours.
    Ours {
        /// The core.
        node: Box<Node>,
        /// Its interface's MAC address.
        mac: Mac,
        /// The link of its radio.
        link: LinkId,
    },
    /// One that behaves as the Python tool.
    Tool(Box<Tool>),
}

/// What the link promises where air is free.
#[must_use]
pub const fn free_caps() -> LinkCaps {
    LinkCaps {
        kind: AddrKind::Udp,
        mtu: 65_000,
        airtime: Airtime::Free,
        cost: 10,
        ordered: false,
        broadcast: false,
        segments: 64,
    }
}

impl Daemon {
    /// The interface's MAC address.
    #[must_use]
    pub fn mac(&self) -> Mac {
        match self {
            Self::Ours { mac, .. } => *mac,
            Self::Tool(tool) => tool.mac(),
        }
    }

    /// Takes a frame from the interface.
    pub fn handle_device(&mut self, frame: &[u8], now: Instant) {
        match self {
            Self::Ours { node, .. } => node.handle_device(frame, now),
            Self::Tool(tool) => tool.handle_device(frame, now),
        }
    }

    /// Takes a datagram from the link.
    pub fn handle_datagram(&mut self, from: LinkAddr, bytes: &[u8], now: Instant) {
        match self {
            Self::Ours { node, link, .. } => node.handle_datagram(*link, from, bytes, now),
            Self::Tool(tool) => tool.handle_datagram(from, bytes, now),
        }
    }

    /// Takes a datagram from the link where air is free.
    pub fn handle_free(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        if let Self::Ours { node, .. } = self {
            let mut row = bytes.to_vec();
            node.handle_datagrams(FREE, LinkAddr::udp(from), &mut row, bytes.len(), now);
        }
    }

    /// The link where air is free is there, with these addresses of the host's, or it is gone.
    pub fn handle_attached(&mut self, addresses: Option<Vec<SocketAddr>>, now: Instant) {
        let Self::Ours { node, .. } = self else { return };
        let event = if addresses.is_some() { LinkEvent::Up(free_caps()) } else { LinkEvent::Down };
        node.handle_link(FREE, event, now);
        node.set_own_addresses(addresses.unwrap_or_default(), now);
    }

    /// Takes what the link says.
    pub fn handle_link(&mut self, event: LinkEvent, now: Instant) {
        match self {
            Self::Ours { node, link, .. } => node.handle_link(*link, event, now),
            Self::Tool(tool) => tool.handle_link(&event),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Ours { node, .. } => node.handle_timeout(now),
            Self::Tool(tool) => tool.handle_timeout(now),
        }
    }

    /// Returns what must be durable before anything leaves.
    pub fn poll_store(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Ours { node, .. } => node.poll_store().map(|stored| stored.text),
            Self::Tool(_) => None,
        }
    }

    /// Returns a frame for the interface.
    pub fn poll_device(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Ours { node, .. } => node.poll_device().map(|frame| frame.bytes.to_vec()),
            Self::Tool(tool) => tool.poll_device(),
        }
    }

    /// Returns a datagram for the link.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        match self {
            Self::Ours { node, .. } => node.poll_transmit(now),
            Self::Tool(tool) => tool.poll_transmit(),
        }
    }

    /// Returns what an operator would be told.
    pub fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Ours { node, .. } => node.poll_event(),
            Self::Tool(_) => None,
        }
    }

    /// Returns when something is due, and why.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<(Instant, &'static str)> {
        match self {
            Self::Ours { node, .. } => node.poll_timeout(now),
            Self::Tool(tool) => tool.poll_timeout(),
        }
    }
}
