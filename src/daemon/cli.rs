//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Parser};

/// Carries a private IP network over Meshtastic radios.
///
/// Runs in the foreground until SIGTERM or SIGINT. SIGUSR1 writes the status as JSON to RUNTIME_DIR/INTERFACE.status.json.
#[derive(Debug, Parser)]
#[command(name = "meshnetd", version, group = ArgGroup::new("what").required(true))]
pub struct Arguments {
    /// Run the network that FILE describes
    #[arg(long, short, value_name = "FILE", group = "what")]
    pub config: Option<PathBuf>,

    /// Say everything that is wrong with FILE, and exit: 0 if the network can run, 1 if not
    #[arg(long, value_name = "FILE", group = "what")]
    pub check: Option<PathBuf>,

    /// Where the state is kept that must survive a restart
    #[arg(long, value_name = "DIR", default_value = "/var/lib/meshnet")]
    pub state_dir: PathBuf,

    /// Where the status is written
    #[arg(long, value_name = "DIR", default_value = "/run/meshnet")]
    pub runtime_dir: PathBuf,

    /// How much to log: error, warn, info, debug or trace (or a filter like "info,meshnetd::link=trace")
    #[arg(long, value_name = "LEVEL", env = "MESHNET_LOG", default_value = "info")]
    pub log: String,
}
