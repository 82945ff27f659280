//! Losses that come in bursts: a Gilbert-Elliott channel in continuous time, for each direction between two radios.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::chance::Chance;
use crate::config::Burst;

/// The state of each way, as of when it was last used.
#[derive(Debug, Default)]
pub(super) struct Fading(BTreeMap<(usize, usize), State>);

#[derive(Debug, Clone, Copy)]
struct State {
    bad: bool,
    at: Instant,
}

impl Fading {
    /// Moves a way on to the present, by the exact probabilities of the two-state Markov process, and returns the share
    /// of packets that it loses there.
    pub(super) fn loss(
        &mut self,
        burst: Burst,
        way: (usize, usize),
        now: Instant,
        chance: &mut Chance,
    ) -> f64 {
        let (good, bad) = (burst.good.as_secs_f64().max(1e-9), burst.bad.as_secs_f64().max(1e-9));
        let share_bad = bad / (good + bad);
        let probability = match self.0.get(&way) {
            None => share_bad,
            Some(before) => {
                let elapsed = (now - before.at).as_secs_f64();
                let memory = (-elapsed * (1.0 / good + 1.0 / bad)).exp();
                share_bad + (f64::from(u8::from(before.bad)) - share_bad) * memory
            }
        };
        let bad = chance.hit(probability);
        self.0.insert(way, State { bad, at: now });
        if bad { burst.loss } else { 0.0 }
    }
}
