//! `cargo xtask doc`: what is installed for people and shells to read.
//!
//! Commands' manual pages and completions come from the same command line descriptions that parse and that make `--help`,
//! those of files from the documents under `docs`, that of the D-Bus interface from its XML.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

pub(crate) mod bus;
#[cfg(test)]
mod claims;
mod commands;
mod completions;
mod files;

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
    let manuals = arguments.out.join("man");
    std::fs::create_dir_all(&manuals).with_context(|| format!("cannot make {}", manuals.display()))?;
    bus::write(&arguments.out)?;
    commands::write(&manuals)?;
    files::write(&manuals)?;
    completions::write(&arguments.out.join("completions"))?;
    Ok(ExitCode::SUCCESS)
}

/// A text as roff takes it: nothing in it is a request or an escape.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let lines = text.lines().map(|line| match line.chars().next() {
        Some('.' | '\'') => format!("\\&{line}"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
