//! The handshake: one init, one response, three Diffie-Hellman results.
//!
//! An [`Attempt`] is what an initiator keeps between the two messages; [`respond`] is all that a responder does. Both
//! sides hold a [`Pair`] for their peer: the two static keys and their shared secret, computed once, so that an init that
//! does not come from the peer costs one hash and nothing more.
//!
//! A session's number is not random but a hash of the ephemeral key under the static shared secret ([`Pair::number`]).
//! To anybody else, the Python tool included, that looks random; to the peer it says "meshnetd": such a peer takes frames
//! whatever MAC address they bear and needs no address resolution, which saves 204 bytes of air.

use blake2::Blake2sMac;
use blake2::digest::consts::U16;
use blake2::digest::{KeyInit as _, Mac as _};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::session::Keys;
use super::wire::{Init, MAC_LEN, Response};
use crate::key::{PresharedKey, PrivateKey, PublicKey};

type Secret = Zeroizing<[u8; 32]>;

/// Our static key and a peer's, with what they agree on.
pub struct Pair {
    ours: PrivateKey,
    theirs: PublicKey,
    shared: Secret,
    preshared: Option<PresharedKey>,
}

/// Why a handshake message was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The MAC is wrong: it does not come from this peer, or not for us.
    #[error("wrong MAC")]
    Unauthentic,
    /// The ephemeral key is a point of small order: it agrees on a secret that everybody knows.
    #[error("the ephemeral key is a point of small order")]
    WeakKey,
}

impl Pair {
    /// Pairs our private key with a peer's public key. `None` if that is a point of small order.
    #[must_use]
    pub fn new(ours: PrivateKey, theirs: PublicKey, preshared: Option<PresharedKey>) -> Option<Self> {
        let shared = ours.agree(&theirs)?;
        Some(Self { ours, theirs, shared, preshared })
    }

    /// Returns the secret that the two share beforehand.
    #[must_use]
    pub const fn preshared(&self) -> Option<&PresharedKey> {
        self.preshared.as_ref()
    }

    /// Returns whether an init's MAC is right: the one check that costs no Diffie-Hellman.
    #[must_use]
    pub fn is_authentic(&self, init: &Init) -> bool {
        self.init_mac(init.session, &init.ephemeral).ct_eq(&init.mac).into()
    }

    /// Returns the session number that this implementation gives to a session with this ephemeral key.
    #[must_use]
    pub fn number(&self, ephemeral: &[u8; 32]) -> u32 {
        let hash = mac(&self.shared, &[b"meshnetd session", ephemeral]);
        u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
    }

    fn init_mac(&self, session: u32, ephemeral: &[u8; 32]) -> [u8; MAC_LEN] {
        mac(&self.shared, &[&session.to_le_bytes(), ephemeral])
    }
}

/// An initiator's half of a handshake.
pub struct Attempt {
    number: u32,
    ephemeral: PrivateKey,
    init: Init,
}

impl Attempt {
    /// Starts a handshake with a fresh ephemeral key.
    #[must_use]
    pub fn new(pair: &Pair, ephemeral: PrivateKey) -> Self {
        let public = *ephemeral.public().as_bytes();
        let number = pair.number(&public);
        Self::with_number(pair, ephemeral, number)
    }

    /// Starts a handshake as another implementation would: with a session number of its own choosing. For models of
    /// such a peer.
    #[must_use]
    pub fn foreign(pair: &Pair, ephemeral: PrivateKey, number: u32) -> Self {
        Self::with_number(pair, ephemeral, number)
    }

    fn with_number(pair: &Pair, ephemeral: PrivateKey, number: u32) -> Self {
        let public = *ephemeral.public().as_bytes();
        let init = Init { session: number, ephemeral: public, mac: pair.init_mac(number, &public) };
        Self { number, ephemeral, init }
    }

    /// Returns the message to send.
    #[must_use]
    pub const fn init(&self) -> &Init {
        &self.init
    }

    /// Returns the session number that a response to this must name.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Takes the response and returns the session's keys.
    ///
    /// # Errors
    /// If the response does not authenticate; the attempt stays good for another.
    pub fn finish(&self, pair: &Pair, response: &Response) -> Result<Keys, HandshakeError> {
        let theirs = PublicKey::from_bytes(response.ephemeral);
        let ikm = join([
            self.ephemeral.agree(&theirs),
            pair.ours.agree(&theirs),
            self.ephemeral.agree(&pair.theirs),
        ])?;
        let expected = response_mac(&ikm, response.sender, response.receiver, &response.ephemeral);
        if !bool::from(expected.ct_eq(&response.mac)) {
            return Err(HandshakeError::Unauthentic);
        }
        let (send, receive) = transport_keys(&ikm, pair.preshared.as_ref());
        Ok(Keys { send, receive })
    }
}

/// Answers an init: returns the response and the session's keys.
///
/// # Errors
/// If the init does not authenticate.
pub fn respond(pair: &Pair, init: &Init, ephemeral: &PrivateKey) -> Result<(Response, Keys), HandshakeError> {
    let public = *ephemeral.public().as_bytes();
    respond_with_number(pair, init, ephemeral, pair.number(&public))
}

