//! TCP segments as bytes: IPv4 packets as Linux writes them, with timestamps and selective acknowledgements.

use std::net::Ipv4Addr;

use meshnet_proto::frame::{checksum, protocol};

const IPV4_HEADER: usize = 20;
const TCP_HEADER: usize = 20;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
/// Blocks that fit beside timestamps.
pub const MAX_BLOCKS: usize = 3;

/// A segment. Numbers are those of the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segment {
    /// It begins its direction.
    pub syn: bool,
    /// It ends its direction.
    pub fin: bool,
    /// It carries the last of what was written.
    pub push: bool,
    /// The number of its first byte.
    pub sequence: u32,
    /// What its sender expects next; nothing in the very first.
    pub acknowledgement: Option<u32>,
    /// The window, as it is written.
    pub window: u16,
    /// The longest segment that its sender takes, without options; with `syn`.
    pub mss: u16,
    /// When it was sent, in milliseconds of its sender's clock.
    pub stamp: u32,
    /// The latest such time that its sender has seen of the other end's.
    pub echo: u32,
    /// What has come out of turn: from, and up to.
    pub blocks: Vec<(u32, u32)>,
    /// What it carries.
    pub data: Vec<u8>,
}

impl Segment {
    /// How much sequence space it takes.
    #[must_use]
    pub fn length(&self) -> u32 {
        let data = u32::try_from(self.data.len()).expect("a segment is short");
        data + u32::from(self.syn) + u32::from(self.fin)
    }

    /// Builds the packet with this identification, from and to an address and port.
    #[must_use]
    pub fn emit(&self, number: u16, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
        let options = self.options();
        let mut flags = 0;
        for (is_set, flag) in
            [(self.syn, SYN), (self.fin, FIN), (self.acknowledgement.is_some(), ACK), (self.push, PSH)]
        {
            flags |= if is_set { flag } else { 0 };
        }
        let mut tcp = Vec::new();
        tcp.extend(from.1.to_be_bytes());
        tcp.extend(to.1.to_be_bytes());
        tcp.extend(self.sequence.to_be_bytes());
        tcp.extend(self.acknowledgement.unwrap_or(0).to_be_bytes());
        tcp.push(low_byte((TCP_HEADER + options.len()) / 4) << 4);
        tcp.push(flags);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(options);
        tcp.extend(&self.data);
        let length = u16::try_from(tcp.len()).expect("a segment is short");
        let mut pseudo = [from.0.octets(), to.0.octets()].concat();
        pseudo.extend([0, protocol::TCP]);
        pseudo.extend(length.to_be_bytes());
        let sum = checksum(&[&pseudo, &tcp]).to_be_bytes();
        tcp[16..18].copy_from_slice(&sum);

        let total = u16::try_from(IPV4_HEADER + tcp.len()).expect("a segment is short");
        let mut packet = vec![0x45, 0];
        packet.extend(total.to_be_bytes());
        packet.extend(number.to_be_bytes());
        packet.extend([0x40, 0, 64, protocol::TCP, 0, 0]);
        packet.extend(from.0.octets());
        packet.extend(to.0.octets());
        let sum = checksum(&[&packet]).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
        packet.extend(tcp);
        packet
    }

    fn options(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.syn {
            out.extend([2, 4]);
            out.extend(self.mss.to_be_bytes());
            out.extend([4, 2, 8, 10]);
        } else {
            out.extend([1, 1, 8, 10]);
        }
        out.extend(self.stamp.to_be_bytes());
        out.extend(self.echo.to_be_bytes());
        if self.syn {
            out.extend([1, 3, 3, 7]);
        }
        if !self.blocks.is_empty() {
            out.extend([1, 1, 5, low_byte(2 + 8 * self.blocks.len())]);
            for (from, to) in &self.blocks {
                out.extend(from.to_be_bytes());
                out.extend(to.to_be_bytes());
            }
        }
        out
    }

    /// Reads a packet that [`emit`](Self::emit) wrote.
    ///
    /// # Panics
    /// If it is none: what a host gets in a world is what another one sent.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Self {
        let tcp = &packet[IPV4_HEADER..];
        let header = usize::from(tcp[12] >> 4) * 4;
        let flags = tcp[13];
        let mut segment = Self {
            syn: flags & SYN != 0,
            fin: flags & FIN != 0,
            push: flags & PSH != 0,
            sequence: word(&tcp[4..]),
            acknowledgement: (flags & ACK != 0).then(|| word(&tcp[8..])),
            window: u16::from_be_bytes([tcp[14], tcp[15]]),
            data: tcp[header..].to_vec(),
            ..Self::default()
        };
        let mut options = &tcp[TCP_HEADER..header];
        while let Some((&kind, rest)) = options.split_first() {
            if kind == 1 {
                options = rest;
                continue;
            }
            let (option, rest) = options.split_at(usize::from(rest[0]));
            match kind {
                2 => segment.mss = u16::from_be_bytes([option[2], option[3]]),
                5 => {
                    let blocks = option[2..].chunks_exact(8);
                    segment.blocks = blocks.map(|block| (word(block), word(&block[4..]))).collect();
                }
                8 => (segment.stamp, segment.echo) = (word(&option[2..]), word(&option[6..])),
                _ => {}
            }
            options = rest;
        }
        segment
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn low_byte(number: usize) -> u8 {
    number.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshnet_proto::frame::Packet;

    #[test]
    fn a_segment_is_read_as_it_was_written() {
        let first =
            Segment { syn: true, sequence: 7, mss: 1260, window: 64240, stamp: 5, ..Segment::default() };
        let later = Segment {
            fin: true,
            push: true,
            sequence: u32::MAX,
            acknowledgement: Some(9),
            window: 502,
            stamp: 6,
            echo: 5,
            blocks: vec![(10, 20), (30, 40)],
            data: vec![1, 2, 3],
            ..Segment::default()
        };
        for segment in [first, later] {
            let packet =
                segment.emit(1, (Ipv4Addr::new(10, 0, 0, 1), 40000), (Ipv4Addr::new(10, 0, 0, 2), 80));
            assert_eq!(Segment::parse(&packet), segment);
            let parsed = Packet::parse(&packet).unwrap();
            assert_eq!(parsed.tcp().unwrap().length, segment.length());
        }
    }
}
