//! Make before break.

use super::*;
use crate::event::SessionState;

#[test]
fn a_rekey_by_message_count_loses_no_packet() {
    let mut world = World::new(&Setup { rekey_after_messages: 10, ..Setup::default() });
    for number in 0..100 {
        world.send(0, number);
        world.send(1, 1000 + number);
        world.seconds(3);
    }
    world.seconds(60);
    assert_eq!(world.numbers(1), (0..100).collect::<Vec<_>>());
    assert_eq!(world.numbers(0), (1000..1100).collect::<Vec<_>>());
    let rekeys = world.events[0].iter().filter(|event| matches!(event, Event::Rekeyed { .. })).count();
    assert!(rekeys >= 8, "{rekeys} rekeys");
    assert!(!world.events[0].iter().any(|event| matches!(event, Event::PeerDown { .. })));
}

#[test]
fn a_session_five_hours_old_is_renewed_by_the_next_frame_and_not_before() {
    let mut world = World::new(&Setup::default());
    world.send(0, 1);
    world.seconds(5 * 3600 + 60);
    assert_eq!(world.sent_of_type(0, 1).len(), 1);
    world.send(0, 2);
    world.seconds(20);
    assert_eq!(world.sent_of_type(0, 1).len(), 2);
    assert_eq!(world.numbers(1), [1, 2]);
}

#[test]
fn keys_age_while_the_host_sleeps() {
    for (hours, lives) in [(0, true), (5, true), (72, false)] {
        let mut world = World::new(&Setup::default());
        world.send(0, 1);
        world.seconds(20);
        world.send(1, 2);
        world.seconds(20);
        let before = world.log.len();
        world.nodes[0].handle_resume(Duration::from_secs(hours * 3600 + 5), world.now);
        world.drain();
        world.seconds(60);
        assert_eq!(world.log.len(), before, "it costs nothing before there is something to send");
        let session = world.nodes[0].snapshot(world.now).peers[0].state;
        assert_eq!(session == SessionState::Established, lives, "{hours} hours");
        // The other host was awake for a moment only.
        world.send(1, 3);
        world.seconds(60);
        assert_eq!(world.numbers(0).contains(&3), lives, "{hours} hours");
        world.send(0, 4);
        world.seconds(60);
        world.send(1, 5);
        world.seconds(60);
        assert!(world.numbers(1).contains(&4) && world.numbers(0).contains(&5));
    }
}

#[test]
fn a_rekey_whose_response_is_lost_keeps_traffic_going() {
    let mut world = World::new(&Setup { rekey_after_messages: 10, ..Setup::default() });
    let mut responses = 0;
    world.lose = Box::new(move |sent| {
        responses += u32::from(sent.payload[0] == 2);
        sent.payload[0] == 2 && (2..5).contains(&responses)
    });
    for number in 0..40 {
        world.send(0, number);
        world.send(1, 1000 + number);
        world.seconds(3);
    }
    world.seconds(60);
    assert_eq!(world.numbers(1), (0..40).collect::<Vec<_>>());
    assert_eq!(world.numbers(0), (1000..1040).collect::<Vec<_>>());
}

#[test]
fn a_peer_that_cannot_be_renewed_keeps_its_session_until_it_is_too_old() {
    let mut world = World::new(&Setup::default());
    world.send(0, 1);
    world.seconds(5 * 3600 + 60);
    world.lose = Box::new(|sent| sent.payload[0] < 3);
    for number in 2..40 {
        world.send(0, number);
        world.send(1, 1000 + number);
        world.seconds(20);
    }
    assert!(world.numbers(1).len() > 35, "{:?}", world.numbers(1));
    world.seconds(3600);
    world.send(0, 99);
    world.seconds(100);
    assert!(!world.numbers(1).contains(&99));
}

#[test]
fn whoever_watches_hears_of_a_handshake_that_begins_and_of_a_session_that_runs_out_in_silence() {
    let mut world = World::new(&Setup::default());
    let stands = |world: &mut World| {
        let peer = world.nodes[0].poll_moved_on();
        assert!(world.nodes[0].poll_moved_on().is_none(), "there is one peer");
        peer.and_then(|peer| world.nodes[0].snapshot_of(&peer)).map(|peer| peer.state)
    };
    assert_eq!(stands(&mut world), None);
    world.send(0, 1);
    assert_eq!(stands(&mut world), Some(SessionState::Handshaking));
    world.seconds(60);
    assert_eq!(stands(&mut world), Some(SessionState::Established));
    world.send(0, 2);
    world.seconds(60);
    assert_eq!(stands(&mut world), None, "a packet changes nothing of it");
    world.seconds(7 * 3600);
    assert_eq!(stands(&mut world), Some(SessionState::Idle));
}

#[test]
fn a_session_that_runs_out_in_silence_ends_with_an_event_and_its_successor_is_one_of_its_own() {
    let mut world = World::new(&Setup::default());
    let peer = world.configs[0].peers[0].public_key;
    world.send(0, 1);
    world.seconds(60);
    world.events[0].clear();
    world.seconds(7 * 3600);
    assert_eq!(world.events[0], [Event::PeerDown { peer }], "once, and without a packet that asks");
    world.send(0, 2);
    world.seconds(60);
    assert_eq!(world.events[0], [Event::PeerDown { peer }, Event::PeerUp { peer }]);
    assert_eq!(world.numbers(1), [1, 2]);
}

