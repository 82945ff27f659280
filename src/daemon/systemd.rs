//! What the daemon and the service manager tell each other (sd_notify(3)): that it is ready, what it is doing, that it is alive,
//! and what the manager is to keep for its next life ([`store`]).
//!
//! All of it is silent where no service manager listens: without `$NOTIFY_SOCKET` nothing is sent, without `$WATCHDOG_USEC` no
//! timer runs.

pub mod store;

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::debug;

/// The service manager, as the core's task sees it.
#[derive(Debug)]
pub struct Supervisor {
    ready: bool,
    /// The status as last told.
    status: String,
    watchdog: Option<Watchdog>,
}

/// When to say next that we are alive.
#[derive(Debug)]
struct Watchdog {
    interval: Duration,
    due: Instant,
}

impl Supervisor {
    /// Looks at what the service manager asks for. The first sign of life is due at once.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        // Half of what the manager waits for: one that comes late is no emergency.
        let watchdog =
            sd_notify::watchdog_enabled().map(|patience| Watchdog { interval: patience / 2, due: now });
        Self { ready: false, status: String::new(), watchdog }
    }

    /// Tells whether the manager knows that the network runs.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.ready
    }

    /// The network runs: the interface is up, links are started, names are owned.
    pub fn ready(&mut self, status: String) {
        notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
        self.ready = true;
        self.status = status;
    }

    /// How it goes, in one line; said if it is another one than the last.
    pub fn status(&mut self, status: String) {
        if status != self.status {
            notify(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// The configuration is being read again; [`Supervisor::ready`] ends it.
    pub fn reloading(&self) {
        // The time tells the manager's request from an earlier one; the clock is always there.
        if let Ok(time) = NotifyState::monotonic_usec_now() {
            notify(&[NotifyState::Reloading, time]);
        }
    }

    /// The end has begun.
    pub fn stopping(&mut self) {
        self.status = "stopping".to_owned();
        notify(&[NotifyState::Stopping, NotifyState::Status(&self.status)]);
    }

    /// Says that the core's task is alive, if it is time to.
    pub fn feed(&mut self, now: Instant) -> bool {
        let Some(watchdog) = self.watchdog.as_mut().filter(|watchdog| watchdog.due <= now) else {
            return false;
        };
        watchdog.due = now + watchdog.interval;
        notify(&[NotifyState::Watchdog]);
        true
    }

    /// Returns when [`Supervisor::feed`] is due next.
    #[must_use]
    pub fn feed_at(&self) -> Option<Instant> {
        self.watchdog.as_ref().map(|watchdog| watchdog.due)
    }
}

/// Tells the manager; one that does not listen is none of the network's business.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "cannot tell the service manager");
    }
}
