//! The whole machine: frames from the interface in, datagrams to the links out, and back.
//!
//! Usage: after every `handle_*`, drain in this order: [`Node::poll_store`] (what must be durable before anything
//! leaves), [`Node::poll_device`], [`Node::poll_transmit`], [`Node::poll_event`]; then arm one timer by
//! [`Node::poll_timeout`].
//!
//! A frame's way out: `device` answers what the kernel asks its imagined Ethernet and finds the peer; `outbound` lets the
//! frame wait for what it lacks, queues it on a link, and seals it when it leaves. A datagram's way in: `inbound` opens
//! it, checks that the peer may speak as the inner source, and hands the frame to the interface. `peer` and `pki` hold a
//! peer's state, `links` a link's (`link_news` is what its driver says), `store` the state file, `durable` and `stamps` what goes into it.
//! `roster` changes the peers while all this runs; `ping` pings them, and `quality` is what is measured of them. `moving` does
//! what a peer's paths want, `copies` sends again what a silent path may have lost, `timers` says when the node wants attention.
//!
//! Invariants: every packet comes out, waits in a bounded place, or is counted in a [`DropReason`]; what is set for a peer in
//! the node's `timers` is the time of its state, but for the one peer that is `unsettled` until the next poll.

mod controls;
mod copies;
mod device;
mod doubtful;
mod durable;
mod free;
mod inbound;
mod inner;
mod link_news;
mod links;
mod metered;
mod moving;
mod outbound;
mod outbox;
mod peer;
mod peers;
mod ping;
mod pki;
mod quality;
mod rekey;
mod roster;
mod silence;
mod snapshot;
mod stamps;
mod stock;
mod store;
#[cfg(test)]
mod tests;
mod timers;
mod wireguard;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use self::durable::Retired;
pub use self::durable::Stored;
use self::links::LinkState;
use self::outbox::Outbox;
use self::peer::Keying;
use self::peers::Peers;
use self::ping::Ping;
pub use self::ping::PingError;
pub use self::rekey::RekeyError;
use self::stamps::StampStore;
use self::wireguard::Clock;
use crate::account::Account;
use crate::aead::{Aead, Portable};
use crate::config::{Config, ConfigError};
use crate::event::{DropReason, Event};
use crate::frame::Mac;
use crate::key::{PrivateKey, PublicKey};
use crate::limit::Bucket;
use crate::link::{LinkAddr, LinkId, Transmit};
use crate::neighbour;
use crate::offload::{Coalescer, Offload};
use crate::queue::PeerIndex;
use crate::route::Routes;
use crate::v1::counters::Counters;
use crate::v1::fragment::Reassembler;
use crate::wg::gate::Gate;
use crate::wg::index::Indices;
use crate::wg::noise::Identity;

/// Frames that wait for the interface to take them.
const MAX_DEVICE_FRAMES: usize = 512;
/// Handshakes answered or finished by all peers together, before Diffie-Hellman is paid for.
const HANDSHAKES: Bucket = Bucket::new(16, Duration::from_millis(250));
/// Answers to packets that go nowhere.
const UNREACHABLES: Bucket = Bucket::new(50, Duration::from_millis(50));

/// A frame for the interface, lent until the node is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceFrame<'a> {
    /// The Ethernet frame; longer than the MTU allows only if `offload` says that it stands for several.
    pub bytes: &'a [u8],
    /// What is left to the kernel to do.
    pub offload: Offload,
}

