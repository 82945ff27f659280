//! A host that was suspended believes nothing of what it knew before: it says so before it takes anything else, and its keys
//! are renewed, for its peer has aged meanwhile.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::clocks::Clocks;
use meshnet_system::daemon::Daemon;
use meshnet_system::pairing::Pairing;
use meshnet_system::pairing::Who::Ours;
use meshnet_system::story;
use meshnet_system::wait::{let_pass, wait_for};

/// How soon two reach each other.
const CONTACT: Duration = Duration::from_secs(15);
/// How old the keys are before the sleep, at least: what is a second old is not new.
const AGE: Duration = Duration::from_secs(4);

#[test]
fn a_host_that_was_suspended_says_so_before_it_takes_a_packet_and_renews_its_keys() -> Result<()> {
    story(|dir| {
        let mut clocks = Clocks::new(dir)?;
        let Pairing { mut west, mut east, cable: _cable } = Pairing::new([Ours, Ours], false, dir)?;
        west.environment = clocks.environment();
        west.arguments = ["--log", "trace"].map(String::from).into();
        east.start()?;
        west.start()?;
        west.reach(&east, CONTACT)?;
        let_pass(AGE)?;
        let age = last_handshake(west.daemon()?)?;
        ensure!(age >= AGE, "keys are {age:?} old, without a sleep");

        let awake = west.process()?.output()?.len();
        clocks.sleep(Duration::from_secs(3600))?;
        west.reach(&east, CONTACT)?;
        let said = west.process()?.output()?.split_off(awake);
        let slept = said.find("the host was suspended").context("it did not notice")?;
        let packet = said.find("frame from the kernel").context("no ping")?;
        ensure!(slept < packet, "a packet was taken before: {said}");
        ensure!(said.matches("the host was suspended").count() == 1, "told more than once: {said}");
        wait_for("new keys", CONTACT, || Ok((last_handshake(west.daemon()?)? < AGE).then_some(())))
    })
}

/// How long ago a daemon's keys were made.
fn last_handshake(daemon: &mut Daemon) -> Result<Duration> {
    let age = daemon.status()?["peers"][0]["last_handshake_seconds"].as_f64().context("no handshake yet")?;
    Ok(Duration::from_secs_f64(age))
}
