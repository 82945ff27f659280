//! What a session costs on the air, and what it does for packets that are long for it.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

/// The kind of a datagram that is a part (`docs/terse.md`).
const PART: u8 = 4;

#[test]
fn a_packet_over_a_radio_costs_a_terse_handshake_and_no_more_than_its_headers_hold() {
    let mut duo = Duo::new(Links::Radio);
    duo.send(0, 1);
    duo.seconds(20);
    assert_eq!(duo.numbers(1), [1]);
    let lengths = duo.lengths(RADIO);
    assert_eq!(lengths.len(), 3, "{lengths:?}");
    assert!(lengths[0] <= 54 && lengths[1] <= 49, "{lengths:?}");
    duo.send(1, 2);
    duo.seconds(20);
    assert_eq!(duo.numbers(0), [2]);
}

#[test]
fn a_session_is_proven_though_what_was_to_prove_it_never_left() {
    for leaves in [true, false] {
        let mut duo = Duo::new(Links::Radio);
        duo.send(0, 1);
        duo.seconds(20);
        duo.lengths(RADIO);
        let at = duo.nodes[0].peers.numbers()[0];
        let Keying::Wireguard(wireguard) = &mut duo.nodes[0].peers[at].keying else { panic!("it is one") };
        wireguard.sessions.sealed = false;
        duo.nodes[0].handle_device(&packet(0, 2, 20), duo.now);
        duo.nodes[0].confirm(at, duo.now);
        assert!(duo.nodes[0].peers[at].prove_by.is_some(), "a packet waits that would do");
        duo.nodes[0].settle(at, duo.now);
        if !leaves {
            assert_eq!(duo.nodes[0].links.get_mut(&RADIO).unwrap().queue.take_all().len(), 1);
        }
        duo.drain();
        duo.seconds(20);
        let lengths = duo.lengths(RADIO);
        assert_eq!((lengths.len(), lengths[0] == 3 + 16), (1, !leaves), "{lengths:?}");
    }
}

#[test]
fn a_lost_part_is_asked_for_and_sent_again_alone() {
    let mut duo = Duo::new(Links::Radio);
    duo.send(0, 1);
    duo.seconds(20);
    duo.lengths(RADIO);
    let mut seen = 0;
    duo.lose = Box::new(move |_, payload| {
        seen += usize::from(payload.len() > 100);
        seen == 3 && payload.len() > 100
    });
    duo.nodes[0].handle_device(&packet(0, 2, 1000), duo.now);
    duo.drain();
    duo.seconds(30);
    assert_eq!(duo.numbers(1), [1, 2]);
    let lengths = duo.lengths(RADIO);
    let parts = lengths.iter().filter(|len| **len > 100).count();
    assert_eq!(parts, 6, "five, and one of them again: {lengths:?}");
}

#[test]
fn a_forged_part_of_a_packet_that_was_opened_is_dropped_and_nothing_waits_for_its_others() {
    let mut duo = Duo::new(Links::Radio);
    duo.send(0, 1);
    duo.seconds(20);
    let part = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&part);
    duo.lose = Box::new(move |_, payload| {
        if payload[0] >> 5 == PART {
            *seen.borrow_mut() = payload.to_vec();
        }
        false
    });
    duo.nodes[0].handle_device(&packet(0, 2, 1000), duo.now);
    duo.drain();
    duo.seconds(30);
    assert_eq!(duo.numbers(1), [1, 2]);
    duo.lengths(RADIO);
    // The first of two parts that packet 1 never had: its counter was 0.
    let mut forged = part.borrow().clone();
    forged[1..4].copy_from_slice(&[0, 0, 0x01]);
    duo.nodes[1].handle_datagram(RADIO, radio(0), &forged, duo.now);
    duo.drain();
    duo.seconds(300);
    assert_eq!(duo.lengths(RADIO), [] as [usize; 0], "nothing is asked for");
    assert_eq!(duo.nodes[1].snapshot(duo.now).drops.get(&DropReason::Replayed), Some(&1));
}

#[test]
fn a_packet_too_long_for_the_air_is_answered_with_the_length_that_is_not() {
    let mut duo = Duo::new(Links::Radio);
    duo.send(0, 1);
    duo.seconds(20);
    // The radio goes on at a preset that takes two seconds for each part.
    let modem = Preset::by_name("LONG_FAST").unwrap().modem(false);
    let price = (0..=219).map(|len| modem.airtime(on_air_len(len, 256, true)).as_micros());
    let price: Arc<[u32]> = price.map(|micros| u32::try_from(micros).unwrap()).collect();
    let metered = Metered { price, access: modem.mean_access(), hourly: Duration::from_secs(3600) };
    let slow = LinkCaps { airtime: Airtime::Metered(metered), ..caps() };
    duo.nodes[0].handle_link(RADIO, LinkEvent::Up(slow), duo.now);
    let most = duo.nodes[0].longest_packet(RADIO, true).unwrap();
    assert_eq!(
        most,
        3 * 215 + 26 - 16,
        "two parts are less than every host must be able to send; three are filled"
    );
    let mut frame = packet(0, 2, 1300);
    duo.lengths(RADIO);
    duo.delivered[0].clear();
    // "Do not fragment".
    frame[20] |= 0x40;
    duo.nodes[0].handle_device(&frame, duo.now);
    duo.drain();
    let answer = duo.delivered[0].last().expect("its sender is told");
    // Behind the Ethernet and IP headers: unreachable, too big, and the next hop's MTU (RFC 1191).
    assert_eq!((answer[23], &answer[34..36]), (1, &[3, 4][..]));
    assert_eq!(usize::from(u16::from_be_bytes([answer[40], answer[41]])), most);
    duo.seconds(30);
    assert!(duo.lengths(RADIO).is_empty(), "and nothing goes on the air");
}
