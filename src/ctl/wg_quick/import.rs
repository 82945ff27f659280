//! A configuration of ours made of a file of `wg-quick`.

use std::collections::BTreeMap;

use ipnet::IpNet;
use meshnet_bus::names::Instance;
use meshnet_proto::key::{PresharedKey, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::{Entry, Section, Translated, put, sections};
use crate::invitation;

/// The keys of a peer that mean here what they mean there, in the order in which they are written.
const OF_PEER: [&str; 4] = ["PublicKey", "PresharedKey", "Endpoint", "PersistentKeepalive"];

/// Makes a configuration of a file of `wg-quick`.
///
/// # Errors
/// What in the file is no file of `wg-quick`, as a clause that holds no secret.
pub(crate) fn import(network: &Instance, text: &str) -> Result<Translated, String> {
    let sections = sections(text)?;
    let named = |section: &&Section<'_>, name: &str| section.name.eq_ignore_ascii_case(name);
    let interfaces: Vec<_> = sections.iter().filter(|section| named(section, "Interface")).collect();
    let [interface] = interfaces.as_slice() else {
        return Err(format!("it has {} [Interface] sections, and one is wanted", interfaces.len()));
    };
    if let Some(other) =
        sections.iter().find(|section| !named(section, "Interface") && !named(section, "Peer"))
    {
        let name: String = other.name.chars().take(16).flat_map(char::escape_debug).collect();
        return Err(format!("it has a section [{name}], which WireGuard does not know"));
    }
    let peers: Vec<_> = sections.iter().filter(|section| named(section, "Peer")).collect();
    let mut made =
        Translated { text: Zeroizing::new(String::with_capacity(text.len() + 1024)), told: Vec::new() };
    write_interface(network, interface, &mut made)?;
    let owners = owners(&peers);
    for (at, peer) in peers.iter().enumerate() {
        write_peer(at, peer, &owners, &mut made)?;
    }
    Ok(made)
}

fn write_interface(network: &Instance, interface: &Section<'_>, made: &mut Translated) -> Result<(), String> {
    let private = interface.entry("PrivateKey").ok_or("its [Interface] has no PrivateKey")?;
    check::<PrivateKey>(private)?;
    let addresses = interface.all("Address");
    if addresses.is_empty() {
        return Err("its [Interface] has no Address: is it a file for \"wg setconf\", not for \"wg-quick\"?"
            .to_owned());
    }
    made.text.push_str("# See meshnet.conf(5).\n[Interface]\n");
    put(&mut made.text, "TapName", network.as_str());
    put(&mut made.text, "PrivateKey", private.value);
    put(&mut made.text, "Address", &plain(&addresses.join(", "), "Address")?);
    // Without one, WireGuard has the kernel choose.
    let port = interface.one("ListenPort").unwrap_or("0");
    put(&mut made.text, "ListenPort", &plain(port, "ListenPort")?);
    for key in ["FwMark", "MTU"] {
        if let Some(value) = interface.one(key) {
            put(&mut made.text, key, &plain(value, key)?);
        }
    }
    for entry in &interface.entries {
        made.told.extend(left_out(entry));
    }
    Ok(())
}

/// What is said of a key of `[Interface]` that is not taken over.
fn left_out(entry: &Entry<'_>) -> Option<String> {
    let is = |key: &str| entry.key.eq_ignore_ascii_case(key);
    let instead = match () {
        () if ["PrivateKey", "Address", "ListenPort", "FwMark", "MTU"].into_iter().any(is) => return None,
        () if is("DNS") => {
            "the host's resolver is left as it is: \"resolvectl dns\", as ExecStartPost=+ in a drop-in of the unit"
        }
        () if is("Table") && entry.value.eq_ignore_ascii_case("auto") => return None,
        () if is("Table") => "routes go to the main table: leave out of AllowedIPs what is to be no route",
        () if ["PreUp", "PostUp", "PreDown", "PostDown"].into_iter().any(is) => {
            "no commands are run: ExecStartPre=+, ExecStartPost=+, ExecStop=+ or ExecStopPost=+ in a drop-in of the unit"
        }
        () if is("SaveConfig") && entry.value.eq_ignore_ascii_case("false") => return None,
        () if is("SaveConfig") => "the file is never written; \"meshctl peer add\" keeps peers elsewhere",
        () => "it has no counterpart",
    };
    Some(format!("line {}: {} is left out: {instead}", entry.line, shown(entry.key)))
}

/// The peer whom each prefix belongs to: with WireGuard, the last one that claims it.
fn owners(peers: &[&Section<'_>]) -> BTreeMap<IpNet, usize> {
    let claims = peers.iter().enumerate().flat_map(|(at, peer)| {
        peer.all("AllowedIPs").into_iter().filter_map(prefix).map(move |prefix| (prefix, at))
    });
    claims.collect()
}

fn prefix(text: &str) -> Option<IpNet> {
    let single = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
    text.parse::<IpNet>().ok().or_else(single).map(|network| network.trunc())
}

fn write_peer(
    at: usize,
    peer: &Section<'_>,
    owners: &BTreeMap<IpNet, usize>,
    made: &mut Translated,
) -> Result<(), String> {
    let number = at + 1;
    let key = peer.entry("PublicKey").ok_or_else(|| format!("its peer number {number} has no PublicKey"))?;
    check::<PublicKey>(key)?;
    if let Some(psk) = peer.entry("PresharedKey") {
        check::<PresharedKey>(psk)?;
    }
    made.text.push_str("\n[Peer]\n");
    if let Some(name) = peer.comment.and_then(invitation::name) {
        put(&mut made.text, "Name", &name);
    }
    for key in OF_PEER {
        if let Some(value) = peer.one(key) {
            put(&mut made.text, key, &plain(value, key)?);
        }
    }
    // Said, for a radio that is added later must not change how the peer is spoken to.
    put(&mut made.text, "PeerMode", "WIREGUARD");
    let mut allowed = Vec::new();
    for text in peer.all("AllowedIPs") {
        let Some(prefix) = prefix(text) else {
            return Err(format!("an AllowedIPs of its peer number {number} is no prefix"));
        };
        if owners.get(&prefix) != Some(&at) {
            made.told.push(format!(
                "peer {number}: {prefix} is left out: a later peer has it, who gets it from WireGuard too"
            ));
        } else if !allowed.contains(&prefix.to_string()) {
            allowed.push(prefix.to_string());
            if prefix.prefix_len() == 0 {
                made.told.push(format!(
                    "peer {number}: {prefix} is a route that is preferred least here: what has another way takes that"
                ));
            }
        }
    }
    put(&mut made.text, "AllowedIPs", &allowed.join(", "));
    for entry in &peer.entries {
        let known = OF_PEER.into_iter().chain(["AllowedIPs"]).any(|key| entry.key.eq_ignore_ascii_case(key));
        if !known {
            let key = shown(entry.key);
            made.told.push(format!("line {}: {key} is left out: it has no counterpart", entry.line));
        }
    }
    Ok(())
}

/// That the value is a key.
fn check<K: std::str::FromStr>(entry: Entry<'_>) -> Result<(), String> {
    let wrong = |_| format!("the {} in line {} is no key", shown(entry.key), entry.line);
    entry.value.parse::<K>().map(drop).map_err(wrong)
}

/// A value that cannot be more than one.
fn plain(value: &str, key: &str) -> Result<String, String> {
    if value.len() > 16 * 1024 || value.chars().any(char::is_control) {
        return Err(format!("its {key} makes no sense"));
    }
    Ok(value.to_owned())
}

/// A key as a message may show it: what is longer than any key might be a secret that lost its own.
fn shown(key: &str) -> String {
    if key.len() > 20 || !key.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return "something".to_owned();
    }
    key.to_owned()
}
