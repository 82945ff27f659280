//! How much air a metered link has used in the hour that ends now, and how much is left for whom.
//!
//! Past its region's duty cycle the firmware refuses everything for most of an hour, so the limit must never be reached.
//! Air used is counted in buckets of a minute; a bucket counts in full until its last moment is an hour old, so the sum is
//! never too small. The carrier's own figure (its telemetry) covers what this host does not send: the larger one counts.
//! Bulk stops first, so that there is air left for what somebody waits for, and last of all for handshakes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::link::Class;

const HOUR: Duration = Duration::from_secs(3600);
const BUCKET: Duration = Duration::from_secs(60);

/// The airtime account of a link.
#[derive(Debug, Clone)]
pub struct Budget {
    hourly: Duration,
    /// Start of each minute with traffic, and the air it used; oldest first.
    buckets: VecDeque<(Instant, Duration)>,
    /// Air that the carrier used beyond our own account, and when it said so.
    foreign: Option<(Instant, Duration)>,
}

impl Budget {
    /// Makes an account of which nothing is used.
    #[must_use]
    pub const fn new(hourly: Duration) -> Self {
        Self { hourly, buckets: VecDeque::new(), foreign: None }
    }

    /// Changes the limit; what was used stays used.
    pub const fn set_hourly(&mut self, hourly: Duration) {
        self.hourly = hourly;
    }

    /// Books air that is being used.
    pub fn spend(&mut self, air: Duration, now: Instant) {
        self.forget(now);
        match self.buckets.back_mut() {
            Some((start, used)) if now.saturating_duration_since(*start) < BUCKET => *used += air,
            _ => self.buckets.push_back((now, air)),
        }
    }

    /// Gives back air that was booked at `since` but not used: to the minute that it was taken from, so that no other
    /// minute counts for less than it used.
    pub fn refund(&mut self, air: Duration, since: Instant) {
        if let Some((_, used)) = self.buckets.iter_mut().rev().find(|(start, _)| *start <= since) {
            *used = used.saturating_sub(air);
        }
    }

    /// Takes the carrier's figure for the last hour.
    pub fn carrier_says(&mut self, total: Duration, now: Instant) {
        self.forget(now);
        self.foreign = Some((now, total.saturating_sub(self.own())));
    }

    /// Returns the air used in the last hour.
    #[must_use]
    pub fn used(&self, now: Instant) -> Duration {
        let own: Duration =
            self.buckets.iter().filter(|bucket| !is_over(bucket, now)).map(|(_, used)| *used).sum();
        let foreign = self.foreign.filter(|(at, _)| now.saturating_duration_since(*at) < HOUR);
        own + foreign.map_or(Duration::ZERO, |(_, used)| used)
    }

    /// Returns the air that is left for a class.
    #[must_use]
    pub fn left(&self, class: Class, now: Instant) -> Duration {
        self.share(class).saturating_sub(self.used(now))
    }

    /// Returns whether `air` may be used now.
    #[must_use]
    pub fn allows(&self, class: Class, air: Duration, now: Instant) -> bool {
        self.left(class, now) >= air
    }

    /// Returns when `air` may be used, if not now; an hour at most.
    #[must_use]
    pub fn when(&self, class: Class, air: Duration, now: Instant) -> Instant {
        let mut free = self.left(class, now);
        for (start, used) in self.buckets.iter().filter(|bucket| !is_over(bucket, now)) {
            if free >= air {
                break;
            }
            free += *used;
            if free >= air {
                return *start + BUCKET + HOUR;
            }
        }
        if free >= air { now } else { now + HOUR }
    }

    fn share(&self, class: Class) -> Duration {
        match class {
            Class::Handshake => self.hourly,
            Class::Control => self.hourly * 49 / 50,
            Class::Interactive => self.hourly * 24 / 25,
            Class::Bulk => self.hourly * 17 / 20,
        }
    }

    fn own(&self) -> Duration {
        self.buckets.iter().map(|(_, used)| *used).sum()
    }

    fn forget(&mut self, now: Instant) {
        while self.buckets.front().is_some_and(|bucket| is_over(bucket, now)) {
            self.buckets.pop_front();
        }
    }
}

/// Whether the last moment of a minute is an hour old.
fn is_over((start, _): &(Instant, Duration), now: Instant) -> bool {
    now.saturating_duration_since(*start) >= HOUR + BUCKET
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::{Rng as _, SeedableRng as _};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn no_hour_ever_holds_more_than_the_law_allows() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let start = crate::testing::start();
        let (mut budget, mut now, mut log) = (Budget::new(360 * SECOND), start, Vec::new());
        for _ in 0..20_000 {
            now += Duration::from_millis(u64::from(rng.next_u32() % 3000));
            let air = Duration::from_millis(u64::from(rng.next_u32() % 2200));
            if budget.allows(Class::Bulk, air, now) {
                budget.spend(air, now);
                log.push((now, air));
            }
            log.retain(|(at, _)| now.duration_since(*at) <= HOUR);
            let in_hour: Duration = log.iter().map(|(_, air)| *air).sum();
            assert!(in_hour <= 306 * SECOND, "{in_hour:?} in an hour");
        }
    }

    #[test]
    fn what_bulk_leaves_is_there_for_a_handshake() {
        let now = crate::testing::start();
        let mut budget = Budget::new(100 * SECOND);
        budget.spend(85 * SECOND, now);
        assert!(!budget.allows(Class::Bulk, SECOND, now));
        assert!(budget.allows(Class::Interactive, SECOND, now));
        budget.spend(14 * SECOND, now);
        assert!(!budget.allows(Class::Interactive, SECOND, now));
        assert!(budget.allows(Class::Handshake, SECOND, now));
    }

    #[test]
    fn it_says_when_there_will_be_air() {
        let now = crate::testing::start();
        let mut budget = Budget::new(100 * SECOND);
        budget.spend(60 * SECOND, now);
        budget.spend(25 * SECOND, now + 600 * SECOND);
        let later = now + 700 * SECOND;
        let when = budget.when(Class::Bulk, SECOND, later);
        assert_eq!(when, now + HOUR + BUCKET);
        assert!(budget.allows(Class::Bulk, SECOND, when));
    }

    #[test]
    fn air_given_back_is_that_of_its_own_minute() {
        let now = crate::testing::start();
        let mut budget = Budget::new(100 * SECOND);
        budget.spend(2 * SECOND, now);
        budget.spend(2 * SECOND, now + BUCKET);
        budget.refund(2 * SECOND, now);
        assert_eq!(budget.used(now + HOUR + BUCKET), 2 * SECOND, "the later one was used");
    }

    #[test]
    fn what_the_carrier_sends_by_itself_counts() {
        let now = crate::testing::start();
        let mut budget = Budget::new(100 * SECOND);
        budget.spend(10 * SECOND, now);
        budget.carrier_says(50 * SECOND, now + SECOND);
        assert_eq!(budget.used(now + 2 * SECOND), 50 * SECOND);
        budget.carrier_says(5 * SECOND, now + 3 * SECOND);
        assert_eq!(budget.used(now + 4 * SECOND), 10 * SECOND, "our own account stands");
    }
}
