//! A serial port without hardware: a pty, and a symbolic link to it under a name of the user's choice.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use anyhow::{Context as _, bail};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::ttyname;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::watch::watch;

/// The radio's end of the line.
pub(crate) struct Pty {
    controller: AsyncFd<OwnedFd>,
    /// Kept open, so that the line does not hang up when no host has it open.
    _line: OwnedFd,
    link: PathBuf,
}

impl Pty {
    /// Makes a pty and links `path` to it; a link left behind is replaced.
    ///
    /// # Errors
    /// If there is no pty, or something else is at that path.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let pty = openpty(None, None).context("opening a pty")?;
        // A terminal would echo and translate; a serial line does neither.
        let mut modes = tcgetattr(&pty.slave)?;
        cfmakeraw(&mut modes);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &modes)?;
        let flags = OFlag::from_bits_retain(fcntl(&pty.master, FcntlArg::F_GETFL)?);
        fcntl(&pty.master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => std::fs::remove_file(path)?,
            Ok(_) => bail!("{} exists and is no symbolic link", path.display()),
            Err(_) => {}
        }
        let device = ttyname(&pty.slave)?;
        std::os::unix::fs::symlink(device, path).with_context(|| format!("linking {}", path.display()))?;
        Ok(Self { controller: watch(pty.master)?, _line: pty.slave, link: path.into() })
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.link);
    }
}

impl AsyncRead for Pty {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.controller.poll_read_ready(context))?;
            let read =
                |fd: &AsyncFd<OwnedFd>| Ok(nix::unistd::read(fd.get_ref(), buffer.initialize_unfilled())?);
            if let Ok(result) = ready.try_io(read) {
                return Poll::Ready(result.map(|len| buffer.advance(len)));
            }
        }
    }
}

impl AsyncWrite for Pty {
    /// Writes what the line takes; the rest is lost, as on a line that nobody reads.
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match nix::unistd::write(self.controller.get_ref().as_fd(), bytes) {
            Ok(written) => Poll::Ready(Ok(written)),
            Err(nix::errno::Errno::EAGAIN) => Poll::Ready(Ok(bytes.len())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
