//! `meshctl join`
//!
//! What a line leads to. An answer (`to`) belongs to the network of ours whose key it names: its sender becomes a peer there,
//! and that was the exchange. Any other line is somebody's invitation: its sender becomes a peer of the network that the
//! command line names, or of the one that has an address in the sender's network, or of a network that is made for it; and
//! our answer is printed. A running daemon is told over D-Bus, and keeps the peer; else the configuration file is.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;

use clap::Args;
use ipnet::IpNet;
use meshnet_bus::names::Instance;
use meshnet_bus::settings::PeerSettings;
use meshnet_proto::key::PresharedKey;
use zbus::wire::OwnedObjectPath;
use zeroize::Zeroizing;

use super::invite::{self, Line, Show, Stored};
use super::output;
use super::setup::{self, Setup};
use crate::bus;
use crate::conf::{self, Conf};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::invitation::{self, Invitation, Psk};
use crate::ours::{Host, Ours};
use crate::{prompt, runtime};

/// Take the line that somebody's "meshctl invite" printed, and answer it
///
/// Makes the other side a peer: of the network that -n names, or of ours that has an address in the other side's network; on a
/// host without a network, one is made, with the address that the line proposes. Then it prints our line for the other
/// side, unless the line was an answer itself. If our radio's node id is not known yet, it says how to print it later.
///
/// An answer with a preshared key is a secret, and is taken from stdin alone.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl join meshnet:1,key=…,ip=10.42.0.1/24,radio=d45b9db8,name=west,for=10.42.0.2,sum=5a17
  meshctl join -n mesh1 --radio tcp://192.0.2.7 meshnet:1,…
  meshctl join < answer")]
pub(crate) struct Join {
    /// The line; else, or as "-", it is read from stdin
    #[arg(value_name = "LINE")]
    line: Option<String>,

    /// What we call the other side; else what it calls itself
    #[arg(long, value_name = "NAME")]
    peer_name: Option<String>,

    /// What the other side shall call us; else the host's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The node ids of our radios, for the answer; else the daemon is asked
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    endpoint: Vec<String>,

    /// Make a preshared key, which our answer then holds
    #[arg(long)]
    psk: bool,

    #[command(flatten)]
    show: Show,

    #[command(flatten)]
    setup: Setup,
}

/// The other side, as it becomes a peer of ours.
struct Newcomer<'i> {
    invitation: &'i Invitation,
    name: Option<String>,
    psk: Option<PresharedKey>,
}

/// Since when the other side is a peer.
#[derive(Debug, PartialEq, Eq)]
enum Added {
    /// It became one.
    Now,
    /// It was one, and nothing was changed.
    Before,
}

