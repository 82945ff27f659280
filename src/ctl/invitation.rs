//! A peer's public data as one line, for people to pass on: pasted, read out, or as a QR code.
//!
//! ```text
//! meshnet:1,key=kXeyMnjL8PPRfDbyrMm1XpyF-HsiClOG7DcNZj4g4zc,ip=10.42.0.1/24,radio=d45b9db8,name=west,for=10.42.0.2,sum=3cdd
//! ```
//!
//! After the version, fields in this order, separated by commas; none of the characters means anything to a shell:
//!
//! | field | times | |
//! |---|---|---|
//! | `key` | 1 | public key, base64 as in URLs, without padding |
//! | `ip` | 1 to 8 | address with its network's prefix length |
//! | `radio` | to 8 | node id of a radio |
//! | `udp` | to 4 | `192.0.2.7:51820`, `vpn.example.org:51820`, or, without brackets, `2001:db8::7.51820` ([`Place`]) |
//! | `name` | to 1 | what the sender calls itself |
//! | `for` | to 8 | address that is kept for whoever joins |
//! | `mtu` | to 1 | of the interface |
//! | `mode` | to 1 | `wireguard`: the two shall be in mode WIREGUARD; without it, in mode PKI |
//! | `psk` | to 1 | `wanted`, or a preshared key |
//! | `to` | to 1 | in an answer: the beginning of the inviter's key |
//! | `sum` | 1 | CRC-16/CCITT-FALSE of all before it |
//!
//! A line names a `radio` or a `udp`, but for an answer in the mode WIREGUARD: who sends that may be reachable only because it
//! calls. Only that mode knows UDP, so that `udp` takes `mode`. The answer repeats the mode, and both ends set it explicitly.
//!
//! The checksum finds what was mistyped; nothing here is signed: as with any public key, who hands it over is what makes it
//! trustworthy.
//!
//! Invariants: parsing is strict, so that a line has one spelling; its length, and how often a field is there, are bounded, and
//! no value of a field is there twice. A field that is unknown is an error: what a version 1 does not know, it cannot join.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use meshnet_proto::key::{PresharedKey, PublicKey};
use zeroize::Zeroizing;

use crate::place::Place;

/// The longest line in bytes: what a QR code that a terminal can show holds (version 26 has 1367), and more than all fields
/// fill.
pub(crate) const MAX_LEN: usize = 1344;
/// The one value of `mode`.
const WIREGUARD: &str = "wireguard";
/// What every line begins with.
const START: &str = "meshnet:1";
/// How often a field may be there.
const MAX_TIMES: usize = 8;
/// How many places by UDP there may be, which are longer than most fields.
pub(crate) const MAX_UDP: usize = 4;
/// A key's length in base64 without padding.
const KEY_LEN: usize = 43;
/// How much of the inviter's key an answer repeats: 72 bits, to find its network by.
pub(crate) const TO_LEN: usize = 12;
/// The longest name, as configurations have it.
const MAX_NAME_LEN: usize = 32;

/// What one side tells the other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invitation {
    /// Who it is.
    pub key: PublicKey,
    /// Its addresses in the network, with the network's prefix length.
    pub addresses: Vec<IpNet>,
    /// The node numbers of its radios.
    pub radios: Vec<u32>,
    /// Where it is reached by UDP.
    pub udp: Vec<Place>,
    /// What it calls itself.
    pub name: Option<String>,
    /// The addresses that it keeps for whoever joins.
    pub proposed: Vec<IpAddr>,
    /// The MTU of its interface.
    pub mtu: Option<u16>,
    /// Whether the two shall be in mode WIREGUARD.
    pub wireguard: bool,
    /// The secret beside the keys.
    pub psk: Psk,
    /// In an answer: the beginning of the inviter's key.
    pub to: Option<String>,
}

/// The preshared key of an exchange. Only the answer holds it, so that one line is secret and not both.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Psk {
    /// There is none.
    None,
    /// Who answers shall make one.
    Wanted,
    /// This.
    Key(PresharedKey),
}

