//! Stock WireGuard outside the kernel: the project's own in two versions, Cloudflare's and Mullvad's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result};
use meshnet_system::cable::ip;
use meshnet_system::config::private_key;
use meshnet_system::namespace::Namespace;
use meshnet_system::process::Process;
use meshnet_system::stock::{INTERFACE, Stock, StockConfig, StockPeer};
use meshnet_system::tools::{self, Tool};
use meshnet_system::workspace;

use super::peer::{INSIDE, MTU, OUTSIDE, Peer, output};
use crate::need;

const PORT: u16 = 51820;

/// Where Debian has `wireguard-go`.
pub(super) enum Suite {
    /// Installed.
    Stable,
    /// Fetched and unpacked beside, not installed.
    Backports,
}

/// `wireguard-go` as Debian builds it.
pub(super) struct Debian {
    pub(super) suite: Suite,
}

/// A program that crates.io brings.
pub(super) struct Crate {
    name: &'static str,
    tool: Tool,
    arguments: &'static [&'static str],
}

pub(super) const GOTATUN: Crate = Crate {
    name: "gotatun 0.10",
    tool: tools::GOTATUN,
    arguments: &["--foreground", "--disable-drop-privileges", "--verbosity", "error"],
};

pub(super) const BORINGTUN: Crate = Crate {
    name: "boringtun 0.7",
    tool: Tool { package: "boringtun-cli", version: "0.7.1", program: "boringtun-cli" },
    arguments: &["--foreground", "--disable-drop-privileges", "--verbosity", "error"],
};

impl Debian {
    fn program(&self) -> PathBuf {
        match self.suite {
            Suite::Stable => "wireguard-go".into(),
            Suite::Backports => workspace().join("target/tools/backports/usr/bin/wireguard-go"),
        }
    }
}

impl Peer for Debian {
    fn name(&self) -> &'static str {
        match self.suite {
            Suite::Stable => "wireguard-go 2022",
            Suite::Backports => super::peer::BASE,
        }
    }

    fn provision(&self) -> Result<()> {
        need::tools(&[&need::WG, &need::WIREGUARD_GO])?;
        if matches!(self.suite, Suite::Stable) || self.program().exists() {
            return Ok(());
        }
        unpack_from_backports("wireguard-go", &workspace().join("target/tools/backports"))
    }

    fn start(&self, ends: &[Namespace; 2], dir: &Path) -> Result<[Process; 2]> {
        start(ends, dir, || {
            let mut command = Command::new(self.program());
            command.args(["-f", INTERFACE]).env("LOG_LEVEL", "error");
            command
        })
    }
}

impl Peer for Crate {
    fn name(&self) -> &'static str {
        self.name
    }

    fn provision(&self) -> Result<()> {
        need::tools(&[&need::WG])?;
        self.tool.provision().map(drop)
    }

    fn start(&self, ends: &[Namespace; 2], dir: &Path) -> Result<[Process; 2]> {
        let program = self.tool.provision()?;
        let cores = available_parallelism()?.to_string();
        start(ends, dir, || {
            let mut command = Command::new(&program);
            // More threads than processors would only cost it.
            command.args(self.arguments).arg(INTERFACE).env("WG_THREADS", &cores);
            command
        })
    }
}

fn start(ends: &[Namespace; 2], dir: &Path, command: impl Fn() -> Command) -> Result<[Process; 2]> {
    let keys = [private_key()?, private_key()?];
    let end = |me: usize| -> Result<Process> {
        let other = 1 - me;
        let config = StockConfig {
            private_key: keys[me].clone(),
            listen_port: PORT,
            address: format!("{}/24", INSIDE[me]),
            mtu: MTU,
            peers: vec![StockPeer {
                public_key: keys[other].public(),
                preshared_key: None,
                allowed_ips: format!("{}/32", INSIDE[other]),
                endpoint: Some(format!("{}:{PORT}", OUTSIDE[other]).parse()?),
            }],
        };
        let stock = Stock::run(command(), &format!("end{me}"), &ends[me], &config, dir)?;
        // Some set an MTU of their own when they come up.
        ip(&ends[me], &["link", "set", INTERFACE, "mtu", &MTU.to_string()])?;
        Ok(stock.into_process())
    };
    Ok([end(0)?, end(1)?])
}

/// Unpacks a package of bookworm-backports below `root`; what is installed on this machine stays as it is.
fn unpack_from_backports(package: &str, root: &Path) -> Result<()> {
    let apt = root.join("apt");
    for dir in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(apt.join(dir))?;
    }
    let sources = apt.join("backports.sources");
    std::fs::write(
        &sources,
        "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: bookworm-backports\nComponents: main\n\
         Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
    )?;
    let options = [
        format!("Dir::Etc::sourcelist={}", sources.display()),
        "Dir::Etc::sourceparts=-".to_owned(),
        format!("Dir::State::lists={}", apt.join("lists").display()),
        format!("Dir::Cache={}", apt.join("cache").display()),
    ];
    for words in [&["update"][..], &["download", package]] {
        let mut command = Command::new("apt-get");
        for option in &options {
            command.args(["-o", option]);
        }
        output(command.arg("--quiet").args(words).current_dir(&apt))?;
    }
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let file = std::fs::read_dir(&apt)?.filter_map(|entry| Some(entry.ok()?.path())).find(is_package);
    let file = file.with_context(|| format!("{package} is not in bookworm-backports"))?;
    output(Command::new("dpkg-deb").arg("-x").arg(file).arg(root)).map(drop)
}
