//! Reads single values. Each reader takes the value's text and says, if it is wrong, what is wrong and what would be right.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use meshnet_proto::config::PeerMode;
use meshnet_proto::key::{KEY_LEN, KeyError, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::error::quoted;
use crate::link::Connect;

/// What is wrong with a value, and what would be right.
pub(crate) type Wrong = (String, String);

/// The port of the Meshtastic client API.
const CLIENT_API_PORT: u16 = 4403;

/// A key, public or secret: its text is in no message.
pub(crate) fn key<K: std::str::FromStr<Err = KeyError>>(text: &str) -> Result<K, Wrong> {
    const RIGHT: &str =
        "a key is 32 bytes in base64, as \"meshctl genkey\", \"pubkey\" and \"genpsk\" write it";
    text.parse().map_err(|error: KeyError| (error.to_string(), RIGHT.to_owned()))
}

/// A peer's public key.
pub(crate) fn public_key(text: &str) -> Result<PublicKey, Wrong> {
    let key: PublicKey = key(text)?;
    // Which private key tries it does not matter: such a point agrees with none.
    match PrivateKey::from_random([1; KEY_LEN]).agree(&key) {
        Some(_) => Ok(key),
        None => {
            let what = "a point of small order: it agrees on no secret";
            Err((what.to_owned(), "the public key of the peer".to_owned()))
        }
    }
}

/// The public key that a radio encrypts for.
pub(crate) fn radio_key(text: &str) -> Result<[u8; KEY_LEN], Wrong> {
    let right = || "the radio's own public key: 32 bytes in base64, as the radio's app shows it".to_owned();
    let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| ("not base64".to_owned(), right()))?);
    <[u8; KEY_LEN]>::try_from(bytes.as_slice())
        .map_err(|_| (format!("{} bytes long once decoded, a key has 32", bytes.len()), right()))
}

/// An address with a prefix length, a netmask or nothing (then it stands alone).
pub(crate) fn network(text: &str) -> Result<IpNet, Wrong> {
    let wrong = || {
        let what = format!("{} is no address with a prefix length", quoted(text));
        (what, "for example 10.42.0.1/24 or fd42::1/64".to_owned())
    };
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let full = if address.is_ipv4() { 32 } else { 128 };
    let length = match (prefix, address) {
        (None, _) => full,
        (Some(prefix), _) if !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit()) => {
            prefix.parse().map_err(|_| wrong())?
        }
        (Some(mask), IpAddr::V4(_)) => mask_length(mask.parse().map_err(|_| wrong())?).ok_or_else(wrong)?,
        (Some(_), IpAddr::V6(_)) => return Err(wrong()),
    };
    IpNet::new(address, length).map_err(|_| wrong())
}

/// The prefix length of a netmask, or of a host mask as routers' access lists have it.
fn mask_length(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let contiguous =
        |bits: u32| (bits.leading_ones() + bits.trailing_zeros() >= 32).then(|| bits.leading_ones());
    contiguous(bits).or_else(|| contiguous(!bits)).and_then(|length| length.try_into().ok())
}

/// One of our own addresses.
pub(super) fn address(text: &str) -> Result<IpNet, Wrong> {
    let network = network(text)?;
    if network.addr().is_multicast() || network.addr().is_unspecified() {
        let what = format!("{} is no address of a host", quoted(text));
        return Err((what, "for example 10.42.0.1/24 or fd42::1/64".to_owned()));
    }
    Ok(network)
}

/// How to reach a radio. The scheme's case does not matter; a trailing slash does no harm.
pub(super) fn connect(text: &str) -> Result<Connect, Wrong> {
    const RIGHT: &str = "tcp://HOST, tcp://HOST:PORT, or serial:///dev/ttyUSB0";
    let wrong = |what: String| (what, RIGHT.to_owned());
    let (scheme, rest) =
        text.split_once(':').ok_or_else(|| wrong(format!("{} has no scheme", quoted(text))))?;
    match scheme.to_ascii_lowercase().as_str() {
        "tcp" => tcp(rest).map_err(|what| wrong(format!("{} {what}", quoted(text)))),
        "serial" => serial(rest).map_err(|what| wrong(format!("{} {what}", quoted(text)))),
        _ => Err(wrong(format!("{} is neither tcp nor serial", quoted(text)))),
    }
}

fn tcp(rest: &str) -> Result<Connect, &'static str> {
    let authority = rest.strip_prefix("//").ok_or("names no host")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if authority.contains(['/', '?', '#']) {
        return Err("has more than host and port");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']').ok_or("has an unclosed bracket")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "has no IPv6 address in its brackets")?;
            let port =
                if rest.is_empty() { "" } else { rest.strip_prefix(':').ok_or("has no port after \"]\"")? };
            (host, port)
        }
        None => authority.rsplit_once(':').unwrap_or((authority, "")),
    };
    if host.is_empty() {
        return Err("names no host");
    }
    if !authority.starts_with('[')
        && host.contains(|c: char| !c.is_ascii_alphanumeric() && !"-._".contains(c))
    {
        return Err("names no valid host (an IPv6 address goes in brackets)");
    }
    let port = match port {
        "" => CLIENT_API_PORT,
        port => port.parse().ok().filter(|&port| port != 0).ok_or("has no port between 1 and 65535")?,
    };
    Ok(Connect::Tcp { host: host.to_owned(), port })
}

