//! Parts: a sealed packet that is longer than the link carries.
//!
//! It is sealed once, with one authentication tag, and then cut into at most 16 chunks of the same length; only the last may
//! be shorter, by less than 16 bytes. A parity part, if there is one, is the XOR of all chunks (the last filled up with
//! zeros): it stands in for any one that is lost. It goes out before the last part, so that whoever has the last part knows
//! that nothing more is under way.

use super::Malformed;
use super::frame::{DATA_HEADER, Data, Kind, counter_low, first_byte};

/// What precedes the chunk of a part: first byte, counter, and a byte of index and count.
pub const PART_HEADER: usize = 4;
/// The most parts of one packet, parity not counted.
pub const MAX_PARTS: u8 = 16;
/// A link whose datagrams have room for less than this gets no parts: a last chunk might be empty.
const MIN_ROOM: usize = 32;

/// A part of a sealed packet, as a view of its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Which of the sessions between the two.
    pub tag: u8,
    /// The low 16 bits of the packet's counter.
    pub counter_low: u16,
    /// Which part it is.
    pub place: Place,
    /// How many parts there are, parity not counted: 2 to 16.
    pub count: u8,
    /// The bytes; not empty.
    pub chunk: &'a [u8],
}

/// Which of the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// This one, from 0.
    Index(u8),
    /// The XOR of all.
    Parity {
        /// By how many bytes the last chunk is shorter than the others.
        shortfall: u8,
    },
}

impl<'a> Part<'a> {
    pub(super) fn parse(tag: u8, body: &'a [u8]) -> Result<Self, Malformed> {
        let part = Self::read(tag, body, Place::Index)?;
        match part.place {
            Place::Index(index) if index < part.count => Ok(part),
            _ => Err(Malformed),
        }
    }

    pub(super) fn parse_parity(tag: u8, body: &'a [u8]) -> Result<Self, Malformed> {
        let part = Self::read(tag, body, |shortfall| Place::Parity { shortfall })?;
        match part.place {
            Place::Parity { shortfall }
                if shortfall < part.count && usize::from(shortfall) < part.chunk.len() =>
            {
                Ok(part)
            }
            _ => Err(Malformed),
        }
    }

    fn read(tag: u8, body: &'a [u8], place: impl Fn(u8) -> Place) -> Result<Self, Malformed> {
        let (&[high, low, of], chunk) = body.split_first_chunk().ok_or(Malformed)?;
        let count = (of & 15) + 1;
        if chunk.is_empty() || count < 2 {
            return Err(Malformed);
        }
        Ok(Self { tag, counter_low: u16::from_be_bytes([high, low]), place: place(of >> 4), count, chunk })
    }

    /// Writes the datagram.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let (kind, high) = match self.place {
            Place::Index(index) => (Kind::Part, index),
            Place::Parity { shortfall } => (Kind::Parity, shortfall),
        };
        let mut out = Vec::with_capacity(PART_HEADER + self.chunk.len());
        out.push(first_byte(kind, self.tag));
        out.extend(self.counter_low.to_be_bytes());
        out.push(high << 4 | self.count.wrapping_sub(1) & 15);
        out.extend_from_slice(self.chunk);
        out
    }
}

/// How a sealed packet of some length is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    count: u8,
    chunk_len: usize,
    len: usize,
}

impl Cut {
    /// Cuts `len` bytes for a link that carries datagrams of `mtu` bytes, into as few parts as can be and these as equal as
    /// can be. `None` if they are so few that a single datagram carries them, or more than 16 parts do.
    #[must_use]
    pub fn of(len: usize, mtu: usize) -> Option<Self> {
        let room = mtu.checked_sub(PART_HEADER).filter(|&room| room >= MIN_ROOM)?;
        let count = len.div_ceil(room);
        if DATA_HEADER + len <= mtu || count < 2 {
            return None;
        }
        let count = u8::try_from(count).ok().filter(|&count| count <= MAX_PARTS)?;
        Some(Self { count, chunk_len: len.div_ceil(usize::from(count)), len })
    }

    /// Returns how many parts there are.
    #[must_use]
    pub const fn count(&self) -> u8 {
        self.count
    }

    /// Returns how long the longest datagram is.
    #[must_use]
    pub const fn datagram_len(&self) -> usize {
        PART_HEADER + self.chunk_len
    }

