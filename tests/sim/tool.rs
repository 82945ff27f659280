//! A peer that behaves as the Python tool does, written from the protocol's description: the other implementation that
//! ours must get on with, its weaknesses included.
//!
//! It replaces its session with every init that it answers, loses the frame that starts a handshake, neither sends nor
//! accepts data while its own handshake is under way, and has a kernel behind its interface that asks for addresses on
//! the air, takes only frames to its own MAC address, and answers for its own address alone.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use hkdf::Hkdf;
use meshnet_proto::frame::{Arp, BROADCAST, Frame, Inner, Mac};
use meshnet_proto::key::PrivateKey;
use meshnet_proto::link::{Class, LinkAddr, LinkEvent, Transmit};
use meshnet_proto::neighbour::{arp_answer, question};
use meshnet_proto::v1::fragment::{Piece, Reassembler, split};
use meshnet_proto::v1::handshake::{Attempt, Pair, respond_as_foreign};
use meshnet_proto::v1::replay::ReplayWindow;
use meshnet_proto::v1::session::{Cipher, Session};
use meshnet_proto::v1::wire::{Data, Datagram, Init, Response};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use sha2::Sha256;

use crate::daemon::LINK;
use meshnet_proto::config::{Config, PeerMode};

/// An init goes out again this long after the last one.
const RETRY: Duration = Duration::from_secs(15);
/// So many times in all.
const TRIES: u32 = 3;
/// And the handshake is given up.
const GIVE_UP: Duration = Duration::from_secs(30);
/// A session is renewed at this age.
const REKEY_AFTER: Duration = Duration::from_secs(5 * 3600);
/// How long its kernel believes what it learnt of a neighbour.
const ARP_LIFETIME: Duration = Duration::from_secs(60);
/// How often its kernel asks, how long it waits for each answer, and before it asks for what it knew once.
const ARP_TRIES: u32 = 3;
const ARP_RETRY: Duration = Duration::from_secs(1);
const ARP_DELAY: Duration = Duration::from_secs(5);
/// Frames that its kernel keeps while it asks.
const ARP_QUEUE: usize = 3;
/// What the tool splits at: more than any radio carries.
const CHUNKED_OVER: usize = 233;
/// Datagrams that wait for the radio: the tool fills the radio's own queue and keeps none.
const BACKLOG: usize = 16;

enum Keying {
    Pki { pair: Pair, lower: bool, state: State },
    Symmetric { cipher: Cipher, next: u64, window: ReplayWindow },
}

enum State {
    Idle,
    InitSent { attempt: Attempt, since: Instant, tries: u32, next_at: Instant },
    Established { session: Session, since: Instant, number: u32 },
}

struct Peer {
    addr: LinkAddr,
    allowed: Vec<ipnet::IpNet>,
    keying: Keying,
    message: u16,
}

/// What its kernel knows of a neighbour.
struct Neighbour {
    mac: Option<Mac>,
    /// Until when that is beyond doubt.
    until: Instant,
    /// How often it was asked for, and when it is next.
    asking: Option<(u32, Instant)>,
    waiting: VecDeque<Vec<u8>>,
}

/// See the module's introduction.
pub struct Tool {
    mac: Mac,
    address: Ipv4Addr,
    rekey_after_messages: u64,
    peers: Vec<Peer>,
    neighbours: BTreeMap<Ipv4Addr, Neighbour>,
    reassembler: Reassembler,
    rng: ChaCha8Rng,
    room: u16,
    up: bool,
    out: VecDeque<(LinkAddr, Vec<u8>, Class)>,
    token: u64,
    to_host: VecDeque<Vec<u8>>,
}

