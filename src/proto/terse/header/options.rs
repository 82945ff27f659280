//! TCP options: the layouts that common systems write, each a row of options in a fixed order; anything else verbatim.

use super::reader::{Reader, put_varint, unzigzag, zigzag};
use crate::terse::Malformed;

/// The most bytes of options that a TCP header has room for.
pub(super) const MAX_LEN: usize = 40;
/// The number of the layout that is none: a byte with the number of 32-bit words follows, then the options.
pub(super) const VERBATIM: u8 = 15;

/// An option, or padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Nop,
    End,
    Mss,
    Scale,
    SackOk,
    /// Timestamps, both in full.
    Stamps,
    /// Timestamps of a first segment, which has nothing to echo: 0.
    FirstStamp,
    /// So many SACK blocks.
    Sack(usize),
}

use Item::{End, FirstStamp, Mss, Nop, Sack, SackOk, Scale, Stamps};

/// Layouts by their number.
const LAYOUTS: [&[Item]; 15] = [
    &[],
    &[Nop, Nop, Stamps],
    &[Nop, Nop, Stamps, Nop, Nop, Sack(1)],
    &[Nop, Nop, Stamps, Nop, Nop, Sack(2)],
    &[Nop, Nop, Stamps, Nop, Nop, Sack(3)],
    &[Nop, Nop, Sack(1)],
    &[Nop, Nop, Sack(2)],
    &[Nop, Nop, Sack(3)],
    &[Nop, Nop, Sack(4)],
    &[Mss, SackOk, FirstStamp, Nop, Scale],
    &[Mss, SackOk, Stamps, Nop, Scale],
    &[Mss, Nop, Nop, SackOk, Nop, Scale],
    &[Mss],
    &[Mss, Nop, Scale, Nop, Nop, SackOk],
    &[Mss, Nop, Scale, Nop, Nop, FirstStamp, SackOk, End, End],
];

impl Item {
    /// Returns the bytes that begin the option: all of it but its values.
    const fn head(self) -> &'static [u8] {
        match self {
            Nop => &[1],
            End => &[0],
            Mss => &[2, 4],
            Scale => &[3, 3],
            SackOk => &[4, 2],
            Stamps | FirstStamp => &[8, 10],
            Sack(1) => &[5, 10],
            Sack(2) => &[5, 18],
            Sack(3) => &[5, 26],
            Sack(_) => &[5, 34],
        }
    }
}

/// The options of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    layout: u8,
    mss: u16,
    scale: u8,
    /// Timestamp value and echo reply.
    pub(super) stamps: [u32; 2],
    /// Edges of SACK blocks.
    blocks: [[u32; 2]; 4],
    verbatim: [u8; MAX_LEN],
    verbatim_len: u8,
}

impl Options {
    const NONE: Self = Self {
        layout: 0,
        mss: 0,
        scale: 0,
        stamps: [0; 2],
        blocks: [[0; 2]; 4],
        verbatim: [0; MAX_LEN],
        verbatim_len: 0,
    };

