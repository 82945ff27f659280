//! A packet that no radio carries whole goes in pieces, cut so that both the radio and the reference take them.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use meshnet_system::daemon::Make::{Ours, Reference};
use meshnet_system::flow::noise;
use meshnet_system::lab::{Lab, Site, Spec};
use meshnet_system::ping::Ping;
use meshnet_system::story;

#[test]
fn packets_of_600_bytes_pass_between_ours_both_ways() -> Result<()> {
    story(|dir| {
        let lab = Lab::start(&Spec { mtu: 600, ..Spec::new(Ours, Ours) }, dir)?;
        lab.west.reach(&lab.east, Duration::from_secs(30))?;
        // 572 bytes of data fill the MTU.
        lab.ping(&lab.west, &lab.east, Ping { count: 3, size: 572, ..Ping::default() })?;
        lab.west.send(&lab.east, 5000, Duration::from_secs(120))?;
        lab.east.send(&lab.west, 5000, Duration::from_secs(120))?;
        Ok(())
    })
}

/// Not back: the reference cuts at 233 bytes, and its own radio refuses that.
#[test]
fn the_reference_puts_together_what_ours_cut() -> Result<()> {
    story(|dir| {
        let lab = Lab::start(&Spec { mtu: 600, ..Spec::new(Ours, Reference) }, dir)?;
        lab.west.reach(&lab.east, Duration::from_secs(30))?;
        for len in [180, 200, 205, 400, 571, 572] {
            deliver(&lab.west, &lab.east, len)?;
        }
        let sent = lab.sim.transmissions()?;
        let longest = sent.iter().filter(|frame| frame.kind == "data").map(|frame| frame.payload).max();
        ensure!(longest == Some(219), "a full piece fills the radio's payload: {longest:?}");
        Ok(())
    })
}

/// Sends one UDP datagram of `len` bytes until it arrives, and checks it.
fn deliver(from: &Site, to: &Site, len: usize) -> Result<()> {
    let bytes = noise(len, len as u64);
    let receiver = to.namespace.run(|| Ok(UdpSocket::bind(to.at(5000))?))?;
    receiver.set_read_timeout(Some(Duration::from_secs(10)))?;
    let sender = from.namespace.run(|| Ok(UdpSocket::bind(from.at(0))?))?;
    let mut buffer = [0; 2048];
    for _ in 0..3 {
        sender.send_to(&bytes, to.at(5000)).with_context(|| format!("sending {len} bytes"))?;
        match receiver.recv(&mut buffer) {
            Ok(read) => {
                ensure!(buffer[..read] == bytes, "{len} bytes arrived changed");
                return Ok(());
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("{len} bytes did not arrive")
}
