//! Keeps the object tree as the network is.
//!
//! News of the core is a reason to look, not what is believed: after each, and after falling behind, the tree is compared with
//! one fresh description. Objects come and go by that, `PropertiesChanged` tells what reads otherwise than before, and only
//! then the signals say what happened. So a client that hears a signal finds properties that agree with it, and news that
//! was missed costs a signal but never a wrong property.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use meshnet_bus::describe;
use meshnet_bus::names::{ROOT, link_path, peer_path};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tracing::{debug, warn};
use zbus::Connection;
use zbus::names::InterfaceName;
use zbus::object_server::{Interface, SignalEmitter};
use zbus::wire::{OwnedObjectPath, OwnedVariant};

use super::core::Core;
use super::link::Link;
use super::network::{Network, NetworkSignals as _, key_of, path_of};
use super::peer::Peer;
use super::radio::Radio;
use crate::control::{CHANGES, Change};

/// What may stand in the tree beside the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Network,
    Peer,
    Link,
    Radio,
}

/// The values of an interface's properties whose changes are told.
type Values = HashMap<String, OwnedVariant>;

/// The objects below [`ROOT`], as clients last saw them.
pub struct Tree {
    connection: Connection,
    core: Core,
    seen: BTreeMap<(String, Kind), Values>,
}

impl Tree {
    /// Adds the objects of the network as it is.
    ///
    /// # Errors
    /// If the core does not answer, or the connection is gone.
    pub async fn new(connection: &Connection, core: Core) -> anyhow::Result<Self> {
        let mut tree = Self { connection: connection.clone(), core, seen: BTreeMap::new() };
        let network = Network::new(tree.core.clone());
        connection.object_server().at(ROOT, network).await?;
        let values = tree.values::<Network>(ROOT, Network::SIGNALLED).await?;
        tree.seen.insert((ROOT.to_owned(), Kind::Network), values);
        tree.look().await?;
        Ok(tree)
    }

    /// Follows the news until the core or the connection is gone.
    pub async fn follow(mut self, mut news: broadcast::Receiver<Change>) {
        loop {
            let batch = match news.recv().await {
                Ok(first) => gather(first, &mut news),
                Err(RecvError::Lagged(missed)) => {
                    debug!(missed, "the bus fell behind the news");
                    Vec::new()
                }
                Err(RecvError::Closed) => return,
            };
            if let Err(error) = self.tell(&batch).await {
                if self.connection.is_closed() {
                    return;
                }
                warn!("news did not reach the bus: {error:#}");
            }
        }
    }

    /// Brings the tree up to date, then says what happened.
    async fn tell(&mut self, batch: &[Change]) -> anyhow::Result<()> {
        // What goes has its name from before, what comes from after.
        self.look().await?;
        let network = self.core.describe().await?;
        let emitter = SignalEmitter::new(&self.connection, ROOT)?;
        for change in batch {
            signal(&emitter, &network, change).await?;
        }
        Ok(())
    }

    /// Adds and removes objects, and tells what reads otherwise than before.
    async fn look(&mut self) -> anyhow::Result<()> {
        let network = self.core.describe().await?;
        let wanted = wanted(&network);
        let gone: Vec<_> = self
            .seen
            .keys()
            .filter(|(path, kind)| *kind != Kind::Network && !wanted.contains_key(&(path.clone(), *kind)))
            .cloned()
            .collect();
        for place in gone {
            self.seen.remove(&place);
            self.remove(&place).await?;
        }
        for (place, name) in wanted {
            if !self.seen.contains_key(&place) {
                self.add(&place, &name).await?;
                let values = self.read(&place).await?;
                self.seen.insert(place, values);
            }
        }
        let places: BTreeSet<_> = self.seen.keys().cloned().collect();
        for place in places {
            let values = self.read(&place).await?;
            self.compare(&place, values).await?;
        }
        Ok(())
    }

    /// Tells which properties changed, if any did.
    async fn compare(&mut self, place: &(String, Kind), values: Values) -> anyhow::Result<()> {
        let before = self.seen.get(place);
        let changed: HashMap<&str, &OwnedVariant> = values
            .iter()
            .filter(|(name, value)| before.and_then(|before| before.get(*name)) != Some(value))
            .map(|(name, value)| (name.as_str(), value))
            .collect();
        if !changed.is_empty() {
            let emitter = SignalEmitter::new(&self.connection, place.0.as_str())?;
            let nothing: &[&str] = &[];
            let body = (place.1.interface(), changed, nothing);
            emitter.emit("org.freedesktop.DBus.Properties", "PropertiesChanged", &body).await?;
        }
        self.seen.insert(place.clone(), values);
        Ok(())
    }

