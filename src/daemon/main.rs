//! The meshnet daemon.

fn main() {}
