//! A UDP link as configured. Nothing here opens a socket: the file says what is wanted, the driver makes it so.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The port of a udp link where the file gives none: what WireGuard's users expect.
pub const DEFAULT_PORT: u16 = 51820;

/// Where a UDP link listens, and how what it sends is marked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UdpSpec {
    /// The address to listen on, one at most; none: on all of the host, in both families.
    pub listen: Vec<IpAddr>,
    /// The port to listen on; 0 lets the kernel choose one.
    pub port: u16,
    /// What the kernel's routing rules know the link's packets by (`SO_MARK`, which takes `CAP_NET_ADMIN`).
    pub fwmark: Option<u32>,
    /// The interface that every packet must come from and leave by (`SO_BINDTODEVICE`).
    pub device: Option<String>,
    /// Preference among links that reach a peer, lower is better; `None` leaves it to the driver.
    pub cost: Option<u32>,
}

impl UdpSpec {
    /// Whether both cannot listen at once: the same port at the same address of the same interface. Ports that the kernel
    /// chooses are never in each other's way.
    #[must_use]
    pub fn collides(&self, other: &Self) -> bool {
        let everywhere = self.listen.is_empty() || other.listen.is_empty();
        // One that is bound to no interface hears all of them.
        let apart = matches!((&self.device, &other.device), (Some(one), Some(two)) if one != two);
        self.port != 0
            && self.port == other.port
            && !apart
            && (everywhere || self.listen.iter().any(|address| other.listen.contains(address)))
    }

    /// Says which capability its socket takes, and for what, if it takes one.
    #[must_use]
    pub fn takes_capability(&self) -> Option<&'static str> {
        match self.fwmark {
            Some(_) => Some("a FwMark takes CAP_NET_ADMIN"),
            None if (1..1024).contains(&self.port) => Some("a port below 1024 takes CAP_NET_BIND_SERVICE"),
            None => None,
        }
    }
}

impl fmt::Display for UdpSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = self.device.as_ref().map(|device| format!("%{device}")).unwrap_or_default();
        if self.listen.is_empty() {
            return write!(f, "udp://*{device}:{}", self.port);
        }
        for (at, address) in self.listen.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}udp://{}{device}", SocketAddr::new(*address, self.port))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(port: u16, listen: &[&str], device: Option<&str>) -> UdpSpec {
        UdpSpec {
            port,
            listen: listen.iter().map(|address| address.parse().unwrap()).collect(),
            device: device.map(str::to_owned),
            ..UdpSpec::default()
        }
    }

    #[test]
    fn two_links_collide_at_the_same_place_only() {
        let all = spec(51820, &[], None);
        assert!(all.collides(&spec(51820, &["::1"], None)));
        assert!(!all.collides(&spec(51821, &[], None)));
        assert!(!spec(0, &[], None).collides(&spec(0, &[], None)), "the kernel chooses");
        assert!(!spec(1, &["127.0.0.1"], None).collides(&spec(1, &["127.0.0.2"], None)));
        assert!(!spec(1, &[], Some("eth0")).collides(&spec(1, &[], Some("eth1"))));
        assert!(spec(1, &[], Some("eth0")).collides(&spec(1, &[], None)));
    }

    #[test]
    fn a_link_is_shown_by_where_it_listens() {
        assert_eq!(spec(51820, &[], None).to_string(), "udp://*:51820");
        assert_eq!(spec(7, &["192.0.2.1", "::1"], None).to_string(), "udp://192.0.2.1:7, udp://[::1]:7");
        assert_eq!(spec(7, &[], Some("eth0")).to_string(), "udp://*%eth0:7");
    }
}
