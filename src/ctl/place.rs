//! Where a host is reached by UDP: an address or a name, and a port.
//!
//! Configurations, the bus and the command line write `192.0.2.7:51820`, `[2001:db8::7]:51820`, `vpn.example.org:51820`, each
//! also after `udp://`. A line of `meshctl invite` has no brackets, for a shell would take them for a pattern: there an IPv6
//! address is followed by a dot and the port, `2001:db8::7.51820` (RFC 5952 section 6 knows that form). No confusion is
//! possible, since every IPv6 address has two colons, and the other forms one.
//!
//! Invariant: one host and a port that is not 0. Equal places have equal values, however they were written: names are lower
//! case, an IPv4 address is never one that is mapped into IPv6. What is refused here, the daemon would refuse.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest host of a line, in bytes: the longest IPv6 address, and nearly every name.
pub(crate) const MAX_LINE_HOST: usize = 63;
/// The longest name that DNS knows (RFC 1035 section 2.3.4, without the root's dot).
const MAX_NAME: usize = 253;
/// The longest part of a name between dots.
const MAX_LABEL: usize = 63;

/// Where a host is reached by UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

impl Place {
    /// This port of a host's address; `None` if that is no single host's, or the port is 0.
    pub(crate) fn new(address: IpAddr, port: u16) -> Option<Self> {
        Some(Self { host: Host::Address(single(address)?), port: Some(port).filter(|port| *port != 0)? })
    }

    /// Reads a place as people write it; where it lacks a port, it has this one.
    pub(crate) fn read(text: &str, port: Option<u16>) -> Option<Self> {
        let text = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("udp") => {
                rest.strip_suffix('/').unwrap_or(rest)
            }
            Some(_) => return None,
            None => text,
        };
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let address = IpAddr::V6(address.parse().ok()?);
            return match rest.strip_prefix(':') {
                Some(port) => Self::new(address, read_port(port)?),
                None if rest.is_empty() => Self::new(address, port?),
                None => None,
            };
        }
        match text.split_once(':') {
            Some((host, port)) => Self::at(host, read_port(port)?),
            None => Self::at(text, port?),
        }
    }

    /// Reads a place in a line's one spelling of it.
    pub(crate) fn from_line(text: &str) -> Option<Self> {
        let place = match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => {
                let (address, port) = text.rsplit_once('.')?;
                Self::new(IpAddr::V6(address.parse().ok()?), read_port(port)?)
            }
            Some((host, port)) => Self::at(host, read_port(port)?),
            None => None,
        }?;
        (place.fits_line() && place.to_line() == text).then_some(place)
    }

    /// In a line's spelling.
    pub(crate) fn to_line(&self) -> String {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => format!("{address}.{}", self.port),
            Host::Address(IpAddr::V4(_)) | Host::Name(_) => self.to_string(),
        }
    }

    /// Whether a line has room for it.
    pub(crate) fn fits_line(&self) -> bool {
        match &self.host {
            Host::Address(_) => true,
            Host::Name(name) => name.len() <= MAX_LINE_HOST,
        }
    }

    /// Whether it means a host only to others in the same local network: elsewhere the address may be another host's.
    pub(crate) fn is_local(&self) -> bool {
        match &self.host {
            Host::Address(address) => is_local(*address),
            Host::Name(_) => false,
        }
    }

    fn at(host: &str, port: u16) -> Option<Self> {
        if let Ok(address) = host.parse::<Ipv4Addr>() {
            return Self::new(address.into(), port);
        }
        let port = Some(port).filter(|port| *port != 0)?;
        is_name(host).then(|| Self { host: Host::Name(host.to_ascii_lowercase()), port })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Whether an address means a host only to others in the same local network: private (RFC 1918, RFC 4193), shared by a
/// provider's customers (RFC 6598), a link's or our own.
pub(crate) fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let shared = first == 100 && second & 0xc0 == 64;
            address.is_private() || address.is_link_local() || address.is_loopback() || shared
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_unicast_link_local() || address.is_loopback()
        }
    }
}

/// An address that is one host's, and says so without the interface that it is reached by.
fn single(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    let fine = match address {
        IpAddr::V4(address) => !address.is_broadcast(),
        IpAddr::V6(address) => !Ipv6Addr::is_unicast_link_local(&address),
    };
    (fine && !address.is_unspecified() && !address.is_multicast()).then_some(address)
}

