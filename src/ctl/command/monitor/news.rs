//! What a message of a network's daemon means: an event, as a line for people and as the fields of `--json`.

use std::collections::HashMap;

use meshnet_bus::describe::{Path, Peer};
use meshnet_bus::names::{Instance, NETWORK};
use serde::Serialize;
use zbus::Message;
use zbus::wire::{ObjectPath, OwnedObjectPath, OwnedVariant};

use super::paths::Asker;
use crate::render::style::paint;
use crate::render::{clean, network, style};

/// What happened.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum News {
    /// A daemon took the network's name.
    Started {},
    /// It gave it up, or ended.
    Stopped {},
    /// The network is in another state.
    State {
        state: String,
        reason: Option<String>,
    },
    PeerUp {
        peer: String,
        public_key: String,
    },
    PeerDown {
        peer: String,
        public_key: String,
    },
    PathChanged {
        peer: String,
        public_key: String,
        path: String,
        reason: Option<String>,
        /// What the path makes of the peer; `None` if the daemon could not be asked.
        tier: Option<String>,
        /// Every way to the peer right after, under the same condition.
        paths: Option<Vec<Path>>,
        /// Where to ask.
        #[serde(skip)]
        object: OwnedObjectPath,
    },
    LinkUp {
        link: String,
    },
    LinkDown {
        link: String,
        reason: String,
    },
}

impl News {
    /// `None` for what a later daemon may tell.
    pub(super) fn of_signal(member: &str, message: &Message) -> Option<Self> {
        let body = message.body();
        let peer = || {
            let (_, public_key, peer) = body.deserialize::<(ObjectPath<'_>, String, String)>().ok()?;
            Some((peer, public_key))
        };
        match member {
            "PeerUp" => peer().map(|(peer, public_key)| Self::PeerUp { peer, public_key }),
            "PeerDown" => peer().map(|(peer, public_key)| Self::PeerDown { peer, public_key }),
            "PathChanged" => {
                let (object, public_key, peer, path, reason) =
                    body.deserialize::<(OwnedObjectPath, String, String, String, String)>().ok()?;
                let reason = Some(reason).filter(|reason| !reason.is_empty());
                Some(Self::PathChanged { peer, public_key, path, reason, tier: None, paths: None, object })
            }
            "LinkUp" => {
                let (_, link) = body.deserialize::<(ObjectPath<'_>, String)>().ok()?;
                Some(Self::LinkUp { link })
            }
            "LinkDown" => {
                let (_, link, reason) = body.deserialize::<(ObjectPath<'_>, String, String)>().ok()?;
                Some(Self::LinkDown { link, reason })
            }
            _ => None,
        }
    }

    pub(super) fn of_properties(message: &Message) -> Option<Self> {
        let body = message.body();
        let (interface, mut changed, _) =
            body.deserialize::<(&str, HashMap<String, OwnedVariant>, Vec<String>)>().ok()?;
        if interface != NETWORK {
            return None;
        }
        let mut text = |name| changed.remove(name).and_then(|value| String::try_from(value).ok());
        let state = text("State")?;
        Some(Self::State { state, reason: text("StateReason").filter(|reason| !reason.is_empty()) })
    }

    /// Asks for what the signal does not tell.
    pub(super) async fn complete(&mut self, network: &Instance, asker: &Asker, time: f64) {
        let Self::PathChanged { path, tier, paths, object, .. } = self else { return };
        *paths = asker.paths(network, object, time as u64).await;
        *tier = paths.as_deref().and_then(|paths| tier_of(path, paths));
    }

    pub(super) fn line(&self) -> String {
        let called = |name: &str, key: &str| {
            let peer = Peer { name: Some(name.to_owned()), public_key: key.to_owned(), ..Peer::default() };
            paint(style::STRONG, &network::peer_name(&peer))
        };
        let state = |state: &str| paint(network::state_style(state), &clean(state));
        match self {
            Self::Started {} => "has a daemon".to_owned(),
            Self::Stopped {} => "has no daemon any longer".to_owned(),
            Self::State { state: value, reason: None } => format!("is {}", state(value)),
            Self::State { state: value, reason: Some(why) } => {
                format!("is {}: {}", state(value), clean(network::reason(why)))
            }
            Self::PeerUp { peer, public_key } => {
                format!("peer {} is {}", called(peer, public_key), state("up"))
            }
            Self::PeerDown { peer, public_key } => {
                format!("peer {} is {}", called(peer, public_key), state("down"))
            }
            Self::PathChanged { peer, public_key, path, reason, tier, paths, .. } => {
                let peer = called(peer, public_key);
                let change = match path.as_str() {
                    "" => format!("peer {peer} has no path"),
                    path => format!("peer {peer} is reached through {}", clean(path)),
                };
                format!("{change}{}{}", kind(tier.as_deref(), reason.as_deref()), costs(paths.as_deref()))
            }
            Self::LinkUp { link } => format!("link {} is {}", clean(link), state("up")),
            Self::LinkDown { link, reason } if reason.is_empty() => {
                format!("link {} is {}", clean(link), state("down"))
            }
            Self::LinkDown { link, reason } => {
                format!("link {} is {}: {}", clean(link), state("down"), clean(reason))
            }
        }
    }
}

/// What this path makes of the peer; the daemon names a path by its link and the endpoint there.
fn tier_of(path: &str, paths: &[Path]) -> Option<String> {
    if path.is_empty() {
        return Some("offline".to_owned());
    }
    let named = |other: &&Path| path == format!("{} {}", other.link, other.endpoint);
    paths.iter().find(named).map(|path| path.tier.clone()).filter(|tier| !tier.is_empty())
}

/// What the peer is by a path, and why that one was chosen: ` (direct: its link costs less)`.
fn kind(tier: Option<&str>, reason: Option<&str>) -> String {
    let tier = tier.map(|tier| paint(network::tier_style(tier), &clean(tier)));
    let words = [tier, reason.map(|why| clean(network::path_reason(why)).into_owned())];
    let words: Vec<String> = words.into_iter().flatten().collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(": ")) }
}

/// What each way has cost so far.
fn costs(paths: Option<&[Path]>) -> String {
    let one = |path: &Path| {
        let place = format!("{} {}", path.link, path.endpoint);
        let (bytes, rest) = network::spent(&path.sent);
        format!("{bytes} ({rest}) by {}", clean(&place))
    };
    let paths: Vec<String> = paths.unwrap_or_default().iter().map(one).collect();
    if paths.is_empty() { String::new() } else { format!("; sent so far: {}", paths.join(", ")) }
}

#[cfg(test)]
mod tests {
    use meshnet_bus::names::ROOT;

