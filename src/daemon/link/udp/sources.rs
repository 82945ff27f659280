//! From which of this host's addresses each peer is answered.
//!
//! A host with several addresses is asked at one of them; a firewall or NAT on the way lets the answer pass only if it comes
//! from there. So the address that a peer's last datagram was sent to becomes the source of ours.
//!
//! Whoever can send datagrams gets an entry, so their number is bounded; losing one costs no more than the kernel's choice.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Entries at most.
const PEERS: usize = 4096;

/// Source addresses by peer's address.
#[derive(Debug, Default)]
pub(super) struct Sources {
    by_peer: HashMap<SocketAddr, IpAddr>,
    /// The last one noted: a bulk transfer is one peer's.
    last: Option<(SocketAddr, IpAddr)>,
}

/// A peer's address under its one name.
fn canonical(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if let IpAddr::V4(ip) = address.ip().to_canonical() {
        address.set_ip(ip.into());
    } else if let SocketAddr::V6(v6) = &mut address {
        v6.set_flowinfo(0);
    }
    address
}

impl Sources {
    /// Notes where a datagram from `peer` was sent to.
    pub(super) fn note(&mut self, peer: SocketAddr, to: Option<IpAddr>) {
        let Some(to) = to.map(|to| to.to_canonical()) else { return };
        if self.last == Some((peer, to)) {
            return;
        }
        self.last = Some((peer, to));
        let is_ours_alone = match to {
            IpAddr::V4(to) => !to.is_multicast() && !to.is_broadcast() && !to.is_unspecified(),
            IpAddr::V6(to) => !to.is_multicast() && !to.is_unspecified(),
        };
        let peer = canonical(peer);
        if !is_ours_alone {
            return;
        }
        if self.by_peer.len() >= PEERS && !self.by_peer.contains_key(&peer) {
            self.by_peer.clear();
        }
        self.by_peer.insert(peer, to);
    }

    /// Returns the address that answers `peer`.
    pub(super) fn of(&self, peer: SocketAddr) -> Option<IpAddr> {
        match self.last {
            Some((last, _)) if last == peer => self.by_peer.get(&peer).copied(),
            _ => self.by_peer.get(&canonical(peer)).copied(),
        }
    }

    /// Leaves the choice to the kernel until `peer` sends something again.
    pub(super) fn forget(&mut self, peer: SocketAddr) {
        self.by_peer.remove(&canonical(peer));
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn the_address_that_was_asked_last_answers_whichever_way_it_is_written() {
        let mut sources = Sources::default();
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        sources.note("[::ffff:192.0.2.1]:7".parse().unwrap(), Some("::ffff:10.0.0.1".parse().unwrap()));
        assert_eq!(sources.of(peer(7)), Some(one));
        sources.note(peer(7), Some(two));
        assert_eq!(sources.of(peer(7)), Some(two));
        assert_eq!(sources.of(peer(8)), None);
        sources.forget(peer(7));
        assert_eq!(sources.of(peer(7)), None);
        sources.note(peer(7), Some(two));
        assert_eq!(sources.of(peer(7)), Some(two), "asked again");
    }

    #[test]
    fn everybodys_address_answers_nobody() {
        let mut sources = Sources::default();
        for to in ["255.255.255.255", "224.0.0.1", "ff02::1", "0.0.0.0"] {
            sources.note(peer(7), Some(to.parse().unwrap()));
            assert_eq!(sources.of(peer(7)), None, "{to}");
        }
    }

    #[test]
    fn a_flood_of_senders_does_not_grow_it() {
        let mut sources = Sources::default();
        for port in 0..20_000 {
            sources.note(peer(port), Some([10, 0, 0, 1].into()));
            assert!(sources.by_peer.len() <= PEERS);
        }
        assert!(sources.of(peer(19_999)).is_some());
    }
}
