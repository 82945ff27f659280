//! `cargo xtask bench`: what a job costs on the air and how long it takes, ours beside the Python tool, and what a UDP link
//! carries, ours beside other VPNs; written to BENCHMARKS.md and its charts.
//!
//! A job is a file below `bench/`: it lists [`Task`]s, each a lab of its own, and makes a [`Section`] of what they found.
//! All tasks of a run share the machine, several at a time, because they mostly wait for simulated air at its real pace.
//! What they found is kept below `target/bench`, so that one job can be measured again without the others.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use meshnet_system::{programs, workspace};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{need, say};

mod account;
mod chart;
mod cost;
mod goodput;
mod hourly;
mod idle;
mod latency;
mod pool;
mod proto;
mod report;
mod round_trip;
mod setup;
mod slow;
mod stream;
mod terse;
mod vpn;

/// Measures, and writes BENCHMARKS.md and its chart.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only these jobs; what was found earlier of the others is kept: cost, hourly, slow, rtt, goodput, latency, idle, proto, terse, vpn
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,

    /// How many labs run at once
    #[arg(long, value_name = "N", default_value_t = 12)]
    at_once: usize,

    /// Measure nothing: write the files from what was found earlier
    #[arg(long)]
    render: bool,

    #[command(flatten)]
    vpn: vpn::Arguments,
}

/// A kind of measurement.
struct Job {
    name: &'static str,
    tasks: fn() -> Vec<Task>,
    section: fn(&[Value]) -> Result<Section>,
}

const JOBS: &[Job] = &[
    Job { name: cost::NAME, tasks: cost::tasks, section: |found| read(found, cost::section) },
    Job { name: hourly::NAME, tasks: hourly::tasks, section: |found| read(found, hourly::section) },
    Job { name: slow::NAME, tasks: slow::tasks, section: |found| read(found, slow::section) },
    Job {
        name: round_trip::NAME,
        tasks: round_trip::tasks,
        section: |found| read(found, round_trip::section),
    },
    Job { name: latency::NAME, tasks: latency::tasks, section: |found| read(found, latency::section) },
    Job { name: goodput::NAME, tasks: goodput::tasks, section: |found| read(found, goodput::section) },
    Job { name: idle::NAME, tasks: idle::tasks, section: |found| read(found, idle::section) },
    Job { name: proto::NAME, tasks: proto::tasks, section: |found| read(found, proto::section) },
    Job { name: terse::NAME, tasks: terse::tasks, section: |found| read(found, terse::section) },
    Job { name: vpn::NAME, tasks: vpn::tasks, section: |found| read(found, vpn::section) },
];

/// Does a task's work in a directory of its own, and returns what it found.
type Work = Box<dyn FnOnce(&Path) -> Result<Value> + Send>;

/// One lab's work.
struct Task {
    job: &'static str,
    /// In words, for the terminal.
    title: String,
    /// About how long it takes: the longest begin first.
    expected: Duration,
    /// Runs while nothing else does.
    alone: bool,
    work: Work,
}

impl Task {
    fn new<T: Serialize>(
        job: &'static str,
        title: String,
        expected: u64,
        work: impl FnOnce(&Path) -> Result<T> + Send + 'static,
    ) -> Self {
        Self {
            job,
            title,
            expected: Duration::from_secs(expected),
            alone: false,
            work: Box::new(move |dir| Ok(serde_json::to_value(work(dir)?)?)),
        }
    }

    fn alone(mut self) -> Self {
        self.alone = true;
        self
    }
}

/// What the report says of a job.
#[derive(Debug, Default)]
struct Section {
    title: &'static str,
    /// When and where.
    measured: String,
    goals: Vec<Goal>,
    /// Markdown.
    body: String,
    /// For the chart and the summary.
    bars: Vec<Bar>,
}

/// Something that was promised, and whether it is so.
#[derive(Debug)]
struct Goal {
    met: bool,
    text: String,
}

/// A job's airtime, ours beside the reference's, without what the radios add by themselves.
#[derive(Debug)]
struct Bar {
    job: String,
    /// Milliseconds.
    ours: f64,
    /// Milliseconds.
    reference: f64,
}

