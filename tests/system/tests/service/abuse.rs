//! Clients of the bus that do not behave cost the network nothing: it answers others, and its memory stays.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use meshnet_system::booted_story;
use meshnet_system::machine::Bus;

use super::ground::Station;

/// How much more memory the daemon may hold after it, in KiB.
const GROWTH: u64 = 8 * 1024;
/// How long a well-behaved client may have to wait meanwhile: its question stands in one row with those of the flood, and
/// libraries give up after 25 s. (How fast the row moves is the machine's affair.)
const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn a_flood_of_questions_leaves_the_daemon_responsive_and_small() -> Result<()> {
    abused(&["flood", "20000", "Describe"], Bus::Daemon)
}

#[test]
fn a_flood_of_refused_changes_leaves_the_daemon_responsive_and_small() -> Result<()> {
    abused(&["flood", "5000", "Reload"], Bus::Daemon)
}

#[test]
fn a_client_that_never_reads_costs_nothing_on_dbus_daemon() -> Result<()> {
    abused(&["deaf", "100000", "Describe"], Bus::Daemon)
}

#[test]
fn a_client_that_never_reads_costs_nothing_on_dbus_broker() -> Result<()> {
    abused(&["deaf", "100000", "Describe"], Bus::Broker)
}

#[test]
fn arguments_that_are_too_large_are_refused_before_anything_else() -> Result<()> {
    booted_story(|dir| {
        let station = prepared(dir, Bus::Daemon)?;
        let before = memory(&station)?;
        for user in ["alice", "root"] {
            let answers =
                station.machine.command(&["/usr/local/bin/unruly", "oversized"]).user(user).succeed()?;
            ensure!(answers.lines().count() == 5, "{answers}");
            for answer in answers.lines() {
                let (_, error) = answer.rsplit_once(": ").context("what: error")?;
                ensure!(
                    ["org.meshnet1.Error.InvalidArgs", "org.meshnet1.Error.NotAuthorized"].contains(&error),
                    "{user}: {answer}"
                );
            }
        }
        ensure!(memory(&station)? < before + GROWTH, "{before} KiB became {}", memory(&station)?);
        station.describe()?;
        Ok(())
    })
}

/// Lets alice loose, and looks at how the daemon fares meanwhile and afterwards.
fn abused(abuse: &[&str], bus: Bus) -> Result<()> {
    booted_story(|dir| {
        let station = prepared(dir, bus)?;
        let (pid, before) = (station.pid()?, memory(&station)?);
        let line = [&["/usr/local/bin/unruly"], abuse].concat();
        let mut unruly =
            station.machine.command(&line).user("alice").limit(Duration::from_secs(100)).start()?;
        // A flood says so at its end, a deaf one as soon as it goes no further.
        let mut output = BufReader::new(unruly.stdout.take().context("it is piped")?);
        let done = std::thread::spawn(move || {
            let mut line = String::new();
            output.read_line(&mut line).map(|_| line)
        });
        let (mut slowest, mut asked) = (Duration::ZERO, 0);
        while !done.is_finished() {
            let start = Instant::now();
            station.describe()?;
            slowest = slowest.max(start.elapsed());
            asked += 1;
        }
        let said = done.join().ok().context("the reader panicked")??;
        ensure!(!said.is_empty(), "it failed: {:?}", unruly.wait_with_output()?);
        let start = Instant::now();
        station.describe()?;
        slowest = slowest.max(start.elapsed());
        let after = memory(&station)?;
        println!("{abuse:?}: {said} asked {asked} times, slowest {slowest:?}; {before} -> {after} KiB");
        ensure!(slowest < PATIENCE, "somebody else waited {slowest:?}");
        ensure!(after < before + GROWTH, "{before} KiB became {after}");
        ensure!(station.pid()? == pid && station.property("NRestarts")? == "0");
        Ok(())
    })
}

fn prepared(dir: &Path, bus: Bus) -> Result<Station> {
    let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, bus)?;
    station.machine.push(Path::new(env!("CARGO_BIN_EXE_meshnet-unruly")), "/usr/local/bin/unruly")?;
    station.start()?;
    // What is made when first asked is there.
    station.describe()?;
    Ok(station)
}

/// The most memory that the daemon has held so far, in KiB.
fn memory(station: &Station) -> Result<u64> {
    let status = station.machine.shell(&format!("grep VmHWM /proc/{}/status", station.pid()?))?;
    let number = status.split_whitespace().nth(1).context("VmHWM: NUMBER kB")?;
    Ok(number.parse()?)
}
