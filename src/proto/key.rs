//! Keys: what a peer *is*.
//!
//! Three kinds, each 32 bytes, each its own type so that none is passed for another: a [`PrivateKey`], the
//! [`PublicKey`] that names a peer everywhere, and a [`PresharedKey`]. In text all are standard base64 with padding,
//! as `wg` writes them.
//!
//! Invariants: secret keys are wiped when dropped and their `Debug` shows nothing; an agreed secret that is all zeros
//! (the other side sent a point of small order) is refused, never used.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Length in bytes of every key.
pub const KEY_LEN: usize = 32;

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is not standard base64 with padding.
    #[error("not base64 (expected 44 characters that end in \"=\")")]
    NotBase64,
    /// The text is base64 of another length.
    #[error("{0} bytes long once decoded, a key has 32")]
    WrongLength(usize),
}

fn parse(text: &str) -> Result<Zeroizing<[u8; KEY_LEN]>, KeyError> {
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| KeyError::NotBase64)?);
    let mut key = Zeroizing::new([0; KEY_LEN]);
    if bytes.len() != KEY_LEN {
        return Err(KeyError::WrongLength(bytes.len()));
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}

/// An X25519 private key (RFC 7748), clamped when used.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PrivateKey([u8; KEY_LEN]);

impl PrivateKey {
    /// Takes 32 random bytes as a private key, clamping them as `wg genkey` does.
    #[must_use]
    pub fn from_random(mut bytes: [u8; KEY_LEN]) -> Self {
        bytes[0] &= 248;
        bytes[31] = (bytes[31] & 127) | 64;
        Self(bytes)
    }

    /// Takes the bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(x25519_dalek::PublicKey::from(&StaticSecret::from(self.0)).to_bytes())
    }

    /// Returns the secret agreed with `other`, or `None` if it is all zeros (RFC 7748 section 6.1): then `other` is a
    /// point of small order and the "secret" is known to everybody.
    #[must_use]
    pub fn agree(&self, other: &PublicKey) -> Option<Zeroizing<[u8; KEY_LEN]>> {
        let shared = StaticSecret::from(self.0).diffie_hellman(&x25519_dalek::PublicKey::from(other.0));
        shared.was_contributory().then(|| Zeroizing::new(shared.to_bytes()))
    }

    /// Returns the 32 secret bytes.
    #[must_use]
    pub(crate) const fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// Returns the key as base64, for the one place that writes a fresh key out.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0))
    }
}

impl FromStr for PrivateKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        parse(text).map(|key| Self(*key))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(secret)")
    }
}

/// An X25519 public key: the identity of a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; KEY_LEN]);

impl PublicKey {
    /// Takes the bytes as a public key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        parse(text).map(|key| Self(*key))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A symmetric secret that two peers share beforehand. Compared in constant time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PresharedKey([u8; KEY_LEN]);

impl PresharedKey {
    /// Takes the bytes as a preshared key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 secret bytes.
    #[must_use]
    pub const fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// Returns the key as base64, for the one place that writes a fresh key out.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0))
    }
}

impl FromStr for PresharedKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        parse(text).map(|key| Self(*key))
    }
}

impl PartialEq for PresharedKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl Eq for PresharedKey {}

impl fmt::Debug for PresharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresharedKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_text() {
        let private = PrivateKey::from_random([7; 32]);
        let again: PrivateKey = private.to_base64().parse().unwrap();
        assert_eq!(again.public(), private.public());
        let public: PublicKey = private.public().to_string().parse().unwrap();
        assert_eq!(public, private.public());
    }

    #[test]
    fn a_text_that_is_no_key_says_why() {
        assert_eq!("hello!".parse::<PublicKey>(), Err(KeyError::NotBase64));
        assert_eq!("aGVsbG8=".parse::<PublicKey>(), Err(KeyError::WrongLength(5)));
    }

    #[test]
    fn debug_shows_no_secret() {
        let private = PrivateKey::from_random([7; 32]);
        assert_eq!(format!("{private:?}"), "PrivateKey(secret)");
        assert_eq!(format!("{:?}", PresharedKey::from_bytes([9; 32])), "PresharedKey(secret)");
    }

    #[test]
    fn a_point_of_small_order_agrees_on_nothing() {
        let mut one = [0; 32];
        one[0] = 1;
        for point in [[0; 32], one] {
            assert!(PrivateKey::from_random([7; 32]).agree(&PublicKey::from_bytes(point)).is_none());
        }
    }

    #[test]
    fn both_sides_agree_on_the_same_secret() {
        let (a, b) = (PrivateKey::from_random([1; 32]), PrivateKey::from_random([2; 32]));
        assert_eq!(a.agree(&b.public()).unwrap(), b.agree(&a.public()).unwrap());
    }
}
