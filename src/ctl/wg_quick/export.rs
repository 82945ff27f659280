//! A file of `wg-quick` made of a configuration of ours.

use zeroize::Zeroizing;

use super::{Section, Translated, put, sections};

/// Makes a file of `wg-quick` of a configuration; `private_key` is ours, which the file may keep elsewhere, and `more` are
/// `[Peer]` sections beside those of the file.
///
/// # Errors
/// What in the file is no configuration, as a clause that holds no secret.
pub(crate) fn export(text: &str, more: &str, private_key: &str) -> Result<Translated, String> {
    let (sections, more_sections) = (sections(text)?, sections_of_peers(more)?);
    let all = || sections.iter().chain(&more_sections);
    let interface =
        sections.iter().find(|section| section.name == "Interface").ok_or("it has no [Interface]")?;
    let mut made = Translated {
        text: Zeroizing::new(String::with_capacity(text.len() + more.len() + 1024)),
        told: Vec::new(),
    };
    made.text.push_str("[Interface]\n");
    put(&mut made.text, "PrivateKey", private_key);
    put(&mut made.text, "Address", &interface.all("Address").join(", "));
    let links: Vec<_> = sections.iter().filter(|section| section.name == "Link").collect();
    write_link(interface, &links, &mut made);
    if let Some(mtu) = interface.one("MTU") {
        put(&mut made.text, "MTU", mtu);
    }
    for key in ["RunAsUser", "RunAsGroup", "RekeyAfterMessages", "SealingThreads"] {
        if interface.one(key).is_some() {
            made.told.push(format!("{key} is left out: WireGuard has no such thing"));
        }
    }
    for (at, peer) in all().filter(|section| section.name == "Peer").enumerate() {
        write_peer(at + 1, peer, &mut made);
    }
    Ok(made)
}

fn sections_of_peers(text: &str) -> Result<Vec<Section<'_>>, String> {
    Ok(sections(text)?.into_iter().filter(|section| section.name == "Peer").collect())
}

/// Where WireGuard listens: it has one socket on all addresses, so that the first udp link of ours is taken.
fn write_link(interface: &Section<'_>, links: &[&Section<'_>], made: &mut Translated) {
    let own = ["ListenPort", "FwMark"].iter().any(|key| interface.one(key).is_some()).then_some(interface);
    let is_udp = |link: &&&Section<'_>| link.one("Type").is_some_and(|kind| kind.eq_ignore_ascii_case("udp"));
    let mut udp = own.into_iter().chain(links.iter().filter(is_udp).copied());
    if let Some(link) = udp.next() {
        match link.one("ListenPort") {
            // Without one, WireGuard has the kernel choose.
            Some("0") => {}
            port => put(&mut made.text, "ListenPort", port.unwrap_or("51820")),
        }
        if let Some(mark) = link.one("FwMark") {
            put(&mut made.text, "FwMark", mark);
        }
        let more = ["BindToDevice", "Cost"].into_iter().chain((link.name == "Link").then_some("Address"));
        for key in more.filter(|key| link.one(key).is_some()) {
            made.told.push(format!("the link's {key} is left out: WireGuard listens on all addresses"));
        }
    }
    let rest = udp.count();
    if rest > 0 {
        made.told.push(format!("{rest} more udp link(s) are left out: WireGuard has one"));
    }
    let radios = links.iter().filter(|link| !is_udp(link)).count()
        + usize::from(interface.one("MeshtasticConnect").is_some());
    if radios > 0 {
        made.told.push(format!("{radios} radio(s) are left out: WireGuard knows UDP alone"));
    }
}

/// Whether WireGuard can speak to the peer: as the daemon decides where the file does not say.
fn speaks_wireguard(peer: &Section<'_>, endpoints: &[&str]) -> bool {
    let only_radios = !endpoints.is_empty() && endpoints.iter().all(|endpoint| endpoint.starts_with('!'));
    peer.one("PeerMode").map_or(!only_radios, |mode| mode.eq_ignore_ascii_case("WIREGUARD"))
}

fn write_peer(number: usize, peer: &Section<'_>, made: &mut Translated) {
    let name = peer.one("Name");
    let called = name.map_or_else(|| format!("peer {number}"), |name| format!("peer {name}"));
    let endpoints = peer.all("Endpoint");
    if !speaks_wireguard(peer, &endpoints) {
        made.told.push(format!("{called} is left out: it is not spoken to in WireGuard's protocol"));
        return;
    }
    made.text.push_str("\n[Peer]\n");
    if let Some(name) = name {
        made.text.extend(["# ", name, "\n"]);
    }
    for key in ["PublicKey", "PresharedKey"] {
        if let Some(value) = peer.one(key) {
            put(&mut made.text, key, value);
        }
    }
    let (radios, udp): (Vec<&str>, Vec<&str>) =
        endpoints.into_iter().partition(|endpoint| endpoint.starts_with('!'));
    if let Some(endpoint) = udp.first() {
        let plain = endpoint.strip_prefix("udp://").unwrap_or(endpoint);
        put(&mut made.text, "Endpoint", plain.strip_suffix('/').unwrap_or(plain));
    }
    for endpoint in radios.iter().chain(udp.iter().skip(1)) {
        made.told
            .push(format!("{called}: {endpoint} is left out: WireGuard has one endpoint for a peer, of UDP"));
    }
    if let Some(keepalive) = peer.one("PersistentKeepalive") {
        put(&mut made.text, "PersistentKeepalive", keepalive);
    }
    put(&mut made.text, "AllowedIPs", &peer.all("AllowedIPs").join(", "));
}
