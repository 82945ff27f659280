//! `cargo xtask doc`: what is installed for people to read.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

pub(crate) mod bus;

/// Writes manual pages.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder to write to; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes them.
///
/// # Errors
/// If a source cannot be read or a page not be written.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    bus::write(&arguments.out)?;
    Ok(ExitCode::SUCCESS)
}
