//! The real daemon on a real kernel: what it makes of the interface, what it keeps of its privileges, what it says.
//!
//! Each test has a network namespace to itself. No radio is there: whatever listens on the radio's port says nothing.

mod privileges;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::namespace::Namespace;
use meshnet_system::process::Process;
use meshnet_system::story;
use meshnet_system::wait::wait_for;
use nix::sys::signal::Signal;
use serde_json::Value;

const PRIVATE: &str = "SEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISEg=";
const PUBLIC: &str = "kXeyMnjL8PPRfDbyrMm1XpyF+HsiClOG7DcNZj4g4zc=";
const ALICE: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

/// A daemon in a namespace of its own.
struct Site {
    dir: PathBuf,
    namespace: Namespace,
    daemon: Process,
}

impl Site {
    /// Starts the daemon with further lines in `[Interface]`, and waits until it runs.
    fn start(dir: &Path, interface: &str) -> Result<Self> {
        let namespace = Namespace::new()?;
        let daemon = run(dir, &namespace, interface)?;
        Ok(Self { dir: dir.to_owned(), namespace, daemon })
    }

    /// What `ip -j` says.
    fn ip(&self, args: &[&str]) -> Result<Value> {
        let output = self.namespace.run(|| Ok(Command::new("ip").arg("-j").args(args).output()?))?;
        ensure!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        // Where there is nothing to say, it does not even say so.
        let text = if output.stdout.is_empty() { b"[]".as_slice() } else { &output.stdout };
        Ok(serde_json::from_slice(text)?)
    }

    /// The destinations of the routes through the interface, as (prefix, metric) where it has one.
    fn routes(&self, family: &str) -> Result<Vec<(String, Option<u64>)>> {
        let routes = self.ip(&[family, "route", "show", "dev", "mesh7"])?;
        let routes = routes.as_array().context("no list")?.iter();
        Ok(routes.map(|r| (r["dst"].as_str().unwrap_or("?").to_owned(), r["metric"].as_u64())).collect())
    }

    /// Asks for the status and reads it.
    fn status(&mut self) -> Result<Value> {
        let path = self.dir.join("run/mesh7.status.json");
        // A signal may come before the daemon watches for it only until it says that it runs.
        self.daemon.signal(Signal::SIGUSR1)?;
        self.daemon.wait_for_line("mesh7.status.json", LIMIT)?;
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}

fn run(dir: &Path, namespace: &Namespace, interface: &str) -> Result<Process> {
    let mut daemon = Process::start("meshnetd", command(dir, interface)?, Some(namespace), dir)?;
    daemon.wait_for_line("network is running", LIMIT)?;
    Ok(daemon)
}

fn command(dir: &Path, interface: &str) -> Result<Command> {
    let config = dir.join("mesh7.conf");
    fs::write(
        &config,
        format!(
            "[Interface]\nPrivateKey = {PRIVATE}\nAddress = 10.77.0.1/24, fd77::1/64\nTapName = mesh7\nMTU = 1300\n\
             MeshtasticConnect = tcp://127.0.0.1:1\n{interface}\n[Peer]\nName = alice\nPublicKey = {ALICE}\n\
             AllowedIPs = 10.77.0.2/32, 10.99.0.0/16, fd99::/64\nEndpoint = !d45b9db8\n"
        ),
    )?;
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshnetd"));
    command.arg("--config").arg(config);
    command.arg("--state-dir").arg(dir.join("state")).arg("--runtime-dir").arg(dir.join("run"));
    Ok(command)
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

#[test]
fn the_interface_comes_up_as_configured() -> Result<()> {
    story(|dir| {
        let site = Site::start(dir, "")?;
        let link = site.ip(&["-d", "link", "show", "mesh7"])?;
        assert_eq!(link[0]["mtu"], 1300);
        assert_eq!(link[0]["inet6_addr_gen_mode"], "none");
        assert_eq!(link[0]["txqlen"], 64);
        assert!(link[0]["flags"].as_array().is_some_and(|flags| flags.contains(&"UP".into())), "{link}");
        let mac = meshnet_proto::mac_of(&PUBLIC.parse()?);
        assert_eq!(link[0]["address"], mac.map(|byte| format!("{byte:02x}")).join(":"));

        let addresses = site.ip(&["address", "show", "mesh7"])?;
        let addresses = addresses[0]["addr_info"].as_array().context("no addresses")?;
        let told: Vec<_> = addresses.iter().map(|a| (a["local"].as_str(), a["prefixlen"].as_u64())).collect();
        assert_eq!(told, [(Some("10.77.0.1"), Some(24)), (Some("fd77::1"), Some(64))], "no link-local one");
        assert!(addresses.iter().all(|address| address["tentative"].is_null()), "{addresses:?}");

        let v4 = [("10.77.0.0/24".to_owned(), None), ("10.99.0.0/16".to_owned(), Some(4096))];
        assert_eq!(site.routes("-4")?, v4);
        let v6 = [("fd77::/64".to_owned(), Some(256)), ("fd99::/64".to_owned(), Some(4096))];
        assert_eq!(site.routes("-6")?, v6);
        Ok(())
    })
}

#[test]
fn a_state_directory_of_another_user_is_told_with_the_cure() -> Result<()> {
    if !is_root_of_the_machine() {
        ensure!(std::env::var_os("CI").is_none(), "needs root, and in CI nothing is skipped");
        eprintln!("SKIPPED: a directory of another user needs root");
        return Ok(());
    }
    story(|dir| {
        let namespace = Namespace::new()?;
        let state = dir.join("state");
        fs::create_dir(&state)?;
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700))?;
        nix::unistd::chown(&state, Some(65534.into()), None)?;
        let mut daemon = Process::start("meshnetd", command(dir, "")?, Some(&namespace), dir)?;
        assert_eq!(daemon.wait(LIMIT)?.code(), Some(1));
        let log = daemon.output()?;
        assert!(log.contains("and this network runs as root (chown -R root "), "{log}");
        Ok(())
    })
}

