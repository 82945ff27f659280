//! Peers that come, go and change while everything runs.
//!
//! A change is checked as a whole before anything is touched: on an error nothing has changed. What stays the same of a
//! peer stays in use; only other keys end its session. What is removed leaves nothing behind but what must not be
//! forgotten of it ([`super::durable`]).

use std::collections::BTreeSet;
use std::time::Instant;

use ipnet::IpNet;
use rand_core::Rng as _;

use super::Node;
use super::device::is_link_chatter;
use super::peer::{Keying, Peer, Waiting};
use super::pki::Pki;
use crate::config::{ConfigError, PeerConfig, PeerMode};
use crate::event::{DropReason, Event};
use crate::frame::{Frame, Inner};
use crate::key::PublicKey;
use crate::link::LinkAddr;
use crate::queue::PeerIndex;
use crate::terse::header::End;
use crate::v1::handshake::Pair;

impl Node {
    /// Adds a peer.
    ///
    /// # Errors
    /// If it is there already, or contradicts another or itself; then nothing has changed.
    pub fn add_peer(&mut self, peer: &PeerConfig, now: Instant) -> Result<(), ConfigError> {
        if peer.public_key == self.public_key {
            return Err(ConfigError::OwnKey);
        }
        if self.peers.find(&peer.public_key).is_some() {
            return Err(ConfigError::DuplicatePeer(peer.public_key));
        }
        self.check(peer, None)?;
        let keying = self.keying(peer, now)?;
        let mut added = Peer::new(peer.public_key, keying);
        // After a restart fragments of the earlier life may still wait at the peer: they must not mix.
        added.message =
            self.rng.next_u32().to_le_bytes().first_chunk().copied().map_or(0, u16::from_le_bytes);
        let at = self.peers.add(added);
        self.set_endpoints(at, &peer.endpoints);
        self.set_allowed_ips(at, &peer.allowed_ips);
        self.configure_wireguard(at, peer, now);
        self.reroute(now);
        self.settle(at, now);
        Ok(())
    }

    /// Removes a peer: its keys are wiped, what waits for it is dropped and counted. Returns whether there was one.
    ///
    /// Its session, if it had one, ends with [`Event::PeerDown`], its outstanding pings with [`Event::PingLost`].
    pub fn remove_peer(&mut self, key: &PublicKey, now: Instant) -> bool {
        let Some(at) = self.peers.find(key) else { return false };
        self.settle_sealed();
        self.lose_pings(at);
        self.set_endpoints(at, &[]);
        self.set_allowed_ips(at, &[]);
        let queued: usize = self.links.values_mut().map(|state| state.forget_peer(at)).sum();
        if let Some((due, why)) = self.peers[at].timer.take() {
            self.timers.remove(&(due, at, why));
        }
        let Some(mut peer) = self.peers.remove(at) else { return false };
        self.close_wireguard(at, &mut peer.keying);
        self.unsaved.remove(&at);
        self.moved_on.remove(&at);
        self.count_removed(at, queued + peer.waiting_len());
        self.account.forget(at);
        self.retire(*key, &peer.keying, now);
        if peer.up {
            self.push_event(Event::PeerDown { peer: *key });
        }
        true
    }

    /// Gives a peer, known by its public key, another configuration. Its session goes on, unless it has another preshared
    /// key or mode now: then it ends, and the next packet makes another.
    ///
    /// # Errors
    /// If there is no such peer, or the configuration contradicts another peer's or itself; then nothing has changed.
    pub fn set_peer(&mut self, peer: &PeerConfig, now: Instant) -> Result<(), ConfigError> {
        let at = self.peers.find(&peer.public_key).ok_or(ConfigError::UnknownPeer(peer.public_key))?;
        self.check(peer, Some(at))?;
        // The last thing that can fail.
        let keying = if self.peers[at].is_keyed_as(peer) { None } else { Some(self.keying(peer, now)?) };
        self.set_endpoints(at, &peer.endpoints);
        self.set_allowed_ips(at, &peer.allowed_ips);
        if let Some(keying) = keying {
            self.set_keying(at, keying, now);
        }
        self.configure_wireguard(at, peer, now);
        self.reroute(now);
        self.renew(at, now);
        self.flush(at, now);
        self.settle(at, now);
        Ok(())
    }

    /// Changes what concerns the interface and all peers together: our addresses, the interface's MTU, and after how many
    /// messages a session is renewed. Sessions go on.
    pub fn set_interface(
        &mut self,
        addresses: Vec<IpNet>,
        mtu: u16,
        rekey_after_messages: u64,
        _now: Instant,
    ) {
        let ours = End::first_of(addresses.iter().map(IpNet::addr));
        self.addresses = addresses;
        self.mtu = mtu.into();
        self.rekey_after_messages = rekey_after_messages;
        for (_, peer) in self.peers.iter_mut() {
            match &mut peer.keying {
                Keying::Pki(pki) => pki.set_rekey_messages(rekey_after_messages),
                // Sessions that there are go on with what they began with.
                Keying::Wireguard(wireguard) => wireguard.compression.ours = ours,
                Keying::Symmetric(_) => {}
            }
        }
    }

