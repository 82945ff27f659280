//! What every test here does first and last: see that this machine allows it, have a directory, show what the programs
//! said if it fails.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, unshare};

use crate::machine;
use crate::process::show_logs;

/// Runs a test that may share the machine with others of its kind.
///
/// Where neither root nor a user namespace is at hand the story is skipped, and says so; with `CI` set it fails instead.
///
/// # Errors
/// Whatever `tell` fails with.
pub fn story(tell: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    run("stories", can_make_namespaces, tell)
}

/// Runs a test that boots machines (see [`crate::machine`]), which takes root: anybody else skips it, as above.
///
/// # Errors
/// Whatever `tell` fails with.
pub fn booted_story(tell: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    run("service", machine::can_boot, tell)
}

/// Runs a story in a directory of its own below `place`, if `possible`.
fn run(place: &str, possible: fn() -> Result<()>, tell: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("main").replace("::", ".");
    if let Err(error) = possible() {
        if std::env::var_os("CI").is_some() {
            bail!("{name} would be skipped, and in CI nothing is: {error:#}");
        }
        eprintln!("SKIPPED {name}: {error:#}; `cargo xtask test` as root runs it");
        return Ok(());
    }
    let dir = tempfile::Builder::new().prefix(&format!("{name}.")).tempdir_in(base(place)?)?;
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tell(dir.path())));
    match told {
        Ok(Ok(())) => Ok(()),
        failed => {
            show_logs(dir.path());
            let kept = dir.keep();
            eprintln!("---- kept: {}", kept.display());
            failed.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        }
    }
}

/// Returns a directory below `target/system`, which it makes.
///
/// # Errors
/// If it cannot be made.
pub fn base(name: &str) -> Result<PathBuf> {
    let dir = workspace().join("target/system").join(name);
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    Ok(dir)
}

/// Returns the workspace's root.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate is two folders below the root")
}

/// Returns whether this process may make namespaces.
///
/// # Errors
/// If it may not, with the reason.
pub fn can_make_namespaces() -> Result<()> {
    static ANSWER: OnceLock<nix::Result<()>> = OnceLock::new();
    ANSWER
        .get_or_init(|| {
            std::thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS))
                .join()
                .unwrap_or(Err(nix::Error::EPERM))
        })
        .context("needs root or a user namespace")
}
