//! A network between two namespaces: a veth pair, or two with a relay between them that loses, delays and reorders, or with
//! routers between them that carry less than Ethernet does.
//!
//! Both ends have the same name, one in each namespace. A cable ends with its namespaces.
//!
//! A death comes in two forms: [`Cable::pull`] takes the carrier away, which both kernels see, and [`Cable::mute`] lets
//! what arrives vanish while both ends stay up, which nobody is told.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::namespace::Namespace;
use crate::process::Process;
use crate::python::fixture;

/// What a relay does to the frames that pass it.
#[derive(Debug, Clone, Copy)]
pub struct Roughness {
    /// The share of frames that vanish.
    pub loss: f64,
    /// How long a frame takes, each way.
    pub delay: Duration,
    /// The share of frames that overtake those before them: they are not delayed.
    pub reorder: f64,
    /// Where all chance begins.
    pub seed: u64,
}

/// A network between two namespaces.
#[derive(Debug)]
pub struct Cable {
    /// The interface's name, in both namespaces.
    pub name: &'static str,
    /// What is in the middle: held so that it lives as long as the cable.
    middle: Middle,
}

/// What is between the two ends.
#[derive(Debug)]
enum Middle {
    /// Wire.
    Nothing,
    /// A relay, and where it lives.
    Relay { _relay: Process, _place: Namespace },
    /// Routers, the west one first.
    Routers([Namespace; 2]),
}

/// An end of a cable with routers.
#[derive(Debug, Clone, Copy)]
pub struct Routed<'a> {
    /// Where it ends.
    pub namespace: &'a Namespace,
    /// The end's address, with prefix length.
    pub address: &'a str,
    /// The address of its router, through which everything goes that is not of its own network.
    pub router: &'a str,
}

impl Cable {
    /// Joins two namespaces; the ends get these addresses, with prefix length.
    ///
    /// # Errors
    /// If the kernel makes no veth pair.
    pub fn join(name: &'static str, ends: [(&Namespace, &str); 2]) -> Result<Self> {
        pair(name, ends[0].0, name, ends[1].0)?;
        for (namespace, address) in ends {
            bring_up(namespace, name, address)?;
        }
        Ok(Self { name, middle: Middle::Nothing })
    }

    /// Joins two namespaces by a relay, whose log goes to `dir`.
    ///
    /// # Errors
    /// If the kernel makes no veth pair, or without Python.
    pub fn rough(
        name: &'static str,
        ends: [(&Namespace, &str); 2],
        roughness: Roughness,
        dir: &Path,
    ) -> Result<Self> {
        let middle = Namespace::new()?;
        for ((namespace, address), port) in ends.into_iter().zip(["west", "east"]) {
            pair(port, &middle, name, namespace)?;
            ip(&middle, &["link", "set", port, "promisc", "on", "up"])?;
            bring_up(namespace, name, address)?;
        }
        let mut command = Command::new("python3");
        command.arg(fixture("relay.py")).args(["west", "east"]);
        command.args([
            roughness.loss.to_string(),
            roughness.delay.as_secs_f64().to_string(),
            roughness.reorder.to_string(),
            roughness.seed.to_string(),
        ]);
        let mut relay = Process::start("relay", command, Some(&middle), dir)?;
        relay.wait_for_line("relaying", Duration::from_secs(10))?;
        Ok(Self { name, middle: Middle::Relay { _relay: relay, _place: middle } })
    }

