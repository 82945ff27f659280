//! `meshctl peer add|set|remove|list`

mod secret;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use clap_complete::engine::ArgValueCandidates;
use meshnet_bus::describe::{self, Network, SCHEMA};
use meshnet_bus::settings::PeerSettings;
use meshnet_proto::key::PublicKey;
use serde::Serialize;
use zbus::wire::{DynamicDeserialize, DynamicType, OwnedObjectPath};

use super::OneNetwork;
use crate::bus::{self, Bus};
use crate::completion;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::exit::Exit;
use crate::find;
use crate::render::table::{Cell, Table};
use crate::render::{network, style, units};
use crate::runtime;

/// Add, change, remove and list peers
///
/// A peer that is added here is kept by the daemon and survives restarts; one of the configuration file is changed there,
/// and then "systemctl reload meshnet@NET" takes it over.
#[derive(Debug, Subcommand)]
pub(crate) enum Peer {
    Add(Add),
    Set(Set),
    #[command(visible_alias = "rm")]
    Remove(Remove),
    #[command(visible_alias = "ls")]
    List(List),
}

/// Add a peer to a running network
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl peer add 'AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=' \\
      --name cabin --allowed-ips 10.42.0.2/32 --endpoint '!d45b9db8'
  meshctl peer add 'AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=' \\
      --allowed-ips 10.42.0.3/32 --endpoint vpn.example.org:51820
  meshctl genpsk | meshctl peer set cabin --preshared-key-file -")]
pub(crate) struct Add {
    /// The peer's public key in base64, as "meshctl pubkey" writes it
    #[arg(value_name = "KEY")]
    public_key: String,
    #[command(flatten)]
    settings: Settings,
}

/// Change a peer that was added with "peer add"
///
/// What is not given stays as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl peer set cabin --endpoint '!a1b2c3d4'")]
pub(crate) struct Set {
    #[command(flatten)]
    peer: OnePeer,
    #[command(flatten)]
    settings: Settings,
}

/// Remove a peer that was added with "peer add"
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl peer remove cabin")]
pub(crate) struct Remove {
    #[command(flatten)]
    peer: OnePeer,
}

/// List the peers of a network
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl peer list
  meshctl -n mesh0 peer list --json=short | jq -r '.peers[].name'")]
pub(crate) struct List {
    #[command(flatten)]
    network: OneNetwork,
}

/// A peer where one is meant.
#[derive(Debug, Args)]
pub(crate) struct OnePeer {
    /// The peer: its name, its public key or the beginning of it, one of its addresses or endpoints
    #[arg(value_name = "PEER", add = ArgValueCandidates::new(completion::peers))]
    pub peer: String,
}

/// What is said of a peer.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// What logs and status call it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Its addresses; several with commas, or several times
    #[arg(long, value_name = "PREFIX", value_delimiter = ',')]
    allowed_ips: Vec<String>,
    /// Where it is: the node id of its radio, "!" and eight hexadecimal digits, or HOST:PORT for UDP; several likewise
    #[arg(long, value_name = "WHERE", value_delimiter = ',')]
    endpoint: Vec<String>,
    /// The public keys of its radios in base64, one for each endpoint that is a radio
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    radio_public_key: Vec<String>,
    /// The session protocol; else what the endpoints suggest: pki with radios only, wireguard else
    #[arg(long, value_name = "MODE", ignore_case = true)]
    mode: Option<Mode>,
    /// After how many seconds of silence something is sent by UDP, so that a NAT remembers us; 0 for never
    #[arg(long, value_name = "SECONDS")]
    persistent_keepalive: Option<u16>,
    /// Whether bulk traffic may take its radio although it is reached by UDP too
    #[arg(long, value_name = "YESNO", value_parser = yes_or_no)]
    bulk_over_radio: Option<bool>,
    /// A file that holds the preshared key in base64; "-" is stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    preshared_key_file: Option<PathBuf>,
    /// Forget it when the daemon ends
    #[arg(long)]
    volatile: bool,
}

