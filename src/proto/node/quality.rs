//! How well a peer is reached, by what demands an answer: the inits of our handshakes, and pings.
//!
//! Only what left counts, and the time from when it left: what waits here for air or for room says nothing of the way.

use std::time::Duration;

/// Exchanges that the loss is of.
const REMEMBERED: u32 = u32::BITS;

/// What was measured of one peer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quality {
    smoothed: Option<Duration>,
    /// The last exchanges, the latest in the lowest bit: 1 is lost.
    lost: u32,
    count: u32,
}

impl Quality {
    pub(super) fn answered(&mut self, rtt: Duration) {
        // RFC 6298 section 2.
        self.smoothed = Some(self.smoothed.map_or(rtt, |smoothed| smoothed * 7 / 8 + rtt / 8));
        self.note(0);
    }

    pub(super) fn lost(&mut self) {
        self.note(1);
    }

    fn note(&mut self, lost: u32) {
        self.lost = self.lost << 1 | lost;
        self.count = (self.count + 1).min(REMEMBERED);
    }

    pub(super) const fn rtt(&self) -> Option<Duration> {
        self.smoothed
    }

    pub(super) fn loss(&self) -> Option<f32> {
        let share = |part: u32, of: u32| {
            f32::from(u8::try_from(part).unwrap_or(u8::MAX)) / f32::from(u8::try_from(of).unwrap_or(u8::MAX))
        };
        (self.count > 0).then(|| share(self.lost.count_ones(), self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_claimed_before_anything_is_measured() {
        assert_eq!((Quality::default().rtt(), Quality::default().loss()), (None, None));
    }

    #[test]
    fn loss_is_of_the_last_exchanges() {
        let mut quality = Quality::default();
        quality.lost();
        assert_eq!(quality.loss(), Some(1.0));
        for _ in 0..3 {
            quality.answered(Duration::from_secs(1));
        }
        assert_eq!(quality.loss(), Some(0.25));
        for _ in 0..REMEMBERED {
            quality.answered(Duration::from_secs(1));
        }
        assert_eq!(quality.loss(), Some(0.0));
    }

    #[test]
    fn one_slow_answer_moves_the_round_trip_time_by_an_eighth() {
        let mut quality = Quality::default();
        quality.answered(Duration::from_secs(8));
        quality.answered(Duration::from_secs(16));
        assert_eq!(quality.rtt(), Some(Duration::from_secs(9)));
    }
}
