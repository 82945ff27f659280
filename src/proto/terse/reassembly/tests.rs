//! Parts over a link that loses, repeats and reorders; and forged ones.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::*;
use crate::terse::fragment::{Cut, Place, split};
use crate::terse::frame::Datagram;
use crate::terse::keeper::Keeper;

const SILENCE: Duration = Duration::from_secs(5);
const PATIENCE: Patience = Patience { silence: SILENCE, lifetime: Duration::from_secs(120) };

fn part(bytes: &[u8]) -> Part<'_> {
    match Datagram::parse(bytes) {
        Ok(Datagram::Part(part)) => part,
        other => panic!("{other:?}"),
    }
}

fn random(rng: &mut ChaCha8Rng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn shuffle<T>(all: &mut [T], rng: &mut ChaCha8Rng) {
    for at in (1..all.len()).rev() {
        all.swap(at, rng.next_u32() as usize % (at + 1));
    }
}

#[test]
fn parts_come_together_in_any_order_with_any_one_lost_if_there_is_parity() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let now = crate::testing::start();
    for round in 0..500 {
        let len = 217 + rng.next_u32() as usize % 3000;
        let sealed = random(&mut rng, len);
        let mut parts = split(3, round, &sealed, 219, true).unwrap();
        shuffle(&mut parts, &mut rng);
        parts.pop();
        let mut reassembler = Reassembler::new(PATIENCE);
        let (last, others) = parts.split_last().unwrap();
        for bytes in others {
            assert_eq!(reassembler.push(&part(bytes), now), Outcome::Kept);
            assert_eq!(reassembler.push(&part(bytes), now), Outcome::Refused, "it is there already");
        }
        let Outcome::Whole { counter_low, sealed: got } = reassembler.push(&part(last), now) else {
            panic!("{round}: not whole")
        };
        assert_eq!((u64::from(counter_low), got, reassembler.bytes()), (round, sealed, 0));
        reassembler.accepted(counter_low, now);
        assert_eq!(reassembler.push(&part(last), now), Outcome::Refused, "it is complete");
        assert_eq!(reassembler.deadline(), None);
    }
}

#[test]
fn what_is_missing_is_asked_for_at_once_when_the_last_part_came() {
    let now = crate::testing::start();
    let parts = split(3, 9, &[1; 800], 219, false).unwrap();
    let mut reassembler = Reassembler::new(PATIENCE);
    reassembler.push(&part(&parts[0]), now);
    assert_eq!(reassembler.poll_missing(now), None);
    reassembler.push(&part(&parts[3]), now);
    assert_eq!(reassembler.poll_missing(now), Some(Missing { counter_low: 9, bitmap: 0b0110 }));
    assert_eq!(reassembler.poll_missing(now), None);
    reassembler.push(&part(&parts[2]), now);
    assert_eq!(
        reassembler.poll_missing(now).map(|missing| missing.bitmap),
        Some(0b0010),
        "that was the last"
    );
}

#[test]
fn what_is_missing_is_asked_for_after_silence_and_not_for_ever() {
    let mut now = crate::testing::start();
    let parts = split(3, 9, &[1; 800], 219, true).unwrap();
    let mut reassembler = Reassembler::new(PATIENCE);
    reassembler.push(&part(&parts[0]), now);
    assert_eq!(reassembler.deadline(), Some(now + SILENCE));
    let start = now;
    let mut asked = Vec::new();
    while let Some(next) = reassembler.deadline() {
        assert!(next > now, "no deadline twice");
        now = next;
        reassembler.handle_timeout(now);
        asked.extend(std::iter::from_fn(|| reassembler.poll_missing(now)).map(|missing| missing.bitmap));
    }
    assert_eq!(asked, [0b1110; 3]);
    assert_eq!((now, reassembler.given_up()), (start + PATIENCE.lifetime, 1));
}

#[test]
fn with_parity_one_part_less_is_asked_for() {
    let now = crate::testing::start();
    let parts = split(3, 9, &[1; 800], 219, true).unwrap();
    let mut reassembler = Reassembler::new(PATIENCE);
    reassembler.push(&part(&parts[3]), now);
    reassembler.push(&part(&parts[4]), now);
    assert_eq!(reassembler.poll_missing(now).map(|missing| missing.bitmap), Some(0b0011));
}

