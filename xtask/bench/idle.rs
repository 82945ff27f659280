//! An idle daemon with a session: what it sends, how often it wakes, how much memory it holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use meshnet_system::daemon::Make;
use meshnet_system::lab::{Lab, Security, Spec};
use meshnet_system::wait::let_pass;
use serde::{Deserialize, Serialize};

use super::account::{Account, Mark, settle};
use super::setup::{acquaint, lab, lab_of};
use super::{Goal, Section, Task};

pub(crate) const NAME: &str = "idle";
const PRESET: &str = "LONG_FAST";
/// Two heartbeats of the radio are in it.
const TIME: Duration = Duration::from_secs(610);
/// Until everything that follows the first contact is over: the radio's fast polling, the kernel's look after neighbours.
const CALM: Duration = Duration::from_secs(60);
/// Wakeups closer together than this have the same cause.
const TOGETHER: Duration = Duration::from_secs(3);
const HEARTBEAT: Duration = Duration::from_secs(300);
const MEMORY_GOAL_KB: u64 = 10_000;

/// Who is idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Who {
    /// Ours, with a session of version 1.
    #[serde(alias = "ours")]
    Version1,
    /// Ours, with one of WireGuard's.
    WireGuard,
    /// The Python tool.
    Reference,
}

const EVERYBODY: [Who; 3] = [Who::Version1, Who::WireGuard, Who::Reference];

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Self::Version1 => "meshnet",
            Self::WireGuard => "meshnet, WIREGUARD",
            Self::Reference => "reference",
        }
    }

    fn lab(self, dir: &Path) -> Result<Lab> {
        match self {
            Self::Version1 => lab(Make::Ours, PRESET, 1, dir),
            Self::WireGuard => {
                let spec = Spec::new(Make::Ours, Make::Ours).security(Security::WireGuard);
                lab_of(spec, PRESET, 1, dir)
            }
            Self::Reference => lab(Make::Reference, PRESET, 1, dir),
        }
    }
}

/// What one lab found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    #[serde(alias = "make")]
    who: Who,
    /// What the air carried, both ways.
    air: Account,
    /// How often each thread of the west's daemon waited for something, by the thread's name.
    waits: BTreeMap<String, u64>,
    /// The seconds of the idle stretch in which the daemon woke at all.
    awake: Vec<u64>,
    resident_kb: u64,
    peak_kb: u64,
    threads: usize,
    /// Of processor time, in the idle stretch.
    ticks: u64,
}

pub(crate) fn tasks() -> Vec<Task> {
    let expected = (TIME + CALM).as_secs() + 40;
    EVERYBODY.map(|who| Task::new(NAME, who.name().to_owned(), expected, move |dir| measure(who, dir))).into()
}

fn measure(who: Who, dir: &Path) -> Result<Found> {
    let mut lab = who.lab(dir)?;
    acquaint(&lab)?;
    settle(&lab.sim, CALM, Duration::from_secs(120))?;
    let pid = lab.west.daemon.process()?.pid();
    let mark = Mark::here(&lab.sim)?;
    let (before, ticks) = (waits(pid)?, ticks(pid)?);
    let mut awake = Vec::new();
    let (begin, mut seen) = (Instant::now(), sum(&before));
    // Looking does not wake it.
    while begin.elapsed() < TIME {
        let_pass(Duration::from_secs(1))?;
        let count = sum(&waits(pid)?);
        if count != seen {
            awake.push(begin.elapsed().as_secs());
            seen = count;
        }
    }
    let after = waits(pid)?;
    let mut by_name = BTreeMap::new();
    for (thread, (name, count)) in &after {
        let earlier = before.get(thread).map_or(0, |(_, count)| *count);
        *by_name.entry(name.clone()).or_default() += count - earlier;
    }
    Ok(Found {
        who,
        air: mark.account(&lab.sim)?,
        waits: by_name,
        awake,
        resident_kb: number(&format!("/proc/{pid}/status"), "VmRSS:")?,
        peak_kb: number(&format!("/proc/{pid}/status"), "VmHWM:")?,
        threads: after.len(),
        ticks: self::ticks(pid)? - ticks,
    })
}

/// Returns the name of each thread and how often it gave up the processor to wait.
fn waits(pid: u32) -> Result<BTreeMap<String, (String, u64)>> {
    let mut threads = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = entry?.path();
        let status = path.join("status").display().to_string();
        let name = std::fs::read_to_string(path.join("comm"))?.trim().to_owned();
        threads.insert(path.display().to_string(), (name, number(&status, "voluntary_ctxt_switches:")?));
    }
    Ok(threads)
}

