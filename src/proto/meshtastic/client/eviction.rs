//! Who closed the connection: the radio because it restarted, or because another client took our place.
//!
//! A radio serves one TCP client; a new one throws the old out, and all that the old one sees is the end of the stream. A
//! restart looks the same at first; the counter of restarts in the next configuration tells them apart. Two clients that
//! both reconnect at once throw each other out for ever, so each time in a row we leave the radio to the other one for
//! longer.

use std::time::{Duration, Instant};

/// How long to stay away after the first, second, ... time in a row. The first is also what a restart takes.
const WAITS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
];
/// A connection that lasted this long ends a row.
const PEACE: Duration = Duration::from_secs(600);

/// What the end of a connection turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The radio restarted.
    Restart,
    /// Another client took our place, for this many times in a row.
    Eviction(u32),
}

/// The row of evictions.
#[derive(Debug, Default)]
pub(super) struct Evictions {
    row: u32,
    connected: Option<Instant>,
    /// The counter of restarts in the connection that was closed on us, until it is known why.
    closed: Option<u32>,
}

impl Evictions {
    pub(super) const fn handle_connected(&mut self, now: Instant) {
        self.connected = Some(now);
    }

    /// The radio closed the connection, in which it had told this counter of restarts.
    pub(super) fn handle_closed(&mut self, restarts: u32, now: Instant) -> Option<Verdict> {
        let lasted = self.connected.take().map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if lasted >= PEACE {
            self.row = 0;
        }
        // Closed twice without a whole configuration in between: the first time can be judged here.
        let verdict = self.judge(restarts);
        self.closed = Some(restarts);
        verdict
    }

    /// The connection ended otherwise: nothing to blame anybody for.
    pub(super) const fn handle_failed(&mut self) {
        self.connected = None;
    }

    /// The configuration is through. Returns what the end of the connection before was.
    pub(super) fn handle_configured(&mut self, restarts: u32) -> Option<Verdict> {
        self.judge(restarts)
    }

    fn judge(&mut self, restarts: u32) -> Option<Verdict> {
        let before = self.closed.take()?;
        if before != restarts {
            self.row = 0;
            return Some(Verdict::Restart);
        }
        self.row = self.row.saturating_add(1);
        Some(Verdict::Eviction(self.row))
    }

    /// Returns how long to stay away at least if the connection was closed on us just now.
    pub(super) fn wait(&self) -> Duration {
        if self.closed.is_some() { self.next_wait() } else { Duration::ZERO }
    }

    /// Returns how long we shall stay away the next time.
    pub(super) fn next_wait(&self) -> Duration {
        let at = usize::try_from(self.row).unwrap_or(usize::MAX).min(WAITS.len() - 1);
        WAITS[at]
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::epoch;
    use super::*;

    #[test]
    fn a_restart_is_no_eviction() {
        let (mut evictions, now) = (Evictions::default(), epoch());
        evictions.handle_connected(now);
        assert_eq!(evictions.handle_closed(4, now), None);
        assert_eq!(evictions.handle_configured(5), Some(Verdict::Restart));
        assert_eq!(evictions.wait(), Duration::ZERO);
    }

    #[test]
    fn each_eviction_in_a_row_keeps_us_away_longer() {
        let (mut evictions, now) = (Evictions::default(), epoch());
        let mut last = Duration::ZERO;
        for row in 1..=4 {
            evictions.handle_connected(now);
            evictions.handle_closed(4, now);
            assert!(evictions.wait() > last);
            last = evictions.wait();
            assert_eq!(evictions.handle_configured(4), Some(Verdict::Eviction(row)));
        }
        evictions.handle_connected(now);
        evictions.handle_closed(4, now + PEACE);
        assert_eq!(evictions.wait(), WAITS[0], "a long peace is forgiven");
    }

    #[test]
    fn being_thrown_out_before_the_configuration_is_through_counts_too() {
        let (mut evictions, now) = (Evictions::default(), epoch());
        evictions.handle_connected(now);
        assert_eq!(evictions.handle_closed(4, now), None);
        evictions.handle_connected(now);
        assert_eq!(evictions.handle_closed(4, now), Some(Verdict::Eviction(1)));
        assert_eq!(evictions.wait(), WAITS[1]);
    }
}
