//! `meshctl monitor`

mod news;
mod paths;

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use futures_util::StreamExt as _;
use jiff::Zoned;
use meshnet_bus::describe::SCHEMA;
use meshnet_bus::names::{BUS_NAME, Instance, NETWORK, ROOT};
use serde::Serialize;
use zbus::message::Type;
use zbus::{MatchRule, Message, MessageStream, fdo};

use self::news::News;
use self::paths::Asker;
use super::OneNetwork;
use crate::bus::{self, Bus};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::style;
use crate::render::style::paint;
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

#[cfg(test)]
mod tests {
    use zbus::wire::ObjectPath;

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

    #[test]
    fn an_event_is_one_object() {
        let network = Instance::new("mesh0").unwrap();
        let news = News::LinkDown { link: "radio0".to_owned(), reason: "connection refused".to_owned() };
        let event = Event { schema: 1, time: 1.5, network, news };
        let expected = r#"{"schema":1,"time":1.5,"network":"mesh0","event":"link-down","link":"radio0","reason":"connection refused"}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), expected);
    }
}
