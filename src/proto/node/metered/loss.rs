//! What each metered way to a peer loses, by what the peer asked for again of the parts that it was sent.
//!
//! The sender learns of losses from the questions for missing parts, and of nothing else that is of use: a handshake is rare,
//! and an answer that did not come says nothing of the way that it did not come by. What left by a way and is asked for was
//! lost there; what left, and is not asked for while it may be, arrived. A part counts once it was handed to the link: one that
//! waits for air is missing at the receiver, and not lost. A repeated part counts like any other.
//!
//! **Parity hides losses**: what it stands in for is not asked for, so that an estimate from questions alone would fall as soon
//! as parity goes along, and parity with it, in turns. But what it hides is known. Who has the parity asks for all missing
//! parts but one, who lacks it for all: either way, if `k` of `n` datagrams are asked for, `k + 1` were lost. If none is, one
//! was lost or none, and chance decides: with the loss `p` so far, one was with `n p / (1 - p + n p)`, and that much is counted
//! (the estimate so is the most likely one, by expectation and maximization). Where the way has become better, the estimate
//! falls with each packet all the same, as `n p / (1 - p + n p)` is less than `n p` unless `p` is right.
//!
//! **Bias**: a packet of which nothing at all arrives is not asked for, and counts as arrived. That is one in `p^n`, and makes
//! the estimate low where packets go in two or three parts only; there parity pays latest, and least.
//!
//! A packet is counted as a whole when no question for it can come any more, else losses, which are told, would count before
//! arrivals, which are not. The last [`MEMORY`] datagrams or so make the estimate. A way begins as if [`START`] had arrived:
//! nothing is lost until it shows. What was learnt is forgotten after [`USEFUL`]: a radio that moved hears others.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::stock::Path;
use crate::terse::fragment::{Part, Place};

/// How many datagrams the estimate is of.
const MEMORY: f64 = 64.0;
/// How many have arrived on a way of which nothing is known.
const START: f64 = 16.0;
/// For how long an estimate is of use.
const USEFUL: Duration = Duration::from_secs(3600);
/// Ways that are remembered, per peer.
const MAX_WAYS: usize = 4;
/// Packets of a way that are not counted yet: as many as can be asked for.
const MAX_PACKETS: usize = 8;
/// The bit of the parity, above those of the parts.
const PARITY: u32 = 1 << 16;

/// The ways to a peer.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// The one that was used for the first time last is last.
    ways: Vec<Way>,
}

#[derive(Debug)]
struct Way {
    path: Path,
    /// Of how many datagrams, and how many of them were lost.
    seen: f64,
    lost: f64,
    learnt: Instant,
    packets: VecDeque<Packet>,
}

/// A packet that went in parts, and may yet be asked for.
#[derive(Debug)]
struct Packet {
    /// The tag of its session and the low bits of its counter.
    name: (u8, u16),
    /// The parts that left and of which nothing is known, a bit for each.
    left: u32,
    /// What is known: how many left, and how many of them were lost.
    seen: u32,
    lost: u32,
    /// When no question can come any more.
    until: Instant,
}

impl Losses {
    /// A part was handed to the link; the packet may be asked for until then.
    pub(super) fn left(&mut self, path: Path, part: &Part<'_>, until: Instant, now: Instant) {
        let way = self.way(path, now);
        let packet = way.packet((part.tag, part.counter_low), until);
        packet.left |= bit(part);
        packet.until = until;
    }

    /// The link gave a part back.
    pub(super) fn given_back(&mut self, path: Path, part: &Part<'_>) {
        let name = (part.tag, part.counter_low);
        let packets = self.ways.iter_mut().filter(|way| way.path == path).flat_map(|way| &mut way.packets);
        packets.filter(|packet| packet.name == name).for_each(|packet| packet.left &= !bit(part));
    }

