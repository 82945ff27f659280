//! A whole Debian system with a real systemd as PID 1, D-Bus and polkit, that a story boots, installs packages in and
//! throws away: `tests/system/testbed` makes it, this drives it.
//!
//! A machine starts from the same clean root file system each time; what it changes is in memory. It has a network of
//! its own with nothing in it but what [`link`] puts there. It ends with its [`Machine`]: the guard holds the writing
//! end of the testbed's standard input, so even a test that is killed takes its machines along.
//!
//! Needs root of the whole machine, not of a user namespace: see [`can_boot`].

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::namespace::Namespace;
use crate::story::workspace;
use crate::wait::wait_for;

/// Names the directory that the root file system is kept in; `target/system/testbed` if not set.
pub const CACHE_VARIABLE: &str = "MESHNET_TESTBED";

/// From "start" to a systemd that has finished starting everything: a second, or ten where the machine is loaded.
const BOOT_LIMIT: Duration = Duration::from_secs(90);

/// How long a command may take, if it does not say.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// Which implementation of the system bus a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bus {
    /// The reference implementation, Debian's default.
    #[default]
    Daemon,
    /// dbus-broker.
    Broker,
}

/// A running machine. Dropped, it is as if its plug was pulled.
#[derive(Debug)]
pub struct Machine {
    name: String,
    dir: PathBuf,
    testbed: Child,
    /// Closing it ends the machine.
    life: Option<ChildStdin>,
}

impl Machine {
    /// Boots a machine whose host name is `name`, its files in `dir/NAME`, its log in `dir/NAME.log`. Returns when its
    /// systemd has started everything.
    ///
    /// # Errors
    /// If it does not boot, or a unit of the bare system fails.
    pub fn boot(name: &str, dir: &Path, bus: Bus) -> Result<Self> {
        build_once()?;
        let log = File::options().create(true).append(true).open(dir.join(format!("{name}.log")))?;
        let dir = dir.join(name);
        let bus = match bus {
            Bus::Daemon => "daemon",
            Bus::Broker => "broker",
        };
        let mut testbed = testbed("run")
            .arg(&dir)
            .args(["--hostname", name, "--bus", bus])
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting the testbed")?;
        let life = testbed.stdin.take();
        let mut machine = Self { name: name.to_owned(), dir, testbed, life };
        machine.wait_booted(None)?;
        Ok(machine)
    }

    /// Returns its host name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a command to be run in it, by root unless it says otherwise.
    pub fn command<'a>(&'a self, line: &[&'a str]) -> Call<'a> {
        Call { machine: self, user: "root", limit: COMMAND_LIMIT, input: Vec::new(), line: line.to_vec() }
    }

    /// Runs a command as root and returns what it prints.
    ///
    /// # Errors
    /// If it fails, with what it prints.
    pub fn run(&self, line: &[&str]) -> Result<String> {
        self.command(line).succeed()
    }

    /// Runs a line of shell as root and returns what it prints.
    ///
    /// # Errors
    /// If it fails, with what it prints.
    pub fn shell(&self, line: &str) -> Result<String> {
        self.run(&["sh", "-c", line])
    }

    /// Runs a command as `user` and returns how it ended and what it printed.
    ///
    /// # Errors
    /// If it cannot be run; one that fails is no error.
    pub fn exec(&self, user: &str, line: &[&str]) -> Result<Output> {
        self.command(line).user(user).output()
    }

    /// Writes a file, with its directories.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &str, mode: u32, contents: impl AsRef<[u8]>) -> Result<()> {
        let mode = format!("-m{mode:o}");
        self.command(&["install", "-D", &mode, "/dev/stdin", path]).input(contents.as_ref()).succeed()?;
        Ok(())
    }

