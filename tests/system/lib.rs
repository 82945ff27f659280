//! The real binaries in network namespaces: what the tests here, and `cargo xtask demo` and `bench`, are made of.
//!
//! A [`Lab`](lab::Lab) is two sites, each a [`Namespace`](namespace::Namespace) with a simulated radio and a daemon, ours or the Python
//! tool, on one simulated air. Everything that a lab starts ends with it.
//!
//! A [`Machine`](machine::Machine) is more: a whole Debian with systemd, D-Bus and polkit, for what the packaged service does there.

pub mod beat;
pub mod cable;
pub mod clocks;
pub mod config;
pub mod daemon;
pub mod eavesdrop;
pub mod flood;
pub mod flow;
pub mod halt;
pub mod interrupt;
pub mod lab;
pub mod machine;
pub mod namespace;
pub mod paced;
pub mod package;
pub mod pairing;
pub mod ping;
pub mod process;
pub mod programs;
pub mod python;
pub mod radiosim;
pub mod stock;
mod story;
pub mod tools;
pub mod wait;

pub use story::{base, booted_story, can_make_namespaces, story, workspace};
