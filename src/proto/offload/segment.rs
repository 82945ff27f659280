//! From a frame that stands for several packets to those packets: what a network card does for TCP segmentation offload (TSO)
//! and UDP segmentation offload (USO), for packets that go into a tunnel instead.
//!
//! Each packet is written straight to where the caller wants it, so that what a tunnel puts before and behind it needs no
//! second copy. What changes from one packet to the next is little: the sum over the headers that stay is taken once, and each
//! packet's checksum costs one pass over its payload.

use super::checksum::{Sum, complete};
use super::header::{Headers, get16, get32, put16, tcp, udp, v4, v6};
use super::{Malformed, Offload, SegmentKind};
use crate::frame::{ETHERNET_HEADER, ether_type};

/// The IP packets that a frame stands for, in order.
#[derive(Debug, Clone)]
pub struct Segmenter<'a> {
    /// The frame's IP packet; of a row, headers and all payload.
    packet: &'a [u8],
    plan: Plan,
}

#[derive(Debug, Clone)]
enum Plan {
    /// One packet as it is, but that a checksum may have to be completed (start and offset from the packet's start).
    Whole(Option<(usize, usize)>),
    Row(Row),
    Done,
}

/// What is left of a row.
#[derive(Debug, Clone)]
struct Row {
    headers: Headers,
    /// Payload of each packet.
    size: usize,
    /// Where the next packet's payload starts.
    at: usize,
    /// Packets written.
    index: u16,
    /// The sum over the IPv4 header without length, identification and checksum.
    ip: Sum,
    /// The sum over addresses, protocol and the transport's header without what differs between packets.
    transport: Sum,
}

impl<'a> Segmenter<'a> {
    /// Looks at an Ethernet frame that carries an IP packet. TCP rows are cut so that no packet is longer than `mtu` bytes, which
    /// may be less than the sender of the frame reckoned with: a stream has no boundaries to be kept. Datagrams have, and single
    /// packets stay as they are: whether they fit is for the caller to see ([`Segmenter::next_len`]).
    ///
    /// # Errors
    /// If the frame carries no IP packet, the offload does not fit it, or `mtu` leaves no room for payload.
    pub fn new(frame: &'a [u8], offload: Offload, mtu: usize) -> Result<Self, Malformed> {
        let packet = frame.get(ETHERNET_HEADER..).filter(|packet| !packet.is_empty()).ok_or(Malformed)?;
        let version = match get16(frame, ETHERNET_HEADER - 2) {
            ether_type::IPV4 => 4,
            ether_type::IPV6 => 6,
            _ => return Err(Malformed),
        };
        if packet[0] >> 4 != version {
            return Err(Malformed);
        }
        let checksum = match offload.checksum {
            Some(checksum) => {
                let start = usize::from(checksum.start).checked_sub(ETHERNET_HEADER).ok_or(Malformed)?;
                let offset = usize::from(checksum.offset);
                if start + offset + 2 > packet.len() {
                    return Err(Malformed);
                }
                Some((start, offset))
            }
            None => None,
        };
        let plan = match (offload.segments, checksum) {
            (None, checksum) => Plan::Whole(checksum),
            (Some(segments), Some((start, offset))) if offset == segments.kind.checksum() => {
                let headers = Headers::at(packet, segments.kind, start).ok_or(Malformed)?;
                Plan::Row(Row::new(packet, headers, segments.size.into(), mtu)?)
            }
            // Whoever leaves the cutting to us leaves the checksums too.
            (Some(_), _) => return Err(Malformed),
        };
        Ok(Self { packet, plan })
    }

    /// Returns how many packets are still to come.
    #[must_use]
    pub fn remaining(&self) -> usize {
        match &self.plan {
            Plan::Whole(_) => 1,
            // A row without payload is still one packet.
            Plan::Row(row) if row.index == 0 => (self.packet.len() - row.at).div_ceil(row.size).max(1),
            Plan::Row(row) => (self.packet.len() - row.at).div_ceil(row.size),
            Plan::Done => 0,
        }
    }

    /// Returns the length of the next packet in bytes, 0 if there is none. None that follows is longer.
    #[must_use]
    pub fn next_len(&self) -> usize {
        match &self.plan {
            Plan::Whole(_) => self.packet.len(),
            Plan::Row(row) => row.headers.payload + row.size.min(self.packet.len() - row.at),
            Plan::Done => 0,
        }
    }

