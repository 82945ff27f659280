//! One end of a TCP connection, in simulated time, that behaves as Linux does: what a transfer costs on the air hangs on
//! that.
//!
//! It has what decides how many segments and acknowledgements there are: an initial window of ten segments, timestamps,
//! selective acknowledgements with duplicates reported, losses found by RACK and probed for by a tail loss probe (RFC 8985),
//! proportional rate reduction (RFC 6937), spurious retransmissions recognised by their timestamps (RFC 3522), retransmission
//! timeouts from 200 ms over a round trip, and delayed acknowledgements of 40 to 200 ms after the first sixteen. What it leaves
//! out does not matter for some kilobytes: CUBIC's growth of the window (it is Reno's here), pacing, and flow control.
//!
//! Life-cycle: [`Tcp::connect`] or [`Tcp::listen`] → segments in, segments and timeouts out → [`Tcp::is_over`] once both
//! ends have ended and know it. It never gives up.

mod received;
pub mod segment;
mod sent;

use std::time::{Duration, Instant};

use self::received::Received;
use self::segment::Segment;
use self::sent::{Brought, Fate, Flight, Sent};

/// Segments that may leave before anything is known.
const INITIAL_WINDOW: usize = 10;
/// IPv4 and TCP headers without options.
const HEADERS: u16 = 40;
/// Timestamps and what pads them.
const STAMPS: usize = 12;
/// The least by which a probe of the tail comes before the timeout, and what is added for an acknowledgement that is delayed.
const TICKS: Duration = Duration::from_millis(2);
const DELAYED: Duration = Duration::from_millis(200);
/// A probe before a round trip is known.
const UNKNOWN: Duration = Duration::from_secs(1);
/// Windows as they are written, the first without a scale: what a host has room for far exceeds a transfer.
const FIRST_WINDOW: u16 = 64240;
const WINDOW: u16 = 502;

/// How it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Losses are repaired, until all up to here is acknowledged.
    Recovery {
        until: u32,
        delivered: usize,
        sent: usize,
        before: usize,
    },
    /// A timeout passed, likewise.
    Loss {
        until: u32,
    },
}

/// See the module's introduction.
#[derive(Debug)]
pub struct Tcp {
    /// The number of its SYN, and of the other end's.
    first: u32,
    theirs: Option<u32>,
    listens: bool,
    mss: u16,
    stream: Vec<u8>,
    /// It ends when it has got so many bytes; whoever sends ends when all is written.
    wanted: usize,
    ended: bool,
    sent: Sent,
    /// The first offset that never left.
    next: u32,
    received: Received,
    born: Instant,
    echo: u32,
    state: State,
    window: usize,
    threshold: usize,
    /// What arrived towards a window that is larger by one.
    credit: usize,
    /// The window and threshold before the last reduction, and when the first segment was sent again.
    before: Option<(usize, usize, u32)>,
    backoff: u32,
    rto_at: Option<Instant>,
    probe_at: Option<Instant>,
    reorder_at: Option<Instant>,
    /// A probe is out; there is one until everything up to here is acknowledged.
    probed: Option<u32>,
    probe_due: bool,
}

impl Tcp {
    /// Connects, to send a stream and end. The path carries packets of `mtu` bytes.
    #[must_use]
    pub fn connect(stream: Vec<u8>, mtu: u16, first: u32, now: Instant) -> Self {
        Self::new(stream, 0, false, mtu, first, now)
    }

    /// Waits for somebody to connect, and ends when it has got so many bytes.
    #[must_use]
    pub fn listen(wanted: usize, mtu: u16, first: u32, now: Instant) -> Self {
        Self::new(Vec::new(), wanted, true, mtu, first, now)
    }

    fn new(stream: Vec<u8>, wanted: usize, listens: bool, mtu: u16, first: u32, now: Instant) -> Self {
        Self {
            first,
            theirs: None,
            listens,
            mss: mtu - HEADERS,
            stream,
            wanted,
            ended: false,
            sent: Sent::default(),
            next: 0,
            received: Received::default(),
            born: now,
            echo: 0,
            state: State::Open,
            window: INITIAL_WINDOW,
            threshold: usize::MAX,
            credit: 0,
            before: None,
            backoff: 0,
            rto_at: None,
            probe_at: None,
            reorder_at: None,
            probed: None,
            probe_due: false,
        }
    }

