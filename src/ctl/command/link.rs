//! `meshctl link list`

use clap::{Args, Subcommand};
use meshnet_bus::describe::{self, Network};
use serde::Serialize;

use super::OneNetwork;
use crate::bus::Bus;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::network::state_style;
use crate::render::table::{Cell, Table};
use crate::render::{style, units};
use crate::runtime;

/// List links: radios and what they say of themselves, UDP sockets and where they listen
#[derive(Debug, Subcommand)]
pub(crate) enum Link {
    #[command(visible_alias = "ls")]
    List(List),
}

/// List the links of a network
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl link list
  meshctl link list mesh0 --json")]
pub(crate) struct List {
    #[command(flatten)]
    network: OneNetwork,
}

impl Link {
    /// Answers.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let Self::List(list) = self;
        let network = runtime::block_on(async {
            let bus = Bus::connect().await?;
            Daemon::open(&bus, &list.network, context).await?.describe().await
        })?;
        if context.wants_json() {
            let Network { schema, interface, links, .. } = &network;
            context.print_json(&Answer { schema: *schema, interface, links })?;
        } else if network.links.is_empty() {
            context.talk(&format!("{} has no links.", network.interface));
        } else {
            context.page(&table(&network.links))?;
        }
        Ok(Exit::Success)
    }
}

/// What `--json` answers: the part of a network's description.
#[derive(Debug, Serialize)]
struct Answer<'n> {
    schema: u32,
    interface: &'n str,
    links: &'n [describe::Link],
}

fn table(links: &[describe::Link]) -> String {
    let mut table = Table::new([
        "LINK",
        "STATE",
        "RADIO",
        "REGION",
        "PRESET",
        "AIR THIS HOUR",
        "BUSY",
        "QUEUED",
        "CONNECTED TO",
    ]);
    for link in links {
        let radio = &link.radio;
        let known = |text: &Option<String>| Cell::new(text.as_deref().unwrap_or("-"));
        let busy = radio.channel_utilization.map(|percent| format!("{percent:.0} %"));
        table.row([
            Cell::new(&link.name).styled(style::STRONG),
            Cell::new(&link.state).styled(state_style(&link.state)),
            known(&radio.radio),
            known(&radio.region),
            known(&radio.preset),
            Cell::new(units::airtime(link.airtime_used_ms, link.airtime_left_ms)),
            Cell::right(busy.as_deref().unwrap_or("-")),
            Cell::right(link.queued.values().fold(0u64, |sum, n| sum.saturating_add(*n)).to_string()),
            Cell::new(&link.connect),
        ]);
    }
    table.render()
}
