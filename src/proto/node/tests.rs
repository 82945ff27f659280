//! Two nodes and a radio channel between them, in simulated time. One story per file.

mod attacks;
mod counters;
mod links;
mod noise;
mod ping;
mod reference;
mod rekey;
mod roster;
mod symmetric;
mod traffic;
mod wireguard;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::config::{PeerConfig, PeerMode};
use crate::frame::{ether_type, ethernet, protocol};
use crate::key::{PresharedKey, PrivateKey};
use crate::link::{AddrKind, Airtime, Class, LinkCaps, LinkEvent, Metered, Refusal};
use crate::meshtastic::airtime::{PRESETS, on_air_len};

const LINK: LinkId = LinkId(0);

/// What a pair of nodes is like.
struct Setup {
    mode: PeerMode,
    psk: Option<[u8; 32]>,
    rekey_after_messages: u64,
    mtu: u16,
}

impl Default for Setup {
    fn default() -> Self {
        Self { mode: PeerMode::Pki, psk: None, rekey_after_messages: 1 << 16, mtu: 180 }
    }
}

/// A datagram on the air.
#[derive(Debug, Clone)]
struct Sent {
    from: usize,
    payload: Vec<u8>,
}

/// Two nodes; whatever one sends reaches the other when its airtime is over, unless `lose` says otherwise.
struct World {
    now: Instant,
    nodes: Vec<Node>,
    configs: Vec<Config>,
    stored: Vec<Option<Vec<u8>>>,
    air: BTreeMap<(Instant, u64), Sent>,
    log: Vec<Sent>,
    delivered: Vec<Vec<Vec<u8>>>,
    events: Vec<Vec<Event>>,
    lose: Box<dyn FnMut(&Sent) -> bool>,
    sequence: u64,
    free_at: Instant,
}

fn address(node: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(node).unwrap() + 1])
}

fn radio(node: usize) -> LinkAddr {
    LinkAddr::radio(u32::try_from(node).unwrap() + 1)
}

fn caps() -> LinkCaps {
    let modem = PRESETS[0].modem(false);
    let price = (0..=219).map(|len| modem.airtime(on_air_len(len, 256, true)).as_micros());
    let price: Arc<[u32]> = price.map(|micros| u32::try_from(micros).unwrap()).collect();
    let metered = Metered { price, access: modem.mean_access(), hourly: Duration::from_secs(3600) };
    LinkCaps {
        kind: AddrKind::Radio,
        mtu: 219,
        airtime: Airtime::Metered(metered),
        cost: 100,
        ordered: false,
        broadcast: true,
        segments: 1,
    }
}

fn config(setup: &Setup, ours: usize) -> Config {
    let key = |node: usize| PrivateKey::from_random([u8::try_from(node).unwrap() + 1; 32]);
    let theirs = 1 - ours;
    Config {
        private_key: key(ours),
        addresses: vec![IpNet::new(address(ours), 24).unwrap()],
        mtu: setup.mtu,
        rekey_after_messages: setup.rekey_after_messages,
        peers: vec![PeerConfig {
            public_key: key(theirs).public(),
            preshared_key: setup.psk.map(PresharedKey::from_bytes),
            allowed_ips: vec![address(theirs).into()],
            endpoints: vec![radio(theirs)],
            mode: setup.mode,
            keepalive: None,
            bulk_over_metered: None,
        }],
    }
}

impl World {
    fn new(setup: &Setup) -> Self {
        let now = crate::testing::start();
        let configs = vec![config(setup, 0), config(setup, 1)];
        let mut world = Self {
            now,
            nodes: Vec::new(),
            configs,
            stored: vec![None, None],
            air: BTreeMap::new(),
            log: Vec::new(),
            delivered: vec![Vec::new(), Vec::new()],
            events: vec![Vec::new(), Vec::new()],
            lose: Box::new(|_| false),
            sequence: 0,
            free_at: now,
        };
        for at in 0..2 {
            world.nodes.push(world.fresh_node(at, 0));
        }
        world.drain();
        world
    }