    /// What it has got, in turn.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received.data
    }

    /// Whether both ends have ended, and this one has nothing more to say.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.received.ended && self.sent.una == self.last() && self.received.told == self.received.next
    }

    /// The offset after its end.
    fn last(&self) -> u32 {
        2 + u32::try_from(self.stream.len()).expect("a transfer is short")
    }

    /// Takes a segment.
    pub fn handle(&mut self, segment: &Segment, now: Instant) {
        if self.theirs.is_none() {
            if !segment.syn {
                return;
            }
            self.theirs = Some(segment.sequence);
            self.mss = self.mss.min(segment.mss);
        }
        let start = segment.sequence.wrapping_sub(self.theirs.unwrap_or_default());
        if start <= self.received.told {
            self.echo = segment.stamp;
        }
        if let Some(acknowledgement) = segment.acknowledgement {
            self.acknowledged(acknowledgement.wrapping_sub(self.first), segment, now);
        }
        if segment.syn {
            self.received.begin();
        } else if segment.length() > 0 {
            let times = (self.sent.round_trip(), self.sent.timeout());
            self.received.push(start, &segment.data, segment.fin, times, now);
        }
        self.ended |= self.listens && self.received.data.len() >= self.wanted;
    }

    fn acknowledged(&mut self, ack: u32, segment: &Segment, now: Instant) {
        let offset = |number: u32| number.wrapping_sub(self.first);
        let blocks: Vec<_> =
            segment.blocks.iter().map(|&(start, end)| (offset(start), offset(end))).collect();
        let echoed = self.born + Duration::from_millis(u64::from(segment.echo));
        let brought = self.sent.acknowledge(ack, &blocks, Some(echoed), now);
        if self.probed.is_some_and(|probed| ack >= probed) {
            self.probed = None;
        }
        if brought.advanced {
            self.backoff = 0;
            self.undo(segment.echo);
        }
        let recovers = self.state != State::Open;
        let (lost, again) = self.sent.detect(recovers, now);
        self.reorder_at = again;
        self.steer(brought, lost);
        if brought.advanced {
            self.arm(now);
        }
    }

    /// An acknowledgement that answers the first copy of what was sent again says that nothing was lost.
    fn undo(&mut self, echo: u32) {
        let Some((window, threshold, again)) = self.before else { return };
        if self.state == State::Open || again == u32::MAX || echo >= again {
            return;
        }
        self.sent.undo();
        self.window = self.window.max(window);
        self.threshold = threshold;
        self.state = State::Open;
        self.before = None;
    }

    /// The window follows what arrived and what is lost.
    fn steer(&mut self, brought: Brought, lost: usize) {
        match self.state {
            State::Open if lost > 0 => {
                let before = self.window;
                self.reduce();
                self.state = State::Recovery { until: self.next, delivered: 0, sent: 0, before };
                self.pace_recovery(brought.segments.max(1));
            }
            State::Recovery { until, .. } | State::Loss { until } if self.sent.una >= until => {
                if matches!(self.state, State::Recovery { .. }) {
                    self.window = self.threshold;
                }
                self.state = State::Open;
                self.before = None;
            }
            State::Recovery { .. } => self.pace_recovery(brought.segments),
            State::Open | State::Loss { .. } => self.grow(brought.segments),
        }
    }

    fn grow(&mut self, segments: usize) {
        if self.window < self.threshold {
            self.window = (self.window + segments).min(self.threshold);
            return;
        }
        self.credit += segments;
        if self.credit >= self.window {
            self.credit = 0;
            self.window += 1;
        }
    }

    /// Remembers what was, and takes three tenths off, as CUBIC does.
    fn reduce(&mut self) {
        self.before = Some((self.window, self.threshold, u32::MAX));
        self.threshold = (self.window * 7 / 10).max(2);
    }

    fn pace_recovery(&mut self, arrived: usize) {
        let flying = self.sent.flying();
        let State::Recovery { delivered, sent, before, .. } = &mut self.state else { return };
        *delivered += arrived;
        let may = if flying > self.threshold {
            (self.threshold * *delivered).div_ceil(*before).saturating_sub(*sent)
        } else {
            let may = delivered.saturating_sub(*sent).max(arrived) + 1;
            may.min(self.threshold - flying)
        };
        self.window = flying + may.max(usize::from(*sent == 0));
    }

    /// Returns when something is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = [self.rto_at, self.probe_at, self.reorder_at, self.received.due_at()];
        timers.into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let is_due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if is_due(&mut self.reorder_at) {
            let (lost, again) = self.sent.detect(self.state != State::Open, now);
            self.reorder_at = again;
            self.steer(Brought::default(), lost);
        }
        if is_due(&mut self.probe_at) {
            self.probe_due = true;
        } else if is_due(&mut self.rto_at) {
            self.time_out(now);
        }
    }

    fn time_out(&mut self, now: Instant) {
        let began = self.sent.una > 0;
        if began && self.state == State::Open {
            self.reduce();
        }
        self.sent.give_up(now);
        // Who had to be asked to connect again and again is spoken to carefully.
        self.window = if began || self.backoff > 0 { self.sent.flying() + 1 } else { INITIAL_WINDOW };
        self.state = if began { State::Loss { until: self.next } } else { State::Open };
        self.backoff += 1;
        self.probed = None;
        self.arm(now);
    }

    /// Sets the timeout, and the probe before it.
    fn arm(&mut self, now: Instant) {
        (self.rto_at, self.probe_at) = (None, None);
        if self.sent.flights.is_empty() {
            return;
        }
        let timeout = (self.sent.timeout() * 2_u32.pow(self.backoff.min(7))).min(sent::LONGEST);
        self.rto_at = Some(now + timeout);
        let quiet = self.state == State::Open && !self.sent.has_arrivals() && self.backoff == 0;
        if !quiet || self.probed.is_some() || self.sent.una == 0 {
            return;
        }
        let slack = if self.sent.flights.len() == 1 { DELAYED } else { TICKS };
        let probe = self.sent.round_trip().map_or(UNKNOWN, |trip| trip * 2 + slack);
        self.probe_at = Some(now + probe.min(timeout));
    }

    /// Returns a segment that is to leave; to be called until there is none.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Segment> {
        if self.next == 0 {
            return (!self.listens || self.theirs.is_some()).then(|| self.send(0, 1, now));
        }
        if std::mem::take(&mut self.probe_due) {
            return Some(self.probe(now));
        }
        let lost = self.sent.flights.iter().find(|flight| flight.fate == Fate::Lost);
        let lost = lost.map(|flight| (flight.start, flight.end));
        let has_room = self.sent.flying() < self.window;
        if let Some((start, end)) = lost.filter(|_| has_room) {
            return Some(self.send(start, end, now));
        }
        if has_room && let Some(segment) = self.send_more(now) {
            return Some(segment);
        }
        if self.received.is_due(self.sent.timeout(), now) {
            return Some(self.emit(self.next, self.next, now));
        }
        // All is written: what has left already leaves the end to go alone.
        if self.sent.una > 0 && !self.listens && !std::mem::replace(&mut self.ended, true) {
            return self.poll_transmit(now);
        }
        None
    }

    /// Sends what never left, if there is any and the other end is there.
    fn send_more(&mut self, now: Instant) -> Option<Segment> {
        let (start, end) = (self.next, self.last() - 1);
        if self.sent.una == 0 || start > end {
            return None;
        }
        let most = u32::from(self.mss) - u32::try_from(STAMPS).expect("it is twelve");
        let stop = end.min(start + most);
        let stop = if stop == end && self.ended { end + 1 } else { stop };
        (stop > start).then(|| self.send(start, stop, now))
    }

    /// Asks for a sign of life: by what never left, or by the last again.
    fn probe(&mut self, now: Instant) -> Segment {
        self.probed = Some(self.next);
        if let Some(segment) = self.send_more(now) {
            self.probed = Some(self.next);
            return segment;
        }
        let last = self.sent.flights.back().map(|flight| (flight.start, flight.end));
        let (start, end) = last.unwrap_or((self.next, self.next));
        self.send(start, end, now)
    }

    fn send(&mut self, start: u32, end: u32, now: Instant) -> Segment {
        match self.sent.flights.iter_mut().find(|flight| flight.start == start) {
            Some(flight) => {
                (flight.sent, flight.fate) = (now, Fate::Flying);
                flight.times += 1;
                let stamp = self.stamp(now);
                if let Some((_, _, again)) = &mut self.before {
                    *again = stamp.min(*again);
                }
            }
            None => {
                self.sent.flights.push_back(Flight { start, end, sent: now, times: 1, fate: Fate::Flying });
            }
        }
        self.next = self.next.max(end);
        if let State::Recovery { sent, .. } = &mut self.state {
            *sent += 1;
        }
        self.arm(now);
        self.emit(start, end, now)
    }

    fn stamp(&self, now: Instant) -> u32 {
        u32::try_from((now - self.born).as_millis()).expect("a transfer is short")
    }

    /// Builds the segment of these offsets, which acknowledges what has come.
    fn emit(&mut self, start: u32, end: u32, now: Instant) -> Segment {
        let data = self.last() - 1;
        let from = start.clamp(1, data) - 1;
        let to = end.clamp(1, data) - 1;
        let told = self.received.tell();
        let number = |offset: u32| self.theirs.map(|theirs| theirs.wrapping_add(offset));
        Segment {
            syn: start == 0 && end > 0,
            fin: start < end && end > data,
            push: end >= data && from < to,
            sequence: self.first.wrapping_add(start),
            acknowledgement: number(self.received.next),
            window: if start == 0 { FIRST_WINDOW } else { WINDOW },
            mss: if start == 0 { self.mss } else { 0 },
            stamp: self.stamp(now),
            echo: self.echo,
            blocks: told
                .into_iter()
                .filter_map(|(start, end)| Some((number(start)?, number(end)?)))
                .collect(),
            data: self.stream[from as usize..to as usize].to_vec(),
        }
    }
}
