//! A session that moves between a radio and a cable.

use super::*;

#[test]
fn a_session_moves_to_the_cable_and_back_without_a_handshake() {
    let mut duo = Duo::new(Links::Both);
    duo.send(0, 1);
    duo.seconds(20);
    assert_eq!((duo.numbers(1), duo.tier(0)), (vec![1], Tier::Radio));
    duo.lengths(RADIO);
    duo.cable(true);
    duo.send(0, 2);
    duo.seconds(2);
    duo.send(0, 3);
    duo.send(1, 4);
    duo.seconds(2);
    assert_eq!((duo.tier(0), duo.tier(1)), (Tier::Direct, Tier::Direct));
    assert!(!duo.log.iter().any(|(_, len)| [148, 92].contains(len)), "{:?}", duo.log);
    duo.cable(false);
    duo.send(0, 5);
    duo.send(1, 6);
    duo.seconds(20);
    assert_eq!((duo.numbers(1), duo.numbers(0)), (vec![1, 2, 3, 5], vec![4, 6]));
    assert_eq!(duo.tier(0), Tier::Radio);
    for events in &duo.events {
        let ups = events.iter().filter(|event| matches!(event, Event::PeerUp { .. } | Event::Rekeyed { .. }));
        assert_eq!(ups.count(), 1, "{events:?}");
    }
}

#[test]
fn a_cable_that_dies_without_a_word_is_left_within_three_seconds() {
    let mut duo = Duo::on_cable();
    assert_eq!(duo.tier(0), Tier::Direct);
    duo.lose = Box::new(|link, _| link == UDP);
    let died = duo.now;
    let mut next = 2;
    while duo.tier(0) == Tier::Direct {
        duo.send(0, next);
        duo.run(Duration::from_millis(100));
        next += 1;
    }
    assert!(duo.now - died < Duration::from_secs(3), "{:?}", duo.now - died);
    duo.lose = Box::new(|_, _| false);
    let back = duo.now;
    while duo.tier(0) != Tier::Direct {
        duo.send(0, next);
        duo.run(Duration::from_millis(50));
        next += 1;
    }
    assert!(duo.now - back < Duration::from_secs(1), "{:?}", duo.now - back);
}

#[test]
fn a_cable_that_no_route_leads_to_is_left_at_once_and_the_peer_follows_what_comes_by_radio() {
    let mut duo = Duo::on_cable();
    duo.send(0, 2);
    duo.send(1, 3);
    duo.seconds(5);
    assert_eq!((duo.tier(0), duo.tier(1)), (Tier::Direct, Tier::Direct));
    duo.lose = Box::new(|link, _| link == UDP);
    assert_eq!(duo.nodes[0].free_ways().into_iter().collect::<Vec<_>>(), [(UDP, udp(1))]);
    duo.nodes[0].handle_no_way(UDP, udp(1), duo.now);
    assert_eq!((duo.tier(0), duo.nodes[0].free_ways().len()), (Tier::Radio, 0));
    duo.send(0, 4);
    duo.seconds(2);
    assert_eq!(
        (duo.numbers(1), duo.tier(1)),
        (vec![1, 2, 4], Tier::Radio),
        "it did not have to find out itself"
    );
    duo.send(1, 5);
    duo.seconds(2);
    assert_eq!(duo.numbers(0), [3, 5]);
}

#[test]
fn what_goes_into_a_silent_cable_goes_again_by_radio_once_it_is_given_up() {
    let mut duo = Duo::on_cable();
    duo.send(0, 2);
    duo.send(1, 3);
    duo.run(Duration::from_millis(100));
    duo.lose = Box::new(|link, _| link == UDP);
    duo.send(0, 4);
    duo.run(Duration::from_millis(200));
    duo.send(0, 5);
    duo.run(Duration::from_millis(200));
    duo.send(0, 6);
    duo.seconds(5);
    assert_eq!(duo.numbers(1), [1, 2, 5, 6], "all but what left before the silence showed");
    let sent = duo.nodes[0].snapshot(duo.now).peers[0].sent.packets;
    assert_eq!(sent, 5, "what is sent again is counted once");
}
