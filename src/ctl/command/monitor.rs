//! `meshctl monitor`

mod paths;

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use futures_util::StreamExt as _;
use jiff::Zoned;
use meshnet_bus::describe::{Path, Peer, SCHEMA};
use meshnet_bus::names::{BUS_NAME, Instance, NETWORK, ROOT};
use serde::Serialize;
use zbus::message::Type;
use zbus::wire::{ObjectPath, OwnedObjectPath, OwnedVariant};
use zbus::{MatchRule, Message, MessageStream, fdo};

use self::paths::Asker;
use super::OneNetwork;
use crate::bus::{self, Bus};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::style::paint;
use crate::render::{clean, network, style};
use crate::runtime;

/// Show events as they come: peers and links up and down, paths that change
///
/// Of a path that changes: what it makes of the peer (radio, relayed, direct), why it was chosen, and what each way to the peer has
/// cost so far. Without a network: of all, those included that start later. Ends with Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl monitor
  meshctl monitor mesh0 --json=short | while read -r event; do …; done")]
pub(crate) struct Monitor {
    #[command(flatten)]
    network: OneNetwork,
}

impl Monitor {
    /// Follows.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        runtime::block_on(async {
            let stop = runtime::stopped()?;
            tokio::select! {
                done = self.follow(context) => done,
                () = stop => Ok(Exit::Success),
            }
        })
    }

    async fn follow(&self, context: &Context) -> Result<Exit, Error> {
        let wanted = self.network.named(context);
        let bus = Bus::connect().await?;
        // One stream for everything, so that what happened first is told first.
        let mut messages = MessageStream::from(bus.connection());
        listen(&bus).await?;
        let asker = Asker::new().await?;
        let mut watch = Watch { wanted, owners: HashMap::new() };
        watch.greet(&bus, context).await?;
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| bus::trouble(&error.into(), "the system bus"))?;
            let time = now();
            for (network, mut news) in watch.take(&message) {
                news.complete(&network, &asker, time).await;
                tell(&Event { schema: SCHEMA, time, network, news }, context)?;
            }
        }
        Err(Error::new(Exit::NotRunning, "the system bus closed the connection"))
    }
}

fn tell(event: &Event, context: &Context) -> Result<(), Error> {
    if context.wants_json() {
        return context.print_json_line(event);
    }
    let time = Zoned::now().strftime("%b %d %H:%M:%S").to_string();
    let network = paint(style::STRONG, event.network.as_str());
    context.print(&format!("{} {network} {}\n", paint(style::FAINT, &time), event.news.line()))
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Milliseconds are what the clocks of two hosts might agree on.
    since.as_millis() as f64 / 1000.0
}

/// Has the bus send what is followed.
async fn listen(bus: &Bus) -> Result<(), Error> {
    let trouble = |error: zbus::Error| bus::trouble(&error.into(), "the system bus");
    let proxy = fdo::DBusProxy::new(bus.connection()).await.map_err(trouble)?;
    let signal = || MatchRule::builder().msg_type(Type::Signal);
    let rules = [
        signal().path(ROOT).interface(NETWORK),
        signal().path(ROOT).interface(PROPERTIES).member("PropertiesChanged").arg(0, NETWORK),
        signal().sender(BUS).interface(BUS).member("NameOwnerChanged").arg0ns(BUS_NAME),
    ];
    for rule in rules {
        let rule = rule.build().map_err(trouble)?;
        proxy.add_match_rule(rule).await.map_err(|error| trouble(zbus::Error::FDO(Box::new(error))))?;
    }
    Ok(())
}

/// The bus itself: its name, and its interface.
const BUS: &str = "org.freedesktop.DBus";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Who speaks for which network.
struct Watch {
    /// `None` for all.
    wanted: Option<Instance>,
    /// The connections that own a network's name. What others send is not believed.
    owners: HashMap<String, Instance>,
}

impl Watch {
    /// Learns who is there already, and says what is followed.
    async fn greet(&mut self, bus: &Bus, context: &Context) -> Result<(), Error> {
        let proxy = fdo::DBusProxy::new(bus.connection())
            .await
            .map_err(|error| bus::trouble(&error.into(), "the system bus"))?;
        for name in bus.running().await? {
            if self.wanted.as_ref().is_some_and(|wanted| *wanted != name) {
                continue;
            }
            let Ok(bus_name) = name.bus_name().try_into() else { continue };
            // One that ended in between says so by itself.
            if let Ok(owner) = proxy.get_name_owner(bus_name).await {
                self.owners.insert(owner.to_string(), name);
            }
        }
        let mut names: Vec<&str> = self.owners.values().map(Instance::as_str).collect();
        names.sort_unstable();
        context.talk(&match (&self.wanted, names.as_slice()) {
            (Some(name), []) => format!("{name} does not run yet. Ctrl-C ends this."),
            (None, []) => "No network runs yet. Ctrl-C ends this.".to_owned(),
            (_, names) => format!("Watching {}. Ctrl-C ends this.", names.join(", ")),
        });
        Ok(())
    }

