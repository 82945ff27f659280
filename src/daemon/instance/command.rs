//! Carries out what was ordered over the bus. Who may order it was decided there.

use std::time::{Duration, Instant};

use meshnet_bus::Error;
use meshnet_bus::settings::Pong;
use meshnet_proto::PingError;
use meshnet_proto::config::{PeerConfig, PeerMode};
use meshnet_proto::key::PublicKey;
use meshnet_proto::link::{AddrKind, LinkId};
use tokio::sync::oneshot;
use tracing::info;

use super::Instance;
use crate::config::{self, Endpoint, Peer};
use crate::control::{Change, Command, PeerChange, Reply};
use crate::peers::{MAX_ADDED, Member, Origin, Roster};

/// How many endpoints a peer may have.
const MAX_ENDPOINTS: usize = 16;

/// Somebody who waits for the answer to an echo.
pub(super) struct PendingPing {
    outcome: oneshot::Sender<Option<Duration>>,
}

impl Instance {
    pub(super) async fn handle_command(&mut self, command: Command) {
        // Nobody may wait any more: then the outcome is only in the log.
        match command {
            Command::Describe(scope, reply) => {
                let _ = reply.send(self.describe_scope(scope, Instant::now()));
            }
            Command::Members(reply) => {
                let members = self.roster.members().iter();
                let _ = reply.send(Ok(members.map(|member| member.peer.core.public_key).collect()));
            }
            Command::AddPeer(key, change, reply) => {
                let _ = reply.send(self.add_peer(key, change).await);
            }
            Command::SetPeer(key, change, reply) => {
                let _ = reply.send(self.set_peer(key, change).await);
            }
            Command::RemovePeer(key, reply) => {
                let _ = reply.send(self.remove_peer(&key).await);
            }
            Command::Rekey(key, reply) => {
                let _ = reply.send(self.rekey(key));
            }
            Command::Reload(reply) => {
                let _ = reply.send(self.reload().await);
            }
            Command::Ping(key, bytes, patience, reply) => self.ping(&key, bytes, patience, reply),
        }
    }

    async fn add_peer(&mut self, key: PublicKey, change: PeerChange) -> Result<(), Error> {
        if self.roster.get(&key).is_some() {
            return Err(Error::PeerExists(format!("there is a peer with the public key {key} already")));
        }
        if self.roster.added_len() >= MAX_ADDED {
            return Err(Error::Busy(format!("{MAX_ADDED} peers were added over the bus already")));
        }
        let missing = |what: &str| Error::InvalidArgs(format!("{what} is missing"));
        if change.allowed_ips.as_ref().is_none_or(Vec::is_empty) {
            return Err(missing("AllowedIPs"));
        }
        let core = PeerConfig {
            public_key: key,
            preshared_key: None,
            allowed_ips: Vec::new(),
            endpoints: Vec::new(),
            mode: self.usual_mode(change.endpoints.as_deref().unwrap_or_default()),
            keepalive: None,
            bulk_over_metered: None,
        };
        let blank = Peer {
            name: None,
            line: 0,
            core,
            contacts: Vec::new(),
            names: Vec::new(),
            keepalive: None,
            bulk: None,
        };
        let added = changed(&Member { peer: blank, origin: Origin::Bus }, change)?;
        self.check_reach(&added.peer)?;
        self.replace(&key, self.roster.with(added)).await?;
        info!(peer = self.roster.name(&key), "peer is added over the bus");
        Ok(())
    }

    async fn set_peer(&mut self, key: PublicKey, change: PeerChange) -> Result<(), Error> {
        let member = changed(self.of_bus(&key)?, change)?;
        self.check_reach(&member.peer)?;
        self.replace(&key, self.roster.with(member)).await?;
        info!(peer = self.roster.name(&key), "peer is changed over the bus");
        Ok(())
    }

    async fn remove_peer(&mut self, key: &PublicKey) -> Result<(), Error> {
        self.of_bus(key)?;
        self.replace(key, self.roster.without(key)).await
    }

