//! A radio: of a `[Link]` section, or of `MeshtasticConnect` in `[Interface]`.

use super::super::syntax::Section;
use super::super::value;
use super::findings::{Entries, Findings};
use crate::link::LinkSpec;

/// The keys of `[Link]`.
pub(super) const KEYS: &[&str] = &["Name", "Connect", "ChannelIndex", "HopLimit"];

/// The highest channel index of a Meshtastic radio.
const MAX_CHANNEL: u16 = 7;
/// The highest hop limit that a Meshtastic packet can have.
const MAX_HOPS: u16 = 7;

/// A radio and the line that it is from.
pub(super) struct Link {
    pub line: u32,
    pub spec: LinkSpec,
}

/// Reads a `[Link]` section, which `earlier` others precede.
pub(super) fn read(section: &Section<'_>, earlier: usize, findings: &mut Findings) -> Option<Link> {
    let entries = Entries::new(section, KEYS, findings);
    let name = entries.one("Name", findings);
    let name = name.and_then(|entry| findings.take(entry, value::name(entry.value)));
    let name = name.unwrap_or_else(|| format!("radio{}", earlier + 1));
    // Both are read before a missing Connect ends it, so that all that is wrong is told.
    let (channel_index, hop_limit) = air(&entries, findings);
    let entry = entries.required("Connect", "tcp://192.0.2.7", findings)?;
    let connect = findings.take(entry, value::connect(entry.value))?;
    let spec = LinkSpec { name, connect, channel_index, hop_limit };
    Some(Link { line: section.line, spec })
}

/// Reads the radio that `[Interface]` names, if it does.
pub(super) fn of_interface(entries: &Entries<'_, '_>, findings: &mut Findings) -> Option<Link> {
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
    let name = "radio0".to_owned();
    Some(Link { line: entry.line, spec: LinkSpec { name, connect, channel_index, hop_limit } })
}

fn air(entries: &Entries<'_, '_>, findings: &mut Findings) -> (u8, Option<u8>) {
    let mut number = |key, most| {
        let entry = entries.one(key, findings)?;
        let number = findings.take(entry, value::number(entry.value, 0, most))?;
        u8::try_from(number).ok()
    };
    (number("ChannelIndex", MAX_CHANNEL).unwrap_or(0), number("HopLimit", MAX_HOPS))
}
