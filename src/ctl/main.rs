//! The meshnet client.

fn main() {}
