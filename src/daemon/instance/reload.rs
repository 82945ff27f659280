//! Makes a running network another, without touching what stays the same.
//!
//! A peer that stays keeps its session, a link that stays its connection. Whatever can be wrong is found before anything is
//! changed: the configuration is read and checked whole, and what contradicts it among the peers of the bus steps back.

use std::collections::BTreeMap;
use std::time::Instant;

use meshnet_bus::Error;
use meshnet_proto::config::PeerConfig;
use meshnet_proto::link::{LinkEvent, LinkId};
use tracing::{error, info, warn};

use super::Instance;
use crate::catalog;
use crate::config::{Config, Severity};
use crate::control::Change;
use crate::link::{LinkKind, LinkSpec, udp};
use crate::peers::{Member, Roster};

/// The links that go.
type Gone = Vec<(LinkId, LinkSpec)>;

/// What a reload will do.
struct Plan {
    config: Config,
    gone: Gone,
    /// The sockets of links that come.
    opened: BTreeMap<String, udp::Opened>,
}

impl Instance {
    /// Reads the configuration file again and becomes what it says.
    ///
    /// # Errors
    /// `InvalidConfig` or `NotSupported` if nothing was changed, `Failed` if the kernel refused something: the log says whether
    /// the rest is in force.
    pub(super) async fn reload(&mut self) -> Result<(), Error> {
        let outcome = match self.prepare_reload() {
            Ok(plan) => self.carry_out(plan).await.inspect_err(|error| {
                let failure = error.message();
                error!("the configuration is read again, but not all of it is in force: {failure}");
            }),
            Err(error) => {
                let failure = error.message();
                error!(message_id = catalog::RELOAD_REFUSED, "the configuration stays as it is: {failure}");
                Err(error)
            }
        };
        self.reload_failure = outcome.as_ref().err().map(Error::message);
        if outcome.is_ok() {
            info!(interface = self.config.tap_name, "the configuration is read again");
        }
        self.note_change();
        outcome
    }

    /// Finds what is to be done, and whether it can be. If it cannot, everything is as before.
    fn prepare_reload(&mut self) -> Result<Plan, Error> {
        let (config, private_key) = self.source.load().map_err(|findings| {
            let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
            let errors: Vec<String> = errors.map(ToString::to_string).collect();
            Error::InvalidConfig(errors.join("\n"))
        })?;
        let same = |what, is_same: bool| {
            if is_same { Ok(()) } else { Err(Error::NotSupported(format!("another {what} takes a restart"))) }
        };
        same("private key", private_key.public() == self.public_key)?;
        same("interface name", config.tap_name == self.config.tap_name)?;
        for (now, then) in [
            (&config.run_as_user, &self.config.run_as_user),
            (&config.run_as_group, &self.config.run_as_group),
        ] {
            same("RunAsUser or RunAsGroup", now == then)?;
        }
        same("SealingThreads", config.sealing_threads == self.config.sealing_threads)?;
        let gone = self.links.specs().filter(|(_, spec)| !config.links.contains(spec));
        let gone: Gone = gone.map(|(id, spec)| (id, spec.clone())).collect();
        let opened = self.open_sockets(&config, &gone)?;
        self.suit_links(&config).map_err(|error| failed(&error))?;
        Ok(Plan { config, gone, opened })
    }

    async fn carry_out(&mut self, plan: Plan) -> Result<(), Error> {
        let Plan { config, gone, opened } = plan;
        config.warnings.iter().for_each(|warning| warn!("{warning}"));
        let roster = self.roster.reconfigured(&config.peers);
        let links = self.change_links(&config, gone, opened);
        self.change_interface(config);
        let peers = self.change_peers(roster);
        let kernel = self.settle_interface().await;
        self.control.tell(Change::Network);
        links.and(peers).and(kernel)
    }

    /// Stops, replaces and starts drivers, so that those of `config` run. What cannot start is told, and the others do.
    fn change_links(
        &mut self,
        config: &Config,
        gone: Gone,
        mut opened: BTreeMap<String, udp::Opened>,
    ) -> Result<(), Error> {
        let now = Instant::now();
        for (id, LinkSpec { name, .. }) in gone {
            info!(link = name, "link is removed, or set up anew");
            if self.links.stop(id) {
                self.control.tell(Change::LinkDown(name));
            }
            self.node.remove_link(id, now);
        }
        let mut outcome = Ok(());
        for spec in &config.links {
            if self.links.specs().any(|(_, running)| running == spec) {
                continue;
            }
            info!(link = spec.name, "link is added: {}", spec.kind);
            match self.links.start(spec, opened.remove(&spec.name)) {
                Ok(Some((id, caps))) => self.node.handle_link(id, LinkEvent::Up(caps), now),
                Ok(None) => {}
                Err(error) => {
                    let shut = self.links.start_shut(spec, &error);
                    outcome = outcome.and(shut.and(Err(error)).map_err(|error| failed(&error)));
                }
            }
        }
        self.tell_own_addresses();
        outcome
    }

