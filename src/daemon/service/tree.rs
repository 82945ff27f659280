//! Keeps the object tree as the network is.
//!
//! News of the core is a reason to look, not what is believed: the objects that it names are read anew. Objects come and go
//! by that, `PropertiesChanged` tells what reads otherwise than before, and only then the signals say what happened. So a
//! client that hears a signal finds properties that agree with it. Who fell behind the news looks at everything: news that
//! was missed costs a signal but never a wrong property.
//!
//! Invariants: what a piece of news costs does not grow with the network, unless it is of the network as a whole; even then
//! the core is asked about one peer at a time, so that packets move meanwhile. Of what clients were told only digests are
//! kept.

use std::collections::{BTreeSet, HashMap};

use meshnet_bus::Error;
use meshnet_bus::describe;
use meshnet_bus::names::{ROOT, link_path, peer_path};
use meshnet_proto::key::PublicKey;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tracing::{debug, warn};
use zbus::Connection;
use zbus::fdo::ObjectManager;
use zbus::names::InterfaceName;
use zbus::object_server::{Interface, SignalEmitter};
use zbus::wire::{OwnedObjectPath, OwnedVariant};

use super::core::Core;
use super::digest::{Digest, Seen};
use super::link::Link;
use super::network::{Network, NetworkSignals as _, path_of};
use super::peer::Peer;
use super::radio::Radio;
use crate::control::{CHANGES, Change, Command, Scope};

/// What may stand in the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Network,
    Peer(PublicKey),
    Link(String),
    Radio(String),
}

/// Properties whose changes are told, by name.
type Values = Vec<(&'static str, OwnedVariant)>;

/// The objects at and below [`ROOT`], as clients last saw them.
pub struct Tree {
    connection: Connection,
    core: Core,
    digest: Digest,
    /// Digests in the order in which the interface names its properties.
    seen: Seen<Place>,
}

/// What is to be looked at.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    everything: bool,
    links: bool,
    peers: BTreeSet<PublicKey>,
}

impl Named {
    fn all() -> Self {
        Self { everything: true, ..Self::default() }
    }

    fn note(&mut self, change: &Change) {
        match change {
            Change::PeerUp(key)
            | Change::PeerDown(key)
            | Change::PathChanged(key)
            | Change::PeerChanged(key) => {
                self.peers.insert(*key);
            }
            Change::LinkUp(_) | Change::LinkDown(_) | Change::LinkChanged(_) => self.links = true,
            Change::Network => self.everything = true,
        }
    }
}

impl Tree {
    /// Adds the objects of the network as it is.
    ///
    /// # Errors
    /// If the core does not answer, or the connection is gone.
    pub async fn new(connection: &Connection, core: Core) -> anyhow::Result<Self> {
        let mut tree =
            Self { connection: connection.clone(), core, digest: Digest::default(), seen: Seen::default() };
        tree.appear(Place::Network).await?;
        // Before there are others: it reads all that it finds at once.
        connection.object_server().at(ROOT, ObjectManager).await?;
        tree.look(&Named::all()).await?;
        Ok(tree)
    }

    /// Follows the news until the core or the connection is gone.
    pub async fn follow(mut self, mut news: broadcast::Receiver<Change>) {
        let mut is_behind = false;
        loop {
            let (batch, mut named) = match news.recv().await {
                Ok(first) => gather(first, &mut news),
                Err(RecvError::Lagged(missed)) => {
                    debug!(missed, "the bus fell behind the news");
                    (Vec::new(), Named::all())
                }
                Err(RecvError::Closed) => return,
            };
            named.everything |= is_behind;
            is_behind = false;
            if let Err(error) = self.tell(&batch, &named).await {
                if self.connection.is_closed() {
                    return;
                }
                // Somebody was removed while it was read, for one. Whatever it was, what was left out is made up for.
                debug!("not all news reached the bus at once: {error:#}");
                if let Err(error) = self.look(&Named::all()).await {
                    warn!("news did not reach the bus: {error:#}");
                    is_behind = true;
                }
            }
        }
    }

    /// Brings the tree up to date, then says what happened, the one even if the other fails.
    async fn tell(&mut self, batch: &[Change], named: &Named) -> anyhow::Result<()> {
        let looked = self.look(named).await;
        let emitter = SignalEmitter::new(&self.connection, ROOT)?;
        for change in batch {
            self.signal(&emitter, change).await?;
        }
        looked
    }