    async fn add(&self, (path, kind): &(String, Kind), name: &Name) -> zbus::Result<()> {
        let (server, path, core) = (self.connection.object_server(), path.as_str(), self.core.clone());
        match (kind, name) {
            (Kind::Peer, Name::Peer(key)) => server.at(path, Peer::new(core, *key)).await.map(drop),
            (Kind::Link, Name::Link(name)) => server.at(path, Link::new(core, name.clone())).await.map(drop),
            (Kind::Radio, Name::Link(name)) => {
                server.at(path, Radio::new(core, name.clone())).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn remove(&self, (path, kind): &(String, Kind)) -> zbus::Result<()> {
        let (server, path) = (self.connection.object_server(), path.as_str());
        match kind {
            Kind::Peer => server.remove::<Peer, _>(path).await,
            Kind::Link => server.remove::<Link, _>(path).await,
            Kind::Radio => server.remove::<Radio, _>(path).await,
            Kind::Network => Ok(false),
        }
        .map(drop)
    }

    async fn read(&self, (path, kind): &(String, Kind)) -> zbus::Result<Values> {
        match kind {
            Kind::Network => self.values::<Network>(path, Network::SIGNALLED).await,
            Kind::Peer => self.values::<Peer>(path, Peer::SIGNALLED).await,
            Kind::Link => self.values::<Link>(path, Link::SIGNALLED).await,
            Kind::Radio => self.values::<Radio>(path, Radio::SIGNALLED).await,
        }
    }

    /// Reads what the interface's properties of these names say.
    async fn values<I: Interface>(&self, path: &str, names: &[&str]) -> zbus::Result<Values> {
        let server = self.connection.object_server();
        let interface = server.interface::<_, I>(path).await?;
        let object = interface.get().await;
        let emitter = interface.signal_emitter();
        let mut values = object.get_all(server, &self.connection, None, emitter).await?;
        values.retain(|name, _| names.contains(&name.as_str()));
        Ok(values)
    }
}

impl Kind {
    fn interface(self) -> InterfaceName<'static> {
        match self {
            Self::Network => Network::name(),
            Self::Peer => Peer::name(),
            Self::Link => Link::name(),
            Self::Radio => Radio::name(),
        }
    }
}

/// What a description names an object by.
enum Name {
    Peer(meshnet_proto::key::PublicKey),
    Link(String),
}

/// The objects that there are to be.
fn wanted(network: &describe::Network) -> BTreeMap<(String, Kind), Name> {
    let mut wanted = BTreeMap::new();
    for key in network.peers.iter().filter_map(key_of) {
        wanted.insert((peer_path(key.as_bytes()).to_string(), Kind::Peer), Name::Peer(key));
    }
    for link in &network.links {
        let path = link_path(&link.name).to_string();
        wanted.insert((path.clone(), Kind::Link), Name::Link(link.name.clone()));
        if Radio::is_one(link) {
            wanted.insert((path, Kind::Radio), Name::Link(link.name.clone()));
        }
    }
    wanted
}

/// Takes what else is waiting, so that it costs one look.
fn gather(first: Change, news: &mut broadcast::Receiver<Change>) -> Vec<Change> {
    let mut batch = vec![first];
    while batch.len() < CHANGES {
        match news.try_recv() {
            Ok(change) => batch.push(change),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    batch
}

/// Says what happened, of what is a signal.
async fn signal(
    emitter: &SignalEmitter<'_>,
    network: &describe::Network,
    change: &Change,
) -> zbus::Result<()> {
    match change {
        Change::PeerUp(key) | Change::PeerDown(key) | Change::PathChanged(key) => {
            let path: OwnedObjectPath = peer_path(key.as_bytes());
            let text = key.to_string();
            let peer = network.peers.iter().find(|peer| peer.public_key == text);
            let name = peer.and_then(|peer| peer.name.as_deref()).unwrap_or_default();
            match change {
                Change::PeerUp(_) => emitter.peer_up(path.as_ref(), &text, name).await,
                Change::PeerDown(_) => emitter.peer_down(path.as_ref(), &text, name).await,
                _ => {
                    let way = peer.map(path_of).unwrap_or_default();
                    let reason = peer.and_then(|peer| peer.path_reason.as_deref()).unwrap_or_default();
                    emitter.path_changed(path.as_ref(), &text, name, &way, reason).await
                }
            }
        }
        Change::LinkUp(name) => emitter.link_up(link_path(name).as_ref(), name).await,
        Change::LinkDown(name) => {
            let link = network.links.iter().find(|link| link.name == *name);
            let why = link.and_then(|link| link.fault.as_deref().or(link.last_error.as_deref()));
            emitter.link_down(link_path(name).as_ref(), name, why.unwrap_or_default()).await
        }
        Change::PeerChanged(_) | Change::LinkChanged(_) | Change::Network => Ok(()),
    }
}
