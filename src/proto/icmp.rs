//! The answer to a packet that goes nowhere: ICMP host unreachable (RFC 792), or ICMPv6 address unreachable (RFC 4443
//! section 3.1), at once, so that a program need not wait for its own timeout.
//!
//! It bears the unreachable host's own address as source: the kernel takes no packet from the interface that claims to
//! come from this host itself.

use std::net::IpAddr;

use crate::frame::{Mac, Packet, checksum, ether_type, ethernet, protocol};
use crate::neighbour::icmpv6;

const TTL: u8 = 64;
/// IPv4: header and 8 bytes suffice; more helps the sender to find the socket behind tunnels. RFC 1812 section 4.3.2.3.
const QUOTE_V4: usize = 548;
/// IPv6: as much as fits the minimal MTU.
const QUOTE_V6: usize = 1280 - 48;

/// Writes the frame for `to` that says `packet` could not be delivered; `None` if no such answer is due: to an error, to
/// a later fragment, to or from no single host.
#[must_use]
pub fn host_unreachable(packet: &Packet<'_>, to: Mac, from: Mac) -> Option<Vec<u8>> {
    if packet.is_later_fragment || is_error(packet) {
        return None;
    }
    match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            if source.is_unspecified() || source.is_multicast() || destination.is_multicast() {
                return None;
            }
            let quote = &packet.bytes[..packet.bytes.len().min(QUOTE_V4)];
            let mut body = vec![3, 1, 0, 0, 0, 0, 0, 0];
            body.extend_from_slice(quote);
            let sum = checksum(&[&body]);
            body[2..4].copy_from_slice(&sum.to_be_bytes());
            let total = u16::try_from(20 + body.len()).ok()?.to_be_bytes();
            let mut header = [
                0x45,
                0xc0,
                total[0],
                total[1],
                0,
                0,
                0,
                0,
                TTL,
                protocol::ICMP,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ];
            header[12..16].copy_from_slice(&destination.octets());
            header[16..].copy_from_slice(&source.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            let mut out = ethernet(to, from, ether_type::IPV4);
            out.extend_from_slice(&header);
            out.extend_from_slice(&body);
            Some(out)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            if source.is_unspecified() || source.is_multicast() || destination.is_multicast() {
                return None;
            }
            let mut body = vec![1, 3, 0, 0, 0, 0, 0, 0];
            body.extend_from_slice(&packet.bytes[..packet.bytes.len().min(QUOTE_V6)]);
            let mut out = ethernet(to, from, ether_type::IPV6);
            out.extend_from_slice(&icmpv6(destination, source, TTL, body));
            Some(out)
        }
        _ => None,
    }
}

/// Whether the packet is itself an ICMP error: those are never answered. Of ICMP for IPv4 only echo requests and
/// other questions may be.
fn is_error(packet: &Packet<'_>) -> bool {
    let kind = packet.payload.first().copied();
    match packet.protocol {
        protocol::ICMP => !matches!(kind, Some(0 | 8 | 13 | 14)),
        protocol::ICMPV6 => kind.is_none_or(|kind| kind < 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Frame, Inner};

    const A: Mac = [2, 0, 0, 0, 0, 1];
    const B: Mac = [2, 0, 0, 0, 0, 2];

    fn echo() -> Vec<u8> {
        let mut bytes = ethernet(B, A, ether_type::IPV4);
        bytes.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 9]);
        bytes.extend([8, 0, 0, 0, 0, 1, 0, 1]);
        bytes
    }

    fn packet(frame: &[u8]) -> Packet<'_> {
        match Frame::parse(frame).unwrap().inner {
            Inner::Ip(packet) => packet,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_answer_comes_from_the_unreachable_host_and_quotes_the_packet() {
        let original = echo();
        let answer = host_unreachable(&packet(&original), A, B).unwrap();
        let parsed = packet(&answer);
        assert_eq!(parsed.source, packet(&original).destination);
        assert_eq!(parsed.destination, packet(&original).source);
        assert_eq!(parsed.payload[..2], [3, 1]);
        assert_eq!(&parsed.payload[8..], packet(&original).bytes);
        assert_eq!((checksum(&[&parsed.bytes[..20]]), checksum(&[parsed.payload])), (0, 0));
    }

    #[test]
    fn an_error_is_not_answered_with_an_error() {
        let original = echo();
        let answer = host_unreachable(&packet(&original), A, B).unwrap();
        assert_eq!(host_unreachable(&packet(&answer), A, B), None);
    }
}
