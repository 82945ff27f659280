//! What the core reads from an inner frame: Ethernet, ARP, IPv4, IPv6, and just enough of what they carry to tell flows
//! apart and to recognise a TCP segment seen before.
//!
//! Views, not copies; a header that contradicts the length of what holds it is malformed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A MAC address.
pub type Mac = [u8; 6];

/// Length of an Ethernet header.
pub const ETHERNET_HEADER: usize = 14;
/// The MAC address of everybody.
pub const BROADCAST: Mac = [0xff; 6];

/// Ethernet types.
pub mod ether_type {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// Address resolution for IPv4.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
}

/// IP protocol numbers.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// Group membership for IPv4.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
}

/// The bytes are no frame that can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed frame")]
pub struct Malformed;

/// A frame, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// To whom on the link.
    pub destination: Mac,
    /// From whom on the link.
    pub source: Mac,
    /// What it carries.
    pub inner: Inner<'a>,
}

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inner<'a> {
    /// Address resolution for IPv4.
    Arp(Arp),
    /// An IP packet.
    Ip(Packet<'a>),
    /// Something else.
    Other,
}

/// An ARP message for IPv4 over Ethernet (RFC 826).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    /// A question; otherwise an answer.
    pub is_request: bool,
    /// Who sends it.
    pub sender_mac: Mac,
    /// And its address.
    pub sender: Ipv4Addr,
    /// Whom it asks for, or answers.
    pub target_mac: Mac,
    /// And its address.
    pub target: Ipv4Addr,
}

/// An IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// From whom.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// What the payload is, past any IPv6 extension headers that were understood.
    pub protocol: u8,
    /// Not the first fragment: the payload starts in the middle of something.
    pub is_later_fragment: bool,
    /// The six bits of the differentiated services field.
    pub dscp: u8,
    /// The whole packet, header included, without padding.
    pub bytes: &'a [u8],
    /// What follows the headers.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    /// If it is shorter than its headers say.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (header, rest) = bytes.split_first_chunk::<ETHERNET_HEADER>().ok_or(Malformed)?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
        let inner = match u16::from_be_bytes([t0, t1]) {
            ether_type::ARP => Arp::parse(rest).map_or(Inner::Other, Inner::Arp),
            ether_type::IPV4 => Inner::Ip(Packet::parse_v4(rest)?),
            ether_type::IPV6 => Inner::Ip(Packet::parse_v6(rest)?),
            _ => Inner::Other,
        };
        Ok(Self { destination: [d0, d1, d2, d3, d4, d5], source: [s0, s1, s2, s3, s4, s5], inner })
    }
}

impl Arp {
    /// Length of an ARP message for IPv4 over Ethernet.
    const LEN: usize = 28;

    fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<{ Self::LEN }>()?;
        if bytes[..6] != [0, 1, 8, 0, 6, 4] {
            return None;
        }
        let mac = |at: usize| -> Mac { std::array::from_fn(|i| bytes[at + i]) };
        let ip = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
        let is_request = match u16::from_be_bytes([bytes[6], bytes[7]]) {
            1 => true,
            2 => false,
            _ => return None,
        };
        Some(Self { is_request, sender_mac: mac(8), sender: ip(14), target_mac: mac(18), target: ip(24) })
    }

    /// Writes the whole frame.
    #[must_use]
    pub fn emit(&self, destination: Mac) -> Vec<u8> {
        let mut out = ethernet(destination, self.sender_mac, ether_type::ARP);
        out.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, if self.is_request { 1 } else { 2 }]);
        out.extend_from_slice(&self.sender_mac);
        out.extend_from_slice(&self.sender.octets());
        out.extend_from_slice(&self.target_mac);
        out.extend_from_slice(&self.target.octets());
        out
    }
}

/// Starts a frame with its Ethernet header.
#[must_use]
pub fn ethernet(destination: Mac, source: Mac, ether_type: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(&destination);
    out.extend_from_slice(&source);
    out.extend_from_slice(&ether_type.to_be_bytes());
    out
}

impl<'a> Packet<'a> {
    /// Reads an IP packet of either version; what follows its end is padding.
    ///
    /// # Errors
    /// If it is none, or shorter than its headers say.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match bytes.first().ok_or(Malformed)? >> 4 {
            4 => Self::parse_v4(bytes),
            6 => Self::parse_v6(bytes),
            _ => Err(Malformed),
        }
    }

    fn parse_v4(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let header = bytes.first_chunk::<20>().ok_or(Malformed)?;
        let header_len = usize::from(header[0] & 15) * 4;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] >> 4 != 4 || header_len < 20 || total < header_len || total > bytes.len() {
            return Err(Malformed);
        }
        let bytes = &bytes[..total];
        Ok(Self {
            source: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
            destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
            protocol: header[9],
            is_later_fragment: u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0,
            dscp: header[1] >> 2,
            bytes,
            payload: &bytes[header_len..],
        })
    }

    fn parse_v6(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let header = bytes.first_chunk::<40>().ok_or(Malformed)?;
        let total = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
        if header[0] >> 4 != 6 || total > bytes.len() {
            return Err(Malformed);
        }
        let address = |at: usize| -> [u8; 16] { std::array::from_fn(|i| header[at + i]) };
        let bytes = &bytes[..total];
        let (protocol, payload, is_later_fragment) = skip_extensions(header[6], &bytes[40..])?;
        Ok(Self {
            source: Ipv6Addr::from(address(8)).into(),
            destination: Ipv6Addr::from(address(24)).into(),
            protocol,
            is_later_fragment,
            dscp: (header[0] & 15) << 2 | header[1] >> 6,
            bytes,
            payload,
        })
    }

    /// Returns source and destination port, for protocols that have them.
    #[must_use]
    pub fn ports(&self) -> Option<(u16, u16)> {
        if self.is_later_fragment || !matches!(self.protocol, protocol::TCP | protocol::UDP) {
            return None;
        }
        let &[a, b, c, d] = self.payload.first_chunk()?;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    /// Returns what identifies the TCP segment that this is.
    #[must_use]
    pub fn tcp(&self) -> Option<Tcp> {
        if self.protocol != protocol::TCP || self.is_later_fragment {
            return None;
        }
        let header = self.payload.first_chunk::<20>()?;
        let header_len = usize::from(header[12] >> 4) * 4;
        let data = u32::try_from(self.payload.len().checked_sub(header_len)?).ok()?;
        let flags = header[13];
        Some(Tcp {
            sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            acknowledgement: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            length: data + u32::from(flags & tcp_flag::SYN != 0) + u32::from(flags & tcp_flag::FIN != 0),
            flags,
            reports_loss: header_len > 20 + TIMESTAMP_OPTION,
        })
    }
}

