//! Fragments: a sealed frame that is longer than the link carries goes in pieces.
//!
//! [`split`] cuts `counter ‖ ciphertext` into datagrams; a [`Reassembler`] puts pieces together again, in any order and
//! with repetitions. Nothing is authenticated before the whole is there, so a stranger who can send from a peer's address
//! may send any piece. What that can do is bounded: the first piece of a message fixes how many there are, a piece that
//! contradicts it or one already there is dropped and changes nothing, and buffers are bounded in number, age, bytes per
//! source and bytes in all. The oldest message of the same source gives way first, so one source cannot push out another.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::wire::{DATA_HEADER, Data, FRAGMENT_HEADER, Fragment};
use crate::link::LinkAddr;

/// An unfinished message is given up when no piece of it came for this long. At the slowest preset a piece takes 14 s, and
/// others' may go between two of them.
pub const LIFETIME: Duration = Duration::from_secs(60);
/// Bytes that unfinished messages of one source may take.
const SOURCE_BYTES: usize = 16 * 1024;
/// Bytes that all unfinished messages may take.
const TOTAL_BYTES: usize = 256 * 1024;
/// What a message costs beside its chunks.
const BUFFER_COST: usize = 64;
/// What a chunk costs beside its bytes.
const CHUNK_COST: usize = 40;
/// How many messages may be unfinished, as in the reference.
const MAX_MESSAGES: usize = 256;
/// Counter and ciphertext of the longest frame: an Ethernet frame of 64 KiB is more than any interface sends.
const MAX_WHOLE: usize = 65_536;

/// Cuts a sealed frame into datagrams of at most `mtu` bytes. A frame that fits goes as it is. `None` if 255 fragments
/// are not enough.
#[must_use]
pub fn split(counter: u64, ciphertext: &[u8], message: &mut u16, mtu: usize) -> Option<Vec<Vec<u8>>> {
    if DATA_HEADER + ciphertext.len() <= mtu {
        return Some(vec![Data { counter, ciphertext }.emit()]);
    }
    let mut whole = counter.to_le_bytes().to_vec();
    whole.extend_from_slice(ciphertext);
    let chunk_len = mtu.checked_sub(FRAGMENT_HEADER).filter(|&len| len > 0)?;
    let total = u8::try_from(whole.len().div_ceil(chunk_len)).ok()?;
    let id = *message;
    *message = message.wrapping_add(1);
    let chunks = whole.chunks(chunk_len).zip(0..);
    Some(chunks.map(|(chunk, index)| Fragment { message: id, index, total, chunk }.emit()).collect())
}

/// What became of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Its message is complete.
    Whole {
        /// The nonce.
        counter: u64,
        /// Ciphertext and tag.
        ciphertext: Vec<u8>,
    },
    /// Its message lacks others.
    Kept,
    /// It is there already, or contradicts what is.
    Refused,
}

/// An unfinished message.
#[derive(Debug)]
struct Message {
    total: u8,
    started: Instant,
    /// When its last piece came.
    heard: Instant,
    bytes: usize,
    chunks: BTreeMap<u8, Vec<u8>>,
}

impl Message {
    fn cost(&self) -> usize {
        BUFFER_COST + self.bytes + self.chunks.len() * CHUNK_COST
    }
}

/// Unfinished messages of all sources.
#[derive(Debug, Default)]
pub struct Reassembler {
    messages: BTreeMap<(LinkAddr, u16), Message>,
    evicted: u64,
}

impl Reassembler {
    /// Takes a fragment from a source.
    pub fn push(&mut self, from: LinkAddr, fragment: &Fragment<'_>, now: Instant) -> Piece {
        self.expire(now);
        let key = (from, fragment.message);
        let message = self.messages.entry(key).or_insert_with(|| Message {
            total: fragment.total,
            started: now,
            heard: now,
            bytes: 0,
            chunks: BTreeMap::new(),
        });
        let contradicts = message.total != fragment.total
            || message.chunks.contains_key(&fragment.index)
            || message.bytes + fragment.chunk.len() > MAX_WHOLE;
        if contradicts {
            return Piece::Refused;
        }
        message.heard = now;
        message.bytes += fragment.chunk.len();
        message.chunks.insert(fragment.index, fragment.chunk.to_vec());
        if message.chunks.len() == usize::from(message.total) {
            return self.finish(key);
        }
        self.make_room(from);
        if self.messages.contains_key(&key) { Piece::Kept } else { Piece::Refused }
    }

