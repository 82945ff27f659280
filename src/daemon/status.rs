//! The status snapshot: what SIGUSR1 writes as JSON, and its one-line summary. docs/status.md describes the fields; a field
//! that is added needs no new schema number, one that goes or changes its meaning does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use meshnet_proto::event::{LinkSnapshot, PeerSnapshot, SessionState, Snapshot, Traffic};
use meshnet_proto::link::Class;
use serde::Serialize;

use crate::config::Config;
use crate::link::LinkStatus;

/// The version of the fields' meaning.
pub const SCHEMA: u32 = 1;

/// A network at one moment.
#[derive(Debug, Serialize)]
pub struct Status {
    schema: u32,
    version: &'static str,
    interface: String,
    public_key: String,
    addresses: Vec<String>,
    mtu: u16,
    unix_time: u64,
    uptime_seconds: u64,
    peers: Vec<Peer>,
    links: Vec<Link>,
    drops: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct Peer {
    public_key: String,
    name: Option<String>,
    state: &'static str,
    last_handshake_seconds: Option<u64>,
    last_seen_seconds: Option<u64>,
    endpoint: Option<String>,
    link: Option<String>,
    allowed_ips: Vec<String>,
    sent: Counters,
    received: Counters,
    waiting: usize,
}

#[derive(Debug, Serialize)]
struct Counters {
    packets: u64,
    bytes: u64,
    datagrams: u64,
    airtime_ms: u64,
}

#[derive(Debug, Serialize)]
struct Link {
    #[serde(flatten)]
    driver: LinkStatus,
    up: bool,
    queued: BTreeMap<&'static str, usize>,
    airtime_used_ms: u64,
    airtime_left_ms: Option<u64>,
}

/// What a snapshot does not know of its network.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Our public key.
    pub public_key: meshnet_proto::key::PublicKey,
    /// When the daemon started.
    pub started: Instant,
}

impl Status {
    /// Puts together what the core and the drivers know.
    #[must_use]
    pub fn new(identity: Identity<'_>, snapshot: &Snapshot, links: &[LinkStatus], now: Instant) -> Self {
        let config = identity.config;
        let names: Vec<&str> = config.links.iter().map(|link| link.name.as_str()).collect();
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            interface: config.tap_name.clone(),
            public_key: identity.public_key.to_string(),
            addresses: config.addresses.iter().map(ToString::to_string).collect(),
            mtu: config.mtu,
            unix_time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            uptime_seconds: now.saturating_duration_since(identity.started).as_secs(),
            peers: snapshot.peers.iter().map(|peer| Peer::new(peer, config, &names, now)).collect(),
            links: links
                .iter()
                .enumerate()
                .map(|(index, link)| Link::new(index, link, &snapshot.links))
                .collect(),
            drops: snapshot
                .drops
                .iter()
                .filter(|(_, count)| **count > 0)
                .map(|(reason, count)| (reason.as_str(), *count))
                .collect(),
        }
    }

    /// Returns the JSON text, with a final line end.
    ///
    /// # Errors
    /// If there is something that JSON cannot say.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Returns the summary for the log.
    #[must_use]
    pub fn summary(&self) -> String {
        let established = self.peers.iter().filter(|peer| peer.state == "established").count();
        let sum = |pick: fn(&Peer) -> u64| self.peers.iter().map(pick).sum::<u64>();
        let links: Vec<String> =
            self.links.iter().map(|link| format!("{} {}", link.driver.name, link.driver.state)).collect();
        format!(
            "{established} of {} peers connected, {} packets sent, {} received, {} ms of air, {} drops, {}",
            self.peers.len(),
            sum(|peer| peer.sent.packets),
            sum(|peer| peer.received.packets),
            sum(|peer| peer.sent.airtime_ms),
            self.drops.values().sum::<u64>(),
            links.join(", "),
        )
    }
}

impl Peer {
    fn new(snapshot: &PeerSnapshot, config: &Config, links: &[&str], now: Instant) -> Self {
        let ago = |then: Option<Instant>| then.map(|then| now.saturating_duration_since(then).as_secs());
        let configured = config.peers.iter().find(|peer| peer.core.public_key == snapshot.public_key);
        let prefixes = configured.map(|peer| peer.core.allowed_ips.iter().map(ToString::to_string).collect());
        Self {
            public_key: snapshot.public_key.to_string(),
            name: configured.and_then(|peer| peer.name.clone()),
            state: match snapshot.state {
                SessionState::Idle => "idle",
                SessionState::Handshaking => "handshaking",
                SessionState::Established => "established",
            },
            last_handshake_seconds: ago(snapshot.last_handshake),
            last_seen_seconds: ago(snapshot.last_seen),
            endpoint: snapshot.endpoint.map(|(_, to)| to.to_string()),
            link: snapshot
                .endpoint
                .and_then(|(link, _)| links.get(usize::from(link.0)).map(|name| (*name).to_owned())),
            allowed_ips: prefixes.unwrap_or_default(),
            sent: snapshot.sent.into(),
            received: snapshot.received.into(),
            waiting: snapshot.waiting,
        }
    }
}

impl From<Traffic> for Counters {
    fn from(traffic: Traffic) -> Self {
        let Traffic { packets, bytes, datagrams, airtime } = traffic;
        Self { packets, bytes, datagrams, airtime_ms: milliseconds(airtime) }
    }
}

impl Link {
    fn new(index: usize, driver: &LinkStatus, snapshots: &[LinkSnapshot]) -> Self {
        let snapshot = snapshots.iter().find(|snapshot| usize::from(snapshot.link.0) == index);
        let queued =
            snapshot.map(|s| s.queued.iter().map(|(class, count)| (class_name(*class), *count)).collect());
        Self {
            driver: driver.clone(),
            up: snapshot.is_some_and(|snapshot| snapshot.up),
            queued: queued.unwrap_or_default(),
            airtime_used_ms: snapshot.map_or(0, |snapshot| milliseconds(snapshot.airtime_used)),
            airtime_left_ms: snapshot.and_then(|snapshot| snapshot.airtime_left).map(milliseconds),
        }
    }
}

const fn class_name(class: Class) -> &'static str {
    match class {
        Class::Handshake => "handshake",
        Class::Control => "control",
        Class::Interactive => "interactive",
        Class::Bulk => "bulk",
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
