//! When our own addresses are worth telling: to kin, within a session, while traffic flows.
//!
//! Where sending is free: when they changed, at most every 5 s. Where the only path that works is metered, they are how two
//! hosts that met by radio find to each other's LAN: when traffic starts, again half a minute later, for the air may have lost
//! it, then after 5, 10, 20, … 60 minutes while traffic goes on that way, and when they changed, at most once a minute.

use std::time::{Duration, Instant};

use super::candidate::Candidate;
use super::{Paths, ToDo};

const FREE: Duration = Duration::from_secs(5);
const METERED_CHANGED: Duration = Duration::from_secs(60);
/// Nothing says that an announcement arrived but what comes of it, so that the first is repeated soon.
const METERED_AGAIN: Duration = Duration::from_secs(30);
const METERED: Duration = Duration::from_secs(300);
const METERED_RAREST: Duration = Duration::from_secs(3600);

/// What the peer was told.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Announcing {
    /// There is something to tell.
    any: bool,
    /// It was not told yet.
    changed: bool,
    /// How often it was repeated on a metered path.
    repeated: u8,
    last: Option<Instant>,
}

impl Announcing {
    /// A free path works: should it ever fail, the peer may have missed the news.
    pub(super) const fn found(&mut self) {
        self.repeated = 0;
    }

    fn gap(&self, free: bool) -> Option<Duration> {
        match (free, self.changed) {
            (true, true) => Some(FREE),
            (true, false) => None,
            (false, true) => Some(METERED_CHANGED),
            (false, false) if self.repeated < 2 => Some(METERED_AGAIN),
            (false, false) => {
                let doubled = METERED * (1 << (self.repeated - 2).min(4));
                Some(doubled.min(METERED_RAREST))
            }
        }
    }
}

impl Paths {
    /// Our own UDP addresses changed: `any` says whether there are some to announce.
    pub fn set_own_addresses(&mut self, any: bool, now: Instant) {
        self.announcing.any = any;
        self.announcing.changed = true;
        self.announcing.repeated = 0;
        self.settle(now);
    }

    /// No timer waits for this: traffic brings it about.
    pub(super) fn announce_if_due(&mut self, now: Instant) {
        if !self.announcing.any || !self.can_probe() || !self.is_busy(now) {
            return;
        }
        let Some(path) = self.chosen() else { return };
        let free = Candidate::is_free(path) && !path.dead;
        let Some(gap) = self.announcing.gap(free) else { return };
        if self.announcing.last.is_some_and(|last| now.saturating_duration_since(last) < gap) {
            return;
        }
        self.announcing.last = Some(now);
        self.announcing.changed = false;
        self.announcing.repeated = self.announcing.repeated.saturating_add(1);
        self.todo.push(ToDo::Announce);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_radio_may_have_lost_is_told_again_soon_and_then_ever_more_rarely() {
        let mut announcing = Announcing { any: true, repeated: 1, ..Announcing::default() };
        let mut gaps = Vec::new();
        for _ in 0..7 {
            gaps.extend(announcing.gap(false).map(|gap| gap.as_secs()));
            announcing.repeated += 1;
        }
        assert_eq!(gaps, [30, 300, 600, 1200, 2400, 3600, 3600]);
        assert_eq!(announcing.gap(true), None, "where a free path works they have arrived");
        announcing.found();
        assert_eq!(announcing.gap(false), Some(METERED_AGAIN));
        announcing.changed = true;
        assert_eq!((announcing.gap(false), announcing.gap(true)), (Some(METERED_CHANGED), Some(FREE)));
    }
}
