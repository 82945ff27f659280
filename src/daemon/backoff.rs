//! The waits between tries of something that fails: they double, with jitter, so that several hosts do not knock at once.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// The waits between tries.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    next: Duration,
    last: Duration,
    rng: ChaCha20Rng,
}

impl Backoff {
    /// The first wait is at most `first`, none is longer than `last`. `seed` comes from the operating system's randomness.
    #[must_use]
    pub fn new(seed: [u8; 32], first: Duration, last: Duration) -> Self {
        Self { first, next: first, last, rng: ChaCha20Rng::from_seed(seed) }
    }

    /// Returns the next wait: between half and the whole of what doubles.
    pub fn next_wait(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.last);
        let half = whole / 2;
        half + half.mul_f64(f64::from(self.rng.next_u32()) / f64::from(u32::MAX))
    }

    /// Begins again with the first wait.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const LAST: Duration = Duration::from_secs(60);

    #[test]
    fn waits_grow_to_the_last_never_together_and_start_over() {
        let (mut one, mut two) = (Backoff::new([1; 32], FIRST, LAST), Backoff::new([2; 32], FIRST, LAST));
        let waits: Vec<_> = (0..10).map(|_| (one.next_wait(), two.next_wait())).collect();
        assert!(waits.iter().all(|(a, b)| a != b));
        for (n, (wait, _)) in (0..).zip(&waits) {
            let whole = (FIRST * 2_u32.pow(n)).min(LAST);
            assert!((whole / 2..=whole).contains(wait), "{wait:?} of {whole:?}");
        }
        one.reset();
        assert!(one.next_wait() <= FIRST);
    }
}