    /// Joins two namespaces of two networks by two routers, which carry `mtu` bytes between them, and 1500 to the ends: neither
    /// end knows of the narrow way.
    ///
    /// # Errors
    /// If the kernel makes no veth pair, or an address is none.
    pub fn routed(name: &'static str, ends: [Routed<'_>; 2], mtu: u16) -> Result<Self> {
        const BETWEEN: &str = "narrow";
        let routers = [Namespace::new()?, Namespace::new()?];
        pair(BETWEEN, &routers[0], BETWEEN, &routers[1])?;
        for (index, (end, router)) in ends.iter().zip(&routers).enumerate() {
            forward(router)?;
            pair(name, router, name, end.namespace)?;
            let length = end.address.split_once('/').context("an address has a prefix length")?.1;
            bring_up(router, name, &format!("{}/{length}", end.router))?;
            bring_up(end.namespace, name, end.address)?;
            ip(end.namespace, &["route", "add", "default", "via", end.router])?;
            let [here, there] = match end.address.contains(':') {
                true => ["fd00:ffff::1", "fd00:ffff::2"],
                false => ["203.0.113.1", "203.0.113.2"],
            };
            let (here, there) = if index == 0 { (here, there) } else { (there, here) };
            ip(router, &["link", "set", BETWEEN, "mtu", &mtu.to_string()])?;
            bring_up(router, BETWEEN, &format!("{here}/{length}"))?;
            ip(router, &["route", "add", "default", "via", there])?;
        }
        Ok(Self { name, middle: Middle::Routers(routers) })
    }

    /// Makes routers forget to say that a packet was too long for the way, as those behind a careless firewall do.
    ///
    /// # Errors
    /// If there are no routers, or `nft` fails.
    pub fn keep_silent(&self) -> Result<()> {
        let Middle::Routers(routers) = &self.middle else { anyhow::bail!("there are no routers") };
        let rules = "table inet silent { chain out { type filter hook output priority 0; \
                     icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }; }";
        routers.iter().try_for_each(|router| run_for(router, "nft", &[rules]).map(drop))
    }

    /// Pulls it out of one end: the carrier goes, and with it the other end's.
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn pull(&self, end: &Namespace) -> Result<()> {
        ip(end, &["link", "set", self.name, "down"])
    }

    /// Plugs it in again.
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn plug(&self, end: &Namespace) -> Result<()> {
        ip(end, &["link", "set", self.name, "up"])
    }

    /// Lets all IP vanish that arrives at this end, while the interface stays up. Neighbours still find each other, as they do
    /// where the next hop is a router that has lost its own way out: how often a kernel asks for a neighbour that is not there
    /// is not of this project.
    ///
    /// # Errors
    /// If `nft` fails.
    pub fn mute(&self, end: &Namespace) -> Result<()> {
        let device = format!("device \"{}\"", self.name);
        // In one go, so that it takes one moment.
        let rules = format!(
            "add table netdev mute; \
             add chain netdev mute arriving {{ type filter hook ingress {device} priority 0; policy accept; }}; \
             add rule netdev mute arriving icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept; \
             add rule netdev mute arriving meta protocol {{ ip, ip6 }} drop"
        );
        run_for(end, "nft", &[&rules]).map(drop)
    }

    /// Ends what [`Cable::mute`] began.
    ///
    /// # Errors
    /// If `nft` fails.
    pub fn unmute(&self, end: &Namespace) -> Result<()> {
        run_for(end, "nft", &["delete", "table", "netdev", "mute"]).map(drop)
    }

    /// Returns how many bytes this end has sent and received so far.
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn carried(&self, end: &Namespace) -> Result<u64> {
        let text = run_for(end, "ip", &["-s", "-j", "link", "show", self.name])?;
        let links: Value = serde_json::from_str(&text).context("what ip says of a link")?;
        let count = |way: &str| links[0]["stats64"][way]["bytes"].as_u64();
        Ok(count("rx").context("no count of received bytes")?
            + count("tx").context("no count of sent bytes")?)
    }
}

/// Makes a pair of interfaces, one in each namespace.
fn pair(near: &str, here: &Namespace, far: &str, there: &Namespace) -> Result<()> {
    let there = there.net_path().display().to_string();
    ip(here, &["link", "add", near, "type", "veth", "peer", "name", far, "netns", &there])
}

