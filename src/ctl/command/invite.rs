//! `meshctl invite`

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use clap_complete::engine::ArgValueCandidates;
use ipnet::IpNet;
use meshnet_bus::names::Instance;
use meshnet_proto::key::PresharedKey;
use serde::Serialize;

use super::reach::{Endpoints, Named};
use super::{OneNetwork, output};
use crate::completion;
use crate::conf;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::invitation::{self, Invitation, Psk};
use crate::ours::{self, Host, Known, Ours};
use crate::render::qr;
use crate::runtime;

/// Print our public data as one line, for somebody to join with
///
/// The other side gives the line to "meshctl join", which prints its own line; we give that to "meshctl join" here, and both
/// ends know each other. The line holds our public key, our addresses, where we are, and an address that is free for whoever
/// joins: nothing secret. On a terminal it is shown as a QR code too.
///
/// Where we are: our radios' node ids, which the running daemon knows, and, with a udp link, this host's own addresses. Those
/// serve in the local network; an address or name by which others reach this host from outside takes --endpoint. A network
/// with a udp link invites to WireGuard's protocol, at both ends and on all links.
///
/// Nothing is reserved: of two who were proposed the same address, the second one's answer is refused. Invite several at
/// once with --for.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl invite
  meshctl invite mesh0 --for 10.42.0.7
  meshctl invite --to cabin                The answer to cabin's invitation, if join could not give it yet
  meshctl invite --endpoint '!d45b9db8'    Before the radio was ever up
  meshctl invite --endpoint udp://vpn.example.org")]
pub(crate) struct Invite {
    #[command(flatten)]
    network: OneNetwork,

    /// The address that whoever joins shall have; several with commas. Else one is chosen
    #[arg(long = "for", value_name = "ADDRESS", value_delimiter = ',', conflicts_with_all = ["to", "no_address"])]
    proposed: Vec<IpAddr>,

    /// Propose no address: the other side has one
    #[arg(long, conflicts_with = "to")]
    no_address: bool,

    /// The answer to this peer's invitation
    #[arg(long, value_name = "PEER", add = ArgValueCandidates::new(completion::peers))]
    to: Option<String>,

    #[command(flatten)]
    endpoints: Named,

    /// What the other side shall call us; else the host's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Have the other side make a preshared key; its answer is secret then
    #[arg(long, conflicts_with = "to")]
    psk: bool,

    #[command(flatten)]
    show: Show,

    /// Where the configurations are
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, hide = true)]
    config_dir: Option<PathBuf>,
}

/// Whether a line is shown as a QR code too.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Show a QR code, also where there is no terminal
    #[arg(long, overrides_with = "no_qr")]
    qr: bool,
    /// Show no QR code
    #[arg(long, overrides_with = "qr")]
    no_qr: bool,
}

/// What `--json` tells.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    pub schema: u32,
    pub network: &'a str,
    /// The line for the other side; `null`: it needs none.
    pub line: Option<&'a str>,
    pub secret: bool,
}

impl Show {
    /// Shows a line to be passed on.
    pub(crate) fn line(
        &self,
        invitation: &Invitation,
        network: &Instance,
        context: &Context,
    ) -> Result<(), Error> {
        let line = invitation.to_line();
        let secret = invitation.is_secret();
        if context.wants_json() {
            let schema = meshnet_bus::describe::SCHEMA;
            return context.print_json(&Line {
                schema,
                network: network.as_str(),
                line: Some(&line),
                secret,
            });
        }
        if secret {
            context
                .talk("This line holds a secret: whoever reads it can undo what the preshared key protects.");
        }
        if self.qr || (context.is_terminal() && !self.no_qr) {
            match qr::code(&line) {
                Some(code) => context.print(&code)?,
                None => context.talk("the line is too long for a QR code"),
            }
        }
        context.print(&format!("{}\n", *line))
    }
}

