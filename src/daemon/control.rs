//! How the rest of the daemon speaks with the task that owns the core: questions and orders one way, news the other.
//!
//! D-Bus objects hold a [`Handle`]; it puts a [`Command`] with a place for the answer into a bounded channel. What changes is
//! broadcast as a [`Change`]; a listener that falls behind learns that it did (`RecvError::Lagged`) and looks at everything
//! anew. So nobody waits for a listener, and nothing piles up.
//!
//! Who may give which order is not decided here: the D-Bus service asks polkit before it uses the handle.

use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use meshnet_bus::Error;
use meshnet_bus::describe::Network;
use meshnet_bus::settings::Pong;
use meshnet_proto::config::PeerMode;
use meshnet_proto::key::{PresharedKey, PublicKey};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::config::Endpoint;

/// How many orders may wait for the core's task.
pub const COMMANDS: usize = 32;
/// How much news a listener may be behind.
pub const CHANGES: usize = 256;
/// For how long a description serves for further questions: one reading of all properties of an object is one look at
/// the core.
const FRESH: Duration = Duration::from_millis(100);

/// How much of the network is to be described. What is not asked for is left empty in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of it, which takes time in proportion to the peers.
    Everything,
    /// Everything but the peers.
    WithoutPeers,
    /// One peer alone, and neither links nor drops.
    Peer(PublicKey),
}

/// The last descriptions. Held for the time of a copy of an `Arc`.
type Last = Arc<Mutex<Described>>;

/// The last description of each kind, and how much news there was when it was asked for: one that news overtook on its way is
/// not kept.
#[derive(Debug, Default)]
struct Described {
    news: u64,
    everything: Option<(Instant, Arc<Network>)>,
    without_peers: Option<(Instant, Arc<Network>)>,
    /// Of the peer that was asked for last: readers take all that they want of one before they turn to the next.
    peer: Option<(PublicKey, Instant, Arc<Network>)>,
}

impl Described {
    fn get(&self, scope: Scope) -> Option<Arc<Network>> {
        let (made, network) = match (scope, &self.peer) {
            (Scope::Everything, _) => self.everything.as_ref().map(|(made, network)| (made, network)),
            (Scope::WithoutPeers, _) => self.without_peers.as_ref().map(|(made, network)| (made, network)),
            (Scope::Peer(asked), Some((key, made, network))) if asked == *key => Some((made, network)),
            (Scope::Peer(_), _) => None,
        }?;
        (made.elapsed() < FRESH).then(|| Arc::clone(network))
    }

    fn keep(&mut self, scope: Scope, network: Arc<Network>) {
        let now = Instant::now();
        match scope {
            Scope::Everything => self.everything = Some((now, network)),
            Scope::WithoutPeers => self.without_peers = Some((now, network)),
            Scope::Peer(key) => self.peer = Some((key, now, network)),
        }
    }
}

/// What a peer is to be; `None` leaves it as it is (or, for a peer that is added, empty).
#[derive(Debug, Default)]
pub struct PeerChange {
    /// What logs and status call it; empty for none.
    pub name: Option<String>,
    /// Its addresses.
    pub allowed_ips: Option<Vec<ipnet::IpNet>>,
    /// Where it is.
    pub endpoints: Option<Vec<Endpoint>>,
    /// Which session protocol.
    pub mode: Option<PeerMode>,
    /// The secret shared with it.
    pub preshared_key: Option<PresharedKey>,
    /// The public keys of its radios, one for each endpoint that is a radio.
    pub radio_public_keys: Option<Vec<[u8; 32]>>,
    /// After how many seconds of silence on a free link something is sent; `Some(None)` for never.
    pub keepalive: Option<Option<NonZeroU16>>,
    /// Whether bulk traffic may take its radio although there is another way.
    pub bulk_over_radio: Option<bool>,
    /// Whether it outlives the daemon; a peer that is added does unless this says otherwise.
    pub persist: Option<bool>,
}

