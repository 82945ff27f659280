//! What both ends know beforehand: one IPv4 and one IPv6 address of each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use blake2::{Blake2s256, Digest as _};

use crate::terse::frame::TAG_MASK;

/// One end's own addresses: the first of each family. Only the first: the more both sides had to agree on, the more often
/// they would not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    /// The first IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// The first IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl End {
    /// Takes the first address of each family. Of a peer these are the host prefixes in its AllowedIPs (/32 and /128), of
    /// ourselves the addresses of the interface, each in the order of the configuration.
    pub fn first_of(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        addresses.into_iter().fold(Self::default(), |end, address| match address {
            IpAddr::V4(v4) => Self { v4: end.v4.or(Some(v4)), ..end },
            IpAddr::V6(v6) => Self { v6: end.v6.or(Some(v6)), ..end },
        })
    }
}

/// What a session's two ends know of each other. It does not change while the session lasts.
///
/// Both sides take it from their own configuration, so they may disagree; then packets would arrive with wrong addresses.
/// The handshake carries [`Context::check`] to find that out; where it does not match, both use the empty context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Context {
    /// Our own addresses.
    pub ours: End,
    /// The peer's.
    pub theirs: End,
}

impl Context {
    /// The same context as the other end has it.
    #[must_use]
    pub const fn mirrored(&self) -> Self {
        Self { ours: self.theirs, theirs: self.ours }
    }

    /// Returns 5 bits of a hash over an ephemeral key of the handshake and the addresses of both ends, the initiator's
    /// first. Two ends that disagree get different bits in 31 of 32 handshakes, and nobody else learns what they are of.
    ///
    /// The initiator writes it into the tag of its init (with its own ephemeral key), the responder into the tag of its
    /// response (with the responder's).
    #[must_use]
    pub fn check(&self, we_initiated: bool, ephemeral: &[u8; 32]) -> u8 {
        let (first, second) = if we_initiated { (self.ours, self.theirs) } else { (self.theirs, self.ours) };
        let mut hash = Blake2s256::new();
        hash.update(b"meshnet terse context");
        hash.update(ephemeral);
        for end in [first, second] {
            hash.update([u8::from(end.v4.is_some()), u8::from(end.v6.is_some())]);
            hash.update(end.v4.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
            hash.update(end.v6.unwrap_or(Ipv6Addr::UNSPECIFIED).octets());
        }
        hash.finalize()[0] & TAG_MASK
    }

    /// Returns what a responder writes into the tag of its response, where `ephemeral` is its own: a check that matches only
    /// if the initiator's did.
    #[must_use]
    pub fn response_check(&self, init_matched: bool, ephemeral: &[u8; 32]) -> u8 {
        self.check(false, ephemeral) ^ u8::from(!init_matched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_of_each_family_counts() {
        let addresses = ["fd00::1", "10.0.0.1", "10.0.0.2", "fd00::2"].map(|text| text.parse().unwrap());
        let end = End::first_of(addresses);
        assert_eq!((end.v4, end.v6), (Some([10, 0, 0, 1].into()), "fd00::1".parse().ok()));
    }

    #[test]
    fn both_ends_get_the_same_check_and_others_mostly_another() {
        let end = |last| End { v4: Some([10, 0, 0, last].into()), v6: None };
        let (ours, other) =
            (Context { ours: end(1), theirs: end(2) }, Context { ours: end(1), theirs: end(3) });
        let same = (0..=255_u8).filter(|&at| {
            let key = [at; 32];
            assert_eq!(ours.check(true, &key), ours.mirrored().check(false, &key));
            ours.check(true, &key) == other.check(true, &key)
        });
        assert!(same.count() < 32);
        assert_eq!(ours.mirrored().response_check(true, &[1; 32]), ours.check(true, &[1; 32]));
        assert_ne!(ours.mirrored().response_check(false, &[1; 32]), ours.check(true, &[1; 32]));
    }
}
