//! WIREGUARD peers with a radio and a link where air is free, told as stories.

use std::net::SocketAddr;
use std::time::Duration;

use meshnet_proto::config::PeerMode;
use meshnet_proto::event::DropReason;
use meshnet_proto::link::LinkAddr;
use meshnet_proto::path::Tier;
use meshnet_proto::terse::frame;
use meshnet_sim::internet::{Weather, inner};
use meshnet_sim::packet::Kind;
use meshnet_sim::world::{PairPlan, StationPlan, Ways, num};
use meshnet_sim::{Plan, World};

const SECOND: Duration = Duration::from_secs(1);

/// Stations on the free link, the last of them behind a translator; every pair speaks WIREGUARD.
fn world(count: usize, ways: Ways, nat: bool) -> World {
    let stations = (0..count).map(|at| StationPlan {
        mtu: 1400,
        attached: true,
        nat: nat && at + 1 == count,
        ..StationPlan::default()
    });
    let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
    let pair = PairPlan { mode: PeerMode::Wireguard, preshared: true, ways };
    let plan = Plan {
        stations: stations.collect(),
        pairs: pairs.map(|way| (way, pair)).collect(),
        ..Plan::default()
    };
    World::new(plan)
}

fn tier(world: &World, at: usize, peer: usize) -> Tier {
    let node = world.stations[at].node().expect("it runs");
    let key = meshnet_sim::world::public_key(peer);
    let snapshot = node.snapshot(world.now);
    let peer = snapshot.peers.into_iter().find(|peer| peer.public_key == key);
    peer.and_then(|peer| peer.ways).map_or(Tier::Offline, |ways| ways.tier)
}

/// A packet each way every `step`, until both arrive within it; returns how long that took.
fn talk(world: &mut World, step: Duration, limit: Duration) -> Duration {
    let start = world.now;
    loop {
        let sent = [(0, 1), (1, 0)].map(|(from, to)| world.send(from, to, Kind::Udp { port: 7 }, 30));
        world.run(step);
        let arrived = |number: &u16| world.watch.packets[usize::from(*number)].delivered.is_some();
        if sent.iter().all(arrived) {
            return world.now - start;
        }
        assert!(world.now - start < limit, "no traffic flows within {limit:?}: {}", world.watch.flow());
    }
}

#[test]
fn nat_rebinding() {
    for ways in [Ways::Free, Ways::Both] {
        let mut world = world(2, ways, true);
        talk(&mut world, SECOND * 5, SECOND * 60);
        assert_eq!((tier(&world, 0, 1), tier(&world, 1, 0)), (Tier::Direct, Tier::Direct));
        let inits = handshakes(&world);
        for _ in 0..5 {
            world.net.rebind(1);
            let took = talk(&mut world, SECOND / 2, SECOND * 10);
            assert!(took <= SECOND * 5, "{ways:?}: {took:?}");
            world.run(SECOND * 3);
            assert_eq!(tier(&world, 0, 1), Tier::Direct);
        }
        assert_eq!(handshakes(&world), inits, "a translator that forgets costs no handshake");
        world.audit();
    }
}

/// How many handshakes each station completed last, as the time of the last one.
fn handshakes(world: &World) -> Vec<Option<std::time::Instant>> {
    let stations = world.stations.iter().filter_map(|station| station.node());
    stations.flat_map(|node| node.snapshot(world.now).peers).map(|peer| peer.last_handshake).collect()
}

#[test]
fn replays_across_links() {
    let mut world = world(2, Ways::Both, false);
    world.attach(1, false);
    talk(&mut world, SECOND * 20, SECOND * 120);
    world.attach(1, true);
    talk(&mut world, SECOND * 5, SECOND * 60);
    let recorded: Vec<_> = world.watch.recorded.iter().cloned().collect();
    assert!(recorded.iter().any(|one| one.to.as_udp().is_some() && one.payload[0] == 4));
    assert!(recorded.iter().any(|one| one.to.as_udp().is_none()));
    let before = received(&world);
    let nobodys = SocketAddr::from(([198, 51, 100, 9], 7));
    for one in recorded {
        for to in [one.from, 1 - one.from] {
            world.inject(to, LinkAddr::radio(num(1 - to)), &one.payload);
            for from in [nobodys, inner(1 - to), inner(to)] {
                world.forge(to, from, &one.payload);
            }
        }
    }
    world.run(SECOND * 5);
    assert_eq!(received(&world), before, "nothing is taken twice, on whichever link");
    // Whoever replays moves no path either: the watch sees to it while packets flow.
    for at in [0, 1] {
        let snapshot = world.stations[at].node().expect("it runs").snapshot(world.now);
        assert_eq!(snapshot.peers[0].endpoint.map(|(_, to)| to), Some(LinkAddr::udp(inner(1 - at))));
    }
    talk(&mut world, SECOND, SECOND * 10);
    world.audit();
}

