//! `meshctl status`

use clap::Args;
use futures_util::future;
use meshnet_bus::describe::SCHEMA;
use meshnet_bus::names::Instance;
use serde::Serialize;
use serde_json::value::RawValue;

use super::OneNetwork;
use crate::bus::{Bus, Presence};
use crate::context::Context;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::overview::{self, Row};
use crate::runtime;

/// Show how the networks of this host are, a line each
///
/// Networks that do not run are listed too. Nothing is started by asking.
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  meshctl                  All networks
  meshctl status mesh0     One of them
  meshctl status --json | jq -r '.networks[].state'")]
pub(crate) struct Status {
    #[command(flatten)]
    network: OneNetwork,
}

/// What `--json` answers; docs/json.md tells the fields.
#[derive(Debug, Serialize)]
struct Answer<'r> {
    schema: u32,
    networks: Vec<One<'r>>,
}

#[derive(Debug, Serialize)]
struct One<'r> {
    name: &'r str,
    state: &'r str,
    running: bool,
    unit: Option<&'r str>,
    enabled: bool,
    problems: Vec<String>,
    describe: Option<&'r RawValue>,
}

impl Status {
    /// Answers.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let named = self.network.named(context);
        let networks = runtime::block_on(ask(named.as_ref()))?;
        let running = networks.iter().all(|(row, _)| row.presence.running);
        if context.wants_json() {
            let networks = networks.iter().map(One::new).collect();
            context.print_json(&Answer { schema: SCHEMA, networks })?;
        } else if networks.is_empty() {
            context.talk("There is no network on this host. \"meshctl init mesh0\" makes one.");
        } else {
            let rows: Vec<Row> = networks.into_iter().map(|(row, _)| row).collect();
            context.page(&overview::show(&rows))?;
        }
        // That a network does not run is news only to who asked for it by name.
        Ok(if named.is_some() && !running { Exit::NotRunning } else { Exit::Success })
    }
}

/// A row, and the text that it was made from.
type Known = (Row, Option<Box<RawValue>>);

/// Asks systemd and all daemons at once.
async fn ask(named: Option<&Instance>) -> Result<Vec<Known>, Error> {
    let bus = Bus::connect().await?;
    let mut networks = bus.networks().await?;
    if let Some(name) = named {
        networks.retain(|other, _| other == name);
        if networks.is_empty() {
            return Err(crate::bus::no_such_network(name));
        }
    }
    let asked = networks.into_iter().map(|(name, presence)| one(&bus, name, presence));
    Ok(future::join_all(asked).await)
}

async fn one(bus: &Bus, name: Instance, presence: Presence) -> Known {
    if !presence.running {
        return (Row { name, presence, answer: None }, None);
    }
    let answer = async {
        let daemon = Daemon::of(bus, name.clone()).await?;
        let raw = daemon.describe_raw().await?;
        Ok::<_, Error>((daemon.read(&raw)?, raw))
    };
    match answer.await {
        Ok((network, raw)) => (Row { name, presence, answer: Some(Ok(network)) }, Some(raw)),
        Err(error) => (Row { name, presence, answer: Some(Err(error.to_string())) }, None),
    }
}

impl<'r> One<'r> {
    fn new((row, raw): &'r Known) -> Self {
        Self {
            name: row.name.as_str(),
            state: row.state(),
            running: row.presence.running,
            unit: row.presence.active.as_deref(),
            enabled: row.presence.enabled,
            problems: row.problems(),
            describe: raw.as_deref(),
        }
    }
}
