//! The client against the daemon's own D-Bus objects, on a bus of the test's own.

mod completing;
mod events;
mod peers;
mod pty;
mod reading;
mod terminal;
mod units;
mod world;
