//! A station: a host with a daemon, the client of its radio, and the connection between the two, put together as the
//! daemon's event loop and link driver do it.

mod drain;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use meshnet_proto::config::{Config, ConfigError, PeerConfig};
use meshnet_proto::event::Event;
use meshnet_proto::key::PublicKey;
use meshnet_proto::link::{LinkAddr, LinkEvent, LinkId, Transmit};
use meshnet_proto::meshtastic::client::{Client, ClientConfig, Contact, Ending, Transport};
use meshnet_proto::{Node, mac_of};
use meshnet_radiosim::{Air, ClientId, RadioId};

use crate::daemon::{Daemon, LINK};
use crate::tool::Tool;
use crate::watch::Seals;

/// The link driver waits at least this long before it connects again.
const RECONNECT: Duration = Duration::from_secs(1);
/// And at most, when it was in vain.
const MAX_RECONNECT: Duration = Duration::from_secs(30);

/// What a station did, for those who watch.
#[derive(Debug, Clone)]
pub enum Did {
    /// The daemon handed a datagram to the link.
    Sent(Transmit),
    /// A datagram came from the link.
    Received {
        /// From whom, as the radio says.
        from: LinkAddr,
        /// The bytes.
        payload: Vec<u8>,
    },
    /// The daemon handed a frame to the host.
    Delivered(Vec<u8>),
    /// The daemon has something to tell.
    Event(Event),
    /// The link said something to the daemon.
    Link(LinkEvent),
    /// The client has something to tell.
    Notice(String),
}

/// See the module's introduction.
pub struct Station {
    /// Its radio's node number.
    pub num: u32,
    /// Its radio.
    pub radio: RadioId,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its daemon's configuration.
    pub config: Config,
    /// It runs something that behaves as the Python tool.
    pub is_tool: bool,
    /// The hop limit in its configuration.
    pub hop_limit: Option<u8>,
    /// What its daemon stored last.
    pub stored: Option<Vec<u8>>,
    /// How often its daemon was started.
    pub lives: u64,
    /// Packets that the host handed to this life of the daemon.
    pub handed: u64,
    /// Packets that this life of the daemon sent to peers that were removed since.
    pub sent_to_removed: u64,
    /// When it was started last.
    pub started: Instant,
    /// What its daemon takes for its own addresses where air is free, if it knows of that link.
    pub attached: Option<Vec<SocketAddr>>,
    /// Who watches what is sealed.
    seals: Seals,
    /// When the world began.
    born: Instant,
    running: Option<Running>,
    connect_at: Option<Instant>,
    backoff: Duration,
}

/// A running daemon process.
struct Running {
    daemon: Daemon,
    client: Client,
    connection: Option<ClientId>,
}

impl Station {
    /// Makes a station whose daemon does not run.
    #[must_use]
    pub fn new(num: u32, radio: RadioId, config: Config, is_tool: bool, seals: Seals, now: Instant) -> Self {
        let std::net::IpAddr::V4(address) = config.addresses[0].addr() else {
            panic!("a station's first address is IPv4")
        };
        Self {
            num,
            radio,
            address,
            config,
            is_tool,
            hop_limit: None,
            stored: None,
            lives: 0,
            handed: 0,
            sent_to_removed: 0,
            started: now,
            attached: None,
            seals,
            born: now,
            running: None,
            connect_at: None,
            backoff: RECONNECT,
        }
    }

    /// Starts the daemon, with what it stored.
    ///
    /// # Panics
    /// If it cannot make sense of its own configuration or state.
    pub fn start(&mut self, seed: u64, now: Instant) {
        let mut bytes = [0x5a; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.lives.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.num.to_le_bytes());
        let daemon = if self.is_tool {
            Daemon::Tool(Box::new(Tool::new(&self.config, seed ^ u64::from(self.num) << 20 ^ self.lives)))
        } else {
            let unix_time = Duration::from_secs(1_700_000_000) + (now - self.born);
            let mut node =
                Node::new(&self.config, bytes, unix_time, now).expect("a world's configuration is sound");
            node.set_aead(self.seals.aead());
            if let Some(stored) = &self.stored {
                assert_eq!(node.restore(stored), 0, "lines of the state make no sense");
            }
            Daemon::Ours { node: Box::new(node), mac: mac_of(&self.config.private_key.public()), link: LINK }
        };
        let mut daemon = daemon;
        if let Some(addresses) = &self.attached {
            daemon.handle_attached(Some(addresses.clone()), now);
        }
        bytes[31] ^= 1;
        let client = self.fresh_client(bytes, now);
        self.running = Some(Running { daemon, client, connection: None });
        (self.connect_at, self.backoff) = (Some(now), RECONNECT);
        (self.lives, self.handed, self.started) = (self.lives + 1, 0, now);
        self.sent_to_removed = 0;
    }

