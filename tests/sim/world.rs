//! Stations on one air, and the time that passes there.
//!
//! [`World::run`] goes from event to event: the earliest of all timeouts, then everything that is due, then everything
//! that can move, then a look at what must always hold ([`Watch`]). Hosts send by [`World::send`] and are checked for
//! what they get. The same plan and the same calls give the same world, byte for byte.

mod plan;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use meshnet_proto::link::LinkAddr;
use meshnet_proto::mac_of;
use meshnet_radiosim::{Air, AirConfig};

use crate::internet::{self, Internet};
use crate::packet::{self, Kind};
use crate::station::{Did, Station};
use crate::tcp::segment::Segment;
use crate::watch::{Seals, Watch};

pub use self::plan::{PairPlan, Plan, StationPlan, Ways, address, num, public_key};

/// So many steps may pass at one moment before something counts as spinning.
const MAX_STEPS_AT_ONCE: u32 = 2000;

/// See the module's introduction.
pub struct World {
    /// The plan.
    pub plan: Plan,
    /// The present.
    pub now: Instant,
    /// The radios.
    pub air: Air,
    /// The network where air is free.
    pub net: Internet,
    /// The stations.
    pub stations: Vec<Station>,
    /// Who watches.
    pub watch: Watch,
    did: VecDeque<Did>,
    steps_at_once: u32,
    /// How many steps it took so far.
    pub steps: u64,
}

