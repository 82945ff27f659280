//! This host's own addresses that other hosts may reach it at.
//!
//! Which of them others really reach, no host can tell by itself: a private address serves in the local network, a public one
//! unless something on the way refuses. Left out is what certainly leads nowhere: addresses of this host's inner interfaces
//! (loopback, tunnels, bridges that virtual machines or containers alone are on) and those that are about to go.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use ipnet::IpNet;

use super::setup;
use crate::place::{Place, is_local};

/// Those that are in none of these networks: the public ones first, and IPv4 before IPv6.
pub(crate) fn outside(networks: &[IpNet]) -> Vec<IpAddr> {
    let passing = passing(&fs::read_to_string("/proc/net/if_inet6").unwrap_or_default());
    let mut found: Vec<IpAddr> = setup::interface_networks()
        .into_iter()
        .filter(|(interface, network)| {
            !networks.iter().any(|own| setup::overlap(own, network))
                && !is_inner(Path::new("/sys"), interface)
        })
        .map(|(_, network)| network.addr())
        .filter(|address| is_usable(*address, &passing))
        .collect();
    found.sort_by_key(|address| (is_local(*address), address.is_ipv6(), *address));
    found.dedup();
    found
}

fn is_usable(address: IpAddr, passing: &BTreeSet<Ipv6Addr>) -> bool {
    let wanted = match address {
        IpAddr::V4(address) => !address.is_link_local(),
        IpAddr::V6(address) => !passing.contains(&address),
    };
    wanted && !address.is_loopback() && Place::new(address, 1).is_some()
}

/// The IPv6 addresses that will not stay or are not in use: temporary, deprecated, tentative, duplicate. `text` is that of
/// /proc/net/if_inet6: address, interface, prefix, scope, flags (linux/if_addr.h), name.
fn passing(text: &str) -> BTreeSet<Ipv6Addr> {
    const TEMPORARY: u32 = 0x01;
    const DAD_FAILED: u32 = 0x08;
    const DEPRECATED: u32 = 0x20;
    const TENTATIVE: u32 = 0x40;
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
        let passes = flags & (TEMPORARY | DAD_FAILED | DEPRECATED | TENTATIVE) != 0;
        passes.then(|| Ipv6Addr::from(address))
    };
    text.lines().filter_map(address).collect()
}

/// Whether software of this host made the interface for itself: a TUN or TAP device, WireGuard's, a bridge without a port that
/// leads out. Where sysfs cannot be seen, none is.
fn is_inner(sys: &Path, interface: &str) -> bool {
    let at = |name: &str| sys.join("class/net").join(name);
    let own = at(interface);
    let kind = fs::read_to_string(own.join("uevent")).unwrap_or_default();
    if own.join("tun_flags").exists() || kind.lines().any(|line| line == "DEVTYPE=wireguard") {
        return true;
    }
    let Ok(ports) = fs::read_dir(own.join("brif")) else { return false };
    // A card has a device, and what is built on one (a VLAN, a bond) a lower interface; what leads to a container has neither.
    let leads_out = |port: fs::DirEntry| {
        let port = at(&port.file_name().to_string_lossy());
        let lower = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("lower_");
        port.join("device").exists()
            || fs::read_dir(&port).is_ok_and(|entries| entries.filter_map(Result::ok).any(lower))
    };
    !ports.filter_map(Result::ok).any(leads_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_leads_nowhere_is_passed_over() {
        let sys = tempfile::tempdir().unwrap();
        let make = |path: &str| fs::create_dir_all(sys.path().join("class/net").join(path)).unwrap();
        make("eth0/device");
        make("veth1");
        make("vlan7/lower_eth0");
        make("mesh0/tun_flags");
        make("wg0");
        fs::write(sys.path().join("class/net/wg0/uevent"), "DEVTYPE=wireguard\nINTERFACE=wg0\n").unwrap();
        for port in ["docker0/brif/veth1", "empty/brif", "lan/brif/veth1", "lan/brif/eth0", "dmz/brif/vlan7"]
        {
            make(port);
        }
        for (interface, inner) in [
            ("eth0", false),
            ("veth1", false),
            ("mesh0", true),
            ("wg0", true),
            ("docker0", true),
            ("empty", true),
            ("lan", false),
            ("dmz", false),
            ("gone", false),
        ] {
            assert_eq!(is_inner(sys.path(), interface), inner, "{interface}");
        }
    }

    #[test]
    fn an_address_that_does_not_stay_is_passed_over() {
        let table = "20010db8000000000000000000000007 02 40 00 80     eth0\n\
                     20010db8000000000000000000000008 02 40 00 01     eth0\nnonsense\n";
        let passing = passing(table);
        let usable = |text: &str| is_usable(text.parse().unwrap(), &passing);
        assert!(usable("2001:db8::7") && usable("192.168.1.5") && usable("192.0.2.7"));
        for text in ["2001:db8::8", "fe80::1", "169.254.1.1", "127.0.0.1", "::1", "0.0.0.0"] {
            assert!(!usable(text), "{text}");
        }
    }

    #[test]
    fn what_is_found_is_this_hosts_and_not_the_networks() {
        let all = outside(&[]);
        let own: Vec<IpAddr> =
            setup::interface_networks().into_iter().map(|(_, network)| network.addr()).collect();
        assert!(all.iter().all(|address| own.contains(address)), "{all:?}");
        assert_eq!(outside(&["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]), Vec::<IpAddr>::new());
    }
}
