//! Sealing and opening on several processors at once.
//!
//! A long row of messages (what one call to UDP carries, which is of one session) is cut into shares: the core's thread
//! works on the first, helpers on the others, and the call returns once all are done. So the core stays single-threaded and
//! nothing overtakes anything: the order is that of the row. What comes out is the same whoever did it.
//!
//! When it pays. Cutting costs what it takes to wake the helpers, so that a share is at least [`SHARE`] bytes; small packets
//! stay where they are. A helper takes a processor from whoever sends or receives what is sealed: on fewer than
//! [`PROCESSORS`] there is none unless the configuration says so (`SealingThreads`). The bench `cipher` measures both.
//!
//! Helpers start after the process gave up its capabilities and was walled in, and inherit that. They sleep while there is
//! nothing to do. They see a key by reference, for the time of a call, and keep nothing of it.

use std::num::NonZeroUsize;

use meshnet_proto::aead::{Aead, KEY_LEN, Row, TAG_LEN, Unauthentic};
use rayon_core::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use super::Ring;

/// Fewer bytes than this are done sooner than a helper is awake: 10 µs at 12 Gbit/s.
const SHARE: usize = 16 * 1024;
/// Processors from which on helpers are a gain.
const PROCESSORS: usize = 4;
/// Threads that are used by default, however many processors there are: a row has no more shares.
const MOST: usize = 4;
/// A helper's stack in bytes, of which the cipher touches two pages.
const STACK: usize = 128 * 1024;

/// How many threads seal on a machine with so many processors, unless the configuration says it: half of them, for the other
/// half has the kernel's part of the work.
#[must_use]
pub const fn threads_for(processors: usize) -> usize {
    match processors {
        0..PROCESSORS => 1,
        _ if processors / 2 < MOST => processors / 2,
        _ => MOST,
    }
}

/// `ring`'s cipher and some helpers. See the module's introduction.
#[derive(Debug)]
pub struct Pool {
    helpers: ThreadPool,
    threads: usize,
}

impl Pool {
    /// Starts helpers, so that with the caller so many threads seal.
    ///
    /// # Errors
    /// If the kernel gives no more threads.
    pub fn start(threads: NonZeroUsize) -> Result<Self, ThreadPoolBuildError> {
        let helpers = ThreadPoolBuilder::new()
            .num_threads(threads.get().saturating_sub(1).max(1))
            .thread_name(|_| "seal".to_owned())
            .stack_size(STACK)
            .build()?;
        Ok(Self { helpers, threads: threads.get() })
    }

    /// How many messages make a share of a row; all of them if cutting it is not worth it.
    fn share(&self, row: &Row<'_>) -> usize {
        let shares = self.threads.min(row.bytes.len() / SHARE).max(1);
        row.count().div_ceil(shares).max(1)
    }
}

impl Aead for Pool {
    fn seal(&self, key: &[u8; KEY_LEN], counter: u64, aad: &[u8], buffer: &mut [u8]) -> [u8; TAG_LEN] {
        Ring.seal(key, counter, aad, buffer)
    }

    fn open(
        &self,
        key: &[u8; KEY_LEN],
        counter: u64,
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Unauthentic> {
        Ring.open(key, counter, aad, buffer, tag)
    }

    fn seal_all(&self, key: &[u8; KEY_LEN], counter: u64, row: Row<'_>) {
        let share = self.share(&row);
        let (own, mut rest) = row.split_at(share);
        if rest.bytes.is_empty() {
            return Ring.seal_all(key, counter, own);
        }
        self.helpers.in_place_scope(|scope| {
            for first in (counter..).step_by(share).skip(1) {
                let (part, after) = rest.split_at(share);
                scope.spawn(move |_| Ring.seal_all(key, first, part));
                if after.bytes.is_empty() {
                    break;
                }
                rest = after;
            }
            Ring.seal_all(key, counter, own);
        });
    }

    fn open_all(&self, key: &[u8; KEY_LEN], counters: &[u64], row: Row<'_>, authentic: &mut [bool]) {
        let share = self.share(&row);
        let count = row.count();
        let (own, mut rest) = row.split_at(share);
        if rest.bytes.is_empty() {
            return Ring.open_all(key, counters, own, authentic);
        }
        self.helpers.in_place_scope(|scope| {
            let mut work = counters[..count].chunks(share).zip(authentic[..count].chunks_mut(share));
            let first = work.next();
            for (counters, authentic) in work {
                let (part, after) = rest.split_at(share);
                scope.spawn(move |_| Ring.open_all(key, counters, part, authentic));
                rest = after;
            }
            if let Some((counters, authentic)) = first {
                Ring.open_all(key, counters, own, authentic);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; KEY_LEN] = [7; KEY_LEN];
    const HEAD: usize = 16;

    fn pool(threads: usize) -> Pool {
        Pool::start(NonZeroUsize::new(threads).unwrap()).unwrap()
    }

    /// So many messages of such length, and a shorter one.
    fn bytes(count: usize, segment: usize) -> Vec<u8> {
        (0..count * segment + HEAD + TAG_LEN + 3).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    #[test]
    fn what_several_threads_seal_is_to_the_byte_what_one_seals_and_in_the_same_order() {
        for threads in [1, 2, 3, 5] {
            let pool = pool(threads);
            for (count, segment) in [(0, 100), (1, 1452), (44, 1452), (63, 128), (63, 1000), (300, 1452)] {
                let (mut one, mut many) = (bytes(count, segment), bytes(count, segment));
                Ring.seal_all(&KEY, 9, Row { bytes: &mut one, segment, head: HEAD });
                pool.seal_all(&KEY, 9, Row { bytes: &mut many, segment, head: HEAD });
                assert_eq!(one, many, "{threads} threads, {count} messages of {segment}");
            }
        }
    }

    #[test]
    fn what_several_threads_open_is_what_was_sealed_but_for_what_was_changed() {
        let (pool, segment, count) = (pool(3), 1452, 45);
        let plain = bytes(count - 1, segment);
        let mut row = plain.clone();
        Ring.seal_all(&KEY, 100, Row { bytes: &mut row, segment, head: HEAD });
        let changed = [0, 14, 15, 29, 30, 44];
        for at in changed {
            row[at * segment + HEAD] ^= 1;
        }
        let counters: Vec<u64> = (100..164).collect();
        let mut authentic = [false; 64];
        pool.open_all(&KEY, &counters, Row { bytes: &mut row, segment, head: HEAD }, &mut authentic);
        for (at, (opened, plain)) in row.chunks(segment).zip(plain.chunks(segment)).enumerate() {
            assert_eq!(authentic[at], !changed.contains(&at), "{at}");
            let text = HEAD..plain.len() - TAG_LEN;
            assert!(!authentic[at] || opened[text.clone()] == plain[text], "{at}");
        }
        assert!(authentic[count..].iter().all(|authentic| !authentic));
    }

    #[test]
    fn small_rows_are_not_cut_and_long_ones_into_no_more_shares_than_threads() {
        let pool = pool(3);
        let share = |count: usize, segment: usize| {
            pool.share(&Row { bytes: &mut vec![0; count * segment], segment, head: HEAD })
        };
        assert_eq!((share(64, 128), share(16, 1452), share(1, 65_000)), (64, 16, 1));
        assert_eq!((share(44, 1452), share(300, 1452)), (15, 100));
    }

    #[test]
    fn a_machine_with_few_processors_has_no_helpers() {
        let all = [1, 2, 3, 4, 5, 6, 8, 64].map(threads_for);
        assert_eq!(all, [1, 1, 1, 2, 2, 3, 4, 4]);
    }
}
