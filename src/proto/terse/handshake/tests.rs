//! The expanded message beside the one that `snow` wrote, over primitives that draw from a seed.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};

use super::*;
use crate::terse::frame::Datagram;

/// Primitives over those of this crate.
struct Seeded([u8; 32]);

impl CryptoResolver for Seeded {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Chance(ChaCha20Rng::from_seed(self.0))))
    }
    fn resolve_dh(&self, _: &DHChoice) -> Option<Box<dyn Dh>> {
        Some(Box::new(X25519 { private: PrivateKey::from_bytes([0; 32]), public: [0; 32], raw: [0; 32] }))
    }
    fn resolve_hash(&self, _: &HashChoice) -> Option<Box<dyn Hash>> {
        Some(Box::new(Blake(Blake2s256::new())))
    }
    fn resolve_cipher(&self, _: &CipherChoice) -> Option<Box<dyn Cipher>> {
        Some(Box::new(ChaChaPoly([0; 32])))
    }
}

struct Chance(ChaCha20Rng);

impl Random for Chance {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill_bytes(out);
        Ok(())
    }
}

struct X25519 {
    private: PrivateKey,
    public: [u8; 32],
    raw: [u8; 32],
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }
    fn pub_len(&self) -> usize {
        32
    }
    fn priv_len(&self) -> usize {
        32
    }
    fn set(&mut self, private: &[u8]) {
        self.raw = private.try_into().unwrap();
        self.private = PrivateKey::from_bytes(self.raw);
        self.public = *self.private.public().as_bytes();
    }
    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut bytes = [0; 32];
        rng.try_fill_bytes(&mut bytes)?;
        self.set(&bytes);
        Ok(())
    }
    fn pubkey(&self) -> &[u8] {
        &self.public
    }
    fn privkey(&self) -> &[u8] {
        &self.raw
    }
    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let public = PublicKey::from_bytes(public[..32].try_into().unwrap());
        out[..32].copy_from_slice(&*self.private.agree(&public).ok_or(snow::Error::Dh)?);
        Ok(())
    }
}

struct Blake(Blake2s256);

impl Hash for Blake {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }
    fn block_len(&self) -> usize {
        64
    }
    fn hash_len(&self) -> usize {
        32
    }
    fn reset(&mut self) {
        self.0 = Blake2s256::new();
    }
    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }
    fn result(&mut self, out: &mut [u8]) {
        out[..32].copy_from_slice(&self.0.clone().finalize());
    }
}

struct ChaChaPoly([u8; 32]);

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }
    fn set(&mut self, key: &[u8; 32]) {
        self.0 = *key;
    }
    fn encrypt(&self, nonce: u64, aad: &[u8], plain: &[u8], out: &mut [u8]) -> usize {
        let (sealed, rest) = out.split_at_mut(plain.len());
        sealed.copy_from_slice(plain);
        rest[..16].copy_from_slice(&Portable.seal(&self.0, nonce, aad, sealed));
        plain.len() + 16
    }
    fn decrypt(&self, nonce: u64, aad: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<usize, snow::Error> {
        let (text, tag) = sealed.split_last_chunk().ok_or(snow::Error::Decrypt)?;
        out[..text.len()].copy_from_slice(text);
        Portable.open(&self.0, nonce, aad, &mut out[..text.len()], tag).map_err(|_| snow::Error::Decrypt)?;
        Ok(text.len())
    }
}

struct Pair {
    initiator: snow::HandshakeState,
    responder: snow::HandshakeState,
    private: PrivateKey,
    public: PublicKey,
}

