//! What the packages must pass: lintian at its most pedantic, and systemd's own opinion of the unit.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::say;

/// The first systemd that knows every setting of the unit.
const KNOWS_THE_UNIT: u32 = 254;

/// Checks the packages that were built from the sources in `source`.
///
/// # Errors
/// If there is something to say about them.
pub(super) fn check(source: &Path, made: &[PathBuf]) -> Result<()> {
    let changes = made.iter().find(|path| path.extension().is_some_and(|extension| extension == "changes"));
    let changes = changes.context("dpkg-buildpackage made no .changes")?;
    let mut lintian = Command::new("lintian");
    lintian
        .args(["--pedantic", "--display-info", "--fail-on=error,warning,info,pedantic", "--allow-root"])
        // It finds words in machine code, others in every build.
        .args(["--suppress-tags", "spelling-error-in-binary"])
        .arg(changes);
    super::succeed(&mut lintian)?;
    analyze(source)
}

/// Scores and verifies the unit, if the systemd here can; older ones ignore what they do not know, and say nothing of use.
fn analyze(source: &Path) -> Result<()> {
    let version = Command::new("systemd-analyze").arg("--version").output().map(|output| output.stdout);
    let version = String::from_utf8(version.unwrap_or_default()).unwrap_or_default();
    let version: u32 = version.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    if version < KNOWS_THE_UNIT {
        say::note(&format!(
            "systemd {version} here does not know the whole unit: the stories of the booted system ask a later one"
        ));
        return Ok(());
    }
    let unit = source.join("dist/systemd/meshnet@.service");
    // A template is looked at as an instance, which it is by its file's name.
    let dir = tempfile::tempdir()?;
    let instance = dir.path().join("meshnet@mesh0.service");
    std::fs::copy(&unit, &instance)?;
    for arguments in [&["security", "--offline=true", "--threshold=20"][..], &["verify", "--man=no"]] {
        let output = Command::new("systemd-analyze").args(arguments).arg(&instance).output()?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("systemd-analyze {}: {}", arguments[0], String::from_utf8_lossy(&said));
        }
    }
    Ok(())
}
