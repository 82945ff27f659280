//! Pings of the node's own.

use super::*;
use crate::config::PeerConfig;
use crate::frame::{Frame, Inner};
use crate::icmp::{Echo, echo_data};
use crate::node::PingError;

fn peer(world: &World) -> PublicKey {
    world.configs[0].peers[0].public_key
}

fn ping(world: &mut World, bytes: u16) -> u64 {
    let (key, now) = (peer(world), world.now);
    let token = world.nodes[0].ping(&key, bytes, now).unwrap();
    world.drain();
    token
}

/// What a host's kernel makes of an echo request: the answer.
fn answer(request: &[u8]) -> Vec<u8> {
    let mut out = request.to_vec();
    let is_v6 = out[12] == 0x86;
    let body = if is_v6 { 54 } else { 34 };
    if is_v6 {
        out[22..54].rotate_left(16);
    } else {
        out[26..34].rotate_left(4);
    }
    out[body] = if is_v6 { 129 } else { 0 };
    out
}

/// The echo requests that reached node 1's host are answered there.
fn answer_all(world: &mut World) -> Vec<Vec<u8>> {
    let requests = std::mem::take(&mut world.delivered[1]);
    let answers: Vec<_> = requests.iter().map(|request| answer(request)).collect();
    for answer in &answers {
        world.nodes[1].handle_device(answer, world.now);
        world.drain();
    }
    answers
}

fn outcomes(world: &mut World) -> Vec<Event> {
    let is_outcome = |event: &Event| matches!(event, Event::PingAnswered { .. } | Event::PingLost { .. });
    std::mem::take(&mut world.events[0]).into_iter().filter(is_outcome).collect()
}

fn established() -> World {
    let mut world = World::new(&Setup { mtu: 600, ..Setup::default() });
    world.send(0, 1);
    world.seconds(10);
    world.delivered = vec![Vec::new(), Vec::new()];
    world
}

#[test]
fn a_ping_is_answered_and_the_host_knows_nothing_of_it() {
    let mut world = established();
    for bytes in [0, 56, 400] {
        let floor = world.nodes[0].ping_floor(&peer(&world), bytes).unwrap();
        let token = ping(&mut world, bytes);
        while world.delivered[1].is_empty() {
            world.run(Duration::from_millis(10));
        }
        answer_all(&mut world);
        world.seconds(20);
        let [Event::PingAnswered { token: of, rtt }] = outcomes(&mut world)[..] else { panic!("an answer") };
        assert_eq!(of, token);
        // This air has no wait for the medium.
        assert!(rtt > floor * 3 / 4 && rtt < floor * 2, "{rtt:?}, at least {floor:?}, of {bytes}");
        assert!(world.delivered[0].is_empty());
    }
    let snapshot = &world.nodes[0].snapshot(world.now).peers[0];
    assert_eq!(snapshot.loss, Some(0.0));
    assert!(snapshot.rtt.is_some());
}

#[test]
fn the_floor_is_the_price_there_and_back_and_the_access_of_each_datagram() {
    let world = established();
    let caps = caps();
    let Airtime::Metered(metered) = &caps.airtime else { panic!("air costs") };
    let sealed = 14 + 20 + 8 + 56 + 25;
    let floor = world.nodes[0].ping_floor(&peer(&world), 56).unwrap();
    assert_eq!(floor, (metered.airtime(sealed) + metered.access) * 2);
    let long = world.nodes[0].ping_floor(&peer(&world), 400).unwrap();
    let whole = 8 + 14 + 20 + 8 + 400 + 16;
    let last = metered.airtime(whole - 2 * 214 + 5);
    assert_eq!(long, (metered.airtime(219) * 2 + last + metered.access * 3) * 2);
}

#[test]
fn the_hosts_own_ping_is_its_own_whatever_its_identifiers() {
    let mut world = established();
    ping(&mut world, 56);
    world.seconds(10);
    let ours = world.delivered[1][0].clone();
    // The host uses the same identifier and sequence number at the same time, with other data.
    let mut theirs = ours.clone();
    theirs[42..].fill(0x11);
    world.nodes[0].handle_device(&theirs, world.now);
    world.drain();
    world.seconds(10);
    answer_all(&mut world);
    world.seconds(10);
    assert_eq!(world.delivered[0].len(), 1);
    assert_eq!(world.delivered[0][0][42..], theirs[42..]);
    assert_eq!(outcomes(&mut world).len(), 1);
}

