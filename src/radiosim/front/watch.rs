//! Readiness of a file descriptor that the runtime does not know: a timer, a pty.
#![allow(unsafe_code, reason = "the runtime's only way to watch a foreign descriptor")]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Lets the runtime watch a descriptor.
///
/// # Errors
/// If the kernel cannot poll it.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open for as long as it lives, always has the same number, and is moved into the
    // `AsyncFd`, which hands out only shared references to it here and in its users.
    let watched = unsafe { AsyncFd::register(fd) };
    watched.map_err(|error| error.into_parts().1)
}
