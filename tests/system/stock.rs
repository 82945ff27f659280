//! Stock WireGuard peers: other people's programs, set up by `wg` as their users do.
//!
//! Each lives in a [`Namespace`], whose own `/run` has its control socket, so that all may call their interface `wg0`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_proto::key::{PresharedKey, PrivateKey, PublicKey};

use crate::cable::{ip, run_for};
use crate::namespace::Namespace;
use crate::process::Process;
use crate::tools;
use crate::wait::wait_for;

/// How long a peer may take until it can be set up.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The interface's name.
pub const INTERFACE: &str = "wg0";

/// What `wg-quick` gives an interface whose file says nothing of it, where the way out carries 1500 bytes.
const DEFAULT_MTU: &str = "1420";

/// Whose WireGuard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StockMake {
    /// The project's own outside the kernel, in Go: Debian's `wireguard-go`.
    WireguardGo,
    /// Mullvad's, in Rust.
    Gotatun,
}

/// How one is set up.
#[derive(Debug, Clone)]
pub struct StockConfig {
    /// Its identity.
    pub private_key: PrivateKey,
    /// Its UDP port.
    pub listen_port: u16,
    /// Its address inside the tunnel, with prefix length.
    pub address: String,
    /// The interface's MTU in bytes.
    pub mtu: u16,
    /// Everybody else.
    pub peers: Vec<StockPeer>,
}

/// A peer of a [`StockConfig`].
#[derive(Debug, Clone)]
pub struct StockPeer {
    /// Its identity.
    pub public_key: PublicKey,
    /// A secret shared beforehand.
    pub preshared_key: Option<PresharedKey>,
    /// Its addresses inside the tunnel, comma separated.
    pub allowed_ips: String,
    /// Where it is; without it, it has to speak first.
    pub endpoint: Option<SocketAddr>,
}

/// What `wg show wg0 dump` says of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its identity, in base64.
    pub public_key: String,
    /// Where it was heard last.
    pub endpoint: Option<SocketAddr>,
    /// The Unix time of the last handshake, 0 before the first.
    pub latest_handshake: u64,
    /// Bytes that came from it, keepalives and handshakes included.
    pub received: u64,
    /// Bytes that went to it.
    pub sent: u64,
}

/// A running peer. Dropped, it is killed.
#[derive(Debug)]
pub struct Stock {
    process: Process,
}

impl StockMake {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::WireguardGo, Self::Gotatun];

    /// Returns the program's path, which is compiled first if it has to be.
    ///
    /// # Errors
    /// If it does not compile.
    pub fn program(self) -> Result<PathBuf> {
        match self {
            Self::WireguardGo => Ok("wireguard-go".into()),
            Self::Gotatun => tools::GOTATUN.provision(),
        }
    }

    /// Returns the command that runs it in the foreground.
    ///
    /// # Errors
    /// If its program cannot be had.
    pub fn command(self) -> Result<Command> {
        let mut command = Command::new(self.program()?);
        match self {
            Self::WireguardGo => command.args(["-f", INTERFACE]).env("LOG_LEVEL", "verbose"),
            Self::Gotatun => {
                command.args(["--foreground", "--disable-drop-privileges", "--verbosity", "debug", INTERFACE])
            }
        };
        Ok(command)
    }
}

impl Stock {
    /// Starts one in `namespace`, sets it up and brings its interface up. Its files, `NAME.conf` and `NAME.log`, go to
    /// `dir`.
    ///
    /// # Errors
    /// If it does not start, or `wg` refuses the configuration.
    pub fn start(
        make: StockMake,
        name: &str,
        namespace: &Namespace,
        config: &StockConfig,
        dir: &Path,
    ) -> Result<Self> {
        Self::run(make.command()?, name, namespace, config, dir)
    }

    /// The same with any program that takes orders as WireGuard's do.
    ///
    /// # Errors
    /// If it does not start, or `wg` refuses the configuration.
    pub fn run(
        command: Command,
        name: &str,
        namespace: &Namespace,
        config: &StockConfig,
        dir: &Path,
    ) -> Result<Self> {
        let process = launch(command, name, namespace, dir)?;
        let file = dir.join(format!("{name}.conf"));
        write(&file, &config.text())?;
        run_for(namespace, "wg", &["setconf", INTERFACE, &file.display().to_string()])?;
        ip(namespace, &["address", "add", &config.address, "dev", INTERFACE])?;
        ip(namespace, &["link", "set", INTERFACE, "mtu", &config.mtu.to_string(), "up"])?;
        Ok(Self { process })
    }

