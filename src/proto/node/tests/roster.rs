//! Peers that come, go and change.

use super::*;
use crate::config::ConfigError;
use crate::v1::wire::Fragment;

const ELSEWHERE: LinkAddr = LinkAddr::radio(9);

fn established(setup: &Setup) -> World {
    let mut world = World::new(setup);
    world.send(0, 1);
    world.seconds(30);
    world.send(1, 2);
    world.seconds(30);
    assert_eq!((world.numbers(1), world.numbers(0)), (vec![1], vec![2]));
    world.events = vec![Vec::new(), Vec::new()];
    world
}

/// Another peer for node 0, which nobody plays.
fn third() -> PeerConfig {
    PeerConfig {
        public_key: PrivateKey::from_random([3; 32]).public(),
        preshared_key: None,
        allowed_ips: vec!["10.0.0.3/32".parse().unwrap()],
        endpoints: vec![LinkAddr::radio(3)],
        mode: PeerMode::Pki,
        keepalive: None,
        bulk_over_metered: None,
    }
}

fn planned(world: &World, at: usize) -> PeerConfig {
    world.configs[at].peers[0].clone()
}

fn remove(world: &mut World, at: usize) {
    let key = planned(world, at).public_key;
    assert!(world.nodes[at].remove_peer(&key, world.now));
    world.drain();
}

#[test]
fn a_peer_added_later_is_reached_and_heard() {
    let mut world = World::new(&Setup::default());
    remove(&mut world, 0);
    world.send(1, 1);
    world.seconds(10);
    assert!(world.count(0, DropReason::UnknownSender) > 0);
    let peer = planned(&world, 0);
    world.nodes[0].add_peer(&peer, world.now).unwrap();
    world.send(0, 2);
    world.seconds(60);
    assert_eq!(world.numbers(1), [2]);
    world.send(1, 3);
    world.seconds(10);
    assert_eq!(world.numbers(0).last(), Some(&3));
}

#[test]
fn a_removed_peer_leaves_nothing_behind() {
    let mut world = established(&Setup { mtu: 1000, ..Setup::default() });
    let (now, key) = (world.now, planned(&world, 0).public_key);
    let node = &mut world.nodes[0];
    // A frame in fragments of which one has left, another frame in the queue, and one that waits for a link.
    node.handle_device(&packet(0, 7, 900), now);
    node.handle_link(LINK, LinkEvent::Room(1), now);
    let token = node.poll_transmit(now).unwrap().token;
    node.handle_device(&packet(0, 8, 20), now);
    let rest = node.links[&LINK].fragments.len();
    let piece = Fragment { message: 5, index: 0, total: 3, chunk: &[0; 50] }.emit();
    node.handle_datagram(LINK, radio(1), &piece, now);
    node.keyless.insert((LINK, radio(1)));
    assert!(node.reassembler.bytes() > 0 && rest > 1 && !node.timers.is_empty());

    assert!(node.remove_peer(&key, now));
    assert_eq!(node.account.total()[&DropReason::PeerRemoved], u64::try_from(rest + 1 + 1).unwrap());
    let state = &node.links[&LINK];
    assert_eq!((state.queue.len(), state.ready.len(), state.fragments.len()), (0, 0, 0));
    assert!(node.timers.is_empty() && node.by_endpoint.is_empty() && node.keyless.is_empty());
    assert!(node.routes.find(address(1)).is_none());
    assert_eq!(node.reassembler.bytes(), 0);
    assert!(node.snapshot(now).peers.is_empty());
    assert_eq!(node.poll_timeout(now), None);

    // What the link still says of it harms nobody.
    let used = node.links[&LINK].budget.as_ref().unwrap().used(now);
    node.handle_link(LINK, LinkEvent::Refused { token, reason: Refusal::QueueFull }, now);
    node.handle_link(LINK, LinkEvent::Room(8), now);
    assert_eq!(node.poll_transmit(now), None, "what the link gives back is for nobody");
    assert!(node.links[&LINK].budget.as_ref().unwrap().used(now) < used, "but its air is");
    assert!(!node.remove_peer(&key, now), "there is none any more");
}

#[test]
fn the_end_of_a_session_is_told_and_what_comes_after_is_nobodys() {
    let mut world = established(&Setup::default());
    let key = planned(&world, 0).public_key;
    remove(&mut world, 0);
    assert_eq!(world.events[0], [Event::PeerDown { peer: key }]);
    world.send(1, 5);
    world.seconds(10);
    assert_eq!(world.numbers(0), [2]);
    world.send(0, 6);
    assert_eq!(world.count(0, DropReason::NoRoute), 1);
    assert_eq!(world.delivered[0].len(), 2, "and the host is told");
}

