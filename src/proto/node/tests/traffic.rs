//! Ordinary days.

use super::*;

#[test]
fn the_first_packet_arrives_though_it_starts_the_handshake() {
    let mut world = World::new(&Setup::default());
    world.send(0, 1);
    world.seconds(10);
    assert_eq!(world.numbers(1), [1]);
    assert_eq!(world.log.len(), 3, "init, response, packet: {:?}", world.log);
    for events in &world.events {
        assert!(matches!(events[..], [Event::PathChanged { .. }, Event::PeerUp { .. }]), "{events:?}");
    }
}

#[test]
fn one_of_us_never_asks_another_for_its_address() {
    let mut world = World::new(&Setup { psk: Some([9; 32]), ..Setup::default() });
    for number in 0..5 {
        world.send(0, number);
        world.seconds(10);
        world.send(1, number + 10);
        world.seconds(10);
    }
    assert_eq!(world.numbers(1), [0, 1, 2, 3, 4]);
    assert_eq!(world.numbers(0), [10, 11, 12, 13, 14]);
    assert_eq!(world.log.len(), 2 + 10);
}

#[test]
fn both_sides_starting_at_once_end_with_one_session() {
    let mut world = World::new(&Setup::default());
    world.send(0, 1);
    world.send(1, 2);
    world.seconds(60);
    assert_eq!((world.numbers(1), world.numbers(0)), (vec![1], vec![2]));
}

#[test]
fn an_idle_network_sends_nothing_and_wakes_only_to_forget_keys() {
    let mut world = World::new(&Setup::default());
    world.send(0, 1);
    world.seconds(10);
    let (sent, mut wakes) = (world.log.len(), 0);
    let end = world.now + Duration::from_secs(24 * 3600);
    while let Some((at, _)) = world.nodes[0].poll_timeout(world.now).filter(|(at, _)| *at < end) {
        world.now = at;
        world.nodes[0].handle_timeout(at);
        wakes += 1;
    }
    world.drain();
    assert_eq!(world.log.len(), sent);
    assert!(wakes <= 3, "{wakes} wakes in a day");
}

#[test]
fn a_lost_handshake_message_is_sent_again() {
    for lost in [1, 2] {
        let mut world = World::new(&Setup::default());
        let mut seen = 0;
        world.lose = Box::new(move |sent| {
            seen += u32::from(sent.payload[0] == lost);
            sent.payload[0] == lost && seen <= 2
        });
        world.send(0, 1);
        world.seconds(50);
        assert_eq!(world.numbers(1), [1], "type {lost} lost twice");
    }
}

#[test]
fn a_response_that_comes_after_all_tries_still_makes_a_session() {
    let mut world = World::new(&Setup::default());
    world.lose = Box::new(|sent| sent.payload[0] == 2);
    world.send(0, 1);
    let gave_up =
        |world: &World| world.events[0].iter().any(|event| matches!(event, Event::HandshakeTimedOut { .. }));
    while !gave_up(&world) {
        world.seconds(1);
    }
    let late = world.sent_of_type(1, 2).pop().unwrap();
    world.lose = Box::new(|sent| sent.payload[0] == 1);
    world.nodes[0].handle_datagram(LINK, radio(1), &late.payload, world.now);
    world.send(0, 2);
    world.seconds(10);
    assert_eq!(world.numbers(1), [2]);
}

#[test]
fn frames_that_come_during_a_handshake_wait_in_order_and_the_oldest_give_way() {
    let mut world = World::new(&Setup::default());
    for number in 0..40 {
        world.send(0, number);
    }
    world.seconds(60);
    assert_eq!(world.numbers(1), (8..40).collect::<Vec<_>>());
    assert_eq!(world.count(0, DropReason::HandshakeBacklog), 8);
}

#[test]
fn an_absent_peer_costs_little_air_and_the_sender_is_told() {
    let mut world = World::new(&Setup::default());
    world.lose = Box::new(|_| true);
    for number in 0..600 {
        world.send(0, number);
        world.seconds(1);
    }
    let inits = world.sent_of_type(0, 1).len();
    assert!((5..=16).contains(&inits), "{inits} inits in ten minutes");
    let unreachable = |frame: &&Vec<u8>| frame[23] == protocol::ICMP && frame[34..36] == [3, 1];
    assert!(world.delivered[0].iter().filter(unreachable).count() > 400);
    assert!(
        world.events[0].iter().any(|event| matches!(event, Event::HandshakeTimedOut { attempts: 5, .. }))
    );
}

