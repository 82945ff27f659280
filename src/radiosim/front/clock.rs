//! Simulated time: real time, at a constant factor, with an alarm.
//!
//! The runtime's own timer counts in milliseconds, which at a speed of 20 are 20 simulated ones, four polls of the client
//! API: hence a timerfd.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

use super::watch::watch;

/// The shortest alarm: a timerfd that is set to nothing never rings.
const AT_ONCE: Duration = Duration::from_nanos(1);
/// The longest: nothing sleeps longer without need.
const LONGEST: Duration = Duration::from_secs(3600);

pub(crate) struct Clock {
    start: Instant,
    speed: f64,
    timer: TimerFd,
    rings: AsyncFd<OwnedFd>,
}

impl Clock {
    /// # Errors
    /// If the kernel has no more timers.
    pub(crate) fn new(speed: f64) -> anyhow::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        let rings = watch(timer.as_fd().try_clone_to_owned()?)?;
        Ok(Self { start: Instant::now(), speed, timer, rings })
    }

    /// Returns the simulated time.
    pub(crate) fn now(&self) -> Instant {
        self.start + self.start.elapsed().mul_f64(self.speed)
    }

    /// Waits until a simulated time; for ever if there is none.
    ///
    /// # Errors
    /// If the kernel refuses the alarm.
    pub(crate) async fn sleep_until(&self, at: Option<Instant>) -> anyhow::Result<()> {
        let Some(at) = at else { return std::future::pending().await };
        let simulated = at.saturating_duration_since(self.start);
        let real = simulated.div_f64(self.speed).saturating_sub(self.start.elapsed());
        let wait = TimeSpec::from_duration(real.clamp(AT_ONCE, LONGEST));
        self.timer.set(Expiration::OneShot(wait), TimerSetTimeFlags::empty())?;
        let mut ring = self.rings.readable().await?;
        // The count of rings is of no interest; reading it, or a new alarm, silences the timer.
        match self.timer.wait() {
            Ok(()) | Err(nix::errno::Errno::EAGAIN) => ring.clear_ready(),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