#[test]
fn late_and_repeated_answers_reach_nobody() {
    let mut world = established();
    let token = ping(&mut world, 56);
    world.seconds(10);
    let request = world.delivered[1][0].clone();
    world.seconds(600);
    assert_eq!(outcomes(&mut world), [Event::PingLost { token }]);
    for _ in 0..3 {
        world.nodes[1].handle_device(&answer(&request), world.now);
        world.drain();
        world.seconds(10);
    }
    assert!(world.delivered[0].is_empty());
    assert_eq!(outcomes(&mut world), []);
    assert_eq!(world.nodes[0].snapshot(world.now).peers[0].loss, Some(0.5), "one handshake, one ping");
}

#[test]
fn a_ping_is_lost_after_a_time_that_the_link_explains_and_counts_only_if_it_left() {
    let mut world = established();
    world.lose = Box::new(|_| true);
    let start = world.now;
    let patience = world.nodes[0].ping_floor(&peer(&world), 56).unwrap() * 4 + Duration::from_secs(5);
    ping(&mut world, 56);
    while outcomes(&mut world).is_empty() {
        world.run(Duration::from_millis(100));
    }
    let took = world.now - start;
    assert!(took >= patience && took < patience + Duration::from_secs(1), "{took:?} of {patience:?}");
    let loss = |world: &World| world.nodes[0].snapshot(world.now).peers[0].loss;
    assert_eq!(loss(&world), Some(0.5));
    let node = &mut world.nodes[0];
    let spent = LinkEvent::Spent(Duration::from_secs(3600));
    node.handle_link(LINK, spent, world.now);
    ping(&mut world, 56);
    world.seconds(100);
    assert_eq!(outcomes(&mut world).len(), 1, "no air for it");
    assert_eq!(loss(&world), Some(0.5));
}

#[test]
fn a_ping_to_a_peer_that_is_away_is_lost_and_no_unreachable_comes_of_it() {
    let mut world = World::new(&Setup::default());
    world.lose = Box::new(|_| true);
    for _ in 0..30 {
        let (key, now) = (peer(&world), world.now);
        let token = world.nodes[0].ping(&key, 56, now).unwrap();
        world.drain();
        world.seconds(60);
        assert_eq!(outcomes(&mut world), [Event::PingLost { token }]);
    }
    assert!(world.delivered[0].is_empty());
    assert_eq!(world.nodes[0].snapshot(world.now).peers[0].loss, Some(1.0), "of the handshakes");
}

#[test]
fn what_cannot_be_sent_is_refused_with_a_reason() {
    let mut world = established();
    let (key, now) = (peer(&world), world.now);
    let node = &mut world.nodes[0];
    let stranger = PrivateKey::from_random([7; 32]).public();
    assert_eq!(node.ping(&stranger, 56, now), Err(PingError::UnknownPeer(stranger)));
    assert_eq!(node.ping(&key, 573, now), Err(PingError::TooBig { most: 572 }));
    assert!(node.ping(&key, 572, now).is_ok());
    for _ in 1..8 {
        assert!(node.ping(&key, 0, now).is_ok());
    }
    assert_eq!(node.ping(&key, 0, now), Err(PingError::TooMany));
    node.handle_link(LINK, LinkEvent::Down, now);
    let planned = world.configs[0].peers[0].clone();
    let node = &mut world.nodes[0];
    assert!(node.remove_peer(&key, now));
    let net = PeerConfig { allowed_ips: vec!["10.0.0.0/24".parse().unwrap()], ..planned.clone() };
    node.add_peer(&net, now).unwrap();
    assert_eq!(node.ping(&key, 0, now), Err(PingError::NoAddress));
    node.set_peer(&planned, now).unwrap();
    assert_eq!(node.ping(&key, 0, now), Err(PingError::NoPath));
    world.drain();
    assert_eq!(outcomes(&mut world).len(), 8, "those of the peer that was removed are lost");
}

#[test]
fn a_ping_over_ipv6_is_answered_too() {
    let mut world = World::new(&Setup::default());
    for at in 0..2 {
        let address = |at: usize| format!("fd00::{}", at + 1);
        world.configs[at].addresses = vec![format!("{}/64", address(at)).parse().unwrap()];
        world.configs[at].peers[0].allowed_ips = vec![format!("{}/128", address(1 - at)).parse().unwrap()];
        world.nodes[at] = world.fresh_node(at, 3);
    }
    let token = ping(&mut world, 56);
    world.seconds(20);
    let answers = answer_all(&mut world);
    let Ok(Frame { inner: Inner::Ip(packet), .. }) = Frame::parse(&answers[0]) else { panic!("no packet") };
    assert_eq!(echo_data(&packet, Echo::Reply).map(<[u8]>::len), Some(56));
    world.seconds(20);
    assert!(matches!(outcomes(&mut world)[..], [Event::PingAnswered { token: of, .. }] if of == token));
}
