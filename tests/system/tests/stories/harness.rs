//! The lab itself, shown on the reference at both ends: what fails here is no fault of ours.

use std::time::Duration;

use anyhow::{Result, ensure};
use meshnet_system::daemon::Make;
use meshnet_system::lab::{Lab, Spec};
use meshnet_system::ping::Ping;
use meshnet_system::story;

#[test]
fn two_references_ping_each_other_and_the_ledger_shows_it() -> Result<()> {
    story(|dir| {
        let lab = Lab::start(&Spec::new(Make::Reference, Make::Reference), dir)?;
        lab.west.reach(&lab.east, Duration::from_secs(30))?;
        let before = lab.sim.spent()?;
        lab.west.ping(&lab.east, Ping { count: 3, ..Ping::default() })?;
        let spent = lab.sim.spent()? - before;
        // 56 data bytes make 158 on the air, each way.
        ensure!(spent.bytes >= 3 * 2 * 158, "{spent:?}");
        let frames = lab.sim.transmissions()?;
        ensure!(
            frames.iter().any(|frame| frame.port == 256 && frame.payload == 53),
            "a HandshakeInit has 53 bytes"
        );
        ensure!(
            frames.iter().any(|frame| frame.payload == 123 && frame.bytes == 158),
            "an echo request has 158 on air"
        );
        Ok(())
    })
}
