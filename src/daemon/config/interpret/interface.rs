//! The `[Interface]` section.

use std::num::NonZeroUsize;

use ipnet::IpNet;
use meshnet_proto::config::REKEY_AFTER_MESSAGES;

use super::super::syntax::Section;
use super::super::{DEFAULT_TAP_NAME, KeySource, value};
use super::Given;
use super::findings::{Entries, Findings};
use super::link::{self, Link};

/// Its keys.
pub(super) const KEYS: &[&str] = &[
    "PrivateKey",
    "PrivateKeyFile",
    "Address",
    "MTU",
    "TapName",
    "MeshtasticConnect",
    "ChannelIndex",
    "HopLimit",
    "RunAsUser",
    "RunAsGroup",
    "RekeyAfterMessages",
    "SealingThreads",
    "ListenPort",
    "FwMark",
    // Those of wg-quick that mean nothing here: each is told apart, by `foreign`.
    "DNS",
    "Table",
    "PreUp",
    "PostUp",
    "PreDown",
    "PostDown",
    "SaveConfig",
];

/// How many addresses we may have.
const MAX_ADDRESSES: usize = 64;

/// What the section says; what is missing or wrong is `None` and told.
pub(super) struct Interface {
    pub key: Option<KeySource>,
    pub addresses: Vec<(u32, IpNet)>,
    /// As written: how long it may be is for the links to say.
    pub mtu: Option<(u32, String)>,
    pub rekey_after_messages: u64,
    pub sealing_threads: Option<NonZeroUsize>,
    pub tap_name: String,
    pub radio: Option<Link>,
    pub udp: Option<Link>,
    pub run_as_user: Option<(u32, String)>,
    pub run_as_group: Option<(u32, String)>,
    pub secret_at: Option<(u32, &'static str)>,
}

/// Reads the section.
pub(super) fn read(section: &Section<'_>, given: Given<'_>, findings: &mut Findings) -> Interface {
    let entries = Entries::new(section, KEYS, findings);
    foreign(&entries, findings);
    let secret = entries.list("PrivateKey").first().map(|entry| (entry.line, "PrivateKey"));
    Interface {
        key: key(&entries, section.line, given, findings),
        addresses: addresses(&entries, section.line, findings),
        mtu: entries.one("MTU", findings).map(|entry| (entry.line, entry.value.to_owned())),
        rekey_after_messages: rekey_after_messages(&entries, findings),
        sealing_threads: sealing_threads(&entries, findings),
        tap_name: tap_name(&entries, given, findings),
        radio: link::radio_of_interface(&entries, findings),
        udp: link::udp_of_interface(&entries, findings),
        run_as_user: run_as(&entries, "RunAsUser", findings),
        run_as_group: run_as(&entries, "RunAsGroup", findings),
        secret_at: secret,
    }
}

/// Tells of the keys that wg-quick has for what is done elsewhere here. What would change where packets go, or was meant to
/// keep them from going, is refused; what is merely not done is warned of.
fn foreign(entries: &Entries<'_, '_>, findings: &mut Findings) {
    for (key, unit) in [
        ("PreUp", "ExecStartPre=+"),
        ("PostUp", "ExecStartPost=+"),
        ("PreDown", "ExecStop=+"),
        ("PostDown", "ExecStopPost=+"),
    ] {
        if let Some(entry) = entries.one(key, findings) {
            let right = format!("{unit} in a drop-in of the unit: \"systemctl edit meshnet@NETWORK\"");
            findings.error(entry.line, key, "no commands are run from here", right);
        }
    }
    if let Some(entry) = entries.one("Table", findings) {
        if entry.value.eq_ignore_ascii_case("auto") {
            let what = "routes are always made, in the main table, preferred least";
            findings.warning(entry.line, "Table", what, "without this key");
        } else {
            let what =
                "routes go to the main table, preferred least (metric 4096), and cannot be kept out of it";
            let right = "AllowedIPs without what is not to be a route; other tables with \"ip rule\" and \"ip route\"";
            findings.error(entry.line, "Table", what, right);
        }
    }
    if let Some(entry) = entries.one("DNS", findings) {
        let right = "\"resolvectl dns NETWORK ADDRESS\", as ExecStartPost=+ in a drop-in of the unit";
        findings.warning(entry.line, "DNS", "the host's resolver is left as it is", right);
    }
    if let Some(entry) = entries.one("SaveConfig", findings) {
        let what = "this file is never written; peers that are added while it runs are kept elsewhere";
        findings.warning(entry.line, "SaveConfig", what, "without this key");
    }
}

/// The interface's name: that of the network, where it was started by name.
fn tap_name(entries: &Entries<'_, '_>, given: Given<'_>, findings: &mut Findings) -> String {
    let entry = entries.one("TapName", findings);
    let named = entry.and_then(|entry| findings.take(entry, value::tap_name(entry.value)));
    if let (Some(entry), Some(named), Some(instance)) = (entry, &named, given.interface)
        && named != instance
    {
        let what = format!("{named} is another name than the network's, which is {instance}");
        findings.error(entry.line, entry.key, what, format!("TapName = {instance}, or no TapName"));
    }
    named.unwrap_or_else(|| given.interface.unwrap_or(DEFAULT_TAP_NAME).to_owned())
}

fn key(entries: &Entries<'_, '_>, line: u32, given: Given<'_>, findings: &mut Findings) -> Option<KeySource> {
    let file = entries.one("PrivateKeyFile", findings);
    let inline = entries.one("PrivateKey", findings);
    // Which of two identities is meant is not for us to guess.
    if let (Some(entry), Some(credential)) = (inline.or(file), given.credential) {
        let what = format!("there is the credential {} too", credential.display());
        findings.error(entry.line, entry.key, what, "one of the two");
        return None;
    }
    match (inline, file) {
        (None, None) if given.credential.is_some() => Some(KeySource::Credential),
        (Some(entry), None) => findings.take(entry, value::key(entry.value)).map(KeySource::Inline),
        (None, Some(entry)) if entry.value.is_empty() => {
            findings.error(
                entry.line,
                entry.key,
                "no value",
                "the path of a file that holds the private key",
            );
            None
        }
        (None, Some(entry)) => Some(KeySource::File { path: entry.value.into(), line: entry.line }),
        (Some(inline), Some(file)) => {
            let what = format!("there is a PrivateKey in line {} too", inline.line);
            findings.error(file.line, file.key, what, "one of the two");
            None
        }
        (None, None) => {
            let right =
                "PrivateKey = (what \"meshctl genkey\" writes), PrivateKeyFile = PATH, or a credential";
            findings.error(line, "PrivateKey", "missing in [Interface]", right);
            None
        }
    }
}

fn addresses(entries: &Entries<'_, '_>, line: u32, findings: &mut Findings) -> Vec<(u32, IpNet)> {
    if entries.list("Address").is_empty() {
        let what = if entries.has("Address") { "no value" } else { "missing in [Interface]" };
        findings.error(line, "Address", what, "for example Address = 10.42.0.1/24");
    }
    let mut addresses: Vec<(u32, IpNet)> = Vec::new();
    for entry in entries.short_list("Address", MAX_ADDRESSES, findings) {
        let Some(address) = findings.take(entry, value::address(entry.value)) else { continue };
        match addresses.iter().find(|(_, other)| other.addr() == address.addr()) {
            Some((first, _)) => {
                let what = format!("{} is there already (line {first})", address.addr());
                findings.error(entry.line, "Address", what, "each address once");
            }
            None => addresses.push((entry.line, address)),
        }
    }
    addresses
}

/// Fewer messages than the reference's keys may live for; more would be beyond what it accepts.
fn rekey_after_messages(entries: &Entries<'_, '_>, findings: &mut Findings) -> u64 {
    /// So few that a handshake's own messages would outnumber them make no session.
    const LEAST: u16 = 16;
    let entry = entries.one("RekeyAfterMessages", findings);
    let number = entry.and_then(|entry| findings.take(entry, value::number(entry.value, LEAST, u16::MAX)));
    number.map_or(REKEY_AFTER_MESSAGES, u64::from)
}

/// On how many threads packets are sealed, if that is not for us to choose.
fn sealing_threads(entries: &Entries<'_, '_>, findings: &mut Findings) -> Option<NonZeroUsize> {
    /// More would each have too little of a row.
    const MOST: u16 = 16;
    let entry = entries.one("SealingThreads", findings)?;
    let number = findings.take(entry, value::number(entry.value, 1, MOST))?;
    NonZeroUsize::new(number.into())
}

/// A user or group, and its line; an empty value is none. Whether it exists is for `load` to see.
fn run_as(entries: &Entries<'_, '_>, key: &str, findings: &mut Findings) -> Option<(u32, String)> {
    let entry = entries.one(key, findings).filter(|entry| !entry.value.is_empty())?;
    let fine =
        entry.value.len() <= 64 && !entry.value.contains(|c: char| c.is_whitespace() || c.is_control());
    let wrong = || ("no name of a user or group".to_owned(), "a name or a number".to_owned());
    findings.take(entry, if fine { Ok((entry.line, entry.value.to_owned())) } else { Err(wrong()) })
}
