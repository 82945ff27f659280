//! `meshctl monitor`

use clap::Args;

use super::OneNetwork;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// Show events as they come: peers and links up and down, paths that change
///
/// Without a network: of all, those included that start later. Ends with Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl monitor
  meshctl monitor mesh0 --json=short | while read -r event; do …; done")]
pub(crate) struct Monitor {
    #[command(flatten)]
    network: OneNetwork,
}

impl Monitor {
    /// Follows.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let _ = self.network.named(context)?;
        Err(Error::failure("monitor is not there yet"))
    }
}
