//! The window that lets each counter through once, in any order, as long as it is not too old: a bitmap of the last
//! counters, in blocks.
//!
//! The oldest blocks are forgotten as soon as all of their counters were seen: a session whose packets all arrive, in
//! whatever order, takes next to no memory, and one that misses packets takes a kilobyte at most. Marking takes constant
//! time: a counter far ahead of all others makes at most a window of blocks.

use std::collections::VecDeque;

/// How many counters behind the highest one, itself included, are still told apart.
pub const WINDOW: u64 = 8192;

const BITS: u64 = 64;
/// Blocks of the widest window: that of the highest counter is only partly ahead of the oldest one.
const BLOCKS: usize = 129;
const _: () = assert!(WINDOW / BITS + 1 == 129);
/// Blocks that there is room for at least, once there is any.
const FEW: usize = 4;

/// Which of the last [`WINDOW`] counters were seen.
#[derive(Default)]
pub struct Window {
    /// One more than the highest counter seen: 0 before the first.
    end: u64,
    /// Of the counters before this block none is allowed: each was seen, or is too old.
    first: u64,
    /// From there to the block of the highest counter; none if that is full too.
    blocks: VecDeque<u64>,
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
        let block = self.place(counter).and_then(|at| self.blocks.get(at));
        self.end - counter <= WINDOW && block.is_some_and(|block| block & bit(counter) == 0)
    }

    /// Marks an authenticated counter as seen. Returns false, and changes nothing, if it was not [allowed](Self::allows).
    #[must_use]
    pub fn mark(&mut self, counter: u64) -> bool {
        if !self.allows(counter) {
            return false;
        }
        if counter >= self.end {
            self.end = counter + 1;
            self.advance(self.end.saturating_sub(WINDOW) / BITS);
        }
        let Some(at) = self.place(counter) else { return false };
        while self.blocks.len() <= at {
            self.make_room();
            self.blocks.push_back(0);
        }
        self.blocks[at] |= bit(counter);
        while self.blocks.front() == Some(&u64::MAX) {
            self.advance(self.first + 1);
        }
        true
    }

    /// Where a counter's block is, or will be.
    fn place(&self, counter: u64) -> Option<usize> {
        usize::try_from((counter / BITS).checked_sub(self.first)?).ok()
    }

    /// Forgets the blocks before this one.
    fn advance(&mut self, first: u64) {
        let Some(gone) = first.checked_sub(self.first) else { return };
        let gone = usize::try_from(gone).unwrap_or(usize::MAX).min(self.blocks.len());
        self.blocks.drain(..gone);
        self.first = first;
        if self.blocks.len() < FEW && self.blocks.capacity() > 4 * FEW {
            self.blocks.shrink_to(FEW);
        }
    }

    /// Makes room for one more block: for twice as many as there are, but never for more than there can be.
    fn make_room(&mut self) {
        let (len, room) = (self.blocks.len(), self.blocks.capacity());
        if len == room {
            self.blocks.reserve_exact((2 * len).clamp(FEW, BLOCKS).saturating_sub(len).max(1));
        }
    }
}

const fn bit(counter: u64) -> u64 {
    1 << (counter % BITS)
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
    fn a_session_takes_memory_for_what_it_misses_only() {
        let mut window = Window::default();
        for pair in 0..50_000 {
            assert!(window.mark(2 * pair + 1) && window.mark(2 * pair));
        }
        assert!(window.blocks.capacity() <= FEW, "{}", window.blocks.capacity());
        for counter in (100_000..200_000).step_by(2) {
            assert!(window.mark(counter));
        }
        assert_eq!((window.blocks.len(), window.blocks.capacity()), (BLOCKS, BLOCKS));
        assert!((200_000..220_000).all(|counter| window.mark(counter)));
        assert!(window.blocks.capacity() <= FEW, "{}", window.blocks.capacity());
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
