//! Endpoints that are names: the core is told the addresses that they stand for, and names are looked up again when those
//! lead nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use meshnet_proto::config::PeerConfig;
use meshnet_proto::key::PublicKey;
use meshnet_proto::link::LinkAddr;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{Instance, random};
use crate::config::{HostPort, Peer};
use crate::peers::Roster;
use crate::resolve::{self, Resolved, Resolver, System};

/// The names of all peers, and what they stand for.
pub(super) struct Names {
    resolver: Resolver,
    pub(super) resolved: mpsc::Receiver<Resolved>,
    known: BTreeMap<HostPort, Vec<LinkAddr>>,
}

impl Names {
    pub(super) fn new(roster: &Roster) -> anyhow::Result<Self> {
        let (resolver, resolved) = resolve::start(System, random()?);
        let mut names = Self { resolver, resolved, known: BTreeMap::new() };
        names.watch(roster);
        Ok(names)
    }

    /// Looks up the names of these peers, and no others; what others stood for is forgotten.
    pub(super) fn watch(&mut self, roster: &Roster) {
        self.watch_all(
            roster.members().iter().flat_map(|member| member.peer.names.iter().cloned()).collect(),
        );
    }

    fn watch_all(&mut self, names: BTreeSet<HostPort>) {
        self.known.retain(|name, _| names.contains(name));
        self.resolver.watch(names);
    }

    /// Every name may stand for something else here.
    pub(super) fn all_again(&self) {
        self.resolver.all_again();
    }

    /// What the core is told of a peer: addresses as configured, then those that names stand for.
    pub(super) fn core(&self, peer: &Peer) -> PeerConfig {
        let mut core = peer.core.clone();
        for address in peer.names.iter().filter_map(|name| self.known.get(name)).flatten() {
            if !core.endpoints.contains(address) {
                core.endpoints.push(*address);
            }
        }
        core
    }
}

impl Instance {
    /// Takes what a name stands for.
    pub(super) fn handle_resolved(&mut self, resolved: Resolved) {
        let Resolved { name, addresses } = resolved;
        // An answer may have been under way when the last peer of that name went.
        let is_wanted = self.roster.members().iter().any(|member| member.peer.names.contains(&name));
        if !is_wanted || self.names.known.get(&name) == Some(&addresses) {
            return;
        }
        debug!(%name, ?addresses, "endpoint's name is resolved");
        self.names.known.insert(name.clone(), addresses);
        let now = Instant::now();
        for member in self.roster.members().iter().filter(|member| member.peer.names.contains(&name)) {
            let core = self.names.core(&member.peer);
            if let Err(error) = self.node.set_peer(&core, now) {
                warn!(peer = self.roster.name(&core.public_key), %name, %error, "what the name stands for is not used");
            }
        }
    }

    /// What the names of a peer's endpoints stood for leads nowhere.
    pub(super) fn resolve_again(&self, key: &PublicKey) {
        if let Some(member) = self.roster.get(key) {
            self.names.resolver.again(&member.peer.names);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_nobody_names_any_more_is_forgotten() {
        let (resolver, resolved) = resolve::start(System, [1; 32]);
        let mut names = Names { resolver, resolved, known: BTreeMap::new() };
        let name = |host: &str| HostPort { host: host.to_owned(), port: 51820 };
        let (stays, goes) = (name("127.0.0.1"), name("127.0.0.2"));
        for name in [&stays, &goes] {
            names.known.insert(name.clone(), vec![LinkAddr::udp(([127, 0, 0, 1], 51820).into())]);
        }
        names.watch_all([stays.clone()].into());
        assert_eq!(names.known.keys().collect::<Vec<_>>(), [&stays]);
        names.watch_all(BTreeSet::new());
        assert!(names.known.is_empty());
    }
}
