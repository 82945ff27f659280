//! The meshnet protocol core.
//!
//! Sans-IO: nothing in this crate opens a socket, reads a clock or draws randomness. Time comes in as the last argument,
//! chance as a seed, and whatever is to be done comes out of a `poll_*` method. The same inputs with the same seed give
//! the same outputs, byte for byte; that is what the simulated worlds in `tests/sim` rest on.
//!
//! - [`Node`]: the whole machine, with its [`config`] and what it tells ([`event`]).
//! - [`key`]: what a peer is.
//! - [`link`]: what the core knows of a carrier, and the messages between the core and a link's driver.
//! - [`meshtastic`]: the client API of a Meshtastic radio, and the price of its air.

mod account;
pub mod aead;
mod budget;
pub mod config;
pub mod control;
pub mod event;
pub mod frame;
mod icmp;
pub mod key;
mod limit;
pub mod link;
pub mod meshtastic;
pub mod neighbour;
mod node;
pub mod offload;
pub mod path;
mod queue;
mod route;
pub mod terse;
pub mod v1;
pub mod wg;

pub use neighbour::mac_of;
pub use node::{DeviceFrame, Node, PingError, RekeyError, Stored};

#[cfg(test)]
pub(crate) mod testing {
    /// The instant at which a test's simulated time starts.
    #[expect(
        clippy::disallowed_methods,
        reason = "an instant can only come from the clock; its value does not matter"
    )]
    pub(crate) fn start() -> std::time::Instant {
        std::time::Instant::now()
    }
}
