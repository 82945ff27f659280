//! The handshake without what the receiver can derive.
//!
//! The link's address says who speaks, so the receiver knows the initiator's static key and derives its encrypted form; of
//! the timestamp it knows 7 bytes of 12. What cannot be derived is sent: the ephemeral keys, 5 bytes of timestamp, and the
//! authentication tags. [`expand_init`] rebuilds the Noise message to the byte, and the handshake goes on as if it had come
//! whole. Session indices and the two MACs of WireGuard's messages are not sent at all: both sides derive the indices from
//! the handshake, and the MACs guard against floods from addresses that an IP network lets everybody forge by the thousand.
//!
//! The arithmetic is that of the WireGuard paper, section 5.4.2 (Noise_IKpsk2 up to the end of the first message).

use blake2::{Blake2s256, Digest as _};
use hkdf::SimpleHkdf;
use zeroize::Zeroizing;

use super::frame::{Kind, first_byte};
use crate::aead::{Aead as _, KEY_LEN, Portable, TAG_LEN};
use crate::key::{PrivateKey, PublicKey};
use crate::wg::message::{INIT_NOISE, RESPONSE_NOISE};
use crate::wg::noise::{NAME, PROLOGUE};
use crate::wg::tai64n::TIMESTAMP_LEN;

/// Length of an init: first byte, ephemeral key, what is not known of the timestamp, and its tag.
pub const INIT_LEN: usize = 1 + 32 + STAMP_SENT + TAG_LEN;
/// Length of a response: first byte and the Noise part.
pub const RESPONSE_LEN: usize = 1 + RESPONSE_NOISE;

/// The first bytes of a timestamp are 40 00 00 00 (until the year 2106), the last 3 are 0 (WireGuard whitens the low 24 bits).
const STAMP_KNOWN: [u8; 4] = [0x40, 0, 0, 0];
/// How many bytes are between.
const STAMP_SENT: usize = 5;
/// Where the encrypted timestamp starts in the Noise part.
const STAMP_AT: usize = INIT_NOISE - TAG_LEN - TIMESTAMP_LEN;
/// Where in the Noise part what is sent of it starts.
const SENT_AT: usize = STAMP_AT + STAMP_KNOWN.len();

/// Why an init was not expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// It does not come from this peer, or not for us, or its timestamp is not in the form that is known.
    #[error("does not authenticate")]
    Unauthentic,
    /// One of the public keys is a point of small order.
    #[error("a public key of small order")]
    WeakKey,
}

/// Writes an init: what of the Noise message the receiver cannot derive. `check` is that of the context.
///
/// The timestamp within must be in the form that WireGuard writes, else no receiver takes the message.
#[must_use]
pub fn strip_init(noise: &[u8; INIT_NOISE], check: u8) -> [u8; INIT_LEN] {
    let mut out = [first_byte(Kind::Init, check); INIT_LEN];
    out[1..33].copy_from_slice(&noise[..32]);
    out[33..38].copy_from_slice(&noise[SENT_AT..SENT_AT + STAMP_SENT]);
    out[38..].copy_from_slice(&noise[INIT_NOISE - TAG_LEN..]);
    out
}

/// Writes a response.
#[must_use]
pub fn strip_response(noise: &[u8; RESPONSE_NOISE], check: u8) -> [u8; RESPONSE_LEN] {
    let mut out = [first_byte(Kind::Response, check); RESPONSE_LEN];
    out[1..].copy_from_slice(noise);
    out
}

/// Rebuilds the Noise part of an init from the body of [`Datagram::Init`](super::frame::Datagram::Init), our private key
/// and the public key of the peer at the address that it came from. Costs two Diffie-Hellman computations.
///
/// # Errors
/// If the result does not authenticate: Noise would refuse it as well.
pub fn expand_init(
    body: &[u8; INIT_LEN - 1],
    ours: &PrivateKey,
    theirs: &PublicKey,
) -> Result<[u8; INIT_NOISE], ExpandError> {
    let (ephemeral, rest) = body.split_first_chunk::<32>().expect("the body is longer");
    let (sent, tag) = rest.split_first_chunk::<STAMP_SENT>().expect("the body is longer");
    let tag: &[u8; TAG_LEN] = tag.try_into().expect("the tag is the rest of the body");
    let agree = |key: &PublicKey| ours.agree(key).ok_or(ExpandError::WeakKey);

    let mut state = Symmetric::new();
    state.mix_hash(ours.public().as_bytes());
    state.mix_hash(ephemeral);
    let _ = state.mix_key(ephemeral);
    let key = state.mix_key(&*agree(&PublicKey::from_bytes(*ephemeral))?);

    let mut noise = [0; INIT_NOISE];
    noise[..32].copy_from_slice(ephemeral);
    noise[32..64].copy_from_slice(theirs.as_bytes());
    let static_tag = Portable.seal(&key, 0, &state.hash, &mut noise[32..64]);
    noise[64..80].copy_from_slice(&static_tag);
    state.mix_hash(&noise[32..80]);
    let key = state.mix_key(&*agree(theirs)?);

    // Zeros sealed are the key stream; what is known of the plaintext goes on top.
    let stamp = &mut noise[STAMP_AT..STAMP_AT + TIMESTAMP_LEN];
    let _ = Portable.seal(&key, 0, &state.hash, stamp);
    for (byte, known) in stamp.iter_mut().zip(STAMP_KNOWN) {
        *byte ^= known;
    }
    noise[SENT_AT..SENT_AT + STAMP_SENT].copy_from_slice(sent);
    noise[INIT_NOISE - TAG_LEN..].copy_from_slice(tag);

    let mut stamp: [u8; TIMESTAMP_LEN] = *noise[STAMP_AT..].first_chunk().expect("a timestamp and a tag");
    Portable.open(&key, 0, &state.hash, &mut stamp, tag).map_err(|_| ExpandError::Unauthentic)?;
    Ok(noise)
}

/// The symmetric state of Noise: what has been hashed, and the chaining key.
struct Symmetric {
    hash: [u8; 32],
    chain: Zeroizing<[u8; KEY_LEN]>,
}

impl Symmetric {
    fn new() -> Self {
        let chain = digest(&[NAME.as_bytes()]);
        Self { hash: digest(&[&chain, PROLOGUE]), chain: Zeroizing::new(chain) }
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.hash = digest(&[&self.hash, data]);
    }

    /// Takes new key material into the chaining key; returns the key that comes with it.
    fn mix_key(&mut self, material: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
        let mut both = Zeroizing::new([0; 2 * KEY_LEN]);
        // HKDF with empty info is the key derivation of Noise.
        SimpleHkdf::<Blake2s256>::new(Some(&*self.chain), material)
            .expand(&[], &mut *both)
            .expect("64 bytes are no more than HKDF gives");
        let mut key = Zeroizing::new([0; KEY_LEN]);
        self.chain.copy_from_slice(&both[..KEY_LEN]);
        key.copy_from_slice(&both[KEY_LEN..]);
        key
    }
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Blake2s256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
