//! How an inner address is written: not at all if it is the end's own, else as much as differs from it (RFC 6282 does the
//! same for IPv6).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::reader::Reader;
use crate::terse::Malformed;

/// A way to write an address, with the bytes that it writes.
pub(super) trait Mode {
    /// The number of the mode: 4 bits, 0 for the end's own address.
    fn code(&self) -> u8;
    /// Writes the bytes.
    fn put(&self, out: &mut Vec<u8>);
    /// Whether nothing needs to be written.
    fn is_own(&self) -> bool {
        self.code() == 0
    }
}

/// An IPv4 address.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModeV4 {
    /// How many bytes differ at the end: 0, 1, 2 or 4.
    differ: u8,
    address: [u8; 4],
}

impl ModeV4 {
    pub(super) fn of(address: [u8; 4], own: Option<Ipv4Addr>) -> Self {
        let differ = match own.map(|own| own.octets()) {
            Some(own) if own == address => 0,
            Some(own) if own[..3] == address[..3] => 1,
            Some(own) if own[..2] == address[..2] => 2,
            _ => 4,
        };
        Self { differ, address }
    }

    pub(super) fn read(
        code: u8,
        own: Option<Ipv4Addr>,
        reader: &mut Reader<'_>,
    ) -> Result<[u8; 4], Malformed> {
        let differ = match code {
            0..=2 => usize::from(code),
            3 => return reader.take(),
            _ => return Err(Malformed),
        };
        let mut address = own.ok_or(Malformed)?.octets();
        address[4 - differ..].copy_from_slice(reader.slice(differ)?);
        Ok(address)
    }
}

impl Mode for ModeV4 {
    fn code(&self) -> u8 {
        self.differ.min(3)
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.address[4 - usize::from(self.differ)..]);
    }
}

/// The prefix of link-local addresses.
const LINK_LOCAL: [u8; 8] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0];

/// An IPv6 address.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModeV6 {
    code: u8,
    address: [u8; 16],
}

mod v6 {
    /// The end's own.
    pub const OWN: u8 = 0;
    /// The end's first 14 bytes, then 2.
    pub const LAST_2: u8 = 1;
    /// The end's first 8 bytes, then 8.
    pub const LAST_8: u8 = 2;
    /// fe80::/64, then 8 bytes.
    pub const LINK_LOCAL: u8 = 3;
    /// All 16 bytes.
    pub const FULL: u8 = 4;
    /// ff, 1 byte of flags and scope, zeros, 1 byte of group.
    pub const MULTICAST: u8 = 5;
    /// The end's first 8 bytes, 6 zeros, then 2 bytes.
    pub const SMALL: u8 = 6;
}

impl ModeV6 {
    pub(super) fn of(address: [u8; 16], own: Option<Ipv6Addr>) -> Self {
        let own = own.map(|own| own.octets());
        let shares = |len: usize| own.is_some_and(|own| own[..len] == address[..len]);
        let code = if shares(16) {
            v6::OWN
        } else if shares(14) {
            v6::LAST_2
        } else if shares(8) && address[8..14] == [0; 6] {
            v6::SMALL
        } else if address[0] == 0xff && address[2..15] == [0; 13] {
            v6::MULTICAST
        } else if shares(8) {
            v6::LAST_8
        } else if address[..8] == LINK_LOCAL {
            v6::LINK_LOCAL
        } else {
            v6::FULL
        };
        Self { code, address }
    }

    pub(super) fn read(
        code: u8,
        own: Option<Ipv6Addr>,
        reader: &mut Reader<'_>,
    ) -> Result<[u8; 16], Malformed> {
        let own = own.map(|own| own.octets()).ok_or(Malformed);
        let mut address = [0; 16];
        match code {
            v6::OWN => address = own?,
            v6::LAST_2 => {
                address = own?;
                address[14..].copy_from_slice(reader.slice(2)?);
            }
            v6::LAST_8 => {
                address[..8].copy_from_slice(&own?[..8]);
                address[8..].copy_from_slice(reader.slice(8)?);
            }
            v6::LINK_LOCAL => {
                address[..8].copy_from_slice(&LINK_LOCAL);
                address[8..].copy_from_slice(reader.slice(8)?);
            }
            v6::FULL => address = reader.take()?,
            v6::MULTICAST => {
                address[0] = 0xff;
                [address[1], address[15]] = reader.take()?;
            }
            v6::SMALL => {
                address[..8].copy_from_slice(&own?[..8]);
                address[14..].copy_from_slice(reader.slice(2)?);
            }
            _ => return Err(Malformed),
        }
        Ok(address)
    }
}

impl Mode for ModeV6 {
    fn code(&self) -> u8 {
        self.code
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self.code {
            v6::OWN => {}
            v6::LAST_2 | v6::SMALL => out.extend_from_slice(&self.address[14..]),
            v6::LAST_8 | v6::LINK_LOCAL => out.extend_from_slice(&self.address[8..]),
            v6::MULTICAST => out.extend([self.address[1], self.address[15]]),
            _ => out.extend(self.address),
        }
    }
}
