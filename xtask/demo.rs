//! `cargo xtask demo`: the whole thing on one machine, without hardware, in a minute.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use meshnet_system::cable::Cable;
use meshnet_system::lab::{Lab, Site};
use meshnet_system::paced::Paced;
use meshnet_system::ping::Ping;
use meshnet_system::programs;
use meshnet_system::radiosim::{AirSpec, Spent};
use meshnet_system::wait::wait_for;
use serde_json::Value;

use crate::{need, say};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The radios' modem preset
    #[arg(long, value_name = "NAME", default_value = "SHORT_FAST")]
    preset: String,

    /// How many pings
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    count: u32,
}

/// Bytes per second of the TCP connection that goes on through all of it: little beside what a radio carries.
const PACE: u64 = 40;
const ADDRESSES: [&str; 2] = ["192.0.2.1/24", "192.0.2.2/24"];
/// How long the two may take to change over.
const LIMIT: Duration = Duration::from_secs(60);

/// Shows it.
///
/// # Errors
/// If something does not work.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    need::namespaces()?;
    need::tools(&[&need::IP, &need::PING])?;
    say::step("Building meshnetd and the radio simulator");
    programs::build(false, false)?;

    let dir = tempfile::Builder::new().prefix("meshnet-demo-").tempdir()?;
    let shown = show(arguments, dir.path());
    if shown.is_err() && meshnet_system::interrupt::check().is_ok() {
        meshnet_system::process::show_logs(dir.path());
    }
    say::step("Cleaning up: daemons, radios, namespaces and files are gone");
    drop(dir);
    let bytes = shown?;
    say::verdict(
        true,
        &format!(
            "one TCP connection went from radio to Wi-Fi and back, and its {bytes} bytes arrived unchanged"
        ),
    );
    Ok(ExitCode::SUCCESS)
}

fn show(arguments: &Arguments, dir: &Path) -> Result<u64> {
    let air = AirSpec { preset: arguments.preset.clone(), ..AirSpec::default() };
    say::step(&format!(
        "Two network namespaces, each with a simulated radio ({}) and a meshnetd; the first packet starts a handshake",
        arguments.preset
    ));
    let mut lab = Lab::by_radio_yet(air, dir)?;
    let before = lab.sim.spent()?;
    ping(&lab, arguments.count)?;
    let spent = lab.sim.spent()? - before;
    println!();
    say::table(&on_air(arguments.count, spent, lab.sim.spent()?));
    println!();

    say::step("A TCP connection over the radio, which goes on from here to the end");
    let connection = Paced::start(&lab.west.namespace, &lab.east.namespace, lab.east.at(4002), PACE, LIMIT)?;
    wait_for("bytes by radio", LIMIT, || Ok((connection.received() > 2 * PACE).then_some(())))?;
    let mut rows = vec![["", "path", "why", "session", "bytes by TCP"].map(str::to_owned).to_vec()];
    rows.push(row("by radio", &mut lab.west, &connection)?);

    say::step("Wi-Fi appears between the two: they tell each other their addresses by radio, and move");
    let wifi =
        Cable::join("wifi0", [(&lab.west.namespace, ADDRESSES[0]), (&lab.east.namespace, ADDRESSES[1])])?;
    until_it_is(&mut lab.west, "direct")?;
    ping(&lab, arguments.count)?;
    rows.push(row("Wi-Fi is there", &mut lab.west, &connection)?);

    say::step("Wi-Fi goes");
    wifi.pull(&lab.west.namespace)?;
    until_it_is(&mut lab.west, "radio")?;
    ping(&lab, arguments.count)?;
    rows.push(row("Wi-Fi is gone", &mut lab.west, &connection)?);
    println!();
    say::table(&rows);
    println!();
    connection.finish(LIMIT)
}

fn ping(lab: &Lab, count: u32) -> Result<()> {
    let ping = Ping { count, limit: Duration::from_secs(30), ..Ping::default() };
    let pinged = ping.run(&lab.west.namespace, lab.east.address)?;
    pinged.output.lines().filter(|line| !line.is_empty()).for_each(say::note);
    Ok(())
}

fn until_it_is(site: &mut Site, tier: &str) -> Result<()> {
    wait_for(&format!("the peer to be {tier}"), LIMIT, || {
        Ok((site.daemon.status()?["peers"][0]["tier"] == tier).then_some(()))
    })
}

/// Asks a daemon for its status, and shows what matters here.
fn row(moment: &str, site: &mut Site, connection: &Paced) -> Result<Vec<String>> {
    let status = site.daemon.status()?;
    let peer = &status["peers"][0];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let age = peer["last_handshake_seconds"].as_f64().context("there is no session")?;
    Ok(vec![
        moment.to_owned(),
        format!("{} through {}", text(&peer["endpoint"]), text(&peer["link"])),
        text(&peer["path_reason"]),
        format!("{age:.0} s old"),
        connection.received().to_string(),
    ])
}

fn on_air(pings: u32, spent: Spent, all: Spent) -> Vec<Vec<String>> {
    let row = |what: &str, spent: Spent| {
        let airtime = spent.airtime.as_millis().to_string();
        vec![what.to_owned(), spent.frames.to_string(), spent.bytes.to_string(), airtime]
    };
    vec![
        ["on the air, by the radios' ledger", "frames", "bytes", "ms"].map(str::to_owned).to_vec(),
        row(&format!("{pings} pings and their replies"), spent),
        row("everything, the handshake included", all),
    ]
}
