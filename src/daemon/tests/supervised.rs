//! The daemon and its service manager, which here is this test: a socket that hears what the daemon says, and a hand that keeps
//! the descriptor of the interface from one life to the next.

use std::fs;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use meshnet_system::namespace::Namespace;
use meshnet_system::process::Process;
use meshnet_system::story;
use nix::cmsg_space;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::Value;

const PRIVATE: &str = "SEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISEg=";
const PUBLIC: &str = "kXeyMnjL8PPRfDbyrMm1XpyF+HsiClOG7DcNZj4g4zc=";
const ALICE: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

/// A service manager, as far as one daemon sees it.
struct Manager {
    socket: UnixDatagram,
    socket_dir: tempfile::TempDir,
    dir: PathBuf,
    namespace: Namespace,
    kept: Option<OwnedFd>,
}

/// What the daemon said in one message: its lines.
type Said = Vec<String>;

impl Manager {
    fn new(dir: &Path) -> Result<Self> {
        // A socket's path must be short.
        let socket_dir = tempfile::tempdir()?;
        let socket = UnixDatagram::bind(socket_dir.path().join("notify"))?;
        Ok(Self { socket, socket_dir, dir: dir.to_owned(), namespace: Namespace::new()?, kept: None })
    }

    /// Writes the configuration: `interface` goes into its section, `routes` are the peer's AllowedIPs.
    fn configure(&self, interface: &str, routes: &str) -> Result<()> {
        let file = self.dir.join("mesh7.conf");
        let text = format!(
            "[Interface]\nMTU = 1300\nMeshtasticConnect = tcp://127.0.0.1:1\n{interface}\n\
             [Peer]\nPublicKey = {ALICE}\nAllowedIPs = {routes}\nEndpoint = !d45b9db8\n"
        );
        fs::write(&file, text)?;
        Ok(fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?)
    }