    /// Opens the sockets of udp links that are to be, before anything is changed: what cannot be had is told in time. One
    /// that listens where a link that goes does can only be opened after it.
    fn open_sockets(&self, config: &Config, gone: &Gone) -> Result<BTreeMap<String, udp::Opened>, Error> {
        let mut opened = BTreeMap::new();
        for spec in
            config.links.iter().filter(|spec| !self.links.specs().any(|(_, running)| running == *spec))
        {
            let LinkKind::Udp(udp) = &spec.kind else { continue };
            if let Some(what) = udp.takes_capability() {
                let only = format!("the link {} takes a restart: {what}, which only a start has", spec.name);
                return Err(Error::NotSupported(only));
            }
            let takes_over =
                gone.iter().any(|(_, old)| matches!(&old.kind, LinkKind::Udp(old) if old.collides(udp)));
            if !takes_over {
                opened.insert(spec.name.clone(), udp::open(&spec.name, udp).map_err(|error| failed(&error))?);
            }
        }
        Ok(opened)
    }

    fn change_interface(&mut self, config: Config) {
        let changed = config.addresses != self.config.addresses
            || config.mtu != self.config.mtu
            || config.rekey_after_messages != self.config.rekey_after_messages;
        if changed {
            let addresses = config.addresses.clone();
            self.node.set_interface(addresses, config.mtu, config.rekey_after_messages, Instant::now());
        }
        self.config = config;
    }

    /// Removes, changes and adds peers, so that those of `wanted` are in use.
    pub(super) fn change_peers(&mut self, wanted: Roster) -> Result<(), Error> {
        let now = Instant::now();
        let before = std::mem::replace(&mut self.roster, wanted);
        for member in before.members() {
            let key = member.peer.core.public_key;
            if self.roster.get(&key).is_none() {
                info!(peer = before.name(&key), "peer is removed");
                self.node.remove_peer(&key, now);
            }
        }
        let differs = |member: &Member| {
            let peer = &member.peer;
            before.get(&peer.core.public_key).is_some_and(|before| {
                before.peer.names != peer.names || !same_core(&before.peer.core, &peer.core)
            })
        };
        let changed: Vec<PeerConfig> = self
            .roster
            .members()
            .iter()
            .filter(|member| differs(member))
            .map(|member| self.names.core(&member.peer))
            .collect();
        // Two peers may have swapped an address: who cannot have it yet lets go of what it had, and is asked again.
        let waiting: Vec<PeerConfig> =
            changed.into_iter().filter(|peer| self.node.set_peer(peer, now).is_err()).collect();
        for peer in &waiting {
            let held = before.get(&peer.public_key).map_or(peer, |member| &member.peer.core);
            let bare = PeerConfig { allowed_ips: Vec::new(), endpoints: Vec::new(), ..held.clone() };
            // Nothing can be in the way of having nothing.
            let _ = self.node.set_peer(&bare, now);
        }
        let mut wrong = Vec::new();
        for peer in &waiting {
            if let Err(error) = self.node.set_peer(peer, now) {
                wrong.push(error.to_string());
            }
        }
        for member in self.roster.members() {
            let core = self.names.core(&member.peer);
            if before.get(&core.public_key).is_none()
                && let Err(error) = self.node.add_peer(&core, now)
            {
                wrong.push(error.to_string());
            }
        }
        self.links.set_contacts(&self.roster);
        self.names.watch(&self.roster);
        if wrong.is_empty() {
            return Ok(());
        }
        error!("not all peers could be changed: {}", wrong.join("; "));
        Err(Error::Failed(wrong.join("; ")))
    }

    /// Brings the interface's addresses, MTU and routes in line.
    pub(super) async fn settle_interface(&mut self) -> Result<(), Error> {
        let settings = self.wanted_settings();
        if self.settings.as_ref() == Some(&settings) {
            return Ok(());
        }
        self.tuner.forget();
        // If it is refused half of it may be in force: whatever is wanted next is to be put in place anew.
        self.settings = None;
        let done = self.interface.reconfigure(settings.clone()).await;
        done.map_err(|error| Error::Failed(format!("the kernel did not take it: {error:#}")))?;
        self.settings = Some(settings);
        Ok(())
    }
}

fn failed(error: &anyhow::Error) -> Error {
    Error::Failed(format!("{error:#}"))
}

/// Whether the core would see no difference.
fn same_core(one: &PeerConfig, other: &PeerConfig) -> bool {
    one.preshared_key == other.preshared_key
        && one.allowed_ips == other.allowed_ips
        && one.endpoints == other.endpoints
        && one.mode == other.mode
        && one.keepalive == other.keepalive
        && one.bulk_over_metered == other.bulk_over_metered
}