    /// The peer asked for parts of a packet.
    pub(super) fn asked(&mut self, name: (u8, u16), bitmap: u16) {
        let packets = self.ways.iter_mut().flat_map(|way| &mut way.packets);
        packets.filter(|packet| packet.name == name).for_each(|packet| packet.asked(bitmap.into()));
    }

    /// Returns the share of datagrams that a way loses, 0 to 1.
    pub(super) fn of(&mut self, path: Path, now: Instant) -> f64 {
        let Some(way) = self.ways.iter_mut().find(|way| way.path == path) else { return 0.0 };
        while way.packets.front().is_some_and(|packet| packet.until <= now) {
            way.count_first();
        }
        if way.learnt + USEFUL <= now {
            (way.seen, way.lost) = (START, 0.0);
        }
        way.loss()
    }

    fn way(&mut self, path: Path, now: Instant) -> &mut Way {
        let at = self.ways.iter().position(|way| way.path == path).unwrap_or_else(|| {
            if self.ways.len() == MAX_WAYS {
                self.ways.remove(0);
            }
            self.ways.push(Way { path, seen: START, lost: 0.0, learnt: now, packets: VecDeque::new() });
            self.ways.len() - 1
        });
        &mut self.ways[at]
    }
}

impl Way {
    fn loss(&self) -> f64 {
        self.lost / self.seen
    }

    fn packet(&mut self, name: (u8, u16), until: Instant) -> &mut Packet {
        let at = self.packets.iter().position(|packet| packet.name == name).unwrap_or_else(|| {
            if self.packets.len() == MAX_PACKETS {
                self.count_first();
            }
            self.packets.push_back(Packet { name, left: 0, seen: 0, lost: 0, until });
            self.packets.len() - 1
        });
        &mut self.packets[at]
    }

    fn count_first(&mut self) {
        let Some(packet) = self.packets.pop_front() else { return };
        let (seen, lost) = packet.outcome(self.loss());
        let kept = MEMORY / (MEMORY + seen);
        self.seen = self.seen * kept + seen;
        self.lost = self.lost * kept + lost;
        self.learnt = self.learnt.max(packet.until);
    }
}

impl Packet {
    fn asked(&mut self, bitmap: u32) {
        let lost = (self.left & bitmap).count_ones();
        if lost > 0 {
            self.lost += lost + u32::from(self.left & PARITY != 0);
            self.seen += self.left.count_ones();
            self.left = 0;
        }
    }

    /// How many datagrams of it left and how many of these were lost, as far as can be said where a way has this loss.
    fn outcome(&self, loss: f64) -> (f64, f64) {
        let rest = f64::from(self.left.count_ones());
        let hidden = if self.left & PARITY == 0 { 0.0 } else { rest * loss / (1.0 - loss + rest * loss) };
        (f64::from(self.seen) + rest, f64::from(self.lost) + hidden)
    }
}

