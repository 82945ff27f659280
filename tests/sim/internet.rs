//! The network where air is free: datagrams between stations that are attached to it, with delay, loss, reordering and
//! repetition, some of them behind a NAT that forgets.
//!
//! Sans-IO and seeded, as the air is: the same calls give the same network, byte for byte. Nothing leaves or reaches a
//! station that is not attached; what is under way to it when it goes is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// The port of every station's socket.
pub const PORT: u16 = 51820;

/// What goes wrong on the way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weather {
    /// How long a datagram takes.
    pub delay: Duration,
    /// How much longer it may take, evenly spread: more than the time between two datagrams reorders them.
    pub jitter: Duration,
    /// The share that is lost, 0 to 1.
    pub loss: f64,
    /// The share that arrives twice, 0 to 1.
    pub duplicate: f64,
}

impl Default for Weather {
    fn default() -> Self {
        Self { delay: Duration::from_millis(10), jitter: Duration::ZERO, loss: 0.0, duplicate: 0.0 }
    }
}

/// A datagram that arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// At which station.
    pub to: usize,
    /// From where, as its socket sees it.
    pub from: SocketAddr,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// A translator in front of a station: it lets in what comes from where the station sent to.
#[derive(Debug, Default)]
struct Nat {
    /// The port that others see; another one after each rebinding.
    port: u16,
    opened: BTreeSet<SocketAddr>,
}

#[derive(Debug, Default)]
struct Host {
    attached: bool,
    /// Raised when the station is detached: what is under way to an earlier attachment is lost.
    attachment: u64,
    nat: Option<Nat>,
}

/// See the module's introduction.
#[derive(Debug)]
pub struct Internet {
    rng: ChaCha8Rng,
    hosts: Vec<Host>,
    /// What is under way, by when it arrives and a number that tells equals apart.
    flights: BTreeMap<(Instant, u64), (u64, Arrival)>,
    next: u64,
    /// What goes wrong at present.
    pub weather: Weather,
    /// Datagrams that stations sent, and their bytes.
    pub sent: (u64, u64),
}

/// The address of a station that is its own: on a network without translators everybody's.
#[must_use]
pub fn inner(at: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, at.to_le_bytes()[0] + 1)), PORT)
}

/// The station that an address is of, its own or that of the translator in front of it.
#[must_use]
pub fn station_of(address: SocketAddr) -> Option<usize> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    match ip.octets() {
        [192, 0, 2, at] | [203, 0, 113, at] => usize::from(at).checked_sub(1).filter(|at| *at < 16),
        _ => None,
    }
}

/// The address of the translator in front of a station.
fn outer(at: usize, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, at.to_le_bytes()[0] + 1)), port)
}

