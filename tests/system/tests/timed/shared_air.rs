//! Somebody works in a terminal while a long transfer fills the air: the terminal stays quick.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::daemon::Make::Ours;
use meshnet_system::lab::{Lab, Spec};
use meshnet_system::ping::Ping;
use meshnet_system::{story, wait};

/// How much slower than on an idle air a small packet may get: it waits for the frame on the air, and for the three at
/// most that the radio has taken already, each with its wait for a free channel.
const SLOWER: u32 = 6;

#[test]
fn a_small_packet_overtakes_a_long_transfer() -> Result<()> {
    story(|dir| {
        let lab = Lab::start(&Spec::new(Ours, Ours), dir)?;
        lab.west.reach(&lab.east, Duration::from_secs(30))?;
        let ping = Ping { count: 10, interval: Duration::from_millis(700), size: 16, ..Ping::default() };
        let idle = lab.ping(&lab.west, &lab.east, ping)?.median().context("no reply")?;

        let transfer = lab.west.transfer_to(&lab.east, 60_000, Duration::from_secs(300))?;
        wait::wait_for("the transfer to run", Duration::from_secs(30), || {
            Ok((transfer.received() > 2_000).then_some(()))
        })?;
        let before = transfer.received();
        // Two radios that start in the same slot collide, and nothing repeats a ping: one may be missing where the ledger
        // accounts for it. How many is chance.
        let pinged = lab.ping(&lab.west, &lab.east, Ping { count: 30, ..ping })?;
        let answered = pinged.round_trips.len();
        let busy = pinged.median().context("no reply")?;
        let meanwhile = transfer.received() - before;
        drop(transfer);

        ensure!(answered >= 14, "only {answered} of 30 pings were answered beside the transfer");
        ensure!(meanwhile > 4_000, "the transfer stood still: {meanwhile} bytes in 14 s");
        ensure!(busy < idle * SLOWER, "a ping takes {busy:?} beside the transfer, {idle:?} alone");
        Ok(())
    })
}
