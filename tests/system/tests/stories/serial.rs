//! A radio on a serial port, here a pty: the same traffic, and unplugging it is a pause.

use std::time::Duration;

use anyhow::Result;
use meshnet_system::daemon::Make::Ours;
use meshnet_system::lab::{Lab, Spec};
use meshnet_system::ping::Ping;
use meshnet_system::story;

#[test]
fn a_radio_on_a_serial_port_carries_traffic_and_survives_being_unplugged() -> Result<()> {
    story(|dir| {
        let mut spec = Spec { serial: true, ..Spec::new(Ours, Ours) };
        // What a real port says between the frames.
        spec.air.more.push("--debug-log".into());
        let mut lab = Lab::start(&spec, dir)?;
        lab.west.reach(&lab.east, Duration::from_secs(30))?;
        lab.ping(&lab.west, &lab.east, Ping { count: 3, ..Ping::default() })?;
        lab.west.send(&lab.east, 1500, Duration::from_secs(60))?;

        let daemon = lab.west.daemon.process()?;
        lab.sim.order_radio("unplug", lab.west.node)?;
        daemon.wait_for_line("lost the radio", Duration::from_secs(30))?;
        lab.sim.order_radio("plug", lab.west.node)?;
        daemon.wait_for_line("the radio is up", Duration::from_secs(60))?;
        lab.east.reach(&lab.west, Duration::from_secs(30))?;
        lab.ping(&lab.west, &lab.east, Ping { count: 3, ..Ping::default() })?;
        Ok(())
    })
}
