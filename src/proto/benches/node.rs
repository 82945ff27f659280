//! What the core costs per packet, on one core: `cargo bench -p meshnet-proto`.
//!
//! Items per second are packets per second, or handshakes.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use ipnet::Ipv4Net;
use meshnet_proto::Node;
use meshnet_proto::config::{Config, PeerConfig, PeerMode};
use meshnet_proto::frame::{ether_type, ethernet, protocol};
use meshnet_proto::key::PrivateKey;
use meshnet_proto::link::{AddrKind, Airtime, LinkAddr, LinkCaps, LinkEvent, LinkId};

const LINK: LinkId = LinkId(0);
const SIZES: [usize; 2] = [64, 180];

fn main() {
    divan::main();
}

#[expect(
    clippy::disallowed_methods,
    reason = "an instant can only come from the clock; its value does not matter"
)]
fn start() -> Instant {
    Instant::now()
}

fn key(at: u16) -> PrivateKey {
    let mut bytes = [7; 32];
    bytes[4..6].copy_from_slice(&at.to_le_bytes());
    PrivateKey::from_random(bytes)
}

fn address(at: u16) -> Ipv4Addr {
    let [high, low] = at.to_be_bytes();
    Ipv4Addr::new(10, 0, high, low)
}

/// A node with these peers, on a link that is up and takes nothing yet.
fn node(ours: u16, theirs: impl Iterator<Item = u16>, now: Instant) -> Node {
    let peers = theirs.map(|at| PeerConfig {
        public_key: key(at).public(),
        preshared_key: None,
        allowed_ips: vec![Ipv4Net::from(address(at)).into()],
        endpoints: vec![LinkAddr::radio(u32::from(at) + 1)],
        mode: PeerMode::Pki,
        keepalive: None,
        bulk_over_metered: true,
    });
    let config = Config {
        private_key: key(ours),
        addresses: vec![Ipv4Net::from(address(ours)).into()],
        mtu: 1400,
        rekey_after_messages: 1 << 60,
        peers: peers.collect(),
    };
    let mut node = Node::new(&config, [3; 32], Duration::ZERO, now).expect("the configuration is sound");
    let caps = LinkCaps {
        kind: AddrKind::Radio,
        mtu: 219,
        airtime: Airtime::Free,
        cost: 1,
        ordered: false,
        broadcast: true,
        segments: 1,
    };
    node.handle_link(LINK, LinkEvent::Up(caps), now);
    node
}

/// An IP packet of `len` bytes, in a frame.
fn frame(from: u16, to: u16, len: usize) -> Vec<u8> {
    let mut out = ethernet([2; 6], [4; 6], ether_type::IPV4);
    let total = u16::try_from(len).expect("a short packet").to_be_bytes();
    out.extend([0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, protocol::UDP, 0, 0]);
    out.extend(address(from).octets());
    out.extend(address(to).octets());
    out.resize(14 + len, 0x20);
    out
}

fn room(node: &mut Node, now: Instant) {
    node.handle_link(LINK, LinkEvent::Room(u16::MAX), now);
}

/// Carries datagrams between two nodes until none is left.
fn exchange(nodes: &mut [Node; 2], now: Instant) {
    loop {
        let mut moved = false;
        for at in 0..2 {
            room(&mut nodes[at], now);
            while let Some(transmit) = nodes[at].poll_transmit(now) {
                let from = LinkAddr::radio(u32::try_from(at).expect("0 or 1") + 1);
                nodes[1 - at].handle_datagram(LINK, from, &transmit.payload, now);
                moved = true;
            }
            while nodes[at].poll_device().is_some() {}
        }
        if !moved {
            return;
        }
    }
}

/// Two nodes with a session.
fn pair(now: Instant) -> [Node; 2] {
    let mut nodes = [node(0, std::iter::once(1), now), node(1, std::iter::once(0), now)];
    nodes[0].handle_device(&frame(0, 1, 64), now);
    exchange(&mut nodes, now);
    nodes
}

fn send(node: &mut Node, frame: &[u8], now: Instant) -> Vec<u8> {
    node.handle_device(frame, now);
    let _stored = node.poll_store();
    node.poll_transmit(now).expect("a session and room").payload
}

/// From the interface to a datagram for the link.
#[divan::bench(args = SIZES)]
fn seal(bencher: Bencher<'_, '_>, len: usize) {
    let now = start();
    let [mut node, _] = pair(now);
    let frame = frame(0, 1, len);
    let mut sent = 0_u64;
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        sent += 1;
        if sent.is_multiple_of(1 << 15) {
            room(&mut node, now);
        }
        send(&mut node, black_box(&frame), now)
    });
}

/// From a datagram to the interface.
#[divan::bench(args = SIZES)]
fn open(bencher: Bencher<'_, '_>, len: usize) {
    let now = start();
    let [mut sender, mut receiver] = pair(now);
    let frame = frame(0, 1, len);
    let from = LinkAddr::radio(1);
    bencher
        .counter(ItemsCount::new(1_u32))
        .with_inputs(|| {
            room(&mut sender, now);
            send(&mut sender, &frame, now)
        })
        .bench_local_values(|datagram| {
            receiver.handle_datagram(LINK, from, &datagram, now);
            receiver.poll_device().expect("it is delivered")
        });
}

/// Init, response, proof and first packet: both sides together.
#[divan::bench]
fn handshake(bencher: Bencher<'_, '_>) {
    let now = start();
    let first = frame(0, 1, 64);
    bencher
        .counter(ItemsCount::new(1_u32))
        .with_inputs(|| [node(0, std::iter::once(1), now), node(1, std::iter::once(0), now)])
        .bench_local_values(|mut nodes| {
            nodes[0].handle_device(&first, now);
            exchange(&mut nodes, now);
            nodes
        });
}

/// A frame in and one out, of a queue that is full with eight flows.
#[divan::bench]
fn full_queue(bencher: Bencher<'_, '_>) {
    let now = start();
    let [mut node, _] = pair(now);
    node.handle_link(LINK, LinkEvent::Room(0), now);
    let frames: Vec<_> = (0..8_u8)
        .map(|flow| {
            let mut frame = frame(0, 1, 180);
            frame[35] = flow;
            frame
        })
        .collect();
    (0..256).for_each(|at| node.handle_device(&frames[at % 8], now));
    let mut at = 0;
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        at += 1;
        node.handle_link(LINK, LinkEvent::Room(1), now);
        send(&mut node, &frames[at % 8], now)
    });
}

/// When to wake, with a thousand peers that all wait for something.
#[divan::bench]
fn poll_timeout_of_1000_peers(bencher: Bencher<'_, '_>) {
    let now = start();
    let mut node = node(0, 1..1001, now);
    (1..1001).for_each(|at| node.handle_device(&frame(0, at, 64), now));
    assert!(node.poll_timeout(now).is_some());
    bencher.bench_local(|| black_box(&node).poll_timeout(black_box(now)));
}