    fn finish(&mut self, key: (LinkAddr, u16)) -> Piece {
        let Some(message) = self.messages.remove(&key) else { return Piece::Refused };
        let whole = message.chunks.into_values().collect::<Vec<_>>().concat();
        match whole.split_first_chunk() {
            Some((counter, ciphertext)) if !ciphertext.is_empty() => {
                Piece::Whole { counter: u64::from_le_bytes(*counter), ciphertext: ciphertext.to_vec() }
            }
            _ => Piece::Refused,
        }
    }

    /// Returns how many messages were given up so far, for whatever reason.
    #[must_use]
    pub const fn given_up(&self) -> u64 {
        self.evicted
    }

    /// Gives up what is too old. Returns how many messages were given up so far, for whatever reason.
    pub fn expire(&mut self, now: Instant) -> u64 {
        let before = self.messages.len();
        self.messages.retain(|_, message| now.saturating_duration_since(message.heard) < LIFETIME);
        self.evicted += u64::try_from(before - self.messages.len()).unwrap_or(0);
        self.evicted
    }

    /// Forgets the unfinished messages of a source; returns how many there were.
    pub fn forget(&mut self, from: LinkAddr) -> u64 {
        let before = self.messages.len();
        self.messages.retain(|(source, _), _| *source != from);
        u64::try_from(before - self.messages.len()).unwrap_or(0)
    }

