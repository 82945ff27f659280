//! Pings of our own: ICMP echo requests to a peer's host, in the same queue as all traffic.
//!
//! The host behind this node pings too, with whatever identifiers it likes. So what is ours is not told by them but by
//! what an echo carries and the other end must return (RFC 792): a number and its MAC under a key of this process. An
//! answer that bears one is taken out of the traffic, be it late or a repetition; anything else is the host's.
//!
//! Life-cycle: `ping` → it waits as any frame does → it left → `PingAnswered`; or `PingLost` when its time is up, when it
//! is dropped on its way out, or when its peer is removed.
//!
//! Invariants: at most [`MAX_PER_PEER`] of a peer and [`MAX_PINGS`] in all are outstanding; each ends in one event.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use blake2::Blake2sMac;
use blake2::digest::consts::U8;
use blake2::digest::{KeyInit as _, Mac as _};
use ipnet::IpNet;

use super::Node;
use crate::event::{Event, SessionState};
use crate::frame::{ETHERNET_HEADER, Frame, Inner, Packet};
use crate::icmp::{self, Echo};
use crate::key::PublicKey;
use crate::neighbour;
use crate::queue::PeerIndex;

/// Pings that may be outstanding, of one peer and in all.
const MAX_PER_PEER: usize = 8;
const MAX_PINGS: usize = 64;
/// What tells a ping of ours: its number and the MAC of that. No ping carries less.
const MARK_LEN: u16 = 16;
/// A ping is lost after this many times the least that it can take,
const PATIENCE: u32 = 4;
/// and this, for the host there and for what else is on the air;
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// and where there is no session, after the time of this many handshakes more.
const HANDSHAKES: u32 = 12;

/// Why a ping was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// No peer has this public key.
    #[error("no peer has the public key {0}")]
    UnknownPeer(PublicKey),
    /// None of the peer's AllowedIPs is a host's address of a kind that we have one of too.
    #[error("the peer has no host address of its own among its AllowedIPs that an address of ours can reach")]
    NoAddress,
    /// It would be longer than the interface's MTU.
    #[error("at most {most} bytes fit the MTU")]
    TooBig {
        /// The most that fits.
        most: u16,
    },
    /// No link reaches the peer at present.
    #[error("no link reaches the peer")]
    NoPath,
    /// As many as are allowed are outstanding.
    #[error("too many pings are outstanding")]
    TooMany,
}

/// A ping whose answer is awaited.
pub(super) struct Ping {
    peer: PeerIndex,
    called: Instant,
    /// When it was handed to the link.
    left: Option<Instant>,
    pub(super) due: Instant,
}

impl Node {
    /// Sends an ICMP echo request with `bytes` bytes of data (16 at least) from our address to the peer's own, which is
    /// its first AllowedIPs that is one host's. Returns a token, which [`Event::PingAnswered`] or [`Event::PingLost`]
    /// will bear.
    ///
    /// # Errors
    /// If it cannot be sent; then there is no event.
    pub fn ping(&mut self, key: &PublicKey, bytes: u16, now: Instant) -> Result<u64, PingError> {
        let at = self.peers.find(key).ok_or(PingError::UnknownPeer(*key))?;
        let (ours, theirs) = self.ping_addresses(at).ok_or(PingError::NoAddress)?;
        let bytes = bytes.max(MARK_LEN);
        let most = self.mtu.saturating_sub(icmp::echo_len(ours, 0));
        if usize::from(bytes) > most {
            return Err(PingError::TooBig { most: u16::try_from(most).unwrap_or(u16::MAX) });
        }
        let of_peer = self.pings.values().filter(|ping| ping.peer == at).count();
        if of_peer >= MAX_PER_PEER || self.pings.len() >= MAX_PINGS {
            return Err(PingError::TooMany);
        }
        let (link, _) = self.path(at).ok_or(PingError::NoPath)?;
        let state = &self.links[&link];
        let mut patience =
            state.round_trip(ETHERNET_HEADER + icmp::echo_len(ours, bytes.into())) * PATIENCE + ANSWER_TIME;
        if self.peers[at].state() != SessionState::Established {
            patience += state.pace() * HANDSHAKES;
        }
        let due = now + patience;
        let token = self.next_ping;
        self.next_ping += 1;
        self.pings.insert(token, Ping { peer: at, called: now, left: None, due });
        let macs = (neighbour::mac_of(key), self.mac);
        let frame =
            icmp::echo_request(macs, ours, theirs, self.ping_id, &self.mark(token, key), bytes.into());
        self.admit(at, frame, Some(due), now);
        self.settle(at, now);
        Ok(token)
    }