    fn fresh_client(&self, seed: [u8; 32], now: Instant) -> Client {
        let config = ClientConfig {
            hop_limit: self.hop_limit,
            contacts: contacts(&self.config),
            ..ClientConfig::default()
        };
        Client::new(config, seed, now)
    }

    /// Removes a peer, from the configuration and from the daemon.
    pub fn remove_peer(&mut self, key: &PublicKey, now: Instant) {
        let before = self.config.peers.len();
        self.config.peers.retain(|peer| peer.public_key != *key);
        let was_there = self.config.peers.len() < before;
        if let Some(Running { daemon: Daemon::Ours { node, .. }, client, .. }) = &mut self.running {
            let peers = node.snapshot(now).peers;
            let peer = peers.iter().find(|peer| peer.public_key == *key);
            self.sent_to_removed += peer.map_or(0, |peer| peer.sent.packets);
            assert_eq!(
                node.remove_peer(key, now),
                was_there,
                "the daemon has the peers of its configuration"
            );
            client.set_contacts(contacts(&self.config), now);
        }
    }

    /// Adds a peer, or changes it, in the configuration and in the daemon.
    ///
    /// # Errors
    /// If the daemon does not take it.
    pub fn set_peer(&mut self, peer: &PeerConfig, now: Instant) -> Result<(), ConfigError> {
        let known = self.config.peers.iter_mut().find(|known| known.public_key == peer.public_key);
        let is_new = known.is_none();
        match known {
            Some(known) => *known = peer.clone(),
            None => self.config.peers.push(peer.clone()),
        }
        if let Some(Running { daemon: Daemon::Ours { node, .. }, client, .. }) = &mut self.running {
            if is_new {
                node.add_peer(peer, now)?;
            } else {
                node.set_peer(peer, now)?;
            }
            client.set_contacts(contacts(&self.config), now);
        }
        Ok(())
    }

    /// The link is removed, and another one made of the same radio, as after a change of its configuration.
    pub fn replace_link(&mut self, seed: u64, air: &mut Air, now: Instant) {
        let mut bytes = [0xa5; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&(now - self.started).as_secs().to_le_bytes());
        let client = self.fresh_client(bytes, now);
        let Some(running) = &mut self.running else { return };
        let Daemon::Ours { node, link, .. } = &mut running.daemon else { return };
        if let Some(id) = running.connection.take() {
            air.handle_client_disconnected(id, now);
        }
        node.remove_link(*link, now);
        // The driver's last words come late.
        node.handle_link(*link, LinkEvent::Room(2), now);
        *link = LinkId(link.0 + 1);
        running.client = client;
        (self.connect_at, self.backoff) = (Some(now), RECONNECT);
    }

    /// The daemon pings a peer; returns the token if it does.
    pub fn ping(&mut self, key: &PublicKey, bytes: u16, now: Instant) -> Option<u64> {
        let Some(Running { daemon: Daemon::Ours { node, .. }, .. }) = &mut self.running else { return None };
        let token = node.ping(key, bytes, now).ok()?;
        self.handed += 1;
        Some(token)
    }

    /// The daemon renews its keys with a peer, if it can.
    pub fn rekey(&mut self, key: &PublicKey, now: Instant) {
        if let Some(Running { daemon: Daemon::Ours { node, .. }, .. }) = &mut self.running {
            let _refused_if_symmetric = node.rekey(key, now);
        }
    }

    /// Kills the daemon without a word.
    pub fn kill(&mut self, air: &mut Air, now: Instant) {
        if let Some(Running { connection: Some(id), .. }) = self.running.take() {
            air.handle_client_disconnected(id, now);
        }
        self.connect_at = None;
    }

