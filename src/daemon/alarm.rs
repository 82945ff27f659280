//! An alarm that wakes the process when it is due, and at no other time.
//!
//! The runtime's own timers turn a wheel: one that is more than four minutes away wakes the process in between, to be moved
//! to a finer tooth. The radio's heartbeat is five minutes apart, so an idle daemon would wake twice as often as it has to.
//! This is the kernel's timer behind a descriptor (timerfd_create(2)) that the runtime watches like any other.
#![allow(unsafe_code, reason = "a promise about a descriptor's life that no type makes")]

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The kernel's timer, whose descriptor is fixed: it cannot be reached but by shared reference.
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// See the module's introduction.
pub(crate) struct Alarm {
    timer: AsyncFd<Timer>,
    at: Option<Instant>,
}

impl Alarm {
    /// Makes an alarm that is not set, in the runtime that this is called in.
    ///
    /// # Errors
    /// If the kernel gives no more descriptors.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        // SAFETY: `TimerFd` owns its descriptor and closes it when dropped, not earlier. `Timer` is private to this module,
        // which takes no mutable reference to it nor moves it out of the `AsyncFd`, so the descriptor stays the same and open
        // for as long as the `AsyncFd` owns it.
        let timer = unsafe { AsyncFd::register_with_interest(Timer(timer), Interest::READABLE) };
        Ok(Self { timer: timer?, at: None })
    }

    /// Returns when it is set for.
    pub(crate) const fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Sets it for a moment, or for never. One that has passed is due at once.
    ///
    /// # Errors
    /// If the kernel refuses, which it does for no valid descriptor.
    pub(crate) fn set(&mut self, at: Option<Instant>) -> io::Result<()> {
        if at == self.at {
            return Ok(());
        }
        self.at = at;
        let timer = &self.timer.get_ref().0;
        let Some(at) = at else { return Ok(timer.unset()?) };
        // A time of zero would disarm it.
        let wait = at.saturating_duration_since(Instant::now()).max(std::time::Duration::from_nanos(1));
        Ok(timer.set(Expiration::OneShot(TimeSpec::from_duration(wait)), TimerSetTimeFlags::empty())?)
    }

    /// Waits until it is due, and unsets it; for ever if it is not set. Can be cancelled.
    pub(crate) async fn due(&mut self) {
        loop {
            let Ok(mut ready) = self.timer.readable().await else { return std::future::pending().await };
            match ready.get_inner().0.wait() {
                Err(Errno::EAGAIN) => ready.clear_ready(),
                _ => {
                    ready.clear_ready();
                    self.at = None;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn an_alarm_is_due_when_it_is_set_for_and_once() {
        let mut alarm = Alarm::new().unwrap();
        let at = Instant::now() + Duration::from_millis(30);
        alarm.set(Some(at)).unwrap();
        alarm.due().await;
        assert!(Instant::now() >= at);
        assert_eq!(alarm.at(), None);
        let again = tokio::time::timeout(Duration::from_millis(50), alarm.due()).await;
        assert!(again.is_err(), "due once");
    }

    #[tokio::test]
    async fn an_alarm_for_the_past_is_due_at_once_and_one_that_was_unset_never() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(Some(Instant::now())).unwrap();
        alarm.due().await;
        alarm.set(Some(Instant::now())).unwrap();
        alarm.set(None).unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), alarm.due()).await.is_err());
    }
}