    /// Returns the bytes that unfinished messages take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.messages.values().map(Message::cost).sum()
    }

    /// Evicts the oldest messages: of this source while it is over its share, then of all while they are over theirs.
    fn make_room(&mut self, from: LinkAddr) {
        let of_source = |(key, _): &(&(LinkAddr, u16), &Message)| key.0 == from;
        while self.messages.iter().filter(of_source).map(|(_, message)| message.cost()).sum::<usize>()
            > SOURCE_BYTES
        {
            self.evict(Some(from));
        }
        while self.bytes() > TOTAL_BYTES || self.messages.len() > MAX_MESSAGES {
            self.evict(None);
        }
    }

    fn evict(&mut self, source: Option<LinkAddr>) {
        let candidates = self.messages.iter().filter(|(key, _)| source.is_none_or(|from| key.0 == from));
        let Some(oldest) = candidates.min_by_key(|(_, message)| message.started).map(|(key, _)| *key) else {
            return;
        };
        self.messages.remove(&oldest);
        self.evicted += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::wire::Datagram;
    use rand_core::{Rng as _, SeedableRng as _};

    const FROM: LinkAddr = LinkAddr::radio(1);

    fn fragment(bytes: &[u8]) -> Fragment<'_> {
        match Datagram::parse(bytes) {
            Ok(Datagram::Fragment(fragment)) => fragment,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fragments_are_those_of_the_reference_to_the_byte() {
        let text = include_str!("../../../tests/vectors/meshnet-0.1.0.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        for vector in vectors["fragmentation"].as_array().unwrap() {
            let ciphertext = hex::decode(vector["ciphertext"].as_str().unwrap()).unwrap();
            let mut message = u16::try_from(vector["msg_id"].as_u64().unwrap()).unwrap();
            let counter = vector["counter"].as_u64().unwrap();
            let datagrams = split(counter, &ciphertext, &mut message, 233).unwrap();
            let got = serde_json::Value::from(datagrams.iter().map(hex::encode).collect::<Vec<_>>());
            assert_eq!(got, vector["datagrams"]);
        }
    }

    #[test]
    fn pieces_come_together_in_any_order_and_with_repetitions() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let now = crate::testing::start();
        for len in [300, 1000, 1514, 5000] {
            let ciphertext: Vec<u8> = (0..len).map(|_| rng.next_u32().to_le_bytes()[0]).collect();
            let mut pieces = split(7, &ciphertext, &mut 9, 219).unwrap();
            for at in (1..pieces.len()).rev() {
                pieces.swap(at, rng.next_u32() as usize % (at + 1));
            }
            let mut reassembler = Reassembler::default();
            let (last, others) = pieces.split_last().unwrap();
            for piece in others {
                assert_eq!(reassembler.push(FROM, &fragment(piece), now), Piece::Kept);
                assert_eq!(reassembler.push(FROM, &fragment(piece), now), Piece::Refused);
            }
            let whole = reassembler.push(FROM, &fragment(last), now);
            assert_eq!(whole, Piece::Whole { counter: 7, ciphertext });
            assert_eq!(reassembler.bytes(), 0);
        }
    }

    #[test]
    fn a_piece_that_contradicts_the_first_one_changes_nothing() {
        let now = crate::testing::start();
        let pieces = split(7, &[1; 400], &mut 9, 219).unwrap();
        let mut reassembler = Reassembler::default();
        reassembler.push(FROM, &fragment(&pieces[0]), now);
        let forged = Fragment { total: 3, ..fragment(&pieces[1]) };
        assert_eq!(reassembler.push(FROM, &forged, now), Piece::Refused);
        let elsewhere = reassembler.push(LinkAddr::radio(2), &fragment(&pieces[1]), now);
        assert_eq!(elsewhere, Piece::Kept, "another source is another message");
        assert!(matches!(reassembler.push(FROM, &fragment(&pieces[1]), now), Piece::Whole { .. }));
    }

    #[test]
    fn a_lost_fragment_expires_the_message() {
        let now = crate::testing::start();
        let pieces = split(7, &[1; 400], &mut 9, 219).unwrap();
        let mut reassembler = Reassembler::default();
        reassembler.push(FROM, &fragment(&pieces[0]), now);
        assert_eq!(reassembler.expire(now + LIFETIME), 1);
        assert_eq!(reassembler.push(FROM, &fragment(&pieces[1]), now + LIFETIME), Piece::Kept);
    }

    #[test]
    fn a_message_lives_as_long_as_its_pieces_keep_coming() {
        let mut now = crate::testing::start();
        let ciphertext = vec![1; 1400];
        let pieces = split(7, &ciphertext, &mut 9, 219).unwrap();
        let mut reassembler = Reassembler::default();
        let (last, others) = pieces.split_last().unwrap();
        for piece in others {
            assert_eq!(reassembler.push(FROM, &fragment(piece), now), Piece::Kept);
            now += LIFETIME * 2 / 3;
        }
        assert_eq!(reassembler.push(FROM, &fragment(last), now), Piece::Whole { counter: 7, ciphertext });
    }

    #[test]
    fn a_flood_of_first_fragments_takes_bounded_memory_and_harms_no_other_source() {
        let now = crate::testing::start();
        let pieces = split(7, &[1; 400], &mut 9, 219).unwrap();
        let mut reassembler = Reassembler::default();
        reassembler.push(FROM, &fragment(&pieces[0]), now);
        for message in 0..10_000 {
            let chunk = [0; 214];
            let flood = Fragment { message, index: 0, total: 255, chunk: &chunk };
            reassembler.push(LinkAddr::radio(2), &flood, now + Duration::from_secs(1));
            assert!(reassembler.bytes() <= TOTAL_BYTES + SOURCE_BYTES);
        }
        assert!(matches!(reassembler.push(FROM, &fragment(&pieces[1]), now), Piece::Whole { .. }));
    }

    #[test]
    fn what_255_fragments_cannot_carry_is_refused() {
        assert!(split(0, &vec![0; 255 * 100], &mut 0, 105).is_none());
        assert!(split(0, &[0; 100], &mut 0, 5).is_none());
    }
}
