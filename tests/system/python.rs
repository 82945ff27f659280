//! The Python tool (the reference) and the official Meshtastic client, unmodified from PyPI, in a virtual environment
//! below `target/`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::story::{base, workspace};

/// Exact versions of everything, so that a test fails for our changes only.
const REQUIREMENTS: &str = "tests/system/requirements.txt";

/// Where the programs of the virtual environment are.
#[derive(Debug, Clone)]
pub struct Python {
    bin: PathBuf,
}

impl Python {
    /// Returns the environment, making it first if it is not there in these versions.
    ///
    /// # Errors
    /// Without `python3` with `venv`, or if PyPI cannot be reached when it must be.
    pub fn provision() -> Result<Self> {
        let base = base("")?;
        let requirements = workspace().join(REQUIREMENTS);
        let wanted =
            std::fs::read_to_string(&requirements).with_context(|| requirements.display().to_string())?;
        // Tests run side by side: one makes it, the others wait.
        let lock = File::create(base.join("python.lock"))?;
        lock.lock().context("waiting for the virtual environment")?;
        let venv = base.join("python");
        let stamp = venv.join("made-of");
        if std::fs::read_to_string(&stamp).ok().as_deref() != Some(&wanted) {
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))
                .context("making a Python virtual environment (Debian: python3-venv)")?;
            // The tool declares Python 3.12, and runs on 3.11 as it is.
            run(Command::new(venv.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .args(["--no-deps", "--ignore-requires-python", "-r"])
                .arg(&requirements))
            .context("installing the Python tool and the official client from PyPI")?;
            std::fs::write(&stamp, &wanted)?;
        }
        Ok(Self { bin: venv.join("bin") })
    }

    /// Returns the path of a program of the environment.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("running {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Returns the path of a Python script among the fixtures.
#[must_use]
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}
