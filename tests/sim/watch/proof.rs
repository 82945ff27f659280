//! Where packets and initiations go when air is free: nowhere but to addresses that the operator, or an answer, vouches for.
//!
//! An answer, as seen from outside: the station sent something to the address; the peer that the packet is for got just that;
//! and after that something which that peer sent came to the station from the address, unchanged. Whoever is not on the way
//! between the address and the peer cannot bring this about, by whatever he replays and from wherever. What vouches for one
//! peer vouches for no other.
//!
//! A peer whose configuration knows of no radio may be a WireGuard of somebody else's, who answers nothing: there it is enough,
//! as WireGuard says, that something which the peer sent came from the address. But only until a probe of one of the two was
//! answered: then each knows the other for one of ours.
//!
//! Whom a packet is for is told by its index, which that peer chose in a handshake, seen here. Indices that were agreed on by
//! radio are not to be seen; there any peer may be meant.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use meshnet_proto::config::{PeerConfig, PeerMode};
use meshnet_proto::key::PublicKey;
use meshnet_proto::link::{AddrKind, LinkAddr};
use meshnet_proto::wg::mac::Cookies;

use crate::station::Station;
use crate::world::public_key;

/// A data message with a probe, or the answer to one, in it: header, a plaintext padded to 16 bytes, tag. Every packet is
/// longer.
const PROBE_LEN: usize = 48;
const INIT: u8 = 1;
const INIT_LEN: usize = 148;
const RESPONSE: u8 = 2;
const DATA: u8 = 4;
const MAC_LEN: usize = 16;
/// What comes later than this after it was sent may find the keys gone that it was sealed with.
const FRESH: Duration = Duration::from_secs(10);

/// A datagram that a station sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    by: usize,
    to: SocketAddr,
    at: u64,
    when: Instant,
    /// Whose question it answers, and when that was sent.
    answers: Option<(usize, u64)>,
}

/// A question that has just come to a station.
#[derive(Debug, Clone, Copy)]
struct Asked {
    by: usize,
    from: SocketAddr,
    /// When it was sent.
    sent: u64,
    now: Instant,
}

/// See the module's introduction.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// Orders all that happens.
    next: u64,
    sent: BTreeMap<u64, Sent>,
    /// Since when a station (the last) knows what another sent to an address.
    told: BTreeMap<(usize, SocketAddr, usize), u64>,
    /// Addresses whose answers came to a station, from whom.
    answered: BTreeSet<(usize, SocketAddr, usize)>,
    /// Addresses from which came what a peer sent.
    heard: BTreeSet<(usize, SocketAddr, usize)>,
    /// Which station chose an index, as it travels.
    indices: BTreeMap<[u8; 4], usize>,
    /// The question that each station would answer next.
    asked: BTreeMap<usize, Asked>,
    /// Stations that know another for one of ours, by a question and its answer.
    kin: BTreeSet<(usize, usize)>,
    /// Since when each station remembers.
    began: BTreeMap<usize, u64>,
}

/// Tells datagrams apart, but for what nobody authenticates: the second MAC of a handshake message (the WireGuard paper,
/// section 5.4.7) counts only under load.
fn name(payload: &[u8]) -> u64 {
    let is_handshake = payload.first().is_some_and(|kind| *kind < DATA);
    let len = if is_handshake { payload.len().saturating_sub(MAC_LEN) } else { payload.len() };
    let mut hasher = DefaultHasher::new();
    payload[..len].hash(&mut hasher);
    hasher.finish()
}

/// The bytes by which a message names a session: the sender's index in a handshake, the receiver's in data.
fn index(payload: &[u8]) -> Option<[u8; 4]> {
    payload.get(4..8)?.try_into().ok()
}

/// Whether an initiation is for the holder of this key: its first MAC says so.
fn is_init_for(key: &PublicKey, payload: &[u8], now: Instant) -> bool {
    let mut stamped = payload.to_vec();
    Cookies::new(key).stamp(&mut stamped, now);
    name(&stamped) == name(payload)
}

impl Proofs {
    /// A station forgets whom it knows, because its daemon starts, or may have lost its keys, because it slept.
    pub(super) fn handle_fresh(&mut self, at: usize, forgets: bool) {
        self.next += 1;
        self.began.insert(at, self.next);
        self.asked.remove(&at);
        if forgets {
            self.kin.retain(|(ours, _)| *ours != at);
        }
    }

