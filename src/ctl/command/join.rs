//! `meshctl join`

use clap::Args;

use super::OneNetwork;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// Join
#[derive(Debug, Args)]
pub(crate) struct Join {
    #[command(flatten)]
    network: OneNetwork,
}

impl Join {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let _ = self.network.named(context)?;
        Err(Error::failure("join is not there yet"))
    }
}