    /// Starts the daemon for the network mesh7, with what is kept of its last life, as `kept_as`.
    fn start(&self, kept_as: &str, environment: &[(&str, &str)]) -> Result<Process> {
        // bash (which knows numbers above 9) gives the descriptor the number that it must have, and keeps the process id that it must name.
        let script = "if [ -n \"$KEPT\" ]; then exec 3<&$KEPT; export LISTEN_PID=$$ LISTEN_FDS=1; fi; exec \"$0\" \"$@\"";
        let mut command = Command::new("bash");
        command.args([
            "-c",
            script,
            env!("CARGO_BIN_EXE_meshnetd"),
            "--instance",
            "mesh7",
            "--no-bus",
            "--config",
        ]);
        command.arg(self.dir.join("mesh7.conf"));
        command.env("NOTIFY_SOCKET", self.socket_dir.path().join("notify")).env("LISTEN_FDNAMES", kept_as);
        command.env("STATE_DIRECTORY", self.dir.join("state")).env("RUNTIME_DIRECTORY", self.dir.join("run"));
        command.envs(environment.iter().copied());
        let Some(kept) = &self.kept else {
            return Process::start("meshnetd", command, Some(&self.namespace), &self.dir);
        };
        command.env("KEPT", kept.as_raw_fd().to_string());
        fcntl(kept, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let daemon = Process::start("meshnetd", command, Some(&self.namespace), &self.dir);
        fcntl(kept, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        daemon
    }

    /// Starts the daemon and waits until it is ready; returns all that it said until then.
    fn start_ready(&mut self, environment: &[(&str, &str)]) -> Result<(Process, Vec<Said>)> {
        let daemon = self.start("tun-mesh7", environment)?;
        let said = self.hear_until("READY=1")?;
        Ok((daemon, said))
    }

    /// Hears the next message, if one comes in time; keeps a descriptor that comes along.
    #[allow(unsafe_code, reason = "a descriptor arrives as a number")]
    fn hear(&mut self, limit: Duration) -> Result<Option<Said>> {
        self.socket.set_read_timeout(Some(limit))?;
        let mut bytes = [0; 4096];
        let mut space = cmsg_space!([std::os::fd::RawFd; 1]);
        let mut into = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = match recvmsg::<()>(self.socket.as_raw_fd(), &mut into, Some(&mut space), flags) {
            Ok(message) => message,
            Err(nix::Error::EAGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = control {
                for number in numbers {
                    // SAFETY: the kernel made this descriptor for the receiver of the message, which is us alone.
                    self.kept = Some(unsafe { OwnedFd::from_raw_fd(number) });
                }
            }
        }
        let length = message.bytes;
        let text = String::from_utf8(bytes[..length].to_vec())?;
        Ok(Some(text.lines().map(str::to_owned).collect()))
    }

    /// Hears messages up to the one with this line.
    fn hear_until(&mut self, line: &str) -> Result<Vec<Said>> {
        let end = Instant::now() + LIMIT;
        let mut all = Vec::new();
        while let Some(said) =
            self.hear(end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)))?
        {
            let found = said.iter().any(|told| told == line);
            all.push(said);
            if found {
                return Ok(all);
            }
        }
        bail!("no {line:?}, only {all:?}")
    }

    /// Hears the next status line that contains `text`.
    fn hear_status(&mut self, text: &str) -> Result<String> {
        let end = Instant::now() + LIMIT;
        while let Some(said) =
            self.hear(end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)))?
        {
            if let Some(status) = status(&said).filter(|status| status.contains(text)) {
                return Ok(status.to_owned());
            }
        }
        bail!("no status line with {text:?}")
    }

    fn ip(&self, args: &[&str]) -> Result<Value> {
        let output = self.namespace.run(|| Ok(Command::new("ip").arg("-j").args(args).output()?))?;
        ensure!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = if output.stdout.is_empty() { b"[]".as_slice() } else { &output.stdout };
        Ok(serde_json::from_slice(text)?)
    }

    /// The interface's index, and whether it is up.
    fn interface(&self) -> Result<(u64, bool)> {
        let link = self.ip(&["link", "show", "mesh7"])?;
        let up = link[0]["flags"].as_array().is_some_and(|flags| flags.contains(&"UP".into()));
        Ok((link[0]["ifindex"].as_u64().context("no index")?, up))
    }

    /// The interface's addresses, and the destinations of the routes through it.
    fn reach(&self) -> Result<(Vec<String>, Vec<String>)> {
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let addresses = self.ip(&["address", "show", "mesh7"])?;
        let addresses = addresses[0]["addr_info"].as_array().context("no addresses")?;
        let addresses = addresses.iter().map(|address| text(&address["local"])).collect();
        let mut routes = Vec::new();
        for family in ["-4", "-6"] {
            let list = self.ip(&[family, "route", "show", "dev", "mesh7"])?;
            routes.extend(list.as_array().context("no list")?.iter().map(|route| text(&route["dst"])));
        }
        Ok((addresses, routes))
    }
}

fn status(said: &Said) -> Option<&str> {
    said.iter().find_map(|line| line.strip_prefix("STATUS="))
}

fn own(address: &str) -> String {
    format!("PrivateKey = {PRIVATE}\nAddress = {address}")
}

#[test]
fn ready_means_that_the_interface_is_up() -> Result<()> {
    story(|dir| {
        let mut manager = Manager::new(dir)?;
        manager.configure(&own("10.77.0.1/24"), "10.77.0.2/32")?;
        let (daemon, said) = manager.start_ready(&[])?;
        assert!(manager.interface()?.1, "ready, and the interface is down");
        assert_eq!(manager.reach()?.0, ["10.77.0.1"]);
        let ready = said.last().context("nothing")?;
        let line = status(ready).context("no status")?;
        assert!(line.starts_with("0 of 1 peer connected; radio0 "), "{line}");
        // The radio's port is nobody's: that is news, and told when it is known.
        if !line.contains("down (") {
            manager.hear_status("radio0 down (Connection refused")?;
        }
        assert!(dir.join("state/mesh7.state.lock").exists());
        assert_eq!(daemon.stop()?.code(), Some(0));
        manager.hear_until("STOPPING=1")?;
        Ok(())
    })
}

