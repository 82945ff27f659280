//! Where the counters of symmetric keys come from: one source for all of a node's, whatever the peer and the key.
//!
//! **No counter may be sealed with twice under one key**, ever: also not when a peer is removed and added again, gets
//! another key and then the old one back, or shares its key with another peer. So counters are given out in blocks that
//! never overlap, each above the last, and nobody has to remember which of them went to whom. A block is on disk as used
//! before the first of it is ([`Counters::reserved`]); a restart goes on behind the last one.
//!
//! The first block is at a random place, in the half of the number range that the order of the two public keys gives:
//! two of us never meet under the key that they share.

use std::ops::Range;

/// How many counters are given out at once: one write to disk for so many packets.
pub const BLOCK: u64 = 1024;

/// One half of the range.
#[derive(Debug)]
struct Half {
    next: u64,
    end: u64,
    /// A block was given out, or an earlier life said how far it was: from here on it only goes upwards.
    is_in_use: bool,
}

impl Half {
    const fn grant(&mut self, at_least: u64) -> Range<u64> {
        let wanted = if at_least > self.next { at_least } else { self.next };
        let start = if wanted < self.end { wanted } else { self.end };
        let room = self.end - start;
        self.next = start + if room < BLOCK { room } else { BLOCK };
        self.is_in_use = true;
        start..self.next
    }

    fn restore(&mut self, reserved: u64) {
        let reserved = reserved.min(self.end);
        self.next = if self.is_in_use { self.next.max(reserved) } else { reserved };
        self.is_in_use = true;
    }
}

/// See the module's introduction.
#[derive(Debug)]
pub struct Counters {
    lower: Half,
    upper: Half,
}

impl Counters {
    /// Makes a source that starts anywhere; `random` says where in the lower and in the upper half.
    #[must_use]
    pub const fn new(random: [u64; 2]) -> Self {
        const MIDDLE: u64 = 1 << 63;
        // The top half of each half stays free: room to count and to leap.
        let lower = Half { next: random[0] >> 2, end: MIDDLE, is_in_use: false };
        let upper = Half { next: random[1] >> 2 | MIDDLE, end: u64::MAX, is_in_use: false };
        Self { lower, upper }
    }

    const fn half(&mut self, upper: bool) -> &mut Half {
        if upper { &mut self.upper } else { &mut self.lower }
    }

    /// Gives out the next block, from `at_least` on. It is empty when the half has come to its end.
    #[must_use]
    pub const fn grant(&mut self, upper: bool, at_least: u64) -> Range<u64> {
        self.half(upper).grant(at_least)
    }

    /// Goes on where an earlier life stopped: nothing below `reserved` is given out again.
    pub fn restore(&mut self, upper: bool, reserved: u64) {
        self.half(upper).restore(reserved);
    }

    /// Returns the end of what was given out of a half, by this life or an earlier one.
    #[must_use]
    pub fn reserved(&self, upper: bool) -> Option<u64> {
        let half = if upper { &self.upper } else { &self.lower };
        half.is_in_use.then_some(half.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_never_overlap_whatever_is_asked_for_and_restored() {
        let mut counters = Counters::new([1 << 40, 0]);
        let mut last = 0;
        for (at_least, restored) in [(0, None), (1 << 50, None), (7, Some(1)), (0, Some(1 << 51)), (1, None)]
        {
            if let Some(restored) = restored {
                counters.restore(false, restored);
            }
            let block = counters.grant(false, at_least);
            assert!(block.start >= last.max(at_least) && block.end - block.start == BLOCK, "{block:?}");
            last = block.end;
        }
    }

    #[test]
    fn the_first_word_of_an_earlier_life_counts_more_than_chance() {
        let mut counters = Counters::new([u64::MAX, u64::MAX]);
        counters.restore(false, 5000);
        counters.restore(false, 4000);
        assert_eq!(counters.grant(false, 0).start, 5000);
        assert_eq!(counters.reserved(true), None, "of the other half nothing was said");
    }

    #[test]
    fn two_of_us_never_meet() {
        for random in [0, 1, u64::MAX] {
            let mut counters = Counters::new([random, random]);
            assert!(counters.grant(false, 0).end < 1 << 63);
            assert!(counters.grant(true, 0).start >= 1 << 63);
        }
    }

    #[test]
    fn the_end_is_the_end() {
        for upper in [false, true] {
            let mut counters = Counters::new([0, 0]);
            counters.restore(upper, u64::MAX);
            assert!(counters.grant(upper, 0).is_empty());
            assert!(counters.grant(upper, u64::MAX).is_empty());
        }
    }
}
