//! What two meshnet nodes say to each other inside a session, beside the packets that they carry.
//!
//! A control message is the whole plaintext of a sealed message, in either encoding of a session. Its first byte is its kind,
//! `0x01..=0x0f`, where an IP packet has `0x4?` or `0x6?`, a compressed packet anything above `0x0f`, and a keepalive
//! nothing. It is only sent to a peer that is known to be meshnet, but for the one probe that finds that out: a stock WireGuard peer drops it. `docs/terse.md`
//! has the specification (section 7).
//!
//! | kind | message | then |
//! |---|---|---|
//! | 1 | probe | token (4) |
//! | 2 | answer to a probe | its token (4) |
//! | 3 | addresses | numbers of IPv4 and IPv6 addresses (a nibble each), IPv4 addresses with port (6 each), IPv6 addresses with port (18 each) |
//! | 4 | missing | low 16 bits of the counter (2), bitmap of fragments (2) |
//! | 5 | copy | low 16 bits of the counter (2), length (2), a compressed packet of that length |
//!
//! Integers are big-endian. What follows a message is ignored: the stock encoding pads with zeros, and later versions may
//! append. A kind that is unknown is reported as such, not as damage, so that later versions may add some.
//!
//! Invariant: `parse(emit(x)) == x` for everything that can be made, also with anything appended.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Addresses in one message: a host that has more chooses the best.
pub const MAX_ADDRESSES: usize = 8;
/// The longest message that carries no packet.
pub const MAX_LEN: usize = 2 + MAX_ADDRESSES * V6_LEN;
/// What a copy takes beside its compressed packet.
pub const COPY_HEADER: usize = 1 + 2 + 2;

const PROBE: u8 = 1;
const PROBE_ANSWER: u8 = 2;
const ADDRESSES: u8 = 3;
const MISSING: u8 = 4;
const COPY: u8 = 5;
const V4_LEN: usize = 4 + 2;
const V6_LEN: usize = 16 + 2;

/// A message between two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Answer this on the path that it came by: the answer proves that path.
    Probe {
        /// Unpredictable, so that only somebody who got it can answer.
        token: u32,
    },
    /// The answer to a [`Self::Probe`].
    ProbeAnswer {
        /// The probe's token.
        token: u32,
    },
    /// Where the sender may be reached by UDP: worth a probe, and no more.
    Addresses(Addresses),
    /// Fragments of the sealed packet with this counter did not come.
    Missing {
        /// The low 16 bits of the packet's counter.
        counter_low: u16,
        /// Bit `n` is set if fragment `n` is missing.
        bitmap: u16,
    },
    /// A packet that was sealed before in this session, and may have been lost: whoever has it already drops it.
    Copy {
        /// The low 16 bits of the counter that it was sealed with first.
        counter_low: u16,
        /// The packet, as [`compress`](crate::terse::header::compress) writes it: at most 65535 bytes; what is beyond is lost.
        packet: Vec<u8>,
    },
}

/// At most [`MAX_ADDRESSES`] addresses, IPv4 before IPv6, none twice, otherwise in the sender's order of preference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(Vec<SocketAddr>);

impl Addresses {
    /// Makes a list of the first addresses that fit. What the wire does not carry is dropped: IPv4 in IPv6 clothes becomes
    /// IPv4, flow labels and scopes (which mean nothing at another host) go.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut list: Vec<SocketAddr> = Vec::new();
        for address in addresses {
            let plain = SocketAddr::new(address.ip().to_canonical(), address.port());
            if list.len() < MAX_ADDRESSES && !list.contains(&plain) {
                list.push(plain);
            }
        }
        list.sort_by_key(SocketAddr::is_ipv6); // A stable sort: the sender's order stays.
        Self(list)
    }

    /// Returns the addresses.
    #[must_use]
    pub fn as_slice(&self) -> &[SocketAddr] {
        &self.0
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (&counts, rest) = bytes.split_first()?;
        let (v4, v6) = (usize::from(counts >> 4), usize::from(counts & 0x0f));
        if v4 + v6 > MAX_ADDRESSES || rest.len() < v4 * V4_LEN + v6 * V6_LEN {
            return None;
        }
        let (fours, sixes) = rest.split_at(v4 * V4_LEN);
        let (fours, _) = fours.as_chunks::<V4_LEN>();
        let (sixes, _) = sixes[..v6 * V6_LEN].as_chunks::<V6_LEN>();
        let fours = fours.iter().map(|[a, b, c, d, port @ ..]| {
            SocketAddr::new(Ipv4Addr::new(*a, *b, *c, *d).into(), u16::from_be_bytes(*port))
        });
        let sixes = sixes.iter().filter_map(|chunk| {
            let (ip, port) = chunk.split_first_chunk::<16>()?;
            Some(SocketAddr::new(Ipv6Addr::from(*ip).into(), u16::from_be_bytes(port.try_into().ok()?)))
        });
        let list: Vec<SocketAddr> = fours.chain(sixes).collect();
        // One list has one form: nothing twice, and no IPv4 among the IPv6.
        let canonical = Self::new(list.iter().copied());
        (canonical.0 == list).then_some(canonical)
    }

    fn emit(&self, out: &mut Vec<u8>) {
        let of = |v6: bool| self.0.iter().filter(move |address| address.is_ipv6() == v6).count();
        let nibble = |count: usize| u8::try_from(count).unwrap_or(0) & 0x0f;
        out.push(nibble(of(false)) << 4 | nibble(of(true)));
        for address in &self.0 {
            match address.ip() {
                IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
                IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
            }
            out.extend_from_slice(&address.port().to_be_bytes());
        }
    }
}

