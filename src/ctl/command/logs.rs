//! `meshctl logs`

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Args;

use super::OneNetwork;
use crate::bus::Bus;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::{runtime, systemd};

/// Show what a network's daemon logged
///
/// Runs journalctl. Without a network: of all. With --json, one JSON object per entry, as journalctl has them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl logs mesh0 --follow
  meshctl logs mesh0 --lines 20 --since '1 hour ago'
  meshctl logs --priority warning --boot")]
pub(crate) struct Logs {
    #[command(flatten)]
    network: OneNetwork,
    /// Go on as more comes
    #[arg(long, short)]
    follow: bool,
    /// How many of the last entries
    #[arg(long, value_name = "N")]
    lines: Option<u32>,
    /// Entries since then, as journalctl takes times
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Entries of this priority or a more urgent one: err, warning, info, debug
    #[arg(long, value_name = "LEVEL")]
    priority: Option<String>,
    /// Entries since the host started
    #[arg(long)]
    boot: bool,
}

impl Logs {
    /// Becomes journalctl.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let unit = match self.network.named(context) {
            Some(name) => {
                runtime::block_on(require_known(&name))?;
                name.unit()
            }
            None => systemd::PATTERN.to_owned(),
        };
        let error = Command::new("journalctl").args(self.words(&unit, context)).exec();
        Err(Error::failure("cannot run journalctl")
            .because(error)
            .hint("it is systemd's: apt install systemd"))
    }

    /// What journalctl is told.
    fn words(&self, unit: &str, context: &Context) -> Vec<String> {
        let mut words = vec![format!("--unit={unit}")];
        if context.wants_json() {
            words.push("--output=json".to_owned());
        }
        if self.follow {
            words.push("--follow".to_owned());
        }
        if self.boot {
            words.push("--boot".to_owned());
        }
        if !context.pages() {
            words.push("--no-pager".to_owned());
        }
        words.extend(self.lines.map(|lines| format!("--lines={lines}")));
        words.extend(self.since.as_ref().map(|time| format!("--since={time}")));
        words.extend(self.priority.as_ref().map(|level| format!("--priority={level}")));
        words
    }
}

/// Refuses a name that is no network's, for which journalctl would show nothing and call that success. Without a bus, the
/// journal may still be there.
async fn require_known(name: &meshnet_bus::names::Instance) -> Result<(), Error> {
    let Ok(bus) = Bus::connect().await else { return Ok(()) };
    let networks = bus.networks().await?;
    // The directory of configurations is not open to everybody, and a unit that never ran is not in memory.
    if networks.contains_key(name) || std::fs::read_dir(crate::conf::DIR).is_err() {
        return Ok(());
    }
    Err(Error::new(Exit::NoSuchObject, format!("there is no network {name}"))
        .hint("\"meshctl status\" lists those that there are"))
}