    /// Adds and removes objects, and tells what reads otherwise than before.
    async fn look(&mut self, named: &Named) -> anyhow::Result<()> {
        if named.everything {
            self.look_at(Place::Network, true).await?;
        }
        if named.everything || named.links {
            self.look_at_links().await?;
        }
        if !named.everything {
            for key in &named.peers {
                self.look_at_peer(*key).await?;
            }
            return Ok(());
        }
        let members: BTreeSet<_> = self.core.handle().order(Command::Members).await?.into_iter().collect();
        let gone = |place: &Place| matches!(place, Place::Peer(key) if !members.contains(key));
        let gone: Vec<_> = self.seen.places().filter(|place| gone(place)).cloned().collect();
        for place in gone {
            self.vanish(place).await?;
        }
        for key in members {
            self.look_at_peer(key).await?;
        }
        Ok(())
    }

    /// Looks at the links, which are few.
    async fn look_at_links(&mut self) -> anyhow::Result<()> {
        let network = self.core.describe(Scope::WithoutPeers).await?;
        let mut wanted = BTreeSet::new();
        for link in &network.links {
            wanted.insert(Place::Link(link.name.clone()));
            if Radio::is_one(link) {
                wanted.insert(Place::Radio(link.name.clone()));
            }
        }
        let gone =
            |place: &Place| matches!(place, Place::Link(_) | Place::Radio(_)) && !wanted.contains(place);
        let gone: Vec<_> = self.seen.places().filter(|place| gone(place)).cloned().collect();
        for place in gone {
            self.vanish(place).await?;
        }
        for place in wanted {
            self.look_at(place, true).await?;
        }
        Ok(())
    }

    async fn look_at_peer(&mut self, key: PublicKey) -> anyhow::Result<()> {
        let exists = match self.core.describe(Scope::Peer(key)).await {
            Ok(_) => true,
            Err(Error::NoSuchPeer(_)) => false,
            Err(error) => return Err(error.into()),
        };
        self.look_at(Place::Peer(key), exists).await
    }

    /// Makes the object come, go, or tell what it says otherwise than before.
    async fn look_at(&mut self, place: Place, exists: bool) -> anyhow::Result<()> {
        match (exists, self.seen.get(&place).is_some()) {
            (true, true) => self.compare(place).await,
            (true, false) => self.appear(place).await,
            (false, true) => self.vanish(place).await,
            (false, false) => Ok(()),
        }
    }

    async fn appear(&mut self, place: Place) -> anyhow::Result<()> {
        match self.add(&place).await {
            Ok(values) => {
                self.seen.insert(place, self.digest.all(&values));
                Ok(())
            }
            Err(error) => {
                // The server may have it though nobody can read it, and would ask it for its properties for ever.
                if let Err(error) = self.take_away(&place).await {
                    debug!(%error, "an object that did not come was not there");
                }
                Err(error.into())
            }
        }
    }

    async fn add(&self, place: &Place) -> zbus::Result<Values> {
        let (server, path, core) = (self.connection.object_server(), place.path(), self.core.clone());
        match place {
            Place::Network => server.at(path, Network::new(core)).await.map(drop),
            Place::Peer(key) => server.at(path, Peer::new(core, *key)).await.map(drop),
            Place::Link(name) => server.at(path, Link::new(core, name.clone())).await.map(drop),
            Place::Radio(name) => server.at(path, Radio::new(core, name.clone())).await.map(drop),
        }?;
        self.read(place).await
    }

    async fn vanish(&mut self, place: Place) -> anyhow::Result<()> {
        self.seen.remove(&place);
        Ok(self.take_away(&place).await?)
    }

    async fn take_away(&self, place: &Place) -> zbus::Result<()> {
        let (server, path) = (self.connection.object_server(), place.path());
        match place {
            Place::Network => server.remove::<Network, _>(path).await,
            Place::Peer(_) => server.remove::<Peer, _>(path).await,
            Place::Link(_) => server.remove::<Link, _>(path).await,
            Place::Radio(_) => server.remove::<Radio, _>(path).await,
        }
        .map(drop)
    }

    /// Tells which properties changed, if any did.
    async fn compare(&mut self, place: Place) -> anyhow::Result<()> {
        let values = self.read(&place).await?;
        let digests = self.digest.all(&values);
        let before = self.seen.get(&place);
        let is_new = |at: usize| before.and_then(|before| before.get(at)) != digests.get(at);
        let changed: HashMap<&str, &OwnedVariant> = values
            .iter()
            .enumerate()
            .filter(|(at, _)| is_new(*at))
            .map(|(_, (name, value))| (*name, value))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        let emitter = SignalEmitter::new(&self.connection, place.path())?;
        let nothing: &[&str] = &[];
        let body = (place.interface(), changed, nothing);
        emitter.emit("org.freedesktop.DBus.Properties", "PropertiesChanged", &body).await?;
        self.seen.insert(place, digests);
        Ok(())
    }

