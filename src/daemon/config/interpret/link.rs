//! A link: of a `[Link]` section, or of `MeshtasticConnect` or `ListenPort` in `[Interface]`.

use std::net::IpAddr;

use super::super::syntax::Section;
use super::super::value;
use super::findings::{Entries, Findings};
use crate::link::{DEFAULT_PORT, LinkKind, LinkSpec, RadioSpec, UdpSpec};

/// The keys of `[Link]`.
pub(super) const KEYS: &[&str] = &[
    "Name",
    "Type",
    "Connect",
    "ChannelIndex",
    "HopLimit",
    "ListenPort",
    "Address",
    "FwMark",
    "BindToDevice",
    "Cost",
];
/// Those that only a radio has.
const OF_RADIO: [&str; 3] = ["Connect", "ChannelIndex", "HopLimit"];
/// Those that only a udp link has.
const OF_UDP: [&str; 5] = ["ListenPort", "Address", "FwMark", "BindToDevice", "Cost"];

/// The highest channel index of a Meshtastic radio.
const MAX_CHANNEL: u16 = 7;
/// The highest hop limit that a Meshtastic packet can have.
const MAX_HOPS: u16 = 7;
/// How many addresses one udp link may listen on.
const MAX_LISTEN: usize = 1;

/// A link and the line that it is from.
pub(super) struct Link {
    pub line: u32,
    pub spec: LinkSpec,
}

/// What carries a link, as `Type` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Meshtastic,
    Udp,
}

/// Reads a `[Link]` section, which `earlier` others precede.
pub(super) fn read(section: &Section<'_>, earlier: usize, findings: &mut Findings) -> Option<Link> {
    let entries = Entries::new(section, KEYS, findings);
    let name = entries.one("Name", findings);
    let name = name.and_then(|entry| findings.take(entry, value::name(entry.value)));
    let kind = match kind(&entries, section.line, findings)? {
        Type::Meshtastic => {
            // Both are read before a missing Connect ends it, so that all that is wrong is told.
            let (channel_index, hop_limit) = air(&entries, findings);
            let entry = entries.required("Connect", "tcp://192.0.2.7", findings)?;
            let connect = findings.take(entry, value::connect(entry.value))?;
            LinkKind::Meshtastic(RadioSpec { connect, channel_index, hop_limit })
        }
        Type::Udp => LinkKind::Udp(udp(&entries, findings)?),
    };
    let prefix = if matches!(kind, LinkKind::Udp(_)) { "udp" } else { "radio" };
    let name = name.unwrap_or_else(|| format!("{prefix}{}", earlier + 1));
    Some(Link { line: section.line, spec: LinkSpec { name, kind } })
}

/// What carries the link of a `[Link]` section: a radio unless it says otherwise.
fn kind(entries: &Entries<'_, '_>, line: u32, findings: &mut Findings) -> Option<Type> {
    let kind = match entries.one("Type", findings) {
        Some(entry) => findings.take(entry, link_type(entry.value))?,
        None if !entries.has("Connect")
            && let Some(key) = OF_UDP.iter().find(|key| entries.has(key)) =>
        {
            let what = format!("missing in [Link], which has {key}");
            findings.error(line, "Type", what, "Type = udp, or Connect for a radio");
            return None;
        }
        None => Type::Meshtastic,
    };
    let (foreign, right): (&[&str], _) = match kind {
        Type::Meshtastic => (&OF_UDP, "Type = udp for a link over IP networks, or without this key"),
        Type::Udp => (&OF_RADIO, "Type = meshtastic for a radio, or without this key"),
    };
    for key in foreign {
        if let Some(entry) = entries.one(key, findings) {
            let what = if kind == Type::Udp { "a udp link has none" } else { "a radio has none" };
            findings.error(entry.line, key, what, right);
        }
    }
    Some(kind)
}

