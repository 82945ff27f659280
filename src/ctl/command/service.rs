//! `meshctl up`, `down`, `enable`, `disable`: a network's unit.

use std::io;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use meshnet_bus::describe::SCHEMA;
use meshnet_bus::names::Instance;
use serde::Serialize;

use super::{OneNetwork, Waiting};
use crate::bus::{self, Bus};
use crate::conf;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::style::paint;
use crate::render::{clean, style};
use crate::systemd::{self, Aftermath, Order, Units};
use crate::{activation, journal, runtime};

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

/// What a verb does to the unit.
struct Plan<'p> {
    network: &'p OneNetwork,
    /// Whether it is to start at boot and on demand, if that changes.
    enable: Option<bool>,
    order: Option<Order>,
    waiting: &'p Waiting,
}

impl Up {
    /// Starts it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let Self { network, waiting } = &self;
        run(&Plan { network, enable: None, order: Some(Order::Start), waiting }, context)
    }
}

impl Down {
    /// Stops it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let Self { network, waiting } = &self;
        run(&Plan { network, enable: None, order: Some(Order::Stop), waiting }, context)
    }
}

impl Enable {
    /// Enables it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let Self { network, now, waiting } = &self;
        run(&Plan { network, enable: Some(true), order: now.then_some(Order::Start), waiting }, context)
    }
}

impl Disable {
    /// Disables it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Error> {
        let Self { network, now, waiting } = &self;
        run(&Plan { network, enable: Some(false), order: now.then_some(Order::Stop), waiting }, context)
    }
}

fn run(plan: &Plan<'_>, context: &Context) -> Result<Exit, Error> {
    let outcome = runtime::block_on(carry_out(plan, context))?;
    if context.wants_json() {
        context.print_json(&outcome)?;
    }
    Ok(Exit::Success)
}

/// What was done.
#[derive(Debug, Serialize)]
struct Outcome {
    schema: u32,
    network: String,
    /// Whether it starts at boot and on demand, if that was said.
    enabled: Option<bool>,
    /// What the unit is, if it was waited for.
    unit: Option<String>,
}

async fn carry_out(plan: &Plan<'_>, context: &Context) -> Result<Outcome, Error> {
    let bus = Bus::connect().await?;
    let name = bus.choose(plan.network, context).await?;
    let wants_it = plan.enable == Some(true) || plan.order == Some(Order::Start);
    if wants_it && lacks_configuration(Path::new(conf::DIR), &name) {
        return Err(bus::no_such_network(&name));
    }
    let units = Units::new(&bus).await?;
    if let Some(enable) = plan.enable {
        set_enabled(enable, &bus, &units, &name, context).await?;
    }
    let mut unit = None;
    if let Some(order) = plan.order {
        unit = give(order, &units, &name, plan.waiting, context).await?;
    }
    Ok(Outcome { schema: SCHEMA, network: name.to_string(), enabled: plan.enable, unit })
}

/// Whether there is certainly no configuration. Who may not look leaves it to the daemon to say so.
fn lacks_configuration(dir: &Path, name: &Instance) -> bool {
    let found = std::fs::metadata(dir.join(format!("{name}.conf")));
    found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Has it start at boot and on demand, or not any longer: both or neither.
async fn set_enabled(
    enable: bool,
    bus: &Bus,
    units: &Units<'_>,
    name: &Instance,
    context: &Context,
) -> Result<(), Error> {
    let dir = Path::new(activation::DIR);
    if enable {
        // First what only root can do, so that a refusal leaves everything as it was.
        let before = activation::is_written(dir, name);
        activation::write(dir, name).map_err(|error| unwritable("enable", &error, dir, name))?;
        if let Err(error) = units.enable(true, name, context).await {
            if !before {
                let _ = activation::remove(dir, name);
            }
            return Err(error.context(format!("cannot enable {name}")));
        }
    } else {
        // What can be refused first: without the files, and enabled, it would start at boot but not on demand.
        if activation::is_written(dir, name) {
            activation::require_writable(dir, name)
                .map_err(|error| unwritable("disable", &error, dir, name))?;
        }
        let disabled = units.enable(false, name, context).await;
        disabled.map_err(|error| error.context(format!("cannot disable {name}")))?;
        activation::remove(dir, name).map_err(|error| unwritable("disable", &error, dir, name))?;
    }
    if let Err(error) = systemd::reload_bus(bus).await {
        context
            .talk(&format!("The bus did not look at its files again ({error}); it will at the next boot."));
    }
    context.talk(&if enable {
        format!("{name} starts at boot, and whenever somebody calls {}.", name.bus_name())
    } else {
        format!("{name} starts neither at boot nor on demand any longer.")
    });
    Ok(())
}

fn unwritable(verb: &str, error: &io::Error, dir: &Path, name: &Instance) -> Error {
    let exit = match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::NotAuthorized,
        _ => Exit::Failure,
    };
    let file = activation::path(dir, name);
    let told =
        Error::new(exit, format!("cannot {verb} {name}")).because(format!("{}: {error}", file.display()));
    if exit == Exit::NotAuthorized { told.hint(format!("sudo meshctl {verb} {name}")) } else { told }
}

