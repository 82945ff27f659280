//! The stories: each file makes one claim about the whole program, on real kernels and simulated radios.

#[path = "stories/harness.rs"]
mod harness;