impl Join {
    /// Joins.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let invitation = self.read_line()?;
        runtime::block_on(self.act(&invitation, context))
    }

    /// The line, from the command line or from stdin.
    fn read_line(&self) -> Result<Invitation, Error> {
        let given = self.line.as_deref().filter(|line| *line != "-");
        let line = match given {
            Some(line) => Zeroizing::new(line.to_owned()),
            None if prompt::possible() => prompt::ask("the line of the other side:")?,
            None => prompt::line()?,
        };
        let invitation = Invitation::parse(&line).map_err(|error| {
            Error::usage("this is no line of \"meshctl invite\"")
                .because(error)
                .hint("copy it whole, from \"meshnet:1\" to the four digits after \"sum=\"")
        })?;
        if invitation.is_secret() && given.is_some() {
            return Err(Error::usage("this line holds a secret, and other users can read command lines")
                .hint("give it on stdin: run \"meshctl join\", and paste it"));
        }
        Ok(invitation)
    }

    async fn act(&self, invitation: &Invitation, context: &Context) -> Result<Exit, Error> {
        let host = Host::look(self.setup.elsewhere()).await;
        let mut newcomer = self.newcomer(invitation)?;
        if let Some(to) = &invitation.to {
            let ours = addressee(&host, to, context).await?;
            self.add(&host, &ours, &newcomer, context).await?;
            if context.wants_json() {
                let (schema, network) = (meshnet_bus::describe::SCHEMA, ours.name.as_str());
                context.print_json(&Line { schema, network, line: None, secret: false })?;
            }
            return Ok(Exit::Success);
        }
        match inviting(&host, invitation, context).await? {
            Target::Ours(ours) => {
                // Before anything is changed: an answer that cannot be given is no half an exchange.
                let radios = if ours.running { Some(invite::radios(&self.endpoint, &ours)?) } else { None };
                let ours = *ours;
                if self.add(&host, &ours, &newcomer, context).await? == Added::Before {
                    newcomer.psk = newcomer.kept(&conf::path(&host.directory, &ours.name), &ours, context)?;
                }
                self.answer(&ours, radios, newcomer, context)
            }
            Target::Fresh(name) => {
                let ours = self.make(&name, &newcomer, context).await?;
                self.answer(&ours, None, newcomer, context)
            }
        }
    }

    fn newcomer<'i>(&self, invitation: &'i Invitation) -> Result<Newcomer<'i>, Error> {
        let name = match &self.peer_name {
            Some(name) => Some(invitation::name(name).ok_or_else(|| {
                Error::usage(format!("\"{name}\" is no name"))
                    .hint("1 to 32 letters, digits, hyphens, underscores or dots")
            })?),
            None => invitation.name.clone(),
        };
        let psk = match &invitation.psk {
            Psk::Key(key) => Some(key.clone()),
            Psk::Wanted => Some(PresharedKey::from_bytes(*output::random()?)),
            Psk::None if self.psk && invitation.to.is_none() => {
                Some(PresharedKey::from_bytes(*output::random()?))
            }
            Psk::None => None,
        };
        Ok(Newcomer { invitation, name, psk })
    }

    /// Makes the other side a peer of a network that there is, unless it is one.
    async fn add(
        &self,
        host: &Host,
        ours: &Ours,
        newcomer: &Newcomer<'_>,
        context: &Context,
    ) -> Result<Added, Error> {
        if newcomer.invitation.key == ours.key {
            return Err(Error::usage(format!("this is the invitation of {} itself", ours.name))
                .hint("it is for the other side"));
        }
        let key = newcomer.invitation.key.to_string();
        if let Some(known) = ours.peers.iter().find(|peer| peer.key == key) {
            let name = known.name.as_deref().unwrap_or(&known.key);
            context.talk(&format!(
                "{} is a peer of {} already; nothing was changed",
                crate::render::clean(name),
                ours.name
            ));
            return Ok(Added::Before);
        }
        match &host.bus {
            Some(bus) if ours.running => {
                let proxy = bus.network(&ours.name).await?;
                let body = (key.as_str(), newcomer.settings()?);
                let what = format!("cannot add the peer to {}", ours.name);
                let _: OwnedObjectPath = bus::change(proxy.inner(), "AddPeer", &body, context, &what).await?;
            }
            Some(_) | None => {
                let path = conf::path(&host.directory, &ours.name);
                let conf = Conf::read(&path)?;
                newcomer.require_free(&conf, &ours.name)?;
                let section = newcomer.section();
                let mut text = Zeroizing::new(String::with_capacity(conf.text().len() + section.len() + 1));
                text.push_str(conf.text());
                if !text.ends_with('\n') {
                    text.push('\n');
                }
                text.push_str(&section);
                conf::rewrite(&path, &text)?;
            }
        }
        context.talk(&format!("{} is a peer of {}", newcomer.called(), ours.name));
        Ok(Added::Now)
    }

    /// Makes a network for the invitation.
    async fn make(&self, name: &Instance, newcomer: &Newcomer<'_>, context: &Context) -> Result<Ours, Error> {
        let addresses = self.addresses(newcomer.invitation)?;
        let radio = self.setup.choose_radio(context).await?;
        let mtu = self.setup.mtu.or(newcomer.invitation.mtu);
        let (mut text, key) = setup::text(name, &addresses, mtu, &radio)?;
        text.push_str(&newcomer.section());
        let path = conf::path(&self.setup.config_dir, name);
        conf::create(&path, &text, false)?;
        context.talk(&format!("{name} is in {}: {} at {radio}", path.display(), list(&addresses)));
        context.talk(&format!("{} is a peer of {name}", newcomer.called()));
        Ok(Ours {
            name: name.clone(),
            running: false,
            key: key.public(),
            addresses,
            mtu,
            radios: Vec::new(),
            udp_port: None,
            peers: Vec::new(),
        })
    }

    /// Our addresses in a network that is made: those that are given, or those that are proposed, each in the network of the
    /// inviter's that it is in.
    fn addresses(&self, invitation: &Invitation) -> Result<Vec<IpNet>, Error> {
        if !self.setup.address.is_empty() {
            return Ok(self.setup.address.clone());
        }
        let place = |address: &IpAddr| {
            let network = invitation.addresses.iter().find(|network| network.contains(address))?;
            IpNet::new(*address, network.prefix_len()).ok()
        };
        let placed: Option<Vec<IpNet>> = invitation.proposed.iter().map(place).collect();
        match placed {
            Some(addresses) if !addresses.is_empty() => Ok(addresses),
            Some(_) => Err(Error::failure("the invitation proposes no address")
                .hint("choose one: --address ADDRESS/LENGTH")),
            None => Err(Error::failure("the invitation proposes an address outside its own network")
                .hint("choose one: --address ADDRESS/LENGTH")),
        }
    }

    /// Prints our line, or says how to print it once the radio is known.
    fn answer(
        &self,
        ours: &Ours,
        radios: Option<Vec<u32>>,
        newcomer: Newcomer<'_>,
        context: &Context,
    ) -> Result<Exit, Error> {
        let radios = match radios {
            Some(radios) => radios,
            None if self.endpoint.is_empty() => {
                let (name, peer) = (&ours.name, newcomer.called());
                let steps = setup::next_steps(&[
                    (format!("meshctl enable --now {name}"), "run it: then our radio's node id is known"),
                    (format!("meshctl invite {name} --to {peer}"), "print our line for the other side"),
                ]);
                if context.wants_json() {
                    let (schema, network) = (meshnet_bus::describe::SCHEMA, name.as_str());
                    context.print_json(&Line { schema, network, line: None, secret: false })?;
                } else {
                    context.talk(steps.trim_end());
                }
                return Ok(Exit::Success);
            }
            None => invite::radios(&self.endpoint, ours)?,
        };
        let inviter = invitation::shorten(&newcomer.invitation.key.to_string());
        let to = inviter.chars().take(invitation::TO_LEN).collect();
        let psk = newcomer.psk.map_or(Psk::None, Psk::Key);
        let answer = invite::make(ours, radios, self.name.as_deref(), psk, Vec::new(), Some(to))?;
        if !context.wants_json() {
            context.talk("Our line, for \"meshctl join\" at the other side:");
        }
        self.show.line(&answer, &ours.name, context)?;
        Ok(Exit::Success)
    }
}