/// The session protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Keys are agreed by a handshake.
    Pki,
    /// Nothing but the preshared key.
    Symmetric,
    /// The WireGuard protocol, over UDP and by radio.
    Wireguard,
}

/// What a configuration file takes for yes and no.
fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" => Ok(true),
        "no" | "false" | "off" => Ok(false),
        _ => Err("yes or no".to_owned()),
    }
}

impl Peer {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        match self {
            Self::Add(add) => add.run(context),
            Self::Set(set) => set.run(context),
            Self::Remove(remove) => remove.run(context),
            Self::List(list) => list.run(context),
        }
    }
}

impl Add {
    fn run(self, context: &Context) -> Result<Exit, Error> {
        let key: PublicKey = self.public_key.parse().map_err(|error| {
            Error::usage(format!("\"{}\" is no public key", self.public_key))
                .because(error)
                .hint("the peer's owner finds it with \"meshctl show\"")
        })?;
        // Whether it needs an endpoint is for the daemon to say, who knows the links.
        if self.settings.allowed_ips.is_empty() {
            return Err(Error::usage("a peer needs an address")
                .hint("--allowed-ips 10.42.0.2/32 --endpoint '!d45b9db8'"));
        }
        let settings = self.settings.read()?;
        runtime::block_on(async {
            let bus = Bus::connect().await?;
            let daemon = Daemon::open(&bus, &OneNetwork::default(), context).await?;
            let body = (key.to_string(), settings);
            let _: OwnedObjectPath = order(&daemon, "AddPeer", &body, "cannot add the peer", context).await?;
            changed(&daemon, &key, context)
        })
    }
}

impl Set {
    fn run(self, context: &Context) -> Result<Exit, Error> {
        if self.settings.is_empty() {
            return Err(Error::usage("nothing is to be changed")
                .hint("\"meshctl peer set --help\" lists what can be"));
        }
        let settings = self.settings.read()?;
        runtime::block_on(async {
            let bus = Bus::connect().await?;
            let daemon = Daemon::open(&bus, &OneNetwork::default(), context).await?;
            let key = self.peer.key(&daemon).await?;
            let what = format!("cannot change peer {}", self.peer.peer);
            let () = order(&daemon, "SetPeer", &(key.to_string(), settings), &what, context).await?;
            changed(&daemon, &key, context)
        })
    }
}

impl Remove {
    fn run(self, context: &Context) -> Result<Exit, Error> {
        runtime::block_on(async {
            let bus = Bus::connect().await?;
            let daemon = Daemon::open(&bus, &OneNetwork::default(), context).await?;
            let key = self.peer.key(&daemon).await?;
            let what = format!("cannot remove peer {}", self.peer.peer);
            let () = order(&daemon, "RemovePeer", &key.to_string(), &what, context).await?;
            changed(&daemon, &key, context)
        })
    }
}

impl List {
    fn run(self, context: &Context) -> Result<Exit, Error> {
        let network = runtime::block_on(async {
            let bus = Bus::connect().await?;
            Daemon::open(&bus, &self.network, context).await?.describe().await
        })?;
        if context.wants_json() {
            let Network { schema, interface, peers, .. } = &network;
            context.print_json(&Answer { schema: *schema, interface, peers })?;
        } else if network.peers.is_empty() {
            context.talk(&format!("{} has no peers.", network.interface));
        } else {
            context.page(&table(&network.peers))?;
        }
        Ok(Exit::Success)
    }
}

impl OnePeer {
    /// The public key of the peer that is meant.
    ///
    /// # Errors
    /// If none is, or several are.
    pub(crate) async fn key(&self, daemon: &Daemon<'_>) -> Result<PublicKey, Error> {
        // A whole key needs no search, and must work even if the description cannot be read.
        if let Ok(key) = self.peer.parse() {
            return Ok(key);
        }
        find::key(find::peer(&daemon.describe().await?, &self.peer)?)
    }
}

