//! The window that lets each counter through once, in any order, as long as it is not too old: a ring of bitmap blocks.
//!
//! Marking takes constant time: a counter ahead of all others clears the blocks between, at most all of the ring. The ring
//! has one block more than the window, since the block of the highest counter is only partly ahead of the oldest one.

/// How many counters behind the highest one, itself included, are still told apart.
pub const WINDOW: u64 = 8192;

const BITS: u64 = 64;
const BLOCKS: u64 = WINDOW / BITS + 1;
const RING: usize = 129;
const _: () = assert!(BLOCKS == 129);

/// Which of the last [`WINDOW`] counters were seen.
pub struct Window {
    /// One more than the highest counter seen: 0 before the first.
    end: u64,
    ring: [u64; RING],
}

impl Default for Window {
    fn default() -> Self {
        Self { end: 0, ring: [0; RING] }
    }
}

/// Where a counter's bit is.
fn place(counter: u64) -> (usize, u64) {
    let block = usize::try_from(counter / BITS % BLOCKS).expect("a remainder of 129");
    (block, 1 << (counter % BITS))
}

impl Window {
    /// Returns the highest counter seen.
    #[must_use]
    pub const fn greatest(&self) -> Option<u64> {
        self.end.checked_sub(1)
    }

    /// Returns whether a counter may still be accepted; does not mark it: it is not authenticated yet. The greatest number
    /// of 64 bits never is: no session counts so far.
    #[must_use]
    pub fn allows(&self, counter: u64) -> bool {
        if counter >= self.end {
            return counter < u64::MAX;
        }
        let (block, bit) = place(counter);
        self.end - counter <= WINDOW && self.ring[block] & bit == 0
    }

    /// Marks an authenticated counter as seen. Returns false, and changes nothing, if it was not [allowed](Self::allows).
    #[must_use]
    pub fn mark(&mut self, counter: u64) -> bool {
        if !self.allows(counter) {
            return false;
        }
        let (block, bit) = place(counter);
        if counter >= self.end {
            // The block of the highest counter so far is in use; before the first, block 0 is, and it is clear.
            let last = self.end.saturating_sub(1) / BITS;
            for ahead in 1..=(counter / BITS - last).min(BLOCKS) {
                let (block, _) = place((last + ahead) % BLOCKS * BITS);
                self.ring[block] = 0;
            }
            self.end = counter + 1;
        }
        self.ring[block] |= bit;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_8192_wide() {
        for top in [8191, 8192, 100_000, 100_031, (1 << 40) + 63] {
            let mut window = Window::default();
            assert!(window.mark(top));
            assert_eq!(window.greatest(), Some(top));
            assert!(window.allows(top - 8191), "{top}");
            assert!(top < 8192 || !window.allows(top - 8192), "{top}");
            assert!(window.mark(top - 8191) && !window.mark(top - 8191));
        }
    }

    #[test]
    fn a_jump_far_ahead_forgets_all_and_only_what_is_behind() {
        let mut window = Window::default();
        for counter in 0..10_000 {
            assert!(window.mark(counter));
        }
        let top = 10_000 + 8191 + 1_000_000;
        assert!(window.mark(top));
        for counter in top - 8191..top {
            assert!(window.allows(counter), "{counter}");
        }
        assert!((0..10_000).all(|counter| !window.mark(counter)));
    }

    #[test]
    fn the_ends_of_the_number_range_are_ordinary() {
        let mut window = Window::default();
        assert!(window.greatest().is_none() && window.mark(0) && !window.mark(0));
        assert_eq!(window.greatest(), Some(0));
        assert!(window.mark(u64::MAX - 1) && !window.mark(u64::MAX - 1));
        assert!(!window.mark(u64::MAX) && window.mark(u64::MAX - 2) && !window.mark(0));
    }

    #[test]
    fn it_agrees_with_a_set_on_any_sequence() {
        use rand_core::{Rng as _, SeedableRng as _};
        for seed in 0..40 {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let mut window = Window::default();
            let (mut seen, mut highest) = (std::collections::BTreeSet::new(), None::<u64>);
            for step in 0..4000 {
                let reach = [20, 200, 9000, 30_000][usize::try_from(rng.next_u32() % 4).unwrap()];
                let ahead = i64::from(rng.next_u32() % (2 * reach)) - i64::from(reach);
                let counter = highest.unwrap_or(0).saturating_add_signed(ahead);
                let expected = highest.is_none_or(|top| counter + WINDOW > top) && !seen.contains(&counter);
                assert_eq!(window.mark(counter), expected, "seed {seed}, step {step}, counter {counter}");
                if expected {
                    seen.insert(counter);
                    highest = highest.max(Some(counter));
                }
            }
        }
    }
}
