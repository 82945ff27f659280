//! The TAP: how Ethernet frames come from and go to the kernel.
//!
//! [`open`] makes the interface (or takes an idle one of that name) while the process may; it lives as long as any copy of
//! the descriptor, unless it was there before. [`adopt`] goes on with one that an earlier life of the daemon left with the
//! service manager. Reads and writes never block: the event loop waits for [`Tap::readable`] and then takes frames until there
//! is none.
//!
//! Each frame comes and goes with an [`Offload`] (`IFF_VNET_HDR`): what the kernel leaves to us, or we to it. How much that is
//! can be changed at any time ([`Tap::set_offloads`]); as opened, it is as much as the kernel knows.

mod kept;
mod vnet;
mod watched;

use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, BorrowedFd, IntoRawFd as _, OwnedFd};

use anyhow::{Context as _, anyhow};
use meshnet_proto::offload::Offload;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::{debug, info, warn};

pub use self::vnet::Offloads;
use crate::systemd::store::{self, Kept};

/// The longest that the kernel hands over: the header, then Ethernet's with a VLAN tag, which it lets through, then a packet
/// that stands for several.
const LONGEST: usize = vnet::LEN + 14 + 4 + 65_535;

/// A TAP that was opened, before there is a runtime.
pub struct Opened {
    device: watched::Device,
    offloads: Offloads,
}

/// Goes on with the interface that the service manager kept, if it is among `kept` and of use; makes one if not. Either way
/// the manager keeps it from here on, and nothing else.
///
/// # Errors
/// As of [`open`].
pub fn take(name: &str, kept: Vec<Kept>) -> anyhow::Result<Opened> {
    let kept_as = format!("tun-{name}");
    let mut taken = None;
    for Kept { name: found, fd } in kept {
        let adopted = if found == kept_as && taken.is_none() {
            adopt(name, fd)
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
    let opened = open(name)?;
    if let Err(error) = store::keep(&kept_as, opened.descriptor()) {
        warn!(%error, "the service manager does not keep the interface: a restart will remove it");
    }
    Ok(opened)
}

/// Makes the interface and attaches to it. The kernel gives it no address and leaves it down.
///
/// # Errors
/// If the kernel refuses: no CAP_NET_ADMIN, no /dev/net/tun, or another process has an interface of that name.
pub fn open(name: &str) -> anyhow::Result<Opened> {
    let device = tun::create(&configuration(name)).with_context(|| {
        format!(
            "cannot make the TAP {name} (this takes CAP_NET_ADMIN, /dev/net/tun, and a name that no other program uses)"
        )
    })?;
    Opened::new(device)
}

/// Goes on with the interface behind a descriptor, which is up and has what it had.
///
/// # Errors
/// If it is not, or not any more, the TAP of that name; then the descriptor is closed.
pub fn adopt(name: &str, fd: OwnedFd) -> anyhow::Result<Opened> {
    kept::check(fd.as_fd(), name)?;
    let device =
        tun::create(configuration(name).raw_fd(fd.into_raw_fd())).context("cannot take the TAP over")?;
    Opened::new(device)
}

fn configuration(name: &str) -> tun::Configuration {
    let mut configuration = tun::Configuration::default();
    configuration.tun_name(name).layer(tun::Layer::L2).platform_config(|platform| {
        platform.ensure_root_privileges(false).vnet_hdr(true);
    });
    configuration
}

/// A TAP in the event loop.
pub struct Tap {
    device: AsyncFd<watched::Device>,
    offloads: Offloads,
    /// Where the header and a frame are read to. Memory that no frame has reached is not there yet.
    buffer: Box<[u8]>,
}

impl Opened {
    fn new(device: tun::Device) -> anyhow::Result<Self> {
        device.set_nonblock().context("cannot make the TAP non-blocking")?;
        let device = watched::Device::new(device);
        vnet::set_header_len(device.as_fd()).context("cannot set the length of the TAP's header")?;
        let offloads = vnet::set_offloads(device.as_fd(), Offloads::TcpAndUdp)
            .context("cannot set what the kernel leaves to the TAP")?;
        Ok(Self { device, offloads })
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
            offloads: self.offloads,
            buffer: vec![0; LONGEST].into_boxed_slice(),
        })
    }
}

impl Tap {
    /// Returns what the kernel leaves to us: if UDP is not among it, it takes no rows of datagrams from us either.
    #[must_use]
    pub const fn offloads(&self) -> Offloads {
        self.offloads
    }

    /// Changes what the kernel may leave to us, or to as much of it as the kernel knows. Frames that wait already are as before.
    ///
    /// # Errors
    /// If the interface is gone.
    pub fn set_offloads(&mut self, wanted: Offloads) -> io::Result<()> {
        self.offloads = vnet::set_offloads(self.device.get_ref().as_fd(), wanted)?;
        Ok(())
    }

    /// Waits until there may be frames.
    ///
    /// # Errors
    /// If the runtime shuts down.
    pub async fn readable(&self) -> io::Result<()> {
        // The readiness stays until `read` finds nothing; the guard itself need not live until then.
        self.device.readable().await.map(drop)
    }

    /// Returns the next frame and what is left to be done to it, or `None` if there is no frame for the moment. It asks the
    /// kernel whether or not [`Tap::readable`] has said anything: what the kernel was just given it may have answered already.
    ///
    /// # Errors
    /// If the interface is gone.
    pub fn read(&mut self) -> io::Result<Option<(&[u8], Offload)>> {
        let (len, offload) = loop {
            let len = match self.device.get_ref().recv(&mut self.buffer) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // So that `readable` waits.
                    let empty = |_: &watched::Device| Err::<(), _>(io::ErrorKind::WouldBlock.into());
                    _ = self.device.try_io(Interest::READABLE, empty);
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            let header = self.buffer.first_chunk().copied().filter(|_| len >= vnet::LEN);
            if let Some(offload) = header.and_then(vnet::parse) {
                break (len, offload);
            }
            debug!(bytes = len, "the kernel asks for something that it was not offered");
        };
        Ok(Some((&self.buffer[vnet::LEN..len], offload)))
    }

    /// Gives the kernel a frame, and what we leave to it.
    ///
    /// # Errors
    /// If the kernel does not take it: the interface is down or gone, memory is short, or the offload does not fit the frame.
    pub fn write(&self, frame: &[u8], offload: Offload) -> io::Result<()> {
        let header = vnet::emit(frame, offload).ok_or(io::ErrorKind::InvalidInput)?;
        self.device.get_ref().send(&[IoSlice::new(&header), IoSlice::new(frame)]).map(drop)
    }
}
