//! A program that a test started: its output is kept, waited on, and shown if the test fails; it ends with its guard.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::namespace::Namespace;
use crate::wait::wait_for;

/// How much of a log is shown when a test fails.
const SHOWN_LINES: usize = 60;

/// A running program. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where [`Process::wait_for_line`] goes on reading.
    read: usize,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`, in `namespace` if given, its output in `dir/NAME.log` (appended: a restarted program keeps the
    /// log of its earlier lives).
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(
        name: &str,
        mut command: Command,
        namespace: Option<&Namespace>,
        dir: &Path,
    ) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| log.display().to_string())?;
        let read = usize::try_from(file.metadata()?.len())?;
        // An error's chain says what failed; a backtrace would push the log out of sight.
        command.env("RUST_LIB_BACKTRACE", "0").stdin(Stdio::null()).stderr(file.try_clone()?).stdout(file);
        let child = match namespace {
            Some(namespace) => namespace.spawn(&mut command)?,
            None => command.spawn().with_context(|| format!("starting {name}"))?,
        };
        Ok(Self { name: name.to_owned(), child, log, read, ended: None })
    }

    /// Returns the process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns all output so far, of earlier lives too.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn output(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned())
    }

    /// Waits for the next line that contains `text`, after the one that the last call found, and returns it.
    ///
    /// # Errors
    /// If it does not come within `limit`, or the program ends first.
    pub fn wait_for_line(&mut self, text: &str, limit: Duration) -> Result<String> {
        let what = format!("{}: a line with {text:?}", self.name);
        wait_for(&what, limit, || {
            let ended = self.try_wait()?;
            let log = std::fs::read(&self.log)?;
            while let Some(length) = log[self.read..].iter().position(|&byte| byte == b'\n') {
                let line = String::from_utf8_lossy(&log[self.read..self.read + length]).into_owned();
                self.read += length + 1;
                if line.contains(text) {
                    return Ok(Some(line));
                }
            }
            if let Some(status) = ended {
                bail!("{} ended ({status}) before it said {text:?}", self.name);
            }
            Ok(None)
        })
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.try_wait()? {
            bail!("{} has ended ({status})", self.name);
        }
        kill(self.nix_pid(), signal).with_context(|| format!("{signal} to {}", self.name))
    }

    /// Asks it to end, as systemd would, and waits for it.
    ///
    /// # Errors
    /// If it does not within 10 s; it is killed then.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait(Duration::from_secs(10))
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// If it does not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        wait_for(&format!("the end of {}", self.name), limit, || self.try_wait())
    }

    /// Returns its status if it has ended.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Ends it without a chance to do anything.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if self.ended.is_none() {
            // Both fail only if it is gone already.
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
    }

    fn nix_pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Prints the end of every log in `dir`: what one wants to see of a story that failed.
pub fn show_logs(dir: &Path) {
    let mut logs: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    for log in logs {
        let text = std::fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let hidden = lines.len().saturating_sub(SHOWN_LINES);
        eprintln!("---- {} ({hidden} lines before)", log.display());
        for line in &lines[hidden..] {
            eprintln!("{line}");
        }
    }
}
