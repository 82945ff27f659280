//! A network that does as it is told, behind the daemon's own seam: what the D-Bus objects see of the core.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use meshnet_bus::Error;
use meshnet_bus::describe::{Counters, Link, Network, Path, PathCounters, Peer, PeerRadio, Radio, SCHEMA};
use meshnet_bus::settings::Pong;
use meshnetd::control::{self, Change, Command, Control, Handle, Reply, Scope};
use tokio::sync::{mpsc, oneshot};

/// Public keys of peers, none of small order.
pub(crate) fn key(number: u8) -> meshnet_proto::key::PublicKey {
    meshnet_proto::key::PrivateKey::from_random([number; 32]).public()
}

type Edit = Box<dyn FnOnce(&mut Network) + Send>;

/// The network.
#[derive(Clone)]
pub(crate) struct Fake {
    edits: mpsc::Sender<(Edit, Vec<Change>, oneshot::Sender<()>)>,
    orders: Arc<Mutex<Vec<String>>>,
    refusal: Arc<Mutex<Option<Error>>>,
}

impl Fake {
    /// Starts it with one peer and one radio.
    pub(crate) fn start() -> (Handle, Self) {
        Self::start_with(network())
    }

    /// Starts it as this.
    pub(crate) fn start_with(network: Network) -> (Handle, Self) {
        let (handle, control) = control::channel();
        let (edits, incoming) = mpsc::channel(1);
        let fake = Self { edits, orders: Arc::default(), refusal: Arc::default() };
        tokio::spawn(fake.clone().run(network, control, incoming));
        (handle, fake)
    }

    /// Changes the network and tells of it.
    pub(crate) async fn change(&self, edit: impl FnOnce(&mut Network) + Send + 'static, news: Vec<Change>) {
        let (done, wait) = oneshot::channel();
        self.edits.send((Box::new(edit), news, done)).await.unwrap();
        wait.await.unwrap();
    }

    /// Refuses the next order with this.
    pub(crate) fn refuse(&self, error: Error) {
        *self.refusal.lock().unwrap() = Some(error);
    }

    /// The orders that came, and forgets them.
    pub(crate) fn orders(&self) -> Vec<String> {
        std::mem::take(&mut *self.orders.lock().unwrap())
    }

    async fn run(
        self,
        mut network: Network,
        mut control: Control,
        mut edits: mpsc::Receiver<(Edit, Vec<Change>, oneshot::Sender<()>)>,
    ) {
        loop {
            tokio::select! {
                command = control.commands.recv() => match command {
                    Some(command) => self.obey(command, &network),
                    None => return,
                },
                Some((edit, news, done)) = edits.recv() => {
                    edit(&mut network);
                    news.into_iter().for_each(|change| control.tell(change));
                    let _ = done.send(());
                }
            }
        }
    }

    fn obey(&self, command: Command, network: &Network) {
        match command {
            Command::Describe(scope, reply) => drop(reply.send(cut(network, scope))),
            Command::Members(reply) => {
                let members = network.peers.iter().map(|peer| peer.public_key.parse().unwrap());
                drop(reply.send(Ok(members.collect())));
            }
            Command::AddPeer(key, change, reply) => self.done(format!("add {key} {change:?}"), reply, ()),
            Command::SetPeer(key, change, reply) => self.done(format!("set {key} {change:?}"), reply, ()),
            Command::RemovePeer(key, reply) => self.done(format!("remove {key}"), reply, ()),
            Command::Rekey(key, reply) => self.done(format!("rekey {key:?}"), reply, ()),
            Command::Reload(reply) => self.done("reload".to_owned(), reply, ()),
            Command::Ping(key, bytes, patience, reply) => {
                let pong = Pong { rtt_us: 2_000_000, floor_us: 1_500_000 };
                self.done(format!("ping {key} {bytes} {patience:?}"), reply, pong);
            }
        }
    }

    fn done<T>(&self, order: String, reply: Reply<T>, answer: T) {
        self.orders.lock().unwrap().push(order);
        let refusal = self.refusal.lock().unwrap().take();
        drop(reply.send(refusal.map_or(Ok(answer), Err)));
    }
}

