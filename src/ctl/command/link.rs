//! `meshctl link list`

use clap::{Args, Subcommand};

use super::OneNetwork;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// List links: radios, and what they say of themselves
#[derive(Debug, Subcommand)]
pub(crate) enum Link {
    #[command(visible_alias = "ls")]
    List(List),
}

/// List the links of a network
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl link list
  meshctl link list mesh0 --json")]
pub(crate) struct List {
    #[command(flatten)]
    network: OneNetwork,
}

impl Link {
    /// Answers.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let Self::List(list) = self;
        let _ = list.network.named(context)?;
        Err(Error::failure("link is not there yet"))
    }
}
