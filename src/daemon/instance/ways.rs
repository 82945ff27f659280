//! The ways out of this host and to the peers: what the kernel is told of them, and what it tells.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use ipnet::IpNet;
use tracing::debug;

use super::Instance;
use crate::config::Config;
use crate::link::LinkKind;
use crate::netlink::{Settings, Surroundings, Ways};

/// Whether a network has links where air is free.
pub(super) fn has_free(config: &Config) -> bool {
    config.links.iter().any(|link| matches!(link.kind, LinkKind::Udp(_)))
}

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

    /// Tells the kernel if a peer is reached by other means than before. It does not wait: packets go on meanwhile.
    pub(super) fn tune_routes(&mut self) {
        if !std::mem::take(&mut self.routes_due) {
            return;
        }
        let wanted = self.wanted_settings();
        // If something was refused before, it is for the next reload to put right.
        if self.settings.as_ref().is_none_or(|settings| *settings == wanted) {
            return;
        }
        if self.interface.request(wanted.clone()) {
            self.settings = Some(wanted);
        } else {
            self.routes_due = true;
        }
    }

    /// Something changed around this host: where others may reach it, or which ways lead out of it.
    pub(super) fn handle_surroundings(&mut self, surroundings: Surroundings) {
        let Surroundings { addresses, dark } = surroundings;
        debug!(?addresses, ?dark, "something changed around us");
        if self.surroundings != addresses {
            self.names.all_again();
        }
        self.surroundings = addresses;
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

    /// Tells the core where others may reach this host: at each address by each port.
    pub(super) fn tell_own_addresses(&mut self) {
        let ports = self.links.ports();
        let ours: Vec<SocketAddr> = self
            .surroundings
            .iter()
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
