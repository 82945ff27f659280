//! `meshctl show`

use clap::Args;

use super::OneNetwork;
use crate::bus::Bus;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::network;
use crate::runtime;

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
        let (network, raw) = runtime::block_on(async {
            let bus = Bus::connect().await?;
            let daemon = Daemon::open(&bus, &self.network, context).await?;
            let raw = daemon.describe_raw().await?;
            // As JSON it is passed on whatever its schema is.
            let network = if context.wants_json() { None } else { Some(daemon.understand(&raw)?) };
            Ok((network, raw))
        })?;
        match network {
            Some(network) => context.page(&network::show(&network))?,
            None => context.print_json(&raw)?,
        }
        Ok(Exit::Success)
    }
}
