//! The sign by which one meshnet node knows another that it met by WireGuard's own messages alone.
//!
//! An index in a stock handshake may be any number. A responder of ours draws half of it and lets the other half follow from
//! that and both static keys: to a stock peer, and to anybody who does not know both keys, it is as good as any. An initiator
//! that finds it in a response takes it for a hint, no more: it sends one probe inside the session, and the answer is the
//! proof. A stock peer whose index bears the sign by chance (1 in 65536) drops that one probe and is a stock peer still.

use blake2::{Blake2s256, Digest as _};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;

use crate::key::PublicKey;

const LABEL: &[u8] = b"meshnet sign 1";

/// Draws an index that bears the sign of `ours`, for `theirs` to find.
pub fn draw(rng: &mut ChaCha20Rng, ours: &PublicKey, theirs: &PublicKey) -> u32 {
    let [_, _, drawn @ ..] = rng.next_u32().to_be_bytes();
    bear(drawn, ours, theirs)
}

/// Returns whether an index of the sender's bears its sign for the receiver.
#[must_use]
pub fn is_borne(index: u32, sender: &PublicKey, receiver: &PublicKey) -> bool {
    let [_, _, drawn @ ..] = index.to_be_bytes();
    bear(drawn, sender, receiver) == index
}

fn bear(drawn: [u8; 2], sender: &PublicKey, receiver: &PublicKey) -> u32 {
    let hash = Blake2s256::new()
        .chain_update(LABEL)
        .chain_update(sender.as_bytes())
        .chain_update(receiver.as_bytes())
        .chain_update(drawn)
        .finalize();
    u32::from_be_bytes([hash[0], hash[1], drawn[0], drawn[1]])
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn a_sign_is_found_by_whom_it_is_for_and_rarely_by_chance() {
        let (ours, theirs) = (PublicKey::from_bytes([1; 32]), PublicKey::from_bytes([2; 32]));
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        let mut drawn = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            let index = draw(&mut rng, &ours, &theirs);
            assert!(is_borne(index, &ours, &theirs));
            drawn.insert(index);
        }
        // Half of it is as random as ever.
        assert!(drawn.len() > 950, "{}", drawn.len());
        let by_chance = |_: &u32| is_borne(rng.next_u32(), &ours, &theirs);
        assert!((0..10_000).filter(by_chance).count() < 3);
        assert!(drawn.iter().filter(|index| is_borne(**index, &theirs, &ours)).count() < 3);
    }
}
