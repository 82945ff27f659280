//! The other side of an exchange of lines, as it becomes a peer of ours: by which ways, in which mode, with which secret.

use std::io::Write as _;
use std::path::Path;

use ipnet::IpNet;
use meshnet_bus::settings::PeerSettings;
use meshnet_proto::key::PresharedKey;
use zeroize::Zeroizing;

use super::invite::{self, Stored};
use super::reach::{self, Endpoints};
use super::setup;
use crate::conf::Conf;
use crate::context::Context;
use crate::error::Error;
use crate::invitation::Invitation;
use crate::ours::{Ours, WIREGUARD};
use crate::place::Place;

/// Every how many seconds of silence we say that we are there, so that a NAT before us remembers it. Those of NATs that
/// forget soonest do so after 30 s.
const KEEPALIVE: u16 = 25;

/// The other side, as it becomes a peer of ours.
pub(crate) struct Newcomer<'i> {
    invitation: &'i Invitation,
    name: Option<String>,
    psk: Option<PresharedKey>,
    /// Those of its endpoints that a link of ours leads to.
    endpoints: Endpoints,
    keepalive: bool,
}

impl<'i> Newcomer<'i> {
    /// Who sent this line, under the name that we give it; no way to it is known yet.
    pub(crate) fn new(invitation: &'i Invitation, name: Option<String>, psk: Option<PresharedKey>) -> Self {
        Self { invitation, name, psk, endpoints: Endpoints::default(), keepalive: false }
    }