#[test]
fn the_core_itself_feeds_the_watchdog() -> Result<()> {
    story(|dir| {
        let mut manager = Manager::new(dir)?;
        manager.configure(&own("10.77.0.1/24"), "10.77.0.2/32")?;
        let patience = Duration::from_millis(400);
        let (mut daemon, _) = manager.start_ready(&[("WATCHDOG_USEC", "400000")])?;
        manager.hear_until("WATCHDOG=1")?;
        let first = Instant::now();
        for _ in 0..4 {
            manager.hear_until("WATCHDOG=1")?;
        }
        let each = first.elapsed() / 4;
        assert!(each >= patience / 4 && each < patience, "{each:?}");
        // A status that reads the same is not said again.
        daemon.signal(Signal::SIGSTOP)?;
        while manager.hear(patience)?.is_some() {}
        assert!(manager.hear(patience * 2)?.is_none(), "a daemon that stands still says nothing");
        daemon.signal(Signal::SIGCONT)?;
        manager.hear_until("WATCHDOG=1")?;
        Ok(())
    })
}

#[test]
fn the_interface_outlives_the_daemon_and_becomes_what_the_next_one_is_told() -> Result<()> {
    story(|dir| {
        let mut manager = Manager::new(dir)?;
        manager.configure(
            &own("10.77.0.1/24, 10.88.0.1/24, fd77::1/64"),
            "10.77.0.2/32, 10.99.0.0/16, fd99::/64",
        )?;
        let (daemon, said) = manager.start_ready(&[])?;
        assert!(
            said.iter().any(|said| said.contains(&"FDSTORE=1".to_owned())
                && said.contains(&"FDNAME=tun-mesh7".to_owned()))
        );
        let before = manager.interface()?;
        let reach = manager.reach()?;
        assert_eq!(daemon.stop()?.code(), Some(0));
        assert_eq!((manager.interface()?, manager.reach()?), (before, reach.clone()), "after the daemon");

        // The same configuration: nothing changes, not for a moment.
        let mut monitor = Command::new("ip");
        monitor.args(["monitor", "link", "address", "route"]);
        let monitor = Process::start("monitor", monitor, Some(&manager.namespace), dir)?;
        manager.hear_until("STOPPING=1")?;
        let (mut daemon, said) = manager.start_ready(&[])?;
        assert!(!said.iter().flatten().any(|line| line == "FDSTORE=1"), "kept twice");
        assert_eq!((manager.interface()?, manager.reach()?), (before, reach));
        manager.ip(&["route", "add", "10.111.0.0/16", "dev", "mesh7"])?;
        let mut monitor = monitor;
        monitor.wait_for_line("10.111.0.0/16", LIMIT)?;
        assert!(!monitor.output()?.contains("Deleted"), "{}", monitor.output()?);
        daemon.signal(Signal::SIGKILL)?;
        daemon.wait(LIMIT)?;

        // Another one: what is not in it goes, but for what somebody added beside us.
        manager.configure(&own("10.77.0.1/24"), "10.77.0.2/32, 10.98.0.0/16")?;
        let (_daemon, _) = manager.start_ready(&[])?;
        assert_eq!(manager.interface()?, before);
        let (addresses, mut routes) = manager.reach()?;
        routes.sort();
        assert_eq!(addresses, ["10.77.0.1"]);
        assert_eq!(routes, ["10.111.0.0/16", "10.77.0.0/24", "10.98.0.0/16"]);
        Ok(())
    })
}

#[test]
fn a_kept_descriptor_that_is_not_the_interface_is_dropped() -> Result<()> {
    story(|dir| {
        let mut manager = Manager::new(dir)?;
        manager.configure(&own("10.77.0.1/24"), "10.77.0.2/32")?;
        // Something else, then an interface that somebody removed.
        manager.kept = Some(fs::File::open("/dev/null")?.into());
        let (daemon, said) = manager.start_ready(&[])?;
        let told = |said: &[Said]| said.iter().position(|said| said.contains(&"FDSTOREREMOVE=1".to_owned()));
        let removed = told(&said).context("not dropped")?;
        assert!(said[removed].contains(&"FDNAME=tun-mesh7".to_owned()));
        assert!(
            said[removed..].iter().any(|said| said.contains(&"FDSTORE=1".to_owned())),
            "none in its place"
        );
        drop(daemon);
        manager.ip(&["link", "delete", "mesh7"])?;
        let (daemon, said) = manager.start_ready(&[])?;
        assert!(told(&said).is_some(), "{said:?}");
        assert!(daemon.output()?.contains("attached to no interface any more"), "{}", daemon.output()?);
        assert!(manager.interface()?.1);
        Ok(())
    })
}

