//! One incomplete packet.

use std::time::{Duration, Instant};

use crate::terse::fragment::{Part, Place, xor};

/// How many questions in a row may bring nothing.
const MAX_FRUITLESS: u8 = 3;
/// How many questions there are for one packet in all.
const MAX_ASKS: u8 = 6;

/// What came of a packet so far. All chunks but the last have one length; the last is shorter by less than their number.
#[derive(Debug)]
pub(super) struct Packet {
    chunks: Vec<Option<Vec<u8>>>,
    /// The XOR of all chunks, and by how much the last is shorter.
    parity: Option<(usize, Vec<u8>)>,
    /// When the last part that was of use came.
    heard: Instant,
    ask_at: Instant,
    asks: u8,
    fruitless: u8,
    /// The last of the parts that are under way, as far as is known.
    last_awaited: usize,
}

impl Packet {
    /// Makes one without parts, in the shape that a part has.
    pub(super) fn new(part: &Part<'_>, now: Instant) -> Self {
        Self {
            chunks: vec![None; usize::from(part.count)],
            parity: None,
            heard: now,
            ask_at: now,
            asks: 0,
            fruitless: 0,
            last_awaited: usize::from(part.count) - 1,
        }
    }

    /// Adds a part; returns whether it was of use.
    pub(super) fn add(&mut self, part: &Part<'_>, silence: Duration, now: Instant) -> bool {
        if usize::from(part.count) != self.chunks.len() || !self.agrees(part) {
            return false;
        }
        let mut is_last = false;
        match part.place {
            Place::Index(index) => {
                let index = usize::from(index);
                self.chunks[index] = Some(part.chunk.to_vec());
                is_last = index == self.last_awaited;
            }
            Place::Parity { shortfall } => {
                self.parity = Some((usize::from(shortfall), part.chunk.to_vec()));
            }
        }
        self.heard = now;
        self.fruitless = 0;
        self.ask_at = if is_last { now } else { now + silence };
        true
    }

    /// Whether a part is not there yet and has the length that those there say.
    fn agrees(&self, part: &Part<'_>) -> bool {
        let last = self.chunks.len() - 1;
        let (index, len) = match part.place {
            Place::Index(index) => (usize::from(index), part.chunk.len()),
            Place::Parity { shortfall } => {
                let last_len = self.chunks[last].as_ref().map(Vec::len);
                let is_consistent =
                    last_len.is_none_or(|len| len + usize::from(shortfall) == part.chunk.len());
                let full = self.full_len().is_none_or(|full| full == part.chunk.len());
                return self.parity.is_none() && is_consistent && full;
            }
        };
        let is_new = self.chunks[index].is_none();
        let fits = |full: usize, last: usize| last <= full && full - last < self.chunks.len();
        let len_agrees = if index < last {
            self.full_len().is_none_or(|full| full == len)
                && self.chunks[last].as_ref().is_none_or(|last| fits(len, last.len()))
        } else {
            self.full_len().is_none_or(|full| fits(full, len))
                && self.parity.as_ref().is_none_or(|(shortfall, parity)| len + shortfall == parity.len())
        };
        is_new && len_agrees
    }

    /// The length of every chunk but the last, if it is known.
    fn full_len(&self) -> Option<usize> {
        let (_, others) = self.chunks.split_last()?;
        let parity = self.parity.as_ref().map(|(_, parity)| parity.len());
        others.iter().flatten().map(Vec::len).next().or(parity)
    }

    /// Returns the packet, if nothing is missing or parity stands in for what is.
    pub(super) fn whole(&mut self) -> Option<Vec<u8>> {
        let mut missing = (0..).zip(&self.chunks).filter_map(|(at, chunk)| chunk.is_none().then_some(at));
        let (first, second) = (missing.next(), missing.next());
        match (first, second) {
            (None, _) => {}
            (Some(at), None) => {
                let (shortfall, mut chunk) = self.parity.take()?;
                self.chunks.iter().flatten().for_each(|other| xor(&mut chunk, other));
                if at == self.chunks.len() - 1 {
                    chunk.truncate(chunk.len().saturating_sub(shortfall));
                }
                self.chunks[at] = Some(chunk);
            }
            _ => return None,
        }
        Some(self.chunks.iter().flatten().flatten().copied().collect())
    }

    /// When the next question is due; `None` if there is none.
    pub(super) const fn ask_at(&self) -> Option<Instant> {
        if self.asks < MAX_ASKS && self.fruitless < MAX_FRUITLESS { Some(self.ask_at) } else { None }
    }

    pub(super) const fn put_off(&mut self, until: Instant) {
        self.ask_at = until;
    }

    /// Returns which parts to ask for: all that are missing, but one if parity will stand in for it.
    pub(super) fn ask(&mut self, silence: Duration, now: Instant) -> u16 {
        let missing = (0..).zip(&self.chunks).filter(|(_, chunk)| chunk.is_none());
        let mut wanted: Vec<usize> = missing.map(|(at, _)| at).collect();
        if self.parity.is_some() && wanted.len() > 1 {
            wanted.pop();
        }
        self.asks += 1;
        self.fruitless += 1;
        self.last_awaited = wanted.last().copied().unwrap_or(0);
        self.ask_at = now + silence * (1 << self.fruitless);
        wanted.into_iter().fold(0, |bitmap, at| bitmap | 1 << at)
    }

    pub(super) const fn heard(&self) -> Instant {
        self.heard
    }

    /// How many parts are there.
    pub(super) fn parts(&self) -> usize {
        self.chunks.iter().flatten().count() + usize::from(self.parity.is_some())
    }

    pub(super) fn bytes(&self) -> usize {
        let parity = self.parity.as_ref().map_or(0, |(_, parity)| parity.len());
        self.chunks.iter().flatten().map(Vec::len).sum::<usize>() + parity
    }
}