#[test]
fn two_daemons_never_share_a_state() -> Result<()> {
    story(|dir| {
        let _first = Site::start(dir, "")?;
        // The same interface name in another namespace: nothing else keeps the two apart.
        let elsewhere = Namespace::new()?;
        let mut second = Process::start("second", command(dir, "")?, Some(&elsewhere), dir)?;
        assert_eq!(second.wait(LIMIT)?.code(), Some(1));
        let log = second.output()?;
        assert!(log.contains("another meshnetd keeps its state in"), "{log}");
        Ok(())
    })
}

#[test]
fn a_name_that_nobody_resolves_does_not_hold_up_the_end() -> Result<()> {
    story(|dir| {
        let namespace = Namespace::new()?;
        // A name server that takes questions and answers none.
        let server = namespace.run(|| {
            let resolver = Path::new("/etc/resolv.conf");
            if resolver.exists() {
                let own = dir.join("resolv.conf");
                fs::write(&own, "nameserver 127.0.0.1\n")?;
                let mounted = Command::new("mount").arg("--bind").arg(&own).arg(resolver).status()?;
                ensure!(mounted.success(), "mount --bind: {mounted}");
            }
            Ok(std::net::UdpSocket::bind("127.0.0.1:53")?)
        })?;
        let daemon = run(dir, &namespace, "MeshtasticConnect = tcp://radio.example")?;
        server.set_read_timeout(Some(LIMIT))?;
        server.recv(&mut [0; 512]).context("the daemon asks for the address")?;
        let begin = std::time::Instant::now();
        assert_eq!(daemon.stop()?.code(), Some(0));
        // The resolver itself gives up after 10 s.
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
        Ok(())
    })
}

/// Whether other users exist for us; in a user namespace of one's own they do not.
fn is_root_of_the_machine() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    nix::unistd::geteuid().is_root() && map.split_whitespace().last() == Some("4294967295")
}

/// Takes the interface down and up, and waits until it is what it was.
fn down_and_up(site: &mut Site) -> Result<()> {
    let (v4, v6) = (site.routes("-4")?, site.routes("-6")?);
    site.ip(&["link", "set", "mesh7", "down"])?;
    site.daemon.wait_for_line("somebody took the interface down", LIMIT)?;
    site.ip(&["link", "set", "mesh7", "up"])?;
    site.daemon.wait_for_line("the interface is up again", LIMIT)?;
    wait_for("the routes", LIMIT, || {
        let same = site.routes("-4")? == v4 && site.routes("-6")? == v6;
        Ok(same.then_some(()))
    })
}

#[test]
fn an_interface_that_somebody_took_down_gets_its_routes_back() -> Result<()> {
    story(|dir| down_and_up(&mut Site::start(dir, "")?))
}