impl Invite {
    /// Invites.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let ours = runtime::block_on(find(&self.network, self.config_dir.as_deref(), context))?;
        let to = self.to.as_deref().map(|peer| known(&ours, peer)).transpose()?;
        let wireguard = to.map_or(ours.udp.is_some(), |peer| peer.wireguard);
        let endpoints = self.endpoints.endpoints(&ours, wireguard, context)?;
        if to.is_none() && endpoints.is_empty() {
            return Err(Error::failure(format!(
                "nobody could find {}: it has no address to tell",
                ours.name
            ))
            .hint("--endpoint udp://HOST:PORT; or have the other side invite, which we then call"));
        }
        let proposed = match (to, self.no_address) {
            (None, false) if self.proposed.is_empty() => free(&ours)?,
            _ => self.proposed,
        };
        if let Some(taken) = proposed.iter().find(|address| is_taken(address, &ours)) {
            return Err(Error::failure(format!("{taken} is somebody's already")).hint("meshctl peer list"));
        }
        let psk = match to {
            Some(peer) => {
                let path = conf::path(self.config_dir.as_deref().unwrap_or(Path::new(conf::DIR)), &ours.name);
                match preshared_key(&path, &peer.key)? {
                    Stored::Key(key) => Psk::Key(key),
                    Stored::Without => Psk::None,
                    Stored::Elsewhere => {
                        warn_untold(&path, peer.name.as_deref().unwrap_or(&peer.key), context);
                        Psk::None
                    }
                }
            }
            None if self.psk => Psk::Wanted,
            None => Psk::None,
        };
        let to = to.map(|peer| invitation::shorten(&peer.key).chars().take(invitation::TO_LEN).collect());
        let told = Told { psk, proposed, to, wireguard };
        let invitation = make(&ours, endpoints, self.name.as_deref(), told)?;
        self.show.line(&invitation, &ours.name, context)?;
        if invitation.to.is_none() && !context.wants_json() {
            context.talk("The other side: meshctl join LINE. It prints a line for you: meshctl join THAT.");
        }
        Ok(Exit::Success)
    }
}

/// Finds the network that is meant.
pub(crate) async fn find(
    named: &OneNetwork,
    directory: Option<&Path>,
    context: &Context,
) -> Result<Ours, Error> {
    let host = Host::look(directory).await;
    let name = match named.named(context) {
        Some(name) => name,
        None => match host.networks().await?.as_slice() {
            [only] => only.clone(),
            [] => {
                return Err(Error::new(Exit::NoSuchObject, "there is no network on this host")
                    .hint("\"meshctl init mesh0\" makes one"));
            }
            _ => return Err(Error::usage("there are several networks").hint("name one: meshctl invite NET")),
        },
    };
    host.network(&name).await
}

/// What a line tells beside who and where we are.
pub(crate) struct Told {
    /// The secret beside the keys.
    pub psk: Psk,
    /// Addresses for whoever joins.
    pub proposed: Vec<IpAddr>,
    /// Whom it answers.
    pub to: Option<String>,
    /// Whether the two are in mode WIREGUARD.
    pub wireguard: bool,
}

/// Our line.
///
/// # Errors
/// If the name is none, or a line cannot hold all of it.
pub(crate) fn make(
    ours: &Ours,
    endpoints: Endpoints,
    name: Option<&str>,
    told: Told,
) -> Result<Invitation, Error> {
    let name = match name {
        Some(name) => Some(invitation::name(name).ok_or_else(|| {
            Error::usage(format!("\"{name}\" is no name"))
                .hint("1 to 32 letters, digits, hyphens, underscores or dots")
        })?),
        None => ours::host_name(),
    };
    let (key, addresses, mtu) = (ours.key, ours.addresses.clone(), ours.mtu);
    let (Endpoints { radios, udp }, Told { psk, proposed, to, wireguard }) = (endpoints, told);
    let invitation = Invitation { key, addresses, radios, udp, name, proposed, mtu, wireguard, psk, to };
    // What would not be read back must not go out.
    match Invitation::parse(&invitation.to_line()) {
        Ok(_) => Ok(invitation),
        Err(error) => Err(Error::failure("this network does not fit into an invitation").because(error)),
    }
}

/// The peer that is meant by its name, its key or the beginning of that.
fn known<'o>(ours: &'o Ours, peer: &str) -> Result<&'o Known, Error> {
    let matches = |known: &&Known| {
        known.name.as_deref() == Some(peer) || (peer.len() >= 4 && known.key.starts_with(peer))
    };
    let found: Vec<&Known> = ours.peers.iter().filter(matches).collect();
    match found.as_slice() {
        [only] => Ok(only),
        [] => Err(Error::new(Exit::NoSuchObject, format!("{} has no peer \"{peer}\"", ours.name))
            .hint("meshctl peer list")),
        _ => Err(Error::usage(format!("\"{peer}\" may be several peers")).hint("meshctl peer list")),
    }
}

/// What the configuration file tells of the preshared key with a peer.
pub(crate) enum Stored {
    /// This is the key.
    Key(PresharedKey),
    /// There is none.
    Without,
    /// The peer is not in the file: it was added over the bus, and whether it has a key, the daemon tells nobody.
    Elsewhere,
}

