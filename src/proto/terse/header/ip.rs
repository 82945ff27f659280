//! IPv4 and IPv6 headers: parsed, written whole, and compressed to one of eight forms.
//!
//! Lengths and the IPv4 header checksum follow from the rest; a header that does not look like what [`Ip::emit`] writes is
//! not compressed at all (the caller compares). So here no field needs a check.

use super::address::{Mode, ModeV4, ModeV6};
use super::context::End;
use super::reader::{Reader, put_u24};
use crate::frame::checksum;
use crate::terse::Malformed;

/// Length of an IPv4 header without options.
const V4_LEN: usize = 20;
/// Length of an IPv6 header.
const V6_LEN: usize = 40;

/// Time to live and hop limit that take no byte of their own.
const HOPS: [u8; 3] = [64, 63, 255];
/// Traffic classes that take no byte of their own: none, and what interactive ssh sets on Debian and elsewhere.
const CLASSES: [u8; 3] = [0, 0x10, 0x48];
/// The value follows.
const INLINE: u8 = 3;

/// How the header is written: the low 3 bits of the dispatch.
mod form {
    pub const V4_ATOMIC: u8 = 0;
    pub const V4_DF: u8 = 1;
    pub const V4_PLAIN: u8 = 2;
    pub const V4_GENERAL: u8 = 3;
    pub const V6_PLAIN: u8 = 4;
    pub const V6_FLOW: u8 = 5;
    pub const V6_GENERAL: u8 = 6;
}

const V4_GENERAL_DF: u8 = 1 << 5;
const V4_GENERAL_ID: u8 = 1 << 4;
const V4_GENERAL_ADDRESSES: u8 = 1 << 1;
const V6_GENERAL_FLOW: u8 = 1 << 3;
const V6_GENERAL_ADDRESSES: u8 = 1 << 2;

/// A header, without what follows from the packet's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ip {
    V4 { class: u8, id: u16, df: bool, hops: u8, protocol: u8, source: [u8; 4], destination: [u8; 4] },
    V6 { class: u8, flow: u32, hops: u8, protocol: u8, source: [u8; 16], destination: [u8; 16] },
}

impl Ip {
    /// Reads a header; returns what follows it.
    pub(super) fn parse(packet: &[u8]) -> Option<(Self, &[u8])> {
        match packet.first()? >> 4 {
            4 => {
                let (h, body) = packet.split_first_chunk::<V4_LEN>()?;
                let ip = Self::V4 {
                    class: h[1],
                    id: u16::from_be_bytes([h[4], h[5]]),
                    df: h[6] & 0x40 != 0,
                    hops: h[8],
                    protocol: h[9],
                    source: [h[12], h[13], h[14], h[15]],
                    destination: [h[16], h[17], h[18], h[19]],
                };
                Some((ip, body))
            }
            6 => {
                let (h, body) = packet.split_first_chunk::<V6_LEN>()?;
                let ip = Self::V6 {
                    class: h[0] << 4 | h[1] >> 4,
                    flow: u32::from_be_bytes([0, h[1] & 0x0f, h[2], h[3]]),
                    hops: h[7],
                    protocol: h[6],
                    source: *h[8..].first_chunk()?,
                    destination: *h[24..].first_chunk()?,
                };
                Some((ip, body))
            }
            _ => None,
        }
    }

    /// Writes the header of a packet with `len` bytes after it.
    pub(super) fn emit(&self, len: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
        match *self {
            Self::V4 { class, id, df, hops, protocol, source, destination } => {
                let total = u16::try_from(V4_LEN + len).map_err(|_| Malformed)?.to_be_bytes();
                let id = id.to_be_bytes();
                let start = out.len();
                out.extend([0x45, class, total[0], total[1], id[0], id[1], u8::from(df) << 6, 0]);
                out.extend([hops, protocol, 0, 0]);
                out.extend(source);
                out.extend(destination);
                let sum = checksum(&[&out[start..]]).to_be_bytes();
                out[start + 10..start + 12].copy_from_slice(&sum);
            }
            Self::V6 { class, flow, hops, protocol, source, destination } => {
                let len = u16::try_from(len).map_err(|_| Malformed)?.to_be_bytes();
                let word = 6 << 28 | u32::from(class) << 20 | flow & 0xf_ffff;
                out.extend(word.to_be_bytes());
                out.extend([len[0], len[1], protocol, hops]);
                out.extend(source);
                out.extend(destination);
            }
        }
        Ok(())
    }

