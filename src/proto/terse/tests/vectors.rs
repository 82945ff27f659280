//! A session on the wire to the byte, derived independently of this crate: with the hash, HMAC, X25519 and AEAD of another
//! language's libraries, each step written out as `docs/terse.md` has it. The same bytes are printed there.

use serde::Deserialize;

use super::*;
use crate::control::Control;
use crate::key::{PresharedKey, PrivateKey};
use crate::terse::handshake::{RESPONSE_LEN, expand_init, strip_init, strip_response};
use crate::terse::reassembly::Missing;
use crate::wg::noise::{Identity, Secrets, initiate};
use crate::wg::tai64n::Tai64n;
use crate::wg::tests::vectors::array;

/// One session.
#[derive(Deserialize)]
struct Vector {
    initiator_private: String,
    responder_private: String,
    psk: String,
    initiator_ephemeral: String,
    responder_ephemeral: String,
    timestamp: String,
    init: String,
    response: String,
    hash: String,
    initiator_to_responder: String,
    responder_to_initiator: String,
    data: String,
    mtu: usize,
    parts: Vec<String>,
    parity: String,
    question: String,
}

impl Vector {
    fn read() -> Self {
        serde_json::from_str(include_str!("../../../../tests/vectors/terse.json")).unwrap()
    }

    /// Shakes hands as the initiator, with the responder's bytes.
    fn secrets(&self) -> Secrets {
        let [ours, theirs] = [&self.initiator_private, &self.responder_private]
            .map(|key| Identity::new(PrivateKey::from_bytes(array(key))));
        let psk = PresharedKey::from_bytes(array(&self.psk));
        let stamp = Tai64n::from_bytes(array(&self.timestamp));
        let ephemeral = PrivateKey::from_bytes(array(&self.initiator_ephemeral));
        let (mut initiation, noise) =
            initiate(&ours, theirs.public(), Some(&psk), &stamp, &ephemeral).unwrap();
        let check = context().check(true, ephemeral.public().as_bytes());
        assert_eq!(hex::encode(strip_init(&noise, check)), self.init);
        let init = hex::decode(&self.init).unwrap();
        let expanded = expand_init(init[1..].try_into().unwrap(), theirs.private(), ours.public());
        assert_eq!(expanded.as_ref(), Ok(&noise));
        let response: [u8; RESPONSE_LEN] = array(&self.response);
        let noise = response[1..].try_into().unwrap();
        let theirs = PrivateKey::from_bytes(array(&self.responder_ephemeral)).public();
        let check = context().mirrored().response_check(true, theirs.as_bytes());
        assert_eq!(strip_response(&noise, check), response);
        initiation.finish(&noise).unwrap()
    }
}

fn sealed(key: &[u8; 32], counter: u64, plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = plaintext.to_vec();
    let tag = Portable.seal(key, counter, ADDITIONAL_DATA, &mut sealed);
    sealed.extend(tag);
    sealed
}

fn compressed(packet: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::terse::header::compress(packet, &context(), &mut out);
    out
}

#[test]
fn a_session_on_the_wire_is_that_of_an_independent_derivation_to_the_byte() {
    let vector = Vector::read();
    let secrets = vector.secrets();
    assert_eq!(hex::encode(secrets.hash), vector.hash);
    assert_eq!(hex::encode(*secrets.send), vector.initiator_to_responder);
    assert_eq!(hex::encode(*secrets.receive), vector.responder_to_initiator);
    let (initiator, responder) = secrets.derived_indices();
    let all = |tag, counter, sealed: &[u8], parity| {
        let datagrams = split(tag_of(tag), counter, sealed, vector.mtu, parity).unwrap();
        datagrams.into_iter().map(hex::encode).collect::<Vec<_>>()
    };
    let whole = sealed(&secrets.send, 0, &compressed(&ping(56)));
    assert_eq!(hex::encode(&split(tag_of(responder), 0, &whole, MTU, true).unwrap()[0]), vector.data);
    let whole = sealed(&secrets.send, 1, &compressed(&ping(99)));
    assert_eq!(all(responder, 1, &whole, false), vector.parts);
    assert_eq!(all(responder, 1, &whole, true)[2], vector.parity);
    let question = Control::Missing { counter_low: 1, bitmap: 0b10 }.emit();
    assert_eq!(all(initiator, 0, &sealed(&secrets.receive, 0, &question), false), [vector.question]);
}

#[test]
fn parts_of_the_example_are_asked_for_as_it_says_and_parity_stands_in_for_one() {
    let vector = Vector::read();
    let now = crate::testing::start();
    let patience = Patience { silence: Duration::from_secs(5), lifetime: Duration::from_secs(120) };
    let part = |text: &String| hex::decode(text).unwrap();
    let push = |reassembler: &mut Reassembler, bytes: &[u8]| match Datagram::parse(bytes) {
        Ok(Datagram::Part(part)) => reassembler.push(&part, now),
        other => panic!("{other:?}"),
    };
    let mut reassembler = Reassembler::new(patience);
    for text in [&vector.parts[0], &vector.parts[2]] {
        assert_eq!(push(&mut reassembler, &part(text)), Outcome::Kept);
    }
    assert_eq!(reassembler.poll_missing(now), Some(Missing { counter_low: 1, bitmap: 0b10 }));
    let Outcome::Whole { sealed, .. } = push(&mut reassembler, &part(&vector.parity)) else {
        panic!("parity stands in")
    };
    let chunks = vector.parts.iter().flat_map(|text| part(text).split_off(4));
    assert_eq!(sealed, chunks.collect::<Vec<_>>());
}

#[test]
fn the_specification_prints_the_same_bytes() {
    let plain = |text: &str| text.split_whitespace().collect::<String>();
    let page = plain(include_str!("../../../../docs/terse.md"));
    let vector = Vector::read();
    let texts = [
        &vector.initiator_private,
        &vector.responder_private,
        &vector.psk,
        &vector.initiator_ephemeral,
        &vector.responder_ephemeral,
        &vector.timestamp,
        &vector.init,
        &vector.response,
        &vector.hash,
        &vector.initiator_to_responder,
        &vector.responder_to_initiator,
        &vector.data,
        &vector.parity,
        &vector.question,
    ];
    for text in texts.into_iter().chain(&vector.parts) {
        assert!(page.contains(text.as_str()), "{text}");
    }
}
