//! The fastest ChaCha20-Poly1305 for links where air is free: `ring`'s, behind the core's seam, on one thread or several
//! ([`Pool`]).
//!
//! The expanded key lives for one call, as [`meshnet_proto::aead`] wants it: setting it up is a copy of 32 bytes, next to
//! nothing even for the smallest packet (`cargo bench -p meshnetd --bench cipher`). `ring` does not wipe that copy, which stays on
//! the stack until the next call overwrites it.

mod pool;

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use meshnet_proto::aead::{Aead, KEY_LEN, TAG_LEN, Unauthentic, nonce};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};
use tracing::{debug, warn};

pub use self::pool::{Pool, threads_for};

/// `ring`'s ChaCha20-Poly1305, which chooses its code by the processor that it runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ring;

/// Returns what seals and opens in this process, on so many threads, or as many as suit the machine. It is made once, after
/// the process gave up its capabilities.
#[must_use]
pub fn fitting(threads: Option<NonZeroUsize>) -> &'static dyn Aead {
    let processors = available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = threads.or(NonZeroUsize::new(threads_for(processors)));
    let Some(threads) = threads.filter(|threads| threads.get() > 1) else { return &Ring };
    match Pool::start(threads) {
        Ok(pool) => {
            debug!(threads, "long rows of packets are sealed on several processors");
            Box::leak(Box::new(pool))
        }
        Err(error) => {
            warn!(%error, "no threads to seal on: one does all of it");
            &Ring
        }
    }
}

fn expand(key: &[u8; KEY_LEN]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("the length is that of the algorithm"))
}

impl Aead for Ring {
    fn seal(&self, key: &[u8; KEY_LEN], counter: u64, aad: &[u8], buffer: &mut [u8]) -> [u8; TAG_LEN] {
        let nonce = Nonce::assume_unique_for_key(nonce(counter));
        let tag = expand(key)
            .seal_in_place_separate_tag(nonce, Aad::from(aad), buffer)
            .expect("no buffer is as long as 256 GiB");
        tag.as_ref().try_into().expect("the tag's length is that of the algorithm")
    }

    fn open(
        &self,
        key: &[u8; KEY_LEN],
        counter: u64,
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Unauthentic> {
        let nonce = Nonce::assume_unique_for_key(nonce(counter));
        expand(key)
            .open_in_place_separate_tag(nonce, Aad::from(aad), Tag::from(*tag), buffer, 0..)
            .map(drop)
            .map_err(|_| Unauthentic)
    }
}

#[cfg(test)]
mod tests {
    use meshnet_proto::aead::Portable;
    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng as _, SeedableRng as _};

    use super::*;

    #[test]
    fn it_seals_as_the_portable_one_does_and_each_opens_what_the_other_sealed() {
        let mut rng = ChaCha8Rng::from_seed([1; 32]);
        for len in (0..300).chain([1420, 1500, 9000, 65_535]) {
            let (mut key, mut aad, mut text) = ([0; KEY_LEN], vec![0; len % 40], vec![0; len]);
            rng.fill_bytes(&mut key);
            rng.fill_bytes(&mut aad);
            rng.fill_bytes(&mut text);
            let counter = rng.next_u64();
            let (mut ours, mut theirs) = (text.clone(), text.clone());
            let tag = Ring.seal(&key, counter, &aad, &mut ours);
            assert_eq!(tag, Portable.seal(&key, counter, &aad, &mut theirs));
            assert_eq!(ours, theirs);
            Portable.open(&key, counter, &aad, &mut ours, &tag).unwrap();
            Ring.open(&key, counter, &aad, &mut theirs, &tag).unwrap();
            assert_eq!((&ours, &theirs), (&text, &text));
        }
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let key = [3; KEY_LEN];
        let mut sealed = *b"one private network";
        let tag = Ring.seal(&key, 5, b"aad", &mut sealed);
        let opens = |key: &[u8; KEY_LEN], counter, aad: &[u8], at: usize, tag: &[u8; TAG_LEN]| {
            let mut buffer = sealed;
            if let Some(byte) = buffer.get_mut(at) {
                *byte ^= 1;
            }
            Ring.open(key, counter, aad, &mut buffer, tag).is_ok()
        };
        assert!(opens(&key, 5, b"aad", usize::MAX, &tag));
        assert!((0..sealed.len()).all(|at| !opens(&key, 5, b"aad", at, &tag)));
        assert!(!opens(&key, 6, b"aad", usize::MAX, &tag));
        assert!(!opens(&key, 5, b"", usize::MAX, &tag));
        assert!(!opens(&[4; KEY_LEN], 5, b"aad", usize::MAX, &tag));
        assert!((0..TAG_LEN).all(|at| {
            let mut tag = tag;
            tag[at] ^= 0x80;
            !opens(&key, 5, b"aad", usize::MAX, &tag)
        }));
    }
}
