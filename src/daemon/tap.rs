//! The TAP: how Ethernet frames come from and go to the kernel.
//!
//! [`open`] makes the interface (or takes an idle one of that name) while the process may; it lives as long as any copy of
//! the descriptor, unless it was there before. [`adopt`] goes on with one that an earlier life of the daemon left with the
//! service manager. Reads and writes never block: the event loop waits for [`Tap::readable`] and then takes frames until there
//! is none.

mod kept;
mod watched;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, IntoRawFd as _, OwnedFd};

use anyhow::{Context as _, anyhow};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::{info, warn};

use crate::systemd::store::{self, Kept};

/// Ethernet header in bytes: what a frame is longer than the interface's MTU; and a VLAN tag, which the kernel lets through.
const FRAME_OVERHEAD: usize = 14 + 4;

/// A TAP that was opened, before there is a runtime.
pub struct Opened {
    device: watched::Device,
    mtu: u16,
}

/// Goes on with the interface that the service manager kept, if it is among `kept` and of use; makes one if not. Either way
/// the manager keeps it from here on, and nothing else.
///
/// # Errors
/// As of [`open`].
pub fn take(name: &str, mtu: u16, kept: Vec<Kept>) -> anyhow::Result<Opened> {
    let kept_as = format!("tun-{name}");
    let mut taken = None;
    for Kept { name: found, fd } in kept {
        let adopted = if found == kept_as && taken.is_none() {
            adopt(name, mtu, fd)
        } else {
            Err(anyhow!("nothing of that name is of use to this network"))
        };
        match adopted {
            Ok(opened) => taken = Some(opened),
            Err(error) => {
                warn!("the service manager kept {found}, which is dropped: {error:#}");
                // One that is dropped in vain comes back at the next start, and is dropped again.
                let _ = store::forget(&found);
            }
        }
    }
    if let Some(opened) = taken {
        info!(interface = name, "going on with the interface of before");
        return Ok(opened);
    }
    let opened = open(name, mtu)?;
    if let Err(error) = store::keep(&kept_as, opened.descriptor()) {
        warn!(%error, "the service manager does not keep the interface: a restart will remove it");
    }
    Ok(opened)
}

/// Makes the interface and attaches to it. The kernel gives it no address and leaves it down.
///
/// # Errors
/// If the kernel refuses: no CAP_NET_ADMIN, no /dev/net/tun, or another process has an interface of that name.
pub fn open(name: &str, mtu: u16) -> anyhow::Result<Opened> {
    let device = tun::create(&configuration(name)).with_context(|| {
        format!(
            "cannot make the TAP {name} (this takes CAP_NET_ADMIN, /dev/net/tun, and a name that no other program uses)"
        )
    })?;
    Opened::new(device, mtu)
}

/// Goes on with the interface behind a descriptor, which is up and has what it had.
///
/// # Errors
/// If it is not, or not any more, the TAP of that name; then the descriptor is closed.
pub fn adopt(name: &str, mtu: u16, fd: OwnedFd) -> anyhow::Result<Opened> {
    kept::check(fd.as_fd(), name)?;
    let device =
        tun::create(configuration(name).raw_fd(fd.into_raw_fd())).context("cannot take the TAP over")?;
    Opened::new(device, mtu)
}

fn configuration(name: &str) -> tun::Configuration {
    let mut configuration = tun::Configuration::default();
    configuration.tun_name(name).layer(tun::Layer::L2).platform_config(|platform| {
        platform.ensure_root_privileges(false);
    });
    configuration
}

/// A TAP in the event loop.
pub struct Tap {
    device: AsyncFd<watched::Device>,
    buffer: Vec<u8>,
}

impl Opened {
    fn new(device: tun::Device, mtu: u16) -> anyhow::Result<Self> {
        device.set_nonblock().context("cannot make the TAP non-blocking")?;
        Ok(Self { device: watched::Device::new(device), mtu })
    }

    /// Returns the descriptor, for a copy that outlives the daemon.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }

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
    /// Makes room for the frames of an interface with this MTU.
    pub fn set_mtu(&mut self, mtu: u16) {
        self.buffer.resize(usize::from(mtu) + FRAME_OVERHEAD, 0);
    }

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
