//! How many packets the radio holds, so that its queue stays short (latency is queue times airtime) and yet never runs
//! empty while somebody waits.
//!
//! Stock firmware never says that a packet has gone out (unless asked for an acknowledgement, which costs a frame of air
//! and retransmission timers). What there is: the queue status after a packet, with the number of free places; the same in
//! answer to a heartbeat, which is therefore a *question*; and arithmetic. The queue does not count the packet that is
//! on the air. So of the packets that a status covers, those beyond the ones still queued have started, and the last of
//! them leaves at most its airtime later.
//!
//! A question is put only when the estimate says that a packet should have started and there is no room: somebody may
//! wait. The firmware keeps two queue statuses and drops the rest, so none is ever waited for: a question that stays
//! unanswered times out, and the estimate stands in.
//!
//! Invariant: [`Flow::room`] and the packets held together never exceed [`DEPTH`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::meshtastic::message::QueueStatus;

/// How many packets may be in the radio: one on the air and one that waits behind it, for which the medium access of the
/// firmware leaves time enough to bring the next.
pub(super) const DEPTH: usize = 2;
/// An answer that takes longer will not come.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest time between two questions: some polls of the client API.
const MIN_INTERVAL: Duration = Duration::from_millis(20);
/// The longest, at presets whose packets take many seconds.
const MAX_INTERVAL: Duration = Duration::from_secs(1);
/// Without an answer a packet counts as gone this many mean access times after its airtime: the contention window grows
/// with the channel's use, to eight times its length on an idle channel at 60 %.
const SLACK: u32 = 16;

/// What the estimate knows of the air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tempo {
    /// The mean wait for the medium.
    pub(super) access: Duration,
    /// The airtime of the longest packet.
    pub(super) longest: Duration,
}

/// A packet in the radio.
#[derive(Debug)]
struct Held {
    id: u32,
    /// Its place among everything written.
    serial: u64,
    airtime: Duration,
    /// Since when it waits for the medium, as far as known: it came to the front, or was handed over.
    waits_since: Instant,
    /// On the air, and off it at this time at the latest.
    until: Option<Instant>,
}

/// A question under way.
#[derive(Debug)]
struct Question {
    serial: u64,
    asked: Instant,
}

/// The account of what the radio holds.
#[derive(Debug)]
pub(super) struct Flow {
    tempo: Tempo,
    held: VecDeque<Held>,
    /// Packets of others in the radio's queue (it repeats, it has its own), and until when to believe it.
    foreign: Option<(usize, Instant)>,
    serial: u64,
    question: Option<Question>,
    last_question: Option<Instant>,
    /// The radio said that it takes nothing before this.
    stopped_until: Option<Instant>,
    /// As last told: free places and all places.
    last_status: Option<(u32, u32)>,
}

impl Flow {
    pub(super) const fn new(tempo: Tempo) -> Self {
        Self {
            tempo,
            held: VecDeque::new(),
            foreign: None,
            serial: 0,
            question: None,
            last_question: None,
            stopped_until: None,
            last_status: None,
        }
    }

    /// Takes another modem setting.
    pub(super) const fn set_tempo(&mut self, tempo: Tempo) {
        self.tempo = tempo;
    }

    /// Free places and all places of the radio's queue, as last told.
    pub(super) const fn queue(&self) -> Option<(u32, u32)> {
        self.last_status
    }

    /// Returns how many more packets the radio should be handed.
    pub(super) fn room(&self) -> usize {
        if self.stopped_until.is_some() {
            return 0;
        }
        let foreign = self.foreign.map_or(0, |(count, _)| count);
        DEPTH.saturating_sub(self.held.len() + foreign)
    }

    /// Returns until when the radio takes nothing, if it said so.
    pub(super) const fn stopped_until(&self) -> Option<Instant> {
        self.stopped_until
    }

    /// Takes nothing more for the radio before `until`.
    pub(super) const fn stop_until(&mut self, until: Instant) {
        self.stopped_until = Some(until);
    }

    /// Notes a packet that was written to the radio.
    pub(super) fn handle_packet(&mut self, id: u32, airtime: Duration, now: Instant) {
        self.serial += 1;
        self.held.push_back(Held { id, serial: self.serial, airtime, waits_since: now, until: None });
    }

