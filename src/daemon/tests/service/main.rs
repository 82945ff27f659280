//! The daemon's objects on D-Bus, as a client finds them.

mod fake;
mod members;
mod peer_to_peer;
