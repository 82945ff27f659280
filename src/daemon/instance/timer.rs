//! The one timer of the event loop.

use std::io;
use std::time::{Duration, Instant};

use tracing::trace;

use crate::alarm::Alarm;

/// The least time between two expiries: a core that asks for a moment that has passed must not keep everything else from
/// its turn.
const LEAST_INTERVAL: Duration = Duration::from_millis(1);

/// Sleeps until the core, a failed write or the watchdog wants attention; for ever if none does.
///
/// It is lazy: what is put off, as traffic puts off nearly everything, leaves the kernel's timer as it is. That rings too
/// early then, once, and is set anew; setting it at every packet would cost each a system call.
pub(super) struct Timer {
    alarm: Alarm,
    earliest: Instant,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { alarm: Alarm::new()?, earliest: Instant::now() })
    }

    /// Sets the timer so that it rings at the earliest of them, or before.
    pub(super) fn arm(
        &mut self,
        core: Option<(Instant, &'static str)>,
        store: Option<Instant>,
        watchdog: Option<Instant>,
    ) -> io::Result<()> {
        let wakes = [
            core,
            store.map(|at| (at, "state not saved")),
            watchdog.map(|at| (at, "sign of life for the watchdog")),
        ];
        let next = wakes.into_iter().flatten().min_by_key(|(at, _)| *at);
        let Some((at, why)) = next else { return Ok(()) };
        let at = at.max(self.earliest);
        if self.alarm.at().is_some_and(|set| set <= at) {
            return Ok(());
        }
        trace!(?why, in_ms = at.saturating_duration_since(Instant::now()).as_millis(), "timer");
        self.alarm.set(Some(at))
    }

    /// Waits for it. Can be cancelled.
    pub(super) async fn expired(&mut self) {
        self.alarm.due().await;
        self.earliest = Instant::now() + LEAST_INTERVAL;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHY: &str = "a test";

    fn core(at: Instant) -> Option<(Instant, &'static str)> {
        Some((at, WHY))
    }

    #[tokio::test]
    async fn what_is_put_off_rings_early_once_and_then_in_time() {
        let mut timer = Timer::new().unwrap();
        let (early, late) =
            (Instant::now() + Duration::from_millis(20), Instant::now() + Duration::from_millis(60));
        timer.arm(core(early), None, None).unwrap();
        timer.arm(core(late), None, None).unwrap();
        assert_eq!(timer.alarm.at(), Some(early), "the kernel was not asked again");
        timer.expired().await;
        timer.arm(core(late), None, None).unwrap();
        timer.expired().await;
        assert!(Instant::now() >= late);
        timer.arm(None, None, None).unwrap();
        assert_eq!(timer.alarm.at(), None, "nothing is due any more");
    }

    #[tokio::test]
    async fn what_becomes_more_urgent_rings_in_time() {
        let mut timer = Timer::new().unwrap();
        timer.arm(core(Instant::now() + Duration::from_secs(3600)), None, None).unwrap();
        timer.arm(core(Instant::now() + Duration::from_millis(20)), None, None).unwrap();
        timer.expired().await;
    }
}
