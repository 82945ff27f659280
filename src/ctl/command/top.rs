//! `meshctl top`

use clap::Args;

use super::OneNetwork;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// Watch a network live: peers, paths, airtime
///
/// Nothing is sent over the air for it. q ends it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl top
  meshctl top mesh0 --interval 5")]
pub(crate) struct Top {
    #[command(flatten)]
    network: OneNetwork,
    /// Seconds between looks
    #[arg(long, short, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3600))]
    interval: u32,
}

impl Top {
    /// Watches.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let _ = (self.network.named(context)?, self.interval);
        Err(Error::failure("top is not there yet"))
    }
}
