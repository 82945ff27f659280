//! A key shared beforehand, no handshake.

use super::*;
use crate::event::SessionState;

fn world() -> World {
    World::new(&Setup { mode: PeerMode::Symmetric, psk: Some([5; 32]), ..Setup::default() })
}

#[test]
fn the_first_packet_arrives_after_one_question_for_the_address() {
    let mut world = world();
    world.send(0, 1);
    world.seconds(20);
    world.send(1, 2);
    world.seconds(20);
    assert_eq!((world.numbers(1), world.numbers(0)), (vec![1], vec![2]));
    assert_eq!(world.log.len(), 4, "question, answer, packet; packet: {:?}", world.log);
    assert!(world.log.iter().all(|sent| sent.payload[0] == 3), "no handshake");
}

#[test]
fn a_restart_of_either_side_uses_no_counter_twice_and_asks_nothing_again() {
    let mut world = world();
    world.send(0, 0);
    world.seconds(20);
    for life in 1..6 {
        world.restart(0, life);
        world.send(0, u16::from(life));
        world.seconds(10);
        world.restart(1, life);
        world.send(0, 100 + u16::from(life));
        world.seconds(10);
    }
    let counters: Vec<_> = world.log.iter().map(|sent| sent.payload[1..9].to_vec()).collect();
    let distinct: BTreeSet<_> = counters.iter().collect();
    assert_eq!(distinct.len(), counters.len());
    assert_eq!(world.log.len(), 2 + 11, "question and answer, then one datagram a packet");
    // A receiver that was killed refuses a few counters that it may have seen.
    assert!(world.numbers(1).len() >= 6, "{:?}", world.numbers(1));
}

#[test]
fn an_orderly_restart_loses_nothing() {
    let mut world = world();
    for life in 1..6 {
        world.send(0, u16::from(life));
        world.seconds(20);
        world.nodes[1].close();
        world.drain();
        world.restart(1, life);
    }
    assert_eq!(world.numbers(1), [1, 2, 3, 4, 5]);
}

#[test]
fn nothing_leaves_before_its_counter_is_stored() {
    let mut world = world();
    let mut node = world.fresh_node(0, 9);
    node.handle_link(LINK, LinkEvent::Room(8), world.now);
    node.handle_device(&packet(0, 1, 20), world.now);
    assert!(node.poll_transmit(world.now).is_none());
    assert!(node.poll_store().is_some());
    world.nodes[0] = node;
    world.send(0, 2);
    world.seconds(30);
    assert!(!world.numbers(1).is_empty());
}

#[test]
fn frames_that_give_way_while_the_address_is_asked_for_are_counted() {
    let mut world = world();
    world.lose = Box::new(|_| true);
    for number in 0..40 {
        world.send(0, number);
    }
    assert_eq!(world.nodes[0].peers[0].waiting_len(), 32);
    assert_eq!(world.count(0, DropReason::HandshakeBacklog), 8);
}

#[test]
fn our_own_packet_thrown_back_is_no_sign_of_the_peer() {
    let mut world = world();
    // A gateway: its AllowedIPs hold our own address too.
    world.configs[0].peers[0].allowed_ips = vec!["10.0.0.0/24".parse().unwrap()];
    world.nodes[0] = world.fresh_node(0, 3);
    world.lose = Box::new(|_| true);
    world.nodes[0].peers[0].learn_mac([6; 6]);
    world.send(0, 1);
    let ours = world.sent_of_type(0, 3).pop().unwrap().payload;
    world.nodes[0].handle_datagram(LINK, radio(1), &ours, world.now);
    world.drain();
    assert!(world.numbers(0).is_empty());
    let peer = &world.nodes[0].snapshot(world.now).peers[0];
    assert_eq!((peer.state, peer.last_seen), (SessionState::Idle, None));
    assert_eq!(world.count(0, DropReason::SpoofedSource), 1);
}