    use super::*;

    fn path_changed(path: &str, reason: &str) -> News {
        let object = ObjectPath::try_from("/org/meshnet1/peers/07").unwrap();
        let body = (object, "BwcHBw==", "cabin", path, reason);
        let message = Message::signal(ROOT, NETWORK, "PathChanged").build(&body).unwrap();
        News::of_signal("PathChanged", &message).unwrap()
    }

    fn plain(news: &News) -> String {
        anstream::adapter::strip_str(&news.line()).to_string()
    }

    #[test]
    fn a_path_that_changes_is_told_with_its_reason() {
        assert_eq!(
            plain(&path_changed("udp0 udp://192.0.2.7:51820", "cheaper")),
            "peer cabin is reached through udp0 udp://192.0.2.7:51820 (its link costs less)"
        );
        assert_eq!(plain(&path_changed("", "")), "peer cabin has no path");
    }

    #[test]
    fn what_the_daemon_says_of_the_paths_is_told_too() {
        let example = network::tests::example_with_paths();
        let known = &example.peers[0].paths;
        let told = |path: &str, reason| {
            let mut news = path_changed(path, reason);
            let News::PathChanged { tier, paths, .. } = &mut news else { panic!("{news:?}") };
            (*tier, *paths) = (tier_of(path, known), Some(known.clone()));
            plain(&news)
        };
        let costs = "; sent so far: 148 B (1 datagram) by udp0 udp://192.0.2.7:51820, 3.4 KiB (42 datagrams, 4.2 s \
                     of air) by radio0 !a1b2c3d4";
        assert_eq!(
            told("radio0 !a1b2c3d4", "silent"),
            format!(
                "peer cabin is reached through radio0 !a1b2c3d4 (radio: the one before fell silent){costs}"
            )
        );
        assert_eq!(
            told("", "no-path"),
            format!("peer cabin has no path (offline: no link reaches it){costs}")
        );
        // Between the signal and the answer it went.
        assert_eq!(
            told("udp0 udp://192.0.2.9:1", ""),
            format!("peer cabin is reached through udp0 udp://192.0.2.9:1{costs}")
        );
    }

    #[test]
    fn a_link_that_goes_down_is_told_with_its_reason() {
        let news = News::LinkDown { link: "radio0".to_owned(), reason: "connection refused".to_owned() };
        assert_eq!(plain(&news), "link radio0 is down: connection refused");
    }
}
