//! What the core costs per packet, on one core: `cargo bench -p meshnet-proto`.
//!
//! Items per second are packets per second, or handshakes.

mod network;

use std::time::Instant;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use meshnet_proto::Node;
use meshnet_proto::config::PeerMode;
use meshnet_proto::link::LinkEvent;

use self::network::{LINK, Network, Plan, address, drain, frame};

const SIZES: [usize; 2] = [64, 180];

fn main() {
    divan::main();
}

const fn radio(peers: u16) -> Plan {
    Plan { peers, mode: PeerMode::Pki, keepalive: None }
}

/// Two nodes with a session.
fn pair() -> Network {
    let mut network = Network::new(radio(1));
    network.acquaint();
    network
}

fn send(node: &mut Node, frame: &[u8], now: Instant) -> Vec<u8> {
    node.handle_device(frame, now);
    let _stored = node.poll_store();
    node.poll_transmit(now).expect("a session and room").payload
}

/// From the interface to a datagram for the link.
#[divan::bench(args = SIZES)]
fn seal(bencher: Bencher<'_, '_>, len: usize) {
    let mut network = pair();
    let frame = frame(0, 1, len);
    let mut sent = 0_u64;
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        sent += 1;
        if sent.is_multiple_of(1 << 15) {
            network.room();
        }
        send(&mut network.hub, black_box(&frame), network.now)
    });
}

/// From a datagram to the interface.
#[divan::bench(args = SIZES)]
fn open(bencher: Bencher<'_, '_>, len: usize) {
    let Network { mut hub, mut remotes, now, .. } = pair();
    let receiver = &mut remotes[0];
    let frame = frame(0, 1, len);
    let from = address(PeerMode::Pki, 0);
    bencher
        .counter(ItemsCount::new(1_u32))
        .with_inputs(|| {
            hub.handle_link(LINK, LinkEvent::Room(u16::MAX), now);
            let datagram = send(&mut hub, &frame, now);
            drain(&mut hub, now);
            datagram
        })
        .bench_local_values(|datagram| {
            receiver.handle_datagram(LINK, from, &datagram, now);
            receiver.poll_device().expect("it is delivered").bytes.len()
        });
}

/// Init, response, proof and first packet: both sides together.
#[divan::bench]
fn handshake(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(1_u32))
        .with_inputs(|| {
            let mut network = Network::new(radio(1));
            network.populate(1);
            network
        })
        .bench_local_values(|mut network| {
            network.acquaint();
            network
        });
}

/// A frame in and one out, of a queue that is full with eight flows.
#[divan::bench]
fn full_queue(bencher: Bencher<'_, '_>) {
    let Network { hub: mut node, now, .. } = pair();
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
    let Network { hub: mut node, now, .. } = Network::new(radio(1000));
    (1..1001).for_each(|at| node.handle_device(&frame(0, at, 64), now));
    assert!(node.poll_timeout(now).is_some());
    bencher.bench_local(|| black_box(&node).poll_timeout(black_box(now)));
}
