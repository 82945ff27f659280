//! The TAP: how Ethernet frames come from and go to the kernel.
//!
//! [`open`] makes the interface (or takes an idle one of that name) while the process may; it lives as long as the
//! [`Tap`], unless it was there before. Reads and writes never block: the event loop waits for [`Tap::readable`] and then
//! takes frames until there is none.

mod watched;

use std::io;

use anyhow::Context as _;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Ethernet header in bytes: what a frame is longer than the interface's MTU; and a VLAN tag, which the kernel lets through.
const FRAME_OVERHEAD: usize = 14 + 4;

/// A TAP that was opened, before there is a runtime.
pub struct Opened {
    device: tun::Device,
    mtu: u16,
}

/// Makes the interface and attaches to it. The kernel gives it no address and leaves it down.
///
/// # Errors
/// If the kernel refuses: no CAP_NET_ADMIN, no /dev/net/tun, or another process has an interface of that name.
pub fn open(name: &str, mtu: u16) -> anyhow::Result<Opened> {
    let mut configuration = tun::Configuration::default();
    configuration.tun_name(name).layer(tun::Layer::L2).platform_config(|platform| {
        platform.ensure_root_privileges(false);
    });
    let device = tun::create(&configuration).with_context(|| {
        format!(
            "cannot make the TAP {name} (this takes CAP_NET_ADMIN, /dev/net/tun, and a name that no other program uses)"
        )
    })?;
    device.set_nonblock().context("cannot make the TAP non-blocking")?;
    Ok(Opened { device, mtu })
}

/// A TAP in the event loop.
pub struct Tap {
    device: AsyncFd<watched::Device>,
    buffer: Vec<u8>,
}

impl Opened {
    /// Hands the TAP to the runtime that this is called in.
    ///
    /// # Errors
    /// If the runtime cannot watch the descriptor.
    pub fn into_async(self) -> io::Result<Tap> {
        Ok(Tap {
            device: watched::watch(self.device)?,
            buffer: vec![0; usize::from(self.mtu) + FRAME_OVERHEAD],
        })
    }
}

impl Tap {
    /// Waits until there may be frames.
    ///
    /// # Errors
    /// If the runtime shuts down.
    pub async fn readable(&self) -> io::Result<()> {
        // The readiness stays until `read` finds nothing; the guard itself need not live until then.
        self.device.readable().await.map(drop)
    }

    /// Returns the next frame, or `None` if there is none for the moment. One that is longer than the MTU allows is cut,
    /// which makes it malformed.
    ///
    /// # Errors
    /// If the interface is gone.
    pub fn read(&mut self) -> io::Result<Option<&[u8]>> {
        let buffer = &mut self.buffer;
        match self.device.try_io(Interest::READABLE, |device| device.recv(buffer)) {
            Ok(length) => Ok(Some(&self.buffer[..length.min(self.buffer.len())])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the kernel a frame.
    ///
    /// # Errors
    /// If the kernel does not take it: the interface is down or gone, or memory is short.
    pub fn write(&self, frame: &[u8]) -> io::Result<()> {
        self.device.get_ref().send(frame).map(drop)
    }
}
