//! `meshctl up`, `down`, `enable`, `disable`: a network's unit.

use clap::Args;

use super::{OneNetwork, Waiting};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// Start a network, and wait until it runs
///
/// If it does not start, the reason is shown from the journal.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl up mesh0
  meshctl up mesh0 --timeout 10")]
pub(crate) struct Up {
    #[command(flatten)]
    network: OneNetwork,
    #[command(flatten)]
    waiting: Waiting,
}

/// Stop a network, and wait until it is gone
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl down mesh0")]
pub(crate) struct Down {
    #[command(flatten)]
    network: OneNetwork,
    #[command(flatten)]
    waiting: Waiting,
}

/// Start a network at every boot, and whenever somebody calls its bus name
///
/// As "systemctl enable meshnet@NET" does, and beyond it makes the network known to the bus, so that the first call to its
/// name starts it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl enable --now mesh0")]
pub(crate) struct Enable {
    #[command(flatten)]
    network: OneNetwork,
    /// Start it at once too
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    waiting: Waiting,
}

/// Start a network neither at boot nor on demand any longer
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl disable --now mesh0")]
pub(crate) struct Disable {
    #[command(flatten)]
    network: OneNetwork,
    /// Stop it at once too
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    waiting: Waiting,
}

impl Up {
    /// Starts it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let _ = (self.network.named(context)?, self.waiting.no_wait, self.waiting.timeout);
        Err(Error::failure("up is not there yet"))
    }
}

impl Down {
    /// Stops it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let _ = (self.network.named(context)?, self.waiting.no_wait);
        Err(Error::failure("down is not there yet"))
    }
}

impl Enable {
    /// Enables it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let _ = (self.network.named(context)?, self.now, self.waiting.no_wait);
        Err(Error::failure("enable is not there yet"))
    }
}

impl Disable {
    /// Disables it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let _ = (self.network.named(context)?, self.now, self.waiting.no_wait);
        Err(Error::failure("disable is not there yet"))
    }
}
