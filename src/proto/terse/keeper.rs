//! What was sent in parts, kept for a while: the receiver may ask for those that are lost.
//!
//! A [`Keeper`] belongs to one session and ends with it. Bounded in packets, bytes, time, and in how often it repeats: the
//! oldest packet gives way, and no packet costs more than three times its parts. Only what authenticated may ask.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::fragment::Cut;
use super::frame::counter_low;
use super::reassembly::Missing;

/// The most packets that are kept.
const MAX_PACKETS: usize = 8;
/// The most bytes.
const MAX_BYTES: usize = 16 * 1024;
/// How often each part may be repeated, on average over its packet.
const REPEATS: u16 = 3;

/// A sealed packet that went in parts.
#[derive(Debug)]
struct Kept {
    counter: u64,
    sealed: Vec<u8>,
    cut: Cut,
    /// When it was sent, or last asked for.
    since: Instant,
    /// How many parts may yet be repeated.
    allowance: u16,
}

/// The packets of one session that went in parts.
#[derive(Debug)]
pub struct Keeper {
    tag: u8,
    lifetime: Duration,
    kept: VecDeque<Kept>,
}

impl Keeper {
    /// Makes an empty one for the session with this tag. A packet is forgotten when nobody asked for it for `lifetime`.
    #[must_use]
    pub const fn new(tag: u8, lifetime: Duration) -> Self {
        Self { tag, lifetime, kept: VecDeque::new() }
    }

    /// Keeps a packet whose parts are being sent.
    pub fn keep(&mut self, counter: u64, sealed: Vec<u8>, cut: Cut, now: Instant) {
        let allowance = REPEATS * u16::from(cut.count());
        self.kept.push_back(Kept { counter, sealed, cut, since: now, allowance });
        while self.kept.len() > MAX_PACKETS || self.bytes() > MAX_BYTES {
            self.kept.pop_front();
        }
    }

    /// Returns the datagrams that were asked for: none if the packet is not kept any more, or was repeated too often.
    pub fn answer(&mut self, missing: Missing, now: Instant) -> Vec<Vec<u8>> {
        self.handle_timeout(now);
        // Of two with the same low bits, the later.
        let named = self.kept.iter_mut().rev().find(|kept| counter_low(kept.counter) == missing.counter_low);
        let Some(kept) = named else { return Vec::new() };
        let asked = (0..kept.cut.count()).filter(|&index| missing.bitmap >> index & 1 == 1);
        let parts: Vec<_> = asked
            .take(usize::from(kept.allowance))
            .map(|index| kept.cut.part(self.tag, kept.counter, &kept.sealed, index))
            .collect();
        kept.allowance -= u16::try_from(parts.len()).expect("at most 16");
        kept.since = now;
        parts
    }

    /// Forgets what is too old.
    pub fn handle_timeout(&mut self, now: Instant) {
        let lifetime = self.lifetime;
        self.kept.retain(|kept| now.saturating_duration_since(kept.since) < lifetime);
    }

    /// Returns when something becomes too old.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.kept.iter().map(|kept| kept.since + self.lifetime).min()
    }

    /// Returns how many bytes are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.kept.iter().map(|kept| kept.sealed.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terse::frame::Datagram;

    const LIFETIME: Duration = Duration::from_secs(60);

    fn keep(keeper: &mut Keeper, counter: u64, len: usize, now: Instant) {
        keeper.keep(counter, vec![1; len], Cut::of(len, 219).unwrap(), now);
    }

    #[test]
    fn the_parts_that_were_asked_for_come_and_no_others() {
        let now = crate::testing::start();
        let mut keeper = Keeper::new(7, LIFETIME);
        keep(&mut keeper, 0x1_0002, 1000, now);
        let parts = keeper.answer(Missing { counter_low: 2, bitmap: 0b1000_0000_0001_0010 }, now);
        let places = parts.iter().map(|part| match Datagram::parse(part) {
            Ok(Datagram::Part(part)) => (part.tag, part.counter_low, part.place),
            other => panic!("{other:?}"),
        });
        let place = |index| (7, 2, crate::terse::fragment::Place::Index(index));
        assert_eq!(places.collect::<Vec<_>>(), [place(1), place(4)]);
        assert!(keeper.answer(Missing { counter_low: 3, bitmap: 1 }, now).is_empty());
    }

    #[test]
    fn repetition_time_and_memory_are_bounded() {
        let now = crate::testing::start();
        let mut keeper = Keeper::new(7, LIFETIME);
        keep(&mut keeper, 2, 1000, now);
        let repeated = (0..100).map(|_| keeper.answer(Missing { counter_low: 2, bitmap: !0 }, now).len());
        assert_eq!(repeated.sum::<usize>(), 3 * 5);
        for counter in 10..100 {
            keep(&mut keeper, counter, 3000, now);
            assert!(keeper.bytes() <= MAX_BYTES && keeper.kept.len() <= MAX_PACKETS);
        }
        assert_eq!(keeper.deadline(), Some(now + LIFETIME));
        keeper.handle_timeout(now + LIFETIME);
        assert_eq!((keeper.bytes(), keeper.deadline()), (0, None));
    }
}
