//! Which peer is meant by a word: a name, a key or its beginning, an address, an endpoint.

use std::net::IpAddr;

use meshnet_bus::describe::{Network, Peer};
use meshnet_proto::key::PublicKey;

use crate::error::Error;
use crate::exit::Exit;
use crate::render::network::peer_name;

/// The shortest beginning of a key that counts as one.
const MIN_PREFIX: usize = 4;

/// The peer that a word means. A name counts before everything else, so that nobody's key or address can hide it.
///
/// # Errors
/// If it means none, or several.
pub(crate) fn peer<'n>(network: &'n Network, word: &str) -> Result<&'n Peer, Error> {
    let ways: [fn(&Peer, &str) -> bool; 3] = [
        |peer, word| peer.name.as_deref() == Some(word),
        |peer, word| peer.public_key == word || has_address(peer, word) || has_endpoint(peer, word),
        |peer, word| word.len() >= MIN_PREFIX && peer.public_key.starts_with(word),
    ];
    for way in ways {
        let found: Vec<&Peer> =
            network.peers.iter().filter(|peer| !word.is_empty() && way(peer, word)).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one),
            several => {
                let list: Vec<String> = several.iter().map(|peer| label(peer)).collect();
                return Err(Error::usage(format!("\"{word}\" means several peers of {}", network.interface))
                    .because(list.join(", "))
                    .hint("name one by its whole public key"));
            }
        }
    }
    let names: Vec<String> = network.peers.iter().take(20).map(peer_name).collect();
    let hint = if names.is_empty() {
        format!("{} has no peers; \"meshctl peer add\" and \"meshctl join\" add them", network.interface)
    } else {
        format!("{} has: {}", network.interface, names.join(", "))
    };
    Err(Error::new(Exit::NoSuchObject, format!("{} has no peer \"{word}\"", network.interface)).hint(hint))
}

/// The peer's public key.
///
/// # Errors
/// If the daemon said something else.
pub(crate) fn key(peer: &Peer) -> Result<PublicKey, Error> {
    peer.public_key
        .parse()
        .map_err(|_| Error::failure(format!("the daemon calls this a public key: {}", peer.public_key)))
}

fn label(peer: &Peer) -> String {
    match &peer.name {
        Some(name) => format!("{name} ({})", peer.public_key),
        None => peer.public_key.clone(),
    }
}

/// Whether it is the peer's own address: the host part of one of its prefixes, with or without the length.
fn has_address(peer: &Peer, word: &str) -> bool {
    let host = |text: &str| text.split('/').next().unwrap_or_default().parse::<IpAddr>().ok();
    let Some(wanted) = host(word) else { return false };
    peer.allowed_ips.iter().any(|prefix| host(prefix) == Some(wanted))
}

fn has_endpoint(peer: &Peer, word: &str) -> bool {
    peer.endpoints.iter().chain(&peer.endpoint).any(|endpoint| endpoint.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        let peer = |name: Option<&str>, key: &str, address: &str, endpoint: &str| Peer {
            name: name.map(str::to_owned),
            public_key: key.to_owned(),
            allowed_ips: vec![address.to_owned()],
            endpoints: vec![endpoint.to_owned()],
            ..Peer::default()
        };
        let peers = vec![
            peer(Some("cabin"), "AgICAgIC1", "10.42.0.2/32", "!d45b9db8"),
            peer(Some("hut"), "AgICAgIC2", "fd00::3/128", "!a1b2c3d4"),
            peer(None, "BwcHBwcH3", "10.42.0.4/32", "!00000004"),
            peer(Some("BwcHBwcH3"), "CAgICAgI4", "10.42.0.5/32", "!00000005"),
        ];
        Network { interface: "mesh0".to_owned(), peers, ..Network::default() }
    }

    #[test]
    fn a_peer_has_many_names() {
        let network = network();
        for (word, key) in [
            ("cabin", "AgICAgIC1"),
            ("AgICAgIC2", "AgICAgIC2"),
            ("CAgI", "CAgICAgI4"),
            ("10.42.0.2", "AgICAgIC1"),
            ("10.42.0.2/32", "AgICAgIC1"),
            ("fd00:0::3", "AgICAgIC2"),
            ("!D45B9DB8", "AgICAgIC1"),
        ] {
            assert_eq!(peer(&network, word).unwrap().public_key, key, "{word}");
        }
    }

    #[test]
    fn a_name_counts_before_a_key() {
        assert_eq!(peer(&network(), "BwcHBwcH3").unwrap().public_key, "CAgICAgI4");
    }

    #[test]
    fn what_means_none_or_several_is_refused() {
        let network = network();
        let refused = |word| peer(&network, word).unwrap_err().exit();
        assert_eq!(refused("AgIC"), Exit::Usage);
        for word in ["", "attic", "CAg", "10.42.0.9", "cab"] {
            assert_eq!(refused(word), Exit::NoSuchObject, "{word}");
        }
    }
}
