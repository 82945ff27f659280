//! Waiting for what must happen, with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Calls `probe` until it returns a value, and fails after `limit` with what was waited for.
///
/// # Errors
/// After `limit`, when interrupted (see [`crate::interrupt`]), or as soon as `probe` itself fails.
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {limit:?}");
        }
        crate::interrupt::check()?;
        std::thread::sleep(POLL);
    }
}

/// Lets `duration` pass, for tests whose claim is about that time itself (nothing is sent, a flow goes on).
///
/// # Errors
/// When interrupted.
pub fn let_pass(duration: Duration) -> Result<()> {
    let deadline = Instant::now() + duration;
    while Instant::now() < deadline {
        crate::interrupt::check()?;
        std::thread::sleep(POLL.min(deadline.saturating_duration_since(Instant::now())));
    }
    Ok(())
}
