//! What goes in parts by radio: where these are lost, parity goes along, and nowhere else.

use std::cell::Cell;
use std::rc::Rc;

use rand_core::{Rng as _, SeedableRng as _};

use super::*;
use crate::terse::fragment::{Part, Place};
use crate::terse::frame::Datagram as Terse;

/// Sends packets of five parts, with time in between, over a radio that loses so many datagrams in 100 and beside a cable
/// that is dead. Returns how many of them had parity.
fn stream(duo: &mut Duo, packets: u16, loss: u32) -> usize {
    let parities = Rc::new(Cell::new(0));
    let (counted, mut rng) = (parities.clone(), rand_chacha::ChaCha8Rng::seed_from_u64(7));
    duo.lose = Box::new(move |link, payload| {
        let parity = Terse::parse(payload);
        let parity = matches!(parity, Ok(Terse::Part(Part { place: Place::Parity { .. }, .. })));
        counted.set(counted.get() + usize::from(link == RADIO && parity));
        link == UDP || rng.next_u32() % 100 < loss
    });
    for number in 0..packets {
        duo.nodes[0].handle_device(&packet(0, 100 + number, 1000), duo.now);
        duo.drain();
        duo.seconds(30);
    }
    parities.get()
}

#[test]
fn parity_goes_along_while_a_radio_loses_much_and_not_when_it_loses_little() {
    let mut duo = Duo::new(Links::Radio);
    duo.send(0, 1);
    duo.seconds(20);
    assert_eq!(stream(&mut duo, 40, 0), 0);
    assert_eq!(stream(&mut duo, 40, 10), 0, "asking costs less");
    stream(&mut duo, 30, 40);
    let parities = stream(&mut duo, 30, 40);
    assert!(parities >= 25, "{parities} of 30: what parity hides does not end it");
    stream(&mut duo, 30, 0);
    assert_eq!(stream(&mut duo, 30, 0), 0, "the radio has become clean");
}

#[test]
fn a_dead_cable_costs_a_clean_radio_no_parity() {
    let mut duo = Duo::new(Links::Both);
    duo.lose = Box::new(|link, _| link == UDP);
    duo.cable(true);
    duo.send(0, 1);
    duo.seconds(120);
    assert_eq!((duo.numbers(1), duo.tier(0)), (vec![1], Tier::Radio));
    let lost = duo.nodes[0].snapshot(duo.now).peers[0].loss;
    assert!(lost.is_some_and(|lost| lost >= 0.5), "an init went by cable: {lost:?}");
    duo.delivered[1].clear();
    assert_eq!(stream(&mut duo, 20, 0), 0);
    assert_eq!(duo.numbers(1), (100..120).collect::<Vec<_>>());
}