/// Gives systemd the order, and sees that it was carried out. Returns the unit's state, if it was waited for.
async fn give(
    order: Order,
    units: &Units<'_>,
    name: &Instance,
    waiting: &Waiting,
    context: &Context,
) -> Result<Option<String>, Error> {
    let verb = match order {
        Order::Start => "start",
        Order::Stop => "stop",
    };
    let wait = (!waiting.no_wait).then(|| Duration::from_secs(waiting.timeout.into()));
    let outcome = match units.order(order, name, wait, context).await {
        Ok(outcome) => outcome,
        // What systemd does not have in memory does not run.
        Err(error) if order == Order::Stop && error.exit() == Exit::NoSuchObject => {
            context.talk(&format!("{name} does not run."));
            return Ok(Some("inactive".to_owned()));
        }
        Err(error) => return Err(error.context(format!("cannot {verb} {name}"))),
    };
    let Some(result) = outcome else { return Ok(None) };
    let after = units.look(name).await;
    let as_wanted = match order {
        Order::Start => after.active == "active" || after.active == "reloading",
        Order::Stop => after.active != "active",
    };
    if result == "done" && as_wanted {
        context.talk(&format!("{name} {}.", if order == Order::Start { "runs" } else { "is stopped" }));
        return Ok(Some(after.active));
    }
    Err(failed(order, name, &result, &after, context))
}

/// Tells why, with what the journal has of it.
fn failed(order: Order, name: &Instance, job: &str, after: &Aftermath, context: &Context) -> Error {
    let (exit, what) = match order {
        Order::Start => (Exit::Activation, format!("{name} did not start")),
        Order::Stop => (Exit::Failure, format!("{name} did not stop")),
    };
    let lines = if after.load == "loaded" {
        journal::last_lines(name, after.invocation.as_deref())
    } else {
        Vec::new()
    };
    for line in &lines {
        context.talk(&format!("  {}", paint(style::FAINT, &clean(line))));
    }
    let told = Error::new(exit, what).because(why(job, after, name));
    if lines.is_empty() {
        told.hint(format!("sudo meshctl logs {name}"))
    } else {
        told.hint(format!("\"meshctl doctor {name}\" looks for what is commonly wrong"))
    }
}

fn why(job: &str, after: &Aftermath, name: &Instance) -> String {
    match (job, after.result.as_str()) {
        _ if after.load == "not-found" => {
            format!("systemd has no unit {}; is the package installed?", name.unit())
        }
        ("done", _) if !after.conditions => format!("a condition of {} does not hold", name.unit()),
        ("done", _) => format!("the unit is {} right after", after.active),
        ("dependency", _) => "something that it needs did not start".to_owned(),
        ("canceled", _) => "another order to systemd came in between".to_owned(),
        (_, "exit-code") => "the daemon ended with an error".to_owned(),
        (_, "signal" | "core-dump") => "the daemon was killed".to_owned(),
        (_, "timeout") => "the daemon was not ready in time".to_owned(),
        (_, "start-limit-hit") => "it was started too often; wait a minute".to_owned(),
        (job, "" | "success") => format!("systemd's job ended as \"{job}\""),
        (_, result) => format!("systemd says \"{result}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_is_certainly_missing_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mesh0.conf"), "").unwrap();
        let lacks = |name| lacks_configuration(dir.path(), &Instance::new(name).unwrap());
        assert!(!lacks("mesh0"));
        assert!(lacks("mesh1"));
    }

    #[test]
    fn the_reason_is_told_in_words() {
        let name = Instance::new("mesh0").unwrap();
        let after = |load: &str, result: &str, conditions| Aftermath {
            load: load.to_owned(),
            result: result.to_owned(),
            conditions,
            ..Aftermath::default()
        };
        assert!(
            why("failed", &after("not-found", "", true), &name).contains("no unit meshnet@mesh0.service")
        );
        assert!(why("done", &after("loaded", "success", false), &name).contains("condition"));
        assert_eq!(
            why("failed", &after("loaded", "exit-code", true), &name),
            "the daemon ended with an error"
        );
        assert_eq!(why("failed", &after("loaded", "oom-kill", true), &name), "systemd says \"oom-kill\"");
        assert_eq!(why("skipped", &after("loaded", "", true), &name), "systemd's job ended as \"skipped\"");
    }
}