/// Length of the timestamp option (RFC 7323), padded.
const TIMESTAMP_OPTION: usize = 12;

/// Steps over the extension headers that are common; anything else is the payload's protocol.
fn skip_extensions(mut next: u8, mut payload: &[u8]) -> Result<(u8, &[u8], bool), Malformed> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;
    for _ in 0..8 {
        let len = match next {
            HOP_BY_HOP | ROUTING | DESTINATION => 8 + 8 * usize::from(*payload.get(1).ok_or(Malformed)?),
            FRAGMENT => 8,
            _ => return Ok((next, payload, false)),
        };
        let (header, rest) = payload.split_at_checked(len).ok_or(Malformed)?;
        if next == FRAGMENT && u16::from_be_bytes([header[2], header[3]]) >> 3 != 0 {
            return Ok((header[0], rest, true));
        }
        (next, payload) = (header[0], rest);
    }
    Err(Malformed)
}

/// TCP flags.
pub mod tcp_flag {
    /// No more from here.
    pub const FIN: u8 = 1;
    /// A connection begins.
    pub const SYN: u8 = 2;
    /// It ends at once.
    pub const RST: u8 = 4;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 16;
}

/// What identifies a TCP segment within its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// Its first sequence number.
    pub sequence: u32,
    /// What it acknowledges.
    pub acknowledgement: u32,
    /// How much sequence space it takes: bytes, and one each for SYN and FIN.
    pub length: u32,
    /// See [`tcp_flag`].
    pub flags: u8,
    /// It has more options than a timestamp: of an acknowledgement, the segments that came after a lost one.
    pub reports_loss: bool,
}

impl Tcp {
    /// Returns whether it acknowledges and does nothing else.
    #[must_use]
    pub const fn is_pure_ack(&self) -> bool {
        self.length == 0
            && self.flags & (tcp_flag::SYN | tcp_flag::FIN | tcp_flag::RST) == 0
            && self.flags & tcp_flag::ACK != 0
    }

    /// Returns whether it acknowledges more than `other` does.
    #[must_use]
    pub const fn acknowledges_more_than(&self, other: &Self) -> bool {
        is_ahead(self.acknowledgement, other.acknowledgement)
    }
}

/// TCP's circular order of sequence numbers (RFC 9293 section 3.4).
pub(crate) const fn is_ahead(a: u32, b: u32) -> bool {
    let ahead = a.wrapping_sub(b);
    ahead != 0 && ahead < 1 << 31
}

/// The Internet checksum (RFC 1071) over the parts in a row; all but the last must be of even length.
#[must_use]
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded into 16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::{Rng as _, SeedableRng as _};

    #[test]
    fn an_arp_message_survives_its_bytes() {
        let arp = Arp {
            is_request: true,
            sender_mac: [2, 0, 0, 0, 0, 1],
            sender: Ipv4Addr::new(10, 0, 0, 1),
            target_mac: [0; 6],
            target: Ipv4Addr::new(10, 0, 0, 2),
        };
        let bytes = arp.emit(BROADCAST);
        assert_eq!(bytes.len(), 42);
        assert_eq!(Frame::parse(&bytes).unwrap().inner, Inner::Arp(arp));
    }

    #[test]
    fn a_packet_longer_than_its_frame_is_malformed() {
        let mut bytes = ethernet([0; 6], [0; 6], ether_type::IPV4);
        bytes.extend([0x45, 0, 0, 21, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        assert_eq!(Frame::parse(&bytes), Err(Malformed));
        bytes.push(0);
        assert!(Frame::parse(&bytes).is_ok());
    }

    #[test]
    fn padding_is_not_part_of_the_packet() {
        let mut bytes = ethernet([0; 6], [0; 6], ether_type::IPV4);
        bytes.extend([0x45, 0, 0, 20, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        bytes.extend([0; 26]);
        let Inner::Ip(packet) = Frame::parse(&bytes).unwrap().inner else { panic!("no IP") };
        assert_eq!(packet.bytes.len(), 20);
    }

    #[test]
    fn no_bytes_make_the_parser_panic() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for _ in 0..200_000 {
            let mut bytes = vec![0; (rng.next_u32() % 120) as usize];
            rng.fill_bytes(&mut bytes);
            if bytes.len() > 15 {
                [bytes[12], bytes[13]] = [[8, 0], [8, 6], [0x86, 0xdd]][(rng.next_u32() % 3) as usize];
                bytes[14] = [0x45, 0x60, 0x4f][(rng.next_u32() % 3) as usize];
            }
            if let Ok(Frame { inner: Inner::Ip(packet), .. }) = Frame::parse(&bytes) {
                let _ = (packet.ports(), packet.tcp());
            }
        }
    }
}
