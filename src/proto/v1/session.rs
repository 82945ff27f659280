//! Keys of one handshake, the counter that is spent on sealing, and the window that guards opening.

use std::fmt;

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit as _, Nonce};
use zeroize::Zeroizing;

use super::replay::ReplayWindow;
use super::wire::Data;

/// One direction's key, wiped when dropped.
#[derive(Clone)]
pub struct Cipher(ChaCha20Poly1305);

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(secret)")
    }
}

/// Why a datagram was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The counter was seen before, or is behind the window.
    #[error("counter seen before or too old")]
    Replayed,
    /// It was not sealed with this key, or was changed since.
    #[error("does not authenticate")]
    Unauthentic,
}

impl Cipher {
    /// Takes a key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(ChaCha20Poly1305::new(&Key::from(*key)))
    }

    /// The counter comes first and four zero bytes last: unlike WireGuard's.
    fn nonce(counter: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&counter.to_le_bytes());
        Nonce::from(nonce)
    }

    /// Seals a frame into `ciphertext ‖ tag`. A counter must never be used twice with one key.
    #[must_use]
    pub fn seal(&self, counter: u64, frame: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(frame.len() + super::TAG_LEN);
        buffer.extend_from_slice(frame);
        self.0
            .encrypt_in_place(&Self::nonce(counter), &[], &mut buffer)
            .expect("a frame is far below the cipher's limit, and a vector grows");
        buffer
    }

    /// Opens `ciphertext ‖ tag`.
    ///
    /// # Errors
    /// If it was not sealed with this key and counter.
    pub fn open(&self, data: &Data<'_>) -> Result<Vec<u8>, OpenError> {
        let mut buffer = data.ciphertext.to_vec();
        self.0
            .decrypt_in_place(&Self::nonce(data.counter), &[], &mut buffer)
            .map_err(|_| OpenError::Unauthentic)?;
        Ok(buffer)
    }
}

/// The two keys that a handshake gives, as this side uses them.
pub struct Keys {
    /// Seals what we send.
    pub send: Zeroizing<[u8; 32]>,
    /// Opens what we receive.
    pub receive: Zeroizing<[u8; 32]>,
}

/// A session of a handshake. It counts from 0 in both directions.
#[derive(Debug)]
pub struct Session {
    send: Cipher,
    receive: Cipher,
    sent: u64,
    window: ReplayWindow,
}

impl Session {
    /// Makes a session that has sent and seen nothing.
    #[must_use]
    pub fn new(keys: &Keys) -> Self {
        Self {
            send: Cipher::new(&keys.send),
            receive: Cipher::new(&keys.receive),
            sent: 0,
            window: ReplayWindow::new(),
        }
    }

    /// Returns how many frames it sealed.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Seals a frame; returns its counter and `ciphertext ‖ tag`.
    #[must_use]
    pub fn seal(&mut self, frame: &[u8]) -> (u64, Vec<u8>) {
        let counter = self.sent;
        self.sent += 1;
        (counter, self.send.seal(counter, frame))
    }

    /// Opens a datagram, once.
    ///
    /// # Errors
    /// If its counter was seen, or it does not authenticate; then nothing has changed.
    pub fn open(&mut self, data: &Data<'_>) -> Result<Vec<u8>, OpenError> {
        if !self.window.allows(data.counter) {
            return Err(OpenError::Replayed);
        }
        let frame = self.receive.open(data)?;
        if self.window.mark(data.counter) { Ok(frame) } else { Err(OpenError::Replayed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cipher_wipes_its_key_and_shows_nothing() {
        const fn wiped<T: zeroize::ZeroizeOnDrop>() {}
        wiped::<ChaCha20Poly1305>();
        assert_eq!(format!("{:?}", Cipher::new(&[7; 32])), "Cipher(secret)");
    }
}
