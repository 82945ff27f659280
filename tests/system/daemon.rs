//! A daemon of either make, in its namespace: started, stopped, killed and started again with the same configuration.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Config;
use crate::namespace::Namespace;
use crate::process::Process;
use crate::programs::program;
use crate::python::Python;
use crate::wait::wait_for;

/// How long a daemon may take until it runs: the Python tool waits for the radio first.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Whose daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Make {
    /// `meshnetd`.
    Ours,
    /// The Python tool.
    Reference,
}

/// A daemon that may or may not run.
#[derive(Debug)]
pub struct Daemon {
    make: Make,
    name: String,
    dir: PathBuf,
    config: Config,
    /// Further arguments of `meshnetd`.
    pub arguments: Vec<String>,
    /// Further variables of its environment.
    pub environment: Vec<(&'static str, OsString)>,
    process: Option<Process>,
}

impl Daemon {
    /// Prepares a daemon whose files go to `dir`; it does not run yet.
    #[must_use]
    pub fn new(make: Make, name: &str, config: Config, dir: &Path) -> Self {
        let (name, dir) = (name.to_owned(), dir.to_owned());
        Self { make, name, dir, config, arguments: Vec::new(), environment: Vec::new(), process: None }
    }

    /// Returns whose it is.
    #[must_use]
    pub fn make(&self) -> Make {
        self.make
    }

    /// Returns the configuration, to be changed before a start.
    pub fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// Starts it in `namespace`; returns when its interface is up.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(&mut self, namespace: &Namespace) -> Result<()> {
        let file = self.dir.join(format!("{}.conf", self.name));
        self.config.write(&file)?;
        self.start_by(&file, namespace)
    }

    /// The same with a configuration file that somebody else wrote.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_by(&mut self, file: &Path, namespace: &Namespace) -> Result<()> {
        ensure!(self.process.is_none(), "{} runs already", self.name);
        let command = match self.make {
            Make::Ours => {
                let mut command = Command::new(program("meshnetd")?);
                command.arg("--config").arg(file);
                command.arg("--state-dir").arg(self.dir.join(format!("{}.state", self.name)));
                command.arg("--runtime-dir").arg(self.runtime_dir()).args(&self.arguments);
                command.envs(self.environment.iter().map(|(name, value)| (name, value)));
                command
            }
            Make::Reference => {
                // A pid file that a killed daemon left behind keeps the next one from starting.
                namespace.run(|| {
                    let _ = std::fs::remove_file("/run/meshnet/meshnet.pid");
                    Ok(())
                })?;
                let mut command = Command::new(Python::provision()?.program("meshnet"));
                // Its log has to be there before the moment that a test asks for it.
                command.env("PYTHONUNBUFFERED", "1").arg("up").arg("--config").arg(file);
                command
            }
        };
        let ready = match self.make {
            Make::Ours => "network is running",
            Make::Reference => "MeshVPN running",
        };
        let mut process = Process::start(&self.name, command, Some(namespace), &self.dir)?;
        process.wait_for_line(ready, START_LIMIT)?;
        self.process = Some(process);
        Ok(())
    }

    /// Returns the running process.
    ///
    /// # Errors
    /// If there is none.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().with_context(|| format!("{} does not run", self.name))
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// If it does not run, or ends with an error.
    pub fn stop(&mut self) -> Result<()> {
        let process = self.process.take().with_context(|| format!("{} does not run", self.name))?;
        let status = process.stop()?;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }

    /// Ends it as the kernel does when memory runs out.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().with_context(|| format!("{} does not run", self.name))?.kill();
        Ok(())
    }

    /// Asks our daemon for its status.
    ///
    /// # Errors
    /// If it is not ours, or does not answer.
    pub fn status(&mut self) -> Result<Value> {
        ensure!(self.make == Make::Ours, "only ours writes a status when asked");
        let file = self.runtime_dir().join(format!("{}.status.json", self.config.tap_name));
        // A status of before is no answer.
        let _ = std::fs::remove_file(&file);
        self.process()?.signal(Signal::SIGUSR1)?;
        wait_for("the status", Duration::from_secs(5), || {
            // It is put there whole, by rename.
            Ok(std::fs::read(&file).ok().map(|text| serde_json::from_slice(&text)))
        })?
        .context("the status is no JSON")
    }

    /// Waits until our daemon says that its session with its only peer is established.
    ///
    /// # Errors
    /// If it is not within `limit`.
    pub fn wait_established(&mut self, limit: Duration) -> Result<()> {
        wait_for("an established session", limit, || {
            Ok((self.status()?["peers"][0]["state"] == "established").then_some(()))
        })
    }

    fn runtime_dir(&self) -> PathBuf {
        self.dir.join(format!("{}.run", self.name))
    }
}