fn read_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Whether the daemon would take it for a name.
fn is_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    // Four numbers that are no address are a slip of the pen.
    let numeric = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    host.len() <= MAX_NAME && !numeric && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_one_spelling_in_a_line_and_one_elsewhere() {
        for (text, shown, line) in [
            ("192.0.2.7", "192.0.2.7:51820", "192.0.2.7:51820"),
            ("UDP://192.0.2.7:1/", "192.0.2.7:1", "192.0.2.7:1"),
            ("udp://[2001:DB8:0::7]", "[2001:db8::7]:51820", "2001:db8::7.51820"),
            ("[2001:db8::7]:5", "[2001:db8::7]:5", "2001:db8::7.5"),
            ("[::ffff:192.0.2.7]:5", "192.0.2.7:5", "192.0.2.7:5"),
            ("Vpn.Example.org", "vpn.example.org:51820", "vpn.example.org:51820"),
            ("cabin:65535", "cabin:65535", "cabin:65535"),
        ] {
            let place = Place::read(text, Some(51820)).unwrap();
            assert_eq!((place.to_string().as_str(), place.to_line().as_str()), (shown, line), "{text}");
            assert_eq!(Place::read(shown, None).as_ref(), Some(&place));
            assert_eq!(Place::from_line(line), Some(place));
        }
    }

    #[test]
    fn the_daemon_takes_what_is_taken_here_for_the_same() {
        for text in
            ["192.0.2.7:1", "[2001:db8::7]:51820", "[::ffff:192.0.2.7]:5", "vpn_1.example.org:5", "host.:5"]
        {
            let place = Place::read(text, None).unwrap();
            let file = |endpoint: &dyn fmt::Display| {
                format!(
                    "[Interface]\nPrivateKey = SEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISEg=\nAddress = 10.7.0.1/24\nListenPort = 1\n\
                     [Peer]\nPublicKey = AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\nAllowedIPs = 10.7.0.2/32\nEndpoint = {endpoint}\n"
                )
            };
            let read = |text: &str| meshnetd::config::parse("x", text).unwrap().peers.remove(0);
            let (ours, theirs) = (read(&file(&place)), read(&file(&text)));
            assert_eq!((ours.core.endpoints, ours.names), (theirs.core.endpoints, theirs.names), "{text}");
        }
    }

    #[test]
    fn what_is_no_single_hosts_is_no_place() {
        for text in [
            "",
            ":5",
            "a b",
            "cabin:0",
            "cabin:+5",
            "cabin:65536",
            "tcp://cabin",
            "[::1",
            "::1",
            "[::]:5",
            "[ff02::1]:5",
            "[fe80::1]:5",
            "0.0.0.0:5",
            "255.255.255.255:5",
            "224.0.0.1:5",
            "192.0.2:5",
            "192.0.2.256:5",
            "-a:5",
            "a..b:5",
            "user@host:5",
            "host\nPostUp = x",
            "host,b:5",
            "a#b:5",
        ] {
            assert_eq!(Place::read(text, Some(51820)), None, "{text}");
        }
        assert_eq!(Place::read("cabin", None), None, "no port");
        let long = format!("{}.org:5", "a".repeat(60));
        assert!(!Place::read(&long, None).unwrap().fits_line());
        for line in [
            "192.0.2.7",
            "192.0.2.7:05",
            "Cabin:5",
            "[2001:db8::7]:5",
            "2001:db8::7:5",
            "2001:0db8::7.5",
            "2001:db8::7",
            "::ffff:192.0.2.7.5",
            "udp://cabin:5",
            long.as_str(),
        ] {
            assert_eq!(Place::from_line(line), None, "{line}");
        }
    }

    #[test]
    fn private_addresses_mean_a_host_in_their_own_network_alone() {
        for (text, local) in [
            ("192.168.1.5", true),
            ("10.0.2.15", true),
            ("100.64.0.1", true),
            ("[fd42::1]", true),
            ("127.0.0.1", true),
            ("192.0.2.7", false),
            ("100.128.0.1", false),
            ("[2001:db8::7]", false),
            ("cabin", false),
        ] {
            assert_eq!(Place::read(text, Some(1)).unwrap().is_local(), local, "{text}");
        }
    }
}