/// A network's protocol core. See the module's introduction.
pub struct Node {
    private_key: PrivateKey,
    identity: Arc<Identity>,
    public_key: PublicKey,
    mac: Mac,
    addresses: Vec<IpNet>,
    mtu: usize,
    rekey_after_messages: u64,
    peers: Peers,
    by_endpoint: BTreeMap<LinkAddr, PeerIndex>,
    routes: Routes<PeerIndex>,
    links: BTreeMap<LinkId, LinkState>,
    /// Links that were removed: what their drivers still say is out of date. A number is never used again.
    removed_links: BTreeSet<LinkId>,
    reassembler: Reassembler,
    /// Counters for symmetric peers.
    counters: Counters,
    /// Keys out of use, the oldest first.
    retired: VecDeque<Retired>,
    rng: ChaCha20Rng,
    handshakes: Bucket,
    gate: Gate,
    /// Whose session an index names.
    indices: Indices<PeerIndex>,
    clock: Clock,
    aead: &'static dyn Aead,
    /// Where others reach this host by UDP.
    own_addresses: Vec<SocketAddr>,
    unreachables: Bucket,
    to_device: VecDeque<(Vec<u8>, Offload)>,
    /// The frame that was lent last.
    lent: Vec<u8>,
    /// Packets of WIREGUARD peers, on their way to the interface.
    coalescer: Option<Coalescer>,
    /// Datagrams of theirs, on their way to links where air is free.
    outbox: Outbox,
    events: VecDeque<Event>,
    account: Account,
    /// When each peer needs attention, and why.
    timers: BTreeSet<(Instant, PeerIndex, &'static str)>,
    /// The current paths of WIREGUARD peers, as of when each was settled last.
    ways: BTreeSet<(LinkId, LinkAddr, PeerIndex)>,
    /// Addresses that a link has no key for.
    keyless: BTreeSet<(LinkId, LinkAddr)>,
    /// A peer that packets were sealed for since it was last settled, and when.
    unsettled: Option<(PeerIndex, Instant)>,
    next_token: u64,
    /// Pings whose answers are awaited.
    pings: BTreeMap<u64, Ping>,
    next_ping: u64,
    /// The identifier of our pings, and the key that marks them.
    ping_id: u16,
    ping_key: [u8; 32],
    /// Peers whose sessions stand otherwise than was last told.
    moved_on: BTreeSet<PeerIndex>,
    /// Peers that something happened to which the state file may have to tell.
    unsaved: BTreeSet<PeerIndex>,
    stamps: StampStore,
    store_due: bool,
    /// The state file would better say something new, which is worth no wait.
    store_wanted: bool,
    closing: bool,
}

impl Node {
    /// Makes a node. `seed` must come from the operating system's randomness (or a test); `unix_time` is the wall clock.
    ///
    /// # Errors
    /// If peers contradict each other.
    pub fn new(
        config: &Config,
        seed: [u8; 32],
        unix_time: Duration,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        let public_key = config.private_key.public();
        let mac = neighbour::mac_of(&public_key);
        let mut rng = ChaCha20Rng::from_seed(seed);
        let counters = Counters::new([rng.next_u64(), rng.next_u64()]);
        let (mut ping_id, mut ping_key) = ([0; 2], [0; 32]);
        rng.fill_bytes(&mut ping_id);
        rng.fill_bytes(&mut ping_key);
        let mut node = Self {
            private_key: config.private_key.clone(),
            identity: Identity::new(config.private_key.clone()),
            public_key,
            mac,
            addresses: config.addresses.clone(),
            mtu: config.mtu.into(),
            rekey_after_messages: config.rekey_after_messages,
            peers: Peers::default(),
            by_endpoint: BTreeMap::new(),
            routes: Routes::new(),
            links: BTreeMap::new(),
            removed_links: BTreeSet::new(),
            reassembler: Reassembler::default(),
            counters,
            retired: VecDeque::new(),
            rng,
            handshakes: HANDSHAKES,
            gate: Gate::new(&public_key),
            indices: Indices::default(),
            clock: Clock { set: now, unix_time },
            aead: &Portable,
            own_addresses: Vec::new(),
            unreachables: UNREACHABLES,
            to_device: VecDeque::new(),
            lent: Vec::new(),
            coalescer: None,
            outbox: Outbox::default(),
            events: VecDeque::new(),
            account: Account::default(),
            timers: BTreeSet::new(),
            ways: BTreeSet::new(),
            keyless: BTreeSet::new(),
            unsettled: None,
            next_token: 0,
            pings: BTreeMap::new(),
            next_ping: 0,
            ping_id: u16::from_be_bytes(ping_id),
            ping_key,
            moved_on: BTreeSet::new(),
            unsaved: BTreeSet::new(),
            stamps: StampStore::default(),
            store_due: false,
            store_wanted: false,
            closing: false,
        };
        for peer in &config.peers {
            node.add_peer(peer, now)?;
        }
        Ok(node)
    }