impl Newcomer<'_> {
    /// The prefixes that are its own: its addresses, without their networks.
    fn allowed_ips(&self) -> Vec<IpNet> {
        self.invitation.addresses.iter().map(|address| setup::host(address.addr())).collect()
    }

    /// What people call it.
    fn called(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.invitation.key.to_string())
    }

    /// That no peer of a file has its addresses or radios: the daemon would refuse such a file at its next start.
    fn require_free(&self, conf: &Conf, network: &Instance) -> Result<(), Error> {
        let (addresses, radios) = (self.allowed_ips(), &self.invitation.radios);
        let prefix = |text: &&str| match text.parse::<IpNet>() {
            Ok(prefix) => Some(prefix.trunc()),
            Err(_) => text.parse().ok().map(setup::host),
        };
        let [names, prefixes, endpoints] =
            ["Name", "AllowedIPs", "Endpoint"].map(|key| conf.sections("Peer", key));
        for ((name, prefixes), endpoints) in names.into_iter().zip(prefixes).zip(endpoints) {
            let prefix = prefixes.iter().filter_map(prefix).find(|prefix| addresses.contains(prefix));
            let radio =
                endpoints.iter().filter_map(|id| invite::node(id).ok()).find(|id| radios.contains(id));
            let taken =
                prefix.map(|prefix| prefix.to_string()).or(radio.map(|radio| format!("!{radio:08x}")));
            if let Some(taken) = taken {
                let owner = name.first().copied().unwrap_or("another peer");
                return Err(Error::failure(format!("cannot add {} to {network}", self.called()))
                    .because(format!("{taken} is already that of {owner}"))
                    .hint("each address and each radio at one peer: the other side has to take another, or the old peer to go"));
            }
        }
        Ok(())
    }

    /// The preshared key for the answer to a peer that we had before: the one that is stored. One that was only drawn is
    /// known to nobody here, and an answer with it would part the two ends.
    fn kept(&self, path: &Path, ours: &Ours, context: &Context) -> Result<Option<PresharedKey>, Error> {
        match invite::preshared_key(path, &self.invitation.key.to_string())? {
            Stored::Key(key) => Ok(Some(key)),
            Stored::Without | Stored::Elsewhere if self.psk.is_some() => {
                let called = self.called();
                Err(Error::failure(format!("{called} is a peer of {} already", ours.name))
                    .because(format!("{} holds no preshared key for it", path.display()))
                    .hint(format!(
                        "to make a new preshared key: \"meshctl peer remove {called}\", or take its section out of {}; \
                         then join again",
                        path.display()
                    )))
            }
            Stored::Without => Ok(None),
            Stored::Elsewhere => {
                invite::warn_untold(path, &self.called(), context);
                Ok(None)
            }
        }
    }

    /// As the daemon is told; the secret through a pipe.
    fn settings(&self) -> Result<PeerSettings, Error> {
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
            endpoints: Some(self.invitation.radios.iter().map(|radio| format!("!{radio:08x}")).collect()),
            preshared_key: preshared_key
                .map_err(|error| Error::failure("cannot pass on the key").because(error))?,
            ..PeerSettings::default()
        })
    }

    /// As a configuration file has it.
    fn section(&self) -> Zeroizing<String> {
        let psk = self.psk.as_ref().map(PresharedKey::to_base64);
        setup::peer_section(
            self.name.as_deref(),
            &self.invitation.key.to_string(),
            psk.as_deref().map(String::as_str),
            &self.allowed_ips(),
            &self.invitation.radios,
        )
    }
}

