//! What one end of a connection has sent and is not acknowledged: what of it is lost (RACK, RFC 8985), and how long a round
//! trip takes (RFC 6298, with Linux's least values).
//!
//! Offsets count from the connection's own first number, the SYN.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The timeout before anything was measured.
const INITIAL: Duration = Duration::from_secs(1);
/// What is added to a round trip at the least.
const LEAST_SLACK: Duration = Duration::from_millis(200);
pub(super) const LONGEST: Duration = Duration::from_secs(120);
/// So many segments that arrived ahead of one make it lost without more ado.
const REORDERING: usize = 3;

/// What became of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is on its way.
    Flying,
    /// It arrived ahead of others.
    Arrived,
    /// It is to be sent again.
    Lost,
}

/// A segment that is not acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) sent: Instant,
    pub(super) times: u32,
    pub(super) fate: Fate,
}

/// What an acknowledgement brought.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Brought {
    /// Segments of which it is new that they arrived.
    pub(super) segments: usize,
    /// The first that is not acknowledged is another one.
    pub(super) advanced: bool,
}

/// See the module's introduction.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) flights: VecDeque<Flight>,
    /// The first offset that is not acknowledged.
    pub(super) una: u32,
    smooth: Option<Duration>,
    deviation: Duration,
    least: Option<Duration>,
    /// The segment sent last of those that arrived: when, up to where, and its round trip.
    newest: Option<(Instant, u32, Duration)>,
    /// The highest that arrived.
    highest: u32,
    reorders: bool,
}

impl Sent {
    /// How long a round trip takes.
    pub(super) const fn round_trip(&self) -> Option<Duration> {
        self.smooth
    }

    /// How long to wait for an acknowledgement.
    pub(super) fn timeout(&self) -> Duration {
        self.smooth.map_or(INITIAL, |smooth| smooth + (self.deviation * 4).max(LEAST_SLACK)).min(LONGEST)
    }

    /// How many are on their way.
    pub(super) fn flying(&self) -> usize {
        self.flights.iter().filter(|flight| flight.fate == Fate::Flying).count()
    }

    pub(super) fn has_arrivals(&self) -> bool {
        self.flights.iter().any(|flight| flight.fate == Fate::Arrived)
    }

    /// Takes an acknowledgement up to `ack`, with what came ahead of that. `echoed` says when the segment was sent that it
    /// answers.
    pub(super) fn acknowledge(
        &mut self,
        ack: u32,
        blocks: &[(u32, u32)],
        echoed: Option<Instant>,
        now: Instant,
    ) -> Brought {
        let mut brought = Brought { segments: 0, advanced: ack > self.una };
        let mut sample = None;
        let mut arrived = Vec::new();
        while self.flights.front().is_some_and(|flight| flight.end <= ack) {
            let Some(flight) = self.flights.pop_front() else { break };
            if flight.fate != Fate::Arrived {
                brought.segments += 1;
                sample = sample.or((flight.times == 1).then(|| now - flight.sent));
                arrived.push(flight);
            }
        }
        for flight in &mut self.flights {
            let covered = blocks.iter().any(|&(start, end)| start <= flight.start && flight.end <= end);
            if covered && flight.fate != Fate::Arrived {
                flight.fate = Fate::Arrived;
                brought.segments += 1;
                arrived.push(flight.clone());
            }
        }
        self.una = self.una.max(ack);
        let by_echo = echoed.filter(|_| brought.advanced).map(|sent| now - sent);
        if let Some(sample) = sample.or(by_echo) {
            self.measure(sample);
        }
        for flight in &arrived {
            self.note_arrival(flight, now);
        }
        brought
    }

    fn measure(&mut self, sample: Duration) {
        self.least = Some(self.least.map_or(sample, |least| least.min(sample)));
        match self.smooth {
            None => (self.smooth, self.deviation) = (Some(sample), sample / 2),
            Some(smooth) => {
                self.deviation = (self.deviation * 3 + sample.abs_diff(smooth)) / 4;
                self.smooth = Some((smooth * 7 + sample) / 8);
            }
        }
    }

    fn note_arrival(&mut self, flight: &Flight, now: Instant) {
        let trip = now - flight.sent;
        self.reorders |= flight.times == 1 && flight.end < self.highest;
        self.highest = self.highest.max(flight.end);
        // What was sent again, and is answered sooner than anything can be, is answered for its first copy.
        if flight.times > 1 && self.least.is_some_and(|least| trip < least) {
            return;
        }
        if self.newest.is_none_or(|(sent, end, _)| (sent, end) < (flight.sent, flight.end)) {
            self.newest = Some((flight.sent, flight.end, trip));
        }
    }

    /// Marks what is lost; returns how many, and when to look again.
    pub(super) fn detect(&mut self, recovers: bool, now: Instant) -> (usize, Option<Instant>) {
        let Some((newest, up_to, trip)) = self.newest else { return (0, None) };
        let ahead = self.flights.iter().filter(|flight| flight.fate == Fate::Arrived).count();
        let patience = if !self.reorders && (recovers || ahead >= REORDERING) {
            Duration::ZERO
        } else {
            (self.least.unwrap_or_default() / 4).min(self.smooth.unwrap_or_default())
        };
        let (mut lost, mut again) = (0, None);
        let flying = self.flights.iter_mut().filter(|flight| flight.fate == Fate::Flying);
        for flight in flying.filter(|flight| (flight.sent, flight.end) < (newest, up_to)) {
            let at = flight.sent + trip + patience;
            if at <= now {
                flight.fate = Fate::Lost;
                lost += 1;
            } else {
                again = again.max(Some(at));
            }
        }
        (lost, again)
    }

    /// Nothing was acknowledged for too long: the first is lost, and all that was sent no later than what RACK waits for.
    pub(super) fn give_up(&mut self, now: Instant) {
        let trip = self.newest.map(|(_, _, trip)| trip);
        for (place, flight) in self.flights.iter_mut().enumerate() {
            let waits = trip.is_some_and(|trip| flight.sent + trip > now);
            if flight.fate == Fate::Flying && (place == 0 || !waits) {
                flight.fate = Fate::Lost;
            }
        }
    }

    /// What was taken for lost was only late.
    pub(super) fn undo(&mut self) {
        for flight in self.flights.iter_mut().filter(|flight| flight.fate == Fate::Lost) {
            flight.fate = Fate::Flying;
        }
    }
}
