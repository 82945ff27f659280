//! A peer's public data as one line, for people to pass on: pasted, read out, or as a QR code.
//!
//! ```text
//! meshnet:1,key=kXeyMnjL8PPRfDbyrMm1XpyF-HsiClOG7DcNZj4g4zc,ip=10.42.0.1/24,radio=d45b9db8,name=west,for=10.42.0.2,sum=5a17
//! ```
//!
//! After the version, fields in this order, separated by commas; none of the characters means anything to a shell. A key is
//! base64 as in URLs, without padding. `ip` (an address with its network's prefix length), `radio` and `for` may be there several
//! times. The checksum finds what was mistyped; nothing here is signed: as with any public key, who hands it over is what
//! makes it trustworthy.
//!
//! Invariants: parsing is strict, so that a line has one spelling; its length, and how often a field is there, are bounded. A
//! field that is unknown is an error: what a version 1 does not know, it cannot join.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use meshnet_proto::key::{PresharedKey, PublicKey};
use zeroize::Zeroizing;

/// The longest line in bytes: what a QR code that a terminal can show holds, and more than all fields fill.
pub(crate) const MAX_LEN: usize = 1280;
/// What every line begins with.
const START: &str = "meshnet:1";
/// How often a field may be there.
const MAX_TIMES: usize = 8;
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
    /// What it calls itself.
    pub name: Option<String>,
    /// The addresses that it keeps for whoever joins.
    pub proposed: Vec<IpAddr>,
    /// The MTU of its interface.
    pub mtu: Option<u16>,
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
        self.name.iter().for_each(|name| put("name", name));
        self.proposed.iter().for_each(|address| put("for", &address.to_string()));
        self.mtu.iter().for_each(|mtu| put("mtu", &mtu.to_string()));
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
            addresses: fields.several("ip", address)?,
            radios: fields.several("radio", radio)?,
            name: fields.one("name", name)?,
            proposed: fields.several("for", |text| text.parse().ok())?,
            mtu: fields.one("mtu", mtu)?,
            psk: fields.one("psk", psk)?.unwrap_or(Psk::None),
            to: fields.one("to", to)?,
        };
        match (fields.rest.next(), &invitation) {
            (Some(field), _) => Err(BadInvitation::Field(
                field.split('=').next().unwrap_or_default().chars().take(20).collect(),
            )),
            (None, Self { addresses, .. }) if addresses.is_empty() => Err(BadInvitation::Missing("ip")),
            (None, Self { radios, .. }) if radios.is_empty() => Err(BadInvitation::Missing("radio")),
            // One spelling: what is read is what would be written.
            (None, _) if *invitation.to_line() != line => Err(BadInvitation::Value("ip or for")),
            (None, _) => Ok(invitation),
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
    fn several<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, BadInvitation> {
        let mut values = Vec::new();
        while let Some(value) = self.one(name, &read)? {
            if values.len() == MAX_TIMES {
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
    text.parse().ok().filter(|mtu| (68..=1500).contains(mtu))
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
mod tests {
    use super::*;

    fn full() -> Invitation {
        Invitation {
            key: PublicKey::from_bytes([0xfb; 32]),
            addresses: vec!["10.42.0.1/24".parse().unwrap(), "fd42::1/64".parse().unwrap()],
            radios: vec![0xd45b_9db8, 1],
            name: Some("west.example".to_owned()),
            proposed: vec!["10.42.0.2".parse().unwrap(), "fd42::2".parse().unwrap()],
            mtu: Some(1280),
            psk: Psk::Key(PresharedKey::from_bytes([0xff; 32])),
            to: Some("kXeyMnjL8PPR".to_owned()),
        }
    }

    fn sealed(text: &str) -> String {
        format!("{text},sum={:04x}", checksum(text.as_bytes()))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let bare =
            Invitation { name: None, proposed: Vec::new(), mtu: None, psk: Psk::None, to: None, ..full() };
        for invitation in [full(), bare, Invitation { psk: Psk::Wanted, ..full() }] {
            let line = invitation.to_line();
            assert_eq!(Invitation::parse(&format!(" {}\n", *line)), Ok(invitation), "{}", *line);
        }
    }

    #[test]
    fn a_line_means_nothing_to_a_shell() {
        let line = full().to_line();
        assert!(line.bytes().all(|b| b.is_ascii_alphanumeric() || b":,=/.-_".contains(&b)), "{}", *line);
    }

    #[test]
    fn one_wrong_character_is_noticed_wherever_it_is() {
        let line = full().to_line();
        for at in 0..line.len() {
            let mut wrong = line.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert!(Invitation::parse(&wrong).is_err(), "{wrong}");
            assert!(Invitation::parse(&line[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn an_error_says_what_is_wrong() {
        let key = format!("meshnet:1,key={}", "A".repeat(43));
        for (text, wrong) in [
            (sealed("meshnet:2,key=x"), BadInvitation::Version("2".to_owned())),
            (sealed("http://x"), BadInvitation::Start),
            (sealed("meshnet:1,key=x"), BadInvitation::Value("key")),
            (sealed(&key), BadInvitation::Missing("ip")),
            (sealed(&format!("{key},ip=10.0.0.1/24")), BadInvitation::Missing("radio")),
            (sealed(&format!("{key},ip=10.0.0.1/33")), BadInvitation::Value("ip")),
            (sealed(&format!("{key},ip=10.0.0.1/24,radio=ffffffff")), BadInvitation::Value("radio")),
            (sealed(&format!("{key},ip=10.0.0.1/24,radio=00000001,mtu=9")), BadInvitation::Value("mtu")),
            (sealed(&format!("{key},radio=00000001,ip=10.0.0.1/24")), BadInvitation::Field("ip".to_owned())),
            (
                sealed(&format!("{key},ip=10.0.0.1/24,radio=00000001,later=1")),
                BadInvitation::Field("later".to_owned()),
            ),
            (sealed(&format!("{key}{}", ",ip=10.0.0.1/24".repeat(9))), BadInvitation::Value("ip")),
            (format!("{key},ip=10.0.0.1/24"), BadInvitation::Cut),
            (format!("{key},sum=0000"), BadInvitation::Checksum),
            ("x".repeat(MAX_LEN + 1), BadInvitation::TooLong),
        ] {
            assert_eq!(Invitation::parse(&text).unwrap_err(), wrong, "{text}");
        }
    }

    #[test]
    fn the_largest_line_is_no_longer_than_may_be_read() {
        let net: IpNet = "fd42:1111:2222:3333:4444:5555:6666:7777/128".parse().unwrap();
        let large = Invitation {
            addresses: vec![net; MAX_TIMES],
            radios: vec![u32::MAX - 1; MAX_TIMES],
            proposed: vec![net.addr(); MAX_TIMES],
            name: Some("x".repeat(MAX_NAME_LEN)),
            ..full()
        };
        assert!(Invitation::parse(&large.to_line()).is_ok());
    }

    #[test]
    fn a_secret_is_not_shown_by_accident() {
        assert!(full().is_secret());
        assert!(!format!("{:?}", full()).contains("////"));
    }
}
