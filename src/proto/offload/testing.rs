//! Packets for the tests of both ways.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::checksum::{Sum, pseudo_header};
use super::header::{put16, tcp};
use crate::frame::{ETHERNET_HEADER, protocol};

pub(super) fn rng(seed: u8) -> ChaCha8Rng {
    ChaCha8Rng::from_seed([seed; 32])
}

/// A number below `limit`.
pub(super) fn below(rng: &mut ChaCha8Rng, limit: usize) -> usize {
    usize::try_from(rng.next_u32()).unwrap() % limit
}

pub(super) fn random(rng: &mut ChaCha8Rng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// One direction of a conversation, of which packets are made.
#[derive(Debug, Clone)]
pub(super) struct Talk {
    pub is_v4: bool,
    pub port: u16,
    pub id: u16,
    pub sequence: u32,
    pub options: Vec<u8>,
    pub more_flags: u8,
}

impl Talk {
    pub(super) fn new(is_v4: bool, port: u16) -> Self {
        // A time stamp, as most TCP streams have.
        let options = vec![1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9];
        Self { is_v4, port, id: 0xfff0, sequence: 0xffff_f000, options, more_flags: 0 }
    }

    /// The next segment of the stream, whole and right.
    pub(super) fn tcp(&mut self, payload: &[u8], push: bool) -> Vec<u8> {
        let offset = u8::try_from((20 + self.options.len()) / 4 * 16).unwrap();
        let flags = tcp::ACK | self.more_flags | if push { tcp::PSH } else { 0 };
        let mut segment =
            [&self.port.to_be_bytes()[..], &[0x14, 0x51], &self.sequence.to_be_bytes()].concat();
        segment.extend([0, 0, 0, 5, offset, flags, 1, 2, 0, 0, 0, 0]);
        segment.extend(&self.options);
        segment.extend(payload);
        self.sequence = self.sequence.wrapping_add(u32::try_from(payload.len()).unwrap());
        self.packet(protocol::TCP, segment, 16)
    }

    /// The next datagram.
    pub(super) fn udp(&mut self, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
        let mut datagram = [&self.port.to_be_bytes()[..], &[0x14, 0x51], &length, &[0, 0]].concat();
        datagram.extend(payload);
        self.packet(protocol::UDP, datagram, 6)
    }

    fn packet(&mut self, protocol: u8, mut carried: Vec<u8>, checksum: usize) -> Vec<u8> {
        let len = u16::try_from(carried.len()).unwrap();
        let mut header;
        let addresses = if self.is_v4 {
            header = vec![0x45, 0x02, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
            put16(&mut header, 2, len + 20);
            put16(&mut header, 4, self.id);
            let sum = Sum::of(&header).checksum();
            put16(&mut header, 10, sum);
            self.id = self.id.wrapping_add(1);
            &header[12..20]
        } else {
            header = vec![0x60, 0, 0, 9, 0, 0, protocol, 64];
            header.extend([0xfd, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
            header.extend([0xfd, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15]);
            put16(&mut header, 4, len);
            &header[8..40]
        };
        let sum = pseudo_header(addresses, protocol, len.into()).bytes(&carried);
        let sum = if protocol == protocol::UDP { sum.checksum_or_ones() } else { sum.checksum() };
        put16(&mut carried, checksum, sum);
        [header, carried].concat()
    }
}

/// A packet as a frame.
pub(super) fn framed(packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; ETHERNET_HEADER - 2];
    frame.extend(if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] });
    frame.extend(packet);
    frame
}
