//! `cargo xtask interfaces`: the interface XML in dist/dbus, from what the daemon's objects say of themselves.
//!
//! The test that compares both also writes the files, when told to: so there is one way to come by the text.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use meshnet_system::{programs, workspace};

use crate::say;

/// Tells the test to write what it would compare with.
const WRITE: &str = "MESHNET_WRITE_INTERFACES";

/// Writes the interface XML.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Write nothing; fail if code and files differ
    #[arg(long)]
    check: bool,
}

/// Writes the files, or compares them.
///
/// # Errors
/// If Cargo cannot be run; files that differ make the exit code.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut test = Command::new(programs::cargo());
    test.args(["test", "--quiet", "--package", "meshnetd", "--test", "interfaces"]).current_dir(workspace());
    if !arguments.check {
        test.env(WRITE, "1");
    }
    let good = test.status().context("cannot run cargo")?.success();
    let verdict = match (good, arguments.check) {
        (true, true) => "dist/dbus is what the code says",
        (true, false) => "dist/dbus is written",
        (false, _) => "dist/dbus is not what the code says, or unsound (see above)",
    };
    say::verdict(good, verdict);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