fn bit(part: &Part<'_>) -> u32 {
    match part.place {
        Place::Index(index) => 1 << (index & 15),
        Place::Parity { .. } => PARITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{LinkAddr, LinkId};
    use rand_core::{Rng as _, SeedableRng as _};

    const PATH: Path = (LinkId(0), LinkAddr::radio(1));
    const SILENCE: Duration = Duration::from_secs(5);

    /// A way that loses each datagram with a chance in 1000, and a receiver at its end that asks as `reassembly` does.
    struct Air {
        losses: Losses,
        rng: rand_chacha::ChaCha8Rng,
        now: Instant,
        counter: u16,
    }

    impl Air {
        fn new(seed: u64) -> Self {
            let rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            Self { losses: Losses::default(), rng, now: crate::testing::start(), counter: 0 }
        }

        fn part(&mut self, place: Place, loss: u32) -> bool {
            let part = Part { tag: 3, counter_low: self.counter, place, count: 5, chunk: &[1] };
            self.losses.left(PATH, &part, self.now + SILENCE * 7, self.now);
            self.rng.next_u32() % 1000 >= loss
        }

        fn packet(&mut self, loss: u32, parity: bool) {
            let arrived = |air: &mut Self, index| air.part(Place::Index(index), loss);
            let mut missing: Vec<u8> = (0..5).filter(|index| !arrived(self, *index)).collect();
            let helped = parity && self.part(Place::Parity { shortfall: 0 }, loss);
            if missing.len() < 5 || helped {
                while missing.len() > usize::from(helped) {
                    let wanted = missing.split_off(usize::from(helped));
                    self.losses.asked((3, self.counter), wanted.iter().fold(0, |bits, at| bits | 1 << at));
                    missing.extend(wanted.into_iter().filter(|index| !arrived(self, *index)));
                }
            }
            self.counter += 1;
            self.now += SILENCE * 8;
        }

        /// The mean of the estimate over many packets.
        fn mean(&mut self, loss: u32, parity: bool) -> f64 {
            let each = (0..4000).map(|_| {
                self.packet(loss, parity);
                self.losses.of(PATH, self.now)
            });
            each.sum::<f64>() / 4000.0
        }
    }

    #[test]
    fn nothing_is_lost_until_it_shows() {
        let mut air = Air::new(1);
        assert_eq!(air.losses.of(PATH, air.now).to_bits(), 0);
        air.packet(0, false);
        assert_eq!(air.losses.of(PATH, air.now).to_bits(), 0);
    }

    #[test]
    fn the_estimate_is_right_whether_parity_hides_losses_or_not() {
        for (loss, parity) in [(100, false), (100, true), (300, false), (300, true), (400, true), (500, true)]
        {
            let mean = Air::new(2).mean(loss, parity);
            let truth = f64::from(loss) / 1000.0;
            assert!((mean - truth).abs() < 0.03, "{mean} of {truth}, parity {parity}");
        }
    }

    #[test]
    fn a_way_that_has_become_clean_is_known_to_be_also_while_parity_goes_along() {
        for parity in [false, true] {
            let mut air = Air::new(3);
            air.mean(400, parity);
            (0..40).for_each(|_| air.packet(0, parity));
            let loss = air.losses.of(PATH, air.now);
            assert!(loss < 0.15, "{loss}, parity {parity}");
        }
    }

    #[test]
    fn what_waits_for_air_is_missing_and_not_lost() {
        let mut air = Air::new(4);
        assert!((0..3).all(|index| air.part(Place::Index(index), 0)));
        air.losses.asked((3, 0), 0b1_1000);
        air.now += SILENCE * 7;
        assert_eq!(air.losses.of(PATH, air.now).to_bits(), 0);
        // Nor is what the link gives back.
        let part = Part { tag: 3, counter_low: 9, place: Place::Index(1), count: 2, chunk: &[1] };
        air.losses.left(PATH, &part, air.now, air.now);
        air.losses.given_back(PATH, &part);
        air.losses.asked((3, 9), 0b10);
        assert_eq!(air.losses.of(PATH, air.now).to_bits(), 0);
    }

    #[test]
    fn ways_are_told_apart_and_bounded_and_what_is_old_is_forgotten() {
        let mut air = Air::new(5);
        air.mean(400, false);
        let (other, now) = ((LinkId(1), LinkAddr::radio(1)), air.now);
        assert!(air.losses.of(other, now) < 0.1 && air.losses.of(PATH, now) > 0.2);
        assert_eq!(air.losses.of(PATH, now + USEFUL).to_bits(), 0);
        let part = Part { tag: 3, counter_low: 9, place: Place::Index(1), count: 2, chunk: &[1] };
        (0..100).for_each(|node| air.losses.left((LinkId(0), LinkAddr::radio(node)), &part, now, now));
        (0..100).for_each(|counter_low| air.losses.left(PATH, &Part { counter_low, ..part }, now, now));
        assert_eq!(air.losses.ways.len(), MAX_WAYS);
        assert!(air.losses.ways.iter().all(|way| way.packets.len() <= MAX_PACKETS));
    }
}
