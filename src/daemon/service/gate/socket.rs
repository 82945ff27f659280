//! A Unix socket for zbus that passes descriptors, skips what is too long, and shows every message to the gate.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use zbus::Message;
use zbus::connection::socket::{ReadHalf, Split, WriteHalf};
use zbus::export::async_trait::async_trait;
use zbus::fdo::ConnectionCredentials;

use super::{Gate, MAX_MESSAGE_LEN, Verdict};

/// The descriptors that one message may carry: the limit of dbus-daemon for the system bus.
const MAX_FDS: usize = 16;
/// What every message begins with (D-Bus specification, "Message Format"): byte order, type, flags, version, the lengths of
/// body and header fields, with the serial number between.
const FIXED: usize = 16;
/// The longest header fields of a message that is refused with an answer.
const MAX_FIELDS: usize = 4096;

#[derive(Debug)]
pub(super) struct Socket {
    stream: Arc<UnixStream>,
    gate: Arc<Gate>,
}

impl Socket {
    pub(super) fn new(stream: UnixStream, gate: Arc<Gate>) -> Self {
        Self { stream: Arc::new(stream), gate }
    }
}

impl zbus::connection::Socket for Socket {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let raw = Raw::new(Arc::clone(&self.stream));
        let writer = Writer { raw: Raw::new(self.stream), gate: Arc::clone(&self.gate) };
        Split::new(Reader { raw, gate: self.gate }, writer)
    }
}

/// The socket's bytes and descriptors. zbus makes messages of them.
#[derive(Debug)]
struct Raw {
    stream: Arc<UnixStream>,
    /// Descriptors that came with a message's first bytes, for whoever reads the rest.
    early: Vec<OwnedFd>,
}

impl Raw {
    const fn new(stream: Arc<UnixStream>) -> Self {
        Self { stream, early: Vec::new() }
    }

    fn credentials(&self) -> io::Result<ConnectionCredentials> {
        let peer = self.stream.peer_cred()?;
        Ok(ConnectionCredentials::default().set_unix_user_id(peer.uid()))
    }
}

#[async_trait]
impl ReadHalf for Raw {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let (bytes, fds): (usize, Vec<OwnedFd>) = self
            .stream
            .async_io(Interest::READABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let bytes = &mut [IoSliceMut::new(buffer)];
                let flags = RecvFlags::CMSG_CLOEXEC;
                let received = rustix::net::recvmsg(&self.stream, bytes, &mut control, flags)?;
                let fds = control.drain().filter_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                    _ => None,
                });
                Ok((received.bytes, fds.flatten().collect()))
            })
            .await?;
        let mut all = std::mem::take(&mut self.early);
        all.extend(fds);
        Ok((bytes, all))
    }
}

#[async_trait]
impl WriteHalf for Raw {
    async fn sendmsg(&mut self, buffer: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.stream
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
                    return Err(io::Error::from(io::ErrorKind::InvalidInput));
                }
                let bytes = &[IoSlice::new(buffer)];
                Ok(rustix::net::sendmsg(&self.stream, bytes, &mut control, SendFlags::NOSIGNAL)?)
            })
            .await
    }

    async fn close(&mut self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both)?)
    }
}

/// Where a connection's messages come from.
#[derive(Debug)]
pub(super) struct Reader {
    raw: Raw,
    gate: Arc<Gate>,
}

impl Reader {
    /// Reads until `bytes` has this many.
    async fn fill(&mut self, bytes: &mut Vec<u8>, len: usize) -> io::Result<()> {
        while bytes.len() < len {
            let mut chunk = [0; FIXED + MAX_FIELDS];
            let missing = (len - bytes.len()).min(chunk.len());
            let (read, more) = self.raw.recvmsg(&mut chunk[..missing]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&chunk[..read]);
            self.raw.early.extend(more);
        }
        Ok(())
    }

    /// Reads `len` bytes, what is in `bytes` first, and keeps nothing of them.
    async fn skip(&mut self, bytes: &mut Vec<u8>, mut len: usize) -> io::Result<()> {
        let known = len.min(bytes.len());
        bytes.drain(..known);
        len -= known;
        let mut chunk = vec![0; MAX_MESSAGE_LEN];
        while len > 0 {
            let next = len.min(chunk.len());
            let (read, _fds) = self.raw.recvmsg(&mut chunk[..next]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            len -= read;
        }
        Ok(())
    }

    /// Takes the body off the message that is coming, if it is too long: what is left in `bytes` says that there is none, and
    /// is enough to answer it. `None` if nothing is left.
    async fn cut(&mut self, bytes: &mut Vec<u8>) -> io::Result<Option<bool>> {
        self.fill(bytes, FIXED).await?;
        let (header_len, body_len) = lengths(bytes);
        if header_len + body_len <= MAX_MESSAGE_LEN {
            return Ok(Some(false));
        }
        if header_len > FIXED + MAX_FIELDS {
            self.skip(bytes, header_len + body_len).await?;
            self.raw.early.clear();
            return Ok(None);
        }
        self.fill(bytes, header_len).await?;
        let mut rest = bytes.split_off(header_len);
        self.skip(&mut rest, body_len).await?;
        self.raw.early.clear();
        bytes[4..8].fill(0);
        bytes.append(&mut rest);
        Ok(Some(true))
    }
}

/// The lengths of a message's header, padded, and of its body.
fn lengths(fixed: &[u8]) -> (usize, usize) {
    let number = |at: usize| {
        let bytes = [fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]];
        let number = if fixed[0] == b'B' { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        number as usize
    };
    ((FIXED + number(12)).next_multiple_of(8), number(4))
}

#[async_trait]
impl ReadHalf for Reader {
    async fn receive_message(
        &mut self,
        seq: u64,
        bytes: &mut Vec<u8>,
        fds: &mut Vec<OwnedFd>,
    ) -> zbus::Result<Message> {
        loop {
            let Some(too_long) = self.cut(bytes).await? else { continue };
            let message = self.raw.receive_message(seq, bytes, fds).await?;
            match self.gate.judge(&message, too_long, Instant::now()) {
                Verdict::Pass => return Ok(message),
                Verdict::Refuse(name, text) => self.gate.refuse(&message.header(), name, text),
                Verdict::Drop => {}
            }
            // A flood must not keep the rest of the daemon from its turn.
            tokio::task::consume_budget().await;
        }
    }

    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        self.raw.recvmsg(buffer).await
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        self.raw.credentials()
    }
}

/// Where a connection's messages go.
#[derive(Debug)]
pub(super) struct Writer {
    raw: Raw,
    gate: Arc<Gate>,
}

#[async_trait]
impl WriteHalf for Writer {
    async fn send_message(&mut self, message: &Message) -> zbus::Result<()> {
        self.raw.send_message(message).await?;
        self.gate.written(message);
        Ok(())
    }

    async fn sendmsg(&mut self, buffer: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.raw.sendmsg(buffer, fds).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.raw.close().await
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        self.raw.credentials()
    }
}
