//! A flow of small datagrams, one way and at a steady pace, each of which is remembered: when it left and when it arrived. It
//! shows what a path does without the pauses that TCP makes by its own clock.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::namespace::Namespace;
use crate::paced::longest_gap;

/// How often the two threads see whether something else is wanted of them.
const TICK: Duration = Duration::from_millis(5);

/// A datagram that arrived.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// When it left.
    pub sent: Instant,
    /// When it arrived.
    pub arrived: Instant,
}

impl Arrival {
    /// Returns how long it was on its way.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.arrived - self.sent
    }
}

/// A flow that goes on, or pauses, until it is dropped.
#[derive(Debug)]
pub struct Beat {
    /// Milliseconds between two; none are sent while it is zero.
    interval: Arc<AtomicU64>,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Beat {
    /// Makes both ends; nothing is sent until [`Beat::every`] says how often.
    ///
    /// # Errors
    /// If there is no such address, or its port is taken.
    pub fn new(from: &Namespace, to: &Namespace, at: SocketAddr) -> Result<Self> {
        let receiver = to.run(|| UdpSocket::bind(at).with_context(|| format!("receiving at {at}")))?;
        receiver.set_read_timeout(Some(TICK))?;
        let any = if at.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
        let sender = from.run(|| UdpSocket::bind(any).context("a socket to send by"))?;
        let (interval, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let arrivals = Arc::<Mutex<Vec<Arrival>>>::default();
        let threads = {
            let (stop, stop_too) = (Arc::clone(&stop), Arc::clone(&stop));
            let (interval, arrivals) = (Arc::clone(&interval), Arc::clone(&arrivals));
            let begin = Instant::now();
            vec![
                std::thread::spawn(move || send(&sender, at, begin, &interval, &stop)),
                std::thread::spawn(move || receive(&receiver, begin, &arrivals, &stop_too)),
            ]
        };
        Ok(Self { interval, arrivals, stop, threads })
    }

    /// Sends one each time that so many milliseconds have passed, from here on; none if that is zero.
    pub fn every(&self, milliseconds: u64) {
        self.interval.store(milliseconds, Ordering::Relaxed);
    }

    /// Returns the first one sent after `since` that took less than `limit`, if there was one.
    #[must_use]
    pub fn first_within(&self, limit: Duration, since: Instant) -> Option<Arrival> {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.iter().find(|arrival| arrival.sent > since && arrival.took() < limit).copied()
    }

    /// Returns the longest stretch without an arrival that ended, or still lasts, after `since`.
    #[must_use]
    pub fn longest_gap(&self, since: Instant) -> Duration {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        longest_gap(arrivals.iter().map(|arrival| arrival.arrived), since)
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Its panic would have shown already.
            let _ = thread.join();
        }
    }
}

fn send(socket: &UdpSocket, to: SocketAddr, begin: Instant, interval: &AtomicU64, stop: &AtomicBool) {
    let mut last = None::<Instant>;
    while !stop.load(Ordering::Relaxed) {
        let interval = Duration::from_millis(interval.load(Ordering::Relaxed));
        if !interval.is_zero() && last.is_none_or(|last| last.elapsed() >= interval) {
            let now = Instant::now();
            // What is in it is when it left. One that the kernel does not take is one that does not arrive.
            let left = u64::try_from((now - begin).as_micros()).unwrap_or(u64::MAX);
            let _ = socket.send_to(&left.to_be_bytes(), to);
            last = Some(now);
        }
        std::thread::sleep(TICK);
    }
}

fn receive(socket: &UdpSocket, begin: Instant, arrivals: &Mutex<Vec<Arrival>>, stop: &AtomicBool) {
    let mut left = [0; 8];
    while !stop.load(Ordering::Relaxed) {
        // Anything else is that nothing has come within a tick.
        if let Ok((8, _)) = socket.recv_from(&mut left) {
            let sent = begin + Duration::from_micros(u64::from_be_bytes(left));
            let arrival = Arrival { sent, arrived: Instant::now() };
            arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story;
    use crate::wait::{let_pass, wait_for};

    #[test]
    fn a_beat_goes_on_until_it_pauses_and_tells_how_long_each_took() -> Result<()> {
        story(|_| {
            let namespace = Namespace::new()?;
            let beat = Beat::new(&namespace, &namespace, "127.0.0.1:4000".parse()?)?;
            let begin = Instant::now();
            let first = || beat.first_within(Duration::from_secs(1), begin);
            let_pass(Duration::from_millis(100))?;
            assert!(first().is_none(), "nobody said how often");
            beat.every(20);
            wait_for("a datagram", Duration::from_secs(5), || Ok(first().is_some().then_some(())))?;
            assert!(beat.first_within(Duration::ZERO, begin).is_none());
            beat.every(0);
            let_pass(Duration::from_millis(300))?;
            assert!(beat.longest_gap(begin) >= Duration::from_millis(200));
            Ok(())
        })
    }
}
