//! IPv6 inside the tunnel, by radio: as IPv4 goes, and without a word on the air that nobody asked for.

use std::time::Duration;

use anyhow::{Result, ensure};
use meshnet_system::daemon::Make::Ours;
use meshnet_system::lab::{Lab, Security, Spec};
use meshnet_system::ping::Ping;
use meshnet_system::story;

/// Payloads of the handshake: west's, east's.
const HANDSHAKE: [usize; 2] = [54, 49];
/// Payload of a ping of 56 bytes, and of its reply: one more than by IPv4.
const PING: usize = 83;
const INSIDE: [&str; 2] = ["fd42::1", "fd42::2"];

#[test]
fn a_ping_by_ipv6_takes_83_bytes_and_nothing_that_nobody_asked_for_is_on_the_air() -> Result<()> {
    story(|dir| {
        // The least that IPv6 takes.
        let spec = Spec { mtu: 1280, ..Spec::new(Ours, Ours).security(Security::WireGuard) };
        let mut lab = Lab::new(&spec, dir)?;
        for (me, site) in [&mut lab.west, &mut lab.east].into_iter().enumerate() {
            site.address = INSIDE[me];
            let config = site.daemon.config_mut();
            config.address = format!("{}/64", INSIDE[me]);
            config.peers[0].allowed_ips = format!("{}/128", INSIDE[1 - me]);
            site.start()?;
        }
        lab.west.reach(&lab.east, Duration::from_secs(30))?;
        lab.ping(&lab.west, &lab.east, Ping { count: 3, ..Ping::default() })?;
        let sent = lab.sim.transmissions()?;
        let payloads = sent.iter().filter(|frame| frame.kind == "data").map(|frame| frame.payload);
        let others: Vec<usize> =
            payloads.filter(|payload| *payload != PING && !HANDSHAKE.contains(payload)).collect();
        ensure!(others.is_empty(), "who said that? {others:?}");

        // As long as the tunnel carries, and TCP.
        lab.ping(&lab.east, &lab.west, Ping { count: 1, size: 1232, ..Ping::default() })?;
        lab.west.send(&lab.east, 2_000, Duration::from_secs(60))?;
        Ok(())
    })
}
