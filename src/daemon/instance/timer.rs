//! The one timer of the event loop.

use std::io;
use std::time::{Duration, Instant};

use tracing::trace;

use crate::alarm::Alarm;

/// The least time between two expiries: a core that asks for a moment that has passed must not keep everything else from
/// its turn.
const LEAST_INTERVAL: Duration = Duration::from_millis(1);

/// Sleeps until the core, a failed write or the watchdog wants attention; for ever if none does.
pub(super) struct Timer {
    alarm: Alarm,
    earliest: Instant,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { alarm: Alarm::new()?, earliest: Instant::now() })
    }

    /// Sets the timer to the earliest of them.
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
        let at = next.map(|(at, _)| at.max(self.earliest));
        if let Some((at, why)) = next
            && self.alarm.at() != Some(at.max(self.earliest))
        {
            trace!(?why, in_ms = at.saturating_duration_since(Instant::now()).as_millis(), "timer");
        }
        self.alarm.set(at)
    }

    /// Waits for it. Can be cancelled.
    pub(super) async fn expired(&mut self) {
        self.alarm.due().await;
        self.earliest = Instant::now() + LEAST_INTERVAL;
    }
}
