//! The meshnet daemon.

mod link;

fn main() {}