/// Where an inviter becomes a peer.
enum Target {
    /// In a network that there is.
    Ours(Box<Ours>),
    /// In one that is to be made.
    Fresh(Instance),
}

/// The network of ours that an answer is for.
async fn addressee(host: &Host, to: &str, context: &Context) -> Result<Ours, Error> {
    let mut untold = None;
    for name in host.networks().await? {
        if context.network.as_ref().is_some_and(|wanted| *wanted != name) {
            continue;
        }
        match host.network(&name).await {
            Ok(ours) if ours.key_start() == to => return Ok(ours),
            Ok(_) => {}
            Err(error) => untold = Some(error),
        }
    }
    Err(untold.map_or_else(
        || {
            Error::new(Exit::NoSuchObject, "this is the answer to somebody else's invitation")
                .because(format!("no network here has a public key that begins with {to}"))
        },
        |error| error.context("cannot tell which network this answers"),
    ))
}

/// The network that an inviter joins, as this file's beginning tells.
async fn inviting(host: &Host, invitation: &Invitation, context: &Context) -> Result<Target, Error> {
    let names = host.networks().await?;
    if let Some(name) = &context.network {
        return Ok(if names.contains(name) {
            Target::Ours(Box::new(host.network(name).await?))
        } else {
            Target::Fresh(name.clone())
        });
    }
    let mut matching = Vec::new();
    for name in &names {
        let ours = host.network(name).await?;
        let shared =
            |address: &IpNet| invitation.addresses.iter().any(|theirs| setup::overlap(address, theirs));
        if ours.addresses.iter().any(shared) {
            matching.push(ours);
        }
    }
    match (matching.pop(), matching.is_empty(), names.is_empty()) {
        (Some(ours), true, _) => Ok(Target::Ours(Box::new(ours))),
        (Some(_), false, _) => Err(Error::usage("several networks here share the other side's addresses")
            .hint("name the one that it shall be a peer of: -n NET")),
        (None, _, true) => Instance::new("mesh0").map(Target::Fresh).map_err(|error| Error::usage(error.to_string())),
        (None, _, false) => Err(Error::usage(format!("no network here has an address in {}", list(&invitation.addresses)))
            .hint("-n NET with the name of one makes the other side a peer there; with a new name, -n makes a network")),
    }
}

fn list(addresses: &[IpNet]) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(", ")
}
