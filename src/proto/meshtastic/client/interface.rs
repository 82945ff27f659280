//! The words between a [`Client`](super::Client) and its driver.

use std::fmt;

use crate::link::{LinkAddr, LinkEvent};
use crate::meshtastic::message::port;

use super::notice::Notice;

/// How a [`Client`](super::Client) is set.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The channel index to send on.
    pub channel_index: u8,
    /// How many hops a packet may take; `None` chooses by what was heard of the peer.
    pub hop_limit: Option<u8>,
    /// The port to send on; version 1 peers expect [`port::PRIVATE`].
    pub port: u32,
    /// For how many round trips after a datagram the radio is kept polling fast.
    pub expect_round_trips: u32,
    /// The peers' radios.
    pub contacts: Vec<Contact>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            channel_index: 0,
            hop_limit: None,
            port: port::PRIVATE,
            expect_round_trips: 4,
            contacts: Vec::new(),
        }
    }
}

/// A peer's radio, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Its node number.
    pub node: u32,
    /// Its Meshtastic public key, if configured.
    pub public_key: Option<[u8; 32]>,
}

/// What carries the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A TCP connection.
    Tcp,
    /// A serial line.
    Serial,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The radio closed it.
    Closed,
    /// It broke, or we closed it.
    Failed,
}

/// Why the driver must close the connection and open another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnect {
    /// The radio sent no configuration.
    NoAnswer,
    /// The radio's configuration lacks what is needed.
    IncompleteConfig,
    /// A question went unanswered.
    Silent,
}

impl fmt::Display for Reconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAnswer => "the radio sent no configuration",
            Self::IncompleteConfig => "the radio's configuration is incomplete",
            Self::Silent => "the radio does not answer",
        })
    }
}

/// What a [`Client`](super::Client) has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// For the core.
    Link(LinkEvent),
    /// A datagram, for the core.
    Datagram {
        /// From whom.
        from: LinkAddr,
        /// The bytes.
        payload: Vec<u8>,
    },
    /// For the operator.
    Notice(Notice),
    /// For the driver: close the connection and open another.
    Reconnect(Reconnect),
}