/// Says which peer was changed, to programs: people see that there was no error.
fn changed(daemon: &Daemon<'_>, key: &PublicKey, context: &Context) -> Result<Exit, Error> {
    if context.wants_json() {
        let changed = Changed { schema: SCHEMA, network: daemon.name.as_str(), public_key: key.to_string() };
        context.print_json(&changed)?;
    }
    Ok(Exit::Success)
}

/// What `--json` answers after a change.
#[derive(Debug, Serialize)]
struct Changed<'d> {
    schema: u32,
    network: &'d str,
    public_key: String,
}

/// Calls a method of the network that changes something.
async fn order<B, R>(
    daemon: &Daemon<'_>,
    method: &'static str,
    body: &B,
    what: &str,
    context: &Context,
) -> Result<R, Error>
where
    B: Serialize + DynamicType,
    R: for<'d> DynamicDeserialize<'d>,
{
    let done = bus::change(&daemon.root().await?, method, body, context, daemon.name.as_str()).await;
    done.map_err(|error| error.context(what))
}

impl Settings {
    /// Whether nothing is said.
    fn is_empty(&self) -> bool {
        let Self { name, allowed_ips, endpoint, radio_public_key, mode, preshared_key_file, .. } = self;
        let Self { persistent_keepalive, bulk_over_radio, volatile, .. } = self;
        name.is_none()
            && mode.is_none()
            && persistent_keepalive.is_none()
            && bulk_over_radio.is_none()
            && preshared_key_file.is_none()
            && !volatile
            && [allowed_ips, endpoint, radio_public_key].iter().all(|list| list.is_empty())
    }

    /// As the daemon takes them; the secret is read and goes by a descriptor.
    fn read(self) -> Result<PeerSettings, Error> {
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        Ok(PeerSettings {
            name: self.name,
            allowed_ips: some(self.allowed_ips),
            endpoints: some(self.endpoint),
            mode: self.mode.map(|mode| mode.as_str().to_owned()),
            preshared_key: self.preshared_key_file.as_deref().map(secret::pipe).transpose()?,
            radio_public_keys: some(self.radio_public_key),
            persistent_keepalive: self.persistent_keepalive,
            bulk_over_radio: self.bulk_over_radio,
            persist: self.volatile.then_some(false),
        })
    }
}

impl Mode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pki => "PKI",
            Self::Symmetric => "SYMMETRIC",
            Self::Wireguard => "WIREGUARD",
        }
    }
}

/// What `--json` answers: the part of a network's description.
#[derive(Debug, Serialize)]
struct Answer<'n> {
    schema: u32,
    interface: &'n str,
    peers: &'n [describe::Peer],
}

fn table(peers: &[describe::Peer]) -> String {
    let mut table = Table::new([
        "PEER",
        "STATE",
        "TIER",
        "ALLOWED IPS",
        "PATH",
        "HEARD",
        "RTT",
        "RECEIVED",
        "SENT",
        "AIR",
    ]);
    for peer in peers {
        let path = match (&peer.endpoint, &peer.link) {
            (Some(endpoint), Some(link)) => format!("{link} {endpoint}"),
            (Some(endpoint), None) => endpoint.clone(),
            (None, _) => "-".to_owned(),
        };
        table.row([
            Cell::new(network::peer_name(peer)).styled(style::STRONG),
            Cell::new(&peer.state).styled(network::state_style(&peer.state)),
            Cell::new(peer.tier.as_deref().unwrap_or("-"))
                .styled(network::tier_style(peer.tier.as_deref().unwrap_or_default())),
            Cell::new(peer.allowed_ips.join(", ")),
            Cell::new(path),
            Cell::new(peer.last_seen_seconds.map_or_else(|| "never".to_owned(), units::ago)),
            Cell::right(network::round_trip(peer).as_deref().unwrap_or("-")),
            Cell::right(units::bytes(peer.received.bytes)),
            Cell::right(units::bytes(peer.sent.bytes)),
            Cell::right(units::span_ms(peer.received.airtime_ms.saturating_add(peer.sent.airtime_ms))),
        ]);
    }
    table.render()
}
