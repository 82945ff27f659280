//! The handshake of WireGuard: Noise_IKpsk2, by `snow`.
//!
//! An initiator [`initiate`]s and keeps an [`Initiation`] until a response [finishes](Initiation::finish) it. A responder
//! [`identify`]s whose initiation it has before it knows anything else, gets a [`Hello`] and, if it wants that peer,
//! [answers](Hello::answer) with the key that the two share beforehand. Both end up with the same [`Secrets`].
//!
//! Invariants: a message that does not authenticate changes nothing; secrets are wiped when they go. `snow` keeps its
//! chaining key in memory that it does not wipe, and the keys of a session follow from that one: so its state is overwritten
//! here with one that knows nothing (`Scratch`). Copies that the compiler leaves on the stack are out of reach.

mod primitives;

use std::fmt;
use std::sync::{Arc, LazyLock};

use blake2::{Blake2s256, Digest as _};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use snow::params::NoiseParams;
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use self::primitives::Primitives;
use super::message::{INIT_NOISE, RESPONSE_NOISE};
use super::tai64n::{TIMESTAMP_LEN, Tai64n};
use crate::key::{PresharedKey, PrivateKey, PublicKey};

/// The name of the handshake, of which all hashes begin.
pub const NAME: &str = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
/// What is hashed next.
pub const PROLOGUE: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";
/// Stands in where two peers share no key beforehand.
static NO_PSK: PresharedKey = PresharedKey::from_bytes([0; 32]);
/// Where the preshared key comes in: after the second message's keys.
const PSK_AT: u8 = 2;

static PARAMS: LazyLock<NoiseParams> = LazyLock::new(|| NAME.parse().expect("snow knows this pattern"));
static BLANK: LazyLock<NoiseParams> =
    LazyLock::new(|| "Noise_NN_25519_ChaChaPoly_BLAKE2s".parse().expect("snow knows this pattern"));

/// Who we are.
pub struct Identity {
    private: PrivateKey,
    public: PublicKey,
}

impl Identity {
    /// Takes a private key.
    #[must_use]
    pub fn new(private: PrivateKey) -> Arc<Self> {
        let public = private.public();
        Arc::new(Self { private, public })
    }

    /// Returns the private key.
    #[must_use]
    pub const fn private(&self) -> &PrivateKey {
        &self.private
    }

    /// Returns the public key.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("public", &self.public).finish_non_exhaustive()
    }
}

/// A handshake message was not accepted: changed on the way, made by somebody else or for somebody else, with another
/// preshared key, or with a point of small order in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the handshake message does not authenticate")]
pub struct Rejected;

/// What a handshake leaves behind, as this side uses it.
pub struct Secrets {
    /// Seals what we send.
    pub send: Zeroizing<[u8; 32]>,
    /// Opens what we receive.
    pub receive: Zeroizing<[u8; 32]>,
    /// The hash of all that was said: the same on both sides, and no secret.
    pub hash: [u8; 32],
}

impl Secrets {
    /// Returns the initiator's and the responder's index of the session where none are sent: the first four bytes of
    /// BLAKE2s over a label and the handshake's hash.
    #[must_use]
    pub fn derived_indices(&self) -> (u32, u32) {
        let index = |label: &[u8]| {
            let hash = Blake2s256::new().chain_update(label).chain_update(self.hash).finalize();
            u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
        };
        (index(b"meshnet initiator"), index(b"meshnet responder"))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(secret)")
    }
}

/// The state of `snow`, overwritten when it goes.
struct Scratch(Box<HandshakeState>);

impl Scratch {
    fn secrets(&mut self, initiator: bool) -> Secrets {
        let (first, second) = self.0.dangerously_get_raw_split();
        let (first, second) = (Zeroizing::new(first), Zeroizing::new(second));
        let hash = self.0.get_handshake_hash().try_into().expect("BLAKE2s gives 32 bytes");
        let (send, receive) = if initiator { (first, second) } else { (second, first) };
        Secrets { send, receive, hash }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let nobody =
            Identity { private: PrivateKey::from_bytes([0; 32]), public: PublicKey::from_bytes([0; 32]) };
        let primitives = Primitives { identity: Arc::new(nobody), ephemeral: Zeroizing::default() };
        if let Ok(blank) = Builder::with_resolver(BLANK.clone(), Box::new(primitives)).build_initiator() {
            *self.0 = blank;
            std::hint::black_box(&mut self.0);
        }
    }
}

/// Draws a private key, and makes the generator forget how: who reads our memory later finds no key of a session that is
/// over.
#[must_use]
pub fn fresh_key(rng: &mut ChaCha20Rng) -> PrivateKey {
    let (mut bytes, mut next) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    rng.fill_bytes(&mut *bytes);
    rng.fill_bytes(&mut *next);
    *rng = ChaCha20Rng::from_seed(*next);
    PrivateKey::from_random(*bytes)
}