/// Looks up the preshared key with a peer, which only the file tells.
///
/// # Errors
/// If there is a file that cannot be read, or what it holds is no key.
pub(crate) fn preshared_key(path: &Path, peer: &str) -> Result<Stored, Error> {
    let conf = match conf::Conf::read(path) {
        Ok(conf) => conf,
        Err(error) if error.exit() == Exit::NoSuchObject => return Ok(Stored::Elsewhere),
        Err(error) => return Err(error.context("cannot tell whether the peer has a preshared key")),
    };
    let keys = conf.sections("Peer", "PublicKey");
    let secrets = conf.sections("Peer", "PresharedKey");
    let Some((_, secret)) = keys.iter().zip(secrets).find(|(key, _)| key.first() == Some(&peer)) else {
        return Ok(Stored::Elsewhere);
    };
    match secret.first() {
        None => Ok(Stored::Without),
        Some(text) => text.parse().map(Stored::Key).map_err(|error| {
            Error::failure(format!("the preshared key in {} is no key", path.display())).because(error)
        }),
    }
}

/// Says that an answer is without the preshared key that there may be.
pub(crate) fn warn_untold(path: &Path, peer: &str, context: &Context) {
    context.talk(&format!(
        "{} is not in {}: a preshared key, if there is one, was in the answer that join printed; this line has none",
        crate::render::clean(peer),
        path.display()
    ));
}

/// An address for whoever is to join, in each of our networks that has room.
pub(crate) fn free(ours: &Ours) -> Result<Vec<IpAddr>, Error> {
    let mut proposed = Vec::new();
    for network in &ours.addresses {
        if network.prefix_len() + 1 < network.max_prefix_len() {
            proposed.extend(free_in(network, ours)?);
        }
    }
    if proposed.is_empty() {
        return Err(Error::failure(format!("{} has no room for another address", ours.name))
            .hint("--no-address, if the other side has one"));
    }
    Ok(proposed)
}

/// One of the network's addresses that nobody has, by chance: two who are invited at once seldom get the same.
fn free_in(network: &IpNet, ours: &Ours) -> Result<Option<IpAddr>, Error> {
    /// Enough to find one of a few among many.
    const TRIES: usize = 200;
    // The second half of the address at most, and no network or broadcast address.
    let bits = u32::from(network.max_prefix_len() - network.prefix_len()).min(16);
    for _ in 0..TRIES {
        let bytes = output::random()?;
        let host = u128::from(u16::from_be_bytes([bytes[0], bytes[1]])) & ((1 << bits) - 1);
        if host == 0 || host == (1 << bits) - 1 {
            continue;
        }
        let address = match network.network() {
            IpAddr::V4(base) => IpAddr::V4((u32::from(base) | u32::try_from(host).unwrap_or(0)).into()),
            IpAddr::V6(base) => IpAddr::V6((u128::from(base) | host).into()),
        };
        if !is_taken(&address, ours) {
            return Ok(Some(address));
        }
    }
    Ok(None)
}

/// Whether somebody has the address, we included.
pub(crate) fn is_taken(address: &IpAddr, ours: &Ours) -> bool {
    ours.addresses.iter().any(|own| own.addr() == *address)
        || ours.peers.iter().flat_map(|peer| &peer.allowed_ips).any(|prefix| prefix.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(addresses: &[&str], taken: &[&str]) -> Ours {
        let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        Ours {
            name: Instance::new("mesh0").unwrap(),
            running: true,
            key: meshnet_proto::key::PublicKey::from_bytes([1; 32]),
            addresses: parse(addresses),
            mtu: Some(180),
            radios: vec![7],
            has_radio: true,
            udp: None,
            peers: vec![Known {
                key: "abcdefgh".to_owned(),
                name: Some("cabin".to_owned()),
                allowed_ips: parse(taken),
                udp: Vec::new(),
                wireguard: false,
            }],
        }
    }

    #[test]
    fn the_one_free_address_is_found_and_none_is_said() {
        let nearly_full = ours(&["10.0.0.1/30"], &[]);
        assert_eq!(free(&nearly_full).unwrap(), ["10.0.0.2".parse::<IpAddr>().unwrap()]);
        assert!(free(&ours(&["10.0.0.1/30"], &["10.0.0.2/32"])).is_err());
        assert!(free(&ours(&["10.0.0.1/32"], &[])).is_err());
        let both = free(&ours(&["10.0.0.1/24", "fd42::1/64"], &[])).unwrap();
        assert!(both[0].is_ipv4() && both[1].is_ipv6());
    }

    #[test]
    fn a_peer_is_known_by_its_name_or_the_beginning_of_its_key() {
        let ours = ours(&["10.0.0.1/24"], &[]);
        assert!(known(&ours, "cabin").is_ok() && known(&ours, "abcd").is_ok());
        assert_eq!(known(&ours, "abc").unwrap_err().exit(), Exit::NoSuchObject);
    }
}
