//! Compression of a packet's headers, before it is sealed.
//!
//! [`compress`] and [`decompress`] are exact inverses for every byte string at all, valid packet or not: a header is only
//! compressed if writing it out again gives the same bytes. They keep nothing from one packet to the next: each packet
//! stands for itself, whatever was lost before. What both ends know beforehand is the [`Context`].
//!
//! [`Flows`] adds what the two ends learn in a session: TCP segments of a flow that the receiver has confirmed to know go
//! as differences from one of its earlier segments.
//!
//! The first byte, the dispatch, is never below 0x10: those are control messages.

mod address;
mod context;
mod difference;
mod flow;
#[cfg(test)]
mod flow_tests;
mod ip;
mod options;
mod packet;
mod reader;
mod tcp;
#[cfg(test)]
pub(crate) mod tests;

pub use context::{Context, End};
pub use flow::Flows;

use packet::{COMPRESSED, Packet};
use reader::Reader;

use super::Malformed;

/// The longest packet there is: a length field has 16 bits, and that of IPv6 does not count its header.
pub const MAX_PACKET: usize = 65_535 + 40;

/// The bytes after this dispatch are the packet.
const VERBATIM: u8 = 0x10;

/// Writes a packet, compressed, behind what is in `out`. It takes at most one byte more than the packet, and not even that
/// if the packet is IPv4 or IPv6. Its checksums must be complete (no offload), or they travel as they are.
pub fn compress(packet: &[u8], context: &Context, out: &mut Vec<u8>) {
    match Packet::parse(packet) {
        Some(parsed) => parsed.compress(context, out),
        None => compress_verbatim(packet, out),
    }
}

fn compress_verbatim(packet: &[u8], out: &mut Vec<u8>) {
    // The first byte of an IP packet is a dispatch of its own.
    if !packet.first().is_some_and(|&first| is_ip(first)) {
        out.push(VERBATIM);
    }
    out.extend_from_slice(packet);
}

/// Whether a packet with this first byte is IPv4 or IPv6.
const fn is_ip(first: u8) -> bool {
    matches!(first >> 4, 4 | 6)
}

/// Writes the packet that was compressed, behind what is in `out`: at most [`MAX_PACKET`] bytes, or the length of `bytes`
/// if that is more.
///
/// # Errors
/// If `bytes` are not a compressed packet; `out` is as before then.
pub fn decompress(bytes: &[u8], context: &Context, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let (&dispatch, rest) = bytes.split_first().ok_or(Malformed)?;
    match dispatch {
        VERBATIM => out.extend_from_slice(rest),
        _ if is_ip(dispatch) => out.extend_from_slice(bytes),
        COMPRESSED.. => return Packet::decompress(dispatch, Reader(rest), context)?.emit(out),
        _ => return Err(Malformed),
    }
    Ok(())
}
