//! What ten and a thousand peers cost on the bus: `cargo bench -p meshnetd --bench bus_tree`.
//!
//! A core with so many peers, its objects, and a client on a connection of its own, all in one thread as in the daemon. Flat
//! means that what concerns one peer takes nearly the same with both.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use divan::Bencher;
use futures_util::StreamExt as _;
use meshnet_bus::names::{NETWORK, PEER, ROOT, peer_path};
use meshnet_proto::Node;
use meshnet_proto::key::{PrivateKey, PublicKey};
use meshnet_proto::link::LinkId;
use meshnetd::config::{self, Config};
use meshnetd::control::{self, Change, Command, Control, Handle, Scope};
use meshnetd::link::LinkStatus;
use meshnetd::peers::Roster;
use meshnetd::service::authorizer::AllowAll;
use meshnetd::service::{self, Served};
use meshnetd::status::{self, Identity};
use tokio::sync::mpsc;
use zbus::connection::Builder;
use zbus::{Connection, Guid};

const PEERS: [u32; 2] = [10, 1000];

fn main() {
    divan::main();
}

fn key(number: u32) -> PublicKey {
    let mut bytes = [7; 32];
    bytes[4..8].copy_from_slice(&number.to_le_bytes());
    PrivateKey::from_random(bytes).public()
}

/// A core, and what is known beside it.
struct Core {
    config: Config,
    roster: Roster,
    node: Node,
    links: BTreeMap<LinkId, LinkStatus>,
    public_key: PublicKey,
    started: Instant,
}

impl Core {
    fn new(peers: u32) -> Self {
        let mut text = "[Interface]\nPrivateKey = SEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISEg=\n\
                        Address = 10.0.0.1/8\nListenPort = 0\n"
            .to_owned();
        for number in 1..=peers {
            let [_, _, high, low] = number.to_be_bytes();
            text += &format!(
                "[Peer]\nName = peer{number}\nPublicKey = {}\nAllowedIPs = 10.1.{high}.{low}/32\n\
                 Endpoint = 192.0.{high}.{low}:51820\n",
                key(number)
            );
        }
        let config = config::parse("mesh0.conf", &text).expect("it is sound");
        let roster =
            Roster::load("/nonexistent/mesh0.peers".into(), &config.peers).expect("nothing is there");
        let core = meshnet_proto::config::Config {
            private_key: PrivateKey::from_random([3; 32]),
            addresses: config.addresses.clone(),
            mtu: config.mtu,
            rekey_after_messages: config.rekey_after_messages,
            peers: roster.members().iter().map(|member| member.peer.core.clone()).collect(),
        };
        let started = Instant::now();
        let node = Node::new(&core, [5; 32], Duration::ZERO, started).expect("it is sound");
        let links = [(LinkId(0), LinkStatus::new(&config.links[0]))].into();
        Self { config, roster, node, links, public_key: key(0), started }
    }

    fn identity(&self) -> Identity<'_> {
        Identity {
            config: &self.config,
            peers: self.roster.members(),
            public_key: self.public_key,
            started: self.started,
            state: ("running", None),
        }
    }

    fn describe(&self) -> meshnet_bus::describe::Network {
        let now = Instant::now();
        status::describe(self.identity(), &self.node.snapshot(now), &self.links, now)
    }

    fn describe_peer(&self, key: &PublicKey) -> meshnet_bus::describe::Network {
        let now = Instant::now();
        let links = self.links.iter().map(|(id, status)| (*id, status.name.as_str())).collect();
        let snapshot = self.node.snapshot_of(key).expect("all are there");
        let member = self.roster.get(key).expect("all are there");
        status::describe_peer(self.identity(), member, &snapshot, &links, now)
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Describe(Scope::Everything, reply) => drop(reply.send(Ok(self.describe()))),
            Command::Describe(Scope::WithoutPeers, reply) => {
                let (now, identity) = (Instant::now(), Identity { peers: &[], ..self.identity() });
                let snapshot = self.node.snapshot_without_peers(now);
                drop(reply.send(Ok(status::describe(identity, &snapshot, &self.links, now))));
            }
            Command::Describe(Scope::Peer(key), reply) => drop(reply.send(Ok(self.describe_peer(&key)))),
            Command::Members(reply) => {
                let members = self.roster.members().iter();
                drop(reply.send(Ok(members.map(|member| member.peer.core.public_key).collect())));
            }
            other => panic!("nobody orders {other:?}"),
        }
    }

    async fn serve(mut self, mut control: Control, mut news: mpsc::UnboundedReceiver<Vec<Change>>) {
        loop {
            tokio::select! {
                Some(command) = control.commands.recv() => self.obey(command),
                Some(news) = news.recv() => news.into_iter().for_each(|change| control.tell(change)),
                else => return,
            }
        }
    }
}