    /// Writes the datagram of one part of `sealed`, which has the length that was cut.
    #[must_use]
    pub fn part(&self, tag: u8, counter: u64, sealed: &[u8], index: u8) -> Vec<u8> {
        let chunk = sealed.chunks(self.chunk_len).nth(usize::from(index)).unwrap_or_default();
        self.emit(tag, counter, Place::Index(index), chunk)
    }

    /// Writes the datagram of the parity.
    #[must_use]
    pub fn parity(&self, tag: u8, counter: u64, sealed: &[u8]) -> Vec<u8> {
        let mut all = vec![0; self.chunk_len];
        for chunk in sealed.chunks(self.chunk_len) {
            xor(&mut all, chunk);
        }
        let shortfall = u8::try_from(self.chunk_len * usize::from(self.count) - self.len)
            .expect("equal chunks leave less than one byte each");
        self.emit(tag, counter, Place::Parity { shortfall }, &all)
    }

    fn emit(&self, tag: u8, counter: u64, place: Place, chunk: &[u8]) -> Vec<u8> {
        Part { tag, counter_low: counter_low(counter), place, count: self.count, chunk }.emit()
    }
}

/// Writes a sealed packet as one datagram, or as parts if it is too long for the link; with parity before the last part if
/// asked for. `None` if 16 parts are not enough.
#[must_use]
pub fn split(tag: u8, counter: u64, sealed: &[u8], mtu: usize, parity: bool) -> Option<Vec<Vec<u8>>> {
    if DATA_HEADER + sealed.len() <= mtu {
        return Some(vec![Data { tag, counter_low: counter_low(counter), sealed }.emit()]);
    }
    let cut = Cut::of(sealed.len(), mtu)?;
    let mut parts: Vec<_> = (0..cut.count).map(|index| cut.part(tag, counter, sealed, index)).collect();
    if parity {
        parts.insert(parts.len() - 1, cut.parity(tag, counter, sealed));
    }
    Some(parts)
}

/// Adds `other`, which may be shorter, to `sum`.
pub(super) fn xor(sum: &mut [u8], other: &[u8]) {
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum ^= other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terse::frame::Datagram;

    #[test]
    fn what_fits_goes_whole_and_what_does_not_in_equal_parts() {
        let sealed: Vec<u8> = (0..=255).cycle().take(500).collect();
        assert_eq!(split(1, 2, &sealed[..97], 100, true).unwrap().len(), 1);
        assert!(Cut::of(97, 100).is_none(), "one datagram carries it");
        let parts = split(1, 0x1_0203, &sealed, 219, false).unwrap();
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [171, 171, 170]);
        assert_eq!(parts[1][..4], [0x81, 2, 3, 0x12]);
        let with_parity = split(1, 0x1_0203, &sealed, 219, true).unwrap();
        assert_eq!(with_parity[2][..4], [0xa1, 2, 3, 0x12]);
        assert_eq!([&with_parity[..2], &with_parity[3..]].concat(), parts);
    }

    #[test]
    fn no_last_part_is_empty_however_short_the_link() {
        for mtu in [36, 37, 50, 219] {
            for len in mtu..16 * (mtu - 4) {
                let parts = split(0, 0, &vec![1; len], mtu, true).unwrap();
                assert!(
                    parts.iter().all(|part| part.len() > PART_HEADER && part.len() <= mtu),
                    "{mtu} {len}"
                );
                assert!(parts.iter().all(|part| Datagram::parse(part).is_ok()), "{mtu} {len}");
            }
            assert!(split(0, 0, &vec![1; 16 * (mtu - 4) + 1], mtu, true).is_none());
        }
        assert!(split(0, 0, &[1; 100], 35, false).is_none());
    }

    #[test]
    fn a_part_that_contradicts_itself_is_malformed() {
        for bytes in
            [&[0x80, 0, 0, 0x32, 1][..], &[0x80, 0, 0, 0x00, 1], &[0x80, 0, 0, 0x01], &[0xa0, 0, 0, 0x11, 1]]
        {
            assert_eq!(Datagram::parse(bytes), Err(Malformed), "{bytes:?}");
        }
        assert!(Datagram::parse(&[0xa0, 0, 0, 0x11, 1, 2]).is_ok());
    }
}
