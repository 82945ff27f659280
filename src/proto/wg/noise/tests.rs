use super::*;
use crate::wg::tests::vectors::{self, array};

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([3; 32])
}

fn pair() -> (Arc<Identity>, Arc<Identity>) {
    (Identity::new(PrivateKey::from_random([1; 32])), Identity::new(PrivateKey::from_random([2; 32])))
}

fn stamp(seconds: u64) -> Tai64n {
    Tai64n::from_unix(std::time::Duration::from_secs(seconds))
}

#[test]
fn handshakes_are_those_of_an_independent_derivation_to_the_byte() {
    for vector in vectors::all() {
        let (ours, theirs) = vector.identities();
        let (psk, timestamp) = (vector.psk(), Tai64n::from_bytes(array(&vector.timestamp)));
        let (init, response) = (hex::decode(&vector.init).unwrap(), hex::decode(&vector.response).unwrap());
        let ephemeral = PrivateKey::from_bytes(array(&vector.initiator_ephemeral));
        let (mut initiation, noise) =
            initiate(&ours, theirs.public(), psk.as_ref(), &timestamp, &ephemeral).unwrap();
        assert_eq!(hex::encode(noise), hex::encode(&init[8..116]));
        let secrets = initiation.finish(response[12..60].try_into().unwrap()).unwrap();
        assert_eq!(hex::encode(*secrets.send), vector.initiator_to_responder);
        assert_eq!(hex::encode(*secrets.receive), vector.responder_to_initiator);
        assert_eq!(hex::encode(secrets.hash), vector.hash);
        let derived = (vector.derived_initiator_index, vector.derived_responder_index);
        assert_eq!(secrets.derived_indices(), derived);
    }
}

#[test]
fn both_sides_end_up_with_the_same_secrets() {
    let (ours, theirs) = pair();
    let psk = PresharedKey::from_bytes([9; 32]);
    let mut rng = rng();
    let (mut initiation, init) =
        initiate(&ours, theirs.public(), Some(&psk), &stamp(5), &fresh_key(&mut rng)).unwrap();
    let hello = identify(&theirs, &init, &mut rng).unwrap();
    assert_eq!((hello.peer(), *hello.timestamp()), (ours.public(), stamp(5)));
    let (response, of_responder) = hello.answer(Some(&psk)).unwrap();
    let of_initiator = initiation.finish(&response).unwrap();
    assert_eq!(of_initiator.send, of_responder.receive);
    assert_eq!(of_initiator.receive, of_responder.send);
    assert_eq!(of_initiator.hash, of_responder.hash);
    assert_ne!(of_initiator.send, of_initiator.receive);
}

#[test]
fn a_changed_byte_anywhere_is_refused_and_the_true_message_still_taken() {
    let (ours, theirs) = pair();
    let mut rng = rng();
    let (mut initiation, init) =
        initiate(&ours, theirs.public(), None, &stamp(5), &fresh_key(&mut rng)).unwrap();
    for at in 0..INIT_NOISE {
        let mut changed = init;
        changed[at] ^= 1;
        assert!(identify(&theirs, &changed, &mut rng).is_err(), "byte {at}");
    }
    let (response, _) = identify(&theirs, &init, &mut rng).unwrap().answer(None).unwrap();
    for at in 0..RESPONSE_NOISE {
        let mut changed = response;
        changed[at] ^= 1;
        assert!(initiation.finish(&changed).is_err(), "byte {at}");
    }
    assert!(initiation.finish(&response).is_ok());
}

#[test]
fn another_preshared_key_shows_in_the_response() {
    let (ours, theirs) = pair();
    let mut rng = rng();
    let (mut initiation, init) =
        initiate(&ours, theirs.public(), None, &stamp(5), &fresh_key(&mut rng)).unwrap();
    let other = PresharedKey::from_bytes([9; 32]);
    let (response, _) = identify(&theirs, &init, &mut rng).unwrap().answer(Some(&other)).unwrap();
    assert!(initiation.finish(&response).is_err());
}

#[test]
fn an_initiation_for_somebody_else_says_nothing() {
    let (ours, theirs) = pair();
    let mut rng = rng();
    let (_, init) = initiate(&ours, theirs.public(), None, &stamp(5), &fresh_key(&mut rng)).unwrap();
    assert!(identify(&ours, &init, &mut rng).is_err());
}

#[test]
fn points_of_small_order_are_refused_on_both_sides() {
    let (ours, theirs) = pair();
    let mut rng = rng();
    let weak = PublicKey::from_bytes([0; 32]);
    assert!(initiate(&ours, &weak, None, &stamp(5), &fresh_key(&mut rng)).is_err());
    assert!(identify(&theirs, &[0; INIT_NOISE], &mut rng).is_err());
    let (mut initiation, _) =
        initiate(&ours, theirs.public(), None, &stamp(5), &fresh_key(&mut rng)).unwrap();
    assert!(initiation.finish(&[0; RESPONSE_NOISE]).is_err());
}

#[test]
fn debug_shows_no_secret() {
    let (ours, theirs) = pair();
    let mut rng = rng();
    let (mut initiation, init) =
        initiate(&ours, theirs.public(), None, &stamp(5), &fresh_key(&mut rng)).unwrap();
    let hello = identify(&theirs, &init, &mut rng).unwrap();
    assert!(!format!("{hello:?}").contains("state"));
    let (response, _) = hello.answer(None).unwrap();
    assert_eq!(format!("{initiation:?}"), "Initiation(secret)");
    assert_eq!(format!("{:?}", initiation.finish(&response).unwrap()), "Secrets(secret)");
    assert!(!format!("{ours:?}").contains("private"));
}

#[test]
fn the_generator_does_not_remember_the_keys_that_it_gave() {
    let mut rng = rng();
    let first = fresh_key(&mut rng).public();
    // The state of the generator is its seed and a position in its stream, which can be set back.
    let mut rewound = ChaCha20Rng::from_seed(rng.get_seed());
    assert_ne!(fresh_key(&mut rewound).public(), first);
}