fn serial(rest: &str) -> Result<Connect, &'static str> {
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => return Err("has no absolute path after \"serial://\""),
        None => rest,
    };
    if !path.starts_with('/') || path.trim_matches('/').is_empty() || path.contains('\0') {
        return Err("names no device");
    }
    Ok(Connect::Serial { path: PathBuf::from(path) })
}

/// The session protocol spoken with a peer.
pub(crate) fn mode(text: &str) -> Result<PeerMode, Wrong> {
    if text.eq_ignore_ascii_case("PKI") {
        Ok(PeerMode::Pki)
    } else if text.eq_ignore_ascii_case("SYMMETRIC") {
        Ok(PeerMode::Symmetric)
    } else if text.eq_ignore_ascii_case("WIREGUARD") {
        Ok(PeerMode::Wireguard)
    } else {
        Err((format!("{} is no mode", quoted(text)), "PKI, SYMMETRIC or WIREGUARD".to_owned()))
    }
}

/// A whole number from `least` to `most`, written as Python lets one write it: a sign, underscores between digits.
pub(super) fn number(text: &str, least: u16, most: u16) -> Result<u16, Wrong> {
    let wrong = |what: String| Err((what, format!("a whole number from {least} to {most}")));
    if text.is_empty() {
        return wrong("no value".to_owned());
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if !unsigned.split('_').all(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())) {
        return wrong(format!("{} is no number", quoted(text)));
    }
    match unsigned.replace('_', "").parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => wrong(format!("{} is out of range", quoted(text))),
    }
}

/// After how many seconds of silence a keepalive is sent: `None` for never, as `wg` says it.
pub(crate) fn keepalive(text: &str) -> Result<Option<NonZeroU16>, Wrong> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let right = || "seconds from 1 to 65535, or off".to_owned();
    number(text, 0, u16::MAX).map(NonZeroU16::new).map_err(|(what, _)| (what, right()))
}

/// What the kernel marks packets with: a number, also in hexadecimal, as `wg` says it; `None` for no mark.
pub(super) fn fwmark(text: &str) -> Result<Option<u32>, Wrong> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hexadecimal.map_or((text, 10), |digits| (digits, 16));
    let plain = digits.bytes().all(|b| b.is_ascii_alphanumeric());
    match u32::from_str_radix(digits, radix) {
        Ok(mark) if plain => Ok((mark != 0).then_some(mark)),
        _ => {
            let what = format!("{} is no mark", quoted(text));
            Err((what, "a number from 0 to 4294967295, also as 0xca6c, or off".to_owned()))
        }
    }
}

/// An address to listen on.
pub(super) fn listen(text: &str) -> Result<IpAddr, Wrong> {
    let right = || "an address of this host, for example 192.0.2.7 or 2001:db8::7; none for all".to_owned();
    match text.parse::<IpAddr>() {
        Err(_) => Err((format!("{} is no address", quoted(text)), right())),
        Ok(address) if address.is_multicast() => Err((format!("{text} is no address of a host"), right())),
        Ok(address) => Ok(address.to_canonical()),
    }
}

/// The name of an interface of this host.
pub(super) fn device(text: &str) -> Result<String, Wrong> {
    /// `IFNAMSIZ` less the terminating zero.
    const LONGEST: usize = 15;
    let fine = (1..=LONGEST).contains(&text.len())
        && !matches!(text, "." | "..")
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b':');
    if fine {
        Ok(text.to_owned())
    } else {
        let what = format!("{} is no interface name", quoted(text));
        Err((what, "as \"ip link\" shows it, for example eth0".to_owned()))
    }
}

/// Yes or no.
pub(crate) fn yes_or_no(text: &str) -> Result<bool, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" => Ok(true),
        "no" | "false" | "off" => Ok(false),
        _ => Err((format!("{} is neither yes nor no", quoted(text)), "yes or no".to_owned())),
    }
}

/// A network interface's name.
pub(super) fn tap_name(text: &str) -> Result<String, Wrong> {
    /// `IFNAMSIZ` less the terminating zero.
    const LONGEST: usize = 15;
    let fine = (1..=LONGEST).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fine {
        Ok(text.to_owned())
    } else {
        let what = format!("{} is no interface name", quoted(text));
        Err((what, "1 to 15 letters, digits, hyphens or underscores, the first no hyphen".to_owned()))
    }
}

/// A name for logs and status.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn name(text: &str) -> Result<String, Wrong> {
    const LONGEST: usize = 32;
    let fine = (1..=LONGEST).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if fine {
        Ok(text.to_owned())
    } else {
        let what = format!("{} is no name", quoted(text));
        Err((what, "1 to 32 letters, digits, hyphens, underscores or dots".to_owned()))
    }
}