    /// Has the sessions of WIREGUARD peers sealed and opened by this implementation.
    pub const fn set_aead(&mut self, aead: &'static dyn Aead) {
        self.aead = aead;
    }

    /// Takes what the wall clock shows: whenever it was set, or the host slept. In between it goes on by itself.
    pub const fn set_unix_time(&mut self, unix_time: Duration, now: Instant) {
        self.clock = Clock { set: now, unix_time };
    }

    /// Takes the buffer of a datagram that was sent, for use again.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.outbox.recycle(buffer);
    }

    /// The link that reaches a peer, and its address there: where it was last heard if that link is up, else the cheapest,
    /// else (where nobody answered) the next of those that there are.
    fn path(&self, at: PeerIndex) -> Option<(LinkId, LinkAddr)> {
        let peer = &self.peers[at];
        if let Keying::Wireguard(wireguard) = &peer.keying {
            return wireguard.paths.current();
        }
        let is_up = |link: &LinkId| self.links.get(link).is_some_and(|state| state.caps.is_some());
        if let Some(path) = peer.heard_on.filter(|(link, _)| is_up(link)) {
            return Some(path);
        }
        let links = self.links.iter().filter_map(|(link, state)| Some((state.caps.as_ref()?, *link)));
        let mut candidates: Vec<_> = links
            .flat_map(|(caps, link)| {
                let reached = peer.endpoints.iter().enumerate().filter(|(_, to)| to.kind() == caps.kind);
                reached.map(move |(order, to)| (caps.cost, link, order, *to))
            })
            .collect();
        candidates.sort_unstable();
        let (_, link, _, to) = *candidates.get(peer.detours.checked_rem(candidates.len())?)?;
        Some((link, to))
    }

    fn push_event(&mut self, event: Event) {
        // Bounded, though the shell drains it after every input.
        if self.events.len() < 1024 {
            self.events.push_back(event);
        }
    }

    fn push_device(&mut self, frame: Vec<u8>) {
        if self.to_device.len() < MAX_DEVICE_FRAMES {
            self.to_device.push_back((frame, Offload::default()));
        } else {
            self.account.count_nobodys(DropReason::QueueOverflow);
        }
    }

    fn is_ours(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|ours| ours.addr() == address)
    }

    /// Returns the next frame for the interface. Poll until there is none after each `handle_*`: what comes in the
    /// meantime may find no room.
    pub fn poll_device(&mut self) -> Option<DeviceFrame<'_>> {
        if let Some((frame, offload)) = self.to_device.pop_front() {
            self.lent = frame;
            return Some(DeviceFrame { bytes: &self.lent, offload });
        }
        self.coalescer.as_mut()?.poll().map(|(bytes, offload)| DeviceFrame { bytes, offload })
    }

    /// Returns the next event for an operator.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn transmit(&mut self, link: LinkId, ready: links::Ready, now: Instant) -> Option<Transmit> {
        let state = self.links.get_mut(&link)?;
        let price = state.datagram_price(ready.payload.len());
        if let Some(budget) = &mut state.budget {
            budget.spend(price, now);
        }
        state.room = state.room.saturating_sub(1);
        let token = self.next_token;
        self.next_token += 1;
        let sent = &mut self.peers[ready.peer].sent;
        sent.datagrams += 1;
        sent.airtime += price;
        let transmit = Transmit {
            link,
            to: ready.to,
            payload: ready.payload.clone(),
            segment: None,
            class: ready.class,
            far: ready.far,
            token,
        };
        self.note_left(link, &ready, Some(now));
        self.links.get_mut(&link)?.remember(token, ready, price, now);
        Some(transmit)
    }
}