    fn fresh_node(&self, at: usize, life: u8) -> Node {
        let seed = [u8::try_from(at).unwrap() + 10 * life; 32];
        let mut node = Node::new(&self.configs[at], seed, Duration::ZERO, self.now).unwrap();
        if let Some(stored) = &self.stored[at] {
            assert_eq!(node.restore(stored), 0);
        }
        node.handle_link(LINK, LinkEvent::Up(caps()), self.now);
        node
    }

    /// Kills a node without a word, and starts it again with what it had stored.
    fn restart(&mut self, at: usize, life: u8) {
        self.nodes[at] = self.fresh_node(at, life);
        self.drain();
    }

    fn drain(&mut self) {
        for at in 0..2 {
            self.drain_node(at);
        }
    }

    fn drain_node(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.handle_link(LINK, LinkEvent::Room(8), self.now);
        if let Some(stored) = node.poll_store() {
            self.stored[at] = Some(stored.text);
        }
        while let Some(frame) = node.poll_device() {
            self.delivered[at].push(frame.bytes.to_vec());
        }
        while let Some(transmit) = node.poll_transmit(self.now) {
            assert!(transmit.payload.len() <= 219, "{} bytes", transmit.payload.len());
            assert_eq!(transmit.to, radio(1 - at));
            let sent = Sent { from: at, payload: transmit.payload };
            let airtime = PRESETS[0].modem(false).airtime(on_air_len(sent.payload.len(), 256, true));
            self.free_at = self.free_at.max(self.now) + airtime;
            self.log.push(sent.clone());
            if !(self.lose)(&sent) {
                self.sequence += 1;
                self.air.insert((self.free_at, self.sequence), sent);
            }
        }
        self.events[at].extend(std::iter::from_fn(|| node.poll_event()));
    }

    /// Lets `time` pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            let timeouts: Vec<_> = self.nodes.iter().map(|node| node.poll_timeout(self.now)).collect();
            let arrival = self.air.keys().next().map(|(at, _)| *at);
            let next = timeouts.iter().flatten().map(|(at, _)| *at).chain(arrival).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            while let Some(((at, _), _)) = self.air.first_key_value() {
                if *at > self.now {
                    break;
                }
                let (_, sent) = self.air.pop_first().unwrap();
                let to = 1 - sent.from;
                self.nodes[to].handle_datagram(LINK, radio(sent.from), &sent.payload, self.now);
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

    /// A packet from one node's host to the other's.
    fn send(&mut self, from: usize, number: u16) {
        let frame = packet(from, number, 20);
        self.nodes[from].handle_device(&frame, self.now);
        self.drain();
    }

    /// The numbers of the packets that reached a node's host.
    fn numbers(&self, at: usize) -> Vec<u16> {
        self.delivered[at].iter().filter_map(|frame| number(frame)).collect()
    }

    fn count(&self, at: usize, reason: DropReason) -> u64 {
        self.nodes[at].account.total().get(&reason).copied().unwrap_or(0)
    }

    /// Datagrams of a type that a node sent so far.
    fn sent_of_type(&self, from: usize, kind: u8) -> Vec<Sent> {
        self.log.iter().filter(|sent| sent.from == from && sent.payload[0] == kind).cloned().collect()
    }
}

/// A UDP packet with a number in it.
fn packet(from: usize, number: u16, data: usize) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (address(from), address(1 - from)) else {
        unreachable!("both are IPv4")
    };
    let mut frame = ethernet([2; 6], [4; 6], ether_type::IPV4);
    let total = u16::try_from(20 + 8 + 2 + data).unwrap().to_be_bytes();
    frame.extend([0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, protocol::UDP, 0, 0]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend([0x30, 0x39, 0x30, 0x39, 0, 0, 0, 0]);
    frame.extend(number.to_be_bytes());
    frame.extend(vec![0; data]);
    frame
}

fn number(frame: &[u8]) -> Option<u16> {
    let is_udp = frame.len() > 43 && frame[23] == protocol::UDP;
    is_udp.then(|| u16::from_be_bytes([frame[42], frame[43]]))
}
