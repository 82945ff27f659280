//! A node with many peers, each of which is a node too.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ipnet::Ipv4Net;
use meshnet_proto::Node;
use meshnet_proto::config::{Config, PeerConfig, PeerMode};
use meshnet_proto::frame::{ether_type, ethernet, protocol};
use meshnet_proto::key::PrivateKey;
use meshnet_proto::link::{AddrKind, Airtime, LinkAddr, LinkCaps, LinkEvent, LinkId};

pub(crate) const LINK: LinkId = LinkId(0);

/// What a network is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) peers: u16,
    pub(crate) mode: PeerMode,
    /// Of the first peer alone.
    pub(crate) keepalive: Option<Duration>,
}

/// See the module's introduction.
pub(crate) struct Network {
    plan: Plan,
    pub(crate) hub: Node,
    /// The peers, by number from 0: they count from 1 in what they are called by.
    pub(crate) remotes: Vec<Node>,
    pub(crate) now: Instant,
}

#[expect(
    clippy::disallowed_methods,
    reason = "an instant can only come from the clock; its value does not matter"
)]
fn start() -> Instant {
    Instant::now()
}

fn key(at: u16) -> PrivateKey {
    let mut bytes = [7; 32];
    bytes[4..6].copy_from_slice(&at.to_le_bytes());
    PrivateKey::from_random(bytes)
}

fn inner(at: u16) -> Ipv4Addr {
    let [high, low] = at.to_be_bytes();
    Ipv4Addr::new(10, 0, high, low)
}

/// Where a node is on the link.
pub(crate) fn address(mode: PeerMode, at: u16) -> LinkAddr {
    let [high, low] = at.to_be_bytes();
    match mode {
        PeerMode::Wireguard => LinkAddr::udp(SocketAddr::from(([192, 0, high, low], 51820))),
        PeerMode::Pki | PeerMode::Symmetric => LinkAddr::radio(u32::from(at) + 1),
    }
}

fn peer(plan: Plan, at: u16) -> PeerConfig {
    PeerConfig {
        public_key: key(at).public(),
        preshared_key: None,
        allowed_ips: vec![Ipv4Net::from(inner(at)).into()],
        endpoints: vec![address(plan.mode, at)],
        mode: plan.mode,
        keepalive: plan.keepalive.filter(|_| at == 1),
        bulk_over_metered: None,
    }
}

fn node(ours: u16, peers: Vec<PeerConfig>, mode: PeerMode, now: Instant) -> Node {
    let config = Config {
        private_key: key(ours),
        addresses: vec![Ipv4Net::from(inner(ours)).into()],
        mtu: 1400,
        rekey_after_messages: 1 << 60,
        peers,
    };
    let mut node = Node::new(&config, [3; 32], Duration::ZERO, now).expect("the configuration is sound");
    let caps = LinkCaps {
        kind: address(mode, 0).kind(),
        mtu: if mode == PeerMode::Wireguard { 1472 } else { 219 },
        airtime: Airtime::Free,
        cost: 1,
        ordered: false,
        broadcast: address(mode, 0).kind() == AddrKind::Radio,
        segments: 1,
    };
    node.handle_link(LINK, LinkEvent::Up(caps), now);
    node.handle_link(LINK, LinkEvent::Room(u16::MAX), now);
    node
}

/// An IP packet of `len` bytes, in a frame.
pub(crate) fn frame(from: u16, to: u16, len: usize) -> Vec<u8> {
    let mut out = ethernet([2; 6], [4; 6], ether_type::IPV4);
    let total = u16::try_from(len).expect("a short packet").to_be_bytes();
    out.extend([0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, protocol::UDP, 0, 0]);
    out.extend(inner(from).octets());
    out.extend(inner(to).octets());
    out.resize(14 + len, 0x20);
    out
}

/// Takes all that a node wants done, as a shell does after each input; returns how many datagrams that was.
pub(crate) fn drain(node: &mut Node, now: Instant) -> usize {
    let mut sent = 0;
    drain_into(node, now, |_, _| sent += 1);
    sent
}

fn drain_into(node: &mut Node, now: Instant, mut carry: impl FnMut(LinkAddr, &[u8])) {
    let _stored = node.poll_store();
    while node.poll_device().is_some() {}
    while let Some(transmit) = node.poll_transmit(now) {
        carry(transmit.to, &transmit.payload);
        node.recycle(transmit.payload);
    }
    while node.poll_event().is_some() {}
    let _next = node.poll_timeout(now);
}

impl Network {
    pub(crate) fn new(plan: Plan) -> Self {
        let now = start();
        let peers = (1..=plan.peers).map(|at| peer(plan, at)).collect();
        Self { plan, hub: node(0, peers, plan.mode, now), remotes: Vec::new(), now }
    }

    /// Makes the peers that are not there yet: without it they come one by one as they are needed.
    pub(crate) fn populate(&mut self, count: u16) {
        for at in u16::try_from(self.remotes.len()).expect("as many as peers") + 1..=count {
            let hub = peer(Plan { keepalive: None, ..self.plan }, 0);
            self.remotes.push(node(at, vec![hub], self.plan.mode, self.now));
        }
    }

    /// Has the hub send a packet to each peer, and shake hands with whom it has no young session with; it takes less time
    /// than a session lasts.
    pub(crate) fn acquaint(&mut self) {
        for at in 1..=self.plan.peers {
            // More at once would be a flood.
            self.now += Duration::from_millis(if self.plan.mode == PeerMode::Pki { 600 } else { 10 });
            self.populate(at);
            self.hub.handle_device(&frame(0, at, 64), self.now);
            self.exchange(at);
        }
    }

    /// Gives the hub's link room again.
    pub(crate) fn room(&mut self) {
        self.hub.handle_link(LINK, LinkEvent::Room(u16::MAX), self.now);
    }

    /// Carries datagrams between the hub and a peer until none is left.
    fn exchange(&mut self, at: u16) {
        let (mode, now) = (self.plan.mode, self.now);
        let remote = &mut self.remotes[usize::from(at) - 1];
        loop {
            let (mut to_remote, mut to_hub) = (Vec::new(), Vec::new());
            drain_into(&mut self.hub, now, |to, bytes| {
                to_remote.extend((to == address(mode, at)).then(|| bytes.to_vec()));
            });
            for bytes in &to_remote {
                remote.handle_datagram(LINK, address(mode, 0), bytes, now);
            }
            drain_into(remote, now, |_, bytes| to_hub.push(bytes.to_vec()));
            for bytes in &to_hub {
                self.hub.handle_datagram(LINK, address(mode, at), bytes, now);
            }
            if to_hub.is_empty() {
                return;
            }
        }
    }
}
