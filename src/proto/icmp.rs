//! ICMP of our own making.
//!
//! The answer to a packet that goes nowhere: ICMP host unreachable (RFC 792), or ICMPv6 address unreachable (RFC 4443
//! section 3.1), at once, so that a program need not wait for its own timeout. The answer to one that is too long for its
//! way says how long it may be.
//!
//! And the echo request, for pings of our own.
//!
//! An error bears the unreachable host's own address as source: the kernel takes no packet from the interface that claims to
//! come from this host itself.

use std::net::{IpAddr, Ipv4Addr};

use crate::frame::{Mac, Packet, checksum, ether_type, ethernet, protocol};
use crate::neighbour::icmpv6;

const TTL: u8 = 64;
const ICMP_HEADER: usize = 8;
/// Types of an echo request and of its answer.
const ECHO_V4: (u8, u8) = (8, 0);
const ECHO_V6: (u8, u8) = (128, 129);
/// Types of service.
const BEST_EFFORT: u8 = 0;
const NETWORK_CONTROL: u8 = 0xc0;
/// IPv4: header and 8 bytes suffice; more helps the sender to find the socket behind tunnels. RFC 1812 section 4.3.2.3.
const QUOTE_V4: usize = 548;
/// IPv6: as much as fits the minimal MTU.
const QUOTE_V6: usize = 1280 - 48;

/// Writes the frame for `to` that says `packet` could not be delivered; `None` if no such answer is due: to an error, to
/// a later fragment, to or from no single host.
#[must_use]
pub fn host_unreachable(packet: &Packet<'_>, to: Mac, from: Mac) -> Option<Vec<u8>> {
    error(packet, to, from, [3, 1, 0, 0, 0, 0, 0, 0], [1, 3, 0, 0, 0, 0, 0, 0])
}

/// Writes the frame for `to` that says `packet` is longer than what the way carries, which is `mtu` bytes (RFC 1191 section
/// 4, RFC 4443 section 3.2); `None` as of [`host_unreachable`].
#[must_use]
pub fn too_big(packet: &Packet<'_>, mtu: u16, to: Mac, from: Mac) -> Option<Vec<u8>> {
    let [high, low] = mtu.to_be_bytes();
    error(packet, to, from, [3, 4, 0, 0, 0, 0, high, low], [2, 0, 0, 0, 0, 0, high, low])
}

/// Writes the frame for `to` with an ICMP error about `packet`, whose first eight bytes are given for each family.
fn error(packet: &Packet<'_>, to: Mac, from: Mac, v4: [u8; 8], v6: [u8; 8]) -> Option<Vec<u8>> {
    if packet.is_later_fragment || is_error(packet) {
        return None;
    }
    match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            if source.is_unspecified() || source.is_multicast() || destination.is_multicast() {
                return None;
            }
            let mut body = v4.to_vec();
            body.extend_from_slice(&packet.bytes[..packet.bytes.len().min(QUOTE_V4)]);
            let mut out = ethernet(to, from, ether_type::IPV4);
            out.extend_from_slice(&ipv4(destination, source, NETWORK_CONTROL, body)?);
            Some(out)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            if source.is_unspecified() || source.is_multicast() || destination.is_multicast() {
                return None;
            }
            let mut body = v6.to_vec();
            body.extend_from_slice(&packet.bytes[..packet.bytes.len().min(QUOTE_V6)]);
            let mut out = ethernet(to, from, ether_type::IPV6);
            out.extend_from_slice(&icmpv6(destination, source, TTL, body));
            Some(out)
        }
        _ => None,
    }
}

/// An echo's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// The question.
    Request,
    /// The answer.
    Reply,
}

/// Returns the length of the packet that holds an echo with `data` bytes between addresses of this kind.
#[must_use]
pub const fn echo_len(address: IpAddr, data: usize) -> usize {
    ICMP_HEADER + data + if address.is_ipv4() { 20 } else { 40 }
}