    /// Reads options; at most [`MAX_LEN`] bytes, a multiple of 4.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let known =
            (0..).zip(LAYOUTS).find_map(|(layout, items)| Self::parse_layout(layout, items, bytes).ok());
        known.or_else(|| {
            let mut options = Self { layout: VERBATIM, ..Self::NONE };
            options.verbatim.get_mut(..bytes.len())?.copy_from_slice(bytes);
            options.verbatim_len = u8::try_from(bytes.len()).ok()?;
            Some(options)
        })
    }

    fn parse_layout(layout: u8, items: &[Item], bytes: &[u8]) -> Result<Self, Malformed> {
        let mut options = Self { layout, ..Self::NONE };
        let mut reader = Reader(bytes);
        for &item in items {
            if reader.slice(item.head().len())? != item.head() {
                return Err(Malformed);
            }
            match item {
                Nop | End | SackOk => {}
                Mss => options.mss = reader.u16()?,
                Scale => options.scale = reader.u8()?,
                Stamps => options.stamps = [reader.u32()?, reader.u32()?],
                FirstStamp => {
                    options.stamps[0] = reader.u32()?;
                    if reader.u32()? != 0 {
                        return Err(Malformed);
                    }
                }
                Sack(count) => {
                    for block in &mut options.blocks[..count] {
                        *block = [reader.u32()?, reader.u32()?];
                    }
                }
            }
        }
        if reader.0.is_empty() { Ok(options) } else { Err(Malformed) }
    }

    /// Writes the options as they are in the segment.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let Some(items) = LAYOUTS.get(usize::from(self.layout)) else {
            out.extend_from_slice(&self.verbatim[..usize::from(self.verbatim_len)]);
            return;
        };
        for &item in *items {
            out.extend_from_slice(item.head());
            match item {
                Nop | End | SackOk => {}
                Mss => out.extend(self.mss.to_be_bytes()),
                Scale => out.push(self.scale),
                Stamps | FirstStamp => out.extend(self.stamps.map(u32::to_be_bytes).as_flattened()),
                Sack(count) => {
                    out.extend(
                        self.blocks[..count].as_flattened().iter().flat_map(|edge| edge.to_be_bytes()),
                    );
                }
            }
        }
    }

    /// Returns the number of the layout: 4 bits.
    pub(super) const fn layout(&self) -> u8 {
        self.layout
    }

    /// Writes the values, timestamps included. SACK edges go by their distance from the acknowledgement.
    pub(super) fn compress(&self, acknowledgement: u32, out: &mut Vec<u8>) {
        let Some(items) = LAYOUTS.get(usize::from(self.layout)) else {
            out.push(self.verbatim_len / 4);
            out.extend_from_slice(&self.verbatim[..usize::from(self.verbatim_len)]);
            return;
        };
        for &item in *items {
            match item {
                Nop | End | SackOk => {}
                Mss => out.extend(self.mss.to_be_bytes()),
                Scale => out.push(self.scale),
                Stamps => out.extend(self.stamps.map(u32::to_be_bytes).as_flattened()),
                FirstStamp => out.extend(self.stamps[0].to_be_bytes()),
                Sack(_) => self.compress_blocks(acknowledgement, out),
            }
        }
    }

    /// Reads the values of a layout.
    pub(super) fn decompress(
        layout: u8,
        acknowledgement: u32,
        reader: &mut Reader<'_>,
    ) -> Result<Self, Malformed> {
        let mut options = Self { layout, ..Self::NONE };
        let Some(items) = LAYOUTS.get(usize::from(layout)) else {
            let len = 4 * usize::from(reader.u8()?);
            options.verbatim.get_mut(..len).ok_or(Malformed)?.copy_from_slice(reader.slice(len)?);
            options.verbatim_len = u8::try_from(len).map_err(|_| Malformed)?;
            return Ok(options);
        };
        for &item in *items {
            match item {
                Nop | End | SackOk => {}
                Mss => options.mss = reader.u16()?,
                Scale => options.scale = reader.u8()?,
                Stamps => options.stamps = [reader.u32()?, reader.u32()?],
                FirstStamp => options.stamps[0] = reader.u32()?,
                Sack(_) => options.decompress_blocks(acknowledgement, reader)?,
            }
        }
        Ok(options)
    }

    /// Returns whether this is a layout of an established connection, and then whether it has timestamps and how many SACK
    /// blocks.
    pub(super) const fn established(&self) -> Option<(bool, u8)> {
        match self.layout {
            0 => Some((false, 0)),
            1..=4 => Some((true, self.layout - 1)),
            5..=8 => Some((false, self.layout - 4)),
            _ => None,
        }
    }

    /// Makes options of an established connection, with blocks yet to be read.
    pub(super) const fn of_established(stamps: Option<[u32; 2]>, blocks: u8) -> Option<Self> {
        let layout = match (stamps, blocks) {
            (None, 0) => 0,
            (Some(_), 0..=3) => 1 + blocks,
            (None, 1..=4) => 4 + blocks,
            _ => return None,
        };
        let stamps = match stamps {
            Some(stamps) => stamps,
            None => [0; 2],
        };
        Some(Self { layout, stamps, ..Self::NONE })
    }

    /// Writes the SACK blocks alone.
    pub(super) fn compress_blocks(&self, acknowledgement: u32, out: &mut Vec<u8>) {
        for [left, right] in &self.blocks[..self.block_count()] {
            put_varint(zigzag(left.wrapping_sub(acknowledgement)), out);
            put_varint(right.wrapping_sub(*left), out);
        }
    }

    /// Reads the SACK blocks of this layout.
    pub(super) fn decompress_blocks(
        &mut self,
        acknowledgement: u32,
        reader: &mut Reader<'_>,
    ) -> Result<(), Malformed> {
        for at in 0..self.block_count() {
            let left = acknowledgement.wrapping_add(unzigzag(reader.varint()?));
            self.blocks[at] = [left, left.wrapping_add(reader.varint()?)];
        }
        Ok(())
    }

    fn block_count(&self) -> usize {
        self.established().map_or(0, |(_, count)| usize::from(count))
    }
}
