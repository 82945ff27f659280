//! Who watches a world: what must hold at every step, whatever happens in it.
//!
//! - What a host gets is byte for byte what another host sent to it, and it gets it once.
//! - No counter is used twice under one key.
//! - No radio sends more in any hour than its region's law allows.
//! - Every packet that a host handed in was sent, is counted as dropped, or waits; what waits is bounded.
//! - A host gets nothing from a station that is none of its node's peers.
//! - Where air is free, packets and initiations go only to addresses that the operator or an answer vouches for.
//! - A ping of a node's has one outcome, and no host gets its answer.
//! - A machine wakes for reasons that are known.

mod audit;
mod describe;
mod law;
mod look;
mod pings;
mod proof;
mod seals;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use meshnet_proto::config::PeerMode;
use meshnet_proto::frame::{Frame, Inner, protocol};
use meshnet_proto::link::LinkAddr;
use meshnet_proto::meshtastic::airtime::Region;

use self::law::Law;
use self::pings::Pings;
use self::proof::Proofs;
use self::seals::Forgets;
pub use self::seals::Seals;
use crate::internet;
use crate::packet::{self, Kind};
use crate::station::{Did, Station};
use crate::world::{Plan, num};

/// Every reason that a machine gives for waking.
const REASONS: &[&str] = &[
    "air",
    "connect",
    "handshake",
    "session end",
    "old keys",
    "proof",
    "address",
    "expiry",
    "airtime",
    "acknowledgement",
    "ping",
    "network",
    "silence",
    "probe",
    "probe-lost",
    "keepalive",
    "persistent keepalive",
    "renewal",
    "fragments",
    "state",
    "radio wakes",
    "radio configuration",
    "radio queue",
    "radio key",
    "radio filler",
    "radio heartbeat",
    "radio answer",
];
/// A machine that wakes for one reason so soon after it woke for it, and so often in a row, does nothing by it.
const RESTLESS: Duration = Duration::from_millis(2);
const MAX_RESTLESS: u32 = 500;
/// Lines of the flow that are kept.
const FLOW: usize = 4000;
/// Datagrams that are kept for those who would replay them.
const RECORDED: usize = 256;
/// A packet of a host's.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Who sent it.
    pub from: usize,
    /// To whom; nobody may get it if there is nobody.
    pub to: Option<usize>,
    /// What it is like.
    pub kind: Kind,
    /// Bytes behind its headers.
    pub data: usize,
    /// When it was sent.
    pub sent: Instant,
    /// When it arrived.
    pub delivered: Option<Instant>,
    /// When its sender was told that it would not.
    pub refused: Option<Instant>,
}

/// A datagram that was seen.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Who sent it.
    pub from: usize,
    /// To whom.
    pub to: LinkAddr,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// The counters that one direction of a pair used.
#[derive(Debug, Default)]
struct Counters {
    /// Handshake messages that came: each may have given the sender a key.
    handshakes: usize,
    /// What was sealed with each counter, by its start.
    used: BTreeMap<u64, BTreeSet<Vec<u8>>>,
}

