//! The client against the daemon's own D-Bus objects, on a bus of the test's own.

mod completing;
mod events;
mod peers;
mod reading;
mod units;
mod world;