    /// Returns the least time that a ping with so many bytes of data can take on the peer's present path: its air there
    /// and back by the link's price list, and the mean wait for the medium before each datagram; relays not counted.
    /// Zero where air is free; `None` if no link reaches the peer, or it has no address to ping.
    #[must_use]
    pub fn ping_floor(&self, key: &PublicKey, bytes: u16) -> Option<Duration> {
        let at = self.peers.find(key)?;
        let (ours, _) = self.ping_addresses(at)?;
        let (link, _) = self.path(at)?;
        let len = icmp::echo_len(ours, bytes.max(MARK_LEN).into());
        Some(self.links.get(&link)?.round_trip(ETHERNET_HEADER + len))
    }

    /// Our address and the peer's.
    fn ping_addresses(&self, at: PeerIndex) -> Option<(IpAddr, IpAddr)> {
        let is_host =
            |prefix: &&IpNet| prefix.prefix_len() == prefix.max_prefix_len() && !prefix.addr().is_multicast();
        let hosts = self.peers[at].allowed_ips.iter().filter(is_host).map(IpNet::addr);
        hosts
            .filter_map(|theirs| {
                let ours =
                    self.addresses.iter().map(IpNet::addr).find(|ours| ours.is_ipv4() == theirs.is_ipv4());
                Some((ours?, theirs))
            })
            .next()
    }

    /// What marks a ping of ours to this peer: its token, and the MAC of that.
    fn mark(&self, token: u64, peer: &PublicKey) -> [u8; MARK_LEN as usize] {
        let mut mac =
            Blake2sMac::<U8>::new_from_slice(&self.ping_key).expect("BLAKE2s takes a key of 32 bytes");
        mac.update(&token.to_be_bytes());
        mac.update(peer.as_bytes());
        let mut mark = [0; MARK_LEN as usize];
        mark[..8].copy_from_slice(&token.to_be_bytes());
        mark[8..].copy_from_slice(&mac.finalize().into_bytes());
        mark
    }

    /// Returns the token of a packet from or to a peer that is an echo of ours.
    fn ping_token(&self, at: PeerIndex, packet: &Packet<'_>, kind: Echo) -> Option<u64> {
        // Where nobody ever pinged there is nothing of ours.
        let mark = icmp::echo_data(packet, kind).filter(|_| self.next_ping > 0)?;
        let mark: &[u8; MARK_LEN as usize] = mark.first_chunk()?;
        let token = u64::from_be_bytes(*mark.first_chunk()?);
        (self.mark(token, &self.peers[at].public_key) == *mark).then_some(token)
    }

    /// Returns the token of a frame to a peer that is a ping of ours.
    pub(super) fn own_ping(&self, at: PeerIndex, frame: &[u8]) -> Option<u64> {
        match Frame::parse(frame) {
            Ok(Frame { inner: Inner::Ip(packet), .. }) => self.ping_token(at, &packet, Echo::Request),
            _ => None,
        }
    }

    /// Takes a packet out of a peer's traffic if it answers a ping of ours. Returns whether it does.
    pub(super) fn take_answer(&mut self, at: PeerIndex, packet: &Packet<'_>, now: Instant) -> bool {
        let Some(token) = self.ping_token(at, packet, Echo::Reply) else { return false };
        if let Some(ping) = self.pings.remove(&token) {
            if let Some(left) = ping.left {
                self.peers[at].quality.answered(now.saturating_duration_since(left));
            }
            let rtt = now.saturating_duration_since(ping.called);
            self.push_event(Event::PingAnswered { token, rtt });
        }
        true
    }

    /// A part of a ping was handed to the link at `left`, or (`None`) the link gave it back.
    pub(super) fn ping_left(&mut self, token: u64, left: Option<Instant>) {
        if let Some(ping) = self.pings.get_mut(&token) {
            // Its first part starts the clock.
            ping.left = left.map(|left| ping.left.map_or(left, |first| first.min(left)));
        }
    }

    /// A ping is lost: its time is over, or it will not leave.
    pub(super) fn lose_ping(&mut self, token: u64) {
        if self.pings.remove(&token).is_some() {
            self.push_event(Event::PingLost { token });
        }
    }

    /// A peer goes, and so do its pings.
    pub(super) fn lose_pings(&mut self, at: PeerIndex) {
        let of_peer: Vec<u64> =
            self.pings.iter().filter(|(_, ping)| ping.peer == at).map(|(token, _)| *token).collect();
        for token in of_peer {
            self.lose_ping(token);
        }
    }

    /// Gives up the pings whose time is over.
    pub(super) fn expire_pings(&mut self, now: Instant) {
        let over = self.pings.iter().filter(|(_, ping)| ping.due <= now).map(|(token, _)| *token);
        for token in over.collect::<Vec<_>>() {
            if let Some(Ping { peer, left: Some(_), .. }) = self.pings.get(&token) {
                self.peers[*peer].quality.lost();
            }
            self.lose_ping(token);
        }
    }

    /// When [`Self::expire_pings`] has something to do.
    pub(super) fn ping_deadline(&self) -> Option<(Instant, &'static str)> {
        self.pings.values().map(|ping| ping.due).min().map(|due| (due, "ping"))
    }
}
