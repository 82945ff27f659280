//! One TCP connection that is fed at a pace, and remembers when bytes arrived: for transfers that must outlast what happens
//! beneath them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::flow::{accept, noise};
use crate::namespace::Namespace;

/// Between writes.
const TICK: Duration = Duration::from_millis(100);
/// Bytes of the noise that is repeated: a prime, so that no segment's length divides it.
const PERIOD: usize = 1_000_003;

/// A connection that is being fed. Dropped, it is cut off.
#[derive(Debug)]
pub struct Paced {
    /// Bytes per second.
    pace: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    arrivals: Arc<Mutex<Vec<(Instant, u64)>>>,
    sockets: [TcpStream; 2],
    /// Each returns how many bytes it saw.
    threads: Option<[JoinHandle<Result<u64>>; 2]>,
}

impl Paced {
    /// Connects, and starts to send so many bytes per second.
    ///
    /// # Errors
    /// If no connection comes about within `limit`.
    pub fn start(
        from: &Namespace,
        to: &Namespace,
        at: SocketAddr,
        pace: u64,
        limit: Duration,
    ) -> Result<Self> {
        let deadline = Instant::now() + limit;
        let listener = to.run(|| TcpListener::bind(at).with_context(|| format!("listening at {at}")))?;
        let sender = from
            .run(|| TcpStream::connect_timeout(&at, limit).with_context(|| format!("connecting to {at}")))?;
        let receiver = accept(&listener, deadline)?;
        let sockets = [sender.try_clone()?, receiver.try_clone()?];
        let pace = Arc::new(AtomicU64::new(pace));
        let stop = Arc::new(AtomicBool::new(false));
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let (its_pace, its_stop, its_arrivals) =
            (Arc::clone(&pace), Arc::clone(&stop), Arc::clone(&arrivals));
        let threads = [
            std::thread::spawn(move || feed(sender, &its_pace, &its_stop)),
            std::thread::spawn(move || drain(receiver, &its_arrivals)),
        ];
        Ok(Self { pace, stop, arrivals, sockets, threads: Some(threads) })
    }

    /// Sends so many bytes per second from here on.
    pub fn set_pace(&self, pace: u64) {
        self.pace.store(pace, Ordering::Relaxed);
    }

    /// Returns how many bytes have arrived, all of them checked.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).last().map_or(0, |(_, bytes)| *bytes)
    }

    /// Returns the longest stretch without a new byte that ended, or still lasts, after `since`.
    #[must_use]
    pub fn longest_stall(&self, since: Instant) -> Duration {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        longest_gap(arrivals.iter().map(|(at, _)| *at), since)
    }

    /// Stops sending, and waits until everything has arrived; returns how many bytes that were.
    ///
    /// # Errors
    /// If a byte is missing or changed, the connection was reset, or it takes longer than `limit`.
    pub fn finish(mut self, limit: Duration) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.threads.as_ref().context("it ends once")?;
        crate::wait::wait_for("the rest of a transfer", limit, || {
            Ok(threads.iter().all(JoinHandle::is_finished).then_some(()))
        })?;
        let [sender, receiver] = self.threads.take().context("it ends once")?;
        let join = |thread: JoinHandle<Result<u64>>| {
            thread.join().map_err(|_| anyhow!("a thread of the transfer panicked"))?
        };
        let (sent, received) = (join(sender)?, join(receiver)?);
        ensure!(sent == received, "{sent} bytes were sent and {received} arrived");
        Ok(received)
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(threads) = self.threads.take() {
            for socket in &self.sockets {
                // It may have ended by itself.
                let _ = socket.shutdown(Shutdown::Both);
            }
            for thread in threads {
                // Cut off, both fail: that is what was asked for.
                let _ = thread.join();
            }
        }
    }
}

/// Returns the longest stretch between these times, which are in order, that ended or still lasts after `since`.
pub(crate) fn longest_gap(times: impl Iterator<Item = Instant>, since: Instant) -> Duration {
    let mut last = since;
    let mut longest = Duration::ZERO;
    for at in times.chain([Instant::now()]).filter(|at| *at > since) {
        longest = longest.max(at - last);
        last = at;
    }
    longest
}

fn feed(mut stream: TcpStream, pace: &AtomicU64, stop: &AtomicBool) -> Result<u64> {
    let pattern = noise(PERIOD, 7);
    let mut sent = 0;
    let mut place = 0;
    while !stop.load(Ordering::Relaxed) {
        let share = usize::try_from(pace.load(Ordering::Relaxed) / 10)?.max(1);
        let end = (place + share).min(PERIOD);
        let written =
            stream.write(&pattern[place..end]).with_context(|| format!("after {sent} bytes sent"))?;
        sent += written as u64;
        place = (place + written) % PERIOD;
        std::thread::sleep(TICK);
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(sent)
}

fn drain(mut stream: TcpStream, arrivals: &Mutex<Vec<(Instant, u64)>>) -> Result<u64> {
    let pattern = noise(PERIOD, 7);
    let mut received = 0u64;
    let mut place = 0;
    let mut buffer = vec![0; 65536];
    loop {
        let read = stream.read(&mut buffer).with_context(|| format!("after {received} bytes"))?;
        if read == 0 {
            return Ok(received);
        }
        for chunk in [&buffer[..read.min(PERIOD - place)], &buffer[read.min(PERIOD - place)..read]] {
            ensure!(*chunk == pattern[place..place + chunk.len()], "bytes after {received} arrived changed");
            place = (place + chunk.len()) % PERIOD;
        }
        received += read as u64;
        arrivals.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), received));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story;

    #[test]
    fn a_pace_can_change_and_every_byte_is_checked() -> Result<()> {
        story(|_| {
            let namespace = Namespace::new()?;
            let at = "127.0.0.1:4000".parse()?;
            let begin = Instant::now();
            let paced = Paced::start(&namespace, &namespace, at, 1000, Duration::from_secs(5))?;
            crate::wait::wait_for("first bytes", Duration::from_secs(5), || {
                Ok((paced.received() >= 300).then_some(()))
            })?;
            // Beyond a period of the pattern.
            paced.set_pace(6_000_000);
            crate::wait::wait_for("many bytes", Duration::from_secs(10), || {
                Ok((paced.received() >= 3_000_000).then_some(()))
            })?;
            ensure!(paced.longest_stall(begin) >= TICK / 2);
            ensure!(paced.finish(Duration::from_secs(5))? >= 3_000_000);
            Ok(())
        })
    }
}
