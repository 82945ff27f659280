//! Our own programs, built when first asked for.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};

use crate::story::workspace;

/// Names a directory with the programs already built: set by whoever built them.
pub const DIR_VARIABLE: &str = "MESHNET_PROGRAMS";

static DIR: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();

/// Makes [`program`] find the programs in a directory, unless it has looked for them already.
pub fn use_directory(dir: &Path) {
    let _ = DIR.set(Ok(dir.to_owned()));
}

/// Returns the path of one of our programs (`meshnetd`, `meshctl`, `meshnet-radiosim`).
///
/// # Errors
/// If they do not build.
pub fn program(name: &str) -> Result<PathBuf> {
    match DIR.get_or_init(|| directory().map_err(|error| format!("{error:#}"))) {
        Ok(dir) => Ok(dir.join(name)),
        Err(error) => Err(anyhow::anyhow!("{error}")),
    }
}

fn directory() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os(DIR_VARIABLE) {
        return Ok(dir.into());
    }
    build(false, true)
}

/// Builds our programs, showing the compiler's progress unless `quiet`, and returns the directory that they are in.
///
/// # Errors
/// If they do not build.
pub fn build(release: bool, quiet: bool) -> Result<PathBuf> {
    let mut command = Command::new(cargo());
    command.current_dir(workspace()).args(["build", "--workspace", "--bins"]);
    if release {
        command.arg("--release");
    }
    if quiet {
        let built = command.output().context("running cargo")?;
        ensure!(built.status.success(), "cargo build: {}", String::from_utf8_lossy(&built.stderr));
    } else {
        let built = command.status().context("running cargo")?;
        ensure!(built.success(), "cargo build: {built}");
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    Ok(target.join(if release { "release" } else { "debug" }))
}

/// Returns the Cargo that runs us, or the one in the path.
#[must_use]
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