#[test]
fn what_was_a_peers_is_not_its_successors() {
    let mut world = established(&Setup::default());
    let (peer, now) = (planned(&world, 0), world.now);
    world.nodes[0].handle_device(&packet(0, 7, 20), now);
    let node = &mut world.nodes[0];
    let first = node.peers.numbers();
    assert!(node.remove_peer(&peer.public_key, now));
    node.add_peer(&peer, now).unwrap();
    assert_ne!(node.peers.numbers(), first, "a number is given once");
    world.seconds(30);
    assert_eq!(world.numbers(1), [1], "nor does what waited arrive");
    world.send(0, 8);
    world.seconds(30);
    assert_eq!(world.numbers(1), [1, 8]);
}

#[test]
fn a_peer_that_changes_its_mode_is_asked_for_its_mac_address_where_there_is_one() {
    let mut world = established(&Setup::default());
    let (peer, now) = (planned(&world, 0), world.now);
    for mode in [PeerMode::Wireguard, PeerMode::Pki] {
        world.nodes[0].set_peer(&PeerConfig { mode, ..peer.clone() }, now).unwrap();
        let at = world.nodes[0].peers.numbers()[0];
        let asks = world.nodes[0].peers[at].silence().is_some();
        assert_eq!(asks, mode == PeerMode::Pki, "{mode:?}");
    }
}

#[test]
fn a_bad_change_changes_nothing() {
    let mut world = established(&Setup::default());
    let (peer, now) = (planned(&world, 0), world.now);
    world.nodes[0].add_peer(&third(), now).unwrap();
    let with = |change: fn(&mut PeerConfig)| {
        let mut peer = peer.clone();
        peer.endpoints.push(ELSEWHERE);
        peer.allowed_ips.push("10.7.0.0/16".parse().unwrap());
        change(&mut peer);
        peer
    };
    let bad = [
        with(|peer| peer.allowed_ips.push("10.0.0.3/32".parse().unwrap())),
        with(|peer| peer.allowed_ips.push("10.7.1.1/16".parse().unwrap())),
        with(|peer| peer.endpoints.push(LinkAddr::radio(3))),
        with(|peer| peer.endpoints.push(ELSEWHERE)),
        with(|peer| peer.mode = PeerMode::Symmetric),
        with(|peer| peer.public_key = PrivateKey::from_random([9; 32]).public()),
    ];
    for peer in bad {
        assert!(world.nodes[0].set_peer(&peer, now).is_err(), "{peer:?}");
    }
    let own = PeerConfig { public_key: world.nodes[0].public_key, ..third() };
    let weak = PeerConfig {
        public_key: PublicKey::from_bytes([0; 32]),
        endpoints: vec![ELSEWHERE],
        allowed_ips: vec!["10.7.0.0/16".parse().unwrap()],
        ..third()
    };
    assert_eq!(world.nodes[0].add_peer(&own, now), Err(ConfigError::OwnKey));
    assert_eq!(world.nodes[0].add_peer(&weak, now), Err(ConfigError::WeakKey(weak.public_key)));
    assert_eq!(world.nodes[0].add_peer(&third(), now), Err(ConfigError::DuplicatePeer(third().public_key)));
    let node = &world.nodes[0];
    assert!(!node.by_endpoint.contains_key(&ELSEWHERE));
    assert!(node.routes.find("10.7.0.1".parse().unwrap()).is_none());
    assert_eq!(node.routes.find(address(1)).map(|(_, at)| at), node.peers.find(&peer.public_key));
    world.send(0, 7);
    world.seconds(10);
    assert_eq!(world.numbers(1), [1, 7]);
    assert_eq!(world.sent_of_type(0, 1).len(), 1, "in the same session");
}

#[test]
fn other_endpoints_and_addresses_keep_the_session() {
    let mut world = established(&Setup::default());
    let peer = planned(&world, 0);
    let more = "10.7.0.0/16".parse().unwrap();
    let changed = PeerConfig {
        endpoints: vec![ELSEWHERE, radio(1)],
        allowed_ips: vec![more, peer.allowed_ips[0]],
        ..peer
    };
    world.nodes[0].set_peer(&changed, world.now).unwrap();
    world.send(0, 7);
    world.seconds(10);
    assert_eq!(world.numbers(1), [1, 7]);
    assert_eq!(world.events[0], [], "nothing ended, and the path is the same");
    assert_eq!(world.sent_of_type(0, 1).len(), 1);
}

#[test]
fn nothing_goes_to_an_address_that_is_the_peers_no_longer() {
    let mut world = established(&Setup { mtu: 1000, ..Setup::default() });
    let (peer, now) = (planned(&world, 0), world.now);
    let node = &mut world.nodes[0];
    node.handle_device(&packet(0, 7, 900), now);
    node.handle_link(LINK, LinkEvent::Room(1), now);
    let token = node.poll_transmit(now).unwrap().token;
    node.handle_device(&packet(0, 8, 20), now);
    node.set_peer(&PeerConfig { endpoints: vec![ELSEWHERE], ..peer }, now).unwrap();
    node.handle_link(LINK, LinkEvent::Refused { token, reason: Refusal::QueueFull }, now);
    node.handle_link(LINK, LinkEvent::Room(8), now);
    let to: Vec<_> = std::iter::from_fn(|| node.poll_transmit(now)).map(|transmit| transmit.to).collect();
    assert_eq!(to, [ELSEWHERE], "the packet that was not sealed yet");
    node.handle_datagram(LINK, radio(1), &[3; 60], now);
    assert_eq!(node.account.total()[&DropReason::UnknownSender], 1);
}