fn bring_up(namespace: &Namespace, name: &str, address: &str) -> Result<()> {
    add_address(namespace, name, address)?;
    ip(namespace, &["link", "set", name, "up"])
}

/// Gives an interface an address that it may use at once.
///
/// # Errors
/// If `ip` fails.
pub fn add_address(namespace: &Namespace, name: &str, address: &str) -> Result<()> {
    // Else the kernel looks for another host with an IPv6 address first, which takes a second or two.
    let at_once: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
    ip(namespace, &[&["address", "add", address, "dev", name], at_once].concat())
}

/// Makes a namespace a router of both families.
fn forward(namespace: &Namespace) -> Result<()> {
    namespace.run(|| {
        for file in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            let path = format!("/proc/sys/net/{file}");
            std::fs::write(&path, "1").with_context(|| path)?;
        }
        Ok(())
    })
}

/// Runs `ip` in a namespace.
///
/// # Errors
/// If it fails: with what it says.
pub fn ip(namespace: &Namespace, arguments: &[&str]) -> Result<()> {
    run_for(namespace, "ip", arguments).map(drop)
}

/// Runs a program in a namespace, and returns what it prints.
///
/// # Errors
/// If it fails: with what it says.
pub fn run_for(namespace: &Namespace, program: &str, arguments: &[&str]) -> Result<String> {
    let output = namespace.run(|| {
        Command::new(program).args(arguments).output().with_context(|| format!("running {program}"))
    })?;
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ping::{self, Ping};
    use crate::story;

    const WEST: &str = "192.0.2.1/24";
    const EAST: &str = "192.0.2.2/24";

    fn answered(namespace: &Namespace, count: u32) -> Result<Vec<Duration>> {
        let limit = Duration::from_secs(1);
        let ping = Ping { count, interval: Duration::from_millis(50), limit, ..Ping::default() };
        Ok(ping.run(namespace, "192.0.2.2")?.round_trips)
    }

    #[test]
    fn a_cable_carries_until_it_is_pulled_or_muted_and_counts_what_it_carried() -> Result<()> {
        story(|_| {
            let (west, east) = (Namespace::new()?, Namespace::new()?);
            let cable = Cable::join("wifi0", [(&west, WEST), (&east, EAST)])?;
            let before = cable.carried(&west)?;
            assert_eq!(answered(&west, 3)?.len(), 3);
            assert!(cable.carried(&west)? >= before + 6 * 98);
            cable.mute(&west)?;
            assert_eq!(answered(&west, 3)?.len(), 0);
            cable.unmute(&west)?;
            assert_eq!(answered(&west, 3)?.len(), 3);
            cable.pull(&east)?;
            let lower = run_for(&west, "ip", &["link", "show", "wifi0"])?;
            assert!(lower.contains("NO-CARRIER"), "{lower}");
            cable.plug(&east)?;
            assert_eq!(answered(&west, 3)?.len(), 3);
            Ok(())
        })
    }

    #[test]
    fn a_rough_cable_loses_and_delays_as_it_is_told() -> Result<()> {
        story(|dir| {
            let (west, east) = (Namespace::new()?, Namespace::new()?);
            let roughness = Roughness { loss: 0.3, delay: Duration::from_millis(100), reorder: 0.0, seed: 1 };
            let _cable = Cable::rough("wifi0", [(&west, WEST), (&east, EAST)], roughness, dir)?;
            // Until a question for the neighbour and its answer both arrive, a second apart, nothing else goes.
            ping::until_answered(&west, "192.0.2.2", Duration::from_secs(30))?;
            let trips = answered(&west, 60)?;
            // Half of them: both ways survive with 0.7 * 0.7.
            assert!((15..=45).contains(&trips.len()), "{} of 60 answered", trips.len());
            assert!(trips.iter().all(|trip| *trip >= Duration::from_millis(200)), "{trips:?}");
            Ok(())
        })
    }
}