/// Two ends, each with keys of its own, that are about to shake hands.
fn pair(rng: &mut ChaCha20Rng) -> Pair {
    let mut random = || {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    let (ours, theirs, psk, seeds) = (random(), random(), random(), [random(), random()]);
    let public = |key| *PrivateKey::from_bytes(key).public().as_bytes();
    let params: snow::params::NoiseParams = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s".parse().unwrap();
    let builder = |seed| {
        snow::Builder::with_resolver(params.clone(), Box::new(Seeded(seed)))
            .prologue(IDENTIFIER)
            .unwrap()
            .psk(2, &psk)
            .unwrap()
    };
    let remote = public(theirs);
    let initiator = builder(seeds[0]).local_private_key(&ours).unwrap().remote_public_key(&remote).unwrap();
    let responder = builder(seeds[1]).local_private_key(&theirs).unwrap();
    Pair {
        initiator: initiator.build_initiator().unwrap(),
        responder: responder.build_responder().unwrap(),
        private: PrivateKey::from_bytes(theirs),
        public: PublicKey::from_bytes(public(ours)),
    }
}

fn stamp(rng: &mut ChaCha20Rng) -> [u8; 12] {
    let mut stamp = [0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    rng.fill_bytes(&mut stamp[4..8]);
    stamp[8] = rng.next_u32().to_le_bytes()[0] % 0x3c;
    stamp
}

fn body(datagram: &[u8; INIT_LEN]) -> [u8; INIT_LEN - 1] {
    match Datagram::parse(datagram) {
        Ok(Datagram::Init { check: 9, body }) => *body,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_init_expands_to_what_noise_wrote_and_the_handshake_completes() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    for _ in 0..300 {
        let mut pair = pair(&mut rng);
        let (mut noise, mut plain, stamp) = ([0; INIT_NOISE], [0; 64], stamp(&mut rng));
        assert_eq!(pair.initiator.write_message(&stamp, &mut noise).unwrap(), INIT_NOISE);
        let datagram = strip_init(&noise, 9);
        assert_eq!(datagram.len(), 54);
        let expanded = expand_init(&body(&datagram), &pair.private, &pair.public).unwrap();
        assert_eq!(expanded, noise);
        assert_eq!(pair.responder.read_message(&expanded, &mut plain).unwrap(), 12);
        assert_eq!(plain[..12], stamp);

        let mut noise = [0; RESPONSE_NOISE];
        assert_eq!(pair.responder.write_message(&[], &mut noise).unwrap(), RESPONSE_NOISE);
        let datagram = strip_response(&noise, 31);
        assert_eq!(datagram.len(), 49);
        assert_eq!(Datagram::parse(&datagram), Ok(Datagram::Response { check: 31, noise: &noise }));
        pair.initiator.read_message(&noise, &mut plain).unwrap();
        assert_eq!(pair.initiator.get_handshake_hash(), pair.responder.get_handshake_hash());
    }
}

#[test]
fn an_init_that_was_touched_or_is_of_somebody_else_is_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let mut pair = pair(&mut rng);
    let mut noise = [0; INIT_NOISE];
    pair.initiator.write_message(&stamp(&mut rng), &mut noise).unwrap();
    let good = body(&strip_init(&noise, 9));
    for at in 0..good.len() {
        let mut touched = good;
        touched[at] ^= 1;
        let refused = expand_init(&touched, &pair.private, &pair.public);
        assert_eq!(refused, Err(ExpandError::Unauthentic), "{at}");
    }
    let stranger = PrivateKey::from_random([5; 32]);
    assert!(expand_init(&good, &pair.private, &stranger.public()).is_err());
    assert!(expand_init(&good, &stranger, &pair.public).is_err());
    let mut weak = good;
    weak[..32].fill(0);
    assert_eq!(expand_init(&weak, &pair.private, &pair.public), Err(ExpandError::WeakKey));
}

#[test]
fn a_timestamp_of_another_form_is_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    for (at, value) in [(3, 1), (9, 1), (11, 1), (0, 0)] {
        let mut pair = pair(&mut rng);
        let (mut noise, mut stamp) = ([0; INIT_NOISE], stamp(&mut rng));
        stamp[at] = value;
        pair.initiator.write_message(&stamp, &mut noise).unwrap();
        let refused = expand_init(&body(&strip_init(&noise, 9)), &pair.private, &pair.public);
        assert_eq!(refused, Err(ExpandError::Unauthentic));
    }
}