/// The place for an answer.
pub type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// An order to the core's task. One that nobody waits for any more is carried out all the same.
#[derive(Debug)]
pub enum Command {
    /// Says how things are; `NoSuchPeer` if the peer that is meant is none of the network's.
    Describe(Scope, Reply<Network>),
    /// Says who the peers are.
    Members(Reply<Vec<PublicKey>>),
    /// Adds a peer.
    AddPeer(PublicKey, PeerChange, Reply<()>),
    /// Changes a peer that was added over the bus.
    SetPeer(PublicKey, PeerChange, Reply<()>),
    /// Removes a peer that was added over the bus.
    RemovePeer(PublicKey, Reply<()>),
    /// Agrees on fresh keys, with one peer or with all.
    Rekey(Option<PublicKey>, Reply<()>),
    /// Reads the configuration file again.
    Reload(Reply<()>),
    /// Sends an echo with this many bytes of data through the tunnel; `None` waits for as long as the path may take.
    Ping(PublicKey, u16, Option<Duration>, Reply<Pong>),
}

/// News of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A session with the peer is established.
    PeerUp(PublicKey),
    /// The peer's session ended.
    PeerDown(PublicKey),
    /// The peer is reached another way.
    PathChanged(PublicKey),
    /// Another property of the peer that does not only count, or the peer came or went.
    PeerChanged(PublicKey),
    /// A link works.
    LinkUp(String),
    /// A link works no longer.
    LinkDown(String),
    /// Another property of the link that does not only count.
    LinkChanged(String),
    /// There may be other peers or links than before, all of them may be otherwise, or the network's own properties are.
    Network,
}

/// Gives orders to the core's task; cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    changes: broadcast::Sender<Change>,
    last: Last,
    /// Held by who asks for a description; others wait, and find the answer.
    asking: Arc<tokio::sync::Mutex<()>>,
}

/// The core's task's ends of a [`Handle`]'s channels.
#[derive(Debug)]
pub struct Control {
    /// The orders.
    pub commands: mpsc::Receiver<Command>,
    changes: broadcast::Sender<Change>,
    last: Last,
}

/// Makes the channels.
#[must_use]
pub fn channel() -> (Handle, Control) {
    let (commands, incoming) = mpsc::channel(COMMANDS);
    let (changes, _) = broadcast::channel(CHANGES);
    let last = Last::default();
    let asking = Arc::default();
    let handle = Handle { commands, changes: changes.clone(), last: Arc::clone(&last), asking };
    (handle, Control { commands: incoming, changes, last })
}

impl Control {
    /// Tells everybody who listens.
    pub fn tell(&self, change: Change) {
        // A description made before the news is none any more. No listener is no error.
        let mut described = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *described = Described { news: described.news + 1, ..Described::default() };
        drop(described);
        let _ = self.changes.send(change);
    }
}

impl Handle {
    /// Returns news from here on.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Says how everything is, at most a tenth of a second ago.
    ///
    /// # Errors
    /// `Failed` if the network is stopping, `Busy` if too many orders wait.
    pub async fn describe(&self) -> Result<Arc<Network>, Error> {
        self.describe_only(Scope::Everything).await
    }

    /// Says how as much is as is asked for, at most a tenth of a second ago.
    ///
    /// # Errors
    /// As [`Self::describe`]; `NoSuchPeer` if there is no such peer.
    pub async fn describe_only(&self, scope: Scope) -> Result<Arc<Network>, Error> {
        if let Ok(network) = self.fresh(scope) {
            return Ok(network);
        }
        let _asking = self.asking.lock().await;
        let news = match self.fresh(scope) {
            Ok(network) => return Ok(network),
            Err(news) => news,
        };
        let network = Arc::new(self.order(|reply| Command::Describe(scope, reply)).await?);
        let mut described = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if described.news == news {
            described.keep(scope, Arc::clone(&network));
        }
        drop(described);
        Ok(network)
    }

    /// The last description if it still serves, or else how much news there was.
    fn fresh(&self, scope: Scope) -> Result<Arc<Network>, u64> {
        let described = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        described.get(scope).ok_or(described.news)
    }

    /// Gives an order and waits for its outcome.
    ///
    /// # Errors
    /// What the order comes to; `Failed` if the network is stopping, `Busy` if too many orders wait.
    pub async fn order<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let stopping = || Error::Failed("the network is stopping".to_owned());
        let (reply, outcome) = oneshot::channel();
        self.commands.try_send(command(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Busy("too many requests wait already".to_owned()),
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        outcome.await.map_err(|_| stopping())?
    }
}
