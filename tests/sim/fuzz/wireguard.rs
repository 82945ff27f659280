//! A node with WIREGUARD peers, a radio and a link where air is free.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use meshnet_proto::Node;
use meshnet_proto::aead::{Aead as _, KEY_LEN, Portable};
use meshnet_proto::config::{Config, PeerConfig, PeerMode};
use meshnet_proto::key::{PresharedKey, PrivateKey};
use meshnet_proto::link::{AddrKind, Airtime, LinkAddr, LinkCaps, LinkEvent};
use meshnet_proto::offload::{Checksum, Offload, SegmentKind, Segments};
use meshnet_proto::terse::frame as terse;

use super::{PSK, epoch};
use crate::daemon::{FREE, LINK, free_caps};
use crate::internet;
use crate::packet::{self, Kind};
use crate::script::Script;
use crate::watched::{Watched, Watcher};
use crate::world::{address, num};

const RADIO_MTU: u16 = 219;

thread_local! {
    /// The key that something was sealed with last.
    static LAST: RefCell<[u8; KEY_LEN]> = const { RefCell::new([0; KEY_LEN]) };
}

/// Remembers the keys of sessions: with them any bytes can be sealed as the peer would.
#[derive(Debug)]
struct Spy;

impl Watcher for Spy {
    fn seals(&self, key: &[u8; KEY_LEN], _: u64, _: &[u8]) {
        LAST.set(*key);
    }
}

fn node(at: usize, others: &[usize], now: Instant) -> Node {
    let key = |at: usize| PrivateKey::from_random([at as u8 + 1; 32]);
    let peers = others.iter().map(|&other| {
        let by_radio = (at + other == 1).then(|| LinkAddr::radio(num(other)));
        PeerConfig {
            public_key: key(other).public(),
            preshared_key: Some(PresharedKey::from_bytes(PSK)),
            allowed_ips: vec![ipnet::Ipv4Net::from(address(other)).into()],
            endpoints: [LinkAddr::udp(internet::inner(other))].into_iter().chain(by_radio).collect(),
            mode: PeerMode::Wireguard,
            keepalive: (other == 2).then_some(Duration::from_secs(25)),
            bulk_over_metered: None,
        }
    });
    let config = Config {
        private_key: key(at),
        addresses: vec![ipnet::Ipv4Net::new(address(at), 24).expect("24 bits are fine").into()],
        mtu: 1400,
        rekey_after_messages: 1 << 16,
        peers: peers.collect(),
    };
    let unix_time = Duration::from_secs(1_700_000_000);
    let mut node =
        Node::new(&config, [at as u8 + 1; 32], unix_time, now).expect("the configuration is sound");
    node.set_aead(&Watched(Spy));
    node.set_device_offload(true, true);
    node.set_own_addresses(vec![internet::inner(at)], now);
    node
}

fn up(node: &mut Node, free: bool, now: Instant) {
    let radio = LinkCaps {
        kind: AddrKind::Radio,
        mtu: RADIO_MTU,
        airtime: Airtime::Metered(meshnet_proto::link::Metered {
            price: (0..=u32::from(RADIO_MTU)).map(|len| 30_000 + len * 1000).collect(),
            access: Duration::from_millis(50),
            hourly: Duration::from_secs(3600),
        }),
        cost: 100,
        ordered: false,
        broadcast: true,
        segments: 1,
    };
    let (link, caps) = if free { (FREE, free_caps()) } else { (LINK, radio) };
    node.handle_link(link, LinkEvent::Up(caps), now);
}

/// Drains a node as a shell does; returns what it sends.
fn settle(node: &mut Node, now: Instant) -> Vec<(bool, Vec<u8>)> {
    node.handle_link(LINK, LinkEvent::Room(8), now);
    let _stored = node.poll_store();
    while node.poll_device().is_some() {}
    let mut sent = Vec::new();
    while let Some(transmit) = node.poll_transmit(now) {
        let free = transmit.link == FREE;
        assert!(free || transmit.payload.len() <= usize::from(RADIO_MTU), "too long for a radio");
        let segment = transmit.segment.map_or(transmit.payload.len(), usize::from).max(1);
        sent.extend(transmit.payload.chunks(segment).map(|datagram| (free, datagram.to_vec())));
        assert!(sent.len() < 10_000, "it sends without end");
    }
    while node.poll_event().is_some() {}
    sent
}

