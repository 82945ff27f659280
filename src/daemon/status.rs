//! The state of everything at one moment, put together from what the core, the drivers and the configuration know, as
//! [`meshnet_bus::describe`] lays it out: what `Describe` answers, what SIGUSR1 writes to the status file, and its one-line
//! summary.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use meshnet_bus::describe::{Counters, Link, Network, Path, PathCounters, Peer, PeerRadio, Radio, SCHEMA};
use meshnet_proto::config::PeerMode;
use meshnet_proto::event::{Drops, LinkSnapshot, PeerSnapshot, SessionState, Snapshot, Traffic};
use meshnet_proto::link::{AddrKind, Class, LinkId};

use meshnet_proto::path::PathView;

use crate::config;
use crate::link::LinkStatus;
use crate::peers::Member;

/// What links are called.
pub type LinkNames<'a> = BTreeMap<LinkId, &'a str>;

/// What a snapshot does not know of its network.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The configuration.
    pub config: &'a config::Config,
    /// Everybody we talk to.
    pub peers: &'a [Member],
    /// Our public key.
    pub public_key: meshnet_proto::key::PublicKey,
    /// When the daemon started.
    pub started: Instant,
    /// starting, running, degraded, stopping; and why, if degraded.
    pub state: (&'static str, Option<&'static str>),
}

/// Puts together what the core and the drivers know. Peers are described if they are among `identity.peers` and in the
/// snapshot.
#[must_use]
pub fn describe(
    identity: Identity<'_>,
    snapshot: &Snapshot,
    links: &BTreeMap<LinkId, LinkStatus>,
    now: Instant,
) -> Network {
    let config = identity.config;
    let (state, reason) = identity.state;
    // The core may keep another order: here it is that of the configuration.
    let found: BTreeMap<_, _> = snapshot.peers.iter().map(|peer| (peer.public_key, peer)).collect();
    let names = links.iter().map(|(id, status)| (*id, status.name.as_str())).collect();
    let peers = identity.peers.iter().filter_map(|member| {
        let found = found.get(&member.peer.core.public_key)?;
        Some(peer(found, member, &names, now))
    });
    Network {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        interface: config.tap_name.clone(),
        state: state.to_owned(),
        state_reason: reason.map(str::to_owned),
        public_key: identity.public_key.to_string(),
        addresses: config.addresses.iter().map(ToString::to_string).collect(),
        mtu: config.mtu,
        unix_time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        uptime_seconds: now.saturating_duration_since(identity.started).as_secs(),
        peers: peers.collect(),
        links: links.iter().map(|(id, status)| link(*id, status, &snapshot.links)).collect(),
        drops: drops(&snapshot.drops),
    }
}

/// Says how one peer is, which no other has a part in: neither links nor drops are in it.
#[must_use]
pub fn describe_peer(
    identity: Identity<'_>,
    member: &Member,
    snapshot: &PeerSnapshot,
    links: &LinkNames<'_>,
    now: Instant,
) -> Network {
    let nothing = Snapshot { peers: Vec::new(), links: Vec::new(), drops: Drops::new() };
    let network = describe(Identity { peers: &[], ..identity }, &nothing, &BTreeMap::new(), now);
    Network { peers: vec![peer(snapshot, member, links, now)], ..network }
}

/// Returns the text of the status file.
///
/// # Errors
/// If there is something that JSON cannot say.
pub fn file_text(network: &Network) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(network)?;
    text.push(b'\n');
    Ok(text)
}

/// Returns the summary for the log.
#[must_use]
pub fn summary(network: &Network) -> String {
    let sum = |pick: fn(&Peer) -> u64| network.peers.iter().map(pick).sum::<u64>();
    format!(
        "{} of {} peers connected, {} packets sent, {} received, {} ms of air, {} drops, {}",
        connected(network),
        network.peers.len(),
        sum(|peer| peer.sent.packets),
        sum(|peer| peer.received.packets),
        sum(|peer| peer.sent.airtime_ms),
        network.drops.values().sum::<u64>(),
        states(network),
    )
}

/// How many peers have a session.
#[must_use]
pub fn connected(network: &Network) -> usize {
    network.peers.iter().filter(|peer| peer.state == "established").count()
}

/// The links' names and states, as "radio0 up, roof connecting".
#[must_use]
pub fn states(network: &Network) -> String {
    let links: Vec<String> =
        network.links.iter().map(|link| format!("{} {}", link.name, link.state)).collect();
    links.join(", ")
}

fn peer(snapshot: &PeerSnapshot, member: &Member, links: &LinkNames<'_>, now: Instant) -> Peer {
    let ago = |then: Option<Instant>| then.map(|then| now.saturating_duration_since(then).as_secs());
    let core = &member.peer.core;
    let link = snapshot.endpoint.and_then(|(link, _)| links.get(&link));
    Peer {
        public_key: snapshot.public_key.to_string(),
        name: member.peer.name.clone(),
        mode: mode_name(core.mode).to_owned(),
        origin: member.origin.as_str().to_owned(),
        state: match snapshot.state {
            SessionState::Idle => "idle",
            SessionState::Handshaking => "handshaking",
            SessionState::Established => "established",
        }
        .to_owned(),
        last_handshake_seconds: ago(snapshot.last_handshake),
        last_seen_seconds: ago(snapshot.last_seen),
        endpoint: snapshot.endpoint.map(|(_, to)| to.to_string()),
        link: link.map(|name| (*name).to_owned()),
        endpoints: member.peer.endpoints().map(|endpoint| endpoint.to_string()).collect(),
        allowed_ips: core.allowed_ips.iter().map(ToString::to_string).collect(),
        rtt_ms: snapshot.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        loss: snapshot.loss.map(f64::from),
        sent: counters(snapshot.sent),
        received: counters(snapshot.received),
        waiting: snapshot.waiting.try_into().unwrap_or(u64::MAX),
        drops: drops(&snapshot.drops),
        tier: Some(tier(snapshot).to_owned()),
        path_reason: snapshot.ways.as_ref().map(|ways| ways.why.as_str().to_owned()),
        paths: paths(snapshot, links, now),
    }
}

