//! What the host's clocks tell: whether it slept, for the clock that goes on meanwhile is ahead of the one that does not; and
//! whether the wall clock shows another time than it would have come to by itself.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What two readings of the clocks may differ by without a sleep, or somebody who set the clock, between them.
const TOLERANCE: Duration = Duration::from_secs(1);

/// How far the clocks are apart.
pub(super) struct Awake {
    /// Of the one that goes on in sleep and the one that does not.
    apart: Duration,
    /// Of the wall clock and the one that does not go on in sleep, in nanoseconds: it may be behind.
    wall: i128,
}

impl Awake {
    pub(super) fn new() -> Self {
        Self { apart: apart(), wall: wall() }
    }

    /// Returns for how long the host slept since this was told last, if it did; naps too short to tell from none add up.
    pub(super) fn slept(&mut self) -> Option<Duration> {
        self.slept_till(apart())
    }

    fn slept_till(&mut self, now: Duration) -> Option<Duration> {
        match now.checked_sub(self.apart) {
            Some(slept) if slept <= TOLERANCE => None,
            slept => {
                self.apart = now;
                slept
            }
        }
    }

    /// Returns the time since 1970 if the wall clock was set since this was told last, or went on while the host slept.
    pub(super) fn clock_was_set(&mut self) -> Option<Duration> {
        let now = wall();
        if self.wall.abs_diff(now) <= TOLERANCE.as_nanos() {
            return None;
        }
        self.wall = now;
        Some(read(ClockId::CLOCK_REALTIME))
    }
}

fn apart() -> Duration {
    read(ClockId::CLOCK_BOOTTIME).saturating_sub(read(ClockId::CLOCK_MONOTONIC))
}

fn wall() -> i128 {
    let nanos = |clock| i128::try_from(read(clock).as_nanos()).unwrap_or(i128::MAX);
    nanos(ClockId::CLOCK_REALTIME) - nanos(ClockId::CLOCK_MONOTONIC)
}

fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::ffi::OsStr;
    use std::process::Command;

    use super::*;

    /// Tells a test that it is in a time namespace: how far the clocks were apart outside of it, in nanoseconds.
    const OUTSIDE: &str = "MESHNET_TEST_CLOCKS_APART";

    #[test]
    fn a_host_that_is_awake_did_not_sleep() {
        let mut awake = Awake::new();
        assert_eq!(awake.slept(), None);
        assert_eq!(awake.slept(), None);
        // Nor did it if the clocks come closer, as they do where a snapshot of a machine is taken up again.
        let mut awake = Awake { apart: apart() + TOLERANCE * 2, wall: wall() };
        assert_eq!(awake.slept(), None);
        assert!(awake.apart.abs_diff(apart()) < TOLERANCE, "and the next sleep counts from there");
    }

    #[test]
    fn naps_add_up() {
        let (mut awake, nap) = (Awake::new(), TOLERANCE * 2 / 3);
        let before = awake.apart;
        assert_eq!(awake.slept_till(before + nap), None);
        assert_eq!(awake.slept_till(before + nap * 2), Some(nap * 2));
        assert_eq!(awake.slept_till(before + nap * 3), None);
    }

    /// The kernel's own clocks, one of them set ahead as a sleep leaves it: in a time namespace, which only a process has that
    /// begins there.
    #[test]
    fn a_sleep_is_told_once() {
        if let Ok(outside) = env::var(OUTSIDE) {
            let mut awake = Awake { apart: Duration::from_nanos(outside.parse().unwrap()), wall: wall() };
            // The namespace was set ahead by two seconds.
            assert!(awake.slept().is_some_and(|slept| slept.abs_diff(Duration::from_secs(2)) < TOLERANCE));
            assert_eq!(awake.slept(), None);
            return;
        }
        let inside = |program: &OsStr| {
            let mut command = Command::new("unshare");
            if !nix::unistd::geteuid().is_root() {
                command.args(["--user", "--map-root-user"]);
            }
            command.args(["--time", "--boottime", "2", "--"]).arg(program);
            command
        };
        if !inside("true".as_ref()).output().is_ok_and(|output| output.status.success()) {
            assert!(env::var_os("CI").is_none(), "needs a time namespace, and in CI nothing is skipped");
            eprintln!("SKIPPED: a time namespace needs root or a user namespace");
            return;
        }
        let this = std::thread::current().name().unwrap().to_owned();
        let mut again = inside(env::current_exe().unwrap().as_os_str());
        again.args(["--exact", &this]).env(OUTSIDE, apart().as_nanos().to_string());
        let output = again.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    #[test]
    fn a_clock_that_was_set_is_told_once_and_one_that_drifts_when_it_matters() {
        let second = 1_000_000_000;
        for (by, told) in [(0, false), (second / 2, false), (2 * second, true), (-2 * second, true)] {
            let mut awake = Awake { apart: apart(), wall: wall() + by };
            let now = awake.clock_was_set();
            assert_eq!(now.is_some(), told, "{by}");
            assert!(now.is_none_or(|now| read(ClockId::CLOCK_REALTIME).abs_diff(now) < TOLERANCE));
            assert_eq!(awake.clock_was_set(), None, "{by}");
        }
    }
}