/// As much of it as was asked for.
pub(crate) fn cut(network: &Network, scope: Scope) -> Result<Network, Error> {
    let mut network = network.clone();
    match scope {
        Scope::Everything => {}
        Scope::WithoutPeers => network.peers.clear(),
        Scope::Peer(key) => {
            network.peers.retain(|peer| peer.public_key == key.to_string());
            network.links.clear();
            network.drops.clear();
            if network.peers.is_empty() {
                return Err(Error::NoSuchPeer("it is gone".to_owned()));
            }
        }
    }
    Ok(network)
}

/// A network with one peer and one radio, everything known.
pub(crate) fn network() -> Network {
    Network {
        schema: SCHEMA,
        version: "1.2.3".to_owned(),
        interface: "mesh0".to_owned(),
        state: "running".to_owned(),
        state_reason: None,
        public_key: key(1).to_string(),
        addresses: vec!["10.42.0.1/24".to_owned()],
        mtu: 180,
        unix_time: 1_000_000,
        uptime_seconds: 60,
        peers: vec![peer(2)],
        links: vec![radio("radio0")],
        drops: BTreeMap::from([("no-peer".to_owned(), 3)]),
    }
}

/// A peer with a session.
pub(crate) fn peer(number: u8) -> Peer {
    let sent = Counters { packets: 10, bytes: 1000, datagrams: 12, airtime_ms: 5000 };
    let received = Counters { packets: 9, bytes: 900, datagrams: 11, airtime_ms: 4000 };
    Peer {
        public_key: key(number).to_string(),
        name: Some(format!("peer{number}")),
        mode: "PKI".to_owned(),
        origin: "config".to_owned(),
        state: "established".to_owned(),
        last_handshake_seconds: Some(100),
        last_seen_seconds: None,
        endpoint: Some("!d45b9db8".to_owned()),
        link: Some("radio0".to_owned()),
        endpoints: vec!["!d45b9db8".to_owned()],
        allowed_ips: vec!["10.42.0.2/32".to_owned()],
        rtt_ms: Some(1500.5),
        loss: Some(0.25),
        sent,
        received,
        waiting: 0,
        drops: BTreeMap::from([("replayed".to_owned(), 1)]),
        tier: Some("radio".to_owned()),
        path_reason: Some("proven".to_owned()),
        paths: vec![path()],
    }
}

/// The path of [`peer`].
pub(crate) fn path() -> Path {
    Path {
        link: "radio0".to_owned(),
        endpoint: "!d45b9db8".to_owned(),
        tier: "radio".to_owned(),
        state: "proven".to_owned(),
        current: true,
        origin: Some("configured".to_owned()),
        last_heard_seconds: Some(10),
        rtt_ms: Some(1500.5),
        loss: None,
        sent: PathCounters { datagrams: 12, bytes: 1400, airtime_ms: 5000 },
    }
}

/// A radio that works.
pub(crate) fn radio(name: &str) -> Link {
    Link {
        name: name.to_owned(),
        kind: "meshtastic".to_owned(),
        connect: "tcp://192.0.2.7:4403".to_owned(),
        state: "up".to_owned(),
        connections: 1,
        up: true,
        mtu: Some(231),
        queued: BTreeMap::from([("bulk".to_owned(), 2)]),
        airtime_used_ms: 9000,
        airtime_left_ms: None,
        sent: 12,
        received: 11,
        refused: 1,
        radio: Radio {
            radio: Some("!a0000001".to_owned()),
            radio_name: Some("roof".to_owned()),
            firmware: Some("2.7.0".to_owned()),
            region: Some("EU_868".to_owned()),
            preset: Some("LONG_FAST".to_owned()),
            channel_utilization: Some(12.5),
            queue_free: Some(15),
            queue_len: Some(16),
            nodes_heard: 7,
            ..Radio::default()
        },
        peers: vec![PeerRadio {
            radio: "!d45b9db8".to_owned(),
            hops: Some(0),
            snr: Some(6.25),
            rssi: Some(-90),
            heard: None,
            key: "known".to_owned(),
        }],
        ..Link::default()
    }
}