/// Runs the jobs and writes the report.
///
/// # Errors
/// If a job cannot be run. A goal that is not met is no error: it is said.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(unknown) = arguments.jobs.iter().find(|name| !JOBS.iter().any(|job| job.name == **name)) {
        let names: Vec<&str> = JOBS.iter().map(|job| job.name).collect();
        bail!("no job {unknown:?}; there are {}", names.join(", "));
    }
    vpn::configure(&arguments.vpn);
    let begin = Instant::now();
    if !arguments.render {
        measure(arguments)?;
    }
    let mut sections = Vec::new();
    for job in JOBS {
        let Some(kept) = load(job.name)? else { continue };
        let mut section =
            (job.section)(&kept.found).with_context(|| format!("the results of {}", job.name))?;
        section.measured = kept.measured.to_string();
        sections.push(section);
    }
    report::write(&sections)?;
    let vpns = load(vpn::NAME)?.map_or_else(Vec::new, |kept| kept.found);
    let vpns = vpns.into_iter().map(serde_json::from_value).collect::<Result<Vec<_>, _>>()?;
    if let Some(svg) = vpn::chart(&vpns) {
        std::fs::write(workspace().join(vpn::CHART), svg).context(vpn::CHART)?;
    }
    let goals: Vec<&Goal> = sections.iter().flat_map(|section| &section.goals).collect();
    let met = goals.iter().filter(|goal| goal.met).count();
    println!();
    for goal in &goals {
        println!("{} {}", if goal.met { "met    " } else { "NOT MET" }, goal.text);
    }
    let took = begin.elapsed().as_secs() / 60;
    say::verdict(
        true,
        &format!("BENCHMARKS.md is written; {met} of {} goals are met ({took} min)", goals.len()),
    );
    Ok(ExitCode::SUCCESS)
}

fn measure(arguments: &Arguments) -> Result<()> {
    need::namespaces()?;
    need::tools(&[&need::IP, &need::PING, &need::PYTHON])?;
    let wanted = |job: &&Job| arguments.jobs.is_empty() || arguments.jobs.iter().any(|name| name == job.name);
    let radio = JOBS.iter().filter(wanted).any(|job| job.name != vpn::NAME);
    if radio || vpn::needs_ours() {
        // Whoever has built them already says where they are.
        let programs = if let Some(dir) = std::env::var_os(programs::DIR_VARIABLE) {
            dir.into()
        } else {
            say::step("Building meshnetd and the radio simulator, as released");
            programs::build(true, false)?
        };
        programs::use_directory(&programs);
    }
    if JOBS.iter().filter(wanted).any(|job| ![vpn::NAME, terse::NAME].contains(&job.name)) {
        say::step("The Python tool, from PyPI");
        meshnet_system::python::Python::provision()?;
    }

    // Of the tree as it is built: it may go on while it is measured.
    let measured = report::Measured::here()?;
    let mut tasks = Vec::new();
    for job in JOBS.iter().filter(wanted) {
        tasks.extend((job.tasks)());
    }
    say::step(&format!("{} measurements, {} at a time", tasks.len(), arguments.at_once));
    let pool::Ended { found, failed } = pool::run(tasks, arguments.at_once)?;
    for job in JOBS.iter().filter(wanted) {
        // What a job found before stands until it finds all of it again.
        if failed.iter().any(|(name, _)| *name == job.name) {
            continue;
        }
        let mine: Vec<&Value> =
            found.iter().filter(|(name, _)| *name == job.name).map(|(_, value)| value).collect();
        if !mine.is_empty() {
            save(job.name, &mine, &measured)?;
        }
    }
    match failed.into_iter().next() {
        Some((name, error)) => Err(error.context(format!("{name} could not be measured"))),
        None => Ok(()),
    }
}

fn read<T: DeserializeOwned>(found: &[Value], section: fn(&[T]) -> Section) -> Result<Section> {
    let found = found.iter().cloned().map(serde_json::from_value).collect::<Result<Vec<T>, _>>()?;
    Ok(section(&found))
}

fn results() -> PathBuf {
    workspace().join("target/bench")
}

/// What a job found when it was last measured.
#[derive(Deserialize)]
struct Kept {
    measured: report::Measured,
    found: Vec<Value>,
}

fn save(name: &str, found: &[&Value], measured: &report::Measured) -> Result<()> {
    std::fs::create_dir_all(results())?;
    let kept = serde_json::json!({ "measured": measured, "found": found });
    std::fs::write(results().join(format!("{name}.json")), serde_json::to_vec_pretty(&kept)?)
        .with_context(|| format!("keeping the results of {name}"))
}

/// Returns what was found earlier, if anything was.
fn load(name: &str) -> Result<Option<Kept>> {
    let path = results().join(format!("{name}.json"));
    if !path.exists() {
        return Ok(None);
    }
    serde_json::from_slice(&std::fs::read(&path)?).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_can_list_its_tasks_and_say_that_it_found_nothing() {
        for job in JOBS {
            assert!((job.tasks)().iter().all(|task| task.job == job.name && !task.title.is_empty()));
            let section = (job.section)(&[]).expect("nothing is something that a section can be made of");
            assert!(section.bars.is_empty() && section.goals.is_empty(), "{}", job.name);
        }
    }
}
