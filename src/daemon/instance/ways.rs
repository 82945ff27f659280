//! The ways out of this host and to the peers: what the kernel is told of them, and what it tells.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use ipnet::IpNet;
use tracing::{debug, trace, warn};

use super::Instance;
use super::free::has_free;
use super::tuning::{Changes, Outcome};
use crate::netlink::{Settings, Surroundings, Ways};

impl Instance {
    /// What the interface is to be.
    pub(super) fn wanted_settings(&self) -> Settings {
        let members = self.roster.members().iter();
        let allowed = members.clone().flat_map(|member| member.peer.core.allowed_ips.iter().copied());
        let mac = meshnet_proto::mac_of(&self.public_key);
        let ways = if has_free(&self.config) {
            let by_radio = members.filter_map(|member| {
                let core = &member.peer.core;
                let mtu = self.node.metered_path_mtu(&core.public_key)?;
                Some(core.allowed_ips.iter().map(move |prefix| (*prefix, mtu_for(prefix, mtu))))
            });
            Ways::Mixed(by_radio.flatten().collect::<BTreeMap<IpNet, u16>>())
        } else {
            Ways::Radios
        };
        Settings::new(mac, self.config.mtu, self.config.addresses.clone(), allowed, ways)
    }

    /// Tells the kernel if peers are reached by other means than it was told. It does not wait: packets go on meanwhile.
    pub(super) fn tune_routes(&mut self) {
        let due = self.tuner.take_due();
        // If something was refused before, or the network is of radios alone, the next reload puts everything in place.
        let Some(Settings { ways: Ways::Mixed(told), .. }) = &self.settings else { return };
        let changes =
            self.roster.members().iter().filter(|member| due.contains(&member.peer.core.public_key));
        let changes = changes.flat_map(|member| {
            let core = &member.peer.core;
            let mtu = self.node.metered_path_mtu(&core.public_key);
            core.allowed_ips.iter().map(move |prefix| (*prefix, mtu.map(|mtu| mtu_for(prefix, mtu))))
        });
        let changes: Changes = changes.filter(|(prefix, way)| told.get(prefix).copied() != *way).collect();
        if !changes.is_empty() {
            let answer = self.interface.tune(changes.clone());
            self.tuner.asked(due, changes, answer);
        }
    }

    /// Takes what became of it.
    pub(super) fn handle_tuned(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Tuned(changes) => {
                debug!(routes = changes.len(), "routes are tuned");
                self.tuning_fails = false;
                let Some(Settings { ways: Ways::Mixed(told), .. }) = &mut self.settings else { return };
                for (prefix, way) in changes {
                    match way {
                        Some(mtu) => told.insert(prefix, mtu),
                        None => told.remove(&prefix),
                    };
                }
            }
            // Once for each time that it goes wrong, however often it is tried.
            Outcome::Refused(error) if std::mem::replace(&mut self.tuning_fails, true) => {
                debug!("the kernel still does not take what TCP is to know of routes: {error:#}");
            }
            Outcome::Refused(error) => {
                warn!(
                    "the kernel does not take what TCP is to know of routes, and is asked again: {error:#}"
                );
            }
            Outcome::Rested => {}
        }
    }

    /// Something changed around this host: where others may reach it, or which ways lead out of it.
    pub(super) fn handle_surroundings(&mut self, surroundings: Surroundings) {
        if !self.free.looks_around() {
            trace!("the last news of what is around us");
            return;
        }
        let Surroundings { addresses, dark } = surroundings;
        debug!(?addresses, ?dark, "something changed around us");
        if self.surroundings.as_ref().is_none_or(|before| *before != addresses) {
            self.names.all_again();
        }
        self.surroundings = Some(addresses);
        self.links.forget_sources();
        let now = Instant::now();
        for (link, to) in self.node.free_ways() {
            if self.links.finds_no_way(link, to, &dark) {
                debug!(link = self.links.name(link), %to, "no way leads there any more");
                self.node.handle_no_way(link, to, now);
            }
        }
        self.tell_own_addresses();
    }

    /// Whether this host is in any network, as far as it is known.
    pub(super) fn is_reachable(&self) -> bool {
        self.surroundings.as_ref().is_none_or(|addresses| !addresses.is_empty())
    }

    /// Tells the core where others may reach this host: at each address by each port.
    pub(super) fn tell_own_addresses(&mut self) {
        let ports = self.links.ports();
        let ours: Vec<SocketAddr> = self
            .surroundings
            .iter()
            .flatten()
            .flat_map(|ip| ports.iter().map(|port| SocketAddr::new(*ip, *port)))
            .collect();
        self.node.set_own_addresses(ours, Instant::now());
    }
}

/// IPv6 demands 1280 bytes of every way.
fn mtu_for(prefix: &IpNet, mtu: u16) -> u16 {
    match prefix {
        IpNet::V4(_) => mtu,
        IpNet::V6(_) => mtu.max(crate::config::IPV6_MTU),
    }
}