    /// What a station knows of another may be forgotten, because its configuration says something else.
    pub(super) fn handle_peer(&mut self, at: usize, other: usize) {
        self.kin.remove(&(at, other));
    }

    /// Something reaches a station's socket.
    pub(super) fn handle_arrival(&mut self, at: usize, from: SocketAddr, payload: &[u8], now: Instant) {
        self.asked.remove(&at);
        let Some(sent) = self.sent.get(&name(payload)).copied().filter(|sent| sent.by != at) else { return };
        self.next += 1;
        self.told.entry((sent.by, sent.to, at)).or_insert(self.next);
        self.heard.insert((at, from, sent.by));
        // What the other sent since it was told, by whatever way, may be an answer.
        if self.told.get(&(at, from, sent.by)).is_some_and(|told| *told < sent.at) {
            self.answered.insert((at, from, sent.by));
        }
        let began = self.began.get(&at).copied().unwrap_or_default();
        if sent.answers.is_some_and(|(asker, question)| asker == at && question > began)
            && now - sent.when < FRESH
        {
            self.kin.insert((at, sent.by));
        }
        if is_probe(payload) {
            self.asked.insert(at, Asked { by: sent.by, from, sent: sent.at, now });
        }
    }

    /// A station sends a datagram where air is free.
    pub(super) fn handle_sent(
        &mut self,
        at: usize,
        station: &Station,
        to: SocketAddr,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), String> {
        self.next += 1;
        // Answers are given at once, to where the question came from.
        let is_answer = |asked: &Asked| is_probe(payload) && asked.from == to && asked.now == now;
        let asked = self.asked.get(&at).copied().filter(is_answer);
        if let Some(asked) = asked {
            self.asked.remove(&at);
            self.kin.insert((at, asked.by));
        }
        let answers = asked.map(|asked| (asked.by, asked.sent));
        self.sent.insert(name(payload), Sent { by: at, to, at: self.next, when: now, answers });
        match (payload.first().copied(), index(payload)) {
            (Some(INIT), Some(index)) if payload.len() == INIT_LEN => {
                self.indices.insert(index, at);
                let is_for = |key: &PublicKey| is_init_for(key, payload, now);
                self.check(at, station, to, "initiations", is_for)
            }
            (Some(RESPONSE), Some(index)) => {
                self.indices.insert(index, at);
                Ok(())
            }
            (Some(DATA), Some(index)) if payload.len() > PROBE_LEN => {
                let chooser = self.indices.get(&index).map(|chooser| public_key(*chooser));
                self.check(at, station, to, "packets", |key| chooser.is_none_or(|chooser| chooser == *key))
            }
            _ => Ok(()),
        }
    }

    /// What is for those peers of a station that `is_for` names goes to an address.
    fn check(
        &self,
        at: usize,
        station: &Station,
        to: SocketAddr,
        what: &str,
        is_for: impl Fn(&PublicKey) -> bool,
    ) -> Result<(), String> {
        let peers = station.config.peers.iter().filter(|peer| peer.mode == PeerMode::Wireguard);
        let mut meant = peers.filter(|peer| is_for(&peer.public_key));
        if meant.any(|peer| self.is_vouched_for(at, peer, to)) {
            return Ok(());
        }
        Err(format!("station {at} sends {what} to {to}, which nobody vouches for"))
    }

    fn is_vouched_for(&self, at: usize, peer: &PeerConfig, to: SocketAddr) -> bool {
        let may_be_anybodys = peer.endpoints.iter().all(|endpoint| endpoint.kind() == AddrKind::Udp);
        let other = (0..16).find(|other| public_key(*other) == peer.public_key);
        other.is_some_and(|other| {
            let is_stock = may_be_anybodys && !self.kin.contains(&(at, other));
            self.answered.contains(&(at, to, other)) || is_stock && self.heard.contains(&(at, to, other))
        }) || peer.endpoints.contains(&LinkAddr::udp(to))
    }
}

/// Whether something is as long as a question for a path, or its answer, and so is nothing else.
fn is_probe(payload: &[u8]) -> bool {
    payload.first() == Some(&DATA) && payload.len() == PROBE_LEN
}
