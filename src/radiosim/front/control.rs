//! Commands to a running simulator, one JSON object per line, each answered by one line.

use meshnet_radiosim::{Air, Burst, Hearing, NodeNum, RadioId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use super::args::{parse_node, parse_share};

/// A line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Command {
    Reboot(String),
    RebootForgetting(String),
    Evict(String),
    Stall(String),
    Resume(String),
    Unplug(String),
    Plug(String),
    Loss(f64),
    Duplicate(f64),
    Reorder(f64),
    Corrupt(f64),
    ReorderDelayMs(u64),
    Burst(Option<BurstSpec>),
    Hears(HearsSpec),
    Ledger(bool),
    Totals(()),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BurstSpec {
    good_ms: u64,
    bad_ms: u64,
    loss: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HearsSpec {
    from: String,
    to: String,
    snr: Option<f32>,
    #[serde(default)]
    loss: f64,
}

/// What the world has to do beyond the air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plug {
    Pull(RadioId),
    Insert(RadioId),
}

/// Carries out a line; returns the answer, and what is to be done with a plug.
pub(crate) fn obey(line: &str, air: &mut Air, now: Instant) -> (Value, Option<Plug>) {
    match try_obey(line, air, now) {
        Ok((value, plug)) => (json!({ "ok": value }), plug),
        Err(error) => (json!({ "error": format!("{error:#}") }), None),
    }
}

fn try_obey(line: &str, air: &mut Air, now: Instant) -> anyhow::Result<(Value, Option<Plug>)> {
    let command: Command = serde_json::from_str(line)?;
    let mut plug = None;
    match command {
        Command::Reboot(node) => air.reboot(find(air, &node)?, false, now),
        Command::RebootForgetting(node) => air.reboot(find(air, &node)?, true, now),
        Command::Evict(node) => air.evict(find(air, &node)?, now),
        Command::Stall(node) => air.stall(find(air, &node)?, true, now),
        Command::Resume(node) => air.stall(find(air, &node)?, false, now),
        Command::Unplug(node) => plug = Some(Plug::Pull(find(air, &node)?)),
        Command::Plug(node) => plug = Some(Plug::Insert(find(air, &node)?)),
        Command::Loss(share) => air.faults_mut().loss = check(share)?,
        Command::Duplicate(share) => air.faults_mut().duplicate = check(share)?,
        Command::Reorder(share) => air.faults_mut().reorder = check(share)?,
        Command::Corrupt(share) => air.faults_mut().corrupt = check(share)?,
        Command::ReorderDelayMs(ms) => air.faults_mut().reorder_delay = Duration::from_millis(ms),
        Command::Burst(burst) => air.faults_mut().burst = burst.map(BurstSpec::burst).transpose()?,
        Command::Hears(hears) => {
            let (from, to) = (find(air, &hears.from)?, find(air, &hears.to)?);
            let loss = check(hears.loss)?;
            air.set_hearing(from, to, hears.snr.map(|snr| Hearing { snr, loss }));
        }
        Command::Ledger(keep) => air.set_ledger(keep),
        Command::Totals(()) => return Ok((totals(air)?, None)),
    }
    Ok((Value::Bool(true), plug))
}

/// Returns what each radio sent.
///
/// # Errors
/// If a number cannot be written as JSON, which none of ours is.
pub(crate) fn totals(air: &Air) -> anyhow::Result<Value> {
    let mut all = serde_json::Map::new();
    for radio in air.radios() {
        all.insert(NodeNum(air.num(radio)).to_string(), serde_json::to_value(air.totals(radio))?);
    }
    Ok(Value::Object(all))
}

impl BurstSpec {
    fn burst(self) -> anyhow::Result<Burst> {
        Ok(Burst {
            good: Duration::from_millis(self.good_ms),
            bad: Duration::from_millis(self.bad_ms),
            loss: check(self.loss)?,
        })
    }
}

fn find(air: &Air, node: &str) -> anyhow::Result<RadioId> {
    air.radio(parse_node(node)?).ok_or_else(|| anyhow::anyhow!("there is no radio {node}"))
}

fn check(share: f64) -> anyhow::Result<f64> {
    parse_share(&share.to_string())
}
