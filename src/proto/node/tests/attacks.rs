//! Somebody who hears and injects everything.

use super::*;
use crate::v1::handshake::{Attempt, Pair};
use crate::v1::wire::{Datagram, Init, Response};

/// A world with a session, and the init that made it.
fn established() -> (World, Vec<u8>) {
    let mut world = World::new(&Setup::default());
    world.send(0, 1);
    world.seconds(10);
    world.send(1, 2);
    world.seconds(10);
    let init = world.sent_of_type(0, 1)[0].payload.clone();
    (world, init)
}

fn inject(world: &mut World, from: usize, bytes: &[u8]) {
    world.nodes[1 - from].handle_datagram(LINK, radio(from), bytes, world.now);
    world.drain();
}

#[test]
fn a_replayed_init_is_not_even_answered() {
    let (mut world, init) = established();
    world.seconds(3600);
    let sent = world.log.len();
    for _ in 0..100 {
        inject(&mut world, 0, &init);
        world.seconds(1);
    }
    assert_eq!(world.log.len(), sent);
    assert_eq!(world.count(1, DropReason::Replayed), 100);
}

#[test]
fn an_init_recorded_before_a_restart_is_answered_but_keeps_the_live_session() {
    let (mut world, init) = established();
    world.restart(1, 1);
    for number in 0..40 {
        world.send(0, number);
        world.seconds(2);
    }
    world.delivered = vec![Vec::new(), Vec::new()];
    inject(&mut world, 0, &init);
    world.seconds(10);
    assert_eq!(world.sent_of_type(1, 2).last().unwrap().payload[5..9], init[1..5], "it was answered");
    for number in 100..110 {
        world.send(0, number);
        world.send(1, number + 100);
        world.seconds(5);
    }
    assert_eq!(world.numbers(1), (100..110).collect::<Vec<_>>());
    assert_eq!(world.numbers(0), (200..210).collect::<Vec<_>>());
}

#[test]
fn a_flood_of_inits_is_answered_at_a_trickle() {
    let mut world = World::new(&Setup::default());
    // Recordings of many genuine inits, which alone pass the MAC.
    world.lose = Box::new(|_| true);
    for _ in 0..40 {
        world.send(0, 1);
        world.seconds(400);
    }
    let recordings: Vec<_> = world.sent_of_type(0, 1).into_iter().map(|sent| sent.payload).collect();
    assert!(recordings.len() > 40);
    for recording in &recordings {
        inject(&mut world, 0, recording);
    }
    let answers = world.sent_of_type(1, 2).len();
    assert!(answers <= 4, "{answers} answers at once");
    assert!(world.count(1, DropReason::HandshakeFlood) > 30);
}

#[test]
fn an_init_of_a_stranger_costs_a_hash_and_is_reported_once() {
    let mut world = World::new(&Setup::default());
    for session in 0..1000 {
        inject(&mut world, 0, &Init { session, ephemeral: [9; 32], mac: [1; 16] }.emit());
    }
    assert_eq!(world.log.len(), 0);
    assert_eq!(world.count(1, DropReason::BadHandshake), 1000);
    let refused = world.events[1].iter().filter(|event| matches!(event, Event::HandshakeRefused { .. }));
    assert_eq!(refused.count(), 1);
}

#[test]
fn a_replayed_packet_is_delivered_once() {
    let (mut world, _) = established();
    let packets: Vec<_> = world.sent_of_type(0, 3).into_iter().map(|sent| sent.payload).collect();
    for packet in packets.iter().cycle().take(50) {
        inject(&mut world, 0, packet);
    }
    assert_eq!(world.numbers(1), [1]);
    assert_eq!(world.count(1, DropReason::Replayed), 50);
}

#[test]
fn garbage_from_a_peers_address_makes_no_noise() {
    let (mut world, _) = established();
    let sent = world.log.len();
    for number in 0..1000_u16 {
        let mut bytes = vec![3; 60];
        bytes[20..22].copy_from_slice(&number.to_le_bytes());
        inject(&mut world, 0, &bytes);
        world.seconds(1);
    }
    let provoked = world.log.len() - sent;
    assert!(provoked <= 45, "{provoked} datagrams provoked by 1000 in a quarter of an hour");
    world.send(0, 50);
    world.seconds(10);
    assert!(world.numbers(1).contains(&50));
}

