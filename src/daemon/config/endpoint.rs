//! Where a peer is, as a file or the bus says it: a radio's node id, an IP address and port, or a name and port.
//!
//! `!d45b9db8`, `udp://HOST:PORT`, and WireGuard's `HOST:PORT`. A name stays a name here: what it stands for is asked at run
//! time, and again when it leads nowhere.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use meshnet_proto::link::LinkAddr;

use super::error::quoted;
use super::value::Wrong;

/// The longest name that DNS knows, in characters (RFC 1035 section 2.3.4, without the root's dot).
const MAX_NAME: usize = 253;
/// The longest part of a name between dots.
const MAX_LABEL: usize = 63;

/// Where a peer is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// At this address, of a radio or of UDP.
    Address(LinkAddr),
    /// At whatever this name stands for, by UDP.
    Name(HostPort),
}

/// A host's name and a UDP port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// As DNS or the hosts file has it; lower case, since names do not tell cases apart.
    pub host: String,
    /// Not 0.
    pub port: u16,
}

impl Endpoint {
    /// Returns whether it is reached by UDP.
    #[must_use]
    pub const fn is_udp(&self) -> bool {
        match self {
            Self::Address(address) => address.as_udp().is_some(),
            Self::Name(_) => true,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "udp://{}:{}", self.host, self.port)
    }
}

/// Reads an endpoint in any of its forms.
///
/// # Errors
/// What is wrong, and what would be right.
pub(crate) fn read(text: &str) -> Result<Endpoint, Wrong> {
    if text.starts_with('!') || !text.contains(':') {
        return radio(text).map(Endpoint::Address);
    }
    let rest = match text.split_once("://") {
        None => text,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("udp") => rest.strip_suffix('/').unwrap_or(rest),
        Some(_) => return Err(wrong(format!("{} is not reached by UDP", quoted(text)))),
    };
    udp(rest).map_err(|what| wrong(format!("{} {what}", quoted(text))))
}

const RIGHT: &str =
    "!d45b9db8 (a radio's node id), HOST:PORT or udp://HOST:PORT (an IPv6 address in brackets)";

fn wrong(what: String) -> Wrong {
    (what, RIGHT.to_owned())
}

fn radio(text: &str) -> Result<LinkAddr, Wrong> {
    let digits = text.strip_prefix('!').filter(|d| d.len() == 8 && d.bytes().all(|b| b.is_ascii_hexdigit()));
    match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
        None => Err(wrong(format!("{} is no endpoint", quoted(text)))),
        Some(0 | u32::MAX) => Err(wrong(format!("{text} names no single radio"))),
        Some(node) => Ok(LinkAddr::radio(node)),
    }
}

fn udp(text: &str) -> Result<Endpoint, &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("has no port")?;
    let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok()).flatten();
    let port: u16 = port.filter(|&port| port != 0).ok_or("has no port between 1 and 65535")?;
    if host.starts_with('[') {
        // The standard library knows scopes (%2) in brackets, and how to count colons.
        let address: SocketAddr = text.parse().map_err(|_| "has no IPv6 address in its brackets")?;
        return single(address);
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return single(SocketAddr::new(address.into(), port));
    }
    if host.contains(':') {
        return Err("has an IPv6 address without brackets");
    }
    name(host)?;
    Ok(Endpoint::Name(HostPort { host: host.to_ascii_lowercase(), port }))
}

/// An address that is one host's.
fn single(address: SocketAddr) -> Result<Endpoint, &'static str> {
    let ip = address.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || broadcast || address.port() == 0 {
        return Err("is no single host's address");
    }
    Ok(Endpoint::Address(LinkAddr::udp(address)))
}

/// Checks the form of a name: what the resolver would refuse is refused here, where a person is told.
fn name(host: &str) -> Result<(), &'static str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // Four numbers that are no address, or half an address, are a slip of the pen and no name.
    let numeric = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if host.len() > MAX_NAME || numeric || !host.split('.').all(label) {
        return Err("names no valid host");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_written_the_same_way_for_all() {
        for (text, shown) in [
            ("!D45B9DB8", "!d45b9db8"),
            ("192.0.2.7:51820", "udp://192.0.2.7:51820"),
            ("udp://192.0.2.7:1", "udp://192.0.2.7:1"),
            ("UDP://192.0.2.7:1/", "udp://192.0.2.7:1"),
            ("[2001:db8::7]:51820", "udp://[2001:db8::7]:51820"),
            ("udp://[fe80::1%3]:7", "udp://[fe80::1%3]:7"),
            ("[::ffff:192.0.2.7]:5", "udp://192.0.2.7:5"),
            ("Vpn.Example.org:51820", "udp://vpn.example.org:51820"),
            ("udp://cabin:65535", "udp://cabin:65535"),
            ("host.:5", "udp://host.:5"),
        ] {
            let endpoint = read(text).unwrap();
            assert_eq!(endpoint.to_string(), shown, "{text}");
            assert_eq!(read(shown).unwrap(), endpoint);
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        for text in [
            "",
            "cabin",
            "!d45b9db",
            "!00000000",
            "!ffffffff",
            "d45b9db8",
            "cabin:",
            "cabin:0",
            "cabin:+5",
            "cabin:65536",
            ":51820",
            "udp://",
            "udp://cabin",
            "tcp://cabin:5",
            "::1:51820",
            "[::1]",
            "[::1]:0",
            "[::]:5",
            "[ff02::1]:5",
            "[x]:5",
            "0.0.0.0:5",
            "255.255.255.255:5",
            "224.0.0.1:5",
            "192.0.2:5",
            "192.0.2.256:5",
            "-a.example:5",
            "a..b:5",
            "a b:5",
            "user@host:5",
            "host:5/path",
        ] {
            let (what, right) = read(text).unwrap_err();
            assert!(!what.is_empty() && right == RIGHT, "{text}: {what}");
        }
        assert!(read(&format!("{}:5", "a".repeat(64))).is_err(), "a label is too long");
        assert!(read(&format!("{}a:5", "ab.".repeat(90))).is_err(), "a name is too long");
    }
}
