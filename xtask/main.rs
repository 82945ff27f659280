//! Demo, test, bench.

fn main() {}
