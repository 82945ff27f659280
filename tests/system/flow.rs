//! TCP and UDP between two namespaces, with every byte checked.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::namespace::Namespace;

/// Returns `len` bytes that repeat nowhere a lost, doubled or swapped segment could hide: xorshift from `seed`.
#[must_use]
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// How a transfer went.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    /// Until the connection stood.
    pub connect: Duration,
    /// From the start until the receiver had every byte.
    pub whole: Duration,
}

/// Carries `bytes` over a new TCP connection from one namespace to an address of another.
///
/// # Errors
/// If they do not arrive complete and unchanged within `limit`.
pub fn transfer(
    from: &Namespace,
    to: &Namespace,
    at: SocketAddr,
    bytes: &[u8],
    limit: Duration,
) -> Result<Transfer> {
    let listener = to.run(|| TcpListener::bind(at).with_context(|| format!("listening at {at}")))?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        // A socket belongs to the namespace that it was made in, whoever uses it later.
        let receiver = scope.spawn(move || -> Result<Duration> {
            let mut stream = accept(&listener, start + limit)?;
            receive(&mut stream, bytes, &AtomicUsize::new(0), start + limit)?;
            Ok(start.elapsed())
        });
        let mut stream = from
            .run(|| TcpStream::connect_timeout(&at, limit).with_context(|| format!("connecting to {at}")))?;
        let connect = start.elapsed();
        send(&mut stream, bytes, start + limit)?;
        let whole = receiver.join().map_err(|_| anyhow!("the receiver panicked"))??;
        Ok(Transfer { connect, whole })
    })
}

/// A transfer that goes on while the test does other things. Dropped, it is cut off.
#[derive(Debug)]
pub struct Background {
    received: Arc<AtomicUsize>,
    sockets: [TcpStream; 2],
    threads: Option<[JoinHandle<Result<()>>; 2]>,
}

impl Background {
    /// Connects, and starts to carry `bytes`, which must arrive within `limit`.
    ///
    /// # Errors
    /// If no connection comes about.
    pub fn start(
        from: &Namespace,
        to: &Namespace,
        at: SocketAddr,
        bytes: Vec<u8>,
        limit: Duration,
    ) -> Result<Self> {
        let deadline = Instant::now() + limit;
        let listener = to.run(|| TcpListener::bind(at).with_context(|| format!("listening at {at}")))?;
        let mut sender = from
            .run(|| TcpStream::connect_timeout(&at, limit).with_context(|| format!("connecting to {at}")))?;
        let mut receiver = accept(&listener, deadline)?;
        let sockets = [sender.try_clone()?, receiver.try_clone()?];
        let received = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&received);
        let expected = bytes.clone();
        let threads = [
            std::thread::spawn(move || send(&mut sender, &bytes, deadline)),
            std::thread::spawn(move || receive(&mut receiver, &expected, &counter, deadline)),
        ];
        Ok(Self { received, sockets, threads: Some(threads) })
    }

    /// Returns how many bytes have arrived, all of them checked.
    #[must_use]
    pub fn received(&self) -> usize {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until every byte has arrived.
    ///
    /// # Errors
    /// If one does not in time, or is not what was sent.
    pub fn finish(mut self) -> Result<()> {
        for thread in self.threads.take().into_iter().flatten() {
            thread.join().map_err(|_| anyhow!("a thread of the transfer panicked"))??;
        }
        Ok(())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        for socket in &self.sockets {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
        for thread in self.threads.take().into_iter().flatten() {
            // Cut off, both fail: that is what was asked for.
            let _ = thread.join();
        }
    }
}

/// Accepts one connection.
///
/// # Errors
/// If none comes before `deadline`.
pub fn accept(listener: &TcpListener, deadline: Instant) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let left = deadline.saturating_duration_since(Instant::now());
    let stream = crate::wait::wait_for("a connection", left, || match listener.accept() {
        Ok((stream, _)) => Ok(Some(stream)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    })?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn send(stream: &mut TcpStream, bytes: &[u8], deadline: Instant) -> Result<()> {
    let mut sent = 0;
    while sent < bytes.len() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        sent += stream
            .write(&bytes[sent..])
            .with_context(|| format!("after {sent} of {} bytes sent", bytes.len()))?;
    }
    Ok(stream.shutdown(Shutdown::Write)?)
}

fn receive(stream: &mut TcpStream, expected: &[u8], counter: &AtomicUsize, deadline: Instant) -> Result<()> {
    let mut received = 0;
    let mut buffer = [0; 4096];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let read = stream
            .read(&mut buffer)
            .with_context(|| format!("after {received} of {} bytes", expected.len()))?;
        if read == 0 {
            break;
        }
        ensure!(
            expected.get(received..received + read) == Some(&buffer[..read]),
            "bytes {received}..{} arrived changed",
            received + read
        );
        received += read;
        counter.store(received, Ordering::Relaxed);
    }
    ensure!(received == expected.len(), "{received} of {} bytes arrived", expected.len());
    Ok(())
}

fn left(deadline: Instant) -> Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        bail!("out of time");
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story;

    #[test]
    fn a_transfer_within_one_namespace_arrives_whole() -> Result<()> {
        story(|_| {
            let namespace = Namespace::new()?;
            let at = "127.0.0.1:4000".parse()?;
            transfer(&namespace, &namespace, at, &noise(100_000, 1), Duration::from_secs(10))?;
            Ok(())
        })
    }
}