/// See the module's introduction.
pub struct Watch {
    /// When the world began.
    pub start: Instant,
    /// All packets, by number.
    pub packets: Vec<Packet>,
    /// Packets that hosts wrote themselves, by number.
    written: BTreeMap<u16, Vec<u8>>,
    /// Those of them that arrived, and where.
    pub arrived: VecDeque<(usize, Vec<u8>)>,
    /// Datagrams seen lately.
    pub recorded: VecDeque<Recorded>,
    /// How often something woke, by reason.
    pub wakeups: BTreeMap<&'static str, u64>,
    /// Datagrams that daemons handed to their links.
    pub datagrams: u64,
    /// Those of them that start a handshake.
    pub inits: u64,
    /// Transmissions of radios on behalf of others.
    pub relayed: u64,
    /// Datagrams that links refused, by reason.
    pub refusals: BTreeMap<String, u64>,
    /// Stations whose daemon lost its state: their symmetric peers' packets may come again.
    forgetful: BTreeSet<usize>,
    symmetric: BTreeSet<(usize, usize)>,
    /// Stations, and others that are not, or not reachable as, their peers.
    strangers: BTreeSet<(usize, usize)>,
    pings: Pings,
    /// What woke last, when, and how often in a row.
    woke: Option<(&'static str, Instant)>,
    restless: u32,
    /// What WIREGUARD sessions seal.
    pub seals: Seals,
    _forgets: Forgets,
    proofs: Proofs,
    wireguard: BTreeSet<(usize, usize)>,
    tools: Vec<bool>,
    counters: BTreeMap<(usize, usize), Counters>,
    laws: Vec<Law>,
    duty: f64,
    flow: VecDeque<(Instant, String)>,
}

impl Watch {
    /// Starts to watch.
    #[must_use]
    pub fn new(plan: &Plan, seals: Seals, now: Instant) -> Self {
        let count = plan.stations.len();
        let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
        let symmetric = pairs.filter(|&(a, b)| a != b && plan.pair(a, b).mode == PeerMode::Symmetric);
        let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
        let wireguard = pairs.filter(|&(a, b)| a != b && plan.pair(a, b).mode == PeerMode::Wireguard);
        let region = Region::from_number(Region::number_of(plan.region).unwrap_or(Region::UNSET));
        Self {
            start: now,
            packets: Vec::new(),
            written: BTreeMap::new(),
            arrived: VecDeque::new(),
            recorded: VecDeque::new(),
            wakeups: BTreeMap::new(),
            datagrams: 0,
            inits: 0,
            relayed: 0,
            refusals: BTreeMap::new(),
            forgetful: BTreeSet::new(),
            symmetric: symmetric.collect(),
            strangers: BTreeSet::new(),
            pings: Pings::default(),
            woke: None,
            restless: 0,
            seals,
            _forgets: Forgets(seals),
            proofs: Proofs::default(),
            wireguard: wireguard.collect(),
            tools: plan.stations.iter().map(|station| station.tool).collect(),
            counters: BTreeMap::new(),
            laws: (0..count).map(|_| Law::default()).collect(),
            duty: f64::from(region.duty_permille) / 1000.0,
            flow: VecDeque::new(),
        }
    }

    fn note(&mut self, now: Instant, line: String) {
        self.flow.push_back((now, line));
        if self.flow.len() > FLOW {
            self.flow.pop_front();
        }
    }

    /// Notes a step of the story.
    pub fn handle_story(&mut self, line: &str, now: Instant) {
        self.note(now, format!("* {line}"));
    }

    /// A daemon starts.
    pub fn handle_start(&mut self, at: usize, now: Instant) {
        self.note(now, format!("{at}: daemon starts"));
        self.proofs.handle_fresh(at, true);
        self.laws[at].daemon_forgot = Some((now - self.start).as_secs_f64());
        if self.tools[at] {
            self.forgetful.insert(at);
        }
    }

    /// A daemon dies.
    pub fn handle_kill(&mut self, _at: usize) {}

    /// A host slept.
    pub fn handle_resume(&mut self, at: usize) {
        self.proofs.handle_fresh(at, false);
    }

    /// A daemon lost its state.
    pub fn handle_lost_state(&mut self, at: usize) {
        self.forgetful.insert(at);
    }

    /// From here on `other` is a peer of a station's, or is not.
    pub fn handle_peer(&mut self, at: usize, other: usize, is_peer: bool) {
        self.proofs.handle_peer(at, other);
        if is_peer {
            self.strangers.remove(&(at, other));
        } else {
            self.strangers.insert((at, other));
        }
    }

    /// A station's link is another one: what it knew of the air is gone.
    pub fn handle_new_link(&mut self, at: usize, now: Instant) {
        self.note(now, format!("{at}: another link"));
        self.laws[at].daemon_forgot = Some((now - self.start).as_secs_f64());
    }

    /// A node pings another's host.
    pub fn handle_ping(&mut self, at: usize, life: u64, token: u64, to: usize, now: Instant) {
        self.pings.handle_sent(at, life, token, to, now);
    }

    /// A radio resets.
    pub fn handle_reboot(&mut self, at: usize, now: Instant) {
        self.note(now, format!("{at}: radio resets"));
        self.laws[at].radio_forgot = Some((now - self.start).as_secs_f64());
    }