    /// The session protocol with a peer of which nobody said it: as in a configuration file.
    fn usual_mode(&self, endpoints: &[Endpoint]) -> PeerMode {
        let udp =
            endpoints.iter().any(Endpoint::is_udp) || (endpoints.is_empty() && self.reaches(AddrKind::Udp));
        if udp { PeerMode::Wireguard } else { PeerMode::Pki }
    }

    /// Whether a link of ours is of this kind.
    fn reaches(&self, kind: AddrKind) -> bool {
        self.config.links.iter().any(|link| link.kind.reaches() == kind)
    }

    /// Finds what of a peer no link of ours would ever serve, or its protocol does not have.
    fn check_reach(&self, peer: &Peer) -> Result<(), Error> {
        let invalid = |what: &str| Err(Error::InvalidArgs(what.to_owned()));
        if peer.core.mode != PeerMode::Wireguard {
            if peer.has_udp() {
                return invalid("a UDP endpoint takes the mode WIREGUARD");
            }
            if peer.keepalive.is_some() {
                return invalid("a persistent keepalive takes the mode WIREGUARD");
            }
            if !peer.has_radio() {
                return invalid("Endpoints is missing: a peer of this mode is reached by radio");
            }
            return Ok(());
        }
        let (radio, udp) = (self.reaches(AddrKind::Radio), self.reaches(AddrKind::Udp));
        match (peer.has_radio(), peer.has_udp()) {
            (false, false) if !udp => {
                invalid("Endpoints is missing, and without a udp link the peer cannot come to us either")
            }
            (false, false) => Ok(()),
            (at_radio, at_udp) if (at_radio && radio) || (at_udp && udp) => Ok(()),
            (_, true) => {
                invalid("no link reaches these endpoints: this network has no udp link (ListenPort)")
            }
            (_, false) => invalid("no link reaches these endpoints: this network has no radio"),
        }
    }

    /// The peer with this key, if it may be changed over the bus.
    fn of_bus(&self, key: &PublicKey) -> Result<&Member, Error> {
        let member = self.known(key)?;
        match member.origin {
            Origin::Bus | Origin::BusVolatile => Ok(member),
            Origin::Config => Err(Error::FromConfigFile(format!(
                "this peer is defined in {}:{}: change it there, then reload",
                self.source.file.display(),
                member.peer.line
            ))),
        }
    }

    fn known(&self, key: &PublicKey) -> Result<&Member, Error> {
        let unknown = || Error::NoSuchPeer(format!("there is no peer with the public key {key}"));
        self.roster.get(key).ok_or_else(unknown)
    }

    /// Makes `wanted`, where one peer is another, the network's peers: in the core, on disk, in the kernel, or nowhere.
    async fn replace(&mut self, key: &PublicKey, wanted: Roster) -> Result<(), Error> {
        let before = self.roster.clone();
        self.check(&wanted)?;
        let mut outcome = self.change_peers(wanted);
        if outcome.is_ok() {
            outcome = self.roster.save().map_err(|error| {
                Error::Failed(format!("cannot write {}: {error}", self.roster.path().display()))
            });
        }
        if outcome.is_ok() {
            outcome = self.settle_interface().await;
        }
        if outcome.is_err() {
            // What is undone was in force a moment ago, so that only the disk can still be in the way.
            let _ = self.change_peers(before);
            let _ = self.roster.save();
            let _ = self.settle_interface().await;
        }
        self.control.tell(Change::PeerChanged(*key));
        outcome
    }

