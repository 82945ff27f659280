//! Everybody we talk to, and where that was said: in the configuration file, or over the bus.
//!
//! What was said over the bus is kept in a file of its own in the state directory (`NETWORK.peers`, `[Peer]` sections as in a
//! configuration file), replaced whole and durably before an order counts as carried out. The configuration file is never
//! written. Where the two contradict, the configuration file wins: such a peer of ours is *shadowed*, kept in the file, not in
//! use.
//!
//! Life-cycle: [`Roster::load`] at the start → [`Roster::members`] is what the network runs with → each change makes a new
//! roster, which replaces the old one once the core has taken it and [`Roster::save`] has succeeded.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use meshnet_proto::key::PublicKey;
use tracing::warn;
use zeroize::Zeroizing;

use crate::config::{self, Peer};
use crate::files;

/// How many peers may be added over the bus.
pub const MAX_ADDED: usize = 1024;

/// Where a peer was defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In the configuration file.
    Config,
    /// Over the bus, to stay.
    Bus,
    /// Over the bus, until the daemon ends.
    BusVolatile,
}

impl Origin {
    /// Returns the name on D-Bus and in status displays.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Bus => "bus",
            Self::BusVolatile => "bus-volatile",
        }
    }
}

/// A peer that the network runs with.
#[derive(Debug, Clone)]
pub struct Member {
    /// The peer.
    pub peer: Peer,
    /// Where it was defined.
    pub origin: Origin,
}

/// Everybody we talk to.
#[derive(Debug, Clone)]
pub struct Roster {
    path: PathBuf,
    members: Vec<Member>,
    /// Where in `members` each is, in the order of their keys.
    by_key: Vec<u32>,
    /// Added over the bus, and contradicted by the configuration file.
    shadowed: Vec<Member>,
}

impl Roster {
    /// Joins the peers of the configuration file and those in the file at `path`, if there is one.
    ///
    /// # Errors
    /// If that file cannot be read, or makes no sense: it is the daemon's own, and what is in it must not be lost by
    /// overwriting it.
    pub fn load(path: PathBuf, configured: &[Peer]) -> anyhow::Result<Self> {
        let text = files::read_state(&path)
            .with_context(|| format!("cannot read the peers in {}", path.display()))?;
        let mut added = Vec::new();
        if let Some(text) = text {
            let name = path.display().to_string();
            let text = std::str::from_utf8(&text).with_context(|| format!("{name} is no text"))?;
            added = config::parse_peers(&name, text).map_err(|findings| {
                let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
                anyhow::anyhow!("{}", findings.join("; "))
            })?;
        }
        let added = added.into_iter().map(|peer| Member { peer, origin: Origin::Bus });
        let nobody = Self { path, members: Vec::new(), by_key: Vec::new(), shadowed: added.collect() };
        Ok(nobody.reconfigured(configured))
    }

    /// Returns the roster with other peers in the configuration file.
    #[must_use]
    pub fn reconfigured(&self, configured: &[Peer]) -> Self {
        let of_file = configured.iter().map(|peer| Member { peer: peer.clone(), origin: Origin::Config });
        let mut members: Vec<Member> = of_file.collect();
        let mut shadowed = Vec::new();
        for added in self.added() {
            match members.iter().find(|member| contradict(&member.peer, &added.peer)) {
                None => members.push(added.clone()),
                Some(member) => {
                    warn!(
                        public_key = %added.peer.core.public_key,
                        line = member.peer.line,
                        "a peer that was added over the bus has the key, an address or an endpoint of another, which was \
                         there before or is in the configuration file, and wins"
                    );
                    shadowed.push(added.clone());
                }
            }
        }
        Self { path: self.path.clone(), by_key: Vec::new(), members, shadowed }.indexed()
    }

    /// Brings `by_key` in line with `members`, which are to be no others after it.
    fn indexed(mut self) -> Self {
        self.by_key = (0..).take(self.members.len()).collect();
        self.by_key.sort_unstable_by_key(|at| self.members[*at as usize].peer.core.public_key);
        self
    }

    /// Everybody that the network runs with: those of the configuration file first.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns the member with this key.
    #[must_use]
    pub fn get(&self, key: &PublicKey) -> Option<&Member> {
        let key_at = |at: &u32| self.members[*at as usize].peer.core.public_key;
        let place = self.by_key.binary_search_by_key(key, key_at).ok()?;
        Some(&self.members[self.by_key[place] as usize])
    }