    /// A machine wakes.
    ///
    /// # Panics
    /// If nobody knows the reason, or it is the same again and again.
    pub fn handle_wakeup(&mut self, why: &'static str, now: Instant) {
        let at_once = self.woke.is_some_and(|(before, at)| before == why && now - at <= RESTLESS);
        self.restless = if at_once { self.restless + 1 } else { 0 };
        self.woke = Some((why, now));
        assert!(self.restless < MAX_RESTLESS, "a machine wakes again and again, in vain: {why}");
        assert!(REASONS.contains(&why), "a machine wakes for a reason that nobody knows: {why}");
        *self.wakeups.entry(why).or_default() += 1;
    }

    /// A host sends a packet; returns its number.
    pub fn handle_send(&mut self, from: usize, to: usize, kind: Kind, data: usize, now: Instant) -> u16 {
        self.add(Packet { from, to: Some(to), kind, data, sent: now, delivered: None, refused: None })
    }

    /// The packet with this number is one that its host wrote, and arrives as that.
    pub fn handle_written(&mut self, number: u16, bytes: &[u8]) {
        self.written.insert(number, bytes.to_vec());
    }

    /// A host sends a packet that nobody may get.
    pub fn handle_foreign(&mut self, from: usize, now: Instant) -> u16 {
        let kind = Kind::Udp { port: 7 };
        self.add(Packet { from, to: None, kind, data: 0, sent: now, delivered: None, refused: None })
    }

    fn add(&mut self, packet: Packet) -> u16 {
        let number = u16::try_from(self.packets.len()).expect("a world has fewer packets than numbers");
        let (now, to) = (packet.sent, packet.to.map_or("nobody".to_owned(), |to| to.to_string()));
        self.note(
            now,
            format!("{} hands in #{number} for {to}: {:?}, {} bytes", packet.from, packet.kind, packet.data),
        );
        self.packets.push(packet);
        number
    }

    /// Somebody replays or invents a datagram.
    pub fn handle_injected(&mut self, at: usize, from: LinkAddr, payload: &[u8], now: Instant) {
        self.note(now, format!("!! → {at} as {from}: {}", describe::metered(payload)));
        self.note_handshake(at, from, payload);
    }

    /// Something comes to a station's socket.
    pub fn handle_arrival(&mut self, at: usize, from: SocketAddr, payload: &[u8], now: Instant) {
        self.note(now, format!("{at} ← {from}: {}", describe::free(payload)));
        self.proofs.handle_arrival(at, from, payload, now);
    }

    /// Whether a frame holds a ping: from whom, and how long.
    #[must_use]
    pub fn ping_in(&self, at: usize, frame: &[u8]) -> Option<(usize, usize)> {
        let Ok(Frame { inner: Inner::Ip(packet), .. }) = Frame::parse(frame) else { return None };
        let ping = self.packets.get(usize::from(packet::number(packet.bytes)?))?;
        let is_fresh = packet.protocol == protocol::ICMP && packet::unreachable(packet.bytes).is_none();
        (is_fresh && ping.kind == Kind::Ping && ping.to == Some(at)).then_some((ping.from, ping.data))
    }

    /// Looks at what a station did. Returns what its host answers by itself to a ping of another's node, and to whom.
    ///
    /// # Errors
    /// If it must not.
    pub fn handle(
        &mut self,
        at: usize,
        station: &Station,
        did: &Did,
        now: Instant,
    ) -> Result<Option<(usize, Vec<u8>)>, String> {
        if let Did::Delivered(frame) = did {
            return self.delivered(at, station, frame, now);
        }
        self.look(at, station, did, now).map(|()| None)
    }

    /// Writes down what happened lately.
    #[must_use]
    pub fn flow(&self) -> String {
        let mut out = String::new();
        for (at, line) in &self.flow {
            let _infallible = writeln!(out, "{:12.3}  {line}", (*at - self.start).as_secs_f64());
        }
        out
    }
}

/// The station whose radio has this number.
#[must_use]
pub fn station_of(radio: u32) -> Option<usize> {
    (0..16).find(|at| num(*at) == radio)
}

/// The station that has an address, or had it.
#[must_use]
pub fn station_at(address: LinkAddr) -> Option<usize> {
    match (address.as_radio(), address.as_udp()) {
        (Some(radio), _) => station_of(radio),
        (_, Some(address)) => internet::station_of(address),
        _ => None,
    }
}