/// Answers as another implementation would: with a session number of its own choosing. For models of such a peer.
///
/// # Errors
/// If the init does not authenticate.
pub fn respond_as_foreign(
    pair: &Pair,
    init: &Init,
    ephemeral: &PrivateKey,
) -> Result<(Response, Keys), HandshakeError> {
    respond_with_number(pair, init, ephemeral, !init.session)
}

fn respond_with_number(
    pair: &Pair,
    init: &Init,
    ephemeral: &PrivateKey,
    sender: u32,
) -> Result<(Response, Keys), HandshakeError> {
    if !pair.is_authentic(init) {
        return Err(HandshakeError::Unauthentic);
    }
    let theirs = PublicKey::from_bytes(init.ephemeral);
    let ikm = join([ephemeral.agree(&theirs), ephemeral.agree(&pair.theirs), pair.ours.agree(&theirs)])?;
    let public = *ephemeral.public().as_bytes();
    let mac = response_mac(&ikm, sender, init.session, &public);
    let response = Response { sender, receiver: init.session, ephemeral: public, mac };
    let (receive, send) = transport_keys(&ikm, pair.preshared.as_ref());
    Ok((response, Keys { send, receive }))
}

type Ikm = Zeroizing<[u8; 96]>;

fn join(parts: [Option<Secret>; 3]) -> Result<Ikm, HandshakeError> {
    let mut ikm = Zeroizing::new([0; 96]);
    for (part, room) in parts.into_iter().zip(ikm.chunks_exact_mut(32)) {
        room.copy_from_slice(&*part.ok_or(HandshakeError::WeakKey)?);
    }
    Ok(ikm)
}

fn response_mac(ikm: &Ikm, sender: u32, receiver: u32, ephemeral: &[u8; 32]) -> [u8; MAC_LEN] {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(b"meshnet-hs-mac"), &**ikm)
        .expand(b"response-mac", &mut *key)
        .expect("32 bytes are no more than HKDF gives");
    mac(&key, &[&sender.to_le_bytes(), &receiver.to_le_bytes(), ephemeral])
}

/// Returns the initiator-to-responder key and the other one.
fn transport_keys(ikm: &Ikm, preshared: Option<&PresharedKey>) -> (Secret, Secret) {
    let salt = preshared.map_or(&[0; 32], PresharedKey::expose);
    let mut both = Zeroizing::new([0; 64]);
    Hkdf::<Sha256>::new(Some(salt), &**ikm)
        .expand(b"meshnet-transport-keys", &mut *both)
        .expect("64 bytes are no more than HKDF gives");
    let (mut first, mut last) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    first.copy_from_slice(&both[..32]);
    last.copy_from_slice(&both[32..]);
    (first, last)
}

