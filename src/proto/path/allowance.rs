//! How often something may be done, in the sixteen bytes that a thousand idle peers can afford.

use std::time::{Duration, Instant};

/// A token bucket that is full at first. What it holds is said at each use, always the same.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Allowance {
    full_at: Option<Instant>,
}

impl Allowance {
    /// Takes a token of `burst`, of which one comes back every `interval`, if there is one.
    pub(super) fn take(&mut self, burst: u32, interval: Duration, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        let allowed = full_at + interval <= now + interval * burst;
        if allowed {
            self.full_at = Some(full_at + interval);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let (mut allowance, start) = (Allowance::default(), crate::testing::start());
        let second = Duration::from_secs(1);
        let mut taken = |at| (0..9).filter(|_| allowance.take(4, second * 5, start + second * at)).count();
        assert_eq!([0, 4, 5, 100].map(&mut taken), [4, 0, 1, 4]);
    }
}
