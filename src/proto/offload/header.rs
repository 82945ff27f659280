//! The headers of a packet that may be cut up or put together: where they are, and where in them the fields are.

use super::SegmentKind;
use super::checksum::{Sum, pseudo_header};
use crate::frame::protocol;

/// Fields of an IPv4 header, as offsets.
pub(super) mod v4 {
    pub const LEN: usize = 20;
    pub const TOTAL_LENGTH: usize = 2;
    pub const ID: usize = 4;
    pub const FRAGMENT: usize = 6;
    pub const PROTOCOL: usize = 9;
    pub const CHECKSUM: usize = 10;
    pub const ADDRESSES: std::ops::Range<usize> = 12..20;
    /// Do not fragment.
    pub const DF: u16 = 0x4000;
}

/// Fields of an IPv6 header, as offsets.
pub(super) mod v6 {
    pub const LEN: usize = 40;
    pub const PAYLOAD_LENGTH: usize = 4;
    pub const NEXT_HEADER: usize = 6;
    pub const ADDRESSES: std::ops::Range<usize> = 8..40;
}

/// Fields of a TCP header, as offsets.
pub(super) mod tcp {
    pub const LEN: usize = 20;
    pub const SEQUENCE: usize = 4;
    pub const DATA_OFFSET: usize = 12;
    pub const FLAGS: usize = 13;
    pub const WINDOW: usize = 14;
    pub const CHECKSUM: usize = 16;
    pub const URGENT: usize = 18;
    pub const FIN: u8 = 0x01;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const CWR: u8 = 0x80;
}

/// Fields of a UDP header, as offsets.
pub(super) mod udp {
    pub const LEN: usize = 8;
    pub const LENGTH: usize = 4;
    pub const CHECKSUM: usize = 6;
}

impl SegmentKind {
    /// The IP protocol number.
    pub(super) const fn protocol(self) -> u8 {
        match self {
            Self::Tcp => protocol::TCP,
            Self::Udp => protocol::UDP,
        }
    }

    /// Where in its header the checksum is.
    pub(super) const fn checksum(self) -> usize {
        match self {
            Self::Tcp => tcp::CHECKSUM,
            Self::Udp => udp::CHECKSUM,
        }
    }
}

/// Where a packet's headers are, in bytes from its start. Made only for packets that have them whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Headers {
    pub kind: SegmentKind,
    /// IPv4; otherwise IPv6.
    pub is_v4: bool,
    /// Where the transport's header starts.
    pub transport: usize,
    /// Where the payload starts.
    pub payload: usize,
}

impl Headers {
    /// Finds the headers of an IP packet whose transport header starts at `transport`. In IPv4 that is where the header says;
    /// in IPv6 there may be extension headers before it, and the caller knows where they end.
    pub(super) fn at(packet: &[u8], kind: SegmentKind, transport: usize) -> Option<Self> {
        let is_v4 = match packet.first()? >> 4 {
            4 => true,
            6 => false,
            _ => return None,
        };
        let (least, says) = if is_v4 { (v4::LEN, v4::PROTOCOL) } else { (v6::LEN, v6::NEXT_HEADER) };
        if packet.len() < least || transport < least {
            return None;
        }
        let is_next = packet[says] == kind.protocol();
        let fits = match is_v4 {
            true => transport == usize::from(packet[0] & 0x0f) * 4 && is_next,
            false => transport > least || is_next,
        };
        if !fits {
            return None;
        }
        let header = packet.get(transport..)?;
        let len = match kind {
            SegmentKind::Tcp => usize::from(header.get(tcp::DATA_OFFSET)? >> 4) * 4,
            SegmentKind::Udp => udp::LEN,
        };
        let least = match kind {
            SegmentKind::Tcp => tcp::LEN,
            SegmentKind::Udp => udp::LEN,
        };
        (len >= least && len <= header.len()).then_some(Self {
            kind,
            is_v4,
            transport,
            payload: transport + len,
        })
    }

    /// Both addresses.
    pub(super) fn addresses<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        &packet[if self.is_v4 { v4::ADDRESSES } else { v6::ADDRESSES }]
    }

    /// The pseudo header's sum for so many bytes of transport header and payload.
    pub(super) fn pseudo(&self, packet: &[u8], length: usize) -> Sum {
        let length = u32::try_from(length).expect("no packet has 4 GiB");
        pseudo_header(self.addresses(packet), self.kind.protocol(), length)
    }

    /// Tells whether the checksums of IPv4 and of the transport are right for the packet as it is.
    pub(super) fn checksums_are_right(&self, packet: &[u8]) -> bool {
        let (header, segment) = packet.split_at(self.transport);
        (!self.is_v4 || Sum::of(header).is_right())
            && self.pseudo(packet, segment.len()).bytes(segment).is_right()
    }
}

/// Reads a 16-bit field.
pub(super) fn get16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Reads a 32-bit field.
pub(super) fn get32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Writes a 16-bit field.
pub(super) fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
