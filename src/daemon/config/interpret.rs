//! Puts sections together to a [`Config`], and checks what single values cannot show: what is missing, what is given
//! twice, what contradicts.
//!
//! A key that takes one value and is given again is a warning and the last one counts, as with the Python tool and `wg`;
//! `Address`, `AllowedIPs`, `Endpoint` and `RadioPublicKey` take several, on one line with commas or on several lines.
//!
//! A peer is read by itself, and judged once all links are known: which protocol it speaks, if the file does not say, and
//! whether anything reaches it, depends on them.

mod findings;
mod interface;
mod link;
mod peer;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use meshnet_proto::link::AddrKind;

use self::findings::Findings;
use self::interface::Interface;
use self::peer::Reach;
pub(crate) use self::peer::contacts;
use super::endpoint::Endpoint;
use super::syntax::{self, Section, Stray};
use super::{Config, ConfigError, IPV6_MTU, KeySource, Peer, Severity, TERSE_MTU, UDP_MTU, value};
use crate::link::{LinkKind, LinkSpec};

/// How many sections a file may have: far more than a radio channel can serve.
const MAX_SECTIONS: usize = 1024;

/// How many links a host may have: a radio for each channel that a mesh can have, and more.
const MAX_LINKS: usize = 16;

/// What a text says, as far as it can be told.
pub(super) struct Reading {
    /// The configuration, if nothing is wrong with it.
    pub config: Option<Config>,
    /// What is wrong, and what deserves a look, in the order of lines.
    pub findings: Vec<ConfigError>,
    /// The private key's own file, and the line that names it.
    pub key_file: Option<(PathBuf, u32)>,
    /// The line that names the user to become, and the one that names the group.
    pub run_as: [Option<(u32, String)>; 2],
    /// The line of the first secret in the text, with its key: why the file's permissions matter.
    pub secret_at: Option<(u32, &'static str)>,
}

impl Reading {
    /// A text that makes no network.
    fn nothing(findings: Findings, secret_at: Option<(u32, &'static str)>) -> Self {
        Self { config: None, findings: findings.finish(), key_file: None, run_as: [None, None], secret_at }
    }
}

/// Reads a configuration from its text; `name` is what messages call the file.
///
/// # Errors
/// Everything that is wrong with it, and the warnings, in the order of lines.
pub fn parse(name: &str, text: &str) -> Result<Config, Vec<ConfigError>> {
    let Reading { config, findings, .. } = read(name, text, Given::default());
    config.map(|config| Config { warnings: findings.clone(), ..config }).ok_or(findings)
}

/// What the network was given beside its text.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Given<'a> {
    /// The name that the interface must have; the text may leave it out.
    pub interface: Option<&'a str>,
    /// The file of the credential that holds the private key.
    pub credential: Option<&'a Path>,
}

/// Reads a text that has nothing but `[Peer]` sections; `name` is what messages call the file.
///
/// # Errors
/// Everything that is wrong with it, in the order of lines.
pub fn parse_peers(name: &str, text: &str) -> Result<Vec<Peer>, Vec<ConfigError>> {
    let mut findings = Findings::new(name);
    let (sections, strays) = syntax::sections(text);
    for (line, stray) in strays {
        tell_stray(&mut findings, line, stray);
    }
    if sections.len() > MAX_SECTIONS {
        findings.whole(format!("{} sections", sections.len()), format!("at most {MAX_SECTIONS}"));
    }
    let mut peers = Vec::new();
    for section in sections.iter().take(MAX_SECTIONS) {
        match section.name {
            "Peer" => peers.push(peer::read(section, &mut findings)),
            name => {
                let what = format!("unknown section {}", super::error::quoted(name));
                findings.section(section, what, "nothing but [Peer]");
            }
        }
    }
    // Who contradicts whom, and what no link reaches, is the reader's to settle: the file outlives changes of the
    // configuration.
    peers.iter().for_each(|peer: &peer::Draft| peer.check(None, &mut findings));
    let findings = findings.finish();
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(findings);
    }
    Ok(peers.into_iter().filter_map(|peer| peer.finish(None)).collect())
}

