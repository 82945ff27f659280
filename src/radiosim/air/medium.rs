//! The channel itself: transmissions that overlap, and who makes out which.
//!
//! A receiver locks on to the first preamble that it hears. A transmission survives another one at the same receiver if
//! it is at least [`CAPTURE_DB`] stronger, and if the receiver was not already locked on to a weaker one when its
//! preamble was over; or if the other ended before enough of its preamble was left to lock on to.

use std::time::{Duration, Instant};

use crate::radio::queue::Queued;

/// How much stronger a signal must be to be received in spite of another of the same kind.
const CAPTURE_DB: f32 = 6.0;
/// Symbols of preamble that a receiver needs to lock on.
const LOCK_SYMBOLS: f64 = 5.0;
/// Symbols after which a scan for activity notices a transmission.
const CAD_SYMBOLS: f64 = 2.5;

/// A transmission, kept as long as one that overlaps it lasts.
#[derive(Debug)]
pub(super) struct Transmission {
    pub(super) sender: usize,
    pub(super) packet: Queued,
    pub(super) start: Instant,
    pub(super) end: Instant,
    /// What a receiver needs of the preamble, and how long the preamble is.
    lock: Duration,
    preamble: Duration,
    /// What a scan needs.
    cad: Duration,
    /// Broken off by a reset: nobody can make it out.
    pub(super) cut: bool,
    over: bool,
}

/// What a radio makes of a transmission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reception {
    Clear,
    Collided,
    /// It was sending itself.
    Deaf,
}

#[derive(Debug, Default)]
pub(super) struct Medium {
    on_air: Vec<Transmission>,
}

impl Medium {
    /// Puts a packet on the air; `symbol` is the length of one, `preamble` their number.
    pub(super) fn start(
        &mut self,
        sender: usize,
        packet: Queued,
        airtime: Duration,
        symbol: Duration,
        preamble: u8,
        now: Instant,
    ) {
        let preamble = f64::from(preamble);
        self.on_air.push(Transmission {
            sender,
            packet,
            start: now,
            end: now + airtime,
            lock: symbol.mul_f64(preamble - LOCK_SYMBOLS),
            preamble: symbol.mul_f64(preamble),
            cad: symbol.mul_f64(CAD_SYMBOLS),
            cut: false,
            over: false,
        });
    }

    pub(super) fn next_end(&self) -> Option<Instant> {
        self.on_air.iter().filter(|other| !other.over).map(|other| other.end).min()
    }

    /// Returns the transmission that ends by `now`, first the one that ends first.
    pub(super) fn ending(&self, now: Instant) -> Option<usize> {
        let ending = |at: &usize| !self.on_air[*at].over && self.on_air[*at].end <= now;
        (0..self.on_air.len()).filter(ending).min_by_key(|at| self.on_air[*at].end)
    }

    pub(super) fn get(&self, at: usize) -> &Transmission {
        &self.on_air[at]
    }

    /// Ends a transmission, and forgets those that overlap nothing any more.
    pub(super) fn finish(&mut self, at: usize) {
        self.on_air[at].over = true;
        let since = self.on_air.iter().filter(|other| !other.over).map(|other| other.start).min();
        self.on_air.retain(|other| !other.over || since.is_some_and(|since| other.end > since));
    }

    /// A radio is reset in mid-transmission.
    pub(super) fn cut(&mut self, sender: usize, now: Instant) {
        for other in self.on_air.iter_mut().filter(|other| other.sender == sender && !other.over) {
            other.cut = true;
            other.end = other.end.min(now);
        }
    }

    /// True if a radio would notice that the channel is busy: not for transmissions that began a moment ago.
    pub(super) fn is_busy(&self, snr_at: impl Fn(usize) -> Option<f32>, now: Instant) -> bool {
        self.on_air
            .iter()
            .any(|other| !other.over && other.start + other.cad <= now && snr_at(other.sender).is_some())
    }

    /// Judges a transmission at a radio; `snr_at` says how well it hears each sender.
    pub(super) fn reception(
        &self,
        at: usize,
        receiver: usize,
        snr_at: impl Fn(usize) -> Option<f32>,
    ) -> Reception {
        let wanted = &self.on_air[at];
        let Some(strength) = snr_at(wanted.sender) else { return Reception::Deaf };
        let mut verdict = if wanted.cut { Reception::Collided } else { Reception::Clear };
        for (index, other) in self.on_air.iter().enumerate() {
            if index == at || other.start >= wanted.end || other.end <= wanted.start {
                continue;
            }
            if other.sender == receiver {
                return Reception::Deaf;
            }
            let Some(disturbance) = snr_at(other.sender) else { continue };
            let gone_in_time = other.end <= wanted.start + wanted.lock;
            let locked_elsewhere = other.start + other.preamble <= wanted.start && !other.cut;
            let captured = strength >= disturbance + CAPTURE_DB;
            if !gone_in_time && (!captured || locked_elsewhere) {
                verdict = Reception::Collided;
            }
        }
        verdict
    }
}
