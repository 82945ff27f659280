//! The files of WireGuard's that `meshctl` writes, given to `wg-quick` and to a stock peer; and one that it reads, given to our
//! daemon.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::pairing::Pairing;
use meshnet_system::pairing::Who::{self, Ours};
use meshnet_system::ping::{self, Ping};
use meshnet_system::programs::program;
use meshnet_system::stock::{self, Stock, StockMake};
use meshnet_system::story;
use nix::sys::signal::Signal;

use super::CONTACT;

#[test]
fn a_stock_peer_takes_the_place_of_ours_by_the_file_that_export_writes() -> Result<()> {
    story(|dir| {
        let mut pairing = Pairing::start([Ours, Ours], true, dir)?;
        let Pairing { west, east, .. } = &mut pairing;
        west.reach(east, CONTACT)?;
        let file = dir.join("export0.conf");
        meshctl(dir, &["--network=west", "wg", "export", "--output", &file.display().to_string()])?;
        west.daemon()?.stop()?;

        let _stock = Stock::start_file(StockMake::WireguardGo, "heir", &west.namespace, &file, dir)?;
        west.reach(east, CONTACT)?;
        both_ways(&pairing)
    })
}

#[test]
fn a_stock_peer_joins_by_the_file_that_is_made_for_a_phone() -> Result<()> {
    story(|dir| {
        let mut pairing = Pairing::new([Ours, Ours], false, dir)?;
        let Pairing { west, east, .. } = &mut pairing;
        west.start()?;
        let file = dir.join("phone0.conf");
        let endpoint = format!("--endpoint={}", west.at()?);
        let phone = ["--network=west", "wg", "phone", "anna", "--psk", &endpoint, "--output"];
        meshctl(dir, &[&phone[..], &[&file.display().to_string()]].concat())?;
        // There is no bus here: the daemon does not run as a service that could be told.
        west.daemon()?.process()?.signal(Signal::SIGHUP)?;

        let _stock = Stock::start_file(StockMake::WireguardGo, "anna", &east.namespace, &file, dir)?;
        ping::until_answered(&east.namespace, west.inside, CONTACT)?;
        let pinged = Ping { count: 3, ..Ping::default() }.run(&east.namespace, west.inside)?;
        ensure!(pinged.round_trips.len() == 3, "{}", pinged.output);
        let shown = stock::show_only(&east.namespace)?;
        ensure!(shown.public_key == west.key().to_string() && shown.latest_handshake > 0, "{shown:?}");
        Ok(())
    })
}

#[test]
fn ours_joins_a_stock_peer_by_the_file_that_import_makes_of_one_of_wg_quick() -> Result<()> {
    story(|dir| {
        let mut pairing = Pairing::new([Ours, Who::Stock(StockMake::WireguardGo)], true, dir)?;
        let Pairing { west, east, .. } = &mut pairing;
        east.start()?;
        let (file, etc) = (dir.join("office.conf"), dir.join("etc"));
        west.write_quick(&file)?;
        meshctl(&etc, &["wg", "import", &file.display().to_string()])?;

        west.start_by(&etc.join("office.conf"))?;
        west.reach(east, CONTACT)?;
        west.ping(east, Ping { count: 3, ..Ping::default() })?;
        east.ping(west, Ping { count: 3, ..Ping::default() })?;
        let shown = stock::show_only(&east.namespace)?;
        ensure!(shown.public_key == west.key().to_string() && shown.latest_handshake > 0, "{shown:?}");
        Ok(())
    })
}

fn both_ways(pairing: &Pairing) -> Result<()> {
    let Pairing { west, east, .. } = pairing;
    west.ping(east, Ping { count: 3, ..Ping::default() })?;
    east.ping(west, Ping { count: 3, ..Ping::default() })?;
    let shown = stock::show_only(&west.namespace)?;
    ensure!(shown.public_key == east.key().to_string() && shown.latest_handshake > 0, "{shown:?}");
    Ok(())
}

/// Runs `meshctl` on the configurations in `dir`, without a bus.
fn meshctl(dir: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program("meshctl")?)
        .args(arguments)
        .arg("--config-dir")
        .arg(dir)
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus")
        .output()
        .context("running meshctl")?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