    /// Notes a question that was written to the radio.
    pub(super) fn handle_question(&mut self, now: Instant) {
        self.serial += 1;
        self.last_question = Some(now);
        self.question = Some(Question { serial: self.serial, asked: now });
    }

    /// The radio refused this packet: it does not hold it.
    pub(super) fn handle_refusal(&mut self, id: u32) {
        self.held.retain(|held| held.id != id);
    }

    /// Takes what the radio says of its queue.
    pub(super) fn handle_status(&mut self, status: QueueStatus, now: Instant) {
        self.last_status = Some((status.free, status.maxlen));
        let covered = match status.mesh_packet_id {
            0 => self.question.take().map_or(0, |question| question.serial),
            id => self.held.iter().find(|held| held.id == id).map_or(0, |held| held.serial),
        };
        let queued = usize::try_from(status.maxlen.saturating_sub(status.free)).unwrap_or(usize::MAX);
        let waiting = self.held.iter().filter(|held| held.serial <= covered && held.until.is_none()).count();
        for _ in queued..waiting {
            self.start_next(now);
        }
        let ours = self.held.iter().filter(|held| held.until.is_none()).count();
        let foreign = queued.saturating_sub(ours).min(DEPTH);
        let each = self.tempo.longest + self.tempo.access;
        let believed = each * u32::try_from(foreign).unwrap_or(u32::MAX);
        self.foreign = (foreign > 0).then(|| (foreign, now + believed));
    }

    /// The first packet that waits has started by now; what was on the air before it has left.
    fn start_next(&mut self, now: Instant) {
        while self.held.front().is_some_and(|held| held.until.is_some()) {
            self.pop_front(now);
        }
        if let Some(first) = self.held.front_mut() {
            first.until = Some(now + first.airtime);
        }
    }

