//! `meshctl join`
//!
//! What a line leads to. An answer (`to`) belongs to the network of ours whose key it names: its sender becomes a peer there,
//! and that was the exchange. Any other line is somebody's invitation: its sender becomes a peer of the network that the
//! command line names, or of the one that has an address in the sender's network, or of a network that is made for it; and
//! our answer is printed. A running daemon is told over D-Bus, and keeps the peer; else the configuration file is.

use std::net::IpAddr;

use clap::Args;
use ipnet::IpNet;
use meshnet_bus::names::Instance;
use meshnet_proto::key::PresharedKey;
use zbus::wire::OwnedObjectPath;
use zeroize::Zeroizing;

use super::invite::{self, Line, Show};
use super::newcomer::Newcomer;
use super::output;
use super::reach::{Endpoints, Named};
use super::setup::{self, Links, Need, Setup};
use super::target::{Target, addressee, inviting};
use crate::bus;
use crate::conf::{self, Conf, Udp};
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
/// A network that is made has a radio, if one is named or found. If the line invites to WireGuard's protocol, it has a udp link
/// too, and can do without a radio.
///
/// An answer with a preshared key is a secret, and is taken from stdin alone.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl join meshnet:1,key=…,ip=10.42.0.1/24,radio=d45b9db8,name=west,for=10.42.0.2,sum=3cdd
  meshctl join -n mesh1 --radio tcp://192.0.2.7 meshnet:1,…
  meshctl join --listen-port 51820 meshnet:1,…    By UDP alone, whatever radios there are
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

    #[command(flatten)]
    endpoints: Named,

    /// Make a preshared key, which our answer then holds
    #[arg(long)]
    psk: bool,

    #[command(flatten)]
    show: Show,

    #[command(flatten)]
    setup: Setup,
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
            newcomer.find_ways(&ours, context)?;
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
                let endpoints = self.meet(&mut newcomer, &ours, context)?;
                if self.add(&host, &ours, &newcomer, context).await? == Added::Before {
                    newcomer.take_stored_key(&conf::path(&host.directory, &ours.name), &ours, context)?;
                }
                self.answer(&ours, endpoints, newcomer, context)
            }
            Target::Fresh(name) => {
                let (ours, endpoints) = self.make(&name, &mut newcomer, context).await?;
                self.answer(&ours, endpoints, newcomer, context)
            }
        }
    }

    /// Finds the ways between the two; returns where our line says that we are, unless that waits for our radio.
    fn meet(
        &self,
        newcomer: &mut Newcomer<'_>,
        ours: &Ours,
        context: &Context,
    ) -> Result<Option<Endpoints>, Error> {
        newcomer.find_ways(ours, context)?;
        if ours.has_radio && !ours.running && !self.endpoints.is_some() {
            return Ok(None);
        }
        let endpoints = self.endpoints.endpoints(ours, newcomer.invitation().wireguard, context)?;
        newcomer.weigh(&endpoints)?;
        Ok(Some(endpoints))
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
        Ok(Newcomer::new(invitation, name, psk))
    }

    /// Makes the other side a peer of a network that there is, unless it is one.
    async fn add(
        &self,
        host: &Host,
        ours: &Ours,
        newcomer: &Newcomer<'_>,
        context: &Context,
    ) -> Result<Added, Error> {
        let invitation = newcomer.invitation();
        if invitation.key == ours.key {
            return Err(Error::usage(format!("this is the invitation of {} itself", ours.name))
                .hint("it is for the other side"));
        }
        let key = invitation.key.to_string();
        if let Some(known) = ours.peers.iter().find(|peer| peer.key == key) {
            let name = crate::render::clean(known.name.as_deref().unwrap_or(&known.key)).into_owned();
            // Two ends in different modes never understand each other.
            if known.wireguard != invitation.wireguard {
                return Err(Error::failure(format!(
                    "{name} is a peer of {} already, in another mode",
                    ours.name
                ))
                .because(if known.wireguard {
                    "WIREGUARD here, and not by this line"
                } else {
                    "WIREGUARD by this line"
                })
                .hint(format!(
                    "\"meshctl peer remove {name}\", or take its section out of the file; then join again"
                )));
            }
            context.talk(&format!("{name} is a peer of {} already; nothing was changed", ours.name));
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
                newcomer.require_free(&conf, ours)?;
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

    /// Makes a network for the invitation; returns it, and where our line says that we are, unless that waits for our radio.
    async fn make(
        &self,
        name: &Instance,
        newcomer: &mut Newcomer<'_>,
        context: &Context,
    ) -> Result<(Ours, Option<Endpoints>), Error> {
        let invitation = newcomer.invitation();
        let addresses = self.addresses(invitation)?;
        let links = self.links(invitation, context).await?;
        let mtu = self.setup.mtu.or(invitation.mtu).filter(|mtu| setup::may_be(*mtu, &links));
        let (mut text, key) = setup::text(name, &addresses, mtu, &links)?;
        let ours = Ours {
            name: name.clone(),
            running: false,
            key: key.public(),
            addresses,
            mtu,
            radios: Vec::new(),
            has_radio: links.radio.is_some(),
            udp: links.listen_port.map(|port| Udp { port, address: None }),
            peers: Vec::new(),
        };
        let endpoints = self.meet(newcomer, &ours, context)?;
        text.push_str(&newcomer.section());
        let path = conf::path(&self.setup.config_dir, name);
        conf::create(&path, &text, false)?;
        context.talk(&format!(
            "{name} is in {}: {} at {links}",
            path.display(),
            setup::list(&ours.addresses)
        ));
        context.talk(&format!("{} is a peer of {name}", newcomer.called()));
        Ok((ours, endpoints))
    }

    /// The links of a network that is made: those that are named or found, and with WireGuard's protocol one by UDP.
    async fn links(&self, invitation: &Invitation, context: &Context) -> Result<Links, Error> {
        if !invitation.wireguard {
            return self.setup.links(Need::Radio, context).await;
        }
        // Who names no place by UDP is reached by radio alone.
        let by_radio_alone = invitation.udp.is_empty() && !invitation.radios.is_empty();
        let need = if by_radio_alone { Need::Radio } else { Need::Nothing };
        let mut links = self.setup.links(need, context).await?;
        if links.listen_port.is_none() {
            links.listen_port = Some(setup::free_port(&self.setup.config_dir)?);
        }
        Ok(links)
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
        endpoints: Option<Endpoints>,
        newcomer: Newcomer<'_>,
        context: &Context,
    ) -> Result<Exit, Error> {
        let name = &ours.name;
        let Some(endpoints) = endpoints else {
            let steps = setup::next_steps(&[
                (format!("meshctl enable --now {name}"), "run it: then our radio's node id is known"),
                (
                    format!("meshctl invite {name} --to {}", newcomer.called()),
                    "print our line for the other side",
                ),
            ]);
            if context.wants_json() {
                let (schema, network) = (meshnet_bus::describe::SCHEMA, name.as_str());
                context.print_json(&Line { schema, network, line: None, secret: false })?;
            } else {
                context.talk(steps.trim_end());
            }
            return Ok(Exit::Success);
        };
        let invitation = newcomer.invitation();
        let inviter = invitation::shorten(&invitation.key.to_string());
        let to = inviter.chars().take(invitation::TO_LEN).collect();
        let psk = newcomer.into_psk().map_or(Psk::None, Psk::Key);
        let told = invite::Told { psk, proposed: Vec::new(), to: Some(to), wireguard: invitation.wireguard };
        let answer = invite::make(ours, endpoints, self.name.as_deref(), told)?;
        if !context.wants_json() {
            context.talk("Our line, for \"meshctl join\" at the other side:");
        }
        self.show.line(&answer, name, context)?;
        if !ours.running && !context.wants_json() {
            let steps =
                setup::next_steps(&[(format!("meshctl enable --now {name}"), "run it, at every boot too")]);
            context.talk(steps.trim_end());
        }
        Ok(Exit::Success)
    }
}