impl Tool {
    /// Starts one. Its MAC address and its first counters come from `seed`.
    ///
    /// # Panics
    /// If the configuration is none that the tool takes.
    #[must_use]
    pub fn new(config: &Config, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut mac = [0x06; 6];
        rng.fill_bytes(&mut mac[1..]);
        let ours = config.private_key.public();
        let peers = config.peers.iter().map(|peer| {
            let keying = match (peer.mode, &peer.preshared_key) {
                (PeerMode::Symmetric, Some(psk)) => {
                    let mut key = [0; 32];
                    Hkdf::<Sha256>::new(Some(b"symmetric"), psk.expose())
                        .expand(b"meshnet-symmetric-key", &mut key)
                        .expect("32 bytes are no more than HKDF gives");
                    let cipher = Cipher::new(&key);
                    Keying::Symmetric { cipher, next: rng.next_u64(), window: ReplayWindow::new() }
                }
                (PeerMode::Symmetric, None) => panic!("a symmetric peer needs a preshared key"),
                (PeerMode::Wireguard, _) => panic!("the tool does not speak WireGuard"),
                (PeerMode::Pki, psk) => Keying::Pki {
                    pair: Pair::new(config.private_key.clone(), peer.public_key, psk.clone())
                        .expect("test keys are sound"),
                    lower: ours < peer.public_key,
                    state: State::Idle,
                },
            };
            Peer { addr: peer.endpoints[0], allowed: peer.allowed_ips.clone(), keying, message: 0 }
        });
        let peers = peers.collect();
        let IpAddr::V4(address) = config.addresses[0].addr() else { panic!("the tool's address is IPv4") };
        Self {
            mac,
            address,
            rekey_after_messages: config.rekey_after_messages,
            peers,
            neighbours: BTreeMap::new(),
            reassembler: Reassembler::default(),
            rng,
            room: 0,
            up: false,
            out: VecDeque::new(),
            token: 0,
            to_host: VecDeque::new(),
        }
    }

    /// Its interface's MAC address.
    #[must_use]
    pub const fn mac(&self) -> Mac {
        self.mac
    }

    /// Its kernel sends an IPv4 packet: to a neighbour whose MAC address it must know.
    pub fn handle_device(&mut self, frame: &[u8], now: Instant) {
        let Ok(Frame { inner: Inner::Ip(packet), .. }) = Frame::parse(frame) else { return };
        let IpAddr::V4(destination) = packet.destination else { return };
        let neighbour = self.neighbours.entry(destination).or_insert(Neighbour {
            mac: None,
            until: now,
            asking: None,
            waiting: VecDeque::new(),
        });
        if let Some(mac) = neighbour.mac {
            if neighbour.until <= now && neighbour.asking.is_none() {
                // Stale, but good enough; it is asked for if nothing confirms it.
                neighbour.asking = Some((0, now + ARP_DELAY));
            }
            let mut frame = frame.to_vec();
            frame[..6].copy_from_slice(&mac);
            frame[6..12].copy_from_slice(&self.mac);
            return self.forward(destination, &frame, now);
        }
        neighbour.waiting.push_back(frame.to_vec());
        if neighbour.waiting.len() > ARP_QUEUE {
            neighbour.waiting.pop_front();
        }
        if neighbour.asking.is_none() {
            neighbour.asking = Some((1, now + ARP_RETRY));
            self.ask(destination, now);
        }
    }

    fn ask(&mut self, whom: Ipv4Addr, now: Instant) {
        if let Some(frame) = question(self.mac, self.address.into(), whom.into()) {
            self.forward(whom, &frame, now);
        }
    }