    /// Copies a file from here into it, with its directories, executable if it is so here.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub fn push(&self, from: &Path, to: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = from.metadata().with_context(|| from.display().to_string())?.permissions().mode();
        self.write(to, mode & 0o755, std::fs::read(from)?)
    }

    /// Installs Debian packages, as `apt install ./FILE...` does: what they depend on has to be there.
    ///
    /// # Errors
    /// If apt refuses or fails, with what it prints.
    pub fn install(&self, packages: &[PathBuf]) -> Result<String> {
        let mut line = "apt-get install --yes".to_owned();
        for package in packages {
            let name = package.file_name().context("a package is a file")?.to_string_lossy();
            let to = format!("/tmp/{name}");
            self.push(package, &to)?;
            line.push(' ');
            line.push_str(&to);
        }
        let line = ["env", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", &line];
        self.command(&line).limit(Duration::from_secs(180)).succeed()
    }

    /// Returns what the journal of this boot says of one unit, message by message.
    ///
    /// # Errors
    /// If `journalctl` fails.
    pub fn journal(&self, unit: &str) -> Result<String> {
        self.run(&["journalctl", "--no-pager", "--boot", "--output=cat", "--unit", unit])
    }

    /// Restarts the whole machine; returns when its systemd has started everything again. Links are gone then.
    ///
    /// # Errors
    /// If it does not come back.
    pub fn reboot(&mut self) -> Result<()> {
        let before = self.leader()?;
        // It may be ended by what it asks for.
        self.exec("root", &["systemctl", "reboot"])?;
        self.wait_booted(Some(before))
    }

    /// Returns its network, for what runs here and takes part in it there.
    ///
    /// # Errors
    /// If it does not run.
    pub fn network(&self) -> Result<Namespace> {
        Namespace::network_of(self.leader()?)
    }

    /// Returns the process id that this machine here knows one of its processes by.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn pid_here(&self, pid: u32) -> Result<u32> {
        let namespace = |process: &Path| std::fs::read_link(process.join("ns/pid")).ok();
        let its = namespace(Path::new(&format!("/proc/{}", self.leader()?)));
        for process in std::fs::read_dir("/proc")? {
            let process = process?.path();
            // Processes come and go while we look.
            let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
            // From the outermost namespace, which is ours, to its own.
            let line = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
            let ids: Vec<&str> = line.split_whitespace().collect();
            if ids.last() == Some(&pid.to_string().as_str()) && namespace(&process) == its {
                return Ok(ids[0].parse()?);
            }
        }
        bail!("{} has no process {pid}", self.name)
    }

    /// Waits for a command to succeed, and returns what it prints then.
    ///
    /// # Errors
    /// If it does not within `limit`, with what it printed last.
    pub fn until(&self, line: &str, limit: Duration) -> Result<String> {
        let mut last = String::new();
        wait_for(&format!("{}: {line}", self.name), limit, || {
            let output = self.exec("root", &["sh", "-c", line])?;
            last = String::from_utf8_lossy(&output.stdout).into_owned();
            last.push_str(&String::from_utf8_lossy(&output.stderr));
            Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
        })
        .map_err(|error| error.context(last))
    }

    /// Returns its systemd's process id, as this machine sees it.
    fn leader(&self) -> Result<u32> {
        let text = std::fs::read_to_string(self.dir.join("leader"))
            .with_context(|| format!("{} does not run", self.name))?;
        Ok(text.trim().parse()?)
    }

    fn wait_booted(&mut self, before: Option<u32>) -> Result<()> {
        wait_for(&format!("the boot of {}", self.name), BOOT_LIMIT, || {
            if let Some(status) = self.testbed.try_wait()? {
                bail!("the testbed of {} ended: {status}", self.name);
            }
            Ok(self.leader().ok().filter(|leader| Some(*leader) != before))
        })?;
        // Systemd does not answer at once.
        let state = wait_for(&format!("the systemd of {}", self.name), BOOT_LIMIT, || {
            let output = self.exec("root", &["systemctl", "is-system-running", "--wait"])?;
            let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            Ok((state == "running" || state == "degraded").then_some(state))
        })?;
        if state != "running" {
            let failed = self.run(&["systemctl", "--failed", "--no-pager"])?;
            bail!("{} is {state}: {failed}", self.name);
        }
        Ok(())
    }

    /// Leaves the journal where [`crate::process::show_logs`] looks, beside the log; without the words on every command of
    /// ours.
    fn keep_journal(&self) -> Result<()> {
        let journal =
            testbed("journal").arg(&self.dir).args(["--output=short-precise", "--quiet"]).output()?;
        let text = String::from_utf8_lossy(&journal.stdout);
        let lines = text
            .lines()
            .filter(|line| !line.contains(" systemd[1]: run-p") && !line.contains(": Started run-p"));
        std::fs::write(self.dir.with_extension("journal.log"), lines.collect::<Vec<_>>().join("\n"))?;
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.life.take());
        // Both fail only for what is gone or never was.
        let _ = self.testbed.wait();
        let _ = self.keep_journal();
    }
}

