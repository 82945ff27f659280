//! What the client can do: a file for each noun.
//!
//! A verb is a struct of its arguments with a `run`, which answers on the [`Context`]'s stdout and tells how the process ends.
//! The key commands are those of `wg`, down to exit codes and messages, so that scripts written for one run with the other.

mod control;
mod doctor;
mod genkey;
mod genpsk;
mod init;
mod invite;
mod join;
mod link;
mod logs;
mod monitor;
mod newcomer;
mod output;
mod own_addresses;
mod peer;
mod ping;
mod pubkey;
mod reach;
mod service;
mod setup;
mod show;
mod status;
mod target;
mod top;
mod wg;

use std::ffi::OsString;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use meshnet_bus::names::Instance;

use crate::completion;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Init),
    Status(status::Status),
    Show(show::Show),
    Up(service::Up),
    Down(service::Down),
    Enable(service::Enable),
    Disable(service::Disable),
    #[command(subcommand)]
    Peer(peer::Peer),
    #[command(subcommand)]
    Link(link::Link),
    Ping(ping::Ping),
    Rekey(control::Rekey),
    Reload(control::Reload),
    Monitor(monitor::Monitor),
    Top(top::Top),
    Invite(invite::Invite),
    Join(join::Join),
    #[command(subcommand)]
    Wg(wg::Wg),
    Doctor(doctor::Doctor),
    Logs(logs::Logs),
    /// Write a new private key to stdout
    #[command(name = "genkey", disable_help_flag = true)]
    GenKey(Nothing),
    /// Read a private key from stdin and write its public key to stdout
    #[command(name = "pubkey", disable_help_flag = true)]
    PubKey(Nothing),
    /// Write a new preshared key to stdout
    #[command(name = "genpsk", disable_help_flag = true)]
    GenPsk(Nothing),
}

/// Without a verb: how all networks are.
impl Default for Command {
    fn default() -> Self {
        Self::Status(status::Status::default())
    }
}

impl Command {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        match self {
            Self::Init(verb) => verb.run(context),
            Self::Status(verb) => verb.run(context),
            Self::Show(verb) => verb.run(context),
            Self::Up(verb) => verb.run(context),
            Self::Down(verb) => verb.run(context),
            Self::Enable(verb) => verb.run(context),
            Self::Disable(verb) => verb.run(context),
            Self::Peer(verb) => verb.run(context),
            Self::Link(verb) => verb.run(context),
            Self::Ping(verb) => verb.run(context),
            Self::Rekey(verb) => verb.run(context),
            Self::Reload(verb) => verb.run(context),
            Self::Monitor(verb) => verb.run(context),
            Self::Top(verb) => verb.run(context),
            Self::Invite(verb) => verb.run(context),
            Self::Join(verb) => verb.run(context),
            Self::Wg(verb) => verb.run(context),
            Self::Doctor(verb) => verb.run(context),
            Self::Logs(verb) => verb.run(context),
            Self::GenKey(Nothing {}) => Ok(genkey::run().map(|()| Exit::Success)?),
            Self::PubKey(Nothing {}) => Ok(pubkey::run().map(|()| Exit::Success)?),
            Self::GenPsk(Nothing {}) => Ok(genpsk::run().map(|()| Exit::Success)?),
        }
    }
}

/// No arguments.
#[derive(Debug, Args)]
pub(crate) struct Nothing {}

/// A network where one is meant, and may be left out if there is one only.
#[derive(Debug, Default, Args)]
pub(crate) struct OneNetwork {
    /// The network; may be left out where there is one only
    #[arg(value_name = "NET", add = ArgValueCandidates::new(completion::networks))]
    network: Option<Instance>,
}

impl OneNetwork {
    /// The one that the command line names, if it does: here or with `-n`, which [`crate::cli::check_networks`] has
    /// found to be the same.
    pub(crate) fn named(&self, context: &Context) -> Option<Instance> {
        self.network.as_ref().or(context.network.as_ref()).cloned()
    }
}

/// How long to wait for what systemd starts or stops.
#[derive(Debug, Args)]
pub(crate) struct Waiting {
    /// Return as soon as systemd has taken the order, without its outcome
    #[arg(long)]
    pub no_wait: bool,

    /// How long to wait for the outcome
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: u32,
}

/// Answers the key commands; `None` if the words are none. Whatever follows one is a usage error, as `wg` tells it.
pub(crate) fn key(words: &[OsString]) -> Option<Result<Exit, Error>> {
    let verb = words.get(1)?.to_str()?;
    let run = match verb {
        "genkey" => genkey::run,
        "pubkey" => pubkey::run,
        "genpsk" => genpsk::run,
        _ => return None,
    };
    if words.len() > 2 {
        eprintln!("Usage: meshctl {verb}");
        return Some(Ok(Exit::Failure));
    }
    Some(run().map(|()| Exit::Success).map_err(Error::from))
}
