//! A network's udp link: whether its port is free, and whether one of the two ends can begin.

use std::collections::BTreeMap;
use std::path::Path;

use meshnet_bus::describe::{Network, Peer};
use meshnet_bus::names::Instance;

use super::super::setup;
use super::{Findings, Patient, links};
use crate::bus::Bus;
use crate::conf::{self, Conf, Udp};
use crate::ours;

/// Looks at the network's udp link, if it has one.
pub(super) async fn check(patient: &Patient<'_>, bus: Option<&Bus>, findings: &mut Findings) {
    if let Some(network) = &patient.state {
        running(network, findings);
    } else if let Ok(conf) = Conf::read(&conf::path(Path::new(conf::DIR), patient.name))
        && let Some(udp) = conf.udp()
    {
        if udp.port != 0 && links::is_stopped(patient, bus).await {
            port(udp, findings);
        }
        let [keys, names, endpoints] =
            ["PublicKey", "Name", "Endpoint"].map(|key| conf.sections("Peer", key).into_iter());
        for ((key, name), endpoints) in keys.zip(names).zip(endpoints) {
            let name = name.first().or(key.first()).copied().unwrap_or_default();
            beginning(udp, name, endpoints.is_empty(), findings);
        }
    }
}

/// As the daemon tells it. Whether the link itself is up, was looked at with the others.
fn running(network: &Network, findings: &mut Findings) {
    let Some(link) = network.links.iter().find(|link| link.kind == "udp") else { return };
    let udp = ours::listening(&link.connect);
    for peer in &network.peers {
        let name = peer.name.as_deref().unwrap_or(&peer.public_key);
        beginning(udp, name, peer.endpoints.is_empty(), findings);
        if link.up && is_silent(peer) {
            findings.warn(
                "udp",
                format!("{name} was never heard, though it was called"),
                format!(
                    "does it run, with our public key? is UDP let in at one end? \"nft list ruleset\" here and there; our port is {}\n\
                     is its endpoint right ({})? behind a NAT the port has to be forwarded at one end",
                    udp.port,
                    peer.endpoints.join(", ")
                ),
            );
        }
    }
}

/// Whether a peer that UDP alone leads to was called in vain.
fn is_silent(peer: &Peer) -> bool {
    let by_udp = !peer.endpoints.is_empty() && peer.endpoints.iter().all(|at| at.starts_with("udp://"));
    by_udp && peer.last_seen_seconds.is_none() && peer.sent.datagrams > 0
}

/// Whether another program has the port of a network that does not run.
fn port(udp: Udp, findings: &mut Findings) {
    if setup::is_port_taken(udp) {
        findings.fail(
            "udp",
            format!("port {} is another program's", udp.port),
            "\"sudo ss -lunp\" says whose; another ListenPort, or that program elsewhere",
        );
    } else {
        findings.ok("udp", format!("port {} is free", udp.port));
    }
}

/// Whether one of the two ends can find the other: we know where the peer is, or it may know where we are.
fn beginning(udp: Udp, peer: &str, unknown: bool, findings: &mut Findings) {
    if unknown && udp.port == 0 {
        findings.fail(
            "udp",
            format!("{peer} has no Endpoint, and our port changes with each start: neither end can begin"),
            "a fixed ListenPort here, which the peer names; or its Endpoint",
        );
    }
}

/// What two networks must not share: a port.
pub(super) fn check_shared(directory: &Path, names: &[&Instance], findings: &mut Findings) {
    let mut ports: BTreeMap<u16, (&Instance, Udp)> = BTreeMap::new();
    for &name in names {
        let udp = Conf::read(&conf::path(directory, name)).ok().and_then(|conf| conf.udp());
        let Some(udp) = udp.filter(|udp| udp.port != 0) else { continue };
        let Some((first, other)) = ports.insert(udp.port, (name, udp)) else { continue };
        if udp.address.is_none() || other.address.is_none() || udp.address == other.address {
            findings.fail(
                "shared",
                format!("{first} and {name} listen on the same UDP port, {}", udp.port),
                "a ListenPort for each, which the peers' Endpoints name",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use meshnet_bus::describe::{Counters, Link};

    use super::super::Level;
    use super::*;

    fn levels(findings: &Findings) -> Vec<Level> {
        findings.all.iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn a_port_that_another_program_has_is_told() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let mut findings = Findings::default();
        for address in [None, Some(at.ip())] {
            port(Udp { port: at.port(), address }, &mut findings);
        }
        assert_eq!(levels(&findings), [Level::Fail; 2], "{:?}", findings.all);
    }

    #[test]
    fn of_two_ends_one_must_know_the_other() {
        let mut findings = Findings::default();
        let udp = |port| Udp { port, address: None };
        beginning(udp(51820), "cabin", true, &mut findings);
        beginning(udp(0), "cabin", false, &mut findings);
        assert_eq!(findings.all, []);
        beginning(udp(0), "cabin", true, &mut findings);
        assert_eq!(levels(&findings), [Level::Fail]);
    }

    #[test]
    fn a_peer_that_is_called_in_vain_is_told_and_nobody_misses_a_radio() {
        let peer = |sent, seen, endpoints: &[&str]| Peer {
            name: Some("cabin".to_owned()),
            endpoints: endpoints.iter().map(|text| (*text).to_owned()).collect(),
            last_seen_seconds: seen,
            sent: Counters { datagrams: sent, ..Counters::default() },
            ..Peer::default()
        };
        let at = &["udp://192.0.2.7:51820"][..];
        let link =
            Link { kind: "udp".to_owned(), connect: "udp://*:51820".to_owned(), up: true, ..Link::default() };
        let found = |peer| {
            let network = Network { links: vec![link.clone()], peers: vec![peer], ..Network::default() };
            let mut findings = Findings::default();
            running(&network, &mut findings);
            levels(&findings)
        };
        assert_eq!(found(peer(3, None, at)), [Level::Warn]);
        for fine in
            [peer(3, Some(1), at), peer(0, None, at), peer(3, None, &["!a0000001"]), peer(0, None, &[])]
        {
            assert_eq!(found(fine), []);
        }
    }

    #[test]
    fn networks_that_share_a_port_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let names = ["mesh0", "mesh1", "mesh2"].map(|name| Instance::new(name).unwrap());
        let all: Vec<&Instance> = names.iter().collect();
        let write =
            |at: usize, text: &str| std::fs::write(conf::path(directory.path(), &names[at]), text).unwrap();
        let link = |address: &str| format!("[Link]\nType = udp\nListenPort = 7\nAddress = {address}\n");
        write(0, &link("192.0.2.1"));
        write(1, &link("192.0.2.2"));
        let mut findings = Findings::default();
        check_shared(directory.path(), &all, &mut findings);
        assert_eq!(findings.all, []);
        write(2, "[Interface]\nListenPort = 7\n");
        check_shared(directory.path(), &all, &mut findings);
        assert_eq!(levels(&findings), [Level::Fail]);
    }
}
