//! A `[Peer]` section.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::time::Duration;

use ipnet::IpNet;
use meshnet_proto::config::{PeerConfig, PeerMode};
use meshnet_proto::key::{KEY_LEN, PresharedKey, PublicKey};
use meshnet_proto::link::LinkAddr;

use super::super::endpoint::{self, Endpoint};
use super::super::syntax::Section;
use super::super::{Peer, value};
use super::findings::{Entries, Findings};
use crate::link::Contact;

/// Its keys.
pub(super) const KEYS: &[&str] = &[
    "Name",
    "PublicKey",
    "PresharedKey",
    "AllowedIPs",
    "Endpoint",
    "PeerMode",
    "RadioPublicKey",
    "PersistentKeepalive",
    "BulkOverRadio",
];

/// How many endpoints a peer may have.
const MAX_ENDPOINTS: usize = 16;

/// What the section says, with the lines that its values are from.
pub(super) struct Draft {
    /// The line of its header.
    line: u32,
    name: Option<String>,
    pub public_key: Option<(u32, PublicKey)>,
    preshared_key: Option<PresharedKey>,
    pub allowed_ips: Vec<(u32, IpNet)>,
    pub endpoints: Vec<(u32, Endpoint)>,
    /// Whether every endpoint is among `endpoints`: none was wrong.
    endpoints_complete: bool,
    radio_keys: Vec<[u8; KEY_LEN]>,
    mode: Option<(u32, PeerMode)>,
    keepalive: Option<(u32, Option<NonZeroU16>)>,
    bulk: Option<(u32, bool)>,
    pub secret_at: Option<(u32, &'static str)>,
}

/// Reads the section.
pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> Draft {
    let entries = Entries::new(section, KEYS, findings);
    let name = entries.one("Name", findings);
    let public_key = entries.required("PublicKey", "(what \"meshctl pubkey\" writes)", findings);
    let psk = entries.one("PresharedKey", findings);
    let mode = entries.one("PeerMode", findings);
    let mode = mode.and_then(|entry| Some((entry.line, findings.take(entry, value::mode(entry.value))?)));
    if let (Some((line, PeerMode::Symmetric)), None) = (mode, psk) {
        let right = "PresharedKey = (what \"meshctl genpsk\" writes), the same at both ends";
        findings.error(line, "PeerMode", "SYMMETRIC without a PresharedKey", right);
    }
    let endpoints = endpoints(&entries, findings);
    let endpoints_complete = endpoints.is_some();
    let keepalive = entries.one("PersistentKeepalive", findings);
    let bulk = entries.one("BulkOverRadio", findings);
    Draft {
        line: section.line,
        name: name.and_then(|entry| findings.take(entry, value::name(entry.value))),
        public_key: public_key.and_then(|entry| {
            findings.take(entry, value::public_key(entry.value)).map(|key| (entry.line, key))
        }),
        preshared_key: psk.and_then(|entry| findings.take(entry, value::key(entry.value))),
        allowed_ips: allowed_ips(&entries, section, findings),
        endpoints: endpoints.unwrap_or_default(),
        endpoints_complete,
        radio_keys: radio_keys(&entries, findings),
        mode,
        keepalive: keepalive
            .and_then(|entry| Some((entry.line, findings.take(entry, value::keepalive(entry.value))?))),
        bulk: bulk.and_then(|entry| Some((entry.line, findings.take(entry, value::yes_or_no(entry.value))?))),
        secret_at: psk.map(|entry| (entry.line, "PresharedKey")),
    }
}

fn allowed_ips(
    entries: &Entries<'_, '_>,
    section: &Section<'_>,
    findings: &mut Findings,
) -> Vec<(u32, IpNet)> {
    let list = entries.list("AllowedIPs");
    if !entries.has("AllowedIPs") {
        let right = "for example AllowedIPs = 10.42.0.2/32";
        findings.error(section.line, "AllowedIPs", "missing in [Peer]", right);
    } else if list.is_empty() {
        let right = "the addresses that are this peer's, for example 10.42.0.2/32";
        findings.warning(section.line, "AllowedIPs", "no value: no traffic with this peer", right);
    }
    let mut seen = BTreeSet::new();
    let mut prefixes = Vec::new();
    for entry in list {
        let Some(network) = findings.take(entry, value::network(entry.value)) else { continue };
        let prefix = network.trunc();
        if seen.insert(prefix) {
            prefixes.push((entry.line, prefix));
        }
    }
    prefixes
}

/// Where the peer is; `None` if something of that was wrong, which is told.
fn endpoints(entries: &Entries<'_, '_>, findings: &mut Findings) -> Option<Vec<(u32, Endpoint)>> {
    let list = entries.list("Endpoint");
    let mut fine = list.len() <= MAX_ENDPOINTS;
    if list.is_empty()
        && let Some(line) = entries.line_of("Endpoint")
    {
        findings.error(line, "Endpoint", "no value", "for example Endpoint = !d45b9db8, or without this key");
        fine = false;
    }
    let mut endpoints: Vec<(u32, Endpoint)> = Vec::new();
    for entry in entries.short_list("Endpoint", MAX_ENDPOINTS, findings) {
        let Some(endpoint) = findings.take(entry, endpoint::read(entry.value)) else {
            fine = false;
            continue;
        };
        match endpoints.iter().find(|(_, other)| *other == endpoint) {
            Some((first, _)) => {
                let what = format!("{endpoint} is there already (line {first})");
                findings.error(entry.line, "Endpoint", what, "each endpoint once");
            }
            None => endpoints.push((entry.line, endpoint)),
        }
    }
    fine.then_some(endpoints)
}

/// The keys of the peer's radios, in the order of its endpoints.
fn radio_keys(entries: &Entries<'_, '_>, findings: &mut Findings) -> Vec<[u8; KEY_LEN]> {
    let list = entries.list("RadioPublicKey");
    let radios = entries.list("Endpoint").iter().filter(|entry| entry.value.starts_with('!')).count();
    if let Some(entry) = list.first()
        && list.len() != radios
    {
        let what = format!("{} of them for {radios} radios", list.len());
        let right = "one for each Endpoint that is a radio, in the same order";
        findings.error(entry.line, "RadioPublicKey", what, right);
        return Vec::new();
    }
    let list = entries.short_list("RadioPublicKey", MAX_ENDPOINTS, findings);
    list.into_iter().filter_map(|entry| findings.take(entry, value::radio_key(entry.value))).collect()
}

/// Which kinds of links there are to reach peers by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    pub radio: bool,
    pub udp: bool,
}

