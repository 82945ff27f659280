//! A token bucket: how often something may be done.

use std::time::{Duration, Instant};

/// Allows `burst` at once and one more every `interval`.
#[derive(Debug, Clone)]
pub struct Bucket {
    burst: u32,
    interval: Duration,
    /// When the bucket will be full again.
    full_at: Option<Instant>,
}

impl Bucket {
    /// Makes a full bucket.
    #[must_use]
    pub const fn new(burst: u32, interval: Duration) -> Self {
        Self { burst, interval, full_at: None }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        let allowed = full_at + self.interval <= now + self.interval * self.burst;
        if allowed {
            self.full_at = Some(full_at + self.interval);
        }
        allowed
    }

    /// When [`Self::take`] succeeds next.
    pub fn next(&self, now: Instant) -> Instant {
        let spare = self.interval * self.burst.saturating_sub(1);
        self.full_at.and_then(|at| at.checked_sub(spare)).map_or(now, |at| at.max(now))
    }

    /// Whether nothing was taken that has not come back.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut bucket = Bucket::new(3, Duration::from_secs(10));
        let start = crate::testing::start();
        let taken = |bucket: &mut Bucket, after| {
            (0..10).filter(|_| bucket.take(start + Duration::from_secs(after))).count()
        };
        assert_eq!(taken(&mut bucket, 0), 3);
        assert_eq!(taken(&mut bucket, 9), 0);
        assert_eq!(taken(&mut bucket, 10), 1);
        assert_eq!(taken(&mut bucket, 1000), 3);
        let next = bucket.next(start + Duration::from_secs(1000));
        assert_eq!(next, start + Duration::from_secs(1010));
        assert!(!bucket.take(next - Duration::from_nanos(1)) && bucket.take(next));
    }
}
