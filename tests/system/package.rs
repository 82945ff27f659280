//! The Debian packages, built when first asked for.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::programs::cargo;
use crate::story::workspace;

/// Names a directory with the packages already built: set by whoever built them.
pub const DIR_VARIABLE: &str = "MESHNET_PACKAGES";

/// Returns the path of one of our packages (`meshnet`, `meshnet-radiosim`).
///
/// # Errors
/// If they do not build.
pub fn package(name: &str) -> Result<PathBuf> {
    static DIR: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let dir = DIR
        .get_or_init(|| match std::env::var_os(DIR_VARIABLE) {
            Some(dir) => Ok(workspace().join(dir)),
            None => build().map_err(|error| format!("{error:#}")),
        })
        .as_ref()
        .map_err(|error| anyhow!("{error}"))?;
    find(dir, name)
}

/// Makes a package like `original` that dpkg takes for an earlier version: what was installed before it.
///
/// # Errors
/// If it cannot be taken apart or put together.
pub fn earlier(original: &Path, dir: &Path) -> Result<PathBuf> {
    let tree = dir.join("earlier");
    run(Command::new("dpkg-deb").arg("--raw-extract").arg(original).arg(&tree))?;
    let control = tree.join("DEBIAN/control");
    let text = std::fs::read_to_string(&control)?;
    let (before, rest) = text.split_once("\nVersion: ").context("a package has a version")?;
    let (version, after) = rest.split_once('\n').context("a field is a line")?;
    // In a version nothing is less than a tilde, not even its end.
    std::fs::write(&control, format!("{before}\nVersion: {version}~earlier\n{after}"))?;
    let made = dir.join("meshnet_earlier.deb");
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "-Zgzip", "-z1", "--build"])
        .arg(&tree)
        .arg(&made))?;
    Ok(made)
}

fn build() -> Result<PathBuf> {
    let dir = workspace().join("target/deb");
    let mut command = Command::new(cargo());
    command.current_dir(workspace()).args(["xtask", "deb", "--out"]).arg(&dir);
    run(&mut command)?;
    Ok(dir)
}

/// Finds `NAME_VERSION_ARCHITECTURE.deb`, of several the one made last.
fn find(dir: &Path, name: &str) -> Result<PathBuf> {
    let prefix = format!("{name}_");
    std::fs::read_dir(dir)
        .with_context(|| dir.display().to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&prefix)))
        .max_by_key(|path| path.metadata().and_then(|data| data.modified()).ok())
        .with_context(|| format!("no package {name} in {}", dir.display()))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("running {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