fn sum(threads: &BTreeMap<String, (String, u64)>) -> u64 {
    threads.values().map(|(_, count)| count).sum()
}

fn number(path: &str, key: &str) -> Result<u64> {
    let text = std::fs::read_to_string(path).with_context(|| path.to_owned())?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("{path}: no {key}"))
}

/// Returns the processor time spent so far, in the kernel's clock ticks (10 ms).
fn ticks(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // User and system time are the 12th and 13th field behind the name, which may have spaces and is in parentheses.
    let rest = stat.rsplit_once(')').context("no name in stat")?.1;
    Ok(rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum())
}

pub(crate) fn section(found: &[Found]) -> Section {
    let mut section = Section { title: "An idle daemon", ..Section::default() };
    let minutes = TIME.as_secs_f64() / 60.0;
    section.body = format!(
        "{minutes:.1} minutes at {PRESET} with an established session and no traffic, in real time; the radios measure and announce \
         nothing by themselves. A wakeup is a voluntary context switch of any thread; those within 3 s of each other are one moment. A daemon that sends nothing in that \
         time has no timer that would make it send later the same day: a session is only renewed when there is traffic.\n\n\
         | daemon | bytes on air | ms of air | wakeups | per minute | at so many moments | by thread | threads | resident | peak | processor |\n\
         |---|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|\n"
    );
    for who in EVERYBODY {
        let Some(found) = found.iter().find(|found| found.who == who) else { continue };
        let wakeups = found.wakeups();
        let threads: Vec<String> = found
            .waits
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        #[allow(clippy::cast_precision_loss, reason = "thousands")]
        let (per_minute, mega) = (wakeups as f64 / minutes, |kb: u64| kb as f64 / 1000.0);
        section.body += &format!(
            "| {} | {} | {:.0} | {wakeups} | {per_minute:.1} | {} | {} | {} | {:.1} MB | {:.1} MB | {} ms |\n",
            who.name(),
            found.air.total().bytes,
            found.air.total().airtime_ms,
            found.moments(),
            threads.join(", "),
            found.threads,
            mega(found.resident_kb),
            mega(found.peak_kb),
            10 * found.ticks,
        );
    }
    let heartbeats = TIME.as_secs() / HEARTBEAT.as_secs();
    section.body += &format!(
        "\nThe radio's heartbeat is due {heartbeats} times in this stretch; without it the radio closes the connection after 15 \
         minutes.\n"
    );
    let of = |who| found.iter().find(|found| found.who == who);
    if let Some(reference) = of(Who::Reference) {
        let ours = [Who::Version1, Who::WireGuard].into_iter().filter_map(of);
        section.goals = ours.flat_map(|ours| goals(ours, reference, heartbeats)).collect();
    }
    section
}

fn goals(ours: &Found, reference: &Found, heartbeats: u64) -> [Goal; 3] {
    let minutes = TIME.as_secs_f64() / 60.0;
    let idle = match ours.who {
        Who::WireGuard => "idle in mode WIREGUARD",
        Who::Version1 | Who::Reference => "idle",
    };
    let (mine, theirs) = (ours.air.total(), reference.air.total());
    [
        Goal {
            met: mine.bytes == 0,
            text: format!(
                "{idle} for {minutes:.0} minutes: {} bytes on the air (none); the reference: {}",
                mine.bytes, theirs.bytes
            ),
        },
        Goal {
            met: ours.moments() <= usize::try_from(heartbeats).unwrap_or(0),
            text: format!(
                "{idle}: awake at {} moments, {} wakeups in all, for {heartbeats} heartbeats of the radio (nothing else \
                 periodic); the reference: at {}, {} wakeups",
                ours.moments(),
                ours.wakeups(),
                reference.moments(),
                reference.wakeups()
            ),
        },
        Goal {
            met: ours.resident_kb < MEMORY_GOAL_KB,
            #[allow(clippy::cast_precision_loss, reason = "thousands")]
            text: format!(
                "{idle}: {:.1} MB resident (under 10); the reference: {:.1}",
                ours.resident_kb as f64 / 1000.0,
                reference.resident_kb as f64 / 1000.0
            ),
        },
    ]
}

impl Found {
    fn wakeups(&self) -> u64 {
        self.waits.values().sum()
    }

    /// Returns at how many moments it woke.
    fn moments(&self) -> usize {
        let apart = |pair: &[u64]| pair[1] - pair[0] > TOGETHER.as_secs();
        self.awake.windows(2).filter(|pair| apart(pair)).count() + usize::from(!self.awake.is_empty())
    }
}
