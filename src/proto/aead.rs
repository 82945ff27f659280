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
    fn the_nonce_is_that_of_wireguard() {
        assert_eq!(nonce(0x0102), [0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
    }
}