/// Both ends of a connection, and the core behind one.
struct World {
    runtime: tokio::runtime::Runtime,
    client: Connection,
    news: mpsc::UnboundedSender<Vec<Change>>,
    handle: Handle,
    _server: Connection,
    _served: Served,
}

impl World {
    fn new(peers: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (handle, control) = control::channel();
        let (news, incoming) = mpsc::unbounded_channel();
        let core = Core::new(peers);
        let told = handle.clone();
        let (client, server, served) = runtime.block_on(async move {
            tokio::spawn(core.serve(control, incoming));
            let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
            let server = Builder::unix_stream(ours).server(Guid::generate()).p2p().build();
            let client = Builder::unix_stream(theirs).p2p().build();
            let (server, client) = tokio::try_join!(server, client).expect("both are here");
            let served = service::serve(&server, told, Arc::new(AllowAll)).await.expect("the core answers");
            (client, server, served)
        });
        Self { runtime, client, news, handle, _server: server, _served: served }
    }

    fn call(&self, path: &str, interface: &str, member: &str, body: Option<&str>) {
        let answer = self.runtime.block_on(async {
            match body {
                Some(body) => {
                    self.client.call_method(None::<&str>, path, Some(interface), member, &(body)).await
                }
                None => self.client.call_method(None::<&str>, path, Some(interface), member, &()).await,
            }
        });
        answer.expect("there is an answer");
    }
}

/// From a piece of news about one peer until its signal is at the client.
#[divan::bench(args = PEERS, sample_count = 50)]
fn news_of_one_peer(bencher: Bencher<'_, '_>, peers: u32) {
    let world = World::new(peers);
    let peer = key(peers / 2);
    let mut heard = world.runtime.block_on(async { zbus::MessageStream::from(&world.client) });
    bencher.bench_local(|| {
        world.runtime.block_on(async {
            world.news.send(vec![Change::PeerUp(peer)]).expect("the core runs");
            while let Some(Ok(message)) = heard.next().await {
                if message.header().member().is_some_and(|member| member.as_str() == "PeerUp") {
                    return;
                }
            }
            panic!("the connection ended");
        });
    });
}

/// All properties of one peer.
#[divan::bench(args = PEERS, sample_count = 50)]
fn get_all_of_one_peer(bencher: Bencher<'_, '_>, peers: u32) {
    let world = World::new(peers);
    let path = peer_path(key(peers / 2).as_bytes());
    bencher
        .with_inputs(|| world.runtime.block_on(world_news(&world)))
        .bench_local_values(|()| world.call(&path, "org.freedesktop.DBus.Properties", "GetAll", Some(PEER)));
}

/// All properties of all objects.
#[divan::bench(args = PEERS, sample_count = 10)]
fn get_managed_objects(bencher: Bencher<'_, '_>, peers: u32) {
    let world = World::new(peers);
    bencher.bench_local(|| {
        world.call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", None);
    });
}

/// The JSON of everything, of which nothing is known from before.
#[divan::bench(args = PEERS, sample_count = 20)]
fn describe(bencher: Bencher<'_, '_>, peers: u32) {
    let world = World::new(peers);
    bencher
        .with_inputs(|| world.runtime.block_on(world_news(&world)))
        .bench_local_values(|()| world.call(ROOT, NETWORK, "Describe", None));
}

/// The same within the core's task alone: for so long no packet moves.
#[divan::bench(args = PEERS)]
fn description_in_the_core(bencher: Bencher<'_, '_>, peers: u32) {
    let core = Core::new(peers);
    bencher.bench_local(|| core.describe());
}

/// What of it one peer takes.
#[divan::bench(args = PEERS)]
fn description_of_one_peer_in_the_core(bencher: Bencher<'_, '_>, peers: u32) {
    let core = Core::new(peers);
    let key = key(peers / 2);
    bencher.bench_local(|| core.describe_peer(&key));
}

/// What was described before is out of date.
async fn world_news(world: &World) {
    let mut changes = world.handle.changes();
    world.news.send(vec![Change::LinkChanged("none".to_owned())]).expect("the core runs");
    changes.recv().await.expect("it is told");
    // The tree has looked once everything that it asked was answered.
    tokio::time::sleep(Duration::from_millis(120)).await;
}
