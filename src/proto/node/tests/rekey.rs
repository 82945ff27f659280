//! Make before break.

use super::*;

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
