//! The programs that are measured: how each is set up as one end of a tunnel, and started.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::namespace::Namespace;
use meshnet_system::process::Process;

use super::{fastd, nebula, openvpn, ours, tinc, vpncloud, wireguard};

/// Each end's address inside the tunnel.
pub(super) const INSIDE: [&str; 2] = ["10.9.0.1", "10.9.0.2"];
/// Each end's address outside.
pub(super) const OUTSIDE: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
/// The MTU of every tunnel's interface in bytes.
pub(super) const MTU: u16 = 1420;

/// How ours is called.
pub(super) const OURS: &str = "meshnet";
/// What all others are compared with.
pub(super) const BASE: &str = "wireguard-go 2023";

/// A VPN program.
pub(super) trait Peer: Sync {
    /// Its name, with whatever tells it from another version of itself.
    fn name(&self) -> &'static str;

    /// How it seals what it carries.
    fn cipher(&self) -> &'static str {
        "ChaCha20-Poly1305"
    }

    /// Gets the program onto this machine, if it is not there.
    fn provision(&self) -> Result<()>;

    /// Starts both ends, each in its namespace, joined already, with the addresses of [`INSIDE`] on interfaces of
    /// [`MTU`]; the first end knows where the second is, or both know. Files go to `dir`.
    fn start(&self, ends: &[Namespace; 2], dir: &Path) -> Result<[Process; 2]>;
}

/// Everybody who is measured, ours first.
pub(super) const PEERS: &[&dyn Peer] = &[
    &ours::Ours,
    &wireguard::Debian { suite: wireguard::Suite::Backports },
    &wireguard::Debian { suite: wireguard::Suite::Stable },
    &wireguard::BORINGTUN,
    &wireguard::GOTATUN,
    &vpncloud::VpnCloud,
    &nebula::Nebula,
    &openvpn::OpenVpn,
    &fastd::Fastd,
    &tinc::Tinc,
];

/// Starts both ends by what `command` makes of an end's number, with logs named after the end.
pub(super) fn start_both(
    ends: &[Namespace; 2],
    dir: &Path,
    command: impl Fn(usize) -> Result<Command>,
) -> Result<[Process; 2]> {
    let start = |end: usize| Process::start(&format!("end{end}"), command(end)?, Some(&ends[end]), dir);
    Ok([start(0)?, start(1)?])
}

/// Runs a program to its end and returns what it prints.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("running {name}"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
