//! Pings of the nodes' own: each ends in one event, the host there gets the request, and the host here never gets the
//! answer.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use meshnet_proto::event::Event;
use meshnet_proto::frame::{Packet, checksum, protocol};

use crate::world::address;

const REQUEST: u8 = 8;
const REPLY: u8 = 0;
const IPV4_HEADER: usize = 20;
const ICMP_HEADER: usize = 8;
/// Whatever the way, a ping has an outcome within this.
const PATIENCE: Duration = Duration::from_secs(1800);

#[derive(Debug)]
struct Ping {
    to: usize,
    sent: Instant,
    ended: bool,
}

/// All pings so far, by who sent them, in which life, and their token.
#[derive(Debug, Default)]
pub(super) struct Pings {
    pings: BTreeMap<(usize, u64, u64), Ping>,
}

impl Pings {
    pub(super) fn handle_sent(&mut self, at: usize, life: u64, token: u64, to: usize, now: Instant) {
        self.pings.insert((at, life, token), Ping { to, sent: now, ended: false });
    }

    /// An event of a daemon's in this life.
    pub(super) fn handle_event(&mut self, at: usize, life: u64, event: &Event) -> Result<(), String> {
        let (Event::PingAnswered { token, .. } | Event::PingLost { token }) = event else { return Ok(()) };
        match self.pings.get_mut(&(at, life, *token)) {
            Some(ping) if !ping.ended => ping.ended = true,
            Some(_) => return Err(format!("ping {token} of station {at} has two outcomes")),
            None => return Err(format!("ping {token}, which station {at} never sent, has an outcome")),
        }
        Ok(())
    }

    /// Whether a packet that host `at` gets is a ping of a node's, to be answered; an answer to one must not come so far,
    /// unless it is to an earlier life of the daemon, which nobody remembers.
    pub(super) fn look(&self, at: usize, life: u64, packet: &Packet<'_>) -> Result<Seen, String> {
        let body = packet.bytes.get(IPV4_HEADER..).filter(|body| body.len() >= ICMP_HEADER + 16);
        let Some(body) = body.filter(|_| packet.protocol == protocol::ICMP) else { return Ok(Seen::Other) };
        let token = u64::from_be_bytes(body[ICMP_HEADER..ICMP_HEADER + 8].try_into().expect("eight bytes"));
        let of = |from: usize, to: usize| {
            self.pings
                .iter()
                .filter(move |((at, _, known), ping)| (*at, *known, ping.to) == (from, token, to))
        };
        let peer = (0..16).find(|station| address(*station) == source(packet));
        let Some(peer) = peer.filter(|_| packet.bytes[4..6] == [0, 0] || body[0] == REPLY) else {
            return Ok(Seen::Other);
        };
        match body[0] {
            REQUEST if of(peer, at).next().is_some() => Ok(Seen::Request),
            REPLY if packet.bytes[4..6] != NUMBER => Ok(Seen::Other),
            REPLY if of(at, peer).any(|((_, lived, _), _)| *lived < life) => Ok(Seen::Stale),
            REPLY => Err(format!("host {at} gets the answer to a ping of its node's")),
            _ => Ok(Seen::Other),
        }
    }

    /// Checks that each ping of a living daemon came to its end in time.
    pub(super) fn audit(&self, at: usize, life: u64, now: Instant) -> Result<(), String> {
        let late = self.pings.iter().find(|((of, lived, _), ping)| {
            (*of, *lived) == (at, life) && !ping.ended && ping.sent + PATIENCE < now
        });
        late.map_or(Ok(()), |((_, _, token), _)| Err(format!("ping {token} of station {at} has no outcome")))
    }
}

/// The number that a host's answer to a ping of a node's bears.
const NUMBER: [u8; 2] = [0xff, 0xff];

/// What a packet is as far as nodes' pings are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing of theirs.
    Other,
    /// A request, which the host answers.
    Request,
    /// An answer to a process that is no more.
    Stale,
}

fn source(packet: &Packet<'_>) -> Ipv4Addr {
    match packet.source {
        std::net::IpAddr::V4(source) => source,
        std::net::IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// Builds the answer of a host's kernel to an echo request.
#[must_use]
pub fn answer(request: &[u8]) -> Vec<u8> {
    let mut out = request.to_vec();
    out[4..6].copy_from_slice(&NUMBER);
    out[8] = 64;
    out[10..12].fill(0);
    out[12..20].rotate_left(4);
    let sum = checksum(&[&out[..IPV4_HEADER]]).to_be_bytes();
    out[10..12].copy_from_slice(&sum);
    out[IPV4_HEADER] = REPLY;
    out[IPV4_HEADER + 2..IPV4_HEADER + 4].fill(0);
    let sum = checksum(&[&out[IPV4_HEADER..]]).to_be_bytes();
    out[IPV4_HEADER + 2..IPV4_HEADER + 4].copy_from_slice(&sum);
    out
}
