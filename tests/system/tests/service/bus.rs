//! The system bus and the network: either goes on without the other, and they find each other again.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::booted_story;
use meshnet_system::machine::Bus;
use meshnet_system::ping::Ping;
use meshnet_system::wait::wait_for;

use super::ground::{Pair, Station, UNIT};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_bus_that_restarts_finds_the_network_as_it_was() -> Result<()> {
    booted_story(|dir| {
        let pair = Pair::start(dir)?;
        let west = &pair.west;
        let (pid, peers) = (west.pid()?, west.describe()?["peers"][0]["public_key"].clone());
        // The two halves: nobody is there to talk to meanwhile, and traffic flows.
        west.machine.run(&["systemctl", "stop", "dbus.socket", "dbus.service"])?;
        let pinged =
            Ping { count: 2, ..Ping::default() }.run(&west.machine.network()?, pair.east.address())?;
        ensure!(!pinged.round_trips.is_empty(), "{}", pinged.output);
        west.machine.run(&["systemctl", "start", "dbus.socket", "dbus.service"])?;
        let described = wait_for("the network on the bus", LIMIT, || Ok(west.describe().ok()))?;
        ensure!(described["peers"][0]["public_key"] == peers && described["state"] == "running");
        ensure!(west.pid()? == pid && west.property("NRestarts")? == "0");
        Ok(())
    })
}

#[test]
fn a_network_that_cannot_have_its_name_does_not_start() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        // The package's policy is what lets it have the name.
        let policy = "/usr/share/dbus-1/system.d/org.meshnet1.conf";
        station.machine.run(&["mv", policy, "/tmp/policy"])?;
        station.machine.run(&["systemctl", "reload", "dbus.service"])?;
        ensure!(station.machine.run(&["systemctl", "start", UNIT]).is_err());
        let journal = station.machine.journal(UNIT)?;
        ensure!(journal.contains("org.meshnet1.mesh0"), "the name is told: {journal}");

        station.machine.run(&["mv", "/tmp/policy", policy])?;
        station.machine.run(&["systemctl", "reload", "dbus.service"])?;
        station.machine.until(&format!("systemctl is-active {UNIT}"), LIMIT).map(drop)
    })
}

#[test]
fn meshctl_status_takes_no_longer_than_thirty_milliseconds() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        station.start()?;
        // The quickest of many: the others tell how busy this machine is.
        let measure = "for i in $(seq 40); do a=$(date +%s%N); meshctl status >/dev/null || exit 1; \
                       b=$(date +%s%N); echo $((b - a)); done | sort -n | head -n1";
        let nanoseconds: u64 =
            station.machine.run(&["bash", "-c", measure])?.trim().parse().context("a number")?;
        let took = Duration::from_nanos(nanoseconds);
        ensure!(took < Duration::from_millis(30), "{took:?}");
        Ok(())
    })
}