    async fn read(&self, place: &Place) -> zbus::Result<Values> {
        let path = place.path();
        match place {
            Place::Network => self.values::<Network>(path, Network::SIGNALLED).await,
            Place::Peer(_) => self.values::<Peer>(path, Peer::SIGNALLED).await,
            Place::Link(_) => self.values::<Link>(path, Link::SIGNALLED).await,
            Place::Radio(_) => self.values::<Radio>(path, Radio::SIGNALLED).await,
        }
    }

    /// Reads what the interface's properties of these names say.
    async fn values<I: Interface>(
        &self,
        path: OwnedObjectPath,
        names: &'static [&'static str],
    ) -> zbus::Result<Values> {
        let server = self.connection.object_server();
        let interface = server.interface::<_, I>(path).await?;
        let object = interface.get().await;
        let emitter = interface.signal_emitter();
        let mut values = Vec::with_capacity(names.len());
        for name in names {
            if let Some(value) = object.get(name, server, &self.connection, None, emitter).await {
                values.push((*name, value.map_err(|error| zbus::Error::Failure(error.to_string()))?));
            }
        }
        Ok(values)
    }

    /// Says what happened, of what is a signal.
    async fn signal(&self, emitter: &SignalEmitter<'_>, change: &Change) -> anyhow::Result<()> {
        match change {
            Change::PeerUp(key) | Change::PeerDown(key) | Change::PathChanged(key) => {
                // Somebody who is gone meanwhile has no name any more.
                let network = self.core.describe(Scope::Peer(*key)).await.ok();
                let peer = network.as_ref().and_then(|network| network.peers.first());
                peer_signal(emitter, change, key, peer).await?;
            }
            Change::LinkUp(name) => emitter.link_up(link_path(name).as_ref(), name).await?,
            Change::LinkDown(name) => {
                let network = self.core.describe(Scope::WithoutPeers).await?;
                let link = network.links.iter().find(|link| link.name == *name);
                let why = link.and_then(|link| link.fault.as_deref().or(link.last_error.as_deref()));
                emitter.link_down(link_path(name).as_ref(), name, why.unwrap_or_default()).await?;
            }
            Change::PeerChanged(_) | Change::LinkChanged(_) | Change::Network => {}
        }
        Ok(())
    }
}

impl Place {
    fn path(&self) -> OwnedObjectPath {
        match self {
            Self::Network => OwnedObjectPath::try_from(ROOT).expect("it is a path"),
            Self::Peer(key) => peer_path(key.as_bytes()),
            Self::Link(name) | Self::Radio(name) => link_path(name),
        }
    }

    fn interface(&self) -> InterfaceName<'static> {
        match self {
            Self::Network => Network::name(),
            Self::Peer(_) => Peer::name(),
            Self::Link(_) => Link::name(),
            Self::Radio(_) => Radio::name(),
        }
    }
}

/// Takes what else is waiting, so that each object that it names is looked at once.
fn gather(first: Change, news: &mut broadcast::Receiver<Change>) -> (Vec<Change>, Named) {
    let mut named = Named::default();
    named.note(&first);
    let mut batch = vec![first];
    while batch.len() < CHANGES {
        match news.try_recv() {
            Ok(change) => {
                named.note(&change);
                batch.push(change);
            }
            Err(TryRecvError::Lagged(missed)) => {
                debug!(missed, "the bus fell behind the news");
                named.everything = true;
            }
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    (batch, named)
}

async fn peer_signal(
    emitter: &SignalEmitter<'_>,
    change: &Change,
    key: &PublicKey,
    peer: Option<&describe::Peer>,
) -> zbus::Result<()> {
    let path = peer_path(key.as_bytes());
    let (path, text) = (path.as_ref(), key.to_string());
    let name = peer.and_then(|peer| peer.name.as_deref()).unwrap_or_default();
    match change {
        Change::PeerUp(_) => emitter.peer_up(path, &text, name).await,
        Change::PeerDown(_) => emitter.peer_down(path, &text, name).await,
        _ => {
            let way = peer.map(path_of).unwrap_or_default();
            let reason = peer.and_then(|peer| peer.path_reason.as_deref()).unwrap_or_default();
            emitter.path_changed(path, &text, name, &way, reason).await
        }
    }
}
