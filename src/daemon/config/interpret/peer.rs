//! A `[Peer]` section.

use std::collections::BTreeSet;

use ipnet::IpNet;
use meshnet_proto::config::{PeerConfig, PeerMode};
use meshnet_proto::key::{KEY_LEN, PresharedKey, PublicKey};
use meshnet_proto::link::LinkAddr;

use super::super::syntax::Section;
use super::super::{Peer, value};
use super::findings::{Entries, Findings};
use crate::link::Contact;

/// Its keys.
pub(super) const KEYS: &[&str] =
    &["Name", "PublicKey", "PresharedKey", "AllowedIPs", "Endpoint", "PeerMode", "RadioPublicKey"];

/// How many radios a peer may have.
const MAX_ENDPOINTS: usize = 16;

/// What the section says, with the lines that its values are from.
pub(super) struct Draft {
    name: Option<String>,
    pub public_key: Option<(u32, PublicKey)>,
    preshared_key: Option<PresharedKey>,
    pub allowed_ips: Vec<(u32, IpNet)>,
    pub endpoints: Vec<(u32, LinkAddr)>,
    radio_keys: Vec<[u8; KEY_LEN]>,
    mode: PeerMode,
    pub secret_at: Option<(u32, &'static str)>,
}

/// Reads the section.
pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> Draft {
    let entries = Entries::new(section, KEYS, findings);
    let name = entries.one("Name", findings);
    let public_key = entries.required("PublicKey", "(what \"meshctl pubkey\" writes)", findings);
    let psk = entries.one("PresharedKey", findings);
    let mode_entry = entries.one("PeerMode", findings);
    let mode =
        mode_entry.and_then(|entry| findings.take(entry, value::mode(entry.value))).unwrap_or_default();
    if let (Some(entry), PeerMode::Symmetric, None) = (mode_entry, mode, psk) {
        let right = "PresharedKey = (what \"meshctl genpsk\" writes), the same at both ends";
        findings.error(entry.line, "PeerMode", "SYMMETRIC without a PresharedKey", right);
    }
    Draft {
        name: name.and_then(|entry| findings.take(entry, value::name(entry.value))),
        public_key: public_key.and_then(|entry| {
            findings.take(entry, value::public_key(entry.value)).map(|key| (entry.line, key))
        }),
        preshared_key: psk.and_then(|entry| findings.take(entry, value::key(entry.value))),
        allowed_ips: allowed_ips(&entries, section, findings),
        endpoints: endpoints(&entries, section, findings),
        radio_keys: radio_keys(&entries, findings),
        mode,
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

fn endpoints(
    entries: &Entries<'_, '_>,
    section: &Section<'_>,
    findings: &mut Findings,
) -> Vec<(u32, LinkAddr)> {
    if entries.list("Endpoint").is_empty() {
        let what = if entries.has("Endpoint") { "no value" } else { "missing in [Peer]" };
        findings.error(section.line, "Endpoint", what, "for example Endpoint = !d45b9db8");
    }
    let mut endpoints: Vec<(u32, LinkAddr)> = Vec::new();
    for entry in entries.short_list("Endpoint", MAX_ENDPOINTS, findings) {
        let Some(endpoint) = findings.take(entry, value::endpoint(entry.value)) else { continue };
        match endpoints.iter().find(|(_, other)| *other == endpoint) {
            Some((first, _)) => {
                let what = format!("{endpoint} is there already (line {first})");
                findings.error(entry.line, "Endpoint", what, "each radio once");
            }
            None => endpoints.push((entry.line, endpoint)),
        }
    }
    endpoints
}

/// The keys of the peer's radios, in the order of its endpoints.
fn radio_keys(entries: &Entries<'_, '_>, findings: &mut Findings) -> Vec<[u8; KEY_LEN]> {
    let list = entries.list("RadioPublicKey");
    let radios = entries.list("Endpoint").len();
    if let Some(entry) = list.first()
        && list.len() != radios
    {
        let what = format!("{} of them for {radios} endpoints", list.len());
        findings.error(entry.line, "RadioPublicKey", what, "one for each Endpoint, in the same order");
        return Vec::new();
    }
    let list = entries.short_list("RadioPublicKey", MAX_ENDPOINTS, findings);
    list.into_iter().filter_map(|entry| findings.take(entry, value::radio_key(entry.value))).collect()
}

impl Draft {
    /// The peer; `None` if something required was wrong, which was told.
    pub(super) fn finish(self) -> Option<Peer> {
        let (line, public_key) = self.public_key?;
        let endpoints: Vec<LinkAddr> = self.endpoints.into_iter().map(|(_, endpoint)| endpoint).collect();
        let nodes = endpoints.iter().filter_map(LinkAddr::as_radio).enumerate();
        let contacts =
            nodes.map(|(at, node)| Contact { node, public_key: self.radio_keys.get(at).copied() }).collect();
        let core = PeerConfig {
            public_key,
            preshared_key: self.preshared_key,
            allowed_ips: self.allowed_ips.into_iter().map(|(_, prefix)| prefix).collect(),
            endpoints,
            mode: self.mode,
            keepalive: None,
            bulk_over_metered: true,
        };
        Some(Peer { name: self.name, line, core, contacts })
    }
}