impl Draft {
    fn has_radio(&self) -> bool {
        self.endpoints.iter().any(|(_, endpoint)| !endpoint.is_udp())
    }

    fn has_udp(&self) -> bool {
        self.endpoints.iter().any(|(_, endpoint)| endpoint.is_udp())
    }

    /// Whether it is in mode WIREGUARD, in a network with these links.
    pub(super) fn is_wireguard(&self, reach: Reach) -> bool {
        self.mode(Some(reach)) == PeerMode::Wireguard
    }

    /// The session protocol: what the file says, or what the endpoints suggest. A file that was written before there was
    /// UDP has radios only, and means what it meant.
    fn mode(&self, reach: Option<Reach>) -> PeerMode {
        match self.mode {
            Some((_, mode)) => mode,
            None if self.has_udp() => PeerMode::Wireguard,
            None if self.has_radio() => PeerMode::Pki,
            None if reach.is_some_and(|reach| reach.udp) => PeerMode::Wireguard,
            None => PeerMode::Pki,
        }
    }

    /// Finds what goes together with nothing else that is said of the peer, or with no link.
    pub(super) fn check(&self, reach: Option<Reach>, findings: &mut Findings) {
        let mode = self.mode(reach);
        if mode != PeerMode::Wireguard {
            self.check_version1(findings);
        } else if let Some((line, Some(_))) = self.keepalive
            && self.has_radio()
        {
            let what = "not sent by radio, where a keepalive would take air";
            findings.warning(line, "PersistentKeepalive", what, "it holds for UDP alone");
        }
        if let Some((line, _)) = self.bulk {
            let useless = if mode != PeerMode::Wireguard {
                Some((
                    "of no use: this peer is not spoken to in WireGuard's protocol",
                    "PeerMode = WIREGUARD, or without this key",
                ))
            } else if !self.has_radio() {
                Some((
                    "of no use: this peer has no radio among its endpoints",
                    "a radio as Endpoint, or without this key",
                ))
            } else {
                None
            };
            if let Some((what, right)) = useless {
                findings.warning(line, "BulkOverRadio", what, right);
            }
        }
        if self.endpoints.is_empty() && self.endpoints_complete {
            self.check_unreached(mode, reach, findings);
        } else if let Some(reach) = reach {
            self.check_reach(reach, findings);
        }
    }