fn link_type(text: &str) -> Result<Type, value::Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "meshtastic" => Ok(Type::Meshtastic),
        "udp" => Ok(Type::Udp),
        _ => {
            let what = format!("{} is no type of a link", super::super::error::quoted(text));
            Err((what, "meshtastic or udp".to_owned()))
        }
    }
}

/// Reads the radio that `[Interface]` names, if it does.
pub(super) fn radio_of_interface(entries: &Entries<'_, '_>, findings: &mut Findings) -> Option<Link> {
    let (channel_index, hop_limit) = air(entries, findings);
    let Some(entry) = entries.one("MeshtasticConnect", findings) else {
        for key in ["ChannelIndex", "HopLimit"] {
            if let Some(entry) = entries.list(key).first() {
                findings.error(
                    entry.line,
                    key,
                    "without MeshtasticConnect",
                    "in the [Link] section that it is for",
                );
            }
        }
        return None;
    };
    let connect = findings.take(entry, value::connect(entry.value))?;
    let kind = LinkKind::Meshtastic(RadioSpec { connect, channel_index, hop_limit });
    Some(Link { line: entry.line, spec: LinkSpec { name: "radio0".to_owned(), kind } })
}

/// Reads the udp link that `[Interface]` asks for as WireGuard's files do, if it does.
pub(super) fn udp_of_interface(entries: &Entries<'_, '_>, findings: &mut Findings) -> Option<Link> {
    let line = ["ListenPort", "FwMark"].into_iter().filter_map(|key| entries.line_of(key)).min()?;
    let kind = LinkKind::Udp(udp(entries, findings)?);
    Some(Link { line, spec: LinkSpec { name: "udp0".to_owned(), kind } })
}

fn air(entries: &Entries<'_, '_>, findings: &mut Findings) -> (u8, Option<u8>) {
    let mut number = |key, most| {
        let entry = entries.one(key, findings)?;
        let number = findings.take(entry, value::number(entry.value, 0, most))?;
        u8::try_from(number).ok()
    };
    (number("ChannelIndex", MAX_CHANNEL).unwrap_or(0), number("HopLimit", MAX_HOPS))
}

/// What a udp link is made of; `None` if something was wrong, once all of it is told.
fn udp(entries: &Entries<'_, '_>, findings: &mut Findings) -> Option<UdpSpec> {
    let port = entries
        .one("ListenPort", findings)
        .map_or(Some(DEFAULT_PORT), |entry| findings.take(entry, value::number(entry.value, 0, u16::MAX)));
    let fwmark = entries
        .one("FwMark", findings)
        .map_or(Some(None), |entry| findings.take(entry, value::fwmark(entry.value)));
    // The addresses in [Interface] are those of the network, not of the link.
    let of_interface = entries.section() == "Interface";
    let listen = if of_interface { Some(Vec::new()) } else { listen(entries, findings) };
    let one = |key, findings: &mut Findings| if of_interface { None } else { entries.one(key, findings) };
    let device = one("BindToDevice", findings)
        .map_or(Some(None), |entry| findings.take(entry, value::device(entry.value)).map(Some));
    let cost = one("Cost", findings).map_or(Some(None), |entry| {
        let cost = findings.take(entry, value::number(entry.value, 0, u16::MAX));
        cost.map(|cost| Some(u32::from(cost)))
    });
    Some(UdpSpec { listen: listen?, port: port?, fwmark: fwmark?, device: device?, cost: cost? })
}

fn listen(entries: &Entries<'_, '_>, findings: &mut Findings) -> Option<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    let mut fine = true;
    for entry in entries.short_list("Address", MAX_LISTEN, findings) {
        let Some(address) = findings.take(entry, value::listen(entry.value)) else {
            fine = false;
            continue;
        };
        if addresses.contains(&address) {
            findings.error(entry.line, "Address", format!("{address} is there already"), "each address once");
        } else {
            addresses.push(address);
        }
    }
    fine.then_some(addresses)
}