#[test]
fn every_packet_arrives_over_a_link_that_loses_a_tenth_and_few_parts_go_twice() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut now = crate::testing::start();
    let (mut keeper, mut reassembler) = (Keeper::new(3, PATIENCE.lifetime), Reassembler::new(PATIENCE));
    let (mut sent, mut needed, mut arrived) = (0, 0, 0);
    let rounds = 2000_u64;
    for counter in 0..rounds {
        let len = 300 + rng.next_u32() as usize % 1200;
        let sealed = random(&mut rng, len);
        let cut = Cut::of(sealed.len(), 219).unwrap();
        keeper.keep(counter, sealed.clone(), cut, now);
        needed += usize::from(cut.count());
        let mut under_way = split(3, counter, &sealed, 219, counter % 2 == 0).unwrap();
        loop {
            sent += under_way.len();
            for bytes in under_way.drain(..) {
                now += Duration::from_secs(1);
                if rng.next_u32() % 10 == 0 {
                    continue;
                }
                if let Outcome::Whole { counter_low, sealed: got } = reassembler.push(&part(&bytes), now) {
                    assert_eq!((counter_low, &got), (u16::try_from(counter).unwrap(), &sealed));
                    reassembler.accepted(counter_low, now);
                    arrived += 1;
                }
            }
            while let Some(missing) = reassembler.poll_missing(now) {
                if rng.next_u32() % 10 != 0 {
                    under_way.extend(keeper.answer(missing, now));
                }
            }
            if under_way.is_empty() {
                let Some(next) = reassembler.deadline() else { break };
                now = now.max(next);
                reassembler.handle_timeout(now);
            }
        }
    }
    assert!(arrived * 1000 >= rounds * 995, "{arrived} of {rounds}");
    assert!(sent * 10 <= needed * 13, "{sent} for {needed}");
}

#[test]
fn forged_parts_grow_no_memory_and_ask_for_little() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let start = crate::testing::start();
    let mut now = start;
    let mut reassembler = Reassembler::new(PATIENCE);
    let mut asked = 0;
    for _ in 0..20_000 {
        now += Duration::from_millis(100);
        let len = 4 + rng.next_u32() as usize % 230;
        let mut bytes = random(&mut rng, len);
        bytes[0] = if rng.next_u32() % 4 == 0 { 0xa0 } else { 0x80 };
        bytes[1] = 0;
        if let Ok(Datagram::Part(part)) = Datagram::parse(&bytes) {
            reassembler.push(&part, now);
        }
        asked += std::iter::from_fn(|| reassembler.poll_missing(now)).count();
        assert!(reassembler.bytes() <= MAX_BYTES && reassembler.packets.len() <= MAX_PACKETS);
    }
    let rate = SILENCE / ASKS_PER_SILENCE;
    let allowed =
        ASK_BURST as usize + (now.duration_since(start).as_millis() / rate.as_millis()) as usize + 1;
    assert!(asked <= allowed, "{asked} of {allowed}");
}

#[test]
fn a_forged_part_spoils_no_other_packet_and_cannot_change_what_is_there() {
    let now = crate::testing::start();
    let sealed: Vec<u8> = (0..=255).cycle().take(800).collect();
    let parts = split(3, 9, &sealed, 219, false).unwrap();
    let mut reassembler = Reassembler::new(PATIENCE);
    reassembler.push(&part(&parts[0]), now);
    let forged = |index, count, len| Part {
        tag: 3,
        counter_low: 9,
        place: Place::Index(index),
        count,
        chunk: &[7; 300][..len],
    };
    for wrong in
        [forged(1, 5, 200), forged(1, 4, 199), forged(3, 4, 201), forged(3, 4, 196), forged(0, 4, 200)]
    {
        assert_eq!(reassembler.push(&wrong, now), Outcome::Refused, "{wrong:?}");
    }
    let parity = Part { place: Place::Parity { shortfall: 1 }, ..forged(0, 4, 201) };
    assert_eq!(reassembler.push(&parity, now), Outcome::Refused);
    reassembler.push(&part(&parts[1]), now);
    for counter in 100..200 {
        reassembler.push(&Part { counter_low: counter, ..forged(0, 16, 300) }, now);
    }
    reassembler.push(&part(&parts[2]), now);
    let whole = reassembler.push(&part(&parts[3]), now);
    assert_eq!(whole, Outcome::Whole { counter_low: 9, sealed }, "it had more parts than those");
}
