//! What the core costs per packet on links where air is free, on one core: `cargo bench -p meshnet-proto --bench free`.
//!
//! Packets come as the kernel hands them over: small ones one by one, a turn of the event loop at a time; a stream's in rows.
//! Items per second are packets per second. The cipher is the core's own, which is not the fastest.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use ipnet::Ipv4Net;
use meshnet_proto::Node;
use meshnet_proto::aead::{Aead, KEY_LEN, TAG_LEN, Unauthentic};
use meshnet_proto::config::{Config, PeerConfig, PeerMode};
use meshnet_proto::frame::{ether_type, ethernet, protocol};
use meshnet_proto::key::PrivateKey;
use meshnet_proto::link::{AddrKind, Airtime, LinkAddr, LinkCaps, LinkEvent, LinkId};
use meshnet_proto::offload::Offload;

const LINK: LinkId = LinkId(0);
/// Packets of a turn.
const TURN: usize = 64;

fn main() {
    divan::main();
}

/// A cipher that does nothing, so that the rest shows.
#[derive(Debug)]
struct Nothing;

impl Aead for Nothing {
    fn seal(&self, _: &[u8; KEY_LEN], _: u64, _: &[u8], _: &mut [u8]) -> [u8; TAG_LEN] {
        [0; TAG_LEN]
    }

    fn open(
        &self,
        _: &[u8; KEY_LEN],
        _: u64,
        _: &[u8],
        _: &mut [u8],
        _: &[u8; TAG_LEN],
    ) -> Result<(), Unauthentic> {
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an instant can only come from the clock; its value does not matter"
)]
fn start() -> Instant {
    Instant::now()
}

fn key(at: u8) -> PrivateKey {
    PrivateKey::from_random([7 + at; 32])
}

fn inside(at: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, at + 1)
}

fn outside(at: u8) -> LinkAddr {
    LinkAddr::udp(([192, 0, 2, at + 1], 51820).into())
}

fn node(ours: u8, now: Instant) -> Node {
    let theirs = 1 - ours;
    let config = Config {
        private_key: key(ours),
        addresses: vec![Ipv4Net::new(inside(ours), 24).expect("a prefix length").into()],
        mtu: 1420,
        rekey_after_messages: 1 << 16,
        peers: vec![PeerConfig {
            public_key: key(theirs).public(),
            preshared_key: None,
            allowed_ips: vec![Ipv4Net::from(inside(theirs)).into()],
            endpoints: vec![outside(theirs)],
            mode: PeerMode::Wireguard,
            keepalive: None,
            bulk_over_metered: None,
        }],
    };
    let mut node =
        Node::new(&config, [3 + ours; 32], Duration::ZERO, now).expect("the configuration is sound");
    let caps = LinkCaps {
        kind: AddrKind::Udp,
        mtu: 65_507,
        airtime: Airtime::Free,
        cost: 0,
        ordered: false,
        broadcast: false,
        segments: 64,
    };
    node.set_device_offload(true, true);
    node.handle_link(LINK, LinkEvent::Up(caps), now);
    node
}

/// A UDP packet with so much data, in a frame.
fn frame(from: u8, to: u8, data: usize) -> Vec<u8> {
    let mut out = ethernet([2; 6], [4; 6], ether_type::IPV4);
    let total = u16::try_from(28 + data).expect("a short packet").to_be_bytes();
    out.extend([0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol::UDP, 0, 0]);
    out.extend(inside(from).octets());
    out.extend(inside(to).octets());
    let length = u16::try_from(8 + data).expect("a short packet").to_be_bytes();
    // Without a checksum, so that the receiver does not put packets together.
    out.extend([0x13, 0x88, 0x14, 0x51, length[0], length[1], 0, 0]);
    out.resize(14 + 28 + data, 0x20);
    out
}

/// Two nodes with a session, whose cipher does nothing from then on.
fn pair(now: Instant) -> [Node; 2] {
    let mut nodes = [node(0, now), node(1, now)];
    nodes[0].handle_device(&frame(0, 1, 64), now);
    loop {
        let mut moved = false;
        for at in [0, 1_u8] {
            while let Some(transmit) = nodes[usize::from(at)].poll_transmit(now) {
                nodes[usize::from(1 - at)].handle_datagram(LINK, outside(at), &transmit.payload, now);
                moved = true;
            }
            while nodes[usize::from(at)].poll_device().is_some() {}
        }
        if !moved {
            break;
        }
    }
    nodes.iter_mut().for_each(|node| node.set_aead(&Nothing));
    nodes
}

/// Gives a turn's packets to a node; returns the rows that it makes of them.
fn send(node: &mut Node, frame: &[u8], now: Instant) -> Vec<(Vec<u8>, usize)> {
    for _ in 0..TURN {
        node.handle_device_row(black_box(frame), Offload::default(), now);
    }
    node.handle_device_end();
    let _stored = node.poll_store();
    let mut rows = Vec::with_capacity(1);
    while let Some(row) = node.poll_transmit(now) {
        let segment = row.segment.map_or(row.payload.len(), usize::from);
        rows.push((row.payload, segment));
    }
    let _due = black_box(node.poll_timeout(now));
    rows
}

/// Small packets from the interface to a row of datagrams.
#[divan::bench(args = [64, 200])]
fn small_packets_out(bencher: Bencher<'_, '_>, data: usize) {
    let now = start();
    let [mut node, _] = pair(now);
    let frame = frame(0, 1, data);
    bencher.counter(ItemsCount::new(TURN)).bench_local(|| {
        for (buffer, _) in send(&mut node, &frame, now) {
            node.recycle(buffer);
        }
    });
}

/// A row of small datagrams to the interface.
#[divan::bench(args = [64, 200])]
fn small_packets_in(bencher: Bencher<'_, '_>, data: usize) {
    let now = start();
    let [mut sender, mut receiver] = pair(now);
    let frame = frame(0, 1, data);
    bencher.counter(ItemsCount::new(TURN)).with_inputs(|| send(&mut sender, &frame, now)).bench_local_values(
        |mut rows| {
            let mut taken = 0;
            for (row, segment) in &mut rows {
                receiver.handle_datagrams(LINK, outside(0), row, *segment, now);
                while let Some(frame) = receiver.poll_device() {
                    taken += black_box(frame.bytes).len();
                }
            }
            let _stored = receiver.poll_store();
            assert!(receiver.poll_transmit(now).is_none() && taken >= TURN * data);
            rows
        },
    );
}