impl Internet {
    /// Makes a network of so many stations, none of them attached.
    #[must_use]
    pub fn new(stations: usize, seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed ^ 0x1e7),
            hosts: (0..stations).map(|_| Host::default()).collect(),
            flights: BTreeMap::new(),
            next: 0,
            weather: Weather::default(),
            sent: (0, 0),
        }
    }

    /// Attaches a station, or detaches it.
    pub fn attach(&mut self, at: usize, attached: bool) {
        let host = &mut self.hosts[at];
        host.attachment += u64::from(host.attached && !attached);
        host.attached = attached;
    }

    /// Whether a station is attached.
    #[must_use]
    pub fn is_attached(&self, at: usize) -> bool {
        self.hosts[at].attached
    }

    /// Puts a translator in front of a station, or makes the one that is there forget: others see another port from here on.
    pub fn rebind(&mut self, at: usize) {
        let port = self.hosts[at].nat.as_ref().map_or(40_000, |nat| nat.port) + 1;
        self.hosts[at].nat = Some(Nat { port, opened: BTreeSet::new() });
    }

    /// Where others find a station, if it lets them in.
    #[must_use]
    pub fn address(&self, at: usize) -> SocketAddr {
        self.hosts[at].nat.as_ref().map_or_else(|| inner(at), |nat| outer(at, nat.port))
    }

    /// A station sends a datagram.
    pub fn send(&mut self, at: usize, to: SocketAddr, payload: &[u8], now: Instant) {
        self.sent.0 += 1;
        self.sent.1 += payload.len() as u64;
        if !self.hosts[at].attached {
            return;
        }
        if let Some(nat) = &mut self.hosts[at].nat {
            nat.opened.insert(to);
        }
        let from = self.address(at);
        let times = 1 + u32::from(self.chance(self.weather.duplicate));
        for _ in 0..times {
            if !self.chance(self.weather.loss) {
                self.fly(from, to, payload, now);
            }
        }
    }

    /// Somebody who can write any source address sends a datagram.
    pub fn forge(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8], now: Instant) {
        self.fly(from, to, payload, now);
    }

    fn fly(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8], now: Instant) {
        let station = (0..self.hosts.len()).find(|at| self.address(*at) == to);
        let Some(station) = station.filter(|at| self.hosts[*at].attached) else { return };
        let delay = self.weather.delay + self.weather.jitter.mul_f64(self.share());
        let arrival = Arrival { to: station, from, payload: payload.to_vec() };
        self.flights.insert((now + delay, self.next), (self.hosts[station].attachment, arrival));
        self.next += 1;
    }

    /// When the next datagram arrives.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.flights.first_key_value().map(|((at, _), _)| *at)
    }

    /// Returns the next datagram that has arrived.
    pub fn poll_arrival(&mut self, now: Instant) -> Option<Arrival> {
        loop {
            let flight = self.flights.first_entry().filter(|flight| flight.key().0 <= now)?;
            let (attachment, arrival) = flight.remove();
            let host = &self.hosts[arrival.to];
            let let_in = host.nat.as_ref().is_none_or(|nat| nat.opened.contains(&arrival.from));
            if host.attached && host.attachment == attachment && let_in {
                return Some(arrival);
            }
        }
    }

    fn share(&mut self) -> f64 {
        f64::from(self.rng.next_u32() >> 8) / f64::from(1_u32 << 24)
    }

    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.share() < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_arrives_after_its_delay_and_only_while_both_are_attached() {
        let now = Instant::now();
        let mut net = Internet::new(2, 1);
        net.attach(0, true);
        net.send(0, inner(1), b"lost", now);
        net.attach(1, true);
        assert_eq!(net.poll_arrival(now + Duration::from_secs(1)), None);
        net.send(0, inner(1), b"late", now);
        net.attach(1, false);
        net.attach(1, true);
        assert_eq!(
            net.poll_arrival(now + Duration::from_secs(1)),
            None,
            "it was under way to what is no more"
        );
        net.send(0, inner(1), b"found", now);
        let due = net.poll_timeout().unwrap();
        assert_eq!(due, now + Duration::from_millis(10));
        let arrival = net.poll_arrival(due).unwrap();
        assert_eq!((arrival.from, arrival.payload), (inner(0), b"found".to_vec()));
    }

    #[test]
    fn a_translator_lets_in_only_whom_its_station_spoke_to_and_forgets() {
        let now = Instant::now();
        let mut net = Internet::new(2, 1);
        (0..2).for_each(|at| net.attach(at, true));
        net.rebind(1);
        let before = net.address(1);
        net.send(0, before, b"unasked", now);
        assert_eq!(net.poll_arrival(now + Duration::from_secs(1)), None);
        net.send(1, inner(0), b"hello", now);
        assert_eq!(net.poll_arrival(now + Duration::from_secs(1)).unwrap().from, before);
        net.send(0, before, b"answer", now);
        assert!(net.poll_arrival(now + Duration::from_secs(1)).is_some());
        net.rebind(1);
        assert_ne!(net.address(1), before);
        net.send(0, before, b"to where it was", now);
        assert_eq!(net.poll_arrival(now + Duration::from_secs(1)), None);
    }
}
