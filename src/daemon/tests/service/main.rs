//! The daemon's objects on D-Bus, as a client finds them.

mod bounds;
mod bus;
mod errors;
mod fake;
mod flat;
mod members;
mod peer_to_peer;
mod rights;
mod secrets;
mod signals;