    pub(super) const fn protocol(&self) -> u8 {
        match *self {
            Self::V4 { protocol, .. } | Self::V6 { protocol, .. } => protocol,
        }
    }

    pub(super) const fn is_v6(&self) -> bool {
        matches!(self, Self::V6 { .. })
    }

    /// Returns the header with another protocol.
    pub(super) const fn with_protocol(mut self, new: u8) -> Self {
        let (Self::V4 { protocol, .. } | Self::V6 { protocol, .. }) = &mut self;
        *protocol = new;
        self
    }

    /// Returns the header with another identification, if it has one.
    pub(super) const fn with_id(mut self, new: u16) -> Self {
        if let Self::V4 { id, .. } = &mut self {
            *id = new;
        }
        self
    }

    /// Returns the identification of IPv4; 0 for IPv6.
    pub(super) const fn id(&self) -> u16 {
        match *self {
            Self::V4 { id, .. } => id,
            Self::V6 { .. } => 0,
        }
    }

    /// Returns the checksum over the pseudo header and the parts, which are `len` bytes together. Only the last part may
    /// have an odd length.
    pub(super) fn transport_checksum(&self, len: usize, parts: &[&[u8]]) -> u16 {
        #[allow(clippy::cast_possible_truncation, reason = "emit refuses what is longer")]
        let tail = [(len as u32).to_be_bytes(), u32::from(self.protocol()).to_be_bytes()];
        let mut all: Vec<&[u8]> = match self {
            Self::V4 { source, destination, .. } => vec![source, destination],
            Self::V6 { source, destination, .. } => vec![source, destination],
        };
        all.extend([&tail[0][..], &tail[1][..]]);
        all.extend_from_slice(parts);
        checksum(&all)
    }

    /// Writes the compressed header; returns its form. The protocol is not part of it.
    pub(super) fn compress(&self, from: &End, to: &End, out: &mut Vec<u8>) -> u8 {
        match *self {
            Self::V4 { class, id, df, hops, source, destination, .. } => {
                let addresses = (ModeV4::of(source, from.v4), ModeV4::of(destination, to.v4));
                compress_v4(class, id, df, hops, &addresses, out)
            }
            Self::V6 { class, flow, hops, source, destination, .. } => {
                let addresses = (ModeV6::of(source, from.v6), ModeV6::of(destination, to.v6));
                compress_v6(class, flow, hops, &addresses, out)
            }
        }
    }

    /// Reads a compressed header of this form. `protocol` is for IPv4 and for IPv6.
    pub(super) fn decompress(
        form: u8,
        protocols: (u8, u8),
        reader: &mut Reader<'_>,
        from: &End,
        to: &End,
    ) -> Result<Self, Malformed> {
        match form {
            form::V4_ATOMIC..=form::V4_GENERAL => Self::decompress_v4(form, protocols.0, reader, from, to),
            form::V6_PLAIN..=form::V6_GENERAL => Self::decompress_v6(form, protocols.1, reader, from, to),
            _ => Err(Malformed),
        }
    }

    fn decompress_v4(
        form: u8,
        protocol: u8,
        reader: &mut Reader<'_>,
        from: &End,
        to: &End,
    ) -> Result<Self, Malformed> {
        let control = match form {
            form::V4_ATOMIC => V4_GENERAL_DF,
            form::V4_DF => V4_GENERAL_DF | V4_GENERAL_ID,
            form::V4_PLAIN => V4_GENERAL_ID,
            _ => reader.u8()?,
        };
        let hops = long(&HOPS, control >> 6, reader)?;
        let class = long(&CLASSES, control >> 2 & 3, reader)?;
        let id = if control & V4_GENERAL_ID == 0 { 0 } else { reader.u16()? };
        let (source, destination) = if control & V4_GENERAL_ADDRESSES == 0 {
            (from.v4.ok_or(Malformed)?.octets(), to.v4.ok_or(Malformed)?.octets())
        } else {
            let modes = reader.u8()?;
            (ModeV4::read(modes >> 4, from.v4, reader)?, ModeV4::read(modes & 15, to.v4, reader)?)
        };
        let df = control & V4_GENERAL_DF != 0;
        Ok(Self::V4 { class, id, df, hops, protocol, source, destination })
    }

