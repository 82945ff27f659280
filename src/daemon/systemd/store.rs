//! The service manager's store of descriptors: the TAP outlives the daemon there, and with it the interface, its addresses and
//! routes, and the connections through it.
//!
//! The manager keeps what [`keep`] gives it while the service restarts, and closes it when the service is stopped: then the
//! kernel removes the interface. At the start [`take`] hands back what was kept.
#![allow(unsafe_code, reason = "descriptors arrive as numbers in the environment")]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use sd_notify::NotifyState;

/// A descriptor that was kept, and what it was kept as.
#[derive(Debug)]
pub struct Kept {
    /// The name.
    pub name: String,
    /// The descriptor, closed when dropped and not passed on to other programs.
    pub fd: OwnedFd,
}

/// Takes what the service manager kept for us; nothing the second time. Call it before anything else is opened or started.
///
/// # Errors
/// If the environment does not say what it should, or a descriptor that it names is not open.
pub fn take() -> io::Result<Vec<Kept>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    // Names without descriptors are another process's, whose environment we have.
    if sd_notify::listen_fds()?.len() == 0 {
        return Ok(Vec::new());
    }
    let kept = sd_notify::listen_fds_with_names()?.map(|(number, name)| {
        // SAFETY: `$LISTEN_PID` is ours, so the service manager passed this descriptor to this process for it to own;
        // `listen_fds_with_names` has found it open (it set FD_CLOEXEC on it); and nobody else owns it: this happens once, as
        // `TAKEN` sees to, before anything else was opened.
        Kept { name, fd: unsafe { OwnedFd::from_raw_fd(number) } }
    });
    Ok(kept.collect())
}

/// Has the service manager keep a copy of a descriptor under a name.
///
/// # Errors
/// If the manager cannot be told.
pub fn keep(name: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
    sd_notify::notify_with_fds(&[NotifyState::FdStore, NotifyState::FdName(name)], &[fd])
}

/// Has the service manager forget what it keeps under a name.
///
/// # Errors
/// If the manager cannot be told.
pub fn forget(name: &str) -> io::Result<()> {
    sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)])
}
