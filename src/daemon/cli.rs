//! The command line.

use std::path::PathBuf;

use clap::Parser;
use meshnet_bus::names::Instance;

use crate::config::Source;

/// Where configurations are, by the network's name.
const CONFIGURATIONS: &str = "/etc/meshnet";
/// Where state and status are where nobody says otherwise.
const STATE: &str = "/var/lib/meshnet";
const RUNTIME: &str = "/run/meshnet";

/// Carries a private IP network over radios, Wi-Fi and the Internet.
///
/// Runs in the foreground until SIGTERM or SIGINT. SIGHUP reads the configuration again. SIGUSR1 writes the status as JSON to
/// RUNTIME_DIR/INTERFACE.status.json.
#[derive(Debug, Parser)]
#[command(name = "meshnetd", version)]
pub struct Arguments {
    /// Run the network NAME: /etc/meshnet/NAME.conf, the interface NAME, the bus name org.meshnet1.NAME
    #[arg(long, short, value_name = "NAME", value_parser = Instance::new)]
    #[arg(required_unless_present_any = ["config", "check"])]
    pub instance: Option<Instance>,

    /// Run the network that FILE describes
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Say everything that is wrong with FILE, and exit: 0 if the network can run, 1 if not
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "instance"])]
    pub check: Option<PathBuf>,

    /// Where the state is kept that must survive a restart [default: /var/lib/meshnet; with --instance $STATE_DIRECTORY, or
    /// /var/lib/meshnet/NAME]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Where the status is written [default: /run/meshnet; with --instance $RUNTIME_DIRECTORY, or /run/meshnet/NAME]
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,

    /// Stay off the system bus, where --instance would be on it
    #[arg(long)]
    pub no_bus: bool,

    /// How much to log: error, warn, info, debug or trace (or a filter like "info,meshnetd::link=trace")
    #[arg(long, value_name = "LEVEL", env = "MESHNET_LOG", default_value = "info")]
    pub log: String,
}

impl Arguments {
    /// Returns the configuration to run; `None` for `--check`.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        let by_name = |name: &Instance| PathBuf::from(format!("{CONFIGURATIONS}/{name}.conf"));
        let file = self.config.clone().or_else(|| self.instance.as_ref().map(by_name))?;
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Some(Source { file, instance: self.instance.clone(), credentials })
    }

    /// Returns where the state is kept.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.directory(self.state_dir.as_ref(), "STATE_DIRECTORY", STATE)
    }

    /// Returns where the status is written.
    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        self.directory(self.runtime_dir.as_ref(), "RUNTIME_DIRECTORY", RUNTIME)
    }

    /// As said, as the service manager says, or the usual place.
    fn directory(&self, said: Option<&PathBuf>, variable: &str, usual: &str) -> PathBuf {
        let usual = PathBuf::from(usual);
        match (said, &self.instance) {
            (Some(said), _) => said.clone(),
            (None, None) => usual,
            (None, Some(name)) => match std::env::var_os(variable) {
                // Several are separated by colons; the first is the one that the unit names first.
                Some(dirs) if !dirs.is_empty() => {
                    std::env::split_paths(&dirs).next().unwrap_or_else(|| usual.join(name.as_str()))
                }
                _ => usual.join(name.as_str()),
            },
        }
    }

    /// Returns the network's name on the bus, if it is to be there.
    #[must_use]
    pub fn bus_name(&self) -> Option<Instance> {
        self.instance.clone().filter(|_| !self.no_bus)
    }
}
