//! Where packets go when air is free: nowhere but to addresses that the operator, or an answer, vouches for.
//!
//! An answer, as seen from outside: the station sent something to the address; a peer of its got just that; and after that
//! something which that peer sent came to the station from the address, unchanged. Whoever is not on the way between the
//! address and the peer cannot bring this about, by whatever he replays and from wherever. A peer whose configuration
//! knows of no radio may be a WireGuard of somebody else's, who answers nothing: there it is enough, as WireGuard says, that
//! something which the peer sent came from the address.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;

use meshnet_proto::config::PeerMode;
use meshnet_proto::link::{AddrKind, LinkAddr};

use crate::station::Station;
use crate::world::public_key;

/// A data message with a probe in it: header, a plaintext padded to 16 bytes, tag. Every packet is longer.
const PROBE_LEN: usize = 48;
const DATA: u8 = 4;
const MAC_LEN: usize = 16;

/// A datagram that a station sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    by: usize,
    to: SocketAddr,
    at: u64,
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

impl Proofs {
    /// Something reaches a station's socket.
    pub(super) fn handle_arrival(&mut self, at: usize, from: SocketAddr, payload: &[u8]) {
        let Some(sent) = self.sent.get(&name(payload)).copied().filter(|sent| sent.by != at) else { return };
        self.next += 1;
        self.told.entry((sent.by, sent.to, at)).or_insert(self.next);
        self.heard.insert((at, from, sent.by));
        // What the other sent since it was told, by whatever way, may be an answer.
        if self.told.get(&(at, from, sent.by)).is_some_and(|told| *told < sent.at) {
            self.answered.insert((at, from, sent.by));
        }
    }

    /// A station sends a datagram where air is free.
    pub(super) fn handle_sent(
        &mut self,
        at: usize,
        station: &Station,
        to: SocketAddr,
        payload: &[u8],
    ) -> Result<(), String> {
        self.next += 1;
        self.sent.insert(name(payload), Sent { by: at, to, at: self.next });
        let is_packet = payload.first() == Some(&DATA) && payload.len() > PROBE_LEN;
        if is_packet && !self.is_vouched_for(at, station, to) {
            return Err(format!("station {at} sends packets to {to}, which nobody vouches for"));
        }
        Ok(())
    }

    fn is_vouched_for(&self, at: usize, station: &Station, to: SocketAddr) -> bool {
        station.config.peers.iter().filter(|peer| peer.mode == PeerMode::Wireguard).any(|peer| {
            let other = (0..16).find(|other| public_key(*other) == peer.public_key);
            let may_be_anybodys = peer.endpoints.iter().all(|endpoint| endpoint.kind() == AddrKind::Udp);
            other.is_some_and(|other| {
                self.answered.contains(&(at, to, other))
                    || may_be_anybodys && self.heard.contains(&(at, to, other))
            }) || peer.endpoints.contains(&LinkAddr::udp(to))
        })
    }
}