#[test]
fn a_reload_of_a_bad_file_changes_nothing_and_says_so() -> Result<()> {
    story(|dir| {
        let mut manager = Manager::new(dir)?;
        manager.configure(&own("10.77.0.1/24"), "10.77.0.2/32")?;
        let (mut daemon, _) = manager.start_ready(&[])?;
        manager.configure(&own("10.77.0.1/33"), "10.77.0.2/32")?;
        daemon.signal(Signal::SIGHUP)?;
        let said = manager.hear_until("RELOADING=1")?;
        let reloading = said.last().context("nothing")?;
        assert!(reloading.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading:?}");
        let said = manager.hear_until("READY=1")?;
        let line = said.last().and_then(status).context("no status")?;
        assert!(line.contains("mesh7.conf:5: Address: \"10.77.0.1/33\""), "{line}");
        assert_eq!(manager.reach()?.0, ["10.77.0.1"]);

        manager.configure(&own("10.77.0.1/24"), "10.77.0.2/32")?;
        daemon.signal(Signal::SIGHUP)?;
        manager.hear_until("RELOADING=1")?;
        let said = manager.hear_until("READY=1")?;
        let line = said.last().and_then(status).context("no status")?;
        assert!(line.starts_with("0 of 1 peer connected"), "{line}");
        assert_eq!(daemon.stop()?.code(), Some(0));
        Ok(())
    })
}

#[test]
fn the_key_may_be_a_credential_and_then_nowhere_else() -> Result<()> {
    story(|dir| {
        let mut manager = Manager::new(dir)?;
        let credentials = dir.join("credentials");
        fs::create_dir(&credentials)?;
        let key = credentials.join("meshnet.mesh7.key");
        fs::write(&key, format!("{PRIVATE}\n"))?;
        // As the service manager leaves it where it uses an ACL: the group's bits are the ACL's mask.
        fs::set_permissions(&key, fs::Permissions::from_mode(0o440))?;
        let environment = [("CREDENTIALS_DIRECTORY", credentials.to_str().context("UTF-8")?)];
        manager.configure("Address = 10.77.0.1/24", "10.77.0.2/32")?;
        let (mut daemon, _) = manager.start_ready(&environment)?;
        daemon.wait_for_line(PUBLIC, LIMIT)?;
        daemon.stop()?;
        manager.kept = None;

        manager.configure(&own("10.77.0.1/24"), "10.77.0.2/32")?;
        let mut daemon = manager.start("", &environment)?;
        assert_eq!(daemon.wait(LIMIT)?.code(), Some(78));
        let log = daemon.output()?;
        assert!(
            log.contains("mesh7.conf:4: PrivateKey: there is the credential ")
                && log.contains("; one of the two"),
            "{log}"
        );
        assert!(!log.contains(PRIVATE), "a secret in the log");
        Ok(())
    })
}

#[test]
fn a_network_has_its_own_name_and_a_wrong_configuration_ends_it_for_good() -> Result<()> {
    story(|dir| {
        let manager = Manager::new(dir)?;
        manager.configure(&format!("{}\nTapName = mesh8", own("10.77.0.1/24")), "10.77.0.2/32")?;
        let mut daemon = manager.start("", &[])?;
        assert_eq!(daemon.wait(LIMIT)?.code(), Some(78));
        let log = daemon.output()?;
        assert!(
            log.contains("mesh7.conf:6: TapName: mesh8 is another name than the network's, which is mesh7"),
            "{log}"
        );
        Ok(())
    })
}