/// Reads a configuration from its text, and all that can be said of a wrong one.
pub(super) fn read(name: &str, text: &str, given: Given<'_>) -> Reading {
    let mut findings = Findings::new(name);
    let (sections, strays) = syntax::sections(text);
    for (line, stray) in strays {
        tell_stray(&mut findings, line, stray);
    }
    if sections.len() > MAX_SECTIONS {
        let right = format!("at most {MAX_SECTIONS}");
        findings.whole(format!("{} sections", sections.len()), right);
        return Reading::nothing(findings, None);
    }

    let mut interface: Option<(u32, Interface)> = None;
    let mut links = Vec::new();
    // Of links that could not be read nothing follows.
    let mut all_links = true;
    let mut peers = Vec::new();
    for section in &sections {
        match section.name {
            "Interface" => match &interface {
                Some((first, _)) => {
                    findings.section(
                        section,
                        format!("a second [Interface] (the first is in line {first})"),
                        "one",
                    );
                }
                None => interface = Some((section.line, interface::read(section, given, &mut findings))),
            },
            "Link" => match link::read(section, links.len(), &mut findings) {
                Some(link) => links.push(link),
                None => all_links = false,
            },
            "Peer" => peers.push(peer::read(section, &mut findings)),
            _ => tell_unknown_section(&mut findings, section),
        }
    }

    let Some((line, interface)) = interface else {
        findings.whole(
            "no [Interface] section",
            "one, with PrivateKey, Address and MeshtasticConnect or ListenPort",
        );
        let secret_at = first_secret(None, &peers);
        return Reading::nothing(findings, secret_at);
    };
    build(line, interface, Links { read: links, all: all_links }, peers, findings)
}

/// The links of `[Link]` sections.
struct Links {
    read: Vec<link::Link>,
    /// Whether none was wrong.
    all: bool,
}

/// Every key that there is.
#[cfg(test)]
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    [interface::KEYS, link::KEYS, peer::KEYS].into_iter().flatten().copied()
}

/// Joins the sections. What a missing or wrong value leaves out was told already, so that everything else can still be
/// checked.
fn build(
    line: u32,
    mut interface: Interface,
    links: Links,
    peers: Vec<peer::Draft>,
    mut findings: Findings,
) -> Reading {
    let secret_at = first_secret(interface.secret_at, &peers);
    let key_file = match &interface.key {
        Some(KeySource::File { path, line }) => Some((path.clone(), *line)),
        Some(KeySource::Inline(_) | KeySource::Credential) | None => None,
    };
    if peers.is_empty() {
        // No error: peers are also added over the bus, and a network begins with none.
        let right = "a [Peer] section, or \"meshctl join\" or \"meshctl peer add\" once it runs";
        findings.whole_warning("no [Peer] section", right);
    }
    let all_links = links.all
        && !["MeshtasticConnect", "ListenPort", "FwMark"].iter().any(|key| findings.has_line_error(key));
    let first = interface.radio.take().into_iter().chain(interface.udp.take());
    let links = join_links(line, first.chain(links.read).collect(), all_links, &mut findings);
    let reaches = |kind| links.iter().any(|link| link.kind.reaches() == kind);
    let reach = Reach { radio: reaches(AddrKind::Radio), udp: reaches(AddrKind::Udp) };
    let mtu = check_mtu(&interface, reach, &peers, &mut findings);
    let own = match &interface.key {
        Some(KeySource::Inline(key)) => Some(key.public()),
        Some(KeySource::File { .. } | KeySource::Credential) | None => None,
    };
    check_peers(&peers, own, &mut findings);
    let reach = Some(reach).filter(|_| all_links && !links.is_empty());
    peers.iter().for_each(|peer| peer.check(reach, &mut findings));
    let peers: Vec<Peer> = peers.into_iter().filter_map(|peer| peer.finish(reach)).collect();

    let findings = findings.finish();
    let fine = findings.iter().all(|finding| finding.severity == Severity::Warning);
    let run_as = [interface.run_as_user, interface.run_as_group];
    let [user, group] = run_as.clone().map(|named| named.map(|(_, name)| name));
    let config = interface.key.filter(|_| fine).map(|key| Config {
        key,
        addresses: interface.addresses.into_iter().map(|(_, address)| address).collect(),
        mtu,
        rekey_after_messages: interface.rekey_after_messages,
        sealing_threads: interface.sealing_threads,
        tap_name: interface.tap_name,
        run_as_user: user,
        run_as_group: group,
        links,
        peers,
        warnings: Vec::new(),
    });
    Reading { config, findings, key_file, run_as, secret_at }
}