#[test]
fn one_encoding_is_not_passed_off_as_the_other() {
    let mut world = world(2, Ways::Both, false);
    talk(&mut world, SECOND * 5, SECOND * 60);
    // Two packets that never arrive, so that nothing but their encoding speaks against them: one by UDP, one by radio.
    world.net.weather = Weather { loss: 1.0, ..Weather::default() };
    world.air.faults_mut().loss = 1.0;
    let stock = lost(&mut world, |to| to.as_udp().is_some());
    (0..2).for_each(|at| world.attach(at, false));
    let terse = lost(&mut world, |to| to.as_udp().is_none());
    world.net.weather = Weather::default();
    (0..2).for_each(|at| world.attach(at, true));
    // Whoever hears both links has all that each other's header takes: the session's index is in clear on UDP.
    let (index, counter) = (stock[4..8].try_into().unwrap(), stock[8..16].try_into().unwrap());
    let as_terse = frame::Data {
        tag: frame::tag_of(u32::from_le_bytes(index)),
        counter_low: frame::counter_low(u64::from_le_bytes(counter)),
        sealed: &stock[16..],
    };
    let Ok(frame::Datagram::Data(data)) = frame::Datagram::parse(&terse) else { panic!("{terse:?}") };
    assert_eq!(data.tag, as_terse.tag, "it is one session");
    let counter = u64::from(data.counter_low).to_le_bytes();
    let as_stock = [&[4, 0, 0, 0], &index[..], &counter, data.sealed].concat();
    let before = received(&world);
    let refused = unauthentic(&world);
    world.inject(1, LinkAddr::radio(num(0)), &as_terse.emit());
    world.forge(1, inner(0), &as_stock);
    assert_eq!(received(&world), before, "neither opens");
    assert_eq!(unauthentic(&world), refused + 2, "because it does not authenticate");
    // The same bytes as they were meant are good, and on either link.
    world.forge(1, inner(0), &stock);
    world.inject(1, LinkAddr::radio(num(0)), &terse);
    assert_eq!(received(&world)[1], before[1] + 2);
}

/// Has the first station send a packet that is lost, by such a link; returns the datagram.
fn lost(world: &mut World, is_meant: fn(&LinkAddr) -> bool) -> Vec<u8> {
    world.watch.recorded.clear();
    for _ in 0..10 {
        world.send(0, 1, Kind::Udp { port: 7 }, 30);
        world.run(SECOND);
        let mut sent = world.watch.recorded.iter().filter(|one| one.from == 0 && is_meant(&one.to));
        // A packet is longer than what the two say to each other about the path.
        if let Some(one) = sent.find(|one| one.payload.len() > 48) {
            return one.payload.clone();
        }
    }
    panic!("nothing leaves by this link: {}", world.watch.flow());
}

fn unauthentic(world: &World) -> u64 {
    let node = world.stations[1].node().expect("it runs");
    node.snapshot(world.now).drops.get(&DropReason::Unauthentic).copied().unwrap_or_default()
}

fn received(world: &World) -> Vec<u64> {
    let stations = world.stations.iter().filter_map(|station| station.node());
    stations.flat_map(|node| node.snapshot(world.now).peers).map(|peer| peer.received.packets).collect()
}

#[test]
fn a_peer_that_lies_about_endpoints() {
    // Configured by radio alone: where air is free they go by what they tell each other.
    let mut world = world(3, Ways::Radio, false);
    let victim = inner(2);
    let strangers = (1..=200).map(|port| SocketAddr::from(([198, 51, 100, 1], port)));
    let lies: Vec<_> = [victim].into_iter().chain(strangers).collect();
    world.claim(0, lies.clone());
    world.net.attach(2, false);
    let mut asked = Vec::new();
    for round in 0..60 {
        world.claim(0, lies[round..].to_vec());
        world.send(0, 1, Kind::Udp { port: 7 }, 30);
        world.send(1, 0, Kind::Udp { port: 7 }, 30);
        world.run(SECOND * 10);
        let honest = [0, 1].map(|at| LinkAddr::udp(inner(at)));
        let recorded = world.watch.recorded.drain(..);
        asked.extend(recorded.filter(|one| one.to.as_udp().is_some() && !honest.contains(&one.to)));
    }
    assert!(!asked.is_empty(), "the lies were told");
    assert!(asked.iter().all(|one| one.payload.len() <= 48), "a stranger gets probes and nothing else");
    // In ten minutes: a burst of 16 and one more every 5 s.
    assert!(asked.len() <= 16 + 120 + 1, "{} probes of strangers", asked.len());
    // The truth is found as before.
    world.claim(0, vec![inner(0)]);
    talk(&mut world, SECOND * 10, SECOND * 120);
    assert_eq!(tier(&world, 1, 0), Tier::Direct);
    world.audit();
}