/// Why bytes are no message that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The first byte is none of a control message.
    #[error("no control message")]
    Other,
    /// A kind that a later version may know; to be passed over.
    #[error("control message of the unknown kind {0}")]
    Unknown(u8),
    /// A known kind, but cut short or not in its one form.
    #[error("malformed control message of kind {0}")]
    Malformed(u8),
}

impl Control {
    /// Whether a plaintext is a control message (of a known kind or not), by its first byte.
    #[must_use]
    pub fn is_control(plaintext: &[u8]) -> bool {
        plaintext.first().is_some_and(|kind| (0x01..=0x0f).contains(kind))
    }

    /// Whether a plaintext is a probe, by its first byte.
    #[must_use]
    pub fn is_probe(plaintext: &[u8]) -> bool {
        plaintext.first() == Some(&PROBE)
    }

    /// Whether a plaintext is a copy of a packet, by its first byte.
    #[must_use]
    pub fn is_copy(plaintext: &[u8]) -> bool {
        plaintext.first() == Some(&COPY)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// If there is none, or none that we know.
    pub fn parse(bytes: &[u8]) -> Result<Self, ControlError> {
        let Some((&kind, rest)) = bytes.split_first().filter(|_| Self::is_control(bytes)) else {
            return Err(ControlError::Other);
        };
        let four = rest.first_chunk::<4>();
        let message = match kind {
            PROBE => four.map(|token| Self::Probe { token: u32::from_be_bytes(*token) }),
            PROBE_ANSWER => four.map(|token| Self::ProbeAnswer { token: u32::from_be_bytes(*token) }),
            ADDRESSES => Addresses::parse(rest).map(Self::Addresses),
            MISSING => four.map(|[high, low, bits @ ..]| Self::Missing {
                counter_low: u16::from_be_bytes([*high, *low]),
                bitmap: u16::from_be_bytes(*bits),
            }),
            COPY => four.and_then(|[c0, c1, l0, l1]| {
                let packet = rest[4..].get(..u16::from_be_bytes([*l0, *l1]).into())?;
                Some(Self::Copy { counter_low: u16::from_be_bytes([*c0, *c1]), packet: packet.to_vec() })
            }),
            unknown => return Err(ControlError::Unknown(unknown)),
        };
        message.ok_or(ControlError::Malformed(kind))
    }

    /// Writes the message, without padding: at most [`MAX_LEN`] bytes, or [`COPY_HEADER`] and a packet.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(5);
        match self {
            Self::Probe { token } => {
                out.push(PROBE);
                out.extend_from_slice(&token.to_be_bytes());
            }
            Self::ProbeAnswer { token } => {
                out.push(PROBE_ANSWER);
                out.extend_from_slice(&token.to_be_bytes());
            }
            Self::Addresses(addresses) => {
                out.push(ADDRESSES);
                addresses.emit(&mut out);
            }
            Self::Missing { counter_low, bitmap } => {
                out.push(MISSING);
                out.extend_from_slice(&counter_low.to_be_bytes());
                out.extend_from_slice(&bitmap.to_be_bytes());
            }
            Self::Copy { counter_low, packet } => {
                let len = u16::try_from(packet.len()).unwrap_or(u16::MAX);
                out.push(COPY);
                out.extend_from_slice(&counter_low.to_be_bytes());
                out.extend_from_slice(&len.to_be_bytes());
                out.extend_from_slice(&packet[..len.into()]);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::{Rng as _, SeedableRng as _};

    fn chance() -> rand_chacha::ChaCha8Rng {
        rand_chacha::ChaCha8Rng::seed_from_u64(3)
    }

    fn any_address(rng: &mut rand_chacha::ChaCha8Rng) -> SocketAddr {
        let (ip, port) = (rng.next_u64(), (rng.next_u32() % 65536) as u16);
        if rng.next_u32().is_multiple_of(2) {
            SocketAddr::new(Ipv4Addr::from((ip & 0xffff_ffff) as u32).into(), port)
        } else {
            SocketAddr::new(Ipv6Addr::from(u128::from(ip) << 64 | 0x2000).into(), port)
        }
    }

    fn any_message(rng: &mut rand_chacha::ChaCha8Rng) -> Control {
        let word = rng.next_u32();
        match rng.next_u32() % 5 {
            0 => Control::Probe { token: word },
            1 => Control::ProbeAnswer { token: word },
            2 => Control::Addresses(Addresses::new((0..word % 12).map(|_| any_address(rng)))),
            3 => Control::Missing { counter_low: (word >> 16) as u16, bitmap: word as u16 },
            _ => {
                let mut packet = vec![0; (word % 100) as usize];
                rng.fill_bytes(&mut packet);
                Control::Copy { counter_low: (word >> 16) as u16, packet }
            }
        }
    }

    #[test]
    fn every_message_comes_back_as_it_was_also_with_padding() {
        let mut rng = chance();
        for _ in 0..2000 {
            let message = any_message(&mut rng);
            let mut bytes = message.emit();
            assert!(bytes.len() <= MAX_LEN && Control::is_control(&bytes));
            assert_eq!(Control::parse(&bytes), Ok(message.clone()));
            bytes.resize(bytes.len().next_multiple_of(16), 0);
            assert_eq!(Control::parse(&bytes), Ok(message));
        }
    }

    #[test]
    fn no_bytes_panic_and_what_is_read_is_written_alike() {
        let mut rng = chance();
        for _ in 0..20_000 {
            let mut bytes = vec![0; (rng.next_u32() % 200) as usize];
            rng.fill_bytes(&mut bytes);
            if let Some(kind) = bytes.first_mut() {
                *kind %= 8;
            }
            if let Ok(message) = Control::parse(&bytes) {
                let emitted = message.emit();
                assert_eq!(bytes[..emitted.len()], emitted);
            }
        }
    }

    #[test]
    fn two_ipv4_addresses_take_fourteen_bytes() {
        let list = ["192.0.2.7:51820", "[::ffff:10.0.0.9]:7", "192.0.2.7:51820"].map(|a| a.parse().unwrap());
        let message = Control::Addresses(Addresses::new(list));
        assert_eq!(hex::encode(message.emit()), "0320c0000207ca6c0a0000090007");
    }

    #[test]
    fn a_message_cut_short_is_malformed() {
        let addresses = Addresses::new(["[2001:db8::1]:9", "192.0.2.1:9"].map(|a| a.parse().unwrap()));
        for message in [
            Control::Probe { token: 7 },
            Control::Addresses(addresses),
            Control::Missing { counter_low: 1, bitmap: 2 },
            Control::Copy { counter_low: 1, packet: vec![0x45; 20] },
        ] {
            let bytes = message.emit();
            for len in 1..bytes.len() {
                assert_eq!(Control::parse(&bytes[..len]), Err(ControlError::Malformed(bytes[0])));
            }
        }
    }

    #[test]
    fn more_addresses_than_allowed_are_malformed() {
        let mut bytes = vec![ADDRESSES, 0xff];
        bytes.resize(1000, 1);
        assert_eq!(Control::parse(&bytes), Err(ControlError::Malformed(ADDRESSES)));
    }

    #[test]
    fn a_copy_too_long_for_its_length_is_cut_and_no_more() {
        let message = Control::Copy { counter_low: 0x0102, packet: vec![0x45; 70_000] };
        let bytes = message.emit();
        assert_eq!((bytes.len(), &bytes[..6]), (COPY_HEADER + 65_535, &[5, 1, 2, 0xff, 0xff, 0x45][..]));
        assert!(Control::parse(&bytes).is_ok() && Control::is_copy(&bytes));
    }

    #[test]
    fn packets_and_keepalives_are_no_control_messages_and_later_kinds_are_unknown() {
        for other in [&[][..], &[0], &[0x10, 1, 2, 3, 4], &[0x45; 40], &[0x60; 40]] {
            assert_eq!(Control::parse(other), Err(ControlError::Other));
        }
        assert_eq!(Control::parse(&[0x0f, 1]), Err(ControlError::Unknown(0x0f)));
    }
}
