//! The byte stream to a radio, whichever way it is reached.

use std::io;
use std::time::Duration;

use meshnet_proto::meshtastic::client::Transport;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Connect;
use super::serial::Serial;

/// A radio on a local network takes the connection at once, or the next of its polls (100 ms) does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The kernel gives up a connection whose bytes nobody acknowledges for this long.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// An open stream. Its methods may be cancelled at any await without losing a byte.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Serial(Serial),
}

impl Stream {
    /// Opens a stream.
    ///
    /// # Errors
    /// If nothing takes the connection, or the port cannot be opened.
    pub(super) async fn open(connect: &Connect) -> io::Result<Self> {
        match connect {
            Connect::Tcp { host, port } => {
                let connecting = TcpStream::connect((host.as_str(), *port));
                let stream = timeout(CONNECT_TIMEOUT, connecting)
                    .await
                    .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "nothing answers"))??;
                // Small messages that somebody waits for: none may wait for another.
                stream.set_nodelay(true)?;
                let millis = u32::try_from(USER_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
                setsockopt(&stream, sockopt::TcpUserTimeout, &millis)?;
                Ok(Self::Tcp(stream))
            }
            Connect::Serial { path } => {
                // Opening sets the line, which a slow device may take its time for.
                let path = path.clone();
                let handle = tokio::runtime::Handle::current();
                let opened = tokio::task::spawn_blocking(move || {
                    let _entered = handle.enter();
                    Serial::open(&path)
                });
                Ok(Self::Serial(opened.await.map_err(io::Error::other)??))
            }
        }
    }

    pub(super) const fn transport(&self) -> Transport {
        match self {
            Self::Tcp(_) => Transport::Tcp,
            Self::Serial(_) => Transport::Serial,
        }
    }

    /// Reads what is there, waiting for the first byte. No bytes: the other side closed.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => loop {
                stream.readable().await?;
                match stream.try_read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return result,
                }
            },
            Self::Serial(serial) => serial.read(buffer).await,
        }
    }

    /// Writes as much as the other side takes, waiting until it takes some.
    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => loop {
                stream.writable().await?;
                match stream.try_write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return result,
                }
            },
            Self::Serial(serial) => serial.write(bytes).await,
        }
    }
}