/// Why a line is no invitation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadInvitation {
    #[error("it is longer than {MAX_LEN} bytes")]
    TooLong,
    #[error("it does not begin with \"{START},\"")]
    Start,
    #[error("it is of version {0}, and this meshctl knows version 1")]
    Version(String),
    #[error("the checksum is missing at its end: part of it was lost")]
    Cut,
    #[error("the checksum does not match: a character is wrong")]
    Checksum,
    #[error("the field \"{0}\" is unknown or out of place")]
    Field(String),
    #[error("the field \"{0}\" makes no sense")]
    Value(&'static str),
    #[error("the field \"{0}\" is missing")]
    Missing(&'static str),
}

impl Invitation {
    /// Whether the line must be kept secret.
    pub(crate) fn is_secret(&self) -> bool {
        matches!(self.psk, Psk::Key(_))
    }

    /// Returns the line.
    pub(crate) fn to_line(&self) -> Zeroizing<String> {
        let mut line = Zeroizing::new(String::with_capacity(MAX_LEN));
        let mut put = |key: &str, value: &str| {
            for piece in [",", key, "=", value] {
                line.push_str(piece);
            }
        };
        put("key", &shorten(&self.key.to_string()));
        self.addresses.iter().for_each(|address| put("ip", &address.to_string()));
        self.radios.iter().for_each(|radio| put("radio", &format!("{radio:08x}")));
        self.udp.iter().for_each(|place| put("udp", &place.to_line()));
        self.name.iter().for_each(|name| put("name", name));
        self.proposed.iter().for_each(|address| put("for", &address.to_string()));
        self.mtu.iter().for_each(|mtu| put("mtu", &mtu.to_string()));
        if self.wireguard {
            put("mode", WIREGUARD);
        }
        match &self.psk {
            Psk::None => {}
            Psk::Wanted => put("psk", "wanted"),
            Psk::Key(key) => put("psk", &Zeroizing::new(shorten(&key.to_base64()))),
        }
        self.to.iter().for_each(|to| put("to", to));
        line.insert_str(0, START);
        let sum = format!("{:04x}", checksum(line.as_bytes()));
        line.extend([",sum=", sum.as_str()]);
        line
    }

    /// Reads a line; white space around it does not matter.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(line: &str) -> Result<Self, BadInvitation> {
        let line = line.trim();
        if line.len() > MAX_LEN {
            return Err(BadInvitation::TooLong);
        }
        let fields = line.strip_prefix("meshnet:").ok_or(BadInvitation::Start)?;
        let (version, fields) = fields.split_once(',').ok_or(BadInvitation::Start)?;
        if version != "1" {
            let digits = version.len() <= 5 && version.bytes().all(|byte| byte.is_ascii_digit());
            let other = BadInvitation::Version(version.to_owned());
            return Err(if digits && !version.is_empty() { other } else { BadInvitation::Start });
        }
        let (fields, sum) = fields.rsplit_once(",sum=").ok_or(BadInvitation::Cut)?;
        if sum.len() != 4 {
            return Err(BadInvitation::Cut);
        }
        let covered = &line[..line.len() - sum.len() - ",sum=".len()];
        if sum != format!("{:04x}", checksum(covered.as_bytes())) {
            return Err(BadInvitation::Checksum);
        }
        let mut fields = Fields { rest: fields.split(',').peekable() };
        let invitation = Self {
            key: fields.one("key", key)?.ok_or(BadInvitation::Missing("key"))?,
            addresses: fields.several("ip", MAX_TIMES, address)?,
            radios: fields.several("radio", MAX_TIMES, radio)?,
            udp: fields.several("udp", MAX_UDP, Place::from_line)?,
            name: fields.one("name", name)?,
            proposed: fields.several("for", MAX_TIMES, |text| text.parse().ok())?,
            mtu: fields.one("mtu", mtu)?,
            wireguard: fields.one("mode", |text| (text == WIREGUARD).then_some(()))?.is_some(),
            psk: fields.one("psk", psk)?.unwrap_or(Psk::None),
            to: fields.one("to", to)?,
        };
        if let Some(field) = fields.rest.next() {
            let field = field.split('=').next().unwrap_or_default();
            return Err(BadInvitation::Field(field.chars().take(20).collect()));
        }
        invitation.check()?;
        // One spelling: what is read is what would be written.
        if *invitation.to_line() != line {
            return Err(BadInvitation::Value("ip or for"));
        }
        Ok(invitation)
    }

    /// What single fields do not show.
    fn check(&self) -> Result<(), BadInvitation> {
        /// The most without a udp link: an Ethernet frame's.
        const MAX_RADIO_MTU: u16 = 1500;
        let calls = self.wireguard && self.to.is_some();
        if self.addresses.is_empty() {
            Err(BadInvitation::Missing("ip"))
        } else if self.radios.is_empty() && self.udp.is_empty() && !calls {
            Err(BadInvitation::Missing("radio or udp"))
        } else if !self.udp.is_empty() && !self.wireguard {
            Err(BadInvitation::Missing("mode"))
        } else if !self.wireguard && self.mtu.is_some_and(|mtu| mtu > MAX_RADIO_MTU) {
            Err(BadInvitation::Value("mtu"))
        } else {
            Ok(())
        }
    }
}

