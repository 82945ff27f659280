//! Whether the host slept: the clock that goes on meanwhile is ahead of the one that does not.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What two readings of the clocks may differ by without a sleep between them.
const TOLERANCE: Duration = Duration::from_secs(1);

/// How far the clocks are apart.
pub(super) struct Awake {
    apart: Duration,
}

impl Awake {
    pub(super) fn new() -> Self {
        Self { apart: apart() }
    }

    /// Returns whether the host slept since this was asked last.
    pub(super) fn slept(&mut self) -> bool {
        let before = std::mem::replace(&mut self.apart, apart());
        self.apart.saturating_sub(before) > TOLERANCE
    }
}

fn apart() -> Duration {
    let read = |clock| clock_gettime(clock).map(Duration::from).unwrap_or_default();
    read(ClockId::CLOCK_BOOTTIME).saturating_sub(read(ClockId::CLOCK_MONOTONIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_awake_did_not_sleep() {
        assert!(!Awake::new().slept());
        assert!(Awake { apart: apart().saturating_sub(TOLERANCE * 2) }.slept() || apart() < TOLERANCE * 2);
    }
}
