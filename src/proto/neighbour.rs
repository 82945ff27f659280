//! Address resolution, on both sides of the radio.
//!
//! The kernel believes in an Ethernet behind its interface and asks for MAC addresses; it is answered here, and nothing of
//! that goes on the air. A version 1 peer believes in the same Ethernet at its end: it gets the answers that it needs, and
//! frames to it must bear its MAC address, which is asked for once and then remembered.
//!
//! Every meshnetd's own MAC address follows from its public key ([`mac_of`]), so that one need never ask another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use blake2::{Blake2s256, Digest as _};

use crate::frame::{Arp, BROADCAST, Mac, Packet, checksum, ether_type, ethernet, protocol};
use crate::key::PublicKey;

/// Returns the MAC address of an interface whose network has this public key: locally administered, unicast.
#[must_use]
pub fn mac_of(key: &PublicKey) -> Mac {
    let hash = Blake2s256::digest(key.as_bytes());
    [0x02, hash[0], hash[1], hash[2], hash[3], hash[4]]
}

/// Returns whether a MAC address names one interface.
#[must_use]
pub const fn is_unicast(mac: &Mac) -> bool {
    mac[0] & 1 == 0
}

/// A message of IPv6 neighbour discovery (RFC 4861) that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// Who has `target`?
    Solicitation {
        /// The address in question.
        target: Ipv6Addr,
    },
    /// `target` is at this MAC address, if it says.
    Advertisement {
        /// The address in question.
        target: Ipv6Addr,
        /// Where it is.
        mac: Option<Mac>,
    },
}

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const OPTION_SOURCE_MAC: u8 = 1;
const OPTION_TARGET_MAC: u8 = 2;
/// Solicited, and overrides what was known before.
const FLAGS_ANSWER: u8 = 0x60;
const HOP_LIMIT: u8 = 255;

impl Discovery {
    /// Reads a neighbour solicitation or advertisement; `None` if the packet is neither.
    #[must_use]
    pub fn parse(packet: &Packet<'_>) -> Option<Self> {
        let body = packet.payload.first_chunk::<24>()?;
        if packet.protocol != protocol::ICMPV6 || packet.is_later_fragment || body[1] != 0 {
            return None;
        }
        let target = Ipv6Addr::from(<[u8; 16]>::try_from(&body[8..]).ok()?);
        match body[0] {
            SOLICITATION => Some(Self::Solicitation { target }),
            ADVERTISEMENT => Some(Self::Advertisement { target, mac: option_mac(&packet.payload[24..]) }),
            _ => None,
        }
    }
}

/// Finds the target's MAC address among the options.
fn option_mac(mut options: &[u8]) -> Option<Mac> {
    while let [kind, len, ..] = *options {
        let (option, rest) = options.split_at_checked(8 * usize::from(len)).filter(|_| len > 0)?;
        if kind == OPTION_TARGET_MAC {
            return option.get(2..8)?.try_into().ok();
        }
        options = rest;
    }
    None
}

/// Writes the frame that asks who has `target`. `None` if the two addresses are of different families.
#[must_use]
pub fn question(our_mac: Mac, ours: IpAddr, target: IpAddr) -> Option<Vec<u8>> {
    match (ours, target) {
        (IpAddr::V4(sender), IpAddr::V4(target)) => {
            let arp = Arp { is_request: true, sender_mac: our_mac, sender, target_mac: [0; 6], target };
            Some(arp.emit(BROADCAST))
        }
        (IpAddr::V6(ours), IpAddr::V6(target)) => {
            let [.., a, b, c] = target.octets();
            let group = [0x33, 0x33, 0xff, a, b, c];
            Some(discovery(group, our_mac, ours, target, target, SOLICITATION))
        }
        _ => None,
    }
}

