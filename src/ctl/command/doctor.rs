//! `meshctl doctor`

use clap::Args;

use super::OneNetwork;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// Doctor
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    network: OneNetwork,
}

impl Doctor {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let _ = self.network.named(context)?;
        Err(Error::failure("doctor is not there yet"))
    }
}
