//! Medium access: how long a radio waits before it sends.
//!
//! The firmware counts in slots. It draws a number of them from a window that doubles with each step of
//! `CW = 3 + 5 x channel utilisation`, waits, and sends if the channel is free then; if it is not, or the radio is
//! itself busy, it draws again. A relayed packet waits 16 slots longer, and the better it was heard the larger its
//! window, so that far nodes relay first.

use std::time::{Duration, Instant};

use super::{Radio, Turn};
use crate::config::Role;

const CW_MIN: u32 = 3;
const CW_MAX: u32 = 8;
/// Reception between these, in dB, spans the window of relays.
const SNR: (f32, f32) = (-20.0, 10.0);
/// What the firmware allows for handling a packet and its acknowledgement.
const PROCESSING: Duration = Duration::from_millis(4500);

#[derive(Debug, Default)]
pub(crate) struct Mac {
    /// When to try to send the front of the queue.
    pub(crate) timer: Option<Instant>,
    /// A packet of ours is on the air.
    pub(crate) sending: bool,
}

impl Radio {
    /// The firmware counts slots in whole milliseconds.
    pub(crate) fn slot(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.modem.slot().as_millis()).unwrap_or(u64::MAX))
    }

    /// Sets the timer for the front of the queue, unless it runs.
    pub(crate) fn set_transmit_delay(&mut self, turn: &mut Turn<'_>) {
        let Some(front) = self.queue.front() else { return };
        let heard = front.heard;
        if self.mac.timer.is_none() {
            let slots = match heard {
                None => turn.chance.below(1 << self.contention_window(turn.now)),
                Some(snr) => self.relay_slots(snr, turn),
            };
            self.mac.timer = Some(turn.now + self.slot() * u32::try_from(slots).unwrap_or(u32::MAX));
        }
    }

    /// A packet of ours, or of another, is over: the wait begins anew, so that nobody sends at once.
    pub(crate) fn redraw_transmit_delay(&mut self, turn: &mut Turn<'_>) {
        self.mac.timer = None;
        self.set_transmit_delay(turn);
    }

    /// Returns after what time an unanswered packet is sent again.
    pub(crate) fn retransmission_delay(&mut self, airtime: Duration, now: Instant) -> Duration {
        let half_range = 1 << u32::midpoint(CW_MIN, CW_MAX);
        let slots = (1 << self.contention_window(now)) + 2 * CW_MAX + half_range;
        2 * airtime + self.slot() * slots + PROCESSING
    }

    fn contention_window(&mut self, now: Instant) -> u32 {
        let utilisation = self.airlog.channel_utilisation(now);
        scale(utilisation / 100.0)
    }

    fn relay_slots(&mut self, snr: f32, turn: &mut Turn<'_>) -> u64 {
        let window = scale(f64::from((snr - SNR.0) / (SNR.1 - SNR.0)));
        match self.config.role {
            Role::Router => turn.chance.below(2 * u64::from(window)),
            Role::Client | Role::ClientMute => u64::from(2 * CW_MAX) + turn.chance.below(1 << window),
        }
    }
}

/// Maps 0 to 1 onto the range of contention windows, in whole steps as the firmware does.
fn scale(share: f64) -> u32 {
    let step = f64::from(CW_MAX - CW_MIN) * share.clamp(0.0, 1.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 5")]
    let step = step as u32;
    CW_MIN + step
}
