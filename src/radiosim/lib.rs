//! Virtual Meshtastic radios on one simulated LoRa channel.
//!
//! [`Air`] is the simulation: sans-IO and seeded, for use in a test's own process or behind the ports of the
//! `meshnet-radiosim` command . Each radio answers the client API as the firmware does; the facts and
//! their sources are in the reference `meshtastic.md`, and the tests of this crate are named after them.

mod air;
mod chance;
mod config;
mod ledger;
mod radio;

pub use air::{Air, RadioId};
pub use config::{Acquainted, AirConfig, Burst, ChannelConfig, Faults, Hearing, RadioConfig, Role};
pub use ledger::{LedgerEntry, NodeNum, Totals};
pub use radio::frame::Kind;
pub use radio::port::{ClientId, ClientOutput, Transport};