#[test]
fn a_free_link_that_flaps() {
    let mut world = world(2, Ways::Both, false);
    talk(&mut world, SECOND * 5, SECOND * 60);
    let handshake = handshakes(&world);
    let rough = Weather { loss: 0.3, delay: SECOND * 3 / 10, jitter: SECOND / 10, ..Weather::default() };
    for round in 0..10 {
        // With a word, without one, and by bad weather.
        match round % 3 {
            0 => world.attach(1, false),
            1 => world.plug(1, false),
            _ => world.net.weather = Weather { loss: 1.0, ..Weather::default() },
        }
        talk(&mut world, SECOND * 5, SECOND * 60);
        assert_eq!((round, tier(&world, 0, 1), tier(&world, 1, 0)), (round, Tier::Radio, Tier::Radio));
        world.net.weather = if round % 2 == 0 { Weather::default() } else { rough };
        world.attach(1, true);
        world.plug(1, true);
        let back = world.now;
        while (tier(&world, 0, 1), tier(&world, 1, 0)) != (Tier::Direct, Tier::Direct) {
            world.send(0, 1, Kind::Udp { port: 7 }, 30);
            world.send(1, 0, Kind::Udp { port: 7 }, 30);
            world.run(SECOND / 4);
            assert!(world.now - back < SECOND * 20, "round {round}: {}", world.watch.flow());
        }
    }
    assert_eq!(handshakes(&world), handshake, "one session from beginning to end");
    let [stock, terse] = world.watch.seals.sealed();
    assert!(stock > 20 && terse > 20, "both encodings carried it: {stock}, {terse}");
    world.audit();
}

/// How many datagrams all nodes dropped for this reason.
fn drops(world: &World, reason: DropReason) -> u64 {
    let nodes = world.stations.iter().filter_map(|station| station.node());
    nodes.filter_map(|node| node.snapshot(world.now).drops.get(&reason).copied()).sum()
}

#[test]
fn what_a_slow_path_brings_late_arrives_once() {
    let mut world = world(2, Ways::Both, false);
    talk(&mut world, SECOND * 5, SECOND * 60);
    let handshake = handshakes(&world);
    // The path is given up each time, wrongly: nothing is lost on it. The watch sees to it that nothing arrives twice.
    for delay in [2, 4, 9].map(|seconds| SECOND * seconds).repeat(4) {
        world.net.weather = Weather { delay, jitter: SECOND / 2, ..Weather::default() };
        for _ in 0..15 {
            world.send(0, 1, Kind::Udp { port: 7 }, 30);
            world.send(1, 0, Kind::Udp { port: 7 }, 30);
            world.run(SECOND / 10);
        }
        world.run(SECOND * 15);
        world.net.weather = Weather::default();
        let clear = world.now;
        while (tier(&world, 0, 1), tier(&world, 1, 0)) != (Tier::Direct, Tier::Direct) {
            talk(&mut world, SECOND, SECOND * 20);
            assert!(world.now - clear < SECOND * 40, "{}", world.watch.flow());
        }
    }
    let [copies, originals] =
        [DropReason::Duplicate, DropReason::Replayed].map(|reason| drops(&world, reason));
    assert!(copies > 0 && originals > 0, "{copies} copies came second, and {originals} originals");
    assert_eq!(handshakes(&world), handshake, "one session from beginning to end");
    world.audit();
}

#[test]
fn other_addresses_of_a_peer_are_not_read_into_a_session_that_agreed_on_others() {
    let mut world = world(2, Ways::Radio, false);
    (0..2).for_each(|at| world.attach(at, false));
    talk(&mut world, SECOND * 20, SECOND * 120);
    let mut peer = world.plan.peer(0, 1);
    peer.allowed_ips.insert(0, "10.0.0.77/32".parse().expect("a prefix"));
    world.set_peer(0, 1, &peer);
    // The watch compares every byte.
    talk(&mut world, SECOND * 20, SECOND * 120);
    world.audit();
}
