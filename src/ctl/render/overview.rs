//! All networks at a glance: a line each, and below them what is wrong.

use std::fmt::Write as _;

use meshnet_bus::describe::{Link, Network, SCHEMA};
use meshnet_bus::names::Instance;

use super::network::{reason, state_style};
use super::style::{self, paint};
use super::table::{Cell, Table};
use super::{clean, units};
use crate::bus::Presence;

/// What is known of a network.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its name.
    pub name: Instance,
    /// What systemd, the bus and the disk know.
    pub presence: Presence,
    /// What its daemon answered, if one runs.
    pub answer: Option<Result<Network, String>>,
}

impl Row {
    fn network(&self) -> Option<&Network> {
        self.answer.as_ref()?.as_ref().ok()
    }

    /// The state of the whole: the daemon's, or else what systemd makes of the unit.
    pub(crate) fn state(&self) -> &str {
        match (&self.answer, self.presence.active.as_deref()) {
            (Some(Ok(network)), _) => &network.state,
            (Some(Err(_)), _) => "not answering",
            (None, Some("failed")) => "failed",
            (None, Some("activating")) => "starting",
            (None, Some("deactivating")) => "stopping",
            (None, _) => "stopped",
        }
    }

    /// What deserves a look, as sentences about the network.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match &self.answer {
            Some(Ok(network)) => found(network, &mut problems),
            Some(Err(why)) => problems.push(format!("its daemon gives no answer: {why}")),
            None if self.state() == "failed" => {
                problems.push(format!("it failed; \"meshctl logs {}\" tells why", self.name));
            }
            None => {}
        }
        problems
    }
}

/// Returns the text of all networks.
pub(crate) fn show(rows: &[Row]) -> String {
    let mut table =
        Table::new(["NETWORK", "STATE", "BOOT", "ADDRESS", "PEERS", "LINKS", "AIR THIS HOUR", "HEARD"]);
    for row in rows {
        table.row(cells(row));
    }
    let mut text = table.render();
    let problems: Vec<(&Instance, String)> = rows
        .iter()
        .flat_map(|row| row.problems().into_iter().map(move |problem| (&row.name, problem)))
        .collect();
    if !problems.is_empty() {
        text.push('\n');
    }
    for (name, problem) in problems {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {}", paint(style::WARN, name.as_str()), clean(&problem));
    }
    text
}

fn cells(row: &Row) -> Vec<Cell> {
    let state = row.state();
    let mut cells = vec![
        Cell::new(row.name.as_str()).styled(style::STRONG),
        Cell::new(state).styled(state_style(state)),
        if row.presence.enabled { Cell::new("enabled") } else { faint() },
    ];
    match row.network() {
        None => cells.extend(std::iter::repeat_with(faint).take(5)),
        Some(network) => cells.extend([
            network.addresses.first().map_or_else(faint, Cell::new),
            share(&network.peers, |peer| peer.state == "established"),
            share(&network.links, |link| link.state == "up"),
            Cell::new(airtime(&network.links)),
            network
                .peers
                .iter()
                .filter_map(|peer| peer.last_seen_seconds)
                .min()
                .map_or_else(faint, |seconds| Cell::new(units::ago(seconds))),
        ]),
    }
    cells
}

/// Nothing to say.
fn faint() -> Cell {
    Cell::new("-").styled(style::FAINT)
}

/// How many of all are as they should be.
fn share<T>(all: &[T], good: impl Fn(&T) -> bool) -> Cell {
    Cell::new(format!("{} of {}", all.iter().filter(|one| good(one)).count(), all.len()))
}

/// The air of all links; there is a limit if each has one.
fn airtime(links: &[Link]) -> String {
    let used = links.iter().fold(0u64, |sum, link| sum.saturating_add(link.airtime_used_ms));
    let left = links
        .iter()
        .try_fold(0u64, |sum, link| Some(sum.saturating_add(link.airtime_left_ms?)))
        .filter(|_| !links.is_empty());
    units::airtime(used, left)
}

fn found(network: &Network, problems: &mut Vec<String>) {
    if network.schema != SCHEMA {
        problems.push(format!(
            "its daemon (version {}) describes itself in schema {}, this program knows {SCHEMA}; \
             what is shown may be wrong",
            network.version, network.schema
        ));
    }
    if let Some(why) = &network.state_reason {
        problems.push(reason(why).to_owned());
    }
    for link in &network.links {
        let name = &link.name;
        match (&link.fault, &link.last_error) {
            (Some(fault), _) => problems.push(format!("link {name} is {}: {fault}", link.state)),
            (None, Some(error)) if link.state != "up" => {
                problems.push(format!("link {name} is {}: {error}", link.state));
            }
            (None, None) if link.state == "down" => problems.push(format!("link {name} is down")),
            _ => {}
        }
        if link.airtime_left_ms == Some(0) {
            problems.push(format!("link {name} has used up the hour's airtime"));
        }
        if let Some(until) = link.radio.stopped_until.filter(|until| *until > network.unix_time) {
            let wait = units::age(until - network.unix_time);
            problems.push(format!("the radio of link {name} refuses to send for another {wait}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::network::tests::example;
    use super::*;

    fn row(name: &str, presence: Presence, answer: Option<Result<Network, String>>) -> Row {
        Row { name: Instance::new(name).unwrap(), presence, answer }
    }

    fn plain(rows: &[Row]) -> String {
        anstream::adapter::strip_str(&show(rows)).to_string()
    }

    #[test]
    fn a_line_for_each_network_whether_it_runs_or_not() {
        let enabled = Presence { running: true, enabled: true, ..Presence::default() };
        let rows = [row("mesh0", enabled, Some(Ok(example()))), row("mesh1", Presence::default(), None)];
        let expected = "\
NETWORK  STATE    BOOT     ADDRESS       PEERS   LINKS   AIR THIS HOUR  HEARD
mesh0    running  enabled  10.42.0.1/24  1 of 2  1 of 1  4.2 s of 36 s  3 minutes ago
mesh1    stopped  -        -             -       -       -              -
";
        assert_eq!(plain(&rows), expected);
    }

    #[test]
    fn what_is_wrong_follows() {
        let mut network = example();
        network.state = "degraded".to_owned();
        network.state_reason = Some("no-link".to_owned());
        network.links[0].state = "down".to_owned();
        network.links[0].last_error = Some("connection refused".to_owned());
        network.links[0].airtime_left_ms = Some(0);
        let failed = Presence { active: Some("failed".to_owned()), ..Presence::default() };
        let rows = [
            row("mesh0", Presence::default(), Some(Ok(network))),
            row("mesh1", failed, None),
            row("mesh2", Presence::default(), Some(Err("it took longer than 5 s".to_owned()))),
        ];
        let text = plain(&rows);
        let problems = text.split_once("\n\n").unwrap().1;
        let expected = "\
mesh0: no link works
mesh0: link radio0 is down: connection refused
mesh0: link radio0 has used up the hour's airtime
mesh1: it failed; \"meshctl logs mesh1\" tells why
mesh2: its daemon gives no answer: it took longer than 5 s
";
        assert_eq!(problems, expected);
    }
}
