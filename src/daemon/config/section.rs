//! Writes a `[Peer]` section: what [`super::parse_peers`] reads.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshnet_proto::config::PeerMode;
use zeroize::Zeroizing;

use super::Peer;

/// Room for a section with one value in each list; longer lists make it grow, before the secret is in it.
const USUAL_LEN: usize = 512;

/// Returns the peer as a section of a configuration file. It may hold a secret.
#[must_use]
pub fn peer_section(peer: &Peer) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(USUAL_LEN));
    let core = &peer.core;
    text.push_str("[Peer]\n");
    if let Some(name) = &peer.name {
        line(&mut text, "Name", name);
    }
    line(&mut text, "PublicKey", &core.public_key.to_string());
    match core.mode {
        // What radios suggest by themselves; any other mode is said, whatever the reader would make of the endpoints.
        PeerMode::Pki => {}
        PeerMode::Symmetric => line(&mut text, "PeerMode", "SYMMETRIC"),
        PeerMode::Wireguard => line(&mut text, "PeerMode", "WIREGUARD"),
    }
    line(&mut text, "AllowedIPs", &joined(core.allowed_ips.iter().map(ToString::to_string)));
    // A peer that comes to us has none.
    if core.endpoints.len() + peer.names.len() > 0 {
        line(&mut text, "Endpoint", &joined(peer.endpoints().map(|endpoint| endpoint.to_string())));
    }
    if let Some(seconds) = peer.keepalive {
        line(&mut text, "PersistentKeepalive", &seconds.to_string());
    }
    if let Some(bulk) = peer.bulk {
        line(&mut text, "BulkOverRadio", if bulk { "yes" } else { "no" });
    }
    let radio_keys: Vec<_> = peer.contacts.iter().filter_map(|contact| contact.public_key).collect();
    if !radio_keys.is_empty() && radio_keys.len() == peer.contacts.len() {
        line(&mut text, "RadioPublicKey", &joined(radio_keys.iter().map(|key| STANDARD.encode(key))));
    }
    if let Some(psk) = &core.preshared_key {
        // A text that grows leaves a copy of what it held behind.
        text.reserve_exact(USUAL_LEN);
        line(&mut text, "PresharedKey", &psk.to_base64());
    }
    text
}

fn line(text: &mut String, key: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{key} = {value}");
}

fn joined(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<_>>().join(", ")
}
