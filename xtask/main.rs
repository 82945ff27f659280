//! `cargo xtask`: everything that one does with this project besides writing it.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod deb;
mod demo;
mod doc;
mod interfaces;
mod licences;
mod need;
mod say;
mod test;

/// Shows, tests and measures meshnet.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Two network namespaces, two simulated radios, two daemons: pings across and shows what it cost
    Demo(demo::Arguments),
    /// Runs every test
    Test(test::Arguments),
    /// Measures what jobs cost on the air, ours beside the Python tool, and UDP beside other VPNs; writes BENCHMARKS.md
    Bench(bench::Arguments),
    /// Builds the Debian packages
    Deb(deb::Arguments),
    /// Writes manual pages
    Doc(doc::Arguments),
    /// Writes the D-Bus interface XML in dist/dbus
    Interfaces(interfaces::Arguments),
    /// Writes whose libraries are in our programs, and their licences
    Licences(licences::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = watch_for_ctrl_c().and_then(|()| match &arguments.command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Deb(arguments) => deb::run(arguments),
        Command::Doc(arguments) => doc::run(arguments),
        Command::Interfaces(arguments) => interfaces::run(arguments),
        Command::Licences(arguments) => licences::run(arguments),
    });
    match done {
        Ok(code) => code,
        Err(_) if meshnet_system::interrupt::check().is_err() => {
            say::verdict(false, "interrupted; nothing is left behind");
            ExitCode::FAILURE
        }
        Err(error) => {
            say::verdict(false, &format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Lets the first Ctrl-C end whatever waits, so that everything started is taken down; a second one kills.
fn watch_for_ctrl_c() -> anyhow::Result<()> {
    let flag = meshnet_system::interrupt::flag();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(())
}