    /// Returns what the network calls a peer: its name, or enough of its key to tell it from others.
    #[must_use]
    pub fn name(&self, key: &PublicKey) -> String {
        match self.get(key).and_then(|member| member.peer.name.clone()) {
            Some(name) => name,
            None => key.to_string().chars().take(8).chain(['…']).collect(),
        }
    }

    /// Returns the roster with a peer more, or with another in place of the one with its key.
    #[must_use]
    pub fn with(&self, added: Member) -> Self {
        let mut roster = self.clone();
        let key = added.peer.core.public_key;
        // What stepped back under this key is replaced as well: the file holds each key once.
        roster.shadowed.retain(|member| member.peer.core.public_key != key);
        match roster.members.iter_mut().find(|member| member.peer.core.public_key == key) {
            Some(member) => *member = added,
            None => roster.members.push(added),
        }
        roster.indexed()
    }

    /// Returns the roster without a peer.
    #[must_use]
    pub fn without(&self, key: &PublicKey) -> Self {
        let mut roster = self.clone();
        roster.members.retain(|member| member.peer.core.public_key != *key);
        roster.shadowed.retain(|member| member.peer.core.public_key != *key);
        roster.indexed()
    }

    /// How many peers were added over the bus.
    #[must_use]
    pub fn added_len(&self) -> usize {
        self.added().count()
    }

    fn added(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.origin != Origin::Config).chain(&self.shadowed)
    }

    /// Writes what was added over the bus to stay.
    ///
    /// # Errors
    /// If it cannot be written; then what was written before stays.
    pub fn save(&self) -> io::Result<()> {
        let mut text = Zeroizing::new(Vec::new());
        let lasting: Vec<_> = self.added().filter(|member| member.origin == Origin::Bus).collect();
        let sections: Vec<_> = lasting.iter().map(|member| config::peer_section(&member.peer)).collect();
        // At once in its final size: a buffer that grows leaves copies of secrets behind.
        text.reserve_exact(sections.iter().map(|section| section.len() + 1).sum());
        for section in &sections {
            text.extend_from_slice(section.as_bytes());
            text.push(b'\n');
        }
        files::replace(&self.path, &text, true)
    }

    /// The file that keeps what was added over the bus.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether two peers claim the same.
fn contradict(one: &Peer, other: &Peer) -> bool {
    let prefixes: BTreeSet<_> = one.core.allowed_ips.iter().collect();
    one.core.public_key == other.core.public_key
        || other.core.allowed_ips.iter().any(|prefix| prefixes.contains(prefix))
        || other.core.endpoints.iter().any(|endpoint| one.core.endpoints.contains(endpoint))
        || other.names.iter().any(|name| one.names.contains(name))
}

#[cfg(test)]
mod tests {
    use meshnet_proto::config::{PeerConfig, PeerMode};
    use meshnet_proto::key::PresharedKey;
    use meshnet_proto::link::LinkAddr;

    use super::*;
    use crate::config::HostPort;
    use crate::link::Contact;

    fn peer(number: u8) -> Peer {
        let node = u32::from(number);
        Peer {
            name: Some(format!("peer{number}")),
            line: 0,
            core: PeerConfig {
                public_key: PublicKey::from_bytes([number; 32]),
                preshared_key: Some(PresharedKey::from_bytes([number; 32])),
                allowed_ips: vec![format!("10.0.0.{number}/32").parse().unwrap()],
                endpoints: vec![LinkAddr::radio(node)],
                mode: PeerMode::Symmetric,
                keepalive: None,
                bulk_over_metered: None,
            },
            contacts: vec![Contact { node, public_key: Some([number; 32]) }],
            names: Vec::new(),
            keepalive: None,
            bulk: None,
        }
    }

    fn lasting(number: u8) -> Member {
        Member { peer: peer(number), origin: Origin::Bus }
    }

    fn keys(roster: &Roster) -> Vec<u8> {
        roster.members().iter().map(|member| member.peer.core.public_key.as_bytes()[0]).collect()
    }

