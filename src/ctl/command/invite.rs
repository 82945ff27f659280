//! `meshctl invite`

use clap::Args;

use super::OneNetwork;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// Invite
#[derive(Debug, Args)]
pub(crate) struct Invite {
    #[command(flatten)]
    network: OneNetwork,
}

impl Invite {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let _ = self.network.named(context)?;
        Err(Error::failure("invite is not there yet"))
    }
}
