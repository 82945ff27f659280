//! Datagrams of the terse encoding.
//!
//! The first byte is a kind (high 3 bits) and a tag (low 5 bits). No kind is 0, so that no terse datagram can be taken for
//! one of version 1, whose first bytes are 1 to 4. In what belongs to a session the tag is the low 5 bits of the receiver's
//! index: enough to tell apart the few sessions that two peers have at one time. In a handshake, where no session is yet, it
//! is the check of the context ([`Context::check`](super::header::Context::check)). Integers are big-endian.

use super::fragment::Part;
use super::handshake::{INIT_LEN, RESPONSE_LEN};
use crate::aead::TAG_LEN;

/// What precedes the ciphertext of a whole packet: first byte and counter.
pub const DATA_HEADER: usize = 3;
/// The additional data of every seal in this encoding: no datagram of a radio can be turned into one of UDP, or back.
pub const ADDITIONAL_DATA: &[u8] = b"meshnet terse 1";
/// The bits of a tag.
pub const TAG_MASK: u8 = 0x1f;

const INIT: u8 = 1;
const RESPONSE: u8 = 2;
const DATA: u8 = 3;
const PART: u8 = 4;
const PARITY: u8 = 5;

/// The bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not in the terse encoding")]
pub struct Malformed;

/// A datagram, as a view of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// The first message of a handshake, without its first byte: for [`expand_init`](super::handshake::expand_init).
    Init {
        /// The initiator's check of the context.
        check: u8,
        /// What is left of the message.
        body: &'a [u8; INIT_LEN - 1],
    },
    /// The second one: the whole Noise message.
    Response {
        /// The responder's check of the context.
        check: u8,
        /// The message.
        noise: &'a [u8; RESPONSE_LEN - 1],
    },
    /// A sealed packet.
    Data(Data<'a>),
    /// A part of one, or the parity of its parts.
    Part(Part<'a>),
}

/// A sealed packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<'a> {
    /// Which of the sessions between the two.
    pub tag: u8,
    /// The low 16 bits of the counter.
    pub counter_low: u16,
    /// Ciphertext and authentication tag.
    pub sealed: &'a [u8],
}

/// Returns the first byte of a datagram.
pub(super) const fn first_byte(kind: Kind, tag: u8) -> u8 {
    (kind as u8) << 5 | tag & TAG_MASK
}

/// What the high 3 bits of the first byte say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Init = INIT,
    Response = RESPONSE,
    Data = DATA,
    Part = PART,
    Parity = PARITY,
}

/// Returns the tag of a session in which the receiver has this index.
#[must_use]
pub const fn tag_of(receiver: u32) -> u8 {
    receiver.to_be_bytes()[3] & TAG_MASK
}

impl<'a> Datagram<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// If the kind is unknown, or the length is wrong for it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (&first, body) = bytes.split_first().ok_or(Malformed)?;
        let tag = first & TAG_MASK;
        match first >> 5 {
            INIT => Ok(Self::Init { check: tag, body: body.try_into().map_err(|_| Malformed)? }),
            RESPONSE => Ok(Self::Response { check: tag, noise: body.try_into().map_err(|_| Malformed)? }),
            DATA => {
                let (&counter, sealed) = body.split_first_chunk().ok_or(Malformed)?;
                if sealed.len() < TAG_LEN {
                    return Err(Malformed);
                }
                Ok(Self::Data(Data { tag, counter_low: u16::from_be_bytes(counter), sealed }))
            }
            PART => Part::parse(tag, body).map(Self::Part),
            PARITY => Part::parse_parity(tag, body).map(Self::Part),
            _ => Err(Malformed),
        }
    }
}

impl Data<'_> {
    /// Writes the datagram.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(DATA_HEADER + self.sealed.len());
        out.push(first_byte(Kind::Data, self.tag));
        out.extend_from_slice(&self.counter_low.to_be_bytes());
        out.extend_from_slice(self.sealed);
        out
    }
}

/// Returns the low 16 bits of a counter: what travels of it.
#[must_use]
pub const fn counter_low(counter: u64) -> u16 {
    let [.., high, low] = counter.to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// Returns the counter with these low 16 bits that is nearest to the greatest one received so far (0 before the first); of
/// two that are equally near, the greater. It is right as long as fewer than 2^15 packets in a row are lost; if it is
/// wrong, the packet does not authenticate.
#[must_use]
pub const fn expand_counter(low: u16, greatest: u64) -> u64 {
    const SPAN: u64 = 1 << 16;
    let near = greatest & !(SPAN - 1) | low as u64;
    if near < greatest && greatest - near >= SPAN / 2 {
        // At the very end of the counters there is none above.
        if near > u64::MAX - SPAN { near } else { near + SPAN }
    } else if near > greatest && near - greatest > SPAN / 2 && near >= SPAN {
        near - SPAN
    } else {
        near
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::{Rng as _, SeedableRng as _};

    #[test]
    fn a_sealed_packet_survives_its_bytes() {
        let data = Data { tag: 0x15, counter_low: 0x0102, sealed: &[7; 16] };
        let bytes = data.emit();
        assert_eq!(bytes[..3], [0x75, 1, 2]);
        assert_eq!(Datagram::parse(&bytes), Ok(Datagram::Data(data)));
    }

    #[test]
    fn what_is_too_short_or_of_version_1_is_refused() {
        let too_short = Data { tag: 0, counter_low: 0, sealed: &[0; 15] }.emit();
        for bytes in
            [&[][..], &[1; 53], &[3; 40], &[0xc0; 40], &[0xe0; 40], &[0x20; 53], &[0x40; 50], &too_short]
        {
            assert_eq!(Datagram::parse(bytes), Err(Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn a_counter_expands_to_the_nearest() {
        assert_eq!(expand_counter(0, 0), 0);
        assert_eq!(expand_counter(0xffff, 0), 0xffff, "there is none below");
        assert_eq!(expand_counter(1, 0xffff), 0x1_0001);
        assert_eq!(expand_counter(0xfff0, 0x1_0003), 0xfff0);
        assert_eq!(expand_counter(0x8000, 0x1_0000), 0x1_8000);
        assert_eq!(expand_counter(0, u64::MAX), u64::MAX - 0xffff);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for _ in 0..10_000 {
            let greatest = rng.next_u64() >> (rng.next_u32() % 64);
            let off = u64::from(rng.next_u32() % 0x8000);
            for counter in [greatest.saturating_add(off), greatest.saturating_sub(off)] {
                assert_eq!(expand_counter(counter_low(counter), greatest), counter, "{greatest}");
            }
        }
    }
}
