//! What `snow` computes with: X25519, BLAKE2s and ChaCha20-Poly1305 from the crates that the rest of the core uses, and
//! chance that was drawn beforehand.
//!
//! Invariants: nothing here draws randomness by itself; everything secret that these objects hold is wiped when they go; a
//! shared secret of all zeros is an error.

use std::fmt;
use std::sync::{Arc, OnceLock};

use blake2::{Blake2s256, Digest as _};
use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::Identity;
use crate::aead::{Aead as _, KEY_LEN, Portable, TAG_LEN};
use crate::key::{PrivateKey, PublicKey};

const HASH_LEN: usize = 32;
const BLOCK_LEN: usize = 64;

/// The primitives for one handshake of ours.
pub(super) struct Primitives {
    /// Whose static key it is: its public half need not be computed again.
    pub(super) identity: Arc<Identity>,
    /// The only thing that is drawn in a handshake.
    pub(super) ephemeral: Zeroizing<[u8; 32]>,
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Drawn(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let curve = || Curve {
            identity: self.identity.clone(),
            private: Zeroizing::default(),
            public: OnceLock::new(),
        };
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(curve()) as _)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::Blake2s).then(|| Box::new(Blake2s(Blake2s256::new())) as _)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::ChaChaPoly).then(|| Box::new(ChaChaPoly(Zeroizing::default())) as _)
    }
}

/// Thirty-two bytes that were drawn beforehand, given out once.
struct Drawn(Option<Zeroizing<[u8; 32]>>);

impl Random for Drawn {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        let drawn = self.0.take().filter(|drawn| drawn.len() == dest.len()).ok_or(Error::Rng)?;
        dest.copy_from_slice(&*drawn);
        Ok(())
    }
}

/// X25519.
struct Curve {
    identity: Arc<Identity>,
    private: Zeroizing<[u8; 32]>,
    /// Computed when first asked for.
    public: OnceLock<[u8; 32]>,
}

impl fmt::Debug for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Curve(secret)")
    }
}

impl Dh for Curve {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        self.public = OnceLock::new();
        self.private.copy_from_slice(privkey);
        if self.private.ct_eq(self.identity.private.expose()).into() {
            self.public = (*self.identity.public.as_bytes()).into();
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        self.public = OnceLock::new();
        rng.try_fill_bytes(&mut *self.private)
    }

    fn pubkey(&self) -> &[u8] {
        self.public.get_or_init(|| *PrivateKey::from_bytes(*self.private).public().as_bytes())
    }

    fn privkey(&self) -> &[u8] {
        &*self.private
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let (theirs, _) = pubkey.split_first_chunk().ok_or(Error::Dh)?;
        let ours = PrivateKey::from_bytes(*self.private);
        let shared = ours.agree(&PublicKey::from_bytes(*theirs)).ok_or(Error::Dh)?;
        out[..32].copy_from_slice(&*shared);
        Ok(())
    }
}

/// ChaCha20-Poly1305.
struct ChaChaPoly(Zeroizing<[u8; KEY_LEN]>);

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; KEY_LEN]) {
        self.0.copy_from_slice(key);
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let (text, rest) = out.split_at_mut(plaintext.len());
        text.copy_from_slice(plaintext);
        let tag = Portable.seal(&self.0, nonce, authtext, text);
        rest[..TAG_LEN].copy_from_slice(&tag);
        plaintext.len() + TAG_LEN
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let (text, tag) = ciphertext.split_last_chunk().ok_or(Error::Decrypt)?;
        let out = out.get_mut(..text.len()).ok_or(Error::Decrypt)?;
        out.copy_from_slice(text);
        if Portable.open(&self.0, nonce, authtext, out, tag).is_err() {
            out.zeroize();
            return Err(Error::Decrypt);
        }
        Ok(text.len())
    }
}

/// BLAKE2s with 32 bytes of output.
struct Blake2s(Blake2s256);

impl Hash for Blake2s {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }

    fn block_len(&self) -> usize {
        BLOCK_LEN
    }

    fn hash_len(&self) -> usize {
        HASH_LEN
    }

    fn reset(&mut self) {
        self.0 = Blake2s256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..HASH_LEN].copy_from_slice(&self.0.finalize_reset());
    }

    /// As the trait has it, but wiping the pads and what is between the two passes.
    fn hmac(&mut self, key: &[u8], data: &[u8], out: &mut [u8]) {
        assert!(key.len() <= BLOCK_LEN, "keys here are hashes, 32 bytes long");
        let mut pad = Zeroizing::new([0x36; BLOCK_LEN]);
        pad.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
        self.reset();
        self.input(&*pad);
        self.input(data);
        let mut inner = Zeroizing::new([0; HASH_LEN]);
        self.result(&mut *inner);
        pad.iter_mut().for_each(|pad| *pad ^= 0x36 ^ 0x5c);
        self.input(&*pad);
        self.input(&*inner);
        self.result(out);
        self.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_the_trait() {
        use hmac_by_trait as expected;
        let mut hash = Blake2s(Blake2s256::new());
        for len in 0..=64 {
            let key: Vec<u8> = (0..len).collect();
            let mut ours = [0; 64];
            hash.hmac(&key, b"data", &mut ours);
            assert_eq!(ours[..32], expected(&key, b"data"), "{len}");
        }
    }

    /// RFC 2104, written down once more.
    fn hmac_by_trait(key: &[u8], data: &[u8]) -> [u8; 32] {
        let pad = |with: u8| {
            let mut pad = [with; 64];
            pad.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
            pad
        };
        let inner = Blake2s256::new().chain_update(pad(0x36)).chain_update(data).finalize();
        Blake2s256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
    }

    #[test]
    fn what_was_drawn_is_given_out_once() {
        let mut drawn = Drawn(Some(Zeroizing::new([7; 32])));
        let mut bytes = [0; 32];
        assert_eq!(drawn.try_fill_bytes(&mut bytes), Ok(()));
        assert_eq!(drawn.try_fill_bytes(&mut bytes), Err(Error::Rng));
    }
}
