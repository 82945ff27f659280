//! A thousand peers in the real daemon, off and on a real bus: what each takes of its memory while it is idle.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_proto::key::PrivateKey;
use meshnet_system::namespace::Namespace;
use meshnet_system::process::Process;
use meshnet_system::story;
use tempfile::TempDir;

const PRIVATE: &str = "SEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISEg=";
/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);
/// What an idle peer may take, in bytes, without and with its object on the bus, of whose kind the library's tree takes some
/// 1400 bytes each.
const PER_PEER: [u64; 2] = [3_000, 4_096];
const FEW: u64 = 10;
const MANY: u64 = 1_000;

/// A bus of our own, whoever may be on it; ends when dropped.
struct Bus {
    process: Child,
    address: String,
    _dir: TempDir,
}

impl Bus {
    fn start() -> Result<Self> {
        // The name of a socket has to be short.
        let dir = tempfile::tempdir()?;
        let config = dir.path().join("bus.conf");
        let socket = dir.path().join("bus");
        fs::write(
            &config,
            format!(
                "<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
                 <policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/><allow send_type=\"method_call\"/>\
                 <allow eavesdrop=\"false\"/></policy></busconfig>",
                socket.display()
            ),
        )?;
        let mut command = Command::new("dbus-daemon");
        command.arg("--config-file").arg(config).args(["--nofork", "--print-address=1"]);
        let mut process =
            command.stdout(Stdio::piped()).spawn().context("dbus-daemon (package dbus-daemon)")?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("it is piped")?).read_line(&mut line)?;
        ensure!(!line.is_empty(), "the bus did not start");
        Ok(Self { process, address: format!("unix:path={}", socket.display()), _dir: dir })
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A configuration with so many peers, each with a name, an address and an endpoint.
fn configuration(dir: &Path, peers: u64) -> Result<PathBuf> {
    let mut text = format!(
        "[Interface]\nPrivateKey = {PRIVATE}\nAddress = 10.0.0.1/8\nTapName = mesh7\nListenPort = 0\n"
    );
    for number in 1..=peers {
        let [.., high, low] = number.to_be_bytes();
        let mut bytes = [7; 32];
        bytes[8..16].copy_from_slice(&number.to_le_bytes());
        text += &format!(
            "[Peer]\nName = peer{number}\nPublicKey = {}\nAllowedIPs = 10.1.{high}.{low}/32\n\
             Endpoint = 192.0.{high}.{low}:51820\n",
            PrivateKey::from_random(bytes).public()
        );
    }
    let file = dir.join("mesh7.conf");
    fs::write(&file, text)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// The bytes that the daemon asked the kernel for, once it is on the bus with so many peers.
fn asked(dir: &Path, peers: u64, on_bus: bool) -> Result<u64> {
    let dir = dir.join(format!("{peers}{on_bus}"));
    fs::create_dir(&dir)?;
    let bus = Bus::start()?;
    let config = configuration(&dir, peers)?;
    let namespace = Namespace::new()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshnetd"));
    command.args(["--instance", "mesh7", "--log", "info"]).arg("--config").arg(config);
    if !on_bus {
        command.arg("--no-bus");
    }
    command.arg("--state-dir").arg(dir.join("state")).arg("--runtime-dir").arg(dir.join("run"));
    command.env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address);
    let mut daemon = Process::start("meshnetd", command, Some(&namespace), &dir)?;
    daemon.wait_for_line("network is running", LIMIT)?;
    if on_bus {
        settled(&bus.address)?;
    }
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
    ensure!(daemon.try_wait()?.is_none(), "it ended: {}", daemon.output()?);
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).context("no RssAnon")?;
    let kilobytes: u64 = line.split_whitespace().nth(1).context("RssAnon: NUMBER kB")?.parse()?;
    daemon.stop()?;
    Ok(kilobytes * 1024)
}

/// Waits until the network has its name, which it takes when all its objects are up.
fn settled(address: &str) -> Result<()> {
    use futures_util::StreamExt as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let connection = zbus::connection::Builder::address(address).build().await?;
        let bus = zbus::fdo::DBusProxy::new(&connection).await?;
        let mut owners = bus.receive_name_owner_changed_with_args(&[(0, "org.meshnet1.mesh7")]).await?;
        if !bus.name_has_owner("org.meshnet1.mesh7".try_into()?).await? {
            tokio::time::timeout(LIMIT, owners.next()).await.context("it is not on the bus")?;
        }
        Ok(())
    })
}

#[test]
fn an_idle_peer_takes_little_memory_with_and_without_an_object_on_the_bus() -> Result<()> {
    story(|dir| {
        for (on_bus, limit) in [false, true].into_iter().zip(PER_PEER) {
            let (few, many) = (asked(dir, FEW, on_bus)?, asked(dir, MANY, on_bus)?);
            let per_peer = many.saturating_sub(few) / (MANY - FEW);
            eprintln!(
                "on the bus: {on_bus}: {few} B with {FEW} peers, {many} B with {MANY}: {per_peer} B each"
            );
            ensure!(per_peer < limit, "{per_peer} B for each peer (under {limit})");
        }
        Ok(())
    })
}
