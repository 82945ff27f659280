//! One WireGuard session on a radio and on a free link, and between the two.

mod air;
mod bulk;
mod copies;
mod moves;
mod parts;
mod rows;
mod sleep;
mod stamps;

use std::net::SocketAddr;

use super::*;
use crate::link::LinkAddr;
use crate::meshtastic::airtime::Preset;
use crate::offload::{Checksum, SegmentKind, Segments};
use crate::path::Tier;

const RADIO: LinkId = LinkId(0);
const UDP: LinkId = LinkId(1);
/// What the hosts' clocks show at first.
const START: Duration = Duration::from_secs(1_700_000_000);
/// How long a datagram takes where air is free.
const CABLE: Duration = Duration::from_millis(2);

/// What the two nodes are given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Radio,
    Udp,
    Both,
}

/// A datagram under way.
struct Flight {
    to: usize,
    link: LinkId,
    payload: Vec<u8>,
}

/// Decides which datagrams are lost.
type Lose = Box<dyn FnMut(LinkId, &[u8]) -> bool>;

/// Two nodes, a radio channel and a cable.
struct Duo {
    now: Instant,
    nodes: Vec<Node>,
    configs: Vec<Config>,
    links: Links,
    /// What each node stored last, and how often it did.
    stored: Vec<(Option<Vec<u8>>, u32)>,
    lives: u8,
    flights: BTreeMap<(Instant, u64), Flight>,
    /// Payload lengths by link.
    log: Vec<(LinkId, usize)>,
    delivered: Vec<Vec<Vec<u8>>>,
    events: Vec<Vec<Event>>,
    lose: Lose,
    /// How long a datagram takes where air is free.
    delay: Duration,
    /// Whom nothing reaches there.
    deaf: Option<usize>,
    sequence: u64,
    air_free_at: Instant,
    radio_caps: LinkCaps,
}

fn udp(node: usize) -> LinkAddr {
    LinkAddr::udp(SocketAddr::from(([192, 0, 2, u8::try_from(node).unwrap() + 1], 51820)))
}

fn free_caps() -> LinkCaps {
    LinkCaps {
        kind: AddrKind::Udp,
        mtu: 65_000,
        airtime: Airtime::Free,
        cost: 10,
        ordered: false,
        broadcast: false,
        segments: 64,
    }
}

impl Duo {
    fn new(links: Links) -> Self {
        Self::with(links, |_| {})
    }

    fn with(links: Links, mut change: impl FnMut(&mut Config)) -> Self {
        let setup = Setup { mode: PeerMode::Wireguard, mtu: 1420, ..Setup::default() };
        let now = crate::testing::start();
        let configs = (0..2).map(|at| {
            let mut config = config(&setup, at);
            config.peers[0].endpoints = match links {
                Links::Radio => vec![radio(1 - at)],
                Links::Udp => vec![udp(1 - at)],
                Links::Both => vec![udp(1 - at), radio(1 - at)],
            };
            change(&mut config);
            config
        });
        let mut duo = Self {
            now,
            nodes: Vec::new(),
            configs: configs.collect(),
            links,
            stored: vec![(None, 0), (None, 0)],
            lives: 0,
            flights: BTreeMap::new(),
            log: Vec::new(),
            delivered: vec![Vec::new(), Vec::new()],
            events: vec![Vec::new(), Vec::new()],
            lose: Box::new(|_, _| false),
            delay: CABLE,
            deaf: None,
            sequence: 0,
            air_free_at: now,
            radio_caps: caps(),
        };
        for at in 0..2 {
            let node = duo.fresh_node(at, START);
            duo.nodes.push(node);
        }
        duo.drain();
        duo
    }

    fn fresh_node(&mut self, at: usize, unix_time: Duration) -> Node {
        self.lives += 1;
        let mut node = Node::new(&self.configs[at], [self.lives; 32], unix_time, self.now).unwrap();
        if let (Some(stored), _) = &self.stored[at] {
            assert_eq!(node.restore(stored), 0);
        }
        if self.links != Links::Udp {
            node.handle_link(RADIO, LinkEvent::Up(self.radio_caps.clone()), self.now);
        }
        if self.links == Links::Udp {
            node.handle_link(UDP, LinkEvent::Up(free_caps()), self.now);
        }
        node
    }

    /// Kills a node without a word, and starts it again with what it had stored, on a host with this clock.
    fn restart(&mut self, at: usize, unix_time: Duration) {
        self.nodes[at] = self.fresh_node(at, unix_time);
        self.drain();
    }

    /// Two that met by radio and have gone over to the cable with packet 1.
    fn on_cable() -> Self {
        let mut duo = Self::new(Links::Both);
        duo.cable(true);
        duo.send(0, 1);
        duo.seconds(5);
        duo
    }

    fn cable(&mut self, up: bool) {
        for node in &mut self.nodes {
            let event = if up { LinkEvent::Up(free_caps()) } else { LinkEvent::Down };
            node.handle_link(UDP, event, self.now);
        }
        self.drain();
    }

