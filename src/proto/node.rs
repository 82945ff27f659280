//! The whole machine: frames from the interface in, datagrams to the links out, and back.
//!
//! Usage: after every `handle_*`, drain in this order: [`Node::poll_store`] (what must be durable before anything
//! leaves), [`Node::poll_device`], [`Node::poll_transmit`], [`Node::poll_event`]; then arm one timer by
//! [`Node::poll_timeout`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::config::{Config, ConfigError};
use crate::event::{DropReason, Drops, Event, Snapshot};
use crate::link::{LinkAddr, LinkEvent, LinkId, Transmit};

/// A network's protocol core. See the module's introduction.
pub struct Node {
    #[expect(dead_code, reason = "skeleton")]
    config: Config,
    #[expect(dead_code, reason = "skeleton")]
    rng: ChaCha20Rng,
    drops: Drops,
    events: VecDeque<Event>,
}

impl Node {
    /// Makes a node. `seed` must come from the operating system's randomness (or a test); `unix_time` is the wall clock.
    ///
    /// # Errors
    /// If peers contradict each other.
    pub fn new(
        config: Config,
        seed: [u8; 32],
        _unix_time: Duration,
        _now: Instant,
    ) -> Result<Self, ConfigError> {
        Ok(Self { config, rng: ChaCha20Rng::from_seed(seed), drops: Drops::new(), events: VecDeque::new() })
    }

    /// Takes up what an earlier life of this node gave out by [`Self::poll_store`]. Lines that make no sense are
    /// ignored and counted in the return value.
    pub fn restore(&mut self, _stored: &[u8]) -> usize {
        0
    }

    /// Takes an Ethernet frame from the interface.
    pub fn handle_device(&mut self, _frame: &[u8], _now: Instant) {
        *self.drops.entry(DropReason::NoPath).or_default() += 1;
    }

    /// Takes a datagram from a link.
    pub fn handle_datagram(&mut self, _link: LinkId, _from: LinkAddr, _bytes: &[u8], _now: Instant) {
        *self.drops.entry(DropReason::UnknownSender).or_default() += 1;
    }

    /// Takes news about a link from its driver.
    pub fn handle_link(&mut self, _link: LinkId, _event: LinkEvent, _now: Instant) {}

    /// Does what is due.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// Returns the next frame for the interface.
    pub fn poll_device(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Returns the next datagram for a link that has room.
    pub fn poll_transmit(&mut self, _now: Instant) -> Option<Transmit> {
        None
    }

    /// Returns the next event for an operator.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns what must be on disk before the next [`Self::poll_transmit`] may be called: the whole text of the state
    /// file, which replaces the old one.
    pub fn poll_store(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Returns when [`Self::handle_timeout`] must be called next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        None
    }

    /// Returns the state of everything, for status displays.
    #[must_use]
    pub fn snapshot(&self, _now: Instant) -> Snapshot {
        Snapshot { peers: Vec::new(), links: Vec::new(), drops: self.drops.clone() }
    }
}