/// A command to be run in a [`Machine`].
#[derive(Debug)]
#[must_use]
pub struct Call<'a> {
    machine: &'a Machine,
    user: &'a str,
    limit: Duration,
    input: Vec<u8>,
    line: Vec<&'a str>,
}

impl<'a> Call<'a> {
    /// Runs it as somebody else (`alice` is there to be refused things).
    pub fn user(self, user: &'a str) -> Self {
        Self { user, ..self }
    }

    /// Kills it after `limit`; its status is 124 then.
    pub fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Gives it something to read; by default there is nothing.
    pub fn input(self, input: &[u8]) -> Self {
        Self { input: input.to_vec(), ..self }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// If it cannot be run; one that fails is no error.
    pub fn output(self) -> Result<Output> {
        let mut child = self.start()?;
        let mut stdin = child.stdin.take().context("it was asked for")?;
        std::thread::scope(|scope| {
            // Beside the reading, for a program may print before it has read everything.
            scope.spawn(move || {
                // One that ends without reading is no failure of ours.
                let _ = stdin.write_all(&self.input);
            });
            child.wait_with_output().with_context(|| format!("{:?} in {}", self.line, self.machine.name))
        })
    }

    /// Runs it to its end and returns what it prints.
    ///
    /// # Errors
    /// If it fails, with what it prints.
    pub fn succeed(self) -> Result<String> {
        let what = format!("{:?} in {}", self.line, self.machine.name);
        let output = self.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{what}: {}: {text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text.into_owned())
    }

    /// Starts it, all three of its streams piped. It ends with the machine, or after its limit.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(&self) -> Result<Child> {
        testbed("exec")
            .arg(&self.machine.dir)
            .args(["--user", self.user, "--timeout", &self.limit.as_secs_f64().to_string(), "--"])
            .args(&self.line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting the testbed")
    }
}

/// Joins two machines by a cable, each end an interface named after the other machine, with an address of its own
/// (`10.0.0.1/24`).
///
/// # Errors
/// If there is such a cable, or an address is none.
pub fn link(ends: [(&Machine, &str); 2]) -> Result<()> {
    let name = |other: &Machine| format!("to-{}", other.name);
    let [(one, _), (two, _)] = ends;
    let mut make = Command::new("ip");
    make.args(["link", "add", "name", &name(two), "netns", &one.leader()?.to_string(), "type", "veth"]);
    make.args(["peer", "name", &name(one), "netns", &two.leader()?.to_string()]);
    run(&mut make)?;
    for ((machine, address), other) in ends.into_iter().zip([two, one]) {
        machine.run(&["ip", "address", "add", address, "dev", &name(other)])?;
        machine.run(&["ip", "link", "set", &name(other), "up"])?;
    }
    Ok(())
}

/// Returns whether this process may boot machines.
///
/// # Errors
/// If it may not, with the reason.
pub fn can_boot() -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "booting a machine needs root");
    let map = std::fs::read_to_string("/proc/self/uid_map")?;
    let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
    ensure!(whole, "booting a machine needs root itself, not the root of a user namespace");
    Ok(())
}

/// Makes the root file system, the first time that a process asks.
fn build_once() -> Result<()> {
    static BUILT: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    BUILT
        .get_or_init(|| run(&mut testbed("build")).map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

fn testbed(verb: &str) -> Command {
    let mut command = Command::new(workspace().join("tests/system/testbed"));
    let cache = std::env::var_os(CACHE_VARIABLE)
        .map_or_else(|| workspace().join("target/system/testbed"), PathBuf::from);
    command.env("TESTBED_CACHE", cache).stdin(Stdio::null()).arg(verb);
    command
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