    /// What a message means, if it is from one that may say so.
    fn take(&mut self, message: &Message) -> Vec<(Instance, News)> {
        let header = message.header();
        let (Some(sender), Some(member)) = (header.sender(), header.member()) else { return Vec::new() };
        if sender.as_str() == BUS && member.as_str() == "NameOwnerChanged" {
            let body = message.body();
            let Ok((name, old, new)) = body.deserialize::<(&str, &str, &str)>() else { return Vec::new() };
            return self.owner_changed(name, old, new);
        }
        let Some(network) = self.owners.get(sender.as_str()) else { return Vec::new() };
        let interface = header.interface().map_or("", |interface| interface.as_str());
        let news = match interface {
            NETWORK => News::of_signal(member.as_str(), message),
            PROPERTIES => News::of_properties(message),
            _ => None,
        };
        news.into_iter().map(|news| (network.clone(), news)).collect()
    }

    fn owner_changed(&mut self, name: &str, old: &str, new: &str) -> Vec<(Instance, News)> {
        let Some(name) = Instance::from_bus_name(name) else { return Vec::new() };
        if self.wanted.as_ref().is_some_and(|wanted| *wanted != name) {
            return Vec::new();
        }
        let mut news = Vec::new();
        if self.owners.remove(old).is_some() {
            news.push((name.clone(), News::Stopped {}));
        }
        if !new.is_empty() && self.owners.insert(new.to_owned(), name.clone()).is_none() {
            news.push((name, News::Started {}));
        }
        news
    }
}

/// A line of `--json`; docs/json.md tells the fields.
#[derive(Debug, Serialize)]
struct Event {
    schema: u32,
    time: f64,
    #[serde(serialize_with = "as_text")]
    network: Instance,
    #[serde(flatten)]
    news: News,
}

fn as_text<S: serde::Serializer>(name: &Instance, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}

/// What happened.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum News {
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
    fn of_signal(member: &str, message: &Message) -> Option<Self> {
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

    fn of_properties(message: &Message) -> Option<Self> {
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
    async fn complete(&mut self, network: &Instance, asker: &Asker, time: f64) {
        let Self::PathChanged { path, tier, paths, object, .. } = self else { return };
        *paths = asker.paths(network, object, time as u64).await;
        *tier = paths.as_deref().and_then(|paths| tier_of(path, paths));
    }

    fn line(&self) -> String {
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
    use super::*;

    fn watch() -> Watch {
        let mesh0 = Instance::new("mesh0").unwrap();
        Watch { wanted: None, owners: HashMap::from([(":1.7".to_owned(), mesh0)]) }
    }

    fn signal(sender: &str, member: &str) -> Message {
        let path = ObjectPath::try_from("/org/meshnet1/peers/07").unwrap();
        Message::signal(ROOT, NETWORK, member).sender(sender).build(&(path, "BwcHBw==", "cabin")).unwrap()
    }

    #[test]
    fn only_who_owns_a_networks_name_is_believed() {
        let news = watch().take(&signal(":1.7", "PeerUp"));
        let peer_up = News::PeerUp { peer: "cabin".to_owned(), public_key: "BwcHBw==".to_owned() };
        assert_eq!(news, [(Instance::new("mesh0").unwrap(), peer_up)]);
        assert_eq!(watch().take(&signal(":1.8", "PeerUp")), []);
    }

    #[test]
    fn a_daemon_that_ends_is_not_believed_any_longer() {
        let mut watch = watch();
        let names = |news: Vec<(Instance, News)>| news.into_iter().map(|(_, news)| news).collect::<Vec<_>>();
        assert_eq!(
            names(watch.owner_changed("org.meshnet1.mesh0", ":1.7", ":1.9")),
            [News::Stopped {}, News::Started {}]
        );
        assert_eq!(watch.take(&signal(":1.7", "PeerUp")), []);
        assert_eq!(watch.take(&signal(":1.9", "PeerUp")).len(), 1);
        // It was there already when the watch began.
        assert_eq!(names(watch.owner_changed("org.meshnet1.mesh0", "", ":1.9")), []);
        // Others queue for this one.
        assert_eq!(names(watch.owner_changed("org.meshnet1", ":1.7", ":1.9")), []);
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        assert_eq!(watch().take(&signal(":1.7", "LinkUpside")), []);
        assert_eq!(watch().take(&signal(":1.7", "PathChanged")), []);
    }

    fn path_changed(path: &str, reason: &str) -> News {
        let object = ObjectPath::try_from("/org/meshnet1/peers/07").unwrap();
        let body = (object, "BwcHBw==", "cabin", path, reason);
        let message = Message::signal(ROOT, NETWORK, "PathChanged").sender(":1.7").build(&body).unwrap();
        let [(_, news)] = watch().take(&message).try_into().unwrap();
        news
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
    fn an_event_is_one_object() {
        let network = Instance::new("mesh0").unwrap();
        let news = News::LinkDown { link: "radio0".to_owned(), reason: "connection refused".to_owned() };
        assert_eq!(
            anstream::adapter::strip_str(&news.line()).to_string(),
            "link radio0 is down: connection refused"
        );
        let event = Event { schema: 1, time: 1.5, network, news };
        let expected = r#"{"schema":1,"time":1.5,"network":"mesh0","event":"link-down","link":"radio0","reason":"connection refused"}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), expected);
    }
}
