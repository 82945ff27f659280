//! The one timer of the event loop.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use tracing::trace;

/// The least time between two expiries: a core that asks for a moment that has passed must not keep everything else from
/// its turn.
const LEAST_INTERVAL: Duration = Duration::from_millis(1);

/// Sleeps until the core, or a failed write, wants attention; for ever if neither does.
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    armed: Option<Instant>,
    earliest: Instant,
}

impl Timer {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { sleep: Box::pin(tokio::time::sleep_until(now.into())), armed: None, earliest: now }
    }

    /// Sets the timer to the earlier of the two.
    pub(super) fn arm(&mut self, core: Option<(Instant, &'static str)>, store: Option<Instant>) {
        let wakes = [core, store.map(|at| (at, "state not saved"))];
        let next = wakes.into_iter().flatten().min_by_key(|(at, _)| *at);
        let at = next.map(|(at, _)| at);
        if at == self.armed {
            return;
        }
        self.armed = at;
        if let Some((at, why)) = next {
            trace!(?why, in_ms = at.saturating_duration_since(Instant::now()).as_millis(), "timer");
            self.sleep.as_mut().reset(at.max(self.earliest).into());
        }
    }

    /// Waits for it. Can be cancelled.
    pub(super) async fn expired(&mut self) {
        if self.armed.is_none() {
            std::future::pending::<()>().await;
        }
        self.sleep.as_mut().await;
        self.armed = None;
        self.earliest = Instant::now() + LEAST_INTERVAL;
    }
}
