//! What the hosts send each other: IPv4 packets that can be told apart, and checked when they arrive.
//!
//! Every packet bears its number in the identification field of its IPv4 header, which also an ICMP error quotes; the rest
//! of it follows from the number, so that a changed byte shows.

use std::net::Ipv4Addr;

use meshnet_proto::frame::{Mac, checksum, ether_type, ethernet, protocol};

/// What a packet looks like to those who queue it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UDP between two ports of a flow.
    Udp {
        /// The source port.
        port: u16,
    },
    /// UDP marked for low delay (EF).
    Urgent {
        /// The source port.
        port: u16,
    },
    /// An ICMP echo request: the host there answers it.
    Ping,
    /// The answer.
    Pong,
    /// A TCP segment.
    Tcp {
        /// The source port.
        port: u16,
        /// Its sequence number.
        sequence: u32,
        /// Its acknowledgement number.
        acknowledgement: u32,
    },
}

const ICMP_HEADER: usize = 8;
const IPV4_HEADER: usize = 20;

/// Builds the IPv4 packet with this number and `data` bytes behind its headers.
#[must_use]
pub fn build(number: u16, kind: Kind, source: Ipv4Addr, destination: Ipv4Addr, data: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..data).map(|at| filler(number, at)).collect();
    let (proto, dscp, header) = match kind {
        Kind::Udp { port } => (protocol::UDP, 0, udp(port, data)),
        Kind::Urgent { port } => (protocol::UDP, 46, udp(port, data)),
        Kind::Ping => (protocol::ICMP, 0, echo(8, number, &payload)),
        Kind::Pong => (protocol::ICMP, 0, echo(0, number, &payload)),
        Kind::Tcp { port, sequence, acknowledgement } => {
            (protocol::TCP, 0, tcp(port, sequence, acknowledgement))
        }
    };
    let total = u16::try_from(IPV4_HEADER + header.len() + data).expect("a host's packets are short");
    let mut out = vec![0x45, dscp << 2];
    out.extend(total.to_be_bytes());
    out.extend(number.to_be_bytes());
    out.extend([0x40, 0, 64, proto, 0, 0]);
    out.extend(source.octets());
    out.extend(destination.octets());
    let sum = checksum(&[&out]).to_be_bytes();
    out[10..12].copy_from_slice(&sum);
    out.extend(header);
    out.extend(payload);
    out
}

fn udp(port: u16, data: usize) -> Vec<u8> {
    let len = u16::try_from(8 + data).expect("a host's packets are short");
    [port, 9, len, 0].iter().flat_map(|field| field.to_be_bytes()).collect()
}

fn echo(kind: u8, number: u16, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![kind, 0, 0, 0, 0, 7];
    header.extend(number.to_be_bytes());
    let sum = checksum(&[&header, payload]).to_be_bytes();
    header[2..4].copy_from_slice(&sum);
    debug_assert_eq!(header.len(), ICMP_HEADER, "an echo has eight bytes of header");
    header
}

fn tcp(port: u16, sequence: u32, acknowledgement: u32) -> Vec<u8> {
    const ACK: u8 = 0x10;
    let mut header: Vec<u8> = [port, 80].iter().flat_map(|port| port.to_be_bytes()).collect();
    header.extend(sequence.to_be_bytes());
    header.extend(acknowledgement.to_be_bytes());
    header.extend([0x50, ACK, 0xff, 0xff, 0, 0, 0, 0]);
    header
}

/// The byte at this place of the packet with this number.
fn filler(number: u16, at: usize) -> u8 {
    let [high, low] = number.to_be_bytes();
    low.wrapping_add(high.wrapping_mul(31)).wrapping_add(at.to_le_bytes()[0].wrapping_mul(7))
}

/// Puts a packet in an Ethernet frame.
#[must_use]
pub fn frame(packet: &[u8], to: Mac, from: Mac) -> Vec<u8> {
    let mut out = ethernet(to, from, ether_type::IPV4);
    out.extend_from_slice(packet);
    out
}

/// Returns the number in an IPv4 header.
#[must_use]
pub fn number(packet: &[u8]) -> Option<u16> {
    packet.get(4..6).map(|field| u16::from_be_bytes([field[0], field[1]]))
}

/// Returns the number of the packet that an ICMP "destination unreachable" quotes, if this is one.
#[must_use]
pub fn unreachable(packet: &[u8]) -> Option<u16> {
    const DESTINATION_UNREACHABLE: u8 = 3;
    let is_icmp = packet.get(9) == Some(&protocol::ICMP);
    let body = packet.get(IPV4_HEADER..).filter(|_| is_icmp)?;
    let quoted = body.get(ICMP_HEADER..).filter(|_| body[0] == DESTINATION_UNREACHABLE)?;
    number(quoted)
}