    #[test]
    fn what_was_added_to_stay_is_there_in_the_next_life_and_what_was_not_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh0.peers");
        let roster = Roster::load(path.clone(), &[peer(9)]).unwrap();
        let passing = Member { peer: peer(11), origin: Origin::BusVolatile };
        let roster = roster.with(lasting(10)).with(passing);
        assert_eq!(keys(&roster), [9, 10, 11]);
        roster.save().unwrap();

        let next = Roster::load(path, &[peer(9)]).unwrap();
        assert_eq!(keys(&next), [9, 10]);
        let (before, after) = (&roster.members()[1].peer, &next.members()[1].peer);
        assert_eq!(before.name, after.name);
        assert_eq!(format!("{:?}", before.core), format!("{:?}", after.core));
        assert_eq!(before.core.preshared_key, after.core.preshared_key);
        assert_eq!(before.contacts, after.contacts);
    }

    #[test]
    fn a_peer_of_several_links_is_the_same_in_the_next_life_its_names_included() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh0.peers");
        let mut both = lasting(10);
        both.peer.core.mode = PeerMode::Wireguard;
        both.peer.core.endpoints.push(LinkAddr::udp("[2001:db8::7]:51820".parse().unwrap()));
        both.peer.names = vec![HostPort { host: "cabin.example".to_owned(), port: 51820 }];
        both.peer.keepalive = std::num::NonZeroU16::new(25);
        both.peer.bulk = Some(true);
        both.peer.core.keepalive = Some(std::time::Duration::from_secs(25));
        both.peer.core.bulk_over_metered = Some(true);
        let mut nowhere = lasting(11);
        nowhere.peer.core.mode = PeerMode::Wireguard;
        (nowhere.peer.core.endpoints, nowhere.peer.contacts) = (Vec::new(), Vec::new());
        let roster = Roster::load(path.clone(), &[]).unwrap().with(both).with(nowhere);
        roster.save().unwrap();
        let next = Roster::load(path, &[]).unwrap();
        for (before, after) in roster.members().iter().zip(next.members()) {
            let blank = |peer: &Peer| format!("{:?}", Peer { line: 0, ..peer.clone() });
            assert_eq!(blank(&before.peer), blank(&after.peer));
        }
        assert_eq!(next.members().len(), 2);
    }

    #[test]
    fn the_configuration_file_wins_and_what_it_shadows_comes_back_with_its_going() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh0.peers");
        let roster = Roster::load(path.clone(), &[]).unwrap().with(lasting(10));
        roster.save().unwrap();
        let shadowed = roster.reconfigured(&[peer(10)]);
        assert_eq!(keys(&shadowed), [10]);
        assert_eq!(shadowed.members()[0].origin, Origin::Config);
        shadowed.save().unwrap();
        let next = Roster::load(path, &[peer(9)]).unwrap();
        assert_eq!(keys(&next), [9, 10]);
        assert_eq!(next.members()[1].origin, Origin::Bus);
    }

    #[test]
    fn whatever_was_added_after_a_peer_was_shadowed_can_be_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh0.peers");
        let roster = Roster::load(path.clone(), &[]).unwrap().with(lasting(10));
        let reinstalled = Peer {
            core: PeerConfig { public_key: PublicKey::from_bytes([9; 32]), ..peer(10).core },
            ..peer(9)
        };
        let shadowed = roster.reconfigured(std::slice::from_ref(&reinstalled));
        assert_eq!(keys(&shadowed), [9]);

        let mut moved = lasting(10);
        moved.peer.core.allowed_ips = vec!["10.0.0.20/32".parse().unwrap()];
        moved.peer.core.endpoints = vec![LinkAddr::radio(20)];
        let again = shadowed.with(moved);
        again.save().unwrap();
        assert_eq!(keys(&Roster::load(path.clone(), std::slice::from_ref(&reinstalled)).unwrap()), [9, 10]);

        let mut other = lasting(11);
        other.peer.core.endpoints = vec![LinkAddr::radio(10)];
        shadowed.with(other).save().unwrap();
        assert_eq!(keys(&Roster::load(path, &[reinstalled]).unwrap()), [9]);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_an_error_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh0.peers");
        std::fs::write(&path, "[Peer]\nPublicKey = x\n").unwrap();
        let error = Roster::load(path, &[]).unwrap_err().to_string();
        assert!(error.contains("mesh0.peers:2: PublicKey"), "{error}");
    }
}
