//! Reads a preshared key from a file descriptor that a caller sent.
//!
//! Whose other end it is, is the caller's: it may never write, write forever, or be a file on a file system that never
//! answers. So a pipe is read without blocking, a file on one thread at most, nothing for longer than [`PATIENCE`],
//! and no more than [`MAX_LEN`] bytes. What is read is wiped.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::time::Duration;

use meshnet_bus::Error;
use meshnet_proto::key::PresharedKey;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// For how long a key is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest line that a key may be: its 44 letters, and white space.
const MAX_LEN: usize = 64;
/// Holds the one thread that may wait for a file.
static FILES: Semaphore = Semaphore::const_new(1);

/// Text that may hold a secret, and how much of it there is.
struct Line {
    bytes: Zeroizing<[u8; MAX_LEN + 1]>,
    len: usize,
}

impl Line {
    fn new() -> Self {
        Self { bytes: Zeroizing::new([0; MAX_LEN + 1]), len: 0 }
    }

    /// Whether there is nothing more to wait for.
    fn is_whole(&self) -> bool {
        self.len == self.bytes.len() || self.bytes[..self.len].contains(&b'\n')
    }

    fn key(&self) -> Result<PresharedKey, Error> {
        let wrong =
            |what: &str| Error::InvalidArgs(format!("PresharedKey: {what}; one line of base64 for 32 bytes"));
        let line = self.bytes[..self.len].split(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.len() > MAX_LEN {
            return Err(wrong("too long"));
        }
        let text = str::from_utf8(line).map_err(|_| wrong("no text"))?.trim();
        text.parse().map_err(|error| wrong(&format!("{error}")))
    }
}

/// Reads the key.
///
/// # Errors
/// `InvalidArgs` if there is none, or none in time; `Busy` if another caller's file is being waited for.
pub(super) async fn read(fd: OwnedFd) -> Result<PresharedKey, Error> {
    let failed = |error: io::Error| Error::InvalidArgs(format!("PresharedKey: cannot be read: {error}"));
    let file = File::from(fd);
    let kind = file.metadata().map_err(failed)?.file_type();
    let line = if kind.is_file() {
        timeout(PATIENCE, read_file(file)).await
    } else if kind.is_fifo() {
        timeout(PATIENCE, read_pipe(file)).await
    } else {
        return Err(Error::InvalidArgs("PresharedKey: neither a pipe nor a file".to_owned()));
    };
    let late = |_| Error::InvalidArgs(format!("PresharedKey: nothing came for {} s", PATIENCE.as_secs()));
    line.map_err(late)??.key()
}

/// Reads from its beginning what is a file or lies in memory alone. Its server, if it has one, can keep one thread.
async fn read_file(file: File) -> Result<Line, Error> {
    let busy = || Error::Busy("another PresharedKey is being read".to_owned());
    let only = FILES.try_acquire().map_err(|_| busy())?;
    let read = tokio::task::spawn_blocking(move || {
        let _only = only;
        let mut line = Line::new();
        while !line.is_whole() {
            match file.read_at(&mut line.bytes[line.len..], line.len as u64)? {
                0 => break,
                more => line.len += more,
            }
        }
        Ok::<_, io::Error>(line)
    });
    let failed = |error: io::Error| Error::InvalidArgs(format!("PresharedKey: cannot be read: {error}"));
    read.await.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)
}

/// Reads what may have nothing to read yet. The pipe's reading end does not block from then on.
async fn read_pipe(file: File) -> Result<Line, Error> {
    let failed = |error: io::Error| Error::InvalidArgs(format!("PresharedKey: cannot be read: {error}"));
    let mut pipe = Receiver::from_file(file).map_err(failed)?;
    let mut line = Line::new();
    while !line.is_whole() {
        match pipe.read(&mut line.bytes[line.len..]).await.map_err(failed)? {
            0 => break,
            more => line.len += more,
        }
    }
    Ok(line)
}