    /// What version 1 of the protocol does not have.
    fn check_version1(&self, findings: &mut Findings) {
        if let Some((line, _)) = self.endpoints.iter().find(|(_, endpoint)| endpoint.is_udp()) {
            let what = "a UDP endpoint at a peer that is not spoken to in WireGuard's protocol";
            findings.error(*line, "Endpoint", what, "PeerMode = WIREGUARD, or radios only");
        }
        if let Some((line, Some(_))) = self.keepalive {
            let what = "at a peer that is not spoken to in WireGuard's protocol";
            findings.error(line, "PersistentKeepalive", what, "PeerMode = WIREGUARD, or without this key");
        }
    }

    /// A peer without an endpoint: it comes to us, which takes a link that strangers can come in by.
    fn check_unreached(&self, mode: PeerMode, reach: Option<Reach>, findings: &mut Findings) {
        if mode != PeerMode::Wireguard {
            findings.error(self.line, "Endpoint", "missing in [Peer]", "for example Endpoint = !d45b9db8");
        } else if reach.is_some_and(|reach| !reach.udp) {
            let what = "missing in [Peer], and without a udp link the peer cannot come to us either";
            findings.error(self.line, "Endpoint", what, "an Endpoint, or ListenPort = 51820 in [Interface]");
        }
    }

    /// Endpoints of a kind that no link reaches: an error if that is all of them.
    fn check_reach(&self, reach: Reach, findings: &mut Findings) {
        let reached = |endpoint: &Endpoint| if endpoint.is_udp() { reach.udp } else { reach.radio };
        let none = self.endpoints_complete && !self.endpoints.iter().any(|(_, endpoint)| reached(endpoint));
        for (kind, there) in [(false, reach.radio), (true, reach.udp)] {
            let first = self.endpoints.iter().find(|(_, endpoint)| endpoint.is_udp() == kind);
            let Some((line, endpoint)) = first.filter(|_| !there) else { continue };
            let (what, right) = if kind {
                (
                    format!("{endpoint} is reached by no link"),
                    "ListenPort = 51820 in [Interface], or a [Link] with Type = udp",
                )
            } else {
                (
                    format!("{endpoint} is reached by no link"),
                    "MeshtasticConnect in [Interface], or a [Link] with Connect",
                )
            };
            if none {
                findings.error(*line, "Endpoint", what, right);
            } else {
                findings.warning(*line, "Endpoint", what, right);
            }
        }
    }

    /// The peer; `None` if something required was wrong, which was told.
    pub(super) fn finish(self, reach: Option<Reach>) -> Option<Peer> {
        let mode = self.mode(reach);
        let (line, public_key) = self.public_key?;
        let (mut endpoints, mut names) = (Vec::new(), Vec::new());
        for (_, endpoint) in self.endpoints {
            match endpoint {
                Endpoint::Address(address) => endpoints.push(address),
                Endpoint::Name(name) => names.push(name),
            }
        }
        let core = PeerConfig {
            public_key,
            preshared_key: self.preshared_key,
            allowed_ips: self.allowed_ips.into_iter().map(|(_, prefix)| prefix).collect(),
            endpoints,
            mode,
            keepalive: self
                .keepalive
                .and_then(|(_, keepalive)| keepalive)
                .map(|keepalive| Duration::from_secs(keepalive.get().into())),
            bulk_over_metered: self.bulk.map(|(_, bulk)| bulk),
        };
        Some(Peer {
            name: self.name,
            line,
            contacts: contacts(&core.endpoints, &self.radio_keys),
            core,
            names,
            keepalive: self.keepalive.and_then(|(_, keepalive)| keepalive),
            bulk: self.bulk.map(|(_, bulk)| bulk),
        })
    }
}

/// The radios among a peer's endpoints, each with its key if those are known.
pub(crate) fn contacts(endpoints: &[LinkAddr], keys: &[[u8; KEY_LEN]]) -> Vec<Contact> {
    let nodes = endpoints.iter().filter_map(LinkAddr::as_radio).enumerate();
    nodes.map(|(at, node)| Contact { node, public_key: keys.get(at).copied() }).collect()
}