    /// Checks that nothing in a peer's configuration is another's (but `except`'s, whose it replaces), or there twice.
    fn check(&self, peer: &PeerConfig, except: Option<PeerIndex>) -> Result<(), ConfigError> {
        let is_anothers = |owner: Option<PeerIndex>| owner.is_some() && owner != except;
        let mut prefixes = BTreeSet::new();
        for prefix in &peer.allowed_ips {
            if !prefixes.insert(prefix.trunc()) || is_anothers(self.routes.get(*prefix)) {
                return Err(ConfigError::DuplicatePrefix(*prefix));
            }
        }
        let mut endpoints = BTreeSet::new();
        for endpoint in &peer.endpoints {
            if !endpoints.insert(endpoint) || is_anothers(self.by_endpoint.get(endpoint).copied()) {
                return Err(ConfigError::DuplicateEndpoint(*endpoint));
            }
        }
        Ok(())
    }

    fn keying(&mut self, peer: &PeerConfig, now: Instant) -> Result<Keying, ConfigError> {
        let key = peer.public_key;
        match peer.mode {
            PeerMode::Pki => {
                let pair = Pair::new(self.private_key.clone(), key, peer.preshared_key.clone());
                let pair = pair.ok_or(ConfigError::WeakKey(key))?;
                let lower = self.public_key < key;
                Ok(Keying::Pki(Box::new(Pki::new(pair, lower, self.rekey_after_messages))))
            }
            PeerMode::Symmetric => Ok(Keying::Symmetric(Box::new(self.symmetric(peer)?))),
            PeerMode::Wireguard => Ok(self.wireguard_keying(peer, now)),
        }
    }

    fn set_endpoints(&mut self, at: PeerIndex, endpoints: &[LinkAddr]) {
        let peer = &mut self.peers[at];
        let gone: Vec<_> = peer.endpoints.iter().copied().filter(|old| !endpoints.contains(old)).collect();
        if peer.endpoints != endpoints {
            peer.detours = 0;
            peer.endpoints = endpoints.to_vec();
        }
        peer.heard_on = peer.heard_on.filter(|(_, from)| !gone.contains(from));
        for address in &gone {
            self.by_endpoint.remove(address);
            let unfinished = self.reassembler.forget(*address);
            self.account.count_many(at, DropReason::PeerRemoved, unfinished);
        }
        self.keyless.retain(|(_, address)| !gone.contains(address));
        let complete = |state: &mut super::links::LinkState| {
            state.forget_ready(|ready| ready.peer == at && gone.contains(&ready.to))
        };
        let dropped = self.links.values_mut().map(complete).sum();
        self.count_removed(at, dropped);
        self.by_endpoint.extend(endpoints.iter().map(|address| (*address, at)));
    }

    fn set_allowed_ips(&mut self, at: PeerIndex, allowed_ips: &[IpNet]) {
        for prefix in std::mem::replace(&mut self.peers[at].allowed_ips, allowed_ips.to_vec()) {
            self.routes.remove(prefix);
        }
        for prefix in allowed_ips {
            self.routes.insert(*prefix, at);
        }
    }

    /// Gives a peer other keys. What was sealed with the old ones, or belongs to their handshakes, is of no more use.
    fn set_keying(&mut self, at: PeerIndex, keying: Keying, now: Instant) {
        let peer = &mut self.peers[at];
        let (key, mut old) = (peer.public_key, peer.set_keying(keying));
        let was_up = std::mem::take(&mut peer.up);
        self.close_wireguard(at, &mut old);
        self.retire(key, &old, now);
        let sealed = self.links.values_mut().map(|state| state.forget_ready(|ready| ready.peer == at)).sum();
        self.count_removed(at, sealed);
        for address in self.peers[at].endpoints.clone() {
            let unfinished = self.reassembler.forget(address);
            self.account.count_many(at, DropReason::PeerRemoved, unfinished);
        }
        if was_up {
            self.push_event(Event::PeerDown { peer: key });
        }
        self.settle(at, now);
    }

    /// Lets what waits for a peer that it is no longer meant for find its new owner, if there is one.
    fn reroute(&mut self, now: Instant) {
        let mut astray: Vec<(PeerIndex, Waiting)> = Vec::new();
        let routes = &self.routes;
        let is_astray = |at: PeerIndex, frame: &[u8]| match Frame::parse(frame) {
            Ok(Frame { inner: Inner::Ip(packet), .. }) => {
                !is_link_chatter(&packet)
                    && routes.find(packet.destination).map(|(_, owner)| owner) != Some(at)
            }
            _ => false,
        };
        for state in self.links.values_mut() {
            for (at, entry) in state.queue.take_astray(|at, entry| is_astray(at, &entry.frame)) {
                // A copy is one to the peer alone that its original went to.
                if entry.original.is_some() {
                    self.account.count(at, DropReason::NoRoute);
                } else {
                    astray.push((at, Waiting { frame: entry.frame, expires: entry.expires }));
                }
            }
        }
        for (at, peer) in self.peers.iter_mut() {
            astray.extend(
                peer.take_astray(|frame| is_astray(at, frame)).into_iter().map(|waiting| (at, waiting)),
            );
        }
        for (from, Waiting { frame, expires }) in astray {
            match super::outbound::destination(&frame).and_then(|to| self.routes.find(to)) {
                Some((_, at)) if self.own_ping(from, &frame).is_none() => {
                    self.admit(at, frame, Some(expires), now);
                    self.settle(at, now);
                }
                _ => self.drop_frame(from, &frame, DropReason::NoRoute, now),
            }
            self.settle(from, now);
        }
    }

    fn count_removed(&mut self, at: PeerIndex, number: usize) {
        self.account.count_many(at, DropReason::PeerRemoved, u64::try_from(number).unwrap_or(u64::MAX));
    }
}
