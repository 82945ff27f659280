//! A bus, daemons on it whose core is a table, and the client as a user runs it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use meshnet_bus::describe::{Counters, Link, Network, Peer, SCHEMA};
use meshnet_bus::names::Instance;
use meshnet_bus::settings::Pong;
use meshnet_proto::key::{PrivateKey, PublicKey};
use meshnetd::control::{self, Change, Command as Order, Control, Handle, PeerChange, Scope};
use meshnetd::service::authorizer::AllowAll;
use meshnetd::service::{self, Served, Service};
use tempfile::TempDir;
use tokio::sync::mpsc;
use zbus::Connection;
use zbus::connection::Builder;

/// A bus where everybody may do everything; ends when dropped.
pub(crate) struct Bus {
    process: Child,
    folder: TempDir,
}

impl Bus {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policy = r#"<policy context="default"><allow user="*"/><allow own="*"/>
            <allow send_type="method_call"/><allow send_destination="*"/><allow receive_sender="*"/></policy>"#;
        let listen = folder.path().join("bus");
        let config = format!(
            "<busconfig><listen>unix:path={}</listen><auth>EXTERNAL</auth>{policy}</busconfig>",
            listen.display()
        );
        std::fs::write(folder.path().join("bus.conf"), config).unwrap();
        let mut command = Command::new("dbus-daemon");
        command.arg("--config-file").arg(folder.path().join("bus.conf"));
        command.args(["--nofork", "--print-address=1"]).stdout(Stdio::piped());
        let mut process = command.spawn().expect("dbus-daemon (package dbus-daemon)");
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(!address.is_empty(), "the bus did not start");
        Self { process, folder }
    }

    pub(crate) fn address(&self) -> String {
        format!("unix:path={}", self.folder.path().join("bus").display())
    }

    pub(crate) async fn connect(&self) -> Connection {
        let address: zbus::Address = self.address().parse().unwrap();
        Builder::address(address).build().await.unwrap()
    }

    /// The client, with this bus for the system's.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
        command.args(words).stdin(Stdio::null()).env("DBUS_SYSTEM_BUS_ADDRESS", self.address());
        command.env_remove("NO_COLOR").env("TZ", "UTC");
        command
    }

    /// Runs the client to its end.
    pub(crate) async fn meshctl(&self, words: &[&str]) -> Done {
        self.meshctl_with(words, "").await
    }

    /// Runs the client to its end with this on stdin.
    pub(crate) async fn meshctl_with(&self, words: &[&str], input: &str) -> Done {
        let mut command = self.command(words);
        let input = input.to_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The daemons are on this thread.
        let run = move || {
            let mut child = command.spawn().unwrap();
            // It may end without reading.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
            child.wait_with_output().unwrap()
        };
        tokio::task::spawn_blocking(run).await.unwrap().into()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How a run of the client ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// The answer as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        Self { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// A daemon's objects, and the table behind them.
pub(crate) struct Daemon {
    pub table: Arc<Mutex<Table>>,
    news: mpsc::Sender<Vec<Change>>,
    _kept: Kept,
}

/// What keeps it on the bus.
enum Kept {
    Open { _served: Served, _connection: Connection },
    Guarded { _service: Service },
}

/// What a core would know.
pub(crate) struct Table {
    pub network: Network,
    /// Preshared keys that came with orders.
    pub keys: Vec<String>,
    /// The answers to pings, the next at the end; with none left there is no answer.
    pub pongs: Vec<Result<Pong, meshnet_bus::Error>>,
    /// Orders without arguments.
    pub orders: Vec<String>,
}

impl Daemon {
    /// One that lets everybody do everything.
    pub(crate) async fn start(bus: &Bus, name: &str) -> Self {
        let (handle, table, news) = core(name);
        let connection = bus.connect().await;
        let served = service::serve(&connection, handle, Arc::new(AllowAll)).await.unwrap();
        connection.request_name(format!("org.meshnet1.{name}")).await.unwrap();
        Self { table, news, _kept: Kept::Open { _served: served, _connection: connection } }
    }

    /// One that asks a polkit which is not there.
    pub(crate) async fn start_guarded(bus: &Bus, name: &str) -> Self {
        let (handle, table, news) = core(name);
        let address = bus.address().parse().unwrap();
        let service = service::start_at(address, &Instance::new(name).unwrap(), handle).await.unwrap();
        Self { table, news, _kept: Kept::Guarded { _service: service } }
    }

    /// Changes the network and tells of it.
    pub(crate) async fn change(&self, edit: impl FnOnce(&mut Network), news: Vec<Change>) {
        edit(&mut self.table.lock().unwrap().network);
        self.news.send(news).await.unwrap();
    }
}

fn core(name: &str) -> (Handle, Arc<Mutex<Table>>, mpsc::Sender<Vec<Change>>) {
    let (handle, control) = control::channel();
    let table = Table { network: network(name), keys: Vec::new(), pongs: Vec::new(), orders: Vec::new() };
    let table = Arc::new(Mutex::new(table));
    let (news, incoming) = mpsc::channel(1);
    tokio::spawn(serve(control, Arc::clone(&table), incoming));
    (handle, table, news)
}

async fn serve(mut control: Control, table: Arc<Mutex<Table>>, mut news: mpsc::Receiver<Vec<Change>>) {
    loop {
        tokio::select! {
            order = control.commands.recv() => match order {
                Some(order) => {
                    let change = table.lock().unwrap().obey(order);
                    change.into_iter().for_each(|change| control.tell(change));
                }
                None => return,
            },
            Some(news) = news.recv() => news.into_iter().for_each(|change| control.tell(change)),
        }
    }
}

impl Table {
    fn obey(&mut self, order: Order) -> Option<Change> {
        match order {
            Order::Describe(scope, reply) => {
                drop(reply.send(self.describe(scope)));
                None
            }
            Order::Members(reply) => {
                let members = self.network.peers.iter().map(|peer| peer.public_key.parse().unwrap());
                drop(reply.send(Ok(members.collect())));
                None
            }
            Order::AddPeer(key, change, reply) => {
                let peer = Peer { public_key: key.to_string(), state: "idle".to_owned(), ..Peer::default() };
                let origin = if change.persist.unwrap_or(true) { "bus" } else { "bus-volatile" };
                self.network.peers.push(Peer { origin: origin.to_owned(), ..peer });
                self.apply(&key, change);
                drop(reply.send(Ok(())));
                Some(Change::Network)
            }
            Order::SetPeer(key, change, reply) => {
                self.apply(&key, change);
                drop(reply.send(Ok(())));
                Some(Change::PeerChanged(key))
            }
            Order::RemovePeer(key, reply) => {
                let key = key.to_string();
                let from_file = |peer: &Peer| peer.public_key == key && peer.origin == "config";
                if self.network.peers.iter().any(from_file) {
                    let why = "peer cabin is defined in /etc/meshnet/mesh0.conf".to_owned();
                    drop(reply.send(Err(meshnet_bus::Error::FromConfigFile(why))));
                    return None;
                }
                self.network.peers.retain(|peer| peer.public_key != key);
                drop(reply.send(Ok(())));
                Some(Change::Network)
            }
            Order::Rekey(key, reply) => {
                self.orders.push(format!("rekey {}", key.map_or("all".to_owned(), |key| key.to_string())));
                drop(reply.send(Ok(())));
                None
            }
            Order::Reload(reply) => {
                self.orders.push("reload".to_owned());
                drop(reply.send(Ok(())));
                None
            }
            Order::Ping(_, bytes, _, reply) => {
                self.orders.push(format!("ping {bytes}"));
                let lost = || Err(meshnet_bus::Error::Timeout("no answer came".to_owned()));
                drop(reply.send(self.pongs.pop().unwrap_or_else(lost)));
                None
            }
        }
    }

    fn describe(&self, scope: Scope) -> Result<Network, meshnet_bus::Error> {
        let mut network = self.network.clone();
        match scope {
            Scope::Everything => {}
            Scope::WithoutPeers => network.peers.clear(),
            Scope::Peer(key) => {
                network.peers.retain(|peer| peer.public_key == key.to_string());
                if network.peers.is_empty() {
                    return Err(meshnet_bus::Error::NoSuchPeer("it is gone".to_owned()));
                }
            }
        }
        Ok(network)
    }

    fn apply(&mut self, key: &PublicKey, change: PeerChange) {
        let key = key.to_string();
        let peer = self.network.peers.iter_mut().find(|peer| peer.public_key == key).unwrap();
        if let Some(name) = change.name {
            peer.name = Some(name);
        }
        if let Some(prefixes) = change.allowed_ips {
            peer.allowed_ips = prefixes.iter().map(ToString::to_string).collect();
        }
        if let Some(endpoints) = change.endpoints {
            peer.endpoints = endpoints.iter().map(ToString::to_string).collect();
        }
        if let Some(mode) = change.mode {
            peer.mode = format!("{mode:?}").to_uppercase();
        }
        self.keys.extend(change.preshared_key.map(|key| key.to_base64().to_string()));
    }
}

/// A peer's public key.
pub(crate) fn key(number: u8) -> PublicKey {
    PrivateKey::from_random([number; 32]).public()
}

/// A network with one peer of its configuration, which is up.
fn network(name: &str) -> Network {
    let cabin = Peer {
        public_key: key(2).to_string(),
        name: Some("cabin".to_owned()),
        mode: "PKI".to_owned(),
        origin: "config".to_owned(),
        state: "established".to_owned(),
        endpoint: Some("!d45b9db8".to_owned()),
        link: Some("radio0".to_owned()),
        endpoints: vec!["!d45b9db8".to_owned()],
        allowed_ips: vec!["10.42.0.2/32".to_owned()],
        last_seen_seconds: Some(185),
        sent: Counters { packets: 4, bytes: 400, datagrams: 4, airtime_ms: 2000 },
        ..Peer::default()
    };
    let radio0 = Link {
        name: "radio0".to_owned(),
        kind: "meshtastic".to_owned(),
        connect: "tcp://192.0.2.7:4403".to_owned(),
        state: "up".to_owned(),
        up: true,
        airtime_used_ms: 4_200,
        airtime_left_ms: Some(31_800),
        ..Link::default()
    };
    Network {
        schema: SCHEMA,
        version: "0.1.0".to_owned(),
        interface: name.to_owned(),
        state: "running".to_owned(),
        public_key: key(1).to_string(),
        addresses: vec!["10.42.0.1/24".to_owned()],
        mtu: 1280,
        unix_time: 1_800_000_000,
        uptime_seconds: 60,
        peers: vec![cabin],
        links: vec![radio0],
        ..Network::default()
    }
}