impl World {
    /// Makes a world and starts everything in it.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let now = Instant::now();
        let seals = Seals::new();
        let mut air = Air::new(AirConfig { ledger: true, ..AirConfig::default() }, plan.seed, now);
        let stations = (0..plan.stations.len()).map(|at| {
            let radio = air.add_radio(plan.radio(at), now);
            let station = plan.stations[at];
            let mut made = Station::new(num(at), radio, plan.config(at), station.tool, seals, now);
            made.hop_limit = station.hop_limit;
            made.attached = station.attached.then(|| vec![internet::inner(at)]);
            made
        });
        let stations: Vec<Station> = stations.collect();
        let mut net = Internet::new(plan.stations.len(), plan.seed);
        for (at, station) in plan.stations.iter().enumerate() {
            net.attach(at, station.attached);
            if station.nat {
                net.rebind(at);
            }
        }
        let watch = Watch::new(&plan, seals, now);
        let mut world =
            Self { plan, now, air, net, stations, watch, did: VecDeque::new(), steps_at_once: 0, steps: 0 };
        for at in 0..world.stations.len() {
            world.start(at);
        }
        world
    }

    /// Starts a station's daemon, with what it stored.
    pub fn start(&mut self, at: usize) {
        self.stations[at].start(self.plan.seed, self.now);
        self.watch.handle_start(at, self.now);
        self.settle();
    }

    /// Kills a station's daemon without a word.
    pub fn kill(&mut self, at: usize) {
        self.stations[at].kill(&mut self.air, self.now);
        self.watch.handle_kill(at);
        self.settle();
    }

    /// The connection between a daemon and its radio breaks.
    pub fn cut(&mut self, at: usize) {
        self.stations[at].cut(&mut self.air, self.now);
        self.settle();
    }

    /// A radio resets.
    pub fn reboot(&mut self, at: usize, forget_nodes: bool) {
        self.watch.handle_reboot(at, self.now);
        self.air.reboot(self.stations[at].radio, forget_nodes, self.now);
        self.settle();
    }

    /// A host sends a packet to another station's; returns its number.
    pub fn send(&mut self, from: usize, to: usize, kind: Kind, data: usize) -> u16 {
        let number = self.watch.handle_send(from, to, kind, data, self.now);
        let bytes = packet::build(number, kind, address(from), address(to), data);
        self.hand_over(from, to, &bytes);
        number
    }

    /// A host sends a segment of a TCP connection of its own, from and to a port.
    pub fn send_segment(&mut self, from: (usize, u16), to: (usize, u16), segment: &Segment) {
        let kind = Kind::Tcp {
            port: from.1,
            sequence: segment.sequence,
            acknowledgement: segment.acknowledgement.unwrap_or(0),
        };
        let number = self.watch.handle_send(from.0, to.0, kind, segment.data.len(), self.now);
        let bytes = segment.emit(number, (address(from.0), from.1), (address(to.0), to.1));
        self.watch.handle_written(number, &bytes);
        self.hand_over(from.0, to.0, &bytes);
    }

    /// Returns a segment that a host got, and which.
    pub fn poll_segment(&mut self) -> Option<(usize, Segment)> {
        let (at, packet) = self.watch.arrived.pop_front()?;
        Some((at, Segment::parse(&packet)))
    }

    /// A host sends a packet that must never arrive: with a source or to a destination that are not its own.
    pub fn send_foreign(&mut self, from: usize, source: Ipv4Addr, destination: Ipv4Addr, data: usize) {
        let number = self.watch.handle_foreign(from, self.now);
        let bytes = packet::build(number, Kind::Udp { port: 7 }, source, destination, data);
        self.hand_over(from, from, &bytes);
    }

    fn hand_over(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let Some(mac) = self.stations[from].mac() else { return };
        let to = mac_of(&self.stations[to].config.private_key.public());
        self.handle_device(from, &packet::frame(bytes, to, mac));
    }

    /// A host sends any bytes as a frame.
    pub fn handle_device(&mut self, at: usize, frame: &[u8]) {
        self.stations[at].handle_device(frame, self.now);
        self.settle();
    }

    /// Somebody speaks to a daemon as if through its radio, from whatever address.
    pub fn inject(&mut self, at: usize, from: LinkAddr, payload: &[u8]) {
        self.watch.handle_injected(at, from, payload, self.now);
        self.stations[at].handle_datagram(from, payload, self.now);
        self.settle();
    }

    /// Bytes get into the stream from a radio.
    pub fn disturb(&mut self, at: usize, bytes: &[u8]) {
        self.stations[at].handle_stream(bytes, self.now);
        self.settle();
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Lets time pass until something is true; returns whether it became so within `limit`.
    pub fn run_until(&mut self, limit: Duration, mut is_true: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if is_true(self) {
                return true;
            }
            if !self.step(end) {
                return is_true(self);
            }
        }
    }

    /// Goes to the next event, if there is one before `end`; else to `end`.
    pub fn step(&mut self, end: Instant) -> bool {
        let timeouts = self.stations.iter().filter_map(|station| station.poll_timeout(self.now));
        let air = self.air.poll_timeout().map(|at| (at, "air"));
        let net = self.net.poll_timeout().map(|at| (at, "network"));
        let Some((next, why)) = timeouts.chain(air).chain(net).min().filter(|(at, _)| *at <= end) else {
            self.now = self.now.max(end);
            self.steps_at_once = 0;
            self.air.handle_timeout(self.now);
            self.arrive();
            self.settle();
            return false;
        };
        self.steps += 1;
        self.steps_at_once = if next > self.now { 0 } else { self.steps_at_once + 1 };
        if self.steps_at_once > MAX_STEPS_AT_ONCE {
            self.fail(&format!("the world spins: {why}"));
        }
        self.now = self.now.max(next);
        self.watch.handle_wakeup(why, self.now);
        self.air.handle_timeout(self.now);
        self.arrive();
        for station in &mut self.stations {
            station.handle_timeout(&mut self.air, self.now);
        }
        self.settle();
        true
    }

    /// What has arrived where air is free is handed over, one datagram at a time.
    fn arrive(&mut self) {
        while let Some(arrival) = self.net.poll_arrival(self.now) {
            self.take(arrival.to, arrival.from, &arrival.payload);
        }
    }

    /// A station's socket gets a datagram.
    pub(crate) fn take(&mut self, at: usize, from: SocketAddr, payload: &[u8]) {
        if self.stations[at].attached.is_none() || !self.stations[at].is_running() {
            return;
        }
        self.watch.handle_arrival(at, from, payload, self.now);
        self.stations[at].handle_free(from, payload, self.now);
        self.settle();
    }

    /// Moves everything that can move, and looks at what must hold.
    pub(crate) fn settle(&mut self) {
        for round in 0.. {
            if round > MAX_STEPS_AT_ONCE {
                self.fail("stations talk without end while no time passes");
            }
            while self.air.poll_ready().is_some() {}
            let mut moved = false;
            for at in 0..self.stations.len() {
                let links = (&mut self.air, &mut self.net);
                moved |= self.stations[at].drain(at, links, &mut self.did, self.now);
                self.look(at);
            }
            if !moved {
                break;
            }
        }
        while let Some(entry) = self.air.poll_ledger() {
            if let Err(broken) = self.watch.handle_transmission(&entry) {
                self.fail(&broken);
            }
        }
    }

    fn look(&mut self, at: usize) {
        while let Some(did) = self.did.pop_front() {
            let pong = match &did {
                Did::Delivered(frame) => self.watch.ping_in(at, frame),
                _ => None,
            };
            match self.watch.handle(at, &self.stations[at], &did, self.now) {
                Err(broken) => self.fail(&broken),
                Ok(None) => {}
                Ok(Some((to, answer))) => self.answer(at, to, &answer),
            }
            // The host answers by itself.
            if let Some((to, data)) = pong {
                self.pong(at, to, data);
            }
        }
    }

    fn pong(&mut self, from: usize, to: usize, data: usize) {
        let number = self.watch.handle_send(from, to, Kind::Pong, data, self.now);
        let bytes = packet::build(number, Kind::Pong, address(from), address(to), data);
        self.answer(from, to, &bytes);
    }

    fn answer(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let Some(mac) = self.stations[from].mac() else { return };
        let to = mac_of(&self.stations[to].config.private_key.public());
        self.stations[from].handle_device(&packet::frame(bytes, to, mac), self.now);
    }

    /// Checks the account of every node: every packet handed in was sent, counted as dropped, or waits.
    pub fn audit(&self) {
        for (at, station) in self.stations.iter().enumerate() {
            let Some(node) = station.node() else { continue };
            if let Err(broken) = self.watch.audit(at, station, &node.snapshot(self.now), self.now) {
                self.fail(&broken);
            }
        }
    }

    /// Writes down the plan and what happened lately.
    #[must_use]
    pub fn story(&self) -> String {
        format!("{:?}\n{}", self.plan, self.watch.flow())
    }

    /// Ends the world, saying why and what went before.
    ///
    /// # Panics
    /// Always.
    pub fn fail(&self, why: &str) -> ! {
        panic!("{why}\nafter {:?}", self.now - self.watch.start);
    }
}
