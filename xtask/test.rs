//! `cargo xtask test`: every test there is, in steps that all run even if one fails, and one verdict.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use meshnet_system::{interrupt, machine, package, programs, workspace};

use crate::{need, say};

/// Stories mostly wait for the air: more of them at once than there are processors.
const STORIES_AT_ONCE: &str = "6";

/// Those that measure time: each takes a fifth of a processor at the most.
const TIMED_AT_ONCE: &str = "4";

/// A booting machine is busy; a booted one mostly waits.
const MACHINES_AT_ONCE: &str = "4";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only these steps: format, lint, doc, licences, unit, stories, service
    #[arg(value_name = "STEP")]
    steps: Vec<String>,
}

/// A step: its name, what it does in words, and the commands.
struct Step {
    name: &'static str,
    title: &'static str,
    commands: Vec<Command>,
}

/// Runs the steps.
///
/// # Errors
/// If they cannot be run; a step that fails makes the exit code.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    need::namespaces()?;
    let mut steps = steps();
    if let Some(unknown) = arguments.steps.iter().find(|name| !steps.iter().any(|step| step.name == **name)) {
        let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
        bail!("no step {unknown:?}; there are {}", names.join(", "));
    }
    steps.retain(|step| arguments.steps.is_empty() || arguments.steps.iter().any(|name| name == step.name));
    if steps.iter().any(|step| step.name == "unit") {
        need::tools(&[&need::DBUS])?;
    }
    if steps.iter().any(|step| step.name == "stories") {
        need::tools(&[&need::IP, &need::PING, &need::PYTHON, &need::WIREGUARD_GO, &need::WG, &need::NFT])?;
    }

    let begin = Instant::now();
    let mut rows = vec![["step", "result", "seconds"].map(str::to_owned).to_vec()];
    let mut failed = Vec::new();
    let count = steps.len();
    for (index, step) in steps.iter_mut().enumerate() {
        say::step(&format!("[{}/{count}] {}", index + 1, step.title));
        if step.name == "service"
            && let Err(error) = machine::can_boot()
        {
            // Asked for by name, or where nobody looks at the words, it is not passed over.
            if !arguments.steps.is_empty() || std::env::var_os("CI").is_some() {
                return Err(error.context("the step \"service\""));
            }
            say::note(&format!("skipped: {error:#}"));
            rows.push(vec![step.name.to_owned(), "skipped".to_owned(), "0".to_owned()]);
            continue;
        }
        let start = Instant::now();
        let good = step.run()?;
        if !good {
            failed.push(step.name);
        }
        let result = if good { "passed" } else { "failed" };
        rows.push(vec![step.name.to_owned(), result.to_owned(), seconds(start.elapsed())]);
    }
    println!();
    say::table(&rows);
    let took = seconds(begin.elapsed());
    if failed.is_empty() {
        say::verdict(true, &format!("{count} of {count} steps in {took} s"));
        return Ok(ExitCode::SUCCESS);
    }
    say::verdict(false, &format!("{} (of {count} steps in {took} s)", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

fn steps() -> Vec<Step> {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let stories = system(&["--lib", "--test", "stories"], STORIES_AT_ONCE);
    let timed = system(&["--test", "timed"], TIMED_AT_ONCE);
    let mut service = system(&["--test", "service"], MACHINES_AT_ONCE);
    service.env(package::DIR_VARIABLE, "target/deb");
    vec![
        Step { name: "format", title: "Formatting", commands: vec![cargo(&["fmt", "--all", "--check"])] },
        Step {
            name: "lint",
            title: "Lints",
            commands: vec![cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])],
        },
        Step { name: "doc", title: "Documentation", commands: vec![doc] },
        Step { name: "licences", title: "Licences and sources of dependencies", commands: licences() },
        Step {
            name: "unit",
            title: "Unit tests, and worlds of nodes on simulated air",
            commands: vec![cargo(&["test", "--workspace", "--exclude", "meshnet-system", "--no-fail-fast"])],
        },
        Step {
            name: "stories",
            title: "Stories: real binaries in network namespaces",
            commands: vec![cargo(&["build", "--bins"]), stories, timed],
        },
        Step {
            name: "service",
            title: "Service: the packages, lint included, under a booted systemd",
            commands: vec![
                cargo(&["build", "--bins"]),
                cargo(&["xtask", "deb", "--lint", "--out", "target/deb"]),
                service,
            ],
        },
    ]
}

/// `cargo deny` says most, where it is installed; the test of the same list in `tests/system` runs everywhere.
fn licences() -> Vec<Command> {
    let installed =
        Command::new("cargo-deny").arg("--version").output().is_ok_and(|output| output.status.success());
    if installed {
        vec![cargo(&["deny", "check", "licenses", "bans", "sources"])]
    } else {
        vec![cargo(&["test", "-p", "meshnet-system", "--test", "stories", "dependencies"])]
    }
}

impl Step {
    /// Runs the commands until one fails; returns whether none did.
    fn run(&mut self) -> Result<bool> {
        for command in &mut self.commands {
            let good = command.status().with_context(|| format!("running {command:?}"))?.success();
            interrupt::check()?;
            if !good {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The tests of `tests/system`, those of these targets.
fn system(targets: &[&str], at_once: &str) -> Command {
    cargo(&[&["test", "-p", "meshnet-system"], targets, &["--", "--test-threads", at_once]].concat())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(programs::cargo());
    // An error's chain says what failed; backtraces would bury it.
    command.current_dir(workspace()).args(arguments).env("RUST_LIB_BACKTRACE", "0");
    command
}

fn seconds(duration: Duration) -> String {
    format!("{:.0}", duration.as_secs_f64())
}
