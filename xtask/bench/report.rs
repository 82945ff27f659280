//! BENCHMARKS.md: the machine, the ratios, the goals, then job by job.

use std::fmt::{self, Write as _};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::workspace;
use serde::{Deserialize, Serialize};

use super::{Section, chart};

/// Where it is, from the workspace's root.
const FILE: &str = "BENCHMARKS.md";
const CHART: &str = "docs/airtime-per-job.svg";

/// Where and when a job was measured, and with which code.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    date: String,
    /// Of the tree that was built, with a mark if files were changed since.
    commit: String,
    system: String,
    cores: usize,
    architecture: String,
}

impl Measured {
    /// Describes this machine, in words that name none, and this tree.
    pub(super) fn here() -> Result<Self> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
        // What follows the second dot is how somebody built it.
        let kernel: Vec<&str> = release.trim().split('.').take(2).collect();
        Ok(Self {
            date: said("date", &["-u", "+%Y-%m-%d"])?,
            commit: commit()?,
            system: format!("Linux {}", kernel.join(".")),
            cores: std::thread::available_parallelism()?.get(),
            architecture: std::env::consts::ARCH.replace('_', "-"),
        })
    }
}

/// The commit that is checked out, marked if the tree is another: what earlier jobs wrote into the report does not make it one.
fn commit() -> Result<String> {
    let mut commit = said("git", &["rev-parse", "--short=10", "HEAD"])?;
    let written = ["BENCHMARKS.md", CHART, super::vpn::CHART].map(|path| format!(":(exclude){path}"));
    let words = ["status", "--porcelain", "--untracked-files=no", "--", "."];
    let words: Vec<&str> = words.into_iter().chain(written.iter().map(String::as_str)).collect();
    if !said("git", &words)?.is_empty() {
        commit += "-dirty";
    }
    Ok(commit)
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, commit, system, cores, architecture } = self;
        write!(f, "Measured on {date} at commit {commit}, {system}, {cores} {architecture} cores.")
    }
}

/// Returns the line that a program prints.
fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .current_dir(workspace())
        .args(arguments)
        .output()
        .with_context(|| format!("running {program}"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Writes the report and its chart.
///
/// # Errors
/// If they cannot be written.
pub(super) fn write(sections: &[Section]) -> Result<()> {
    let bars: Vec<_> = sections.iter().flat_map(|section| &section.bars).collect();
    let root = workspace();
    std::fs::create_dir_all(root.join(CHART).parent().unwrap_or(root))?;
    std::fs::write(root.join(CHART), chart::draw(&bars)).context(CHART)?;

    let mut text = String::from(
        "# Benchmarks\n\n\
         Everything here is written by `cargo xtask bench`; a job of it is measured again by `cargo xtask bench JOB`. meshnet \
         beside the Python tool `meshnet` 0.1.0 (the reference), both with its protocol, version 1, each as two daemons \
         in network namespaces on simulated radios at the pace of real ones (`meshnet-radiosim --no-node-info --telemetry=0 \
         --no-next-hop`: the radios announce and measure nothing by themselves, and add nothing to the packets of the \
         reference, which bear a hop limit where ours bear none: its figures would be worse with that), with the same \
         seeds, up to a dozen labs at a time. Each job says when it was measured and with which commit.\n\n",
    );
    text += "## Airtime, ours of the reference's\n\nWithout what the radios add by themselves (acknowledgements, copies).\n\n| job | meshnet ms | reference ms | ours of theirs |\n|---|--:|--:|--:|\n";
    for bar in &bars {
        let share = 100.0 * bar.ours / bar.reference;
        writeln!(text, "| {} | {:.0} | {:.0} | **{share:.0} %** |", bar.job, bar.ours, bar.reference)?;
    }
    write!(
        text,
        "\n![Airtime of each job, ours beside the reference's]({CHART})\n\n## Goals\n\n| | goal and result |\n|---|---|\n"
    )?;
    for goal in sections.iter().flat_map(|section| &section.goals) {
        writeln!(text, "| {} | {} |", if goal.met { "met" } else { "**not met**" }, goal.text)?;
    }
    for section in sections.iter().filter(|section| !section.body.is_empty()) {
        write!(text, "\n## {}\n\n{}\n{}\n", section.title, section.body, section.measured)?;
    }
    std::fs::write(root.join(FILE), text).context(FILE)
}
