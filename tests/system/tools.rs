//! Programs of other projects that crates.io brings, in exact versions: compiled once, kept below `target/tools`.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::programs::cargo;
use crate::story::workspace;

/// A program that `cargo install` brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// The crate.
    pub package: &'static str,
    /// Its version, so that a test fails for our changes only.
    pub version: &'static str,
    /// The program's name.
    pub program: &'static str,
}

/// Mullvad's WireGuard, in Rust.
pub const GOTATUN: Tool = Tool { package: "gotatun-cli", version: "0.10.2", program: "gotatun" };

impl Tool {
    /// Returns the path of the program, which is compiled first if it is not there in this version.
    ///
    /// # Errors
    /// If it does not compile, or crates.io cannot be reached when it must be.
    pub fn provision(&self) -> Result<PathBuf> {
        let root = workspace().join("target/tools");
        std::fs::create_dir_all(&root).with_context(|| root.display().to_string())?;
        // Tests run side by side: one compiles, the others wait.
        let lock = File::create(root.join("lock"))?;
        lock.lock().context("waiting for a program to be compiled")?;
        let program = root.join("bin").join(self.program);
        // Cargo's own list of what it installed here.
        let installed = std::fs::read_to_string(root.join(".crates.toml")).unwrap_or_default();
        let this = format!("\"{} {} ", self.package, self.version);
        if installed.contains(&this) && program.exists() {
            return Ok(program);
        }
        let output = Command::new(cargo())
            .args(["install", "--quiet", "--locked", "--root"])
            .arg(&root)
            .args(["--version", self.version, self.package])
            // What the tests' own Cargo says of its build is not meant for this one.
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUSTFLAGS")
            .output()
            .context("running cargo")?;
        ensure!(
            output.status.success(),
            "cargo install {} {}: {}",
            self.package,
            self.version,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(program)
    }
}
