//! The window that lets each counter through once, in any order, as long as it is not too old.

/// How many counters behind the highest one seen are still told apart. Version 1 fixes 256.
pub const WINDOW: u64 = 256;

/// Which of the last [`WINDOW`] counters were seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayWindow {
    /// The highest counter seen and, one bit each, those behind it; `None` before the first.
    seen: Option<(u64, [u64; 4])>,
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplayWindow {
    /// Makes a window that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { seen: None }
    }

    /// Makes a window that counts everything up to `highest` as seen.
    #[must_use]
    pub const fn seen_up_to(highest: u64) -> Self {
        Self { seen: Some((highest, [u64::MAX; 4])) }
    }

    /// Returns the highest counter seen.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.seen.map(|(highest, _)| highest)
    }

    /// Returns whether `counter` may still be accepted; does not mark it: it is not authenticated yet.
    #[must_use]
    pub fn allows(&self, counter: u64) -> bool {
        match self.seen {
            None => true,
            Some((highest, _)) if counter > highest => true,
            Some((highest, bits)) => {
                let behind = highest - counter;
                behind < WINDOW && !bit(&bits, behind)
            }
        }
    }

    /// Marks an authenticated counter as seen. Returns false, and changes nothing, if it was not [allowed](Self::allows).
    #[must_use]
    pub fn mark(&mut self, counter: u64) -> bool {
        if !self.allows(counter) {
            return false;
        }
        match &mut self.seen {
            None => self.seen = Some((counter, [1, 0, 0, 0])),
            Some((highest, bits)) if counter > *highest => {
                shift(bits, counter - *highest);
                bits[0] |= 1;
                *highest = counter;
            }
            Some((highest, bits)) => set(bits, *highest - counter),
        }
        true
    }
}

fn bit(bits: &[u64; 4], at: u64) -> bool {
    usize::try_from(at / 64).is_ok_and(|word| bits[word] >> (at % 64) & 1 == 1)
}

fn set(bits: &mut [u64; 4], at: u64) {
    if let Ok(word) = usize::try_from(at / 64) {
        bits[word] |= 1 << (at % 64);
    }
}

/// Moves every bit `by` places up; what leaves the window is forgotten.
fn shift(bits: &mut [u64; 4], by: u64) {
    let old = *bits;
    *bits = [0; 4];
    for at in 0..WINDOW.saturating_sub(by) {
        if bit(&old, at) {
            set(bits, at + by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_passes_once_in_any_order() {
        let mut window = ReplayWindow::new();
        for counter in [5, 3, 300, 299, 45, 4, 301] {
            let allowed = window.allows(counter);
            assert_eq!(window.mark(counter), allowed);
            assert_eq!(allowed, counter != 4, "{counter}");
            assert!(!window.mark(counter), "{counter} twice");
        }
    }

    #[test]
    fn the_window_is_256_wide() {
        let mut window = ReplayWindow::new();
        assert!(window.mark(1000));
        assert!(window.allows(1000 - 255));
        assert!(!window.allows(1000 - 256));
    }

    #[test]
    fn it_agrees_with_a_set_on_any_sequence() {
        use rand_core::{Rng as _, SeedableRng as _};
        for seed in 0..50 {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let mut window = ReplayWindow::new();
            let (mut seen, mut highest) = (std::collections::BTreeSet::new(), None::<u64>);
            for _ in 0..2000 {
                let counter =
                    highest.unwrap_or(0).saturating_add_signed(i64::from(rng.next_u32() % 700) - 400);
                let expected = highest.is_none_or(|top| counter + WINDOW > top) && !seen.contains(&counter);
                assert_eq!(window.mark(counter), expected, "seed {seed}, counter {counter}");
                if expected {
                    seen.insert(counter);
                    highest = highest.max(Some(counter));
                }
            }
        }
    }

    #[test]
    fn the_ends_of_the_number_range_are_ordinary() {
        let mut window = ReplayWindow::new();
        assert!(window.mark(0) && window.mark(u64::MAX) && !window.mark(u64::MAX) && !window.mark(0));
    }
}