/// The ways to a peer, the one that is used first.
fn paths(snapshot: &PeerSnapshot, links: &LinkNames<'_>, now: Instant) -> Vec<Path> {
    let mut views: Vec<&PathView> = snapshot.ways.iter().flat_map(|ways| &ways.paths).collect();
    views.sort_by_key(|view| !view.current);
    let path = |view: &PathView| Path {
        link: links.get(&view.link).map(|name| (*name).to_owned()).unwrap_or_default(),
        endpoint: view.to.to_string(),
        tier: view.tier.as_str().to_owned(),
        state: view.state.as_str().to_owned(),
        current: view.current,
        origin: Some(view.origin.as_str().to_owned()),
        last_heard_seconds: view.last_heard.map(|then| now.saturating_duration_since(then).as_secs()),
        rtt_ms: view.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        loss: view.loss.map(f64::from),
        sent: PathCounters {
            datagrams: view.cost.packets,
            bytes: view.cost.bytes,
            airtime_ms: view.cost.airtime_us / 1000,
        },
    };
    views.into_iter().map(path).collect()
}

/// How near a peer is; of a version 1 peer, by what kind of link it is reached.
fn tier(snapshot: &PeerSnapshot) -> &'static str {
    if let Some(ways) = &snapshot.ways {
        return ways.tier.as_str();
    }
    match snapshot.endpoint.map(|(_, to)| to.kind()) {
        None => "offline",
        Some(AddrKind::Radio) => "radio",
        Some(_) => "direct",
    }
}

const fn mode_name(mode: PeerMode) -> &'static str {
    match mode {
        PeerMode::Pki => "PKI",
        PeerMode::Symmetric => "SYMMETRIC",
        PeerMode::Wireguard => "WIREGUARD",
    }
}

fn counters(traffic: Traffic) -> Counters {
    let Traffic { packets, bytes, datagrams, airtime } = traffic;
    Counters { packets, bytes, datagrams, airtime_ms: milliseconds(airtime) }
}

fn drops(drops: &Drops) -> BTreeMap<String, u64> {
    let happened = drops.iter().filter(|(_, count)| **count > 0);
    happened.map(|(reason, count)| (reason.as_str().to_owned(), *count)).collect()
}

fn link(id: LinkId, driver: &LinkStatus, snapshots: &[LinkSnapshot]) -> Link {
    let snapshot = snapshots.iter().find(|snapshot| snapshot.link == id);
    let queued = snapshot.map(|snapshot| {
        let classes = snapshot.queued.iter();
        classes
            .map(|(class, count)| (class_name(*class).to_owned(), u64::try_from(*count).unwrap_or(u64::MAX)))
            .collect()
    });
    Link {
        name: driver.name.clone(),
        kind: driver.kind.to_owned(),
        connect: driver.connect.clone(),
        state: driver.state.to_owned(),
        fault: driver.fault.clone(),
        last_error: driver.last_error.clone(),
        connections: driver.connections,
        up: snapshot.is_some_and(|snapshot| snapshot.up),
        mtu: driver.mtu,
        queued: queued.unwrap_or_default(),
        airtime_used_ms: snapshot.map_or(0, |snapshot| milliseconds(snapshot.airtime_used)),
        airtime_left_ms: snapshot.and_then(|snapshot| snapshot.airtime_left).map(milliseconds),
        sent: driver.sent,
        received: driver.received,
        refused: driver.refused,
        malformed: driver.malformed,
        bytes_out: driver.bytes_out,
        bytes_in: driver.bytes_in,
        radio: radio(driver),
        peers: driver.peers.iter().map(peer_radio).collect(),
    }
}

fn radio(driver: &LinkStatus) -> Radio {
    Radio {
        radio: driver.radio.clone(),
        radio_name: driver.radio_name.clone(),
        firmware: driver.firmware.clone(),
        region: driver.region.map(str::to_owned),
        preset: driver.preset.map(str::to_owned),
        hop_limit: driver.hop_limit,
        channel_index: driver.channel_index,
        channel_name: driver.channel_name.clone(),
        radio_encryption: driver.radio_encryption,
        duty_percent: driver.duty_percent,
        channel_utilization: driver.channel_utilization,
        air_util_tx: driver.air_util_tx,
        queue_free: driver.queue_free,
        queue_len: driver.queue_len,
        stopped_until: driver.stopped_until,
        nodes_known: driver.nodes_known,
        nodes_heard: driver.nodes_heard.try_into().unwrap_or(u64::MAX),
    }
}

fn peer_radio(radio: &crate::link::PeerRadio) -> PeerRadio {
    PeerRadio {
        radio: radio.radio.clone(),
        hops: radio.hops,
        snr: radio.snr,
        rssi: radio.rssi,
        heard: radio.heard,
        key: radio.key.to_owned(),
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
