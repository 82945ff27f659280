//! The expanded message beside the one that Noise wrote.

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::*;
use crate::key::PresharedKey;
use crate::terse::frame::{Datagram, tag_of};
use crate::wg::noise::{Identity, Initiation, Secrets, fresh_key, identify, initiate};
use crate::wg::tai64n::Tai64n;

/// What an initiator has after its first message.
struct Begun {
    initiation: Initiation,
    noise: [u8; INIT_NOISE],
    /// The initiator's.
    public: PublicKey,
    responder: Arc<Identity>,
    psk: Option<PresharedKey>,
}

fn begin(stamp: Tai64n, rng: &mut ChaCha20Rng) -> Begun {
    let [ours, theirs] = [(); 2].map(|()| Identity::new(fresh_key(rng)));
    let mut psk = [0; 32];
    rng.fill_bytes(&mut psk);
    let psk = rng.next_u32().is_multiple_of(2).then_some(PresharedKey::from_bytes(psk));
    let (initiation, noise) =
        initiate(&ours, theirs.public(), psk.as_ref(), &stamp, &fresh_key(rng)).unwrap();
    Begun { initiation, noise, public: *ours.public(), responder: theirs, psk }
}

/// A moment between 1970 and 2106.
fn stamp(rng: &mut ChaCha20Rng) -> Tai64n {
    let seconds = u64::from(rng.next_u32().min(u32::MAX - 10));
    Tai64n::from_unix(std::time::Duration::new(seconds, rng.next_u32() % 1_000_000_000))
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
        let stamp = stamp(&mut rng);
        let mut begun = begin(stamp, &mut rng);
        let datagram = strip_init(&begun.noise, 9);
        assert_eq!(datagram.len(), 54);
        let expanded = expand_init(&body(&datagram), begun.responder.private(), &begun.public).unwrap();
        assert_eq!(expanded, begun.noise);
        let hello = identify(&begun.responder, &expanded, &mut rng).unwrap();
        assert_eq!((hello.peer(), hello.timestamp()), (&begun.public, &stamp));

        let (noise, theirs) = hello.answer(begun.psk.as_ref()).unwrap();
        let datagram = strip_response(&noise, 31);
        assert_eq!(datagram.len(), 49);
        assert_eq!(Datagram::parse(&datagram), Ok(Datagram::Response { check: 31, noise: &noise }));
        let ours = begun.initiation.finish(&noise).unwrap();
        assert_eq!(ours.send, theirs.receive);
        assert_eq!(ours.derived_indices(), theirs.derived_indices());
    }
}

#[test]
fn a_tag_is_five_bits_of_the_first_byte_of_a_hash() {
    let secrets = Secrets { send: Zeroizing::default(), receive: Zeroizing::default(), hash: [7; 32] };
    let (initiator, _) = secrets.derived_indices();
    assert_eq!(tag_of(initiator), digest(&[b"meshnet initiator", &[7; 32]])[0] & 0x1f);
}

#[test]
fn an_init_that_was_touched_or_is_of_somebody_else_is_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let begun = begin(stamp(&mut rng), &mut rng);
    let private = begun.responder.private();
    let good = body(&strip_init(&begun.noise, 9));
    for at in 0..good.len() {
        let mut touched = good;
        touched[at] ^= 1;
        assert_eq!(expand_init(&touched, private, &begun.public), Err(ExpandError::Unauthentic), "{at}");
    }
    let stranger = PrivateKey::from_random([5; 32]);
    assert!(expand_init(&good, private, &stranger.public()).is_err());
    assert!(expand_init(&good, &stranger, &begun.public).is_err());
    let mut weak = good;
    weak[..32].fill(0);
    assert_eq!(expand_init(&weak, private, &begun.public), Err(ExpandError::WeakKey));
}

#[test]
fn a_timestamp_of_another_form_is_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    for (at, value) in [(3, 1), (9, 1), (11, 1), (0, 0)] {
        let mut bytes = *stamp(&mut rng).as_bytes();
        bytes[at] = value;
        let begun = begin(Tai64n::from_bytes(bytes), &mut rng);
        let stripped = body(&strip_init(&begun.noise, 9));
        let refused = expand_init(&stripped, begun.responder.private(), &begun.public);
        assert_eq!(refused, Err(ExpandError::Unauthentic));
    }
}
