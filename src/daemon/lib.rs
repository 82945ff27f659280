//! The meshnet daemon as a library, for the daemon itself and for the tests of its parts.

pub mod link;