    /// Finds contradictions between peers before anything is touched.
    fn check(&self, wanted: &Roster) -> Result<(), Error> {
        let mut prefixes = std::collections::BTreeSet::new();
        let mut endpoints = std::collections::BTreeSet::new();
        for member in wanted.members() {
            let core = &member.peer.core;
            if core.public_key == self.public_key {
                return Err(Error::InvalidArgs("that is this network's own public key".to_owned()));
            }
            for prefix in &core.allowed_ips {
                if !prefixes.insert(*prefix) {
                    return Err(Error::PeerExists(format!("{prefix} is another peer's already")));
                }
            }
            for endpoint in member.peer.endpoints() {
                if !endpoints.insert(endpoint.clone()) {
                    return Err(Error::PeerExists(format!("{endpoint} is another peer's already")));
                }
            }
        }
        Ok(())
    }

    fn rekey(&mut self, key: Option<PublicKey>) -> Result<(), Error> {
        let now = Instant::now();
        if let Some(key) = key {
            self.known(&key)?;
            if self.path_of(&key).is_none() {
                return Err(Error::LinkDown("no link reaches the peer at present".to_owned()));
            }
            return self.node.rekey(&key, now).map_err(|error| Error::NotSupported(error.to_string()));
        }
        let keys: Vec<_> = self.roster.members().iter().map(|member| member.peer.core.public_key).collect();
        for key in keys {
            // Those whose keys nobody agrees on are passed over when all are meant.
            let _ = self.node.rekey(&key, now);
        }
        Ok(())
    }

