//! `cargo xtask demo`: the whole thing on one machine, without hardware, in half a minute.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use meshnet_system::daemon::Make;
use meshnet_system::lab::{Lab, Site, Spec};
use meshnet_system::ping::Ping;
use meshnet_system::programs;
use meshnet_system::radiosim::{AirSpec, Spent};
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
    let pings = shown?;
    say::verdict(true, &format!("{pings} of {pings} pings went from west to east over two simulated radios"));
    Ok(ExitCode::SUCCESS)
}

fn show(arguments: &Arguments, dir: &std::path::Path) -> Result<u32> {
    let mut spec = Spec::new(Make::Ours, Make::Ours);
    spec.air = AirSpec { preset: arguments.preset.clone(), ..AirSpec::default() };
    say::step(&format!(
        "Two network namespaces, each with a simulated radio ({}) and a meshnetd",
        arguments.preset
    ));
    let mut lab = Lab::start(&spec, dir)?;
    say::step("Waiting for both radios, and for the handshake that the first packet starts");
    lab.west.reach(&lab.east, Duration::from_secs(120))?;

    let ping = Ping { count: arguments.count, limit: Duration::from_secs(30), ..Ping::default() };
    say::step(&format!("Pinging {} from {}", lab.east.address, lab.west.address));
    let before = lab.sim.spent()?;
    let pinged = lab.ping(&lab.west, &lab.east, ping)?;
    let spent = lab.sim.spent()? - before;
    pinged.output.lines().filter(|line| !line.is_empty()).for_each(say::note);

    println!();
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    rows.push(row("west", &mut lab.west)?);
    rows.push(row("east", &mut lab.east)?);
    say::table(&rows);
    println!();
    say::table(&air(arguments.count, spent, lab.sim.spent()?));
    Ok(arguments.count)
}

const HEAD: [&str; 9] =
    ["site", "address", "radio", "link", "peer", "sent packets", "received", "airtime ms", "drops"];

/// Asks a daemon for its status, and shows what matters here.
fn row(name: &str, site: &mut Site) -> Result<Vec<String>> {
    let status = site.daemon.status().with_context(|| format!("the status of {name}"))?;
    let peer = &status["peers"][0];
    let drops: u64 =
        status["drops"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    Ok(vec![
        name.to_owned(),
        site.address.to_owned(),
        format!("!{:08x}", site.node),
        text(&status["links"][0]["state"]),
        text(&peer["state"]),
        text(&peer["sent"]["packets"]),
        text(&peer["received"]["packets"]),
        text(&peer["sent"]["airtime_ms"]),
        drops.to_string(),
    ])
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn air(pings: u32, spent: Spent, all: Spent) -> Vec<Vec<String>> {
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