/// The fields that have not been read yet.
struct Fields<'t> {
    rest: std::iter::Peekable<std::str::Split<'t, char>>,
}

impl Fields<'_> {
    /// The value of the next field, if it has this name.
    fn one<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, BadInvitation> {
        let value = self.rest.next_if(|field| field.split('=').next() == Some(name));
        let value = value.map(|field| field.split_once('=').map_or("", |(_, value)| value));
        value.map(|text| read(text).ok_or(BadInvitation::Value(name))).transpose()
    }

    /// The values of the next fields, as long as they have this name.
    fn several<T: PartialEq>(
        &mut self,
        name: &'static str,
        most: usize,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, BadInvitation> {
        let mut values = Vec::new();
        while let Some(value) = self.one(name, &read)? {
            if values.len() == most || values.contains(&value) {
                return Err(BadInvitation::Value(name));
            }
            values.push(value);
        }
        Ok(values)
    }
}

/// Base64 as in URLs, without padding.
pub(crate) fn shorten(base64: &str) -> String {
    base64.trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// Base64 as in configurations.
fn lengthen(text: &str) -> Option<Zeroizing<String>> {
    let fine = text.len() == KEY_LEN && text.bytes().all(is_base64url);
    fine.then(|| Zeroizing::new(text.replace('-', "+").replace('_', "/") + "="))
}

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn key(text: &str) -> Option<PublicKey> {
    lengthen(text)?.parse().ok()
}

fn psk(text: &str) -> Option<Psk> {
    if text == "wanted" {
        return Some(Psk::Wanted);
    }
    lengthen(text)?.parse().ok().map(Psk::Key)
}

fn address(text: &str) -> Option<IpNet> {
    text.parse().ok()
}

/// A node number; 0 and the broadcast address are nobody's.
fn radio(text: &str) -> Option<u32> {
    let fine = text.len() == 8 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u32::from_str_radix(text, 16).ok().filter(|&number| fine && number != 0 && number != u32::MAX)
}

fn mtu(text: &str) -> Option<u16> {
    text.parse().ok().filter(|mtu| (68..=9000).contains(mtu))
}

/// A name as configurations take it.
pub(crate) fn name(text: &str) -> Option<String> {
    let fine = (1..=MAX_NAME_LEN).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    fine.then(|| text.to_owned())
}

fn to(text: &str) -> Option<String> {
    (text.len() == TO_LEN && text.bytes().all(is_base64url)).then(|| text.to_owned())
}

/// CRC-16/CCITT-FALSE.
fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |sum, &byte| {
        (0..8).fold(sum ^ (u16::from(byte) << 8), |sum: u16, _| {
            if sum & 0x8000 == 0 { sum << 1 } else { (sum << 1) ^ 0x1021 }
        })
    })
}

impl fmt::Display for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Wanted => "wanted",
            Self::Key(_) => "secret",
        })
    }
}

#[cfg(test)]
mod tests;