#[test]
fn a_frame_longer_than_the_link_carries_arrives_whole() {
    let mut world = World::new(&Setup { mtu: 600, ..Setup::default() });
    let frame = packet(0, 7, 570);
    world.nodes[0].handle_device(&frame, world.now);
    world.drain();
    world.seconds(30);
    assert_eq!(world.numbers(1), [7]);
    assert_eq!(world.delivered[1][0][14..], frame[14..]);
    assert_eq!(world.sent_of_type(0, 4).len(), 3);
}

#[test]
fn a_killed_peer_is_found_again_by_traffic_from_either_side() {
    for speaker in [0, 1] {
        let mut world = World::new(&Setup::default());
        world.send(0, 1);
        world.seconds(10);
        world.restart(1, 1);
        for number in 0..60 {
            world.send(speaker, 100 + number);
            world.seconds(2);
        }
        let arrived = world.numbers(1 - speaker);
        assert!(arrived.len() > 25, "speaker {speaker}: {arrived:?}");
    }
}

#[test]
fn sessions_outlive_a_link_that_goes_down_and_comes_back() {
    let mut world = World::new(&Setup::default());
    world.send(0, 1);
    world.seconds(10);
    world.nodes[0].handle_link(LINK, LinkEvent::Down, world.now);
    world.send(0, 2);
    world.seconds(20);
    world.nodes[0].handle_link(LINK, LinkEvent::Up(caps()), world.now);
    world.drain();
    world.seconds(10);
    assert_eq!(world.numbers(1), [1, 2]);
    assert_eq!(world.sent_of_type(0, 1).len(), 1, "no second handshake");
}

#[test]
fn a_datagram_that_the_link_gives_back_goes_again() {
    let mut world = World::new(&Setup::default());
    world.send(0, 1);
    world.seconds(10);
    world.nodes[0].handle_device(&packet(0, 2, 20), world.now);
    world.nodes[0].handle_link(LINK, LinkEvent::Room(1), world.now);
    let transmit = world.nodes[0].poll_transmit(world.now).unwrap();
    let refused = LinkEvent::Refused { token: transmit.token, reason: Refusal::QueueFull };
    world.nodes[0].handle_link(LINK, refused, world.now);
    world.drain();
    world.seconds(5);
    assert_eq!(world.numbers(1), [1, 2]);
}

#[test]
fn the_law_is_kept_and_handshakes_still_go() {
    let mut world = World::new(&Setup::default());
    let mut tight = caps();
    let Airtime::Metered(metered) = &mut tight.airtime else { unreachable!() };
    metered.hourly = Duration::from_secs(60);
    world.nodes[0].handle_link(LINK, LinkEvent::Up(tight), world.now);
    for number in 0..200 {
        world.nodes[0].handle_device(&packet(0, number, 140), world.now);
        world.drain();
        world.seconds(5);
    }
    let snapshot = world.nodes[0].snapshot(world.now);
    let air = snapshot.peers[0].sent.airtime;
    assert!(air < Duration::from_secs(52), "{air:?}");
    assert!(air > Duration::from_secs(45), "{air:?}");
    let told = world.events[0].iter().filter(|event| matches!(event, Event::AirtimeExhausted { .. }));
    assert_eq!(told.count(), 1);
    assert!(snapshot.links[0].airtime_left.unwrap() > Duration::from_secs(5));
}

#[test]
fn an_unfinished_message_that_is_given_up_is_counted() {
    let mut world = World::new(&Setup { mtu: 600, ..Setup::default() });
    world.send(0, 1);
    world.seconds(20);
    let mut lost = false;
    world.lose = Box::new(move |sent| sent.payload[0] == 4 && !std::mem::replace(&mut lost, true));
    world.nodes[0].handle_device(&packet(0, 2, 570), world.now);
    world.drain();
    world.seconds(90);
    assert_eq!(world.count(1, DropReason::BadFragment), 0, "nothing looks at it yet");
    world.nodes[0].handle_device(&packet(0, 3, 570), world.now);
    world.drain();
    world.seconds(30);
    assert_eq!((world.numbers(1), world.count(1, DropReason::BadFragment)), (vec![1, 3], 1));
}
