//! `meshctl peer add|set|remove|list`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use clap_complete::engine::ArgValueCandidates;

use super::OneNetwork;
use crate::completion;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

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
    /// The node ids of its radios, "!" and eight hexadecimal digits; several likewise
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    endpoint: Vec<String>,
    /// The public keys of its radios in base64, one for each endpoint
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    radio_public_key: Vec<String>,
    /// How keys are agreed
    #[arg(long, value_name = "MODE", ignore_case = true)]
    mode: Option<Mode>,
    /// A file that holds the preshared key in base64; "-" is stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    preshared_key_file: Option<PathBuf>,
    /// Forget it when the daemon ends
    #[arg(long)]
    volatile: bool,
}

/// How keys are agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// By a handshake.
    Pki,
    /// By nothing but the preshared key.
    Symmetric,
}

impl Peer {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let _ = context;
        match self {
            Self::Add(_) | Self::Set(_) | Self::Remove(_) | Self::List(_) => {
                Err(Error::failure("peer is not there yet"))
            }
        }
    }
}