    /// Returns whether the daemon runs.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The core, if it is one of ours and runs.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        match self.running.as_ref().map(|running| &running.daemon) {
            Some(Daemon::Ours { node, .. }) => Some(node),
            _ => None,
        }
    }

    /// The client, if the daemon runs.
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        self.running.as_ref().map(|running| &running.client)
    }

    /// The interface's MAC address, while there is an interface.
    #[must_use]
    pub fn mac(&self) -> Option<meshnet_proto::frame::Mac> {
        self.running.as_ref().map(|running| running.daemon.mac())
    }

    /// The host sends a frame; returns whether there was an interface to send it to.
    pub fn handle_device(&mut self, frame: &[u8], now: Instant) -> bool {
        let Some(running) = &mut self.running else { return false };
        self.handed += 1;
        running.daemon.handle_device(frame, now);
        true
    }

    /// A datagram comes, as the radio's or as somebody's who speaks as it.
    pub fn handle_datagram(&mut self, from: LinkAddr, payload: &[u8], now: Instant) {
        if let Some(running) = &mut self.running {
            running.daemon.handle_datagram(from, payload, now);
        }
    }

    /// A datagram comes where air is free.
    pub fn handle_free(&mut self, from: SocketAddr, payload: &[u8], now: Instant) {
        if let Some(running) = &mut self.running {
            running.daemon.handle_free(from, payload, now);
        }
    }

    /// The daemon is told that it has a link where air is free, with these addresses of its own, or that it has none.
    pub fn attach(&mut self, addresses: Option<Vec<SocketAddr>>, now: Instant) {
        self.attached = addresses;
        if let Some(running) = &mut self.running {
            running.daemon.handle_attached(self.attached.clone(), now);
        }
    }

    /// The daemon is told of other addresses of its own.
    pub fn claim(&mut self, addresses: Vec<SocketAddr>, now: Instant) {
        self.attached = Some(addresses.clone());
        if let Some(Running { daemon: Daemon::Ours { node, .. }, .. }) = &mut self.running {
            node.set_own_addresses(addresses, now);
        }
    }

    /// The host slept for so long, as it says.
    pub fn resume(&mut self, slept: Duration, now: Instant) {
        if let Some(Running { daemon: Daemon::Ours { node, .. }, .. }) = &mut self.running {
            node.handle_resume(slept, now);
        }
    }

    /// Bytes come from the radio's connection that the radio never sent.
    pub fn handle_stream(&mut self, bytes: &[u8], now: Instant) {
        if let Some(running) = self.running.as_mut().filter(|running| running.connection.is_some()) {
            running.client.handle_bytes(bytes, now);
        }
    }

    /// The connection to the radio breaks.
    pub fn cut(&mut self, air: &mut Air, now: Instant) {
        let Some(running) = &mut self.running else { return };
        if let Some(id) = running.connection.take() {
            air.handle_client_disconnected(id, now);
            running.client.handle_disconnected(Ending::Failed, now);
            self.reconnect(now);
        }
    }

    fn reconnect(&mut self, now: Instant) {
        let Some(running) = &self.running else { return };
        self.connect_at = Some(now + self.backoff.max(running.client.reconnect_wait()));
        self.backoff = (self.backoff * 2).min(MAX_RECONNECT);
    }

    /// Returns when something is due, and why.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<(Instant, &'static str)> {
        let running = self.running.as_ref()?;
        let connect = self.connect_at.map(|at| (at, "connect"));
        [connect, running.daemon.poll_timeout(now), running.client.poll_timeout()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, air: &mut Air, now: Instant) {
        let Some(running) = &mut self.running else { return };
        if self.connect_at.is_some_and(|at| at <= now) {
            self.connect_at = None;
            let kind = meshnet_radiosim::Transport::Tcp;
            running.connection = Some(air.handle_client_connected(self.radio, kind, now));
            running.client.handle_connected(Transport::Tcp, now);
        }
        if running.daemon.poll_timeout(now).is_some_and(|(at, _)| at <= now) {
            running.daemon.handle_timeout(now);
        }
        if running.client.poll_timeout().is_some_and(|(at, _)| at <= now) {
            running.client.handle_timeout(now);
        }
    }
}

/// The radios of a configuration's peers.
fn contacts(config: &Config) -> Vec<Contact> {
    let endpoints = config.peers.iter().flat_map(|peer| &peer.endpoints);
    endpoints.filter_map(LinkAddr::as_radio).map(|node| Contact { node, public_key: None }).collect()
}