fn hand_over(to: &mut Node, from: usize, sent: Vec<(bool, Vec<u8>)>, now: Instant) {
    for (free, mut datagram) in sent {
        let len = datagram.len();
        if free {
            to.handle_datagrams(FREE, LinkAddr::udp(internet::inner(from)), &mut datagram, len, now);
        } else {
            to.handle_datagram(LINK, LinkAddr::radio(num(from)), &datagram, now);
        }
    }
}

/// A session of a peer's, as seen by somebody who knows its keys.
struct Session {
    key: [u8; KEY_LEN],
    receiver: [u8; 4],
    counter: u64,
}

/// Lets a peer make a session, by UDP, with the node.
fn session(node: &mut Node, now: Instant) -> Session {
    let mut peer = self::node(1, &[0], now);
    up(&mut peer, true, now);
    let bytes = packet::build(1, Kind::Ping, address(1), address(0), 8);
    peer.handle_device(&packet::frame(&bytes, [2; 6], [4; 6]), now);
    let init = settle(&mut peer, now);
    hand_over(node, 1, init, now);
    let response = settle(node, now);
    hand_over(&mut peer, 0, response, now);
    let data = settle(&mut peer, now);
    let key = LAST.with_borrow(|key| *key);
    let receiver = *data.last().and_then(|(_, datagram)| datagram[4..].first_chunk()).expect("it sends data");
    hand_over(node, 1, data, now);
    assert!(node.poll_device().is_some(), "what the peer sends is delivered");
    settle(node, now);
    Session { key, receiver, counter: 100 }
}

impl Session {
    /// Seals a plaintext as the peer would, in either encoding.
    fn seal(&mut self, plaintext: &[u8], free: bool) -> Vec<u8> {
        self.counter += 1;
        let mut sealed = plaintext.to_vec();
        let aad: &[u8] = if free { &[] } else { terse::ADDITIONAL_DATA };
        let tag = Portable.seal(&self.key, self.counter, aad, &mut sealed);
        sealed.extend_from_slice(&tag);
        if free {
            return [&[4, 0, 0, 0], &self.receiver[..], &self.counter.to_le_bytes(), &sealed].concat();
        }
        let name = terse::tag_of(u32::from_le_bytes(self.receiver));
        terse::Data { tag: name, counter_low: terse::counter_low(self.counter), sealed: &sealed }.emit()
    }
}

/// Datagrams on both links, of anybody: any bytes, and any plaintext under a key that is right; frames of the host's with
/// any offload in between, and links that come and go.
pub fn wireguard(bytes: &[u8]) {
    let (mut script, mut now) = (Script::new(bytes), epoch());
    let mut node = node(0, &[1, 2], now);
    up(&mut node, false, now);
    up(&mut node, true, now);
    let mut session = session(&mut node, now);
    while !script.is_over() {
        input(&mut node, &mut session, &mut script, now);
        settle(&mut node, now);
        now += Duration::from_millis(script.below(64) as u64 * 30);
        if let Some((due, why)) = node.poll_timeout(now).filter(|(due, _)| *due <= now) {
            node.handle_timeout(now);
            settle(&mut node, now);
            let again = node.poll_timeout(now);
            assert!(again.is_none_or(|(next, _)| next > due), "it wants to wake again for {why}");
        }
        let paths =
            node.snapshot(now).peers.iter().map(|peer| peer.ways.as_ref().map_or(0, |w| w.paths.len())).max();
        assert!(paths <= Some(meshnet_proto::path::MAX_CANDIDATES));
    }
}

fn input(node: &mut Node, session: &mut Session, script: &mut Script<'_>, now: Instant) {
    let (what, len) = (script.below(8), script.below(300));
    let free = script.once_in(2);
    let datagram = match what {
        0..=2 => script.take(len).to_vec(),
        3..=5 => session.seal(script.take(len), free),
        6 => {
            let (start, offset) = (u16::from(script.byte() % 64), script.choose(&[6, 16, 2]));
            let kind = script.choose(&[SegmentKind::Tcp, SegmentKind::Udp]);
            let segments = script.once_in(2).then(|| Segments { kind, size: u16::from(script.byte()) });
            let checksum = script.once_in(2).then_some(Checksum { start, offset });
            return node.handle_device_offload(script.take(len), Offload { checksum, segments }, now);
        }
        _ if script.once_in(2) => return up(node, free, now),
        _ => {
            return node.handle_link(if free { FREE } else { LINK }, LinkEvent::Down, now);
        }
    };
    let from = script.choose(&[1, 1, 2, 7]);
    hand_over(node, from, vec![(free, datagram)], now);
}
