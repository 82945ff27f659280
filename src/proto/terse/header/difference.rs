//! A TCP segment as its differences from an earlier one of the same flow.
//!
//! A byte says which fields follow and how; numbers go as their distance from the base's, modulo 2^32, in as few of 0, 2, 3
//! or 4 bytes as it takes.

use super::flow::Base;
use super::options::Options;
use super::reader::{Reader, put_u24};
use super::tcp::flag;
use crate::terse::Malformed;

/// PSH is set.
const PUSH: u8 = 1 << 7;
/// The window follows.
const WINDOW: u8 = 1 << 2;
/// Timestamps take 3 bytes each, not 2.
const WIDE_STAMPS: u8 = 1 << 1;
/// Another byte follows: bit 7 says that the identification follows in full, bits 6 to 4 how many SACK blocks there are.
const MORE: u8 = 1 << 0;
const MORE_ID: u8 = 1 << 7;

/// How well a base fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// No number takes more than 2 bytes.
    Narrow,
    /// Some do because they are behind the base's, as in a retransmission: what follows will fit again.
    Behind,
    /// Some do because the flow has moved on: a nearer base would be better.
    Wide,
}

/// Returns how well a base fits a segment of its flow; `None` if it cannot be used at all.
pub(super) fn fit(base: &Base, next: &Base) -> Option<Fit> {
    let (stamps, _) = next.tcp.options.established()?;
    let (base_stamps, _) = base.tcp.options.established()?;
    let plain = next.tcp.flags & !flag::PSH == flag::ACK;
    if stamps != base_stamps || !plain {
        return None;
    }
    let stamps = stamp_distances(base, next);
    if stamps.iter().any(|&distance| distance >= 1 << 24) {
        return None;
    }
    let wide = |distance: &u32| *distance >= 1 << 16;
    let numbers = distances(base, next).into_iter().filter(wide);
    let ahead = numbers.clone().any(|distance| distance < 1 << 31) || stamps.iter().any(wide);
    Some(match (ahead, numbers.count()) {
        (true, _) => Fit::Wide,
        (false, 0) => Fit::Narrow,
        (false, _) => Fit::Behind,
    })
}

fn distances(base: &Base, next: &Base) -> [u32; 2] {
    [
        next.tcp.sequence.wrapping_sub(base.tcp.sequence),
        next.tcp.acknowledgement.wrapping_sub(base.tcp.acknowledgement),
    ]
}

fn stamp_distances(base: &Base, next: &Base) -> [u32; 2] {
    let (base, next) = (base.tcp.options.stamps, next.tcp.options.stamps);
    [next[0].wrapping_sub(base[0]), next[1].wrapping_sub(base[1])]
}

/// Whether the identification goes as one byte, its distance from the base's: not if it was 0, as IPv6 and some of IPv4
/// have it all along.
const fn has_short_id(base: &Base) -> bool {
    base.ip.id() != 0
}

/// Writes a segment that [`fit`]s.
pub(super) fn put(base: &Base, next: &Base, out: &mut Vec<u8>) {
    let (has_stamps, blocks) = next.tcp.options.established().unwrap_or_default();
    let ([sequence, acknowledgement], stamps) = (distances(base, next), stamp_distances(base, next));
    let id = next.ip.id().wrapping_sub(base.ip.id());
    let full_id = if has_short_id(base) { id > 0xff } else { id != 0 };
    let wide = stamps.iter().any(|&stamp| stamp >= 1 << 16);

    let mut fields = width(sequence) << 5 | width(acknowledgement) << 3;
    let flags = [
        (PUSH, next.tcp.flags & flag::PSH != 0),
        (WINDOW, next.tcp.window != base.tcp.window),
        (WIDE_STAMPS, has_stamps && wide),
        (MORE, full_id || blocks > 0),
    ];
    fields |= flags.into_iter().filter(|&(_, is_set)| is_set).fold(0, |all, (bit, _)| all | bit);
    out.push(fields);
    if fields & MORE != 0 {
        out.push(if full_id { MORE_ID } else { 0 } | blocks << 4);
    }
    if full_id {
        out.extend(next.ip.id().to_be_bytes());
    } else if has_short_id(base) {
        out.push(id.to_be_bytes()[1]);
    }
    put_distance(sequence, out);
    put_distance(acknowledgement, out);
    if fields & WINDOW != 0 {
        out.extend(next.tcp.window.to_be_bytes());
    }
    for stamp in stamps.into_iter().filter(|_| has_stamps) {
        if wide { put_u24(stamp, out) } else { out.extend_from_slice(&stamp.to_be_bytes()[2..]) }
    }
    next.tcp.options.compress_blocks(next.tcp.acknowledgement, out);
}

/// Reads a segment.
pub(super) fn read(base: &Base, reader: &mut Reader<'_>) -> Result<Base, Malformed> {
    let (has_stamps, _) = base.tcp.options.established().ok_or(Malformed)?;
    let fields = reader.u8()?;
    let more = if fields & MORE == 0 { 0 } else { reader.u8()? };
    let id = if more & MORE_ID != 0 {
        reader.u16()?
    } else if has_short_id(base) {
        base.ip.id().wrapping_add(u16::from(reader.u8()?))
    } else {
        0
    };
    let mut tcp = base.tcp;
    tcp.sequence = tcp.sequence.wrapping_add(read_distance(fields >> 5, reader)?);
    tcp.acknowledgement = tcp.acknowledgement.wrapping_add(read_distance(fields >> 3, reader)?);
    tcp.flags = flag::ACK | if fields & PUSH == 0 { 0 } else { flag::PSH };
    if fields & WINDOW != 0 {
        tcp.window = reader.u16()?;
    }
    let mut stamps = tcp.options.stamps;
    for stamp in stamps.iter_mut().filter(|_| has_stamps) {
        let distance = if fields & WIDE_STAMPS == 0 { u32::from(reader.u16()?) } else { reader.u24()? };
        *stamp = stamp.wrapping_add(distance);
    }
    let options = Options::of_established(has_stamps.then_some(stamps), more >> 4 & 7);
    tcp.options = options.ok_or(Malformed)?;
    tcp.options.decompress_blocks(tcp.acknowledgement, reader)?;
    Ok(Base { ip: base.ip.with_id(id), tcp })
}

/// Returns 2 bits that say how many bytes a distance takes: 0, 2, 3 or 4.
const fn width(distance: u32) -> u8 {
    match distance {
        0 => 0,
        1..=0xffff => 1,
        0x1_0000..=0xff_ffff => 2,
        _ => 3,
    }
}

fn put_distance(distance: u32, out: &mut Vec<u8>) {
    let from = [4, 2, 1, 0][usize::from(width(distance))];
    out.extend_from_slice(&distance.to_be_bytes()[from..]);
}

fn read_distance(width: u8, reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    match width & 3 {
        0 => Ok(0),
        1 => reader.u16().map(u32::from),
        2 => reader.u24(),
        _ => reader.u32(),
    }
}
