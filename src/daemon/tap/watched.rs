//! Lets the runtime watch the TAP's descriptor. The one place of this crate's TAP that needs `unsafe`: `tun::Device` shows its
//! descriptor as a number only, and the runtime wants a promise that the number stays good.
#![allow(unsafe_code, reason = "a promise about a descriptor's life that no type makes")]

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A TAP whose descriptor is fixed: the device inside cannot be reached but by shared reference.
pub(super) struct Device(tun::Device);

impl Device {
    /// Takes the device in; nobody gets it out again.
    pub(super) const fn new(device: tun::Device) -> Self {
        Self(device)
    }

    /// Takes the next frame with its header. Never waits, for the descriptor is non-blocking.
    pub(super) fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self, buffer)?)
    }

    /// Gives the kernel a header and a frame.
    pub(super) fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::writev(self, parts)?)
    }
}

impl AsRawFd for Device {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `tun::Device` owns its descriptor and closes it when dropped, not earlier, and the borrow ends before that.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}

/// Has the runtime that this is called in watch for frames.
pub(super) fn watch(device: Device) -> io::Result<AsyncFd<Device>> {
    // SAFETY: `tun::Device` owns its descriptor and closes it when dropped, not earlier. `Device` gives nobody the value or a
    // mutable reference to it, so the descriptor cannot be closed, exchanged or taken out while the `AsyncFd` owns it, and
    // `as_raw_fd` returns the same number every time.
    let watched = unsafe { AsyncFd::register_with_interest(device, Interest::READABLE) };
    Ok(watched?)
}
