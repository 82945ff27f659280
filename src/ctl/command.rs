//! What the client can do: a file for each verb.
//!
//! The key commands are those of `wg`, down to exit codes and messages, so that scripts written for one run with the other.

mod genkey;
mod genpsk;
mod output;
mod pubkey;

use std::ffi::OsString;
use std::process;

use clap::{Args, Subcommand};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
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

/// No arguments; whatever comes all the same is a usage error, as `wg` tells it.
#[derive(Debug, Args)]
pub(crate) struct Nothing {
    #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
    surplus: Vec<OsString>,
}

impl Nothing {
    /// Ends the process unless there are no arguments.
    fn check(&self, verb: &str) {
        if !self.surplus.is_empty() {
            eprintln!("Usage: meshctl {verb}");
            process::exit(1);
        }
    }
}

impl Command {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::GenKey(nothing) => {
                nothing.check("genkey");
                genkey::run()
            }
            Self::PubKey(nothing) => {
                nothing.check("pubkey");
                pubkey::run()
            }
            Self::GenPsk(nothing) => {
                nothing.check("genpsk");
                genpsk::run()
            }
        }
    }
}