/// Writes the frame of an echo request (RFC 792, RFC 4443 section 4.1) between the MAC addresses `(to, from)`. `mark` is
/// the start of its data, which are `data` bytes. The two addresses are of the same kind.
#[must_use]
pub fn echo_request(
    (to, from): (Mac, Mac),
    source: IpAddr,
    destination: IpAddr,
    id: u16,
    mark: &[u8; 16],
    data: usize,
) -> Vec<u8> {
    let sequence = [mark[6], mark[7]];
    let mut body = vec![0, 0, 0, 0];
    body.extend(id.to_be_bytes().into_iter().chain(sequence));
    body.extend_from_slice(mark);
    body.extend((mark.len()..data).map(|at| at.to_le_bytes()[0]));
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            body[0] = ECHO_V4.0;
            let mut out = ethernet(to, from, ether_type::IPV4);
            out.extend(ipv4(source, destination, BEST_EFFORT, body).unwrap_or_default());
            out
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            body[0] = ECHO_V6.0;
            let mut out = ethernet(to, from, ether_type::IPV6);
            out.extend_from_slice(&icmpv6(source, destination, TTL, body));
            out
        }
        _ => Vec::new(),
    }
}

/// Returns the data of an echo of this direction, if the packet is one.
#[must_use]
pub fn echo_data<'a>(packet: &Packet<'a>, direction: Echo) -> Option<&'a [u8]> {
    let (request, reply) = match packet.protocol {
        protocol::ICMP => ECHO_V4,
        protocol::ICMPV6 => ECHO_V6,
        _ => return None,
    };
    let kind = if direction == Echo::Request { request } else { reply };
    let (header, data) = packet.payload.split_first_chunk::<ICMP_HEADER>()?;
    (!packet.is_later_fragment && header[..2] == [kind, 0]).then_some(data)
}

/// Writes an IPv4 packet around an ICMP message whose checksum field is zero; `None` if that is too long.
fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, service: u8, mut body: Vec<u8>) -> Option<Vec<u8>> {
    let sum = checksum(&[&body]);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let total = u16::try_from(20 + body.len()).ok()?.to_be_bytes();
    let mut out = vec![0x45, service, total[0], total[1], 0, 0, 0, 0, TTL, protocol::ICMP, 0, 0];
    out.extend(source.octets().into_iter().chain(destination.octets()));
    let sum = checksum(&[&out]);
    out[10..12].copy_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(&body);
    Some(out)
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
    fn an_echo_request_is_one_to_whoever_checks_it() {
        let mark = [7; 16];
        let (a, b) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let frame = echo_request((B, A), a, b, 5, &mark, 20);
        let request = packet(&frame);
        assert_eq!((request.source, request.destination, request.bytes.len()), (a, b, echo_len(a, 20)));
        assert_eq!((checksum(&[&request.bytes[..20]]), checksum(&[request.payload])), (0, 0));
        assert_eq!(echo_data(&request, Echo::Request).map(<[u8]>::len), Some(20));
        assert_eq!(echo_data(&request, Echo::Reply), None);

        let (a, b): (std::net::Ipv6Addr, _) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let frame = echo_request((B, A), a.into(), IpAddr::V6(b), 5, &mark, 21);
        let request = packet(&frame);
        assert_eq!(request.bytes.len(), echo_len(a.into(), 21));
        assert_eq!(echo_data(&request, Echo::Request).and_then(<[u8]>::first_chunk), Some(&mark));
        let pseudo = [0, 0, 0, 29, 0, 0, 0, 58];
        assert_eq!(checksum(&[&a.octets(), &b.octets(), &pseudo, request.payload]), 0);
    }

    #[test]
    fn a_packet_that_is_too_long_is_answered_with_the_length_that_fits() {
        let original = echo();
        let answer = too_big(&packet(&original), 600, A, B).unwrap();
        let parsed = packet(&answer);
        assert_eq!(parsed.payload[..2], [3, 4]);
        assert_eq!(parsed.payload[6..8], [2, 88]);
        assert_eq!(checksum(&[parsed.payload]), 0);
    }

    #[test]
    fn an_error_is_not_answered_with_an_error() {
        let original = echo();
        let answer = host_unreachable(&packet(&original), A, B).unwrap();
        assert_eq!(host_unreachable(&packet(&answer), A, B), None);
    }
}
