//! A host's clocks as one program sees them, for a host that sleeps: the clocks that go on meanwhile are ahead afterwards.
//!
//! No kernel lets a test move them under a program that runs, so the program asks a library first that is preloaded before
//! libc's own.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::python::fixture;

/// Clocks that can be set ahead, of every program that starts with [`Clocks::environment`].
#[derive(Debug)]
pub struct Clocks {
    library: PathBuf,
    file: PathBuf,
    slept: Duration,
}

impl Clocks {
    /// Makes clocks that are right. Files go to `dir`.
    ///
    /// # Errors
    /// Without a C compiler: `cc`, which links Rust programs as well.
    pub fn new(dir: &Path) -> Result<Self> {
        let (library, file) = (dir.join("clocks.so"), dir.join("slept"));
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-O", "-Wall", "-Werror", "-o"]).arg(&library);
        let compiled = command.arg(fixture("clocks.c")).arg("-ldl").output().context("running cc")?;
        ensure!(compiled.status.success(), "cc: {}", String::from_utf8_lossy(&compiled.stderr));
        let clocks = Self { library, file, slept: Duration::ZERO };
        clocks.write()?;
        Ok(clocks)
    }

    /// Returns what a program must find in its environment.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![("LD_PRELOAD", self.library.clone().into()), ("MESHNET_TEST_SLEPT", self.file.clone().into())]
    }

    /// Lets the host have slept for so long, in whole seconds.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn sleep(&mut self, time: Duration) -> Result<()> {
        self.slept += time;
        self.write()
    }

    fn write(&self) -> Result<()> {
        // In place, for it is mapped, and in one piece.
        let file = File::options().write(true).create(true).truncate(false).open(&self.file)?;
        let seconds = i64::try_from(self.slept.as_secs())?;
        Ok(file.write_all_at(&seconds.to_ne_bytes(), 0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story;

    #[test]
    fn a_program_sees_that_the_host_slept() -> Result<()> {
        story(|dir| {
            let mut clocks = Clocks::new(dir)?;
            let read = |clocks: &Clocks| -> Result<Vec<f64>> {
                let text = "import time; print(*map(time.clock_gettime, (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)))";
                let output =
                    Command::new("python3").args(["-c", text]).envs(clocks.environment()).output()?;
                let numbers = String::from_utf8(output.stdout)?;
                numbers.split_whitespace().map(|number| Ok(number.parse()?)).collect()
            };
            let before = read(&clocks)?;
            clocks.sleep(Duration::from_secs(3600))?;
            let after = read(&clocks)?;
            let [awake, all] = [0, 1].map(|clock| after[clock] - before[clock]);
            assert!((3595.0..3605.0).contains(&(all - awake)), "{before:?} {after:?}");
            Ok(())
        })
    }
}
