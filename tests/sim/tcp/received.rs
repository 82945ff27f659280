//! What one end of a connection has got, and when it says so: delayed acknowledgements as Linux has them.
//!
//! Offsets count from the other end's first number, the SYN.

use std::time::{Duration, Instant};

use super::segment::MAX_BLOCKS;

/// The shortest and the longest delay of an acknowledgement.
const SHORTEST: Duration = Duration::from_millis(40);
const LONGEST: Duration = Duration::from_millis(200);
/// So many segments are acknowledged at once when data begins to come, and after something came twice.
const QUICK: u32 = 16;

/// See the module's introduction.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// All before this is there; nothing is, as long as it is 0.
    pub(super) next: u32,
    /// The bytes that came in turn.
    pub(super) data: Vec<u8>,
    /// The other end has ended.
    pub(super) ended: bool,
    /// What is ahead, each with the latest that came of it, in the order in which they grew; the latest first.
    ahead: Vec<Range>,
    /// What came twice, to be told once.
    twice: Option<(u32, u32)>,
    /// What was acknowledged last.
    pub(super) told: u32,
    /// An acknowledgement is due.
    due: Option<Due>,
    quick: u32,
    delay: Option<Duration>,
    came: Option<Instant>,
    longest: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    start: u32,
    data: Vec<u8>,
    fin: bool,
}

impl Range {
    fn end(&self) -> u32 {
        self.start + length(&self.data) + u32::from(self.fin)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    AtOnce,
    At(Instant),
}

fn length(data: &[u8]) -> u32 {
    u32::try_from(data.len()).expect("a transfer is short")
}

impl Received {
    /// The other end's SYN came.
    pub(super) fn begin(&mut self) {
        self.next = self.next.max(1);
        self.due = Some(Due::AtOnce);
    }

    /// Data, or an end, came. `rtt` is how long a round trip takes, `timeout` how long the other end waits at least.
    pub(super) fn push(
        &mut self,
        start: u32,
        data: &[u8],
        fin: bool,
        (rtt, timeout): (Option<Duration>, Duration),
        now: Instant,
    ) {
        let range = Range { start, data: data.to_vec(), fin };
        if range.end() <= self.next {
            self.twice = Some((start, range.end()));
            self.quick = QUICK;
            self.due = Some(Due::AtOnce);
            return;
        }
        if start > self.next {
            self.keep(range);
            self.due = Some(Due::AtOnce);
            return;
        }
        let filled = !self.ahead.is_empty();
        self.longest = self.longest.max(length(data));
        self.take(&range);
        while let Some(at) = self.ahead.iter().position(|range| range.start <= self.next) {
            let range = self.ahead.remove(at);
            self.take(&range);
        }
        self.adapt(timeout, now);
        if filled || self.quick > 0 || self.next - self.told > self.longest {
            self.due = Some(Due::AtOnce);
        } else if self.due.is_none() {
            let most = rtt.map_or(LONGEST, |rtt| (rtt / 8).max(SHORTEST)).min(LONGEST);
            self.due = Some(Due::At(now + self.delay.unwrap_or(SHORTEST).min(most)));
        }
    }

    fn take(&mut self, range: &Range) {
        let known = usize::try_from(self.next - range.start).expect("a transfer is short");
        self.data.extend(range.data.get(known..).unwrap_or_default());
        self.next = self.next.max(range.end());
        self.ended |= range.fin;
    }

    /// Joins what is ahead to what it adjoins.
    fn keep(&mut self, mut range: Range) {
        if let Some(known) =
            self.ahead.iter().find(|known| known.start <= range.start && range.end() <= known.end())
        {
            self.twice = Some((range.start, range.end()));
            range = known.clone();
        }
        self.ahead.retain(|known| !(range.start <= known.start && known.end() <= range.end()));
        while let Some(at) = self.ahead.iter().position(|known| known.end() == range.start) {
            let before = self.ahead.remove(at);
            range = Range { start: before.start, data: [before.data, range.data].concat(), fin: range.fin };
        }
        while let Some(at) = self.ahead.iter().position(|known| known.start == range.end()) {
            let after = self.ahead.remove(at);
            range = Range { start: range.start, data: [range.data, after.data].concat(), fin: after.fin };
        }
        self.ahead.insert(0, range);
    }

    /// The delay follows the pace at which data comes.
    fn adapt(&mut self, timeout: Duration, now: Instant) {
        let since = self.came.replace(now).map(|came| now - came);
        let Some((delay, since)) = self.delay.zip(since) else {
            (self.delay, self.quick) = (Some(SHORTEST), QUICK);
            return;
        };
        self.delay = Some(if since <= SHORTEST / 2 {
            delay / 2 + SHORTEST / 2
        } else if since < delay {
            (delay / 2 + since).min(timeout)
        } else {
            delay
        });
        if since > timeout {
            self.quick = QUICK;
        }
    }

    /// Returns when an acknowledgement is due that waits.
    pub(super) fn due_at(&self) -> Option<Instant> {
        match self.due {
            Some(Due::At(at)) => Some(at),
            _ => None,
        }
    }

    /// Returns whether an acknowledgement is due. One that waited for its successor in vain makes the next wait longer.
    pub(super) fn is_due(&mut self, timeout: Duration, now: Instant) -> bool {
        if let Some(Due::At(at)) = self.due
            && at <= now
        {
            self.delay = self.delay.map(|delay| (delay * 2).min(timeout));
            self.due = Some(Due::AtOnce);
        }
        self.due == Some(Due::AtOnce)
    }

    /// A segment leaves that acknowledges; returns what it says of what is ahead, the latest first.
    pub(super) fn tell(&mut self) -> Vec<(u32, u32)> {
        self.due = None;
        self.told = self.next;
        self.quick = self.quick.saturating_sub(1);
        let ahead = self.ahead.iter().map(|range| (range.start, range.end()));
        self.twice.take().into_iter().chain(ahead).take(MAX_BLOCKS).collect()
    }
}