/// The line of the first secret, with its key.
fn first_secret(
    interface: Option<(u32, &'static str)>,
    peers: &[peer::Draft],
) -> Option<(u32, &'static str)> {
    let secrets = interface.into_iter().chain(peers.iter().filter_map(|peer| peer.secret_at));
    secrets.min_by_key(|(line, _)| *line)
}

/// The least MTU of IPv4 (RFC 791).
const MIN_MTU: u16 = 68;
/// The most where there are radios only: an Ethernet frame's. A radio takes half a minute and more for one of these.
const MAX_MTU: u16 = 1500;
/// The most with a udp link: what networks with jumbo frames carry.
const MAX_UDP_MTU: u16 = 9000;

/// The MTU; the kernel speaks no IPv6 on an interface below [`IPV6_MTU`].
///
/// With a udp link it is that link's, radios or no radios: the interface has one MTU for all peers, a packet that is too
/// long for a radio's datagram is cut up by us, while one that is short for UDP costs speed with every packet.
fn check_mtu(interface: &Interface, reach: Reach, peers: &[peer::Draft], findings: &mut Findings) -> u16 {
    let is_v6 = |network: &IpNet| matches!(network.addr(), IpAddr::V6(_));
    let first_v6 = interface.addresses.iter().find(|(_, address)| is_v6(address));
    let most = if reach.udp { MAX_UDP_MTU } else { MAX_MTU };
    let given = interface.mtu.as_ref().and_then(|(line, text)| {
        let read = value::number(text, MIN_MTU, most);
        let mtu = read.map_err(|(what, right)| findings.error(*line, "MTU", what, right));
        Some((*line, mtu.ok()?))
    });
    let Some((mtu_line, mtu)) = given else {
        let mtu = match () {
            () if reach.udp => UDP_MTU,
            () if !peers.is_empty() && peers.iter().all(|peer| peer.is_wireguard(reach)) => TERSE_MTU,
            () if first_v6.is_some() => IPV6_MTU,
            () => super::DEFAULT_MTU,
        };
        if mtu < IPV6_MTU {
            warn_v6_routes(peers, &is_v6, mtu, findings);
        }
        return mtu;
    };
    if mtu < IPV6_MTU {
        match first_v6 {
            Some((line, _)) => findings.error(
                mtu_line,
                "MTU",
                format!("{mtu} bytes are too few for the IPv6 address in line {line}"),
                format!("at least {IPV6_MTU} (RFC 8200), or no IPv6 address"),
            ),
            None => warn_v6_routes(peers, &is_v6, mtu, findings),
        }
    }
    mtu
}

fn warn_v6_routes(peers: &[peer::Draft], is_v6: &dyn Fn(&IpNet) -> bool, mtu: u16, findings: &mut Findings) {
    let first = peers.iter().flat_map(|peer| &peer.allowed_ips).find(|(_, prefix)| is_v6(prefix));
    if let Some((line, prefix)) = first {
        let what = format!("{prefix} is of no use: an interface with an MTU of {mtu} speaks no IPv6");
        findings.warning(
            *line,
            "AllowedIPs",
            what,
            format!("MTU = {IPV6_MTU} and an IPv6 Address in [Interface]"),
        );
    }
}

/// What may appear at one peer only.
fn check_peers(peers: &[peer::Draft], own: Option<meshnet_proto::key::PublicKey>, findings: &mut Findings) {
    let mut keys = BTreeMap::new();
    let mut prefixes: BTreeMap<IpNet, (usize, u32)> = BTreeMap::new();
    let mut endpoints: BTreeMap<&Endpoint, (usize, u32)> = BTreeMap::new();
    for (index, peer) in peers.iter().enumerate() {
        if let Some((line, key)) = peer.public_key {
            if Some(key) == own {
                findings.error(line, "PublicKey", "our own public key", "the public key of the peer");
            }
            if let Some(first) = keys.insert(key, line) {
                let what = format!("the same public key as in line {first}");
                findings.error(line, "PublicKey", what, "each peer in one section, with its own key");
            }
        }
        for &(line, prefix) in &peer.allowed_ips {
            let (owner, first) = *prefixes.entry(prefix).or_insert((index, line));
            if owner != index {
                let what = format!("{prefix} is another peer's already (line {first})");
                findings.error(line, "AllowedIPs", what, "each prefix at one peer");
            }
        }
        for (line, endpoint) in &peer.endpoints {
            let (line, endpoint) = (*line, endpoint);
            let (owner, first) = *endpoints.entry(endpoint).or_insert((index, line));
            if owner != index {
                let what = format!("{endpoint} is another peer's already (line {first})");
                findings.error(line, "Endpoint", what, "each endpoint at one peer");
            }
        }
    }
}

/// The radio of `MeshtasticConnect` first, then the udp link of `ListenPort`, then those of `[Link]` sections; no name, no
/// radio and no port twice.
fn join_links(
    line: u32,
    mut links: Vec<link::Link>,
    all_read: bool,
    findings: &mut Findings,
) -> Vec<LinkSpec> {
    if let Some(link) = links.get(MAX_LINKS) {
        findings.error(
            link.line,
            "Connect",
            format!("{} links", links.len()),
            format!("at most {MAX_LINKS}"),
        );
        links.truncate(MAX_LINKS);
    }
    if links.is_empty() && all_read {
        let right = "MeshtasticConnect for a radio or ListenPort for UDP here, or a [Link] section";
        findings.error(line, "MeshtasticConnect", "no link", right);
    }
    for (index, link) in links.iter().enumerate() {
        for earlier in &links[..index] {
            if earlier.spec.name == link.spec.name {
                let what =
                    format!("\"{}\" is the name of another link (line {})", link.spec.name, earlier.line);
                findings.error(link.line, "Name", what, "a name for each");
            }
            match (&earlier.spec.kind, &link.spec.kind) {
                (LinkKind::Meshtastic(first), LinkKind::Meshtastic(second))
                    if first.connect == second.connect =>
                {
                    let what = format!("the same radio as in line {}", earlier.line);
                    findings.error(link.line, "Connect", what, "each radio once: it serves one client");
                }
                (LinkKind::Udp(first), LinkKind::Udp(second)) if second.collides(first) => {
                    let what = format!("the port is taken by the link in line {}", earlier.line);
                    let right = "another port, address or interface, or ListenPort = 0 for any free port";
                    findings.error(link.line, "ListenPort", what, right);
                }
                _ => {}
            }
        }
    }
    links.into_iter().map(|link| link.spec).collect()
}

fn tell_stray(findings: &mut Findings, line: u32, stray: Stray) {
    let (what, right) = match stray {
        Stray::BadHeader => ("no section header", "[Interface], [Link] or [Peer], alone on its line"),
        Stray::NoEquals => {
            ("neither a section, a \"Key = value\" nor a comment", "\"#\" before what is a comment")
        }
        Stray::BeforeSection => ("before the first section", "[Interface] comes before its keys"),
    };
    findings.line(line, what, right);
}

fn tell_unknown_section(findings: &mut Findings, section: &Section<'_>) {
    const SECTIONS: [&str; 3] = ["Interface", "Link", "Peer"];
    let right = match findings::nearest(section.name, SECTIONS) {
        Some(name) => format!("did you mean [{name}]?"),
        None => "[Interface], [Link] or [Peer]".to_owned(),
    };
    findings.section(section, format!("unknown section {}", super::error::quoted(section.name)), &right);
}
