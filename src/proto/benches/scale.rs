//! What a thousand peers cost beside ten: each bench is of one thing that concerns one peer, in a node that has so many.
//! Flat means that the two take nearly the same.
//!
//! Each is done as a shell does it, with everything that is polled after an input.

mod network;

use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use meshnet_proto::config::PeerMode;

use self::network::{Network, Plan, drain, frame};

const PEERS: [u16; 2] = [10, 1000];
const LEN: usize = 180;

fn main() {
    divan::main();
}

/// How many peers are busy, if not all.
const BUSY: u16 = 10;

/// Which peer is next.
#[derive(Clone, Copy)]
enum Order {
    /// Ten of them in turn, however many there are: the difference is what the node looks through, for none is the one
    /// that was looked up last.
    Busy,
    /// Each in turn, so that with many of them nothing of one is in a cache of the processor's any more.
    Turns,
}

impl Order {
    fn next(self, at: &mut u16, peers: u16) -> u16 {
        *at = match self {
            Self::Busy => (*at + peers / BUSY) % peers,
            Self::Turns => (*at + 389) % peers,
        };
        *at
    }
}

fn outbound(bencher: Bencher<'_, '_>, plan: Plan, order: Order) {
    let mut network = Network::new(plan);
    network.acquaint();
    let frames: Vec<_> = (0..plan.peers).map(|at| frame(0, at + 1, LEN)).collect();
    let (mut at, now) = (0, network.now);
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let peer = usize::from(order.next(&mut at, plan.peers));
        network.room();
        network.hub.handle_device(black_box(&frames[peer]), now);
        assert!(drain(&mut network.hub, now) > 0);
    });
}

fn inbound(bencher: Bencher<'_, '_>, plan: Plan, order: Order) {
    let mut network = Network::new(plan);
    network.acquaint();
    let Network { mut hub, mut remotes, now, .. } = network;
    let mut at = 0;
    bencher
        .counter(ItemsCount::new(1_u32))
        .with_inputs(|| {
            let peer = order.next(&mut at, plan.peers);
            let remote = &mut remotes[usize::from(peer)];
            remote.handle_device(&frame(peer + 1, 0, LEN), now);
            let payload = remote.poll_transmit(now).expect("there is a session").payload;
            (network::address(plan.mode, peer + 1), payload)
        })
        .bench_local_values(|(from, datagram)| {
            hub.handle_datagram(network::LINK, from, black_box(&datagram), now);
            assert!(hub.poll_device().is_some());
            drain(&mut hub, now)
        });
}

const fn wireguard(peers: u16) -> Plan {
    Plan { peers, mode: PeerMode::Wireguard, keepalive: None }
}

/// A packet from the interface to a peer, on a link where air is free.
#[divan::bench(args = PEERS, sample_size = 1000)]
fn wireguard_packet_out(bencher: Bencher<'_, '_>, peers: u16) {
    outbound(bencher, wireguard(peers), Order::Busy);
}

#[divan::bench(args = PEERS, sample_size = 1000)]
fn wireguard_packet_out_in_turn(bencher: Bencher<'_, '_>, peers: u16) {
    outbound(bencher, wireguard(peers), Order::Turns);
}

/// A packet from the interface to each peer in turn, through the queue of a radio link.
#[divan::bench(args = PEERS, sample_size = 1000)]
fn queued_packet_out_in_turn(bencher: Bencher<'_, '_>, peers: u16) {
    outbound(bencher, Plan { peers, mode: PeerMode::Pki, keepalive: None }, Order::Turns);
}

/// A datagram of a peer, to the interface.
#[divan::bench(args = PEERS, sample_size = 1000)]
fn wireguard_packet_in(bencher: Bencher<'_, '_>, peers: u16) {
    inbound(bencher, wireguard(peers), Order::Busy);
}

#[divan::bench(args = PEERS, sample_size = 1000)]
fn wireguard_packet_in_in_turn(bencher: Bencher<'_, '_>, peers: u16) {
    inbound(bencher, wireguard(peers), Order::Turns);
}

/// One timer, of the only peer of so many that has something due: a keepalive.
#[divan::bench(args = PEERS, sample_size = 100)]
fn wireguard_timer(bencher: Bencher<'_, '_>, peers: u16) {
    let every = Duration::from_millis(1);
    let mut network = Network::new(Plan { peers, mode: PeerMode::Wireguard, keepalive: Some(every) });
    network.acquaint();
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let (due, _) = network.hub.poll_timeout(network.now).expect("a keepalive is due");
        network.now = due;
        network.hub.handle_timeout(due);
        assert_eq!(drain(&mut network.hub, due), 1);
    });
}

/// An address of one of so many peers is refused by the network.
#[divan::bench(args = PEERS, sample_size = 1000)]
fn wireguard_unreachable(bencher: Bencher<'_, '_>, peers: u16) {
    let mut network = Network::new(wireguard(peers));
    network.acquaint();
    let now = network.now;
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let to = network::address(PeerMode::Wireguard, peers / 2);
        network.hub.handle_unreachable(network::LINK, black_box(to), now);
        drain(&mut network.hub, now)
    });
}