#[test]
fn another_secret_ends_the_session_and_the_next_packet_makes_another() {
    let mut world = established(&Setup::default());
    let key = planned(&world, 0).public_key;
    for at in 0..2 {
        let secret = Some(PresharedKey::from_bytes([4; 32]));
        let peer = PeerConfig { preshared_key: secret, ..planned(&world, at) };
        world.nodes[at].set_peer(&peer, world.now).unwrap();
        world.nodes[at].set_peer(&peer, world.now).unwrap();
    }
    world.drain();
    assert_eq!(world.events[0], [Event::PeerDown { peer: key }], "once: the second time it is the same");
    world.send(0, 7);
    world.seconds(20);
    assert_eq!(world.numbers(1), [1, 7]);
    assert_eq!(world.sent_of_type(0, 1).len(), 2);
    assert_eq!(world.events[0].last(), Some(&Event::PeerUp { peer: key }));
}

#[test]
fn another_mode_is_another_protocol() {
    let mut world = established(&Setup { psk: Some([5; 32]), ..Setup::default() });
    for at in 0..2 {
        let peer = PeerConfig { mode: PeerMode::Symmetric, ..planned(&world, at) };
        world.nodes[at].set_peer(&peer, world.now).unwrap();
    }
    let inits = world.sent_of_type(0, 1).len();
    world.send(0, 7);
    world.seconds(30);
    world.send(1, 8);
    world.seconds(30);
    assert_eq!((world.numbers(1), world.numbers(0)), (vec![1, 7], vec![2, 8]));
    assert_eq!(world.sent_of_type(0, 1).len(), inits);
}

#[test]
fn what_waits_for_addresses_that_another_peer_gets_goes_there_or_nowhere() {
    let mut world = established(&Setup::default());
    let (peer, now) = (planned(&world, 0), world.now);
    let node = &mut world.nodes[0];
    node.handle_link(LINK, LinkEvent::Room(0), now);
    node.handle_device(&packet(0, 7, 20), now);
    let nothing = PeerConfig { allowed_ips: Vec::new(), ..peer.clone() };
    node.set_peer(&nothing, now).unwrap();
    assert_eq!(node.account.total()[&DropReason::NoRoute], 1);
    assert!(node.poll_device().is_some(), "the host is told");

    node.set_peer(&peer, now).unwrap();
    node.handle_device(&packet(0, 8, 20), now);
    let wide = PeerConfig { allowed_ips: vec!["10.0.0.0/24".parse().unwrap()], ..peer };
    node.set_peer(&wide, now).unwrap();
    let heir = PeerConfig { allowed_ips: vec![address(1).into()], ..third() };
    node.add_peer(&heir, now).unwrap();
    let waiting: Vec<_> = node.snapshot(now).peers.iter().map(|peer| peer.waiting).collect();
    assert_eq!(waiting, [0, 1], "it waits for the heir's handshake");
    assert_eq!(node.links[&LINK].queue.len(), 0);
}

#[test]
fn the_interface_changes_under_a_session() {
    let mut world = established(&Setup::default());
    world.nodes[0].handle_device(&packet(0, 7, 300), world.now);
    assert_eq!(world.count(0, DropReason::TooBig), 1);
    let addresses = vec!["10.0.0.1/24".parse().unwrap(), "fd00::1/64".parse().unwrap()];
    for node in &mut world.nodes {
        node.set_interface(addresses.clone(), 600, 3, world.now);
    }
    let frame = packet(0, 8, 300);
    world.nodes[0].handle_device(&frame, world.now);
    world.drain();
    world.seconds(20);
    for number in 9..14 {
        world.send(0, number);
        world.seconds(10);
    }
    assert_eq!(world.numbers(1), [1, 8, 9, 10, 11, 12, 13]);
    assert!(world.events[0].iter().any(|event| matches!(event, Event::Rekeyed { .. })), "after 3 messages");
}

#[test]
fn drops_are_the_peers_that_they_concern() {
    let mut world = World::new(&Setup { mode: PeerMode::Symmetric, psk: Some([5; 32]), ..Setup::default() });
    world.lose = Box::new(|_| true);
    world.nodes[0].add_peer(&third(), world.now).unwrap();
    for number in 0..40 {
        world.send(0, number);
    }
    world.nodes[0].handle_datagram(LINK, LinkAddr::radio(3), &[9; 9], world.now);
    let drops: Vec<_> = world.nodes[0].snapshot(world.now).peers.into_iter().map(|peer| peer.drops).collect();
    assert_eq!(drops[0], BTreeMap::from([(DropReason::HandshakeBacklog, 8)]));
    assert_eq!(drops[1], BTreeMap::from([(DropReason::MalformedDatagram, 1)]));
}