#[test]
fn a_daemon_whose_interface_is_removed_says_so_and_ends() -> Result<()> {
    story(|dir| {
        let mut site = Site::start(dir, "")?;
        site.ip(&["link", "delete", "mesh7"])?;
        assert_eq!(site.daemon.wait(LIMIT)?.code(), Some(1));
        let log = site.daemon.output()?;
        assert!(log.contains("somebody removed the interface mesh7"), "{log}");
        Ok(())
    })
}

#[test]
fn a_name_in_use_is_told() -> Result<()> {
    story(|dir| {
        let site = Site::start(dir, "")?;
        let other = dir.join("other");
        fs::create_dir(&other)?;
        let mut second = Process::start("second", command(&other, "")?, Some(&site.namespace), dir)?;
        assert_eq!(second.wait(LIMIT)?.code(), Some(1));
        assert!(second.output()?.contains("cannot make the TAP mesh7"), "{}", second.output()?);
        Ok(())
    })
}

#[test]
fn the_status_is_private_versioned_and_counts() -> Result<()> {
    story(|dir| {
        let mut site = Site::start(dir, "")?;
        let ping = site.namespace.run(|| {
            // To the peer, whom no link reaches: it goes into the core and is counted there.
            Ok(Command::new("ping").args(["-c1", "-W1", "10.99.0.5"]).output()?)
        })?;
        assert!(!ping.status.success());
        let status = site.status()?;
        assert_eq!(status["schema"], 1);
        assert_eq!((&status["interface"], &status["public_key"]), (&"mesh7".into(), &PUBLIC.into()));
        assert_eq!(status["addresses"], serde_json::json!(["10.77.0.1/24", "fd77::1/64"]));
        let peer = &status["peers"][0];
        assert_eq!((&peer["name"], &peer["public_key"]), (&"alice".into(), &ALICE.into()));
        assert_eq!(peer["allowed_ips"], serde_json::json!(["10.77.0.2/32", "10.99.0.0/16", "fd99::/64"]));
        assert_eq!(peer["last_handshake_seconds"], Value::Null);
        let link = &status["links"][0];
        assert_eq!((&link["name"], &link["up"]), (&"radio0".into(), &false.into()));
        let drops = status["drops"].as_object().context("no drops")?;
        let counted: u64 = drops.values().filter_map(Value::as_u64).sum();
        let waiting = peer["waiting"].as_u64().context("no waiting")?;
        assert!(counted + waiting > 0, "the ping left no trace: {status}");

        let file = dir.join("run/mesh7.status.json");
        assert_eq!(fs::metadata(&file)?.mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(dir.join("run"))?.mode() & 0o777, 0o700);
        assert_eq!(site.daemon.stop()?.code(), Some(0));
        assert!(!file.exists(), "a stopped network has no status");
        Ok(())
    })
}

#[test]
fn an_idle_daemon_is_small_and_says_nothing_secret() -> Result<()> {
    story(|dir| {
        let mut site = Site::start(dir, "")?;
        site.daemon.signal(Signal::SIGUSR1)?;
        site.daemon.wait_for_line("mesh7.status.json", LIMIT)?;
        let status = fs::read_to_string(format!("/proc/{}/status", site.daemon.pid()))?;
        // What it asked for itself. How much of the program's file is mapped depends on how it was built and on what the page
        // cache holds; the installed one is weighed whole, where it is installed.
        let asked = field(&status, "RssAnon")
            .and_then(|kilobytes| kilobytes.trim_end_matches(" kB").parse::<u64>().ok());
        let asked = asked.context("no RssAnon")?;
        eprintln!("asked for: {asked} kB");
        assert!(asked < 2_000, "{asked} kB");
        let (log, told) = (site.daemon.output()?, fs::read_to_string(dir.join("run/mesh7.status.json"))?);
        assert!(!log.contains(&PRIVATE[..10]) && !told.contains(&PRIVATE[..10]));
        Ok(())
    })
}

#[test]
fn sigint_ends_it_cleanly_and_the_interface_goes_with_it() -> Result<()> {
    story(|dir| {
        let mut site = Site::start(dir, "")?;
        site.daemon.signal(Signal::SIGINT)?;
        assert_eq!(site.daemon.wait(LIMIT)?.code(), Some(0));
        assert!(site.ip(&["link", "show", "mesh7"]).is_err());
        // The next life starts from what the last one left.
        let again = run(dir, &site.namespace, "")?;
        assert_eq!(again.stop()?.code(), Some(0));
        Ok(())
    })
}
