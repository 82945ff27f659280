//! Bulk traffic that may not go by radio.

use super::*;

/// A packet of 1000 bytes with a traffic class.
fn marked(number: u16, class: u8) -> Vec<u8> {
    let mut frame = packet(0, number, 1000);
    frame[15] = class;
    frame
}

#[test]
fn where_bulk_may_not_go_by_radio_what_somebody_waits_for_goes_and_the_rest_is_counted() {
    let mut duo = Duo::with(Links::Radio, |config| config.peers[0].bulk_over_metered = Some(false));
    let mut ping = packet(0, 0, 54);
    (ping[23], ping[34]) = (protocol::ICMP, 8);
    // A ping; a terminal of ssh, as OpenSSH marks it, and as Debian does; a copy, marked and not.
    let (af21, ef, minimize_delay, cs1) = (0x48, 0xb8, 0x10, 0x20);
    for frame in [
        ping.clone(),
        marked(2, af21),
        marked(3, ef),
        marked(4, minimize_delay),
        marked(5, cs1),
        packet(0, 6, 1000),
    ] {
        duo.nodes[0].handle_device(&frame, duo.now);
        duo.drain();
        duo.seconds(20);
    }
    assert_eq!(duo.numbers(1), [2, 3, 4]);
    assert!(duo.delivered[1].iter().any(|frame| frame[14..] == ping[14..]));
    assert_eq!(duo.nodes[0].snapshot(duo.now).drops, BTreeMap::from([(DropReason::BulkOverRadio, 2)]));
}

#[test]
fn bulk_that_may_not_go_by_radio_goes_by_cable() {
    let mut duo = Duo::with(Links::Both, |config| config.peers[0].bulk_over_metered = Some(false));
    duo.cable(true);
    duo.send(0, 1);
    duo.seconds(5);
    duo.nodes[0].handle_device(&packet(0, 2, 1000), duo.now);
    duo.drain();
    duo.seconds(1);
    assert_eq!((duo.tier(0), duo.numbers(1)), (Tier::Direct, vec![1, 2]));
}
