//! Worlds of nodes on simulated air: the real core, the real client of a radio and the real simulated radios in one
//! process, in simulated time.
//!
//! A [`World`] holds stations ([`station`]: a host, a daemon's machines, a radio) on one [`Air`](meshnet_radiosim::Air);
//! it goes from one event to the next, hands over what is due, and after each step looks at everything that must always
//! hold ([`watch`]). A [`scenario`] is a world and a story decoded from bytes, so that the same harness serves random
//! worlds from seeds, recorded failures and a fuzzer. [`tool`] is a peer that behaves as the Python tool does.
//! [`fuzz`] holds the bodies of the fuzz targets.
//!
//! Nothing here reads a clock, but for one instant at a world's start whose value does not matter.

pub mod change;
pub mod daemon;
pub mod fuzz;
pub mod internet;
pub mod packet;
pub mod roam;
pub mod scenario;
pub mod script;
pub mod station;
pub mod tcp;
pub mod tool;
pub mod transfer;
pub mod watch;
mod watched;
pub mod world;

pub use world::{Plan, StationPlan, World};
