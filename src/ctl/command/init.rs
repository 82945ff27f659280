//! `meshctl init`

use clap::Args;

use super::OneNetwork;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// Init
#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    network: OneNetwork,
}

impl Init {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let _ = self.network.named(context)?;
        Err(Error::failure("init is not there yet"))
    }
}
