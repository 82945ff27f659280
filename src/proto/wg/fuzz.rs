//! The bodies of the fuzz targets: plain functions of any bytes, which panic if something is wrong.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::message::{Message, RESPONSE_NOISE};
use super::noise::{Identity, identify, initiate};
use super::tai64n::Tai64n;
use super::window::{WINDOW, Window};
use crate::key::PrivateKey;

/// What is understood is written again to the byte.
///
/// # Panics
/// If it is not.
pub fn message(bytes: &[u8]) {
    match Message::parse(bytes) {
        Ok(Message::Init(init)) => assert_eq!(init.emit(), bytes),
        Ok(Message::Response(response)) => assert_eq!(response.emit(), bytes),
        Ok(Message::CookieReply(reply)) => assert_eq!(reply.emit(), bytes),
        Ok(Message::Data(data)) => assert_eq!(data.emit(), bytes),
        Err(_) => {}
    }
}

/// Neither side of a handshake takes a body that the other did not make.
///
/// # Panics
/// If it does.
pub fn handshake(bytes: &[u8]) {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let identity = Identity::new(PrivateKey::from_random([2; 32]));
    let peer = PrivateKey::from_random([3; 32]).public();
    if let Some(noise) = bytes.first_chunk() {
        assert!(identify(&identity, noise, &mut rng).is_err(), "an initiation out of nothing");
    }
    if let Some(noise) = bytes.first_chunk::<RESPONSE_NOISE>() {
        let ephemeral = PrivateKey::from_random([4; 32]);
        let stamp = Tai64n::from_unix(Duration::ZERO);
        let made = initiate(&identity, &peer, None, &stamp, &ephemeral);
        let (mut initiation, _) = made.expect("the peer's key is a key");
        assert!(initiation.finish(noise).is_err(), "a response out of nothing");
    }
}

/// A window accepts each counter once and none that is too old, whatever comes in whatever order. Each 8 bytes are a
/// counter, or, if they are odd, a step from the greatest so far.
///
/// # Panics
/// If it does not.
pub fn window(bytes: &[u8]) {
    let mut window = Window::default();
    let mut seen = std::collections::BTreeSet::new();
    for chunk in bytes.as_chunks::<8>().0 {
        let number = u64::from_le_bytes(*chunk);
        let greatest = window.greatest().unwrap_or(0);
        let counter = match number & 3 {
            0 => number >> 2,
            1 => greatest.saturating_sub((number >> 2) % (2 * WINDOW)),
            _ => greatest.saturating_add((number >> 2) % (2 * WINDOW)),
        };
        let behind = seen.last().and_then(|greatest: &u64| greatest.checked_sub(counter));
        let is_old = behind.is_some_and(|behind| behind >= WINDOW);
        let expected = counter < u64::MAX && !is_old && !seen.contains(&counter);
        assert_eq!(window.mark(counter), expected, "counter {counter}");
        if expected {
            seen.insert(counter);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_core::Rng as _;

    use super::*;

    #[test]
    fn no_bytes_are_too_strange() {
        for seed in 0..3000_u64 {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let mut bytes = vec![0; usize::try_from(rng.next_u32() % 200).unwrap()];
            rng.fill_bytes(&mut bytes);
            message(&bytes);
            window(&bytes);
            if seed % 50 == 0 {
                handshake(&bytes);
            }
            if let Some(kind) = bytes.first_chunk_mut() {
                *kind = [rng.next_u32().to_le_bytes()[0] % 6, 0, 0, 0];
            }
            let lengths = [148, 92, 64, 32, 31, 147, bytes.len()];
            bytes.resize(lengths[usize::try_from(rng.next_u32()).unwrap() % lengths.len()], 7);
            message(&bytes);
        }
    }
}