    /// The daemon reads a frame from its interface.
    fn forward(&mut self, destination: Ipv4Addr, frame: &[u8], now: Instant) {
        let owner = self
            .peers
            .iter()
            .position(|peer| peer.allowed.iter().any(|prefix| prefix.contains(&IpAddr::from(destination))));
        let Some(at) = owner else { return };
        let limit = self.rekey_after_messages;
        let peer = &mut self.peers[at];
        let sealed = match &mut peer.keying {
            Keying::Symmetric { cipher, next, .. } => {
                let counter = *next;
                *next = next.wrapping_add(1);
                Some((counter, cipher.seal(counter, frame)))
            }
            Keying::Pki { state, .. } => match state {
                State::Established { session, since, .. }
                    if now.saturating_duration_since(*since) < REKEY_AFTER && session.sent() < limit =>
                {
                    Some(session.seal(frame))
                }
                State::InitSent { .. } => None,
                State::Idle | State::Established { .. } => return self.start(at, now),
            },
        };
        let Some((counter, ciphertext)) = sealed else { return };
        let to = peer.addr;
        for datagram in split(counter, &ciphertext, &mut peer.message, CHUNKED_OVER).into_iter().flatten() {
            self.send(to, datagram, Class::Bulk);
        }
    }

    /// The frame that starts a handshake is lost.
    fn start(&mut self, at: usize, now: Instant) {
        let mut ephemeral = [0; 32];
        self.rng.fill_bytes(&mut ephemeral);
        let number = self.rng.next_u32();
        let peer = &mut self.peers[at];
        let Keying::Pki { pair, state, .. } = &mut peer.keying else { return };
        let attempt = Attempt::foreign(pair, PrivateKey::from_random(ephemeral), number);
        let (to, init) = (peer.addr, attempt.init().emit().to_vec());
        *state = State::InitSent { attempt, since: now, tries: 1, next_at: now + RETRY };
        self.send(to, init, Class::Handshake);
    }

    fn send(&mut self, to: LinkAddr, payload: Vec<u8>, class: Class) {
        if self.up && self.out.len() < BACKLOG {
            self.out.push_back((to, payload, class));
        }
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, from: LinkAddr, bytes: &[u8], now: Instant) {
        let Some(at) = self.peers.iter().position(|peer| peer.addr == from) else { return };
        match Datagram::parse(bytes) {
            Ok(Datagram::Init(init)) => self.init(at, &init, now),
            Ok(Datagram::Response(response)) => self.response(at, &response, now),
            Ok(Datagram::Data(data)) => self.data(at, &data, now),
            Ok(Datagram::Fragment(fragment)) => {
                if let Piece::Whole { counter, ciphertext } = self.reassembler.push(from, &fragment, now) {
                    self.data(at, &Data { counter, ciphertext: &ciphertext }, now);
                }
            }
            Err(_) => {}
        }
    }

    fn init(&mut self, at: usize, init: &Init, now: Instant) {
        let mut ephemeral = [0; 32];
        self.rng.fill_bytes(&mut ephemeral);
        let peer = &mut self.peers[at];
        let Keying::Pki { pair, lower, state } = &mut peer.keying else { return };
        let ignored = match state {
            State::InitSent { .. } => *lower,
            State::Established { number, .. } => *number == init.session,
            State::Idle => false,
        };
        if ignored {
            return;
        }
        let Ok((response, keys)) = respond_as_foreign(pair, init, &PrivateKey::from_random(ephemeral)) else {
            return;
        };
        *state = State::Established { session: Session::new(&keys), since: now, number: init.session };
        let to = peer.addr;
        self.send(to, response.emit().to_vec(), Class::Handshake);
    }

    fn response(&mut self, at: usize, response: &Response, now: Instant) {
        let Keying::Pki { pair, state, .. } = &mut self.peers[at].keying else { return };
        let State::InitSent { attempt, .. } = state else { return };
        if attempt.number() != response.receiver {
            return;
        }
        if let Ok(keys) = attempt.finish(pair, response) {
            *state =
                State::Established { session: Session::new(&keys), since: now, number: response.receiver };
        }
    }

    fn data(&mut self, at: usize, data: &Data<'_>, now: Instant) {
        let opened = match &mut self.peers[at].keying {
            Keying::Pki { state: State::Established { session, .. }, .. } => session.open(data).ok(),
            Keying::Pki { .. } => None,
            Keying::Symmetric { cipher, window, .. } => {
                let opened = cipher.open(data).ok().filter(|_| window.allows(data.counter));
                opened.filter(|_| window.mark(data.counter))
            }
        };
        if let Some(frame) = opened {
            self.hand_up(frame, now);
        }
    }