    fn decompress_v6(
        form: u8,
        protocol: u8,
        reader: &mut Reader<'_>,
        from: &End,
        to: &End,
    ) -> Result<Self, Malformed> {
        let (control, mut flow) = match form {
            form::V6_PLAIN => (0, 0),
            form::V6_FLOW => {
                let word = reader.u24()?;
                (word.to_be_bytes()[1] & 0xf0, word & 0xf_ffff)
            }
            _ => (reader.u8()?, 0),
        };
        let hops = long(&HOPS, control >> 6, reader)?;
        let class = long(&CLASSES, control >> 4 & 3, reader)?;
        if control & V6_GENERAL_FLOW != 0 {
            flow = reader.u24()? & 0xf_ffff;
        }
        let (source, destination) = if control & V6_GENERAL_ADDRESSES == 0 {
            (from.v6.ok_or(Malformed)?.octets(), to.v6.ok_or(Malformed)?.octets())
        } else {
            let modes = reader.u8()?;
            (ModeV6::read(modes >> 4, from.v6, reader)?, ModeV6::read(modes & 15, to.v6, reader)?)
        };
        Ok(Self::V6 { class, flow, hops, protocol, source, destination })
    }
}

fn compress_v4(
    class: u8,
    id: u16,
    df: bool,
    hops: u8,
    (source, destination): &(ModeV4, ModeV4),
    out: &mut Vec<u8>,
) -> u8 {
    let own = source.is_own() && destination.is_own();
    let short_form = match (df, id) {
        (true, 0) => Some(form::V4_ATOMIC),
        (true, _) => Some(form::V4_DF),
        (false, 0) => None,
        (false, _) => Some(form::V4_PLAIN),
    };
    let is_plain = own && class == CLASSES[0] && hops == HOPS[0];
    let form = short_form.filter(|_| is_plain).unwrap_or(form::V4_GENERAL);
    if form == form::V4_GENERAL {
        let mut control = short(&HOPS, hops) << 6 | short(&CLASSES, class) << 2;
        control |= if df { V4_GENERAL_DF } else { 0 };
        control |= if id == 0 { 0 } else { V4_GENERAL_ID };
        control |= if own { 0 } else { V4_GENERAL_ADDRESSES };
        out.push(control);
        put_inline(&HOPS, hops, out);
        put_inline(&CLASSES, class, out);
    }
    if id != 0 {
        out.extend(id.to_be_bytes());
    }
    if !own {
        put_addresses(source, destination, out);
    }
    form
}

fn compress_v6(
    class: u8,
    flow: u32,
    hops: u8,
    (source, destination): &(ModeV6, ModeV6),
    out: &mut Vec<u8>,
) -> u8 {
    let own = source.is_own() && destination.is_own();
    if own && flow == 0 && class == CLASSES[0] && hops == HOPS[0] {
        return form::V6_PLAIN;
    }
    let shorts = short(&HOPS, hops) << 2 | short(&CLASSES, class);
    if own && flow != 0 {
        put_u24(u32::from(shorts) << 20 | flow, out);
        put_inline(&HOPS, hops, out);
        put_inline(&CLASSES, class, out);
        return form::V6_FLOW;
    }
    let mut control = shorts << 4;
    control |= if flow == 0 { 0 } else { V6_GENERAL_FLOW };
    control |= if own { 0 } else { V6_GENERAL_ADDRESSES };
    out.push(control);
    put_inline(&HOPS, hops, out);
    put_inline(&CLASSES, class, out);
    if flow != 0 {
        put_u24(flow, out);
    }
    if !own {
        put_addresses(source, destination, out);
    }
    form::V6_GENERAL
}

fn put_addresses<M: Mode>(source: &M, destination: &M, out: &mut Vec<u8>) {
    out.push(source.code() << 4 | destination.code());
    source.put(out);
    destination.put(out);
}

/// Returns the place of a value in its table, or [`INLINE`].
fn short(table: &[u8; 3], value: u8) -> u8 {
    (0..).zip(table).find(|&(_, &known)| known == value).map_or(INLINE, |(at, _)| at)
}

fn put_inline(table: &[u8; 3], value: u8, out: &mut Vec<u8>) {
    if !table.contains(&value) {
        out.push(value);
    }
}

fn long(table: &[u8; 3], at: u8, reader: &mut Reader<'_>) -> Result<u8, Malformed> {
    table.get(usize::from(at)).map_or_else(|| reader.u8(), |&value| Ok(value))
}
