//! The seam to ChaCha20-Poly1305 (RFC 8439).
//!
//! Sessions seal and open through [`Aead`], so that the shell may bring the fastest vetted implementation for its machine
//! while the core needs none but its own [`Portable`] one. An implementation keeps nothing of a key: whoever owns a session
//! owns its keys, and wipes them.

use std::fmt;

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};

/// Length of a key in bytes.
pub const KEY_LEN: usize = 32;
/// Length of the authentication tag in bytes.
pub const TAG_LEN: usize = 16;

/// What was opened did not authenticate; the buffer's content is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("does not authenticate")]
pub struct Unauthentic;

/// Messages of one session, one behind the other in one buffer: each is a head that is left alone, the text, and the tag.
#[derive(Debug)]
pub struct Row<'a> {
    /// All of them.
    pub bytes: &'a mut [u8],
    /// The length of each in bytes; the last may be shorter. At least that of a head and a tag.
    pub segment: usize,
    /// The length of each head.
    pub head: usize,
}

impl<'a> Row<'a> {
    /// How many messages there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.segment)
    }

    /// Cuts it in two: the first so many messages, and the rest.
    #[must_use]
    pub fn split_at(self, count: usize) -> (Self, Self) {
        let Self { bytes, segment, head } = self;
        let (first, rest) = bytes.split_at_mut((count * segment).min(bytes.len()));
        (Self { bytes: first, segment, head }, Self { bytes: rest, segment, head })
    }

    /// The messages, each as its text and tag.
    ///
    /// # Panics
    /// If one is shorter than a head and a tag.
    pub fn messages(self) -> impl Iterator<Item = (&'a mut [u8], &'a mut [u8; TAG_LEN])> {
        let head = self.head;
        self.bytes.chunks_mut(self.segment).map(move |message| {
            message[head..].split_last_chunk_mut().expect("a message is at least a head and a tag")
        })
    }
}

/// ChaCha20-Poly1305 with the nonce of WireGuard: four zero bytes, then the counter, little-endian.
pub trait Aead: fmt::Debug + Send + Sync {
    /// Encrypts the buffer in place and returns the tag.
    ///
    /// A counter must never be used twice with one key.
    fn seal(&self, key: &[u8; KEY_LEN], counter: u64, aad: &[u8], buffer: &mut [u8]) -> [u8; TAG_LEN];

    /// Checks the tag and decrypts the buffer in place.
    ///
    /// # Errors
    /// If the tag is not that of the buffer, the additional data, the counter and the key.
    fn open(
        &self,
        key: &[u8; KEY_LEN],
        counter: u64,
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Unauthentic>;

    /// Seals each message of a row in place, without additional data, the first with `counter`, each with the next one. What
    /// it makes does not depend on how the implementation shares out the work.
    ///
    /// No counter may ever be used twice with one key.
    fn seal_all(&self, key: &[u8; KEY_LEN], counter: u64, row: Row<'_>) {
        for (counter, (text, tag)) in (counter..).zip(row.messages()) {
            *tag = self.seal(key, counter, &[], text);
        }
    }

    /// Opens each message of a row in place, as [`Aead::open`] does without additional data, each with its own counter of
    /// `counters`; says in `authentic` of each whether it is. Both have at least as many elements as the row has messages.
    fn open_all(&self, key: &[u8; KEY_LEN], counters: &[u64], row: Row<'_>, authentic: &mut [bool]) {
        for ((counter, authentic), (text, tag)) in counters.iter().zip(authentic).zip(row.messages()) {
            *authentic = self.open(key, *counter, &[], text, tag).is_ok();
        }
    }
}

/// The implementation that is always there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Portable;

/// Returns the nonce for a counter.
#[must_use]
pub fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

impl Aead for Portable {
    fn seal(&self, key: &[u8; KEY_LEN], counter: u64, aad: &[u8], buffer: &mut [u8]) -> [u8; TAG_LEN] {
        ChaCha20Poly1305::new(key.into())
            .encrypt_inout_detached(&nonce(counter).into(), aad, buffer.into())
            .expect("no buffer is as long as 256 GiB")
            .into()
    }

    fn open(
        &self,
        key: &[u8; KEY_LEN],
        counter: u64,
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Unauthentic> {
        ChaCha20Poly1305::new(key.into())
            .decrypt_inout_detached(&nonce(counter).into(), aad, buffer.into(), tag.into())
            .map_err(|_| Unauthentic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_and_nothing_else_does() {
        let key = [7; KEY_LEN];
        let mut buffer = *b"one private network";
        let tag = Portable.seal(&key, 5, b"aad", &mut buffer);
        assert_ne!(&buffer, b"one private network");
        let sealed = buffer;
        assert_eq!(Portable.open(&key, 6, b"aad", &mut buffer, &tag), Err(Unauthentic));
        buffer = sealed;
        assert_eq!(Portable.open(&key, 5, b"", &mut buffer, &tag), Err(Unauthentic));
        buffer = sealed;
        assert_eq!(Portable.open(&key, 5, b"aad", &mut buffer, &tag), Ok(()));
        assert_eq!(&buffer, b"one private network");
    }

    #[test]
    fn a_row_is_sealed_as_its_messages_are_one_by_one_and_opens_but_for_what_was_changed() {
        let (key, segment, head) = ([7; KEY_LEN], 60, 4);
        let mut row: Vec<u8> = (0..60 * 3 + 21).map(|at| u8::try_from(at).unwrap()).collect();
        let mut single = row.clone();
        Portable.seal_all(&key, 9, Row { bytes: &mut row, segment, head });
        for (counter, message) in (9..).zip(single.chunks_mut(segment)) {
            let (text, tag) = message[head..].split_last_chunk_mut().unwrap();
            *tag = Portable.seal(&key, counter, &[], text);
        }
        assert_eq!(row, single);
        row[60 + 5] ^= 1;
        let mut authentic = [false; 4];
        Portable.open_all(&key, &[9, 10, 11, 12], Row { bytes: &mut row, segment, head }, &mut authentic);
        assert_eq!(authentic, [true, false, true, true]);
        assert_eq!(row[180..185], [180, 181, 182, 183, 184], "the head and the text of the last");
    }

    #[test]
    fn the_nonce_is_that_of_wireguard() {
        assert_eq!(nonce(0x0102), [0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
    }
}
