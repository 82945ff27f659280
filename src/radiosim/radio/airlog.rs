//! How much air a radio has used and heard: the hour that the duty cycle counts, the minute that medium access counts.
//!
//! The firmware counts in buckets, not in a sliding window: 60 minutes of own sending, 6 times 10 s of any traffic. A
//! bucket is emptied when time enters it again, and the buckets are numbered from boot. Hence the cliff: once over the
//! limit, sending stays forbidden until the minute comes round in which enough of it was done.

use std::time::{Duration, Instant};

const MINUTES: usize = 60;
const SLOTS: usize = 6;
const SLOT_SECS: u64 = 10;

#[derive(Debug)]
pub(crate) struct AirLog {
    boot: Instant,
    sent: [Duration; MINUTES],
    minute: u64,
    busy: [Duration; SLOTS],
    slot: u64,
}

impl AirLog {
    pub(crate) fn new(boot: Instant) -> Self {
        Self { boot, sent: [Duration::ZERO; MINUTES], minute: 0, busy: [Duration::ZERO; SLOTS], slot: 0 }
    }

    pub(crate) fn log_sent(&mut self, airtime: Duration, now: Instant) {
        self.log_heard(airtime, now);
        self.sent[index(self.minute, MINUTES)] += airtime;
    }

    pub(crate) fn log_heard(&mut self, airtime: Duration, now: Instant) {
        self.roll(now);
        self.busy[index(self.slot, SLOTS)] += airtime;
    }

    /// Returns the percentage of the last minute in which the channel was busy, as this radio heard it.
    pub(crate) fn channel_utilisation(&mut self, now: Instant) -> f64 {
        self.roll(now);
        percent(self.busy.iter().sum(), Duration::from_secs(SLOT_SECS * SLOTS as u64))
    }

    /// Returns the percentage of the last hour in which this radio sent.
    pub(crate) fn tx_percent(&mut self, now: Instant) -> f64 {
        self.roll(now);
        percent(self.sent.iter().sum(), Duration::from_secs(60 * MINUTES as u64))
    }

    /// Returns the minutes of silence that the firmware announces: it walks its buckets from the last index down, not
    /// from the present one, so the figure is right only in the first hour after boot.
    pub(crate) fn silent_minutes(&mut self, duty_percent: f64, now: Instant) -> u32 {
        let mut left = self.tx_percent(now);
        for (waited, bucket) in (0..).zip(self.sent.iter().rev()) {
            left -= percent(*bucket, Duration::from_secs(60 * MINUTES as u64));
            if left < duty_percent {
                return waited;
            }
        }
        MINUTES as u32
    }

    fn roll(&mut self, now: Instant) {
        let secs = now.saturating_duration_since(self.boot).as_secs();
        roll_to(&mut self.sent, &mut self.minute, secs / 60);
        roll_to(&mut self.busy, &mut self.slot, secs / SLOT_SECS);
    }
}

fn roll_to(buckets: &mut [Duration], at: &mut u64, to: u64) {
    let steps = to.saturating_sub(*at).min(buckets.len() as u64);
    for step in 0..steps {
        buckets[index(to - step, buckets.len())] = Duration::ZERO;
    }
    *at = to.max(*at);
}

fn index(bucket: u64, len: usize) -> usize {
    usize::try_from(bucket % len as u64).expect("less than len")
}

fn percent(part: Duration, whole: Duration) -> f64 {
    part.as_secs_f64() / whole.as_secs_f64() * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_of_channel_use_is_forgotten_after_a_minute() {
        let boot = Instant::now();
        let mut log = AirLog::new(boot);
        log.log_heard(Duration::from_secs(6), boot + Duration::from_secs(5));
        assert!((log.channel_utilisation(boot + Duration::from_secs(59)) - 10.0).abs() < 1e-9);
        assert!(log.channel_utilisation(boot + Duration::from_secs(60)) < 1e-9);
        assert!((log.tx_percent(boot) - 0.0).abs() < 1e-9, "what was heard was not sent");
    }

    #[test]
    fn the_hour_forgets_minute_by_minute_and_not_by_itself() {
        let boot = Instant::now();
        let mut log = AirLog::new(boot);
        for minute in 0..9 {
            log.log_sent(Duration::from_secs(41), boot + Duration::from_secs(60 * minute));
        }
        let at = |minutes: u64| boot + Duration::from_secs(60 * minutes);
        assert!(log.tx_percent(at(9)) > 10.0);
        assert_eq!(log.silent_minutes(10.0, at(9)), 51, "the ninth minute is bucket 8 of 60");
        assert!(log.tx_percent(at(59)) > 10.0, "the first minute still counts");
        assert!(log.tx_percent(at(60)) < 10.0, "and is gone an hour later");
        assert!(log.tx_percent(at(500)) < 1e-9);
    }
}
