//! The daemon goes and comes back, by order or by accident: interface, addresses, routes and TCP connections stay.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::booted_story;
use meshnet_system::flow::{self, Background};
use meshnet_system::halt::stop_main_thread;
use meshnet_system::machine::Bus;
use meshnet_system::wait::wait_for;

use super::ground::{Pair, Station, UNIT};

/// How soon a network has to be back.
const BACK: Duration = Duration::from_secs(60);

#[test]
fn a_tcp_connection_outlives_a_restart_of_the_service() -> Result<()> {
    undisturbed_by(|station| {
        station.machine.run(&["systemctl", "restart", UNIT])?;
        ensure!(station.property("NRestarts")? == "0", "it ended in good order");
        Ok(())
    })
}

#[test]
fn a_tcp_connection_outlives_the_sudden_death_of_the_daemon() -> Result<()> {
    undisturbed_by(|station| {
        let before = station.pid()?;
        station.machine.run(&["systemctl", "kill", "--signal=SIGKILL", UNIT])?;
        back(station, before)
    })
}

#[test]
fn a_daemon_whose_core_loop_stops_is_killed_by_the_watchdog_and_comes_back() -> Result<()> {
    undisturbed_by(|station| {
        let before = station.pid()?;
        // Its other threads run on: none of them may speak for the loop.
        stop_main_thread(station.machine.pid_here(before)?)?;
        back(station, before)?;
        ensure!(station.machine.journal(UNIT)?.contains("Watchdog timeout"), "it was the watchdog");
        Ok(())
    })
}

#[test]
fn a_stopped_service_takes_its_interface_down_and_a_second_daemon_is_refused() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        station.start()?;
        // Its state is locked: another one would use the same counters.
        let second = station.machine.exec(
            "meshnet",
            &[
                "env",
                "STATE_DIRECTORY=/var/lib/meshnet/mesh0",
                "/usr/libexec/meshnetd",
                "--instance",
                "mesh0",
            ],
        )?;
        ensure!(!second.status.success());
        station.machine.run(&["systemctl", "stop", UNIT])?;
        ensure!(station.interface().is_err(), "the interface went with the service");
        ensure!(station.property("Result")? == "success");
        Ok(())
    })
}

/// Disturbs west while a transfer to east is under way: every byte arrives, and the kernel never saw the interface go.
fn undisturbed_by(disturb: impl FnOnce(&Station) -> Result<()>) -> Result<()> {
    const LEN: usize = 16_000;
    booted_story(|dir| {
        let pair = Pair::start(dir)?;
        let [from, to] = pair.networks()?;
        // Nothing that we set: what an administrator adds by hand stays too.
        pair.west.machine.run(&["ip", "route", "add", "10.99.0.0/24", "dev", "mesh0"])?;
        let before = pair.west.interface()?;
        let at = format!("{}:4000", pair.east.address()).parse()?;
        let transfer = Background::start(&from, &to, at, flow::noise(LEN, 1), Duration::from_secs(240))?;
        wait_for("the first bytes", Duration::from_secs(90), || {
            Ok((transfer.received() >= 2_000).then_some(()))
        })?;
        disturb(&pair.west)?;
        ensure!(transfer.received() < LEN, "it was disturbed in the middle");
        transfer.finish()?;
        let after = pair.west.interface()?;
        ensure!(before == after, "{before:?} became {after:?}");
        ensure!(pair.west.describe()?["state"] == "running");
        Ok(())
    })
}

/// Waits until another daemon than `before` has said that it is ready.
fn back(station: &Station, before: u32) -> Result<()> {
    wait_for("another daemon, ready", BACK, || {
        let state = station.property("ActiveState")?;
        let pid: u32 = station.property("MainPID")?.parse()?;
        Ok((state == "active" && pid != 0 && pid != before).then_some(()))
    })?;
    let restarts: u32 = station.property("NRestarts")?.parse().context("a number")?;
    ensure!(restarts == 1, "{restarts} restarts");
    Ok(())
}