    fn ping(&mut self, key: &PublicKey, bytes: u16, patience: Option<Duration>, reply: Reply<Pong>) {
        let floor = self.node.ping_floor(key, bytes).unwrap_or_default();
        let affordable = self.known(key).map(|_| ()).and_then(|()| self.affords(key, floor / 2));
        let sent = affordable
            .and_then(|()| self.node.ping(key, bytes, Instant::now()).map_err(|error| ping_error(&error)));
        let token = match sent {
            Ok(token) => token,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        let (outcome, answer) = oneshot::channel();
        self.pings.insert(token, PendingPing { outcome });
        // The core gives up by itself; who has less patience does not keep the core waiting.
        tokio::spawn(async move {
            let answer = match patience {
                Some(patience) => tokio::time::timeout(patience, answer).await.ok().and_then(Result::ok),
                None => answer.await.ok(),
            };
            let rtt = answer.flatten();
            let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            let pong = |rtt| Pong { rtt_us: microseconds(rtt), floor_us: microseconds(floor) };
            let late = || Error::Timeout("the peer did not answer in time".to_owned());
            let _ = reply.send(rtt.map(pong).ok_or_else(late));
        });
    }

    /// The link that a peer is reached through.
    fn path_of(&self, key: &PublicKey) -> Option<LinkId> {
        self.node.snapshot_of(key)?.endpoint.map(|(link, _)| link)
    }

    /// Whether the hour leaves this much air on the peer's path.
    fn affords(&self, key: &PublicKey, air: Duration) -> Result<(), Error> {
        let path = self.path_of(key);
        let snapshot = self.node.snapshot_without_peers(Instant::now());
        let link = snapshot.links.iter().find(|link| Some(link.link) == path);
        match link.and_then(|link| link.airtime_left) {
            Some(left) if left < air => Err(Error::AirtimeExhausted(
                "the hour's airtime is spent: what is left is for handshakes".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Takes what became of an echo.
    pub(super) fn ponged(&mut self, token: u64, rtt: Option<Duration>) {
        if let Some(PendingPing { outcome }) = self.pings.remove(&token) {
            // Whoever asked may have lost patience.
            let _ = outcome.send(rtt);
        }
    }
}

fn ping_error(error: &PingError) -> Error {
    let text = error.to_string();
    match error {
        PingError::UnknownPeer(_) => Error::NoSuchPeer(text),
        PingError::NoAddress => Error::NotSupported(text),
        PingError::TooBig { .. } => Error::InvalidArgs(text),
        PingError::NoPath => Error::LinkDown(text),
        PingError::TooMany => Error::Busy(text),
        // It grows without a new version of that crate.
        _ => Error::Failed(text),
    }
}

/// Returns the peer after a change.
fn changed(before: &Member, change: PeerChange) -> Result<Member, Error> {
    let PeerChange { name, allowed_ips, endpoints, mode, preshared_key, radio_public_keys, .. } = change;
    let PeerChange { keepalive, bulk_over_radio, persist, .. } = change;
    let Member { mut peer, origin } = before.clone();
    if let Some(name) = name {
        let checked = |name: &str| {
            config::check_name(name).map_err(|(what, right)| Error::InvalidArgs(format!("{what}: {right}")))
        };
        peer.name = if name.is_empty() { None } else { Some(checked(&name)?) };
    }
    if let Some(mut allowed_ips) = allowed_ips {
        allowed_ips.iter_mut().for_each(|prefix| *prefix = prefix.trunc());
        allowed_ips.sort_unstable();
        allowed_ips.dedup();
        peer.core.allowed_ips = allowed_ips;
    }
    if let Some(endpoints) = endpoints {
        if endpoints.len() > MAX_ENDPOINTS {
            return Err(Error::InvalidArgs(format!("at most {MAX_ENDPOINTS} endpoints")));
        }
        (peer.core.endpoints, peer.names) = (Vec::new(), Vec::new());
        for endpoint in endpoints {
            match endpoint {
                Endpoint::Address(address) => peer.core.endpoints.push(address),
                Endpoint::Name(name) => peer.names.push(name),
            }
        }
        peer.contacts = config::contacts(&peer.core.endpoints, &[]);
    }
    if let Some(keys) = radio_public_keys {
        if !keys.is_empty() && keys.len() != peer.contacts.len() {
            return Err(Error::InvalidArgs("one radio key for each radio, or none".to_owned()));
        }
        peer.contacts = config::contacts(&peer.core.endpoints, &keys);
    }
    peer.keepalive = keepalive.unwrap_or(peer.keepalive);
    peer.core.keepalive = peer.keepalive.map(|seconds| Duration::from_secs(seconds.get().into()));
    peer.bulk = bulk_over_radio.or(peer.bulk);
    peer.core.bulk_over_metered = peer.bulk;
    peer.core.mode = mode.unwrap_or(peer.core.mode);
    if let Some(psk) = preshared_key {
        peer.core.preshared_key = Some(psk);
    }
    if peer.core.mode == PeerMode::Symmetric && peer.core.preshared_key.is_none() {
        return Err(Error::InvalidArgs("SYMMETRIC takes a preshared key".to_owned()));
    }
    let origin = match persist {
        Some(true) => Origin::Bus,
        Some(false) => Origin::BusVolatile,
        None => origin,
    };
    Ok(Member { peer, origin })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;

    #[test]
    fn what_is_said_of_keepalives_and_bulk_reaches_the_core() {
        let config = config::parse("m.conf", CONFIG).unwrap();
        let before = Member { peer: config.peers[0].clone(), origin: Origin::Bus };
        let change = PeerChange {
            keepalive: Some(NonZeroU16::new(25)),
            bulk_over_radio: Some(false),
            ..PeerChange::default()
        };
        let after = changed(&before, change).unwrap();
        let core = |member: &Member| (member.peer.core.keepalive, member.peer.core.bulk_over_metered);
        assert_eq!(core(&before), (None, None));
        assert_eq!(core(&after), (Some(Duration::from_secs(25)), Some(false)));
        let untouched = changed(&after, PeerChange::default()).unwrap();
        assert_eq!(core(&untouched), core(&after));
        let never = PeerChange { keepalive: Some(None), ..PeerChange::default() };
        assert_eq!(core(&changed(&after, never).unwrap()), (None, Some(false)));
    }

    const CONFIG: &str = "[Interface]\nPrivateKey = SEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISEg=\nAddress = 10.0.0.1/24\n\
                          MeshtasticConnect = tcp://radio\nListenPort = 0\n[Peer]\n\
                          PublicKey = AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\nAllowedIPs = 10.0.0.2/32\n\
                          Endpoint = !d45b9db8, 192.0.2.7:1\n";
}
