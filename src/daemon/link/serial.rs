//! A serial port as a non-blocking stream.
//!
//! `serialport` opens and sets it (115200 8N1, raw, exclusive); it reads by blocking in `poll`, so reading and writing are
//! done here on its descriptor, woken by the runtime. Pseudo terminals, which stand in for ports in tests and behind
//! `socat`, take the same path; they have no line speed and may be open elsewhere, which is tolerated for them alone.
#![allow(unsafe_code, reason = "a descriptor is lent to the runtime and to system calls, below")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::termios::{ControlFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd;
use serialport::{DataBits, FlowControl, Parity, StopBits, TTYPort};
use tokio::io::unix::AsyncFd;

/// What the firmware's UART speaks; USB devices ignore it.
const BAUD: u32 = 115_200;

/// An open serial port; dropping it closes it and gives up exclusive access.
#[derive(Debug)]
pub(super) struct Serial {
    port: AsyncFd<Port>,
}

impl Serial {
    /// Opens the port.
    ///
    /// # Errors
    /// If it is not there, not ours to open, in use, or no terminal.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let pseudo = std::fs::canonicalize(path)?.starts_with("/dev/pts");
        let name = path.to_str().ok_or_else(|| io::Error::other("the path is no UTF-8"))?;
        let settings = serialport::new(name, BAUD)
            .data_bits(DataBits::Eight)
            .parity(Parity::None)
            .stop_bits(StopBits::One)
            .flow_control(FlowControl::None)
            .timeout(Duration::ZERO);
        let port = match TTYPort::open(&settings) {
            Err(_) if pseudo => TTYPort::open(&settings.exclusive(false)),
            result => result,
        };
        let port = Port(port.map_err(io::Error::from)?);
        keep_dtr(&port)?;
        let flags = OFlag::from_bits_retain(fcntl(&port, FcntlArg::F_GETFL)?);
        fcntl(&port, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        // SAFETY: `Port` owns its descriptor, open until the `AsyncFd` drops it, and always returns the same one.
        let port = unsafe { AsyncFd::register(port) }.map_err(io::Error::from)?;
        Ok(Self { port })
    }

    /// Reads what is there, waiting for the first byte. No bytes: the port was hung up.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.port.readable().await?;
            match ready.try_io(|port| Ok(unistd::read(port.get_ref(), buffer)?)) {
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }

    /// Writes as much as the port takes, waiting until it takes some.
    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.port.writable().await?;
            match ready.try_io(|port| Ok(unistd::write(port.get_ref(), bytes)?)) {
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }
}

/// Keeps DTR up when the port is closed: on ESP32 boards its fall, and rise at the next opening, is a reset.
fn keep_dtr(port: &Port) -> io::Result<()> {
    let mut settings = tcgetattr(port)?;
    settings.control_flags.remove(ControlFlags::HUPCL);
    Ok(tcsetattr(port, SetArg::TCSANOW, &settings)?)
}

/// Owns the port: its `Drop` also ends the exclusive access, which a mere descriptor's would not.
#[derive(Debug)]
struct Port(TTYPort);

impl AsRawFd for Port {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor belongs to the `TTYPort`, which is open for as long as it lives and closes it only when
        // dropped; the borrow cannot outlive `self`.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}