    /// Starts one with a file of `wg-quick`'s, as that would: what `wg` knows goes to `wg`; the address, the MTU and a
    /// route for each of AllowedIPs to `ip`.
    ///
    /// # Errors
    /// If it does not start, or `wg-quick` or `wg` refuse the file.
    pub fn start_file(
        make: StockMake,
        name: &str,
        namespace: &Namespace,
        file: &Path,
        dir: &Path,
    ) -> Result<Self> {
        let process = launch(make.command()?, name, namespace, dir)?;
        let stripped = run_for(namespace, "wg-quick", &["strip", &file.display().to_string()])?;
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(" = "));
            lines.find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        let own = dir.join(format!("{name}.conf"));
        write(&own, &stripped)?;
        run_for(namespace, "wg", &["setconf", INTERFACE, &own.display().to_string()])?;
        for address in value("Address").context("no Address")?.split(", ") {
            ip(namespace, &["address", "add", address, "dev", INTERFACE])?;
        }
        ip(namespace, &["link", "set", INTERFACE, "mtu", value("MTU").unwrap_or(DEFAULT_MTU), "up"])?;
        // One line for each peer: its key, a tab, its networks.
        let allowed = run_for(namespace, "wg", &["show", INTERFACE, "allowed-ips"])?;
        for network in
            allowed.lines().filter_map(|line| line.split_once('\t')).flat_map(|(_, all)| all.split(' '))
        {
            ip(namespace, &["route", "replace", network, "dev", INTERFACE])?;
        }
        Ok(Self { process })
    }

    /// Returns the process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Returns the process alone.
    #[must_use]
    pub fn into_process(self) -> Process {
        self.process
    }
}

/// Starts a program and waits until `wg` may set it up.
fn launch(command: Command, name: &str, namespace: &Namespace, dir: &Path) -> Result<Process> {
    let mut process = Process::start(name, command, Some(namespace), dir)?;
    wait_for(&format!("the control socket of {name}"), START_LIMIT, || {
        ensure!(process.try_wait()?.is_none(), "{name} ended before it took orders");
        // It exists a moment before somebody listens at it.
        Ok(run_for(namespace, "wg", &["show", INTERFACE]).ok())
    })?;
    Ok(process)
}

/// Writes a file with secrets.
fn write(path: &Path, text: &str) -> Result<()> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
    Ok(file.with_context(|| path.display().to_string())?.write_all(text.as_bytes())?)
}

/// Returns what a peer in `namespace` says of its peers.
///
/// # Errors
/// If there is none.
pub fn show(namespace: &Namespace) -> Result<Vec<Shown>> {
    parse(&run_for(namespace, "wg", &["show", INTERFACE, "dump"])?)
}

/// Returns what a peer in `namespace` says of its only peer.
///
/// # Errors
/// If there is none, or it has another number of peers.
pub fn show_only(namespace: &Namespace) -> Result<Shown> {
    let mut all = show(namespace)?;
    ensure!(all.len() == 1, "{} peers", all.len());
    Ok(all.remove(0))
}

impl StockConfig {
    /// Writes what `wg-quick` reads: more than `wg` does, and with a comment, as people have them.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_quick(&self, file: &Path) -> Result<()> {
        let more = format!("[Interface]\n# the office\nAddress = {}\nMTU = {}\n", self.address, self.mtu);
        write(file, &self.text().replacen("[Interface]\n", &more, 1))
    }

    /// Returns what `wg setconf` reads, secrets included.
    fn text(&self) -> String {
        let mut text = format!(
            "[Interface]\nPrivateKey = {}\nListenPort = {}\n",
            *self.private_key.to_base64(),
            self.listen_port
        );
        // Writing to a string does not fail.
        for peer in &self.peers {
            let _ = write!(
                text,
                "\n[Peer]\nPublicKey = {}\nAllowedIPs = {}\n",
                peer.public_key, peer.allowed_ips
            );
            if let Some(secret) = &peer.preshared_key {
                let _ = writeln!(text, "PresharedKey = {}", *secret.to_base64());
            }
            if let Some(endpoint) = peer.endpoint {
                let _ = writeln!(text, "Endpoint = {endpoint}");
            }
        }
        text
    }
}

/// Reads a dump: the interface's line, then one for each peer, with tabs between.
fn parse(dump: &str) -> Result<Vec<Shown>> {
    let peer = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [public_key, _, endpoint, _, handshake, received, sent, _] = fields[..] else {
            anyhow::bail!("{line:?} is no peer");
        };
        Ok(Shown {
            public_key: public_key.to_owned(),
            endpoint: endpoint.parse().ok(),
            latest_handshake: handshake.parse()?,
            received: received.parse()?,
            sent: sent.parse()?,
        })
    };
    dump.lines().skip(1).map(peer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_understood() -> Result<()> {
        let shown = parse(
            "cHJpdmF0ZQ==\tcHVibGlj\t51820\toff\n\
             a2V5\t(none)\t192.0.2.2:51820\t10.8.0.2/32\t1700000000\t180\t92\toff\n\
             a2Vz\t(none)\t(none)\t(none)\t0\t0\t0\t25\n",
        )?;
        assert_eq!(shown.len(), 2);
        assert_eq!(shown[0].endpoint, Some("192.0.2.2:51820".parse()?));
        assert_eq!((shown[0].latest_handshake, shown[0].received, shown[0].sent), (1_700_000_000, 180, 92));
        assert_eq!((shown[1].endpoint, shown[1].latest_handshake), (None, 0));
        Ok(())
    }
}