    /// Whose line it is.
    pub(crate) fn invitation(&self) -> &'i Invitation {
        self.invitation
    }

    /// Its preshared key, if it has one.
    pub(crate) fn into_psk(self) -> Option<PresharedKey> {
        self.psk
    }

    /// The prefixes that are its own: its addresses, without their networks.
    fn allowed_ips(&self) -> Vec<IpNet> {
        self.invitation.addresses.iter().map(|address| setup::host(address.addr())).collect()
    }

    /// What people call it.
    pub(crate) fn called(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.invitation.key.to_string())
    }

    /// Takes those of its endpoints that a link of ours leads to: the daemon warns of others with every start.
    ///
    /// # Errors
    /// If there is none, and it cannot come to us either.
    pub(crate) fn find_ways(&mut self, ours: &Ours, context: &Context) -> Result<(), Error> {
        let theirs = self.invitation;
        if ours.has_radio {
            self.endpoints.radios.clone_from(&theirs.radios);
        }
        if ours.udp.is_some() {
            let free = |place: &&Place| !self.is_taken(place, ours, context);
            self.endpoints.udp = theirs.udp.iter().filter(free).cloned().collect();
        }
        let comes = theirs.wireguard && ours.udp.is_some();
        if !self.endpoints.is_empty() || comes {
            return Ok(());
        }
        let (network, called) = (&ours.name, self.called());
        let error = Error::failure(format!("cannot add {called} to {network}"));
        Err(if theirs.radios.is_empty() {
            error.because(format!("{called} speaks UDP alone, and {network} has no udp link")).hint(format!(
                "ListenPort = 51820 in [Interface] of {network}'s file, then \"meshctl reload\""
            ))
        } else if theirs.wireguard {
            error.because(format!("no link of {network} leads to {called}"))
        } else {
            error
                .because(format!("{called} is reached by radio alone, and {network} has none"))
                .hint("have the other side invite from a network with a udp link: ListenPort = 51820")
        })
    }

    /// Whether an address is another peer's. That two peers, each in a local network of its own, have the same private address
    /// is nobody's mistake; but one peer alone can have it here, and the other one is found otherwise.
    fn is_taken(&self, place: &Place, ours: &Ours, context: &Context) -> bool {
        let key = self.invitation.key.to_string();
        let owner = ours.peers.iter().find(|peer| peer.key != key && peer.udp.contains(place));
        let Some(owner) = owner.filter(|_| place.is_local()) else { return false };
        let owner = crate::render::clean(owner.name.as_deref().unwrap_or(&owner.key)).into_owned();
        context.talk(&format!(
            "{place} is that of {owner}, in another local network: it is left out at {}",
            self.called()
        ));
        true
    }

    /// Sees whether one of the two can begin, now that it is known where our line says that we are; and whether we look like a
    /// host behind a NAT, which must keep the way to itself open.
    ///
    /// # Errors
    /// If neither can.
    pub(crate) fn weigh(&mut self, ours: &Endpoints) -> Result<(), Error> {
        if ours.is_empty() && self.endpoints.is_empty() {
            return Err(Error::failure(format!("neither we nor {} could begin", self.called()))
                .because("neither side tells an address that the other one reaches")
                .hint("--endpoint udp://HOST:PORT, if this host is reached from outside"));
        }
        let outside = self.endpoints.udp.iter().any(|place| !place.is_local());
        self.keepalive = outside && self.endpoints.radios.is_empty() && ours.udp.iter().all(Place::is_local);
        Ok(())
    }

    /// That no peer of a file has its addresses, radios or places: the daemon would refuse such a file at its next start.
    ///
    /// # Errors
    /// Whose they are.
    pub(crate) fn require_free(&self, conf: &Conf, ours: &Ours) -> Result<(), Error> {
        let (addresses, radios, udp) = (self.allowed_ips(), &self.endpoints.radios, &self.endpoints.udp);
        let prefix = |text: &&str| match text.parse::<IpNet>() {
            Ok(prefix) => Some(prefix.trunc()),
            Err(_) => text.parse().ok().map(setup::host),
        };
        let [names, prefixes, endpoints] =
            ["Name", "AllowedIPs", "Endpoint"].map(|key| conf.sections("Peer", key));
        for ((name, prefixes), endpoints) in names.into_iter().zip(prefixes).zip(endpoints) {
            let prefix = prefixes.iter().filter_map(prefix).find(|prefix| addresses.contains(prefix));
            let radio =
                endpoints.iter().filter_map(|text| reach::node(text).ok()).find(|id| radios.contains(id));
            let place =
                || endpoints.iter().filter_map(|text| Place::read(text, None)).find(|at| udp.contains(at));
            let taken = prefix
                .map(|prefix| prefix.to_string())
                .or(radio.map(|radio| format!("!{radio:08x}")))
                .or_else(|| place().map(|place| place.to_string()));
            if let Some(taken) = taken {
                let owner = name.first().copied().unwrap_or("another peer");
                return Err(Error::failure(format!("cannot add {} to {}", self.called(), ours.name))
                    .because(format!("{taken} is already that of {owner}"))
                    .hint("each address and each radio at one peer: the other side has to take another, or the old peer to go"));
            }
        }
        Ok(())
    }

    /// Takes the preshared key for the answer to a peer that we had before: the one that is stored. One that was only drawn is
    /// known to nobody here, and an answer with it would part the two ends.
    ///
    /// # Errors
    /// If there is none, and one was drawn; or the file cannot be read.
    pub(crate) fn take_stored_key(
        &mut self,
        path: &Path,
        ours: &Ours,
        context: &Context,
    ) -> Result<(), Error> {
        self.psk = match invite::preshared_key(path, &self.invitation.key.to_string())? {
            Stored::Key(key) => Some(key),
            Stored::Without | Stored::Elsewhere if self.psk.is_some() => {
                let called = self.called();
                return Err(Error::failure(format!("{called} is a peer of {} already", ours.name))
                    .because(format!("{} holds no preshared key for it", path.display()))
                    .hint(format!(
                        "to make a new preshared key: \"meshctl peer remove {called}\", or take its section out of {}; \
                         then join again",
                        path.display()
                    )));
            }
            Stored::Without => None,
            Stored::Elsewhere => {
                invite::warn_untold(path, &self.called(), context);
                None
            }
        };
        Ok(())
    }

    /// As the daemon is told; the secret through a pipe.
    ///
    /// # Errors
    /// If there is no pipe.
    pub(crate) fn settings(&self) -> Result<PeerSettings, Error> {
        let pipe = |key: &PresharedKey| {
            let (reader, mut writer) = std::io::pipe()?;
            // Less than a pipe holds: nobody need read yet.
            writer.write_all(key.to_base64().as_bytes())?;
            writer.write_all(b"\n")?;
            Ok::<_, std::io::Error>(std::os::fd::OwnedFd::from(reader).into())
        };
        let preshared_key = self.psk.as_ref().map(pipe).transpose();
        Ok(PeerSettings {
            name: self.name.clone(),
            allowed_ips: Some(self.allowed_ips().iter().map(ToString::to_string).collect()),
            endpoints: Some(self.endpoints.texts()).filter(|endpoints| !endpoints.is_empty()),
            // Said whatever the endpoints are, for what they suggest may differ between the two ends. Without it all of them are
            // radios, which suggest PKI everywhere.
            mode: self.invitation.wireguard.then(|| WIREGUARD.to_owned()),
            preshared_key: preshared_key
                .map_err(|error| Error::failure("cannot pass on the key").because(error))?,
            persistent_keepalive: self.keepalive.then_some(KEEPALIVE),
            ..PeerSettings::default()
        })
    }

    /// As a configuration file has it.
    pub(crate) fn section(&self) -> Zeroizing<String> {
        /// Room for all of it, so that the key is not copied about.
        const ROOM: usize = 2048;
        let mut text = Zeroizing::new(String::with_capacity(ROOM));
        text.push_str("\n[Peer]\n");
        let mut line = |key: &str, value: &str| text.extend([key, " = ", value, "\n"]);
        self.name.iter().for_each(|name| line("Name", name));
        line("PublicKey", &self.invitation.key.to_string());
        self.psk.iter().for_each(|key| line("PresharedKey", &key.to_base64()));
        let prefixes: Vec<String> = self.allowed_ips().iter().map(ToString::to_string).collect();
        line("AllowedIPs", &prefixes.join(", "));
        let endpoints = self.endpoints.texts();
        if !endpoints.is_empty() {
            line("Endpoint", &endpoints.join(", "));
        }
        if self.invitation.wireguard {
            line("PeerMode", WIREGUARD);
        }
        if self.keepalive {
            line("PersistentKeepalive", &KEEPALIVE.to_string());
        }
        text
    }
}
