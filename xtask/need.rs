//! What this machine must have, and getting it: Debian packages when root, and namespaces of one's own when not.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::say;

/// Set in the process that runs inside the user namespace that [`namespaces`] made.
const INSIDE: &str = "MESHNET_USER_NAMESPACE";

/// A program that is called, how to see that it is there, and the Debian package that brings it.
pub(crate) struct Tool {
    name: &'static str,
    check: &'static [&'static str],
    package: &'static str,
}

/// Reads and sets interfaces; the Python tool uses it too.
pub(crate) const IP: Tool = Tool { name: "ip", check: &["ip", "-V"], package: "iproute2" };
/// Sends what is measured.
pub(crate) const PING: Tool = Tool { name: "ping", check: &["ping", "-V"], package: "iputils-ping" };
/// Runs the Python tool and the official Meshtastic client.
pub(crate) const PYTHON: Tool = Tool {
    name: "python3 with venv",
    check: &["python3", "-m", "ensurepip", "--version"],
    package: "python3-venv",
};
/// A stock WireGuard peer.
pub(crate) const WIREGUARD_GO: Tool =
    Tool { name: "wireguard-go", check: &["wireguard-go", "--version"], package: "wireguard-go" };
/// Sets stock WireGuard peers up.
pub(crate) const WG: Tool = Tool { name: "wg", check: &["wg", "--version"], package: "wireguard-tools" };
/// Sends as much as goes through.
pub(crate) const IPERF: Tool = Tool { name: "iperf3", check: &["iperf3", "--version"], package: "iperf3" };
/// Lets a network die without a word.
pub(crate) const NFT: Tool = Tool { name: "nft", check: &["nft", "--version"], package: "nftables" };
/// A bus of the tests' own.
pub(crate) const DBUS: Tool =
    Tool { name: "dbus-daemon", check: &["dbus-daemon", "--version"], package: "dbus-daemon" };
/// What every Debian package is built with: a compiler, make, dpkg-buildpackage.
pub(crate) const BUILD_ESSENTIAL: Tool = Tool {
    name: "build-essential",
    check: &["sh", "-c", "dpkg-query --show --showformat='${Status}' build-essential | grep 'ok installed'"],
    package: "build-essential",
};
/// Puts packages together.
pub(crate) const DEBHELPER: Tool = Tool {
    name: "debhelper",
    check: &["sh", "-c", "dpkg-query --show --showformat='${Status}' debhelper | grep 'ok installed'"],
    package: "debhelper",
};
/// Knows what is wrong with packages.
pub(crate) const LINTIAN: Tool =
    Tool { name: "lintian", check: &["lintian", "--version"], package: "lintian" };

/// Sees to it that all these tools are there, installing what is missing when root.
///
/// # Errors
/// If one is missing and cannot be installed: says which, and the command that installs it.
pub(crate) fn tools(tools: &[&Tool]) -> Result<()> {
    let missing: Vec<&&Tool> = tools.iter().filter(|tool| !tool.is_there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|tool| tool.name).collect();
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    let command = format!("apt-get install --yes --no-install-recommends {}", packages.join(" "));
    let may_install = nix::unistd::geteuid().is_root() && std::env::var_os(INSIDE).is_none();
    if !may_install || !answers(&["apt-get", "--version"]) {
        bail!("missing: {}. On Debian, as root: {command}", names.join(", "));
    }
    say::step(&format!("Installing {}", packages.join(", ")));
    for line in ["apt-get update --quiet", &command] {
        let status = Command::new("sh")
            .args(["-c", line])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .context("running apt-get")?;
        ensure!(status.success(), "{line}: {status}");
    }
    Ok(())
}

/// Sees to it that this process may make namespaces: root may; anybody else goes on in a user namespace, as its root.
///
/// # Errors
/// If this machine allows neither.
pub(crate) fn namespaces() -> Result<()> {
    let Err(error) = meshnet_system::can_make_namespaces() else { return Ok(()) };
    let hint = "run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, \
                kernel.apparmor_restrict_unprivileged_userns=0)";
    let wrapper = ["unshare", "--user", "--map-root-user"];
    if std::env::var_os(INSIDE).is_some() || !answers(&[&wrapper[..], &["true"]].concat()) {
        return Err(error.context(hint));
    }
    let error = Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg(std::env::current_exe().context("the path of this program")?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(error).context("entering a user namespace")
}

impl Tool {
    /// Describes one: its name, the command that succeeds where it is, and its package.
    pub(crate) const fn new(
        name: &'static str,
        check: &'static [&'static str],
        package: &'static str,
    ) -> Self {
        Self { name, check, package }
    }

    fn is_there(&self) -> bool {
        answers(self.check)
    }
}

fn answers(command: &[&str]) -> bool {
    Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