    fn drain(&mut self) {
        for at in 0..2 {
            self.nodes[at].handle_link(RADIO, LinkEvent::Room(8), self.now);
            if let Some(stored) = self.nodes[at].poll_store() {
                self.stored[at] = (Some(stored.text), self.stored[at].1 + 1);
            }
            self.collect(at);
            while let Some(transmit) = self.nodes[at].poll_transmit(self.now) {
                let segment = transmit.segment.map_or(transmit.payload.len(), usize::from);
                for payload in transmit.payload.chunks(segment) {
                    self.fly(at, transmit.link, payload.to_vec());
                }
                self.nodes[at].recycle(transmit.payload);
            }
            self.events[at].extend(std::iter::from_fn(|| self.nodes[at].poll_event()));
        }
    }

    fn collect(&mut self, at: usize) {
        while let Some(frame) = self.nodes[at].poll_device() {
            assert_eq!(frame.offload, Offload::default());
            self.delivered[at].push(frame.bytes.to_vec());
        }
    }

    fn fly(&mut self, from: usize, link: LinkId, payload: Vec<u8>) {
        self.log.push((link, payload.len()));
        let arrives = if link == RADIO {
            assert!(payload.len() <= 219, "{} bytes", payload.len());
            let Airtime::Metered(metered) = &self.radio_caps.airtime else { panic!("a radio is metered") };
            self.air_free_at = self.air_free_at.max(self.now) + metered.airtime(payload.len());
            self.air_free_at
        } else {
            self.now + self.delay
        };
        let unheard = link != RADIO && self.deaf == Some(1 - from);
        if !(self.lose)(link, &payload) && !unheard {
            self.sequence += 1;
            self.flights.insert((arrives, self.sequence), Flight { to: 1 - from, link, payload });
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..200_000 {
            let timeouts: Vec<_> = self.nodes.iter().map(|node| node.poll_timeout(self.now)).collect();
            let arrival = self.flights.keys().next().map(|(at, _)| *at);
            let next = timeouts.iter().flatten().map(|(at, _)| *at).chain(arrival).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            while self.flights.first_key_value().is_some_and(|((at, _), _)| *at <= self.now) {
                let (_, Flight { to, link, mut payload }) = self.flights.pop_first().unwrap();
                let from = if link == RADIO { radio(1 - to) } else { udp(1 - to) };
                let len = payload.len();
                self.nodes[to].handle_datagrams(link, from, &mut payload, len, self.now);
                self.collect(to);
            }
            for (at, timeout) in timeouts.iter().enumerate() {
                if timeout.is_some_and(|(due, _)| due <= self.now) {
                    self.nodes[at].handle_timeout(self.now);
                }
            }
            self.drain();
        }
        panic!("the world spins at {:?}", self.nodes[0].poll_timeout(self.now));
    }

    fn seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    fn send(&mut self, from: usize, number: u16) {
        self.nodes[from].handle_device(&packet(from, number, 20), self.now);
        self.drain();
    }

    fn numbers(&self, at: usize) -> Vec<u16> {
        self.delivered[at].iter().filter_map(|frame| number(frame)).collect()
    }

    fn tier(&self, at: usize) -> Tier {
        self.nodes[at].snapshot(self.now).peers[0].ways.as_ref().unwrap().tier
    }

    /// Datagrams on a link since the log was last looked at.
    fn lengths(&mut self, link: LinkId) -> Vec<usize> {
        let all = std::mem::take(&mut self.log);
        all.into_iter().filter(|(on, _)| *on == link).map(|(_, len)| len).collect()
    }
}

#[test]
fn a_packet_over_a_cable_costs_what_wireguard_costs() {
    let mut duo = Duo::new(Links::Udp);
    duo.send(0, 1);
    duo.seconds(1);
    assert_eq!(duo.numbers(1), [1]);
    let packet = packet(0, 1, 20).len() - 14;
    let data = 16 + packet.next_multiple_of(16) + 16;
    // The probe by which they know each other, and its answer, are all that there is beside.
    assert_eq!(duo.lengths(UDP), [148, 92, 48, data, 48]);
    duo.send(1, 2);
    // Less than silence takes to be asked about.
    duo.run(Duration::from_millis(500));
    assert_eq!(duo.numbers(0), [2]);
    assert_eq!(duo.lengths(UDP), [data]);
}

#[test]
fn two_that_met_by_udp_alone_know_each_other_and_tell_where_else_they_are() {
    let mut duo = Duo::new(Links::Udp);
    let nearer = SocketAddr::from(([198, 51, 100, 7], 51820));
    duo.nodes[1].set_own_addresses(vec![nearer], duo.now);
    duo.send(0, 1);
    duo.send(1, 2);
    duo.seconds(5);
    let told = |duo: &Duo| {
        let ways = duo.nodes[0].snapshot(duo.now).peers[0].ways.clone().unwrap();
        ways.paths.iter().any(|path| path.to == LinkAddr::udp(nearer))
    };
    assert!(told(&duo), "{:?}", duo.nodes[0].snapshot(duo.now).peers[0].ways);
}

#[test]
fn a_handshake_over_a_cable_is_told_from_packets_by_its_class() {
    let mut duo = Duo::new(Links::Udp);
    duo.nodes[0].handle_device(&packet(0, 1, 20), duo.now);
    assert_eq!(duo.nodes[0].poll_transmit(duo.now).map(|transmit| transmit.class), Some(Class::Handshake));
    let mut duo = Duo::new(Links::Udp);
    duo.send(0, 1);
    duo.seconds(1);
    duo.nodes[0].handle_device(&packet(0, 2, 20), duo.now);
    assert_eq!(duo.nodes[0].poll_transmit(duo.now).map(|transmit| transmit.class), Some(Class::Bulk));
}

#[test]
fn a_day_idle_costs_nothing_on_any_link() {
    for on_cable in [false, true] {
        let mut duo = if on_cable { Duo::on_cable() } else { Duo::new(Links::Radio) };
        duo.send(0, 1);
        duo.seconds(60);
        duo.log.clear();
        let end = duo.now + Duration::from_secs(24 * 3600);
        let mut wakes = [vec![], vec![]];
        loop {
            let due = |at: usize| duo.nodes[at].poll_timeout(duo.now).map(|(due, why)| (due, at, why));
            let Some((due, at, why)) = [due(0), due(1)].into_iter().flatten().min() else { break };
            if due >= end {
                break;
            }
            duo.now = duo.now.max(due);
            duo.nodes[at].handle_timeout(duo.now);
            duo.drain();
            wakes[at].push(why);
            assert!(duo.log.is_empty(), "{why}: {:?}", duo.log);
        }
        for wakes in wakes {
            assert!(wakes.len() <= 2 && wakes.iter().all(|why| *why == "old keys"), "{wakes:?}");
        }
    }
}

/// Makes of a UDP packet what the kernel hands over for a row of them, with so many bytes of the payload each.
fn row_of_datagrams(mut frame: Vec<u8>, payload: &[u8], size: u16) -> (Vec<u8>, Offload) {
    frame.truncate(14 + 20 + 8);
    frame.extend_from_slice(payload);
    let total = u16::try_from(frame.len() - 14).unwrap();
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame[38..40].copy_from_slice(&(total - 20).to_be_bytes());
    let checksum = Some(Checksum { start: 34, offset: 6 });
    (frame, Offload { checksum, segments: Some(Segments { kind: SegmentKind::Udp, size }) })
}

#[test]
fn a_row_of_segments_leaves_as_one_row_of_datagrams() {
    let mut duo = Duo::new(Links::Udp);
    duo.send(0, 1);
    duo.seconds(1);
    duo.delivered[1].clear();
    let payload: Vec<u8> = (0..40_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    let (frame, offload) = row_of_datagrams(packet(0, 2, 8), &payload, 1000);
    duo.nodes[0].handle_device_offload(&frame, offload, duo.now);
    let mut rows = 0;
    let now = duo.now;
    while let Some(transmit) = duo.nodes[0].poll_transmit(now) {
        rows += 1;
        let segment = usize::from(transmit.segment.unwrap());
        for payload in transmit.payload.chunks(segment) {
            duo.fly(0, UDP, payload.to_vec());
        }
    }
    assert_eq!(rows, 1);
    duo.seconds(1);
    let got: Vec<u8> = duo.delivered[1].iter().flat_map(|frame| frame[42..].to_vec()).collect();
    assert_eq!(got, payload);
}

#[test]
fn a_links_own_datagram_that_the_default_route_brings_back_is_not_carried() {
    let mut duo =
        Duo::with(Links::Both, |config| config.peers[0].allowed_ips.push("0.0.0.0/0".parse().unwrap()));
    duo.cable(true);
    duo.send(0, 1);
    duo.seconds(5);
    assert_eq!(duo.tier(0), Tier::Direct);
    // Every other way out of the host is gone: what its socket sends comes out of the interface.
    let mut own = packet(0, 2, 100);
    own[30..34].copy_from_slice(&[192, 0, 2, 2]);
    own[36..38].copy_from_slice(&51820u16.to_be_bytes());
    duo.lengths(UDP);
    duo.nodes[0].handle_device(&own, duo.now);
    duo.drain();
    assert!(duo.lengths(UDP).iter().all(|len| *len < 60), "probes of the path are all that leaves");
    assert_eq!(duo.nodes[0].snapshot(duo.now).drops, BTreeMap::from([(DropReason::Loop, 1)]));
    // Another service of that host is reached through the tunnel as any other.
    own[36..38].copy_from_slice(&80u16.to_be_bytes());
    duo.nodes[0].handle_device(&own, duo.now);
    duo.drain();
    assert!(duo.lengths(UDP).iter().any(|len| *len > 100));
}
