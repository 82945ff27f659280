//! When to write something only to be served: fillers that keep the radio polling fast, the heartbeat that keeps the
//! connection, and the silence after which the radio counts as gone.
//!
//! The firmware looks at a client every 5 ms if it sent any byte in the last 2 s, else every 250 ms, in both directions;
//! up to four such waits are in a round trip. A filler byte costs no air, but a wakeup on both sides, so it is sent only
//! while traffic is expected: for some round trips after the last datagram. An idle link has one timer, the heartbeat.

use std::time::{Duration, Instant};

/// A filler goes out this long after the last byte: the firmware's 2 s, less a slow line and a late timer.
const FILLER_INTERVAL: Duration = Duration::from_millis(1700);
/// The firmware drops a client that is silent for 15 min; the official client sends as often as this.
const HEARTBEAT: Duration = Duration::from_secs(300);
/// The firmware answers within 250 ms; behind a slow line, a busy device or a lossy Wi-Fi within some seconds.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(10);
/// A packet whose queue status has not come (the firmware keeps only two) is followed by a question after this.
const PROBE_AFTER: Duration = Duration::from_secs(4);
/// Traffic is expected for at least this long after a datagram.
const MIN_EXPECT: Duration = Duration::from_secs(3);
/// And at most: after that a filler per 2 s costs more than a poll or two.
const MAX_EXPECT: Duration = Duration::from_secs(30);

/// The times of one connection.
#[derive(Debug)]
pub(super) struct Keepalive {
    /// How long after a datagram another one is expected.
    expect: Duration,
    last_byte: Instant,
    last_message: Instant,
    expect_until: Option<Instant>,
    /// Since when something that demands an answer is without one.
    waiting_since: Option<Instant>,
    /// What is without an answer includes a question, which is always answered.
    asked: bool,
}

/// What is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// A byte that is no message.
    Filler,
    /// A heartbeat.
    Heartbeat,
    /// Nothing any more: the radio is gone.
    Dead,
}

impl Keepalive {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            expect: MIN_EXPECT,
            last_byte: now,
            last_message: now,
            expect_until: None,
            waiting_since: None,
            asked: false,
        }
    }

    /// Sets how long traffic is expected after a datagram.
    pub(super) fn set_expect(&mut self, expect: Duration) {
        self.expect = expect.clamp(MIN_EXPECT, MAX_EXPECT);
    }

    /// A datagram came or went: more is expected.
    pub(super) fn handle_traffic(&mut self, now: Instant) {
        self.expect_until = Some(now + self.expect);
    }

    /// Fast polling is wanted until `until`, as while the configuration is read.
    pub(super) const fn expect_until(&mut self, until: Instant) {
        self.expect_until = Some(until);
    }

    /// Bytes that are no message were written.
    pub(super) const fn handle_filler(&mut self, now: Instant) {
        self.last_byte = now;
    }

    /// A message was written; a `question` is one that is always answered.
    pub(super) fn handle_written(&mut self, now: Instant, question: bool) {
        (self.last_byte, self.last_message) = (now, now);
        self.waiting_since.get_or_insert(now);
        self.asked |= question;
    }

    /// A message was received: the radio is there.
    pub(super) const fn handle_received(&mut self) {
        self.waiting_since = None;
        self.asked = false;
    }

    /// Returns what is due by `now`; the caller writes it and says so.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        if self.expect_until.is_some_and(|until| until <= now) {
            self.expect_until = None;
        }
        if self.asked && self.waiting_since.is_some_and(|since| since + DEAD_AFTER <= now) {
            return Some(Due::Dead);
        }
        let (at, due) = self.next();
        (at <= now).then_some(due)
    }

    fn next(&self) -> (Instant, Due) {
        let filler = self.last_byte + FILLER_INTERVAL;
        let filler = self.expect_until.filter(|until| filler < *until).map(|_| (filler, Due::Filler));
        let dead = self.waiting_since.map(|since| {
            if self.asked { (since + DEAD_AFTER, Due::Dead) } else { (since + PROBE_AFTER, Due::Heartbeat) }
        });
        let heartbeat = (self.last_message + HEARTBEAT, Due::Heartbeat);
        [dead, filler]
            .into_iter()
            .flatten()
            .fold(heartbeat, |first, next| if next.0 < first.0 { next } else { first })
    }

    /// Returns when [`Self::handle_timeout`] must be called, and why.
    pub(super) fn poll_timeout(&self) -> (Instant, &'static str) {
        let (at, due) = self.next();
        let why = match due {
            Due::Filler => "radio filler",
            Due::Heartbeat => "radio heartbeat",
            Due::Dead => "radio answer",
        };
        (at, why)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::epoch;
    use super::*;

    #[test]
    fn an_idle_link_wakes_for_its_heartbeat_alone() {
        let now = epoch();
        let keepalive = Keepalive::new(now);
        assert_eq!(keepalive.poll_timeout(), (now + HEARTBEAT, "radio heartbeat"));
    }

    #[test]
    fn fillers_keep_the_radio_polling_while_traffic_is_expected_and_no_longer() {
        let start = epoch();
        let mut keepalive = Keepalive::new(start);
        keepalive.set_expect(Duration::from_secs(7));
        keepalive.handle_traffic(start);
        let mut fillers = 0;
        loop {
            let (at, why) = keepalive.poll_timeout();
            if why != "radio filler" {
                break;
            }
            assert_eq!(keepalive.handle_timeout(at), Some(Due::Filler));
            assert!(at < start + Duration::from_secs(7));
            keepalive.handle_filler(at);
            fillers += 1;
        }
        assert_eq!(fillers, 4);
    }

    #[test]
    fn a_radio_that_answers_nothing_is_dead() {
        let now = epoch();
        let mut keepalive = Keepalive::new(now);
        keepalive.handle_written(now, false);
        assert_eq!(keepalive.handle_timeout(now + PROBE_AFTER), Some(Due::Heartbeat), "it is asked first");
        keepalive.handle_written(now + PROBE_AFTER, true);
        assert_eq!(keepalive.handle_timeout(now + DEAD_AFTER), Some(Due::Dead));
        keepalive.handle_received();
        assert_eq!(keepalive.handle_timeout(now + DEAD_AFTER), None);
    }
}
