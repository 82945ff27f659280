//! A key shared beforehand, and peers that come and go under it: no counter is used twice, and no packet opened twice.

use super::*;

const PSK: [u8; 32] = [5; 32];

fn world() -> World {
    World::new(&Setup { mode: PeerMode::Symmetric, psk: Some(PSK), ..Setup::default() })
}

fn planned(world: &World, at: usize) -> PeerConfig {
    world.configs[at].peers[0].clone()
}

/// The counters of the data that node 0 sent so far.
fn counters(world: &World) -> Vec<u64> {
    let data = world.sent_of_type(0, 3).into_iter();
    data.map(|sent| u64::from_le_bytes(sent.payload[1..9].try_into().unwrap())).collect()
}

#[test]
fn no_counter_is_used_twice_however_a_peer_comes_and_goes() {
    let mut world = world();
    let peer = planned(&world, 0);
    let with_secret = |byte: u8| PeerConfig {
        preshared_key: Some(PresharedKey::from_bytes([byte; 32])),
        ..planned(&World::new(&Setup { mode: PeerMode::Symmetric, psk: Some(PSK), ..Setup::default() }), 0)
    };
    // A peer with another identity that happens to share the secret.
    let twin = PeerConfig { public_key: PrivateKey::from_random([9; 32]).public(), ..peer.clone() };
    for round in 0..12_u8 {
        let (node, now) = (&mut world.nodes[0], world.now);
        match round % 6 {
            0 => assert!(node.remove_peer(&peer.public_key, now)),
            1 => node.add_peer(&peer, now).unwrap(),
            2 => node.set_peer(&with_secret(6), now).unwrap(),
            3 => node.set_peer(&with_secret(5), now).unwrap(),
            4 => {
                node.set_peer(&PeerConfig { mode: PeerMode::Pki, ..peer.clone() }, now).unwrap();
                node.set_peer(&peer, now).unwrap();
            }
            _ => {
                assert!(node.remove_peer(&peer.public_key, now));
                node.add_peer(&twin, now).unwrap();
                world.drain();
                world.send(0, 500);
                world.seconds(30);
                assert!(world.nodes[0].remove_peer(&twin.public_key, world.now));
                world.nodes[0].add_peer(&peer, world.now).unwrap();
            }
        }
        world.drain();
        for number in 0..3 {
            world.send(0, u16::from(round) * 10 + number);
            world.seconds(20);
        }
        if round % 4 == 3 {
            world.restart(0, round);
        }
    }
    let used = counters(&world);
    assert!(used.len() > 30, "{}", used.len());
    assert_eq!(used.iter().collect::<BTreeSet<_>>().len(), used.len());
    for half in 0..2 {
        let rise = used.iter().filter(|counter| **counter >> 63 == half).is_sorted();
        assert!(rise, "and a peer that wants them to rise is content: {used:?}");
    }
}

#[test]
fn a_restart_between_removal_and_return_uses_no_counter_twice() {
    let mut world = world();
    world.send(0, 1);
    world.seconds(30);
    let peer = planned(&world, 0);
    assert!(world.nodes[0].remove_peer(&peer.public_key, world.now));
    world.drain();
    let peers = std::mem::take(&mut world.configs[0].peers);
    world.restart(0, 1);
    world.nodes[0].add_peer(&peer, world.now).unwrap();
    world.configs[0].peers = peers;
    world.drain();
    world.send(0, 2);
    world.seconds(30);
    let used = counters(&world);
    assert_eq!(used.iter().collect::<BTreeSet<_>>().len(), used.len());
    assert_eq!(world.numbers(1), [1, 2], "and the peer takes them");
}

#[test]
fn what_was_recorded_before_a_removal_is_not_delivered_after_it() {
    let mut world = world();
    for number in 0..5 {
        world.send(0, number);
        world.seconds(20);
    }
    let recorded = world.sent_of_type(0, 3);
    let peer = planned(&world, 1);
    let other = PeerConfig { preshared_key: Some(PresharedKey::from_bytes([6; 32])), ..peer.clone() };
    for round in 0..4 {
        let (node, now) = (&mut world.nodes[1], world.now);
        match round {
            0 => {
                assert!(node.remove_peer(&peer.public_key, now));
                node.add_peer(&peer, now).unwrap();
            }
            1 => {
                node.set_peer(&other, now).unwrap();
                node.set_peer(&peer, now).unwrap();
            }
            2 => {
                assert!(node.remove_peer(&peer.public_key, now));
                world.drain();
                let peers = std::mem::take(&mut world.configs[1].peers);
                world.restart(1, 1);
                world.configs[1].peers = peers;
                world.nodes[1].add_peer(&peer, world.now).unwrap();
            }
            // The file remembers for two keys of the same peer.
            _ => {
                node.set_peer(&other, now).unwrap();
                world.drain();
                world.restart(1, 2);
            }
        }
        world.drain();
        world.delivered[1].clear();
        for sent in &recorded {
            world.nodes[1].handle_datagram(LINK, radio(0), &sent.payload, world.now);
        }
        world.drain();
        assert!(world.numbers(1).is_empty(), "round {round}");
    }
    world.send(0, 9);
    world.seconds(30);
    assert_eq!(world.numbers(1), [9], "what is new arrives");
}

#[test]
fn a_file_without_names_of_keys_is_taken_up() {
    let mut world = world();
    let peer = planned(&world, 0).public_key;
    let reserved = 1 << 50;
    let old = format!("meshnet-state 1\nsymmetric {peer} {reserved} 5-9\n");
    world.stored[0] = Some(old.into_bytes());
    world.restart(0, 1);
    world.send(0, 1);
    world.seconds(20);
    assert_eq!(counters(&world)[0], reserved);
    let Keying::Symmetric(keying) = &world.nodes[0].peers[0].keying else { panic!("no such peer") };
    assert!(keying.seen().contains(&(5, 9)), "{:?}", keying.seen());
}

#[test]
fn peers_without_end_are_not_remembered_without_end() {
    let mut world = world();
    let peer = planned(&world, 0);
    for number in 0..1000_u16 {
        let mut secret = [1; 32];
        secret[..2].copy_from_slice(&number.to_le_bytes());
        let secret = Some(PresharedKey::from_bytes(secret));
        world.nodes[0].set_peer(&PeerConfig { preshared_key: secret, ..peer.clone() }, world.now).unwrap();
        world.drain();
    }
    assert!(world.nodes[0].retired.len() <= 64);
    assert!(world.stored[0].as_ref().unwrap().len() < 16 * 1024);
}
