//! How long a keystroke takes to come back while a bulk transfer goes the same way.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use meshnet_system::daemon::Make;
use meshnet_system::interrupt;
use meshnet_system::wait::let_pass;
use serde::{Deserialize, Serialize};

use super::account::settle;
use super::setup::{MAKES, acquaint, lab, median, modem, name, quantile};
use super::stream::{accept, connect, is_timeout, listen};
use super::{Goal, Section, Task};

pub(crate) const NAME: &str = "latency";
const PRESET: &str = "SHORT_FAST";
/// What ssh sends for a keystroke.
const KEYSTROKE: usize = 36;
const APART: Duration = Duration::from_secs(2);
/// Without other traffic, and with it.
const QUIET: Duration = Duration::from_secs(30);
const BUSY: Duration = Duration::from_secs(90);
/// Until the bulk transfer has filled what there is to fill.
const RAMP: Duration = Duration::from_secs(15);
const ECHO_LIMIT: Duration = Duration::from_secs(30);
/// What one lab found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    make: Make,
    /// Milliseconds, without other traffic.
    quiet: Vec<f64>,
    /// Milliseconds, beside the bulk transfer.
    busy: Vec<f64>,
    /// The connection of the keystrokes broke or stalled.
    stalled: bool,
    /// What the bulk transfer brought meanwhile.
    bulk_bytes: u64,
    /// In so many seconds.
    bulk_seconds: f64,
}

pub(crate) fn tasks() -> Vec<Task> {
    MAKES.map(|make| Task::new(NAME, name(make).to_owned(), 170, move |dir| measure(make, dir))).into()
}

fn measure(make: Make, dir: &Path) -> Result<Found> {
    let lab = lab(make, PRESET, 1, dir)?;
    let (west, east) = (&lab.west, &lab.east);
    acquaint(&lab)?;
    settle(&lab.sim, Duration::from_secs(8), Duration::from_secs(60))?;

    let soon = || Instant::now() + Duration::from_secs(60);
    let (shell, bulk) = (listen(east, 22)?, listen(east, 5201)?);
    let mut keyboard = connect(west, east.at(22), soon())?.context("no connection for the keystrokes")?;
    let mut screen = accept(&shell, soon())?.context("no connection for the keystrokes")?;
    let (over, arrived) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| echo(&mut screen, &over));
        let measured = (|| {
            let (quiet, _) = keystrokes(&mut keyboard, QUIET)?;
            let mut source =
                connect(west, east.at(5201), soon())?.context("no connection for the bulk transfer")?;
            let mut sink = accept(&bulk, soon())?.context("no connection for the bulk transfer")?;
            let (over, arrived) = (&over, &arrived);
            scope.spawn(move || pour(&mut source, over));
            scope.spawn(move || drain(&mut sink, over, arrived));
            let_pass(RAMP)?;
            let (before, start) = (arrived.load(Ordering::Relaxed), Instant::now());
            let (busy, stalled) = keystrokes(&mut keyboard, BUSY)?;
            let bulk_bytes = arrived.load(Ordering::Relaxed) - before;
            Ok(Found { make, quiet, busy, stalled, bulk_bytes, bulk_seconds: start.elapsed().as_secs_f64() })
        })();
        over.store(true, Ordering::Relaxed);
        measured
    })
}

/// Types for some time, each keystroke when the one before has come back; returns how long each took, and whether one did
/// not come back at all.
fn keystrokes(stream: &mut TcpStream, time: Duration) -> Result<(Vec<f64>, bool)> {
    let begin = Instant::now();
    let mut took = Vec::new();
    while begin.elapsed() < time {
        let start = Instant::now();
        let Ok(()) = stream.write_all(&[b'k'; KEYSTROKE]) else { return Ok((took, true)) };
        let mut back = 0;
        let mut buffer = [0; KEYSTROKE];
        while back < KEYSTROKE {
            interrupt::check()?;
            match stream.read(&mut buffer[back..]) {
                Ok(0) => return Ok((took, true)),
                Ok(read) => back += read,
                Err(error) if is_timeout(&error) && start.elapsed() < ECHO_LIMIT => {}
                Err(_) => return Ok((took, true)),
            }
        }
        took.push(1000.0 * start.elapsed().as_secs_f64());
        let_pass(APART.saturating_sub(start.elapsed()).max(Duration::from_millis(100)))?;
    }
    Ok((took, false))
}

fn echo(stream: &mut TcpStream, over: &AtomicBool) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4 * KEYSTROKE];
    while !over.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => stream.write_all(&buffer[..read])?,
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(anyhow!(error)),
        }
    }
    Ok(())
}

fn pour(stream: &mut TcpStream, over: &AtomicBool) {
    let bytes = [b'b'; 1400];
    while !over.load(Ordering::Relaxed) {
        match stream.write(&bytes) {
            Ok(_) => {}
            Err(error) if is_timeout(&error) => {}
            Err(_) => break,
        }
    }
}

fn drain(stream: &mut TcpStream, over: &AtomicBool, arrived: &AtomicU64) {
    let mut buffer = [0; 4096];
    while !over.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                arrived.fetch_add(read as u64, Ordering::Relaxed);
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => break,
        }
    }
}

pub(crate) fn section(found: &[Found]) -> Section {
    let mut section = Section { title: "A keystroke beside a bulk transfer", ..Section::default() };
    section.body = format!(
        "{PRESET}. Over one TCP connection {KEYSTROKE} bytes go east and come back, every {} s, first alone, then for {} s \
         while another TCP connection carries to the east all that it can. Milliseconds: median, and what nine in ten were \
         quicker than. A full frame takes {:.0} ms of air.\n\n\
         | daemon | alone | beside bulk | nine in ten | slowest | keystrokes that came back | bulk bytes/s |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
        APART.as_secs(),
        BUSY.as_secs(),
        1000.0 * modem(PRESET).airtime(255).as_secs_f64(),
    );
    for make in MAKES {
        let Some(found) = found.iter().find(|found| found.make == make) else { continue };
        let busy = |share| quantile(found.busy.iter().copied(), share);
        #[allow(clippy::cast_precision_loss, reason = "some hundred thousand")]
        let rate = found.bulk_bytes as f64 / found.bulk_seconds;
        section.body += &format!(
            "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {}{} | {rate:.0} |\n",
            name(make),
            median(found.quiet.iter().copied()),
            busy(0.5),
            busy(0.9),
            busy(1.0),
            found.busy.len(),
            if found.stalled { ", then none" } else { "" },
        );
    }
    let [Some(ours), Some(reference)] = MAKES.map(|make| found.iter().find(|found| found.make == make))
    else {
        return section;
    };
    let [mine, theirs] = [ours, reference].map(|found| median(found.busy.iter().copied()));
    section.goals.push(Goal {
        met: !ours.stalled && mine < theirs,
        text: format!(
            "a keystroke beside a bulk transfer at {PRESET}: {mine:.0} ms, {:.1} times one on an idle channel (less than the \
             reference's {theirs:.0} ms)",
            mine / median(ours.quiet.iter().copied())
        ),
    });
    section
}
