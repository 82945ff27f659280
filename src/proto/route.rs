//! AllowedIPs: which peer an inner address belongs to, longest prefix first.
//!
//! The same table answers both questions of cryptokey routing: where a packet goes, and whether a peer may speak as the
//! source that its packet bears.

use std::cell::Cell;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

/// An address, and what was found for it.
type Answer<T> = (IpAddr, Option<(IpNet, T)>);

/// Maps prefixes to values, each prefix to one.
#[derive(Debug, Clone, Default)]
pub struct Routes<T: Copy> {
    v4: PrefixMap<Ipv4Net, T>,
    v6: PrefixMap<Ipv6Net, T>,
    /// The last answer: packets come in rows, and those of a row have the same addresses.
    last: Cell<Option<Answer<T>>>,
}

impl<T: Copy> Routes<T> {
    /// Makes an empty table.
    #[must_use]
    pub fn new() -> Self {
        Self { v4: PrefixMap::new(), v6: PrefixMap::new(), last: Cell::new(None) }
    }

    /// Adds a prefix (its host bits do not count); returns the value that it had.
    pub fn insert(&mut self, prefix: IpNet, value: T) -> Option<T> {
        self.last.set(None);
        match prefix {
            IpNet::V4(prefix) => self.v4.insert(prefix.trunc(), value),
            IpNet::V6(prefix) => self.v6.insert(prefix.trunc(), value),
        }
    }

    /// Returns the value of exactly this prefix.
    #[must_use]
    pub fn get(&self, prefix: IpNet) -> Option<T> {
        match prefix {
            IpNet::V4(prefix) => self.v4.get(&prefix.trunc()).copied(),
            IpNet::V6(prefix) => self.v6.get(&prefix.trunc()).copied(),
        }
    }

    /// Removes a prefix; returns the value that it had.
    pub fn remove(&mut self, prefix: IpNet) -> Option<T> {
        self.last.set(None);
        match prefix {
            IpNet::V4(prefix) => self.v4.remove(&prefix.trunc()),
            IpNet::V6(prefix) => self.v6.remove(&prefix.trunc()),
        }
    }

    /// Returns the longest prefix that contains `address`, and its value.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Option<(IpNet, T)> {
        if let Some((known, found)) = self.last.get()
            && known == address
        {
            return found;
        }
        let found = match address {
            IpAddr::V4(address) => {
                self.v4.get_lpm(&address.into()).map(|(prefix, value)| (IpNet::V4(prefix), *value))
            }
            IpAddr::V6(address) => {
                self.v6.get_lpm(&address.into()).map(|(prefix, value)| (IpNet::V6(prefix), *value))
            }
        };
        self.last.set(Some((address, found)));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let mut routes = Routes::new();
        for (prefix, value) in [("0.0.0.0/0", 0), ("10.0.0.0/8", 1), ("10.0.0.2/32", 2), ("fd00::/8", 3)] {
            routes.insert(prefix.parse().unwrap(), value);
        }
        let find = |address: &str| routes.find(address.parse().unwrap()).map(|(_, value)| value);
        assert_eq!(find("10.0.0.2"), Some(2));
        assert_eq!(find("10.0.0.3"), Some(1));
        assert_eq!(find("192.0.2.1"), Some(0));
        assert_eq!(find("fd00::1"), Some(3));
        assert_eq!(find("2001:db8::1"), None);
    }

    #[test]
    fn a_prefix_that_is_removed_leaves_the_wider_one() {
        let mut routes = Routes::new();
        routes.insert("10.0.0.0/8".parse().unwrap(), 1);
        routes.insert("10.0.0.2/32".parse().unwrap(), 2);
        assert_eq!(routes.get("10.1.2.3/8".parse().unwrap()), Some(1), "host bits do not count");
        assert_eq!(routes.remove("10.0.0.2/32".parse().unwrap()), Some(2));
        assert_eq!(routes.find("10.0.0.2".parse().unwrap()).map(|(_, value)| value), Some(1));
        assert_eq!(routes.remove("10.0.0.2/32".parse().unwrap()), None);
    }

    #[test]
    fn an_answer_that_was_given_is_not_given_when_it_is_wrong() {
        let mut routes = Routes::new();
        let find = |routes: &Routes<i32>| routes.find("10.0.0.2".parse().unwrap()).map(|(_, value)| value);
        assert_eq!(find(&routes), None);
        routes.insert("10.0.0.0/8".parse().unwrap(), 1);
        assert_eq!((find(&routes), find(&routes)), (Some(1), Some(1)));
        routes.insert("10.0.0.2/32".parse().unwrap(), 2);
        assert_eq!(find(&routes), Some(2));
        routes.remove("10.0.0.2/32".parse().unwrap());
        assert_eq!(find(&routes), Some(1));
    }

    #[test]
    fn host_bits_make_no_second_prefix() {
        let mut routes = Routes::new();
        assert_eq!(routes.insert("10.0.0.1/24".parse().unwrap(), 1), None);
        assert_eq!(routes.insert("10.0.0.2/24".parse().unwrap(), 2), Some(1));
    }
}