/// The last datagram of a type that a node sent.
fn last(world: &World, from: usize, kind: u8) -> Vec<u8> {
    world.sent_of_type(from, kind).pop().expect("there is one").payload
}

#[test]
fn handshakes_that_cross_end_in_one_session() {
    let mut world = World::new(&Setup::default());
    let low = usize::from(world.nodes[0].public_key > world.nodes[1].public_key);
    let high = 1 - low;
    let give = |world: &mut World, to: usize, bytes: &[u8]| {
        world.nodes[to].handle_datagram(LINK, radio(1 - to), bytes, world.now);
        world.drain();
    };
    world.lose = Box::new(|_| true);
    world.send(low, 1);
    world.send(high, 2);
    // The lower side answers an init once its own has gone unanswered for long.
    while world.sent_of_type(low, 2).is_empty() {
        world.run(Duration::from_millis(500));
        let init = last(&world, high, 1);
        give(&mut world, low, &init);
    }
    let init = last(&world, low, 1);
    give(&mut world, high, &init);
    let responses = [last(&world, low, 2), last(&world, high, 2)];
    give(&mut world, high, &responses[0]);
    give(&mut world, low, &responses[1]);
    let proofs = [last(&world, low, 3), last(&world, high, 3)];
    give(&mut world, high, &proofs[0]);
    give(&mut world, low, &proofs[1]);
    world.lose = Box::new(|_| false);
    world.delivered = vec![Vec::new(), Vec::new()];
    for number in 0..60 {
        world.send(low, number);
        world.send(high, number);
        world.seconds(60);
    }
    let all: Vec<u16> = (0..60).collect();
    assert_eq!((world.numbers(low), world.numbers(high)), (all.clone(), all));
}

#[test]
fn fresh_keys_come_when_they_are_wanted_and_the_old_ones_serve_until_then() {
    let mut world = World::new(&Setup::default());
    world.send(0, 1);
    world.seconds(10);
    let key = world.configs[0].peers[0].public_key;
    world.events[0].clear();
    world.nodes[0].rekey(&key, world.now).unwrap();
    world.nodes[0].rekey(&key, world.now).unwrap();
    world.send(0, 2);
    world.seconds(10);
    world.send(0, 3);
    world.seconds(10);
    assert_eq!(world.events[0], [Event::Rekeyed { peer: key }], "one handshake for both");
    assert_eq!(world.numbers(1), [1, 2, 3]);
    assert_eq!(world.sent_of_type(0, 1).len(), 2);
}

#[test]
fn fresh_keys_that_are_wanted_without_a_link_come_when_there_is_one() {
    let mut world = World::new(&Setup::default());
    let (key, now) = (world.configs[0].peers[0].public_key, world.now);
    world.nodes[0].handle_link(LINK, LinkEvent::Down, now);
    world.nodes[0].rekey(&key, now).unwrap();
    world.nodes[0].handle_timeout(now);
    world.nodes[0].handle_link(LINK, LinkEvent::Up(caps()), now);
    world.drain();
    world.seconds(10);
    assert!(world.events[0].contains(&Event::PeerUp { peer: key }), "{:?}", world.events[0]);
}

#[test]
fn fresh_keys_that_do_not_come_are_not_wanted_for_ever() {
    let mut world = World::new(&Setup::default());
    let key = world.configs[0].peers[0].public_key;
    world.lose = Box::new(|_| true);
    world.nodes[0].rekey(&key, world.now).unwrap();
    world.seconds(24 * 3600);
    assert_eq!(world.sent_of_type(0, 1).len(), 5, "the tries of one handshake");
}

#[test]
fn who_has_no_handshake_gets_no_fresh_keys() {
    let mut world = World::new(&Setup { mode: PeerMode::Symmetric, psk: Some([5; 32]), ..Setup::default() });
    let (key, now) = (world.configs[0].peers[0].public_key, world.now);
    assert_eq!(world.nodes[0].rekey(&key, now), Err(RekeyError::Symmetric));
    let stranger = PrivateKey::from_random([7; 32]).public();
    assert_eq!(world.nodes[0].rekey(&stranger, now), Err(RekeyError::UnknownPeer(stranger)));
}

#[test]
fn a_handshake_measures_the_way_by_the_try_that_was_answered() {
    let mut world = World::new(&Setup::default());
    let mut inits = 0;
    world.lose = Box::new(move |sent| {
        inits += u32::from(sent.payload[0] == 1);
        sent.payload[0] == 1 && inits < 3
    });
    world.send(0, 1);
    world.seconds(120);
    assert_eq!(world.numbers(1), [1]);
    let peer = &world.nodes[0].snapshot(world.now).peers[0];
    let Airtime::Metered(metered) = caps().airtime else { panic!("air costs") };
    let air = metered.airtime(53) + metered.airtime(57);
    let rtt = peer.rtt.unwrap();
    assert!(rtt >= air && rtt < air + Duration::from_secs(1), "{rtt:?} for {air:?} of air");
    assert!((peer.loss.unwrap() - 2.0 / 3.0).abs() < 1e-6, "{:?}", peer.loss);
}
