//! `meshctl show`

use clap::Args;

use super::OneNetwork;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// Show a network with its links and peers
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl show
  meshctl show mesh0 --json | jq '.peers[] | {name, state, rtt_ms}'")]
pub(crate) struct Show {
    #[command(flatten)]
    network: OneNetwork,
}

impl Show {
    /// Answers.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let _ = self.network.named(context)?;
        Err(Error::failure("show is not there yet"))
    }
}