#[test]
fn a_peer_cannot_speak_as_another() {
    let (mut world, _) = established();
    let mut forged = packet(0, 66, 0);
    forged[29] = 77; // its source is 10.0.0.77
    world.nodes[0].handle_device(&forged, world.now);
    world.drain();
    world.seconds(10);
    assert_eq!(world.count(1, DropReason::SpoofedSource), 1);
    assert!(!world.numbers(1).contains(&66));
}

#[test]
fn any_bytes_from_anywhere_leave_the_session_alone() {
    let (mut world, _) = established();
    let mut rng = ChaCha20Rng::from_seed([4; 32]);
    let recorded: Vec<_> = world.log.iter().map(|sent| sent.payload.clone()).collect();
    for round in 0..3000_usize {
        let mut bytes = recorded[round % recorded.len()].clone();
        let at = rng.next_u32() as usize % bytes.len();
        bytes[at] ^= u8::try_from(rng.next_u32() % 255).unwrap() + 1;
        bytes.truncate(rng.next_u32() as usize % (bytes.len() + 1));
        let datagram = Datagram::parse(&bytes);
        let _parsed_or_not = datagram.is_ok();
        inject(&mut world, round & 1, &bytes);
    }
    world.delivered = vec![Vec::new(), Vec::new()];
    world.seconds(300);
    world.send(0, 5);
    world.seconds(20);
    world.send(1, 6);
    world.seconds(20);
    assert_eq!((world.numbers(1), world.numbers(0)), (vec![5], vec![6]));
}

#[test]
fn forged_datagrams_amid_a_conversation_provoke_a_handshake_now_and_then() {
    let (mut world, _) = established();
    let before = world.sent_of_type(1, 1).len();
    for round in 0..300_u16 {
        for _ in 0..3 {
            inject(&mut world, 0, &[3; 40]);
        }
        world.send(0, round);
        world.seconds(10);
    }
    let inits = world.sent_of_type(1, 1).len() - before;
    assert!(inits <= 30, "{inits} handshakes in 50 minutes");
}

#[test]
fn forged_responses_of_one_peer_leave_the_handshakes_of_others_alone() {
    let mut world = World::new(&Setup::default());
    world.lose = Box::new(|_| true);
    world.send(0, 1);
    let init = world.sent_of_type(0, 1)[0].payload.clone();
    let receiver = u32::from_le_bytes(init[1..5].try_into().unwrap());
    for sender in 0..100 {
        inject(&mut world, 1, &Response { sender, receiver, ephemeral: [9; 32], mac: [1; 16] }.emit());
    }
    assert!(world.count(0, DropReason::HandshakeFlood) > 80);
    assert!(world.nodes[0].handshakes.take(world.now), "nothing is left for other peers");
}

#[test]
fn recorded_inits_of_another_program_hold_up_no_conversation() {
    let (mut world, _) = established();
    let key = |node: u8| PrivateKey::from_random([node + 1; 32]);
    let theirs = Pair::new(key(0), key(1).public(), None).unwrap();
    let mut held_up = 0;
    for number in 0..30 {
        let ephemeral = PrivateKey::from_random([100 + u8::try_from(number).unwrap(); 32]);
        let init = Attempt::foreign(&theirs, ephemeral, number.into()).init().emit();
        inject(&mut world, 0, &init);
        world.send(1, 100 + number);
        world.seconds(5);
        held_up += u32::from(!world.numbers(0).contains(&(100 + number)));
        world.seconds(6);
    }
    // The other end takes our probes for a sign that it lost its keys, and renews them now and then.
    assert!(held_up <= 18, "{held_up} of 30 packets were held up");
    assert_eq!(world.numbers(0).len(), 31, "and none is lost");
}

#[test]
fn a_peer_with_a_default_route_is_no_router_of_ours() {
    let mut world = World::new(&Setup::default());
    world.configs[0].peers[0].allowed_ips.push("::/0".parse().unwrap());
    world.nodes[0] = world.fresh_node(0, 3);
    let advertisement = neighbour::icmpv6(
        "fe80::1".parse().unwrap(),
        "ff02::1".parse().unwrap(),
        255,
        vec![134, 0, 0, 0, 64, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    let mut frame = ethernet([0x33, 0x33, 0, 0, 0, 1], [4; 6], ether_type::IPV6);
    frame.extend(advertisement);
    let delivered = world.nodes[0].deliver(0, frame, world.now);
    assert_eq!(delivered, Err(DropReason::NotForUs));
    assert_eq!(world.nodes[0].poll_device(), None);
}