    /// Forgets what has left by `now`. Returns whether a question should be put.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.stopped_until.is_some_and(|until| until <= now) {
            self.stopped_until = None;
        }
        if self.foreign.is_some_and(|(_, until)| until <= now) {
            self.foreign = None;
        }
        while let Some(until) = self.held.front().and_then(|held| held.until).filter(|until| *until <= now) {
            self.pop_front(until);
        }
        if self.question.as_ref().is_some_and(|question| question.asked + ANSWER_TIMEOUT <= now) {
            self.question = None;
            self.expire(now);
        } else if self.room() > 0 {
            self.expire(now);
        }
        self.question_due().is_some_and(|due| due <= now)
    }

    /// Lets the estimate stand in for an answer.
    fn expire(&mut self, now: Instant) {
        while let Some(gone) = self.estimate_gone().filter(|gone| *gone <= now) {
            self.pop_front(gone);
        }
    }

    /// The packet at the front has left by `gone`: the next one waits for the medium from then on.
    fn pop_front(&mut self, gone: Instant) {
        self.held.pop_front();
        if let Some(next) = self.held.front_mut() {
            next.waits_since = next.waits_since.max(gone);
        }
    }

    /// When the packet at the front has left by the estimate, with slack.
    fn estimate_gone(&self) -> Option<Instant> {
        let front = self.held.front()?;
        Some(front.until.unwrap_or(front.waits_since + front.airtime + self.tempo.access * SLACK))
    }

    /// When the first packet that waits should have started.
    fn expected_start(&self) -> Option<Instant> {
        let mut clear = None;
        for held in &self.held {
            match held.until {
                Some(until) => clear = Some(until),
                None => {
                    return Some(
                        clear.unwrap_or(held.waits_since).max(held.waits_since) + self.tempo.access / 2,
                    );
                }
            }
        }
        None
    }

    fn question_due(&self) -> Option<Instant> {
        if self.question.is_some() || self.stopped_until.is_some() || self.room() > 0 {
            return None;
        }
        let interval = (self.tempo.longest / 4).clamp(MIN_INTERVAL, MAX_INTERVAL);
        let earliest = self.last_question.map(|last| last + interval);
        let start = match (self.expected_start(), self.foreign) {
            (Some(start), _) => start,
            // Only others' packets wait: look after one of the longest could have gone.
            (None, Some((_, until))) => until.checked_sub(self.tempo.longest / 2).unwrap_or(until),
            (None, None) => return None,
        };
        Some(earliest.map_or(start, |earliest| start.max(earliest)))
    }

    /// Returns when [`Self::handle_timeout`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let answer = self.question.as_ref().map(|question| question.asked + ANSWER_TIMEOUT);
        let foreign = self.foreign.map(|(_, until)| until);
        let off_air = self.held.front().and_then(|held| held.until);
        let estimate = if self.room() > 0 { self.estimate_gone() } else { None };
        [self.stopped_until, answer, foreign, off_air, estimate, self.question_due()]
            .into_iter()
            .flatten()
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::epoch;
    use super::*;

    const AIR: Duration = Duration::from_millis(100);
    const TEMPO: Tempo = Tempo { access: Duration::from_millis(28), longest: AIR };

    fn flow(packets: u32, now: Instant) -> Flow {
        let mut flow = Flow::new(TEMPO);
        for id in 1..=packets {
            flow.handle_packet(id, AIR, now);
        }
        flow
    }

    fn status(used: u32, id: u32) -> QueueStatus {
        QueueStatus { res: 0, free: 16 - used, maxlen: 16, mesh_packet_id: id }
    }

    #[test]
    fn two_packets_fill_the_radio() {
        let now = epoch();
        assert_eq!(flow(0, now).room(), 2);
        assert_eq!(flow(1, now).room(), 1);
        assert_eq!(flow(2, now).room(), 0);
    }

    #[test]
    fn a_started_packet_makes_room_when_its_airtime_is_over() {
        let now = epoch();
        let mut flow = flow(2, now);
        flow.handle_status(status(1, 2), now);
        assert_eq!(flow.room(), 0, "one on the air, one behind it");
        flow.handle_timeout(now + AIR);
        assert_eq!(flow.room(), 1);
    }

    #[test]
    fn a_full_radio_is_asked_once_a_packet_should_have_started() {
        let now = epoch();
        let mut flow = flow(2, now);
        let due = flow.poll_timeout().unwrap();
        assert_eq!(due, now + TEMPO.access / 2);
        assert!(flow.handle_timeout(due));
        flow.handle_question(due);
        assert!(!flow.handle_timeout(due + MIN_INTERVAL * 3), "one question at a time");
        flow.handle_status(status(0, 0), due + MIN_INTERVAL * 3);
        assert_eq!(flow.room(), 1, "the second is on the air, the first gone");
    }

    #[test]
    fn a_radio_with_room_is_not_asked_and_falls_silent() {
        let now = epoch();
        let mut flow = flow(1, now);
        while let Some(at) = flow.poll_timeout() {
            assert!(!flow.handle_timeout(at));
        }
        assert_eq!(flow.room(), 2);
    }

    #[test]
    fn a_status_does_not_cover_what_was_written_after_its_question() {
        let now = epoch();
        let mut flow = flow(1, now);
        flow.handle_question(now);
        flow.handle_packet(2, AIR, now);
        flow.handle_status(status(0, 0), now);
        assert_eq!(flow.room(), 0, "the second was not there yet when the radio counted none");
    }

    #[test]
    fn an_unanswered_question_lets_the_estimate_stand_in() {
        let now = epoch();
        let mut flow = flow(2, now);
        let due = flow.poll_timeout().unwrap();
        flow.handle_timeout(due);
        flow.handle_question(due);
        flow.handle_timeout(due + ANSWER_TIMEOUT);
        assert_eq!(flow.room(), 2);
    }

    #[test]
    fn packets_that_the_radio_repeats_for_others_take_room() {
        let now = epoch();
        let mut flow = flow(0, now);
        flow.handle_status(status(5, 0), now);
        assert_eq!(flow.room(), 0);
        let due = flow.poll_timeout().unwrap();
        assert!(flow.handle_timeout(due), "and it is asked again");
    }

    #[test]
    fn a_hostile_status_neither_panics_nor_makes_room() {
        let now = epoch();
        let mut flow = flow(2, now);
        flow.handle_status(QueueStatus { res: -1, free: u32::MAX, maxlen: 0, mesh_packet_id: 9 }, now);
        flow.handle_status(QueueStatus { res: 0, free: 0, maxlen: u32::MAX, mesh_packet_id: 0 }, now);
        assert_eq!(flow.room(), 0);
    }
}