    /// Its kernel gets a frame.
    fn hand_up(&mut self, frame: Vec<u8>, now: Instant) {
        let Ok(Frame { destination, inner, .. }) = Frame::parse(&frame) else { return };
        if destination != self.mac && destination != BROADCAST {
            return;
        }
        match inner {
            Inner::Arp(arp) => self.arp(&arp, now),
            Inner::Ip(packet) if packet.destination == IpAddr::from(self.address) => {
                self.to_host.push_back(frame);
            }
            Inner::Ip(_) | Inner::Other => {}
        }
    }

    fn arp(&mut self, arp: &Arp, now: Instant) {
        if arp.target == self.address && arp.is_request {
            let answer = arp_answer(arp, arp.target, self.mac);
            self.forward(arp.sender, &answer, now);
        }
        let Some(neighbour) = self.neighbours.get_mut(&arp.sender) else { return };
        (neighbour.mac, neighbour.asking, neighbour.until) = (Some(arp.sender_mac), None, now + ARP_LIFETIME);
        for frame in std::mem::take(&mut neighbour.waiting) {
            self.handle_device(&frame, now);
        }
    }

    /// Takes what the link says.
    pub fn handle_link(&mut self, event: &LinkEvent) {
        match event {
            LinkEvent::Up(_) => self.up = true,
            LinkEvent::Down => {
                (self.up, self.room) = (false, 0);
                self.out.clear();
            }
            LinkEvent::Room(room) => self.room = *room,
            _ => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for at in 0..self.peers.len() {
            let peer = &mut self.peers[at];
            let to = peer.addr;
            let Keying::Pki { state, .. } = &mut peer.keying else { continue };
            let State::InitSent { attempt, since, tries, next_at } = state else { continue };
            if *since + GIVE_UP <= now {
                *state = State::Idle;
            } else if *next_at <= now {
                (*tries, *next_at) = (*tries + 1, now + RETRY);
                let again = (*tries <= TRIES).then(|| attempt.init().emit().to_vec());
                if let Some(init) = again {
                    self.send(to, init, Class::Handshake);
                }
            }
        }
        let is_due = |neighbour: &Neighbour| neighbour.asking.is_some_and(|(_, at)| at <= now);
        let due = self.neighbours.iter().filter(|(_, neighbour)| is_due(neighbour));
        let due: Vec<Ipv4Addr> = due.map(|(address, _)| *address).collect();
        for address in due {
            let Some(neighbour) = self.neighbours.get_mut(&address) else { continue };
            let asked = neighbour.asking.map_or(0, |(asked, _)| asked);
            if asked >= ARP_TRIES {
                // An answer that comes late is still good for the next packet.
                (neighbour.mac, neighbour.asking) = (None, None);
                neighbour.waiting.clear();
            } else {
                neighbour.asking = Some((asked + 1, now + ARP_RETRY));
                self.ask(address, now);
            }
        }
    }

    /// Returns a packet for its host.
    pub fn poll_device(&mut self) -> Option<Vec<u8>> {
        self.to_host.pop_front()
    }

    /// Returns a datagram, if the link has room.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.room.checked_sub(1)?;
        let (to, payload, class) = self.out.pop_front()?;
        self.room -= 1;
        self.token += 1;
        Some(Transmit { link: LINK, to, payload, segment: None, class, far: false, token: self.token })
    }

    /// Returns when something is due, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let handshakes = self.peers.iter().filter_map(|peer| match &peer.keying {
            Keying::Pki { state: State::InitSent { since, next_at, .. }, .. } => {
                Some(((*since + GIVE_UP).min(*next_at), "handshake"))
            }
            _ => None,
        });
        let asking = self.neighbours.values().filter_map(|neighbour| neighbour.asking);
        handshakes.chain(asking.map(|(_, at)| (at, "address"))).min()
    }
}