/// Writes the frame that answers an ARP request: `asked` is at `mac`.
#[must_use]
pub fn arp_answer(request: &Arp, asked: Ipv4Addr, mac: Mac) -> Vec<u8> {
    let arp = Arp {
        is_request: false,
        sender_mac: mac,
        sender: asked,
        target_mac: request.sender_mac,
        target: request.sender,
    };
    arp.emit(request.sender_mac)
}

/// Writes the frame that answers a solicitation from `asker`: `target` is at `mac`.
#[must_use]
pub fn discovery_answer(asker_mac: Mac, asker: Ipv6Addr, target: Ipv6Addr, mac: Mac) -> Vec<u8> {
    discovery(asker_mac, mac, target, asker, target, ADVERTISEMENT)
}

fn discovery(
    to_mac: Mac,
    our_mac: Mac,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    target: Ipv6Addr,
    kind: u8,
) -> Vec<u8> {
    let (flags, option) =
        if kind == ADVERTISEMENT { (FLAGS_ANSWER, OPTION_TARGET_MAC) } else { (0, OPTION_SOURCE_MAC) };
    let mut body = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    body.extend_from_slice(&target.octets());
    body.extend_from_slice(&[option, 1]);
    body.extend_from_slice(&our_mac);
    let mut out = ethernet(to_mac, our_mac, ether_type::IPV6);
    out.extend_from_slice(&icmpv6(source, destination, HOP_LIMIT, body));
    out
}

/// Writes an IPv6 packet around an ICMPv6 message whose checksum field is zero.
#[must_use]
pub(crate) fn icmpv6(source: Ipv6Addr, destination: Ipv6Addr, hop_limit: u8, mut body: Vec<u8>) -> Vec<u8> {
    let len = u16::try_from(body.len()).expect("an ICMPv6 message of ours is short").to_be_bytes();
    let pseudo = [0, 0, len[0], len[1], 0, 0, 0, protocol::ICMPV6];
    let sum = checksum(&[&source.octets(), &destination.octets(), &pseudo, &body]);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut out = vec![0x60, 0, 0, 0, len[0], len[1], protocol::ICMPV6, hop_limit];
    out.extend_from_slice(&source.octets());
    out.extend_from_slice(&destination.octets());
    out.extend_from_slice(&body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Frame, Inner};

    const OURS: Mac = [2, 0, 0, 0, 0, 1];
    const THEIRS: Mac = [2, 0, 0, 0, 0, 2];

    #[test]
    fn an_interface_has_the_mac_address_of_its_key() {
        let mac = mac_of(&PublicKey::from_bytes([1; 32]));
        assert!(is_unicast(&mac) && mac[0] == 2);
        assert_ne!(mac, mac_of(&PublicKey::from_bytes([2; 32])));
    }

    #[test]
    fn a_solicitation_is_answered_with_an_advertisement_that_parses() {
        let (a, b): (Ipv6Addr, Ipv6Addr) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let question = question(OURS, a.into(), b.into()).unwrap();
        let Inner::Ip(packet) = Frame::parse(&question).unwrap().inner else { panic!("no IP") };
        assert_eq!(Discovery::parse(&packet), Some(Discovery::Solicitation { target: b }));
        let answer = discovery_answer(OURS, a, b, THEIRS);
        let Inner::Ip(packet) = Frame::parse(&answer).unwrap().inner else { panic!("no IP") };
        assert_eq!(
            Discovery::parse(&packet),
            Some(Discovery::Advertisement { target: b, mac: Some(THEIRS) })
        );
        let pseudo = [0, 0, 0, 32, 0, 0, 0, 58];
        assert_eq!(checksum(&[&b.octets(), &a.octets(), &pseudo, packet.payload]), 0);
    }

    #[test]
    fn options_that_claim_no_length_end_the_search() {
        assert_eq!(option_mac(&[2, 0, 1, 2, 3, 4, 5, 6]), None);
        assert_eq!(option_mac(&[1, 1, 0, 0, 0, 0, 0, 0, 2, 1, 1, 2, 3, 4, 5, 6]), Some([1, 2, 3, 4, 5, 6]));
    }
}