/// BLAKE2s-128 with a key, over the parts in a row.
fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; MAC_LEN] {
    let mut mac = Blake2sMac::<U16>::new_from_slice(key).expect("BLAKE2s takes a key of 32 bytes");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::session::{Cipher, OpenError, Session};
    use crate::v1::wire::{Data, Datagram};
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Vectors {
        pki: Vec<Pki>,
    }

    #[derive(Deserialize)]
    struct Pki {
        initiator_private: String,
        responder_private: String,
        psk: Option<String>,
        initiator_ephemeral_private: String,
        responder_ephemeral_private: String,
        initiator_session: u32,
        responder_session: u32,
        init: String,
        response: String,
        initiator_to_responder_key: String,
        responder_to_initiator_key: String,
        frames: Vec<Frame>,
    }

    #[derive(Deserialize)]
    struct Frame {
        from: String,
        frame: String,
        packet: String,
    }

    fn key(text: &str) -> [u8; 32] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    fn vectors() -> Vec<Pki> {
        let text = include_str!("../../../tests/vectors/meshnet-0.1.0.json");
        serde_json::from_str::<Vectors>(text).unwrap().pki
    }

    fn pairs(vector: &Pki) -> (Pair, Pair) {
        let initiator = PrivateKey::from_bytes(key(&vector.initiator_private));
        let responder = PrivateKey::from_bytes(key(&vector.responder_private));
        let psk = vector.psk.as_deref().map(|psk| PresharedKey::from_bytes(key(psk)));
        let of_initiator = Pair::new(initiator.clone(), responder.public(), psk.clone()).unwrap();
        let of_responder = Pair::new(responder, initiator.public(), psk).unwrap();
        (of_initiator, of_responder)
    }

    fn ephemerals(vector: &Pki) -> (PrivateKey, PrivateKey) {
        (
            PrivateKey::from_bytes(key(&vector.initiator_ephemeral_private)),
            PrivateKey::from_bytes(key(&vector.responder_ephemeral_private)),
        )
    }

    #[test]
    fn handshakes_are_those_of_the_reference_to_the_byte() {
        for vector in vectors() {
            let (of_initiator, of_responder) = pairs(&vector);
            let (e_i, e_r) = ephemerals(&vector);
            let attempt = Attempt::with_number(&of_initiator, e_i, vector.initiator_session);
            assert_eq!(hex::encode(attempt.init().emit()), vector.init);
            let (response, keys_r) =
                respond_with_number(&of_responder, attempt.init(), &e_r, vector.responder_session).unwrap();
            assert_eq!(hex::encode(response.emit()), vector.response);
            let keys_i = attempt.finish(&of_initiator, &response).unwrap();
            assert_eq!(hex::encode(*keys_i.send), vector.initiator_to_responder_key);
            assert_eq!(hex::encode(*keys_i.receive), vector.responder_to_initiator_key);
            assert_eq!((&keys_i.send, &keys_i.receive), (&keys_r.receive, &keys_r.send));
        }
    }

    #[test]
    fn sealed_frames_are_those_of_the_reference_to_the_byte() {
        for vector in vectors() {
            let (to_responder, to_initiator) =
                (key(&vector.initiator_to_responder_key), key(&vector.responder_to_initiator_key));
            let side = |send, receive| {
                Session::new(&Keys { send: Zeroizing::new(send), receive: Zeroizing::new(receive) })
            };
            let mut initiator = side(to_responder, to_initiator);
            let mut responder = side(to_initiator, to_responder);
            for Frame { from, frame, packet } in &vector.frames {
                let (sender, receiver) = match from.as_str() {
                    "initiator" => (&mut initiator, &mut responder),
                    _ => (&mut responder, &mut initiator),
                };
                let frame = hex::decode(frame).unwrap();
                let (counter, ciphertext) = sender.seal(&frame);
                let bytes = Data { counter, ciphertext: &ciphertext }.emit();
                assert_eq!(hex::encode(&bytes), *packet);
                let Ok(Datagram::Data(data)) = Datagram::parse(&bytes) else { panic!("no data") };
                assert_eq!(receiver.open(&data).unwrap(), frame);
                assert_eq!(receiver.open(&data), Err(OpenError::Replayed));
            }
        }
    }

    #[test]
    fn an_init_of_somebody_else_is_refused_before_any_diffie_hellman() {
        let vector = &vectors()[0];
        let (_, of_responder) = pairs(vector);
        let stranger = PrivateKey::from_random([9; 32]);
        let pair = Pair::new(stranger, of_responder.ours.public(), None).unwrap();
        let attempt = Attempt::new(&pair, PrivateKey::from_random([8; 32]));
        assert!(!of_responder.is_authentic(attempt.init()));
        let refused = respond(&of_responder, attempt.init(), &PrivateKey::from_random([7; 32]));
        assert_eq!(refused.err(), Some(HandshakeError::Unauthentic));
    }

    #[test]
    fn an_ephemeral_key_of_small_order_is_refused_on_both_sides() {
        let (of_initiator, of_responder) = pairs(&vectors()[0]);
        let ephemeral = [0; 32];
        let mac = of_initiator.init_mac(1, &ephemeral);
        let init = Init { session: 1, ephemeral, mac };
        let refused = respond(&of_responder, &init, &PrivateKey::from_random([7; 32]));
        assert_eq!(refused.err(), Some(HandshakeError::WeakKey));
        let attempt = Attempt::new(&of_initiator, PrivateKey::from_random([8; 32]));
        let response = Response { sender: 1, receiver: attempt.number(), ephemeral, mac: [0; 16] };
        assert_eq!(attempt.finish(&of_initiator, &response).err(), Some(HandshakeError::WeakKey));
    }

    #[test]
    fn a_wrong_preshared_key_shows_as_undecryptable_data_only() {
        let vector = &vectors()[0];
        let (of_initiator, of_responder) = pairs(vector);
        let other = PresharedKey::from_bytes([1; 32]);
        let of_responder = Pair::new(of_responder.ours, of_responder.theirs, Some(other)).unwrap();
        let (e_i, e_r) = ephemerals(vector);
        let attempt = Attempt::new(&of_initiator, e_i);
        let (response, theirs) = respond(&of_responder, attempt.init(), &e_r).unwrap();
        let ours = attempt.finish(&of_initiator, &response).unwrap();
        let sealed = Cipher::new(&ours.send).seal(0, b"frame");
        let opened = Cipher::new(&theirs.receive).open(&Data { counter: 0, ciphertext: &sealed });
        assert_eq!(opened, Err(OpenError::Unauthentic));
    }

    #[test]
    fn both_sides_know_the_number_that_names_this_implementation() {
        let (of_initiator, of_responder) = pairs(&vectors()[0]);
        let attempt = Attempt::new(&of_initiator, PrivateKey::from_random([8; 32]));
        assert_eq!(of_responder.number(&attempt.init().ephemeral), attempt.number());
        let stranger = Pair::new(PrivateKey::from_random([9; 32]), of_responder.theirs, None).unwrap();
        assert_ne!(stranger.number(&attempt.init().ephemeral), attempt.number());
    }
}
