//! Reading bytes that may end too early.

use crate::terse::Malformed;

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (&head, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn slice(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.take().map(u16::from_be_bytes)
    }

    pub(super) fn u24(&mut self) -> Result<u32, Malformed> {
        self.take().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.take().map(u32::from_be_bytes)
    }

    /// Reads 7 bits per byte, low ones first, the high bit set on all bytes but the last; at most 5 bytes.
    pub(super) fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| Malformed);
            }
        }
        Err(Malformed)
    }
}

/// Writes what [`Reader::varint`] reads.
pub(super) fn put_varint(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Writes the low 24 bits.
pub(super) fn put_u24(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes()[1..]);
}

/// Maps small differences of either sign to small numbers: 0, -1, 1, -2, … to 0, 1, 2, 3, …
pub(super) const fn zigzag(difference: u32) -> u32 {
    difference << 1 ^ if difference >> 31 == 1 { u32::MAX } else { 0 }
}

/// The inverse of [`zigzag`].
pub(super) const fn unzigzag(value: u32) -> u32 {
    value >> 1 ^ if value & 1 == 1 { u32::MAX } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_their_bytes() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u32::MAX - 1, u32::MAX] {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            let mut reader = Reader(&out);
            assert_eq!(reader.varint(), Ok(value));
            assert!(reader.0.is_empty());
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!((zigzag(u32::MAX), zigzag(3)), (1, 6));
        assert_eq!(Reader(&[0xff; 9]).varint(), Err(Malformed));
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff, 0x7f]).varint(), Err(Malformed));
    }
}
