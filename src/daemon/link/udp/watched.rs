//! A socket that the runtime watches. The one place of the link that needs `unsafe`: the runtime wants a promise that the
//! descriptor stays the same and open.
#![allow(unsafe_code, reason = "a promise about a descriptor's life that no type makes")]

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A socket whose descriptor is fixed: it cannot be reached but by shared reference.
#[derive(Debug)]
pub(super) struct Watched(AsyncFd<Socket>);

#[derive(Debug)]
struct Socket(UdpSocket);

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Watched {
    /// Has the runtime that this is called in watch for what is asked.
    ///
    /// # Errors
    /// If the runtime cannot watch the descriptor.
    pub(super) fn new(socket: UdpSocket, interest: Interest) -> io::Result<Self> {
        // SAFETY: a `UdpSocket` owns its descriptor and closes it when dropped, not earlier. `Socket` is private to this module,
        // which takes no mutable reference to it nor moves it out of the `AsyncFd`, so the descriptor stays the same and open
        // for as long as the `AsyncFd` owns it.
        let socket = unsafe { AsyncFd::register_with_interest(Socket(socket), interest) };
        Ok(Self(socket?))
    }

    /// The socket itself.
    pub(super) fn socket(&self) -> &UdpSocket {
        &self.0.get_ref().0
    }

    /// Waits until something of `interest` may be possible. It stays so until [`Watched::exhausted`].
    ///
    /// # Errors
    /// If the runtime shuts down.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<()> {
        self.0.ready(interest).await.map(drop)
    }

    /// Does something if it may be possible; it is not again until the kernel says so, if that would have blocked.
    ///
    /// # Errors
    /// As of what is done, or `WouldBlock`.
    pub(super) fn try_io<R>(
        &self,
        interest: Interest,
        act: impl FnOnce(&UdpSocket) -> io::Result<R>,
    ) -> io::Result<R> {
        self.0.try_io(interest, |socket| act(&socket.0))
    }

    /// Nothing of this interest is possible until the kernel says so.
    pub(super) fn exhausted(&self, interest: Interest) {
        let nothing = |_: &UdpSocket| Err::<(), _>(io::ErrorKind::WouldBlock.into());
        _ = self.try_io(interest, nothing);
    }
}
