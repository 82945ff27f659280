//! `meshctl logs`

use clap::Args;

use super::OneNetwork;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// Logs
#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    network: OneNetwork,
}

impl Logs {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let _ = self.network.named(context)?;
        Err(Error::failure("logs is not there yet"))
    }
}