    /// Writes the next packet to the start of `out` and returns its length; `None` if there is none, or no room for it.
    pub fn write(&mut self, out: &mut [u8]) -> Option<usize> {
        let len = self.next_len();
        let out = out.get_mut(..len).filter(|_| len > 0)?;
        match &mut self.plan {
            Plan::Done => return None,
            Plan::Whole(checksum) => {
                out.copy_from_slice(self.packet);
                if let Some((start, offset)) = *checksum {
                    complete(out, start, offset).expect("it was compared with this packet");
                }
                self.plan = Plan::Done;
            }
            Plan::Row(row) => {
                row.write(self.packet, out);
                if row.at == self.packet.len() {
                    self.plan = Plan::Done;
                }
            }
        }
        Some(len)
    }
}

impl Row {
    fn new(packet: &[u8], headers: Headers, size: usize, mtu: usize) -> Result<Self, Malformed> {
        let size = match headers.kind {
            SegmentKind::Tcp => size.min(mtu.saturating_sub(headers.payload)),
            SegmentKind::Udp => size,
        };
        // A length field holds 16 bits.
        if size == 0 || headers.payload + size > usize::from(u16::MAX) {
            return Err(Malformed);
        }
        let ip = Sum::of(&packet[..v4::TOTAL_LENGTH])
            .bytes(&packet[v4::FRAGMENT..v4::CHECKSUM])
            .bytes(&packet[v4::ADDRESSES.start..headers.transport]);
        let header = &packet[headers.transport..headers.payload];
        let pseudo = headers.pseudo(packet, 0);
        let transport = match headers.kind {
            SegmentKind::Tcp => pseudo
                .bytes(&header[..tcp::SEQUENCE])
                .bytes(&header[tcp::SEQUENCE + 4..tcp::DATA_OFFSET])
                .bytes(&header[tcp::WINDOW..tcp::CHECKSUM])
                .bytes(&header[tcp::URGENT..]),
            SegmentKind::Udp => pseudo.bytes(&header[..udp::LENGTH]),
        };
        Ok(Self { headers, size, at: headers.payload, index: 0, ip, transport })
    }

    /// Writes the next packet to `out`, which is as long as that.
    fn write(&mut self, packet: &[u8], out: &mut [u8]) {
        let Headers { kind, is_v4, transport, payload } = self.headers;
        let (from, to) = (self.at, packet.len().min(self.at + self.size));
        let (head, body) = out.split_at_mut(payload);
        head.copy_from_slice(&packet[..payload]);
        body.copy_from_slice(&packet[from..to]);
        let length =
            |bytes: usize| u16::try_from(bytes).expect("compared with 16 bits when the row was made");
        if is_v4 {
            let id = get16(packet, v4::ID).wrapping_add(self.index);
            let total = length(payload + body.len());
            put16(head, v4::TOTAL_LENGTH, total);
            put16(head, v4::ID, id);
            put16(head, v4::CHECKSUM, self.ip.word(total).word(id).checksum());
        } else {
            put16(head, v6::PAYLOAD_LENGTH, length(payload - v6::LEN + body.len()));
        }
        let covered = length(payload - transport + body.len());
        let head = &mut head[transport..];
        let sum = self.transport.bytes(body).word(covered);
        match kind {
            SegmentKind::Tcp => {
                let done = u32::try_from(from - payload).expect("no frame has 4 GiB");
                let sequence = get32(head, tcp::SEQUENCE).wrapping_add(done);
                head[tcp::SEQUENCE..tcp::SEQUENCE + 4].copy_from_slice(&sequence.to_be_bytes());
                // The end of the stream and the push belong to the last byte, the answer to a mark of congestion is given once.
                if to < packet.len() {
                    head[tcp::FLAGS] &= !(tcp::FIN | tcp::PSH);
                }
                if self.index > 0 {
                    head[tcp::FLAGS] &= !tcp::CWR;
                }
                let sum = sum.long(sequence).word(get16(head, tcp::DATA_OFFSET));
                put16(head, tcp::CHECKSUM, sum.checksum());
            }
            SegmentKind::Udp => {
                put16(head, udp::LENGTH, covered);
                put16(head, udp::CHECKSUM, sum.word(covered).checksum_or_ones());
            }
        }
        self.at = to;
        self.index = self.index.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests;