fn build(
    identity: &Arc<Identity>,
    peer: Option<&PublicKey>,
    psk: Option<&PresharedKey>,
    ephemeral: &PrivateKey,
) -> Result<Scratch, snow::Error> {
    let ephemeral = Zeroizing::new(*ephemeral.expose());
    let primitives = Primitives { identity: identity.clone(), ephemeral };
    let mut builder = Builder::with_resolver(PARAMS.clone(), Box::new(primitives))
        .prologue(PROLOGUE)?
        .local_private_key(identity.private.expose())?;
    if let Some(psk) = psk {
        builder = builder.psk(PSK_AT, psk.expose())?;
    }
    let state = match peer {
        Some(peer) => builder.remote_public_key(peer.as_bytes())?.build_initiator()?,
        None => builder.build_responder()?,
    };
    Ok(Scratch(Box::new(state)))
}

/// An initiator's half of a handshake.
pub struct Initiation(Scratch);

/// Starts a handshake: returns what waits for the response, and the body of the initiation.
///
/// # Errors
/// If the peer's key is a point of small order.
pub fn initiate(
    identity: &Arc<Identity>,
    peer: &PublicKey,
    psk: Option<&PresharedKey>,
    timestamp: &Tai64n,
    ephemeral: &PrivateKey,
) -> Result<(Initiation, [u8; INIT_NOISE]), Rejected> {
    let mut state =
        build(identity, Some(peer), Some(psk.unwrap_or(&NO_PSK)), ephemeral).map_err(|_| Rejected)?;
    let mut noise = [0; INIT_NOISE];
    let len = state.0.write_message(timestamp.as_bytes(), &mut noise).map_err(|_| Rejected)?;
    debug_assert_eq!(len, INIT_NOISE);
    Ok((Initiation(state), noise))
}

impl Initiation {
    /// Takes the body of a response. After an error another may be tried; after success the handshake is over.
    ///
    /// # Errors
    /// If it does not authenticate.
    pub fn finish(&mut self, noise: &[u8; RESPONSE_NOISE]) -> Result<Secrets, Rejected> {
        self.0.0.read_message(noise, &mut []).map_err(|_| Rejected)?;
        Ok(self.0.secrets(true))
    }
}

impl fmt::Debug for Initiation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Initiation(secret)")
    }
}

/// An initiation that authenticates: it was made by this peer, for us. It may be a recording; the timestamp tells.
pub struct Hello {
    peer: PublicKey,
    timestamp: Tai64n,
    state: Scratch,
}

/// Opens the body of an initiation and says whose it is. Costs two Diffie-Hellman results.
///
/// # Errors
/// If it does not authenticate.
pub fn identify(
    identity: &Arc<Identity>,
    noise: &[u8; INIT_NOISE],
    rng: &mut ChaCha20Rng,
) -> Result<Hello, Rejected> {
    let mut state = build(identity, None, None, &fresh_key(rng)).map_err(|_| Rejected)?;
    let mut timestamp = [0; TIMESTAMP_LEN];
    let len = state.0.read_message(noise, &mut timestamp).map_err(|_| Rejected)?;
    debug_assert_eq!(len, TIMESTAMP_LEN);
    let peer = state.0.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(Rejected)?;
    Ok(Hello { peer: PublicKey::from_bytes(peer), timestamp: Tai64n::from_bytes(timestamp), state })
}

impl Hello {
    /// Returns who it is.
    #[must_use]
    pub const fn peer(&self) -> &PublicKey {
        &self.peer
    }

    /// Returns when it was made, as the peer says.
    #[must_use]
    pub const fn timestamp(&self) -> &Tai64n {
        &self.timestamp
    }

    /// Answers: returns the body of the response, and the secrets. Costs two Diffie-Hellman results.
    ///
    /// # Errors
    /// If the peer's ephemeral key is a point of small order.
    pub fn answer(mut self, psk: Option<&PresharedKey>) -> Result<([u8; RESPONSE_NOISE], Secrets), Rejected> {
        let psk = psk.unwrap_or(&NO_PSK);
        self.state.0.set_psk(PSK_AT.into(), psk.expose()).map_err(|_| Rejected)?;
        let mut noise = [0; RESPONSE_NOISE];
        let len = self.state.0.write_message(&[], &mut noise).map_err(|_| Rejected)?;
        debug_assert_eq!(len, RESPONSE_NOISE);
        Ok((noise, self.state.secrets(false)))
    }
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("peer", &self.peer)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
