//! Random transitions: whatever happens, nothing is accepted twice, and afterwards the two can speak.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::*;

/// The number of the last packet.
const LAST: u32 = u32::MAX;

const LOSSES: [fn(usize, &Wire) -> bool; 5] = [
    |_, _| false,
    |_, _| true,
    |from, _| from == 0,
    |from, _| from == 1,
    |_, wire| matches!(wire, Wire::Response { .. }),
];

struct Chance {
    rng: ChaCha8Rng,
    world: World,
    number: u32,
    /// Both sides may have both kinds of path.
    moves: bool,
}

impl Chance {
    fn one_of(&mut self, many: usize) -> usize {
        usize::try_from(self.rng.next_u32()).unwrap() % many
    }

    fn step(&mut self) {
        let at = self.one_of(2);
        let now = self.world.now;
        match self.one_of(12) {
            0..=3 => {
                self.number += 1;
                self.world.send(at, self.number);
            }
            4 | 5 => {
                let hops = u32::try_from(self.one_of(4)).unwrap();
                self.world.run(LATENCY * hops);
            }
            6 => {
                let seconds = [1, 5, 20, 100, 200, 1000][self.one_of(6)];
                self.world.seconds(seconds);
            }
            7 => self.world.lost = LOSSES[self.one_of(LOSSES.len())],
            8 if self.moves => {
                let regime = [Some(Regime::Free), Some(METERED), None][self.one_of(3)];
                self.world.sides[at].tunnel.set_regime(regime, now);
            }
            9 if self.one_of(8) == 0 => {
                // A restart: the keys are gone, the timestamps are not.
                self.world.sides[at].tunnel.close();
            }
            10 if self.one_of(4) == 0 => self.world.sides[at].tunnel.renew(now),
            _ if !self.world.log.is_empty() => {
                // A recording.
                let recorded = self.one_of(self.world.log.len());
                let (_, from, wire) = self.world.log[recorded].clone();
                self.world.deliver(1 - from, wire);
            }
            _ => {}
        }
        self.world.settle(at);
    }

    fn assert_all_is_well_afterwards(&mut self, seed: u64) {
        self.world.lost = LOSSES[0];
        let regime = if self.moves { Regime::Free } else { self.world.sides[0].tunnel.regime };
        let now = self.world.now;
        self.world.sides.iter_mut().for_each(|side| side.tunnel.set_regime(Some(regime), now));
        // Where nothing is sent for doubt's sake, doubt grows by packets alone, and after much garbage it grows slowly.
        for round in 0..70 {
            for at in 0..2 {
                self.world.send(at, LAST - 71 + round);
                self.world.seconds(30);
            }
        }
        // A packet may meet the end of keys that are younger here than there; the next one does not.
        for number in [LAST - 1, LAST] {
            for at in 0..2 {
                self.world.send(at, number);
                self.world.seconds(2);
            }
        }
        for side in &self.world.sides {
            let distinct: BTreeSet<_> = side.received.iter().collect();
            assert_eq!(distinct.len(), side.received.len(), "seed {seed}: accepted twice");
            assert!(side.received.contains(&LAST), "seed {seed}: the two cannot speak");
        }
        self.world.assert_indices_are_accounted_for();
    }
}

#[test]
fn after_any_transitions_the_two_can_speak_and_nothing_came_twice() {
    for seed in 0..45 {
        let regime = if seed % 3 == 0 { Regime::Free } else { METERED };
        let mut world = World::new(regime);
        let moves = seed % 3 == 2;
        world.sides.iter_mut().for_each(|side| side.tunnel.set_metered_too(moves));
        let mut chance = Chance { rng: ChaCha8Rng::seed_from_u64(seed), world, number: 0, moves };
        (0..200).for_each(|_| chance.step());
        chance.assert_all_is_well_afterwards(seed);
    }
}
