//! The ports through which hosts reach the simulated radios: sockets, ptys, and the passing of real time.

pub(crate) mod args;
pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod control;
pub(crate) mod listen;
pub(crate) mod pty;
pub(crate) mod watch;
pub(crate) mod world;
