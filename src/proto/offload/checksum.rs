//! The Internet checksum (RFC 1071): the ones' complement sum of 16-bit words.
//!
//! The sum does not mind in which byte order its words are added, so they are added as the machine reads them, four bytes at a
//! time into accumulators wide enough never to carry, several side by side: plain code that compilers turn into vector
//! instructions. Byte order is settled once, at the end.

use super::Malformed;

/// Bytes that one turn of the summing loop takes.
const BLOCK: usize = 64;
/// Accumulators side by side.
const LANES: usize = BLOCK / 4;

/// A sum in progress. Its parts may be added in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum(
    /// Of words in the machine's byte order; each addition is far below 2^48, so that thousands of them fit.
    u64,
);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// Returns the sum of these bytes. If their number is odd, a zero byte follows: nothing of the same run may be added after.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sum(bytes))
    }

    /// Adds another sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        // Folded first, so that no number of additions overflows.
        Self(self.short() + other.short())
    }

    /// Adds bytes, with which a new run of words begins.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        self.plus(Self::of(bytes))
    }

    /// Adds a 16-bit field.
    #[must_use]
    pub const fn word(self, word: u16) -> Self {
        self.plus(Self(word.to_be() as u64))
    }

    /// Adds a 32-bit field.
    #[must_use]
    pub const fn long(self, long: u32) -> Self {
        self.plus(Self(long.to_be() as u64))
    }

    /// Returns the sum as it stands in a header, as a number: what a partial checksum holds.
    #[must_use]
    pub const fn fold(self) -> u16 {
        let mut sum = self.short();
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        #[expect(clippy::cast_possible_truncation, reason = "folded twice, it is below 2^16")]
        u16::from_be(sum as u16)
    }

    /// Returns the checksum: the complement of the sum.
    #[must_use]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }

    /// Returns the checksum where zero means that there is none: UDP's.
    #[must_use]
    pub const fn checksum_or_ones(self) -> u16 {
        match self.checksum() {
            0 => 0xffff,
            sum => sum,
        }
    }

    /// Tells whether this is the sum of something with its own checksum in it, and that checksum is right.
    #[must_use]
    pub const fn is_right(self) -> bool {
        self.fold() == 0xffff
    }

    /// The same sum in less than 33 bits.
    const fn short(self) -> u64 {
        (self.0 & 0xffff_ffff) + (self.0 >> 32)
    }
}

fn sum(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let mut lanes = [0_u64; LANES];
    for block in blocks {
        let (longs, _) = block.as_chunks::<4>();
        for (lane, long) in lanes.iter_mut().zip(longs) {
            *lane += u64::from(u32::from_ne_bytes(*long));
        }
    }
    let mut sum: u64 = lanes.iter().sum();
    let (longs, rest) = rest.as_chunks::<4>();
    for long in longs {
        sum += u64::from(u32::from_ne_bytes(*long));
    }
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum + u64::from(u32::from_ne_bytes(last))
}

/// Returns the sum of the pseudo header that TCP and UDP include: both addresses as they stand in the IP header, the protocol,
/// and the length of the transport's header and payload in bytes.
#[must_use]
pub fn pseudo_header(addresses: &[u8], protocol: u8, length: u32) -> Sum {
    Sum::of(addresses).word(protocol.into()).long(length)
}

/// Completes a checksum that covers only the pseudo header so far: the sum from `start` to the end goes to `start + offset`.
///
/// # Errors
/// If that is not inside the packet; it is unchanged then.
pub fn complete(packet: &mut [u8], start: usize, offset: usize) -> Result<(), Malformed> {
    let covered = packet.get_mut(start..).ok_or(Malformed)?;
    let end = offset.checked_add(2).ok_or(Malformed)?;
    // The field is part of what is summed: it holds the pseudo header's share.
    let checksum = Sum::of(covered).checksum_or_ones();
    covered.get_mut(offset..end).ok_or(Malformed)?.copy_from_slice(&checksum.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng as _, SeedableRng as _};

    use super::*;

    /// The sum as RFC 1071 words it.
    fn by_the_book(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap()
    }

    #[test]
    fn it_is_the_sum_of_the_book_for_every_length_and_alignment() {
        let mut rng = ChaCha8Rng::from_seed([1; 32]);
        let mut bytes = [0; 400];
        rng.fill_bytes(&mut bytes);
        for from in 0..8 {
            for to in from..bytes.len() {
                let bytes = &bytes[from..to];
                assert_eq!(Sum::of(bytes).fold() % 0xffff, by_the_book(bytes) % 0xffff, "{from}..{to}");
            }
        }
    }

    #[test]
    fn the_largest_frame_of_the_largest_words_does_not_overflow() {
        let bytes = vec![0xff; 65_535];
        assert_eq!(Sum::of(&bytes).fold(), by_the_book(&bytes));
        let sum = (0..100_000).fold(Sum::ZERO, |sum, _| sum.plus(Sum::of(&bytes)));
        assert_eq!(sum.short() >> 33, 0);
    }

    #[test]
    fn only_nothing_sums_to_zero() {
        assert_eq!(Sum::of(&[0; 100]).fold(), 0);
        assert_eq!(Sum::of(&[0xff; 100]).fold(), 0xffff);
        assert_eq!(Sum::ZERO.checksum_or_ones(), 0xffff);
        assert_eq!(Sum::of(&[0xff; 100]).checksum_or_ones(), 0xffff);
    }

    #[test]
    fn the_example_of_the_standard() {
        assert_eq!(Sum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).fold(), 0xddf2);
        assert_eq!(Sum::ZERO.long(0x0001_f203).word(0xf4f5).word(0xf6f7).fold(), 0xddf2);
    }

    #[test]
    fn a_completed_checksum_is_right() {
        // UDP from 10.0.0.1 to 10.0.0.2, five bytes of payload.
        let addresses = [10, 0, 0, 1, 10, 0, 0, 2];
        let mut datagram = [0x30, 0x39, 0, 53, 0, 13, 0, 0, 1, 2, 3, 4, 5];
        let pseudo = pseudo_header(&addresses, 17, 13);
        datagram[6..8].copy_from_slice(&pseudo.fold().to_be_bytes());
        complete(&mut datagram, 0, 6).unwrap();
        assert!(pseudo.bytes(&datagram).is_right());
        datagram[12] ^= 1;
        assert!(!pseudo.bytes(&datagram).is_right());
    }

    #[test]
    fn a_place_outside_of_the_packet_changes_nothing() {
        let mut packet = [7; 20];
        for (start, offset) in [(21, 0), (20, 0), (0, 19), (19, 0), (10, usize::MAX), (usize::MAX, 1)] {
            assert_eq!(complete(&mut packet, start, offset), Err(Malformed), "{start} {offset}");
            assert_eq!(packet, [7; 20]);
        }
    }
}
