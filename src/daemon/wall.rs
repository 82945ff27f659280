//! The second wall: what the daemon never does, the kernel does not let it do.
//!
//! Without capabilities and under no_new_privs there is little to gain from a daemon that was taken over; with these filters
//! there is less: no other program (`calls`), no file but its own (`files`). They bind the thread that raises them and
//! those that it starts, for good. The service's unit says the same again from outside; here it holds wherever the daemon runs.
//!
//! Best effort: a kernel that lacks either leaves the first wall, which is whole without it.

mod calls;
mod files;

use std::fmt::Display;
use std::path::Path;

use tracing::debug;

/// The places that the daemon needs from here on.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// What it reads: where configuration and credentials are.
    pub read: &'a [&'a Path],
    /// The directories that it writes in.
    pub write: &'a [&'a Path],
}

/// Raises the wall around the daemon's main thread and all that it starts. Call it once there is nothing left to set up, and
/// before there is a runtime.
pub fn raise(places: Places<'_>) {
    tell("files", files::confine(Some(places)));
    tell("system calls", calls::forbid(calls::Kind::Core));
}

/// Raises the wall around the thread that keeps CAP_NET_ADMIN: it has its socket, and needs no file and no other socket.
pub fn raise_around_netlink() {
    tell("files of the netlink helper", files::confine(None));
    tell("system calls of the netlink helper", calls::forbid(calls::Kind::Netlink));
}

fn tell(what: &str, outcome: Result<String, impl Display>) {
    match outcome {
        Ok(how) => debug!("{what}: {how}"),
        Err(error) => debug!("{what}: no second wall: {error}"),
    }
}
