//! The simulated air of a lab: starting it, making things go wrong on it, and what it cost.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::process::Process;
use crate::programs::program;

/// How long the simulator may take to open its ports.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// The control port's name.
const CONTROL: &str = "control";

/// What an air is like.
#[derive(Debug, Clone)]
pub struct AirSpec {
    /// The modem preset's name.
    pub preset: String,
    /// The region's name.
    pub region: &'static str,
    /// The seed of all chance.
    pub seed: u64,
    /// How many times faster than real time it goes.
    pub speed: f64,
    /// Further options of `meshnet-radiosim`.
    pub more: Vec<String>,
}

impl Default for AirSpec {
    /// The fastest preset, in a region without a duty cycle, whose radios talk of nothing by themselves.
    fn default() -> Self {
        Self {
            preset: "SHORT_TURBO".into(),
            region: "US",
            seed: 1,
            speed: 1.0,
            more: vec!["--no-node-info".into(), "--telemetry=0".into()],
        }
    }
}

/// Where a radio's host finds it.
#[derive(Debug, Clone)]
pub enum Port {
    /// On TCP port 4403 of the loopback interface of a namespace.
    Tcp(PathBuf),
    /// On a serial port: a pty that this path links to.
    Serial(PathBuf),
}

impl Port {
    /// Returns the TCP port of a radio whose host lives in `namespace`.
    #[must_use]
    pub fn tcp(namespace: &Namespace) -> Self {
        Self::Tcp(namespace.net_path())
    }

    /// Returns what a daemon's `MeshtasticConnect` says.
    #[must_use]
    pub fn connect(&self) -> String {
        match self {
            Self::Tcp(_) => "tcp://127.0.0.1:4403".into(),
            Self::Serial(path) => format!("serial://{}", path.display()),
        }
    }

    fn option(&self, node: u32) -> String {
        match self {
            Self::Tcp(namespace) => {
                format!("--radio=!{node:08x}=netns:{}:127.0.0.1:4403", namespace.display())
            }
            Self::Serial(path) => format!("--radio=!{node:08x}=pty:{}", path.display()),
        }
    }
}

/// A running simulator.
#[derive(Debug)]
pub struct Radiosim {
    process: Process,
    /// Apart from the other files, because the path of a socket has to be short.
    control: TempDir,
    ledger: PathBuf,
}

/// One transmission, as the ledger has it.
#[derive(Debug, Clone, Deserialize)]
pub struct Transmission {
    /// Seconds of simulated time.
    pub time: f64,
    /// Whose transmitter it was.
    pub sender: String,
    /// Who made the packet.
    pub from: String,
    /// For whom.
    pub to: String,
    /// What it is for: `data`, `ack`, `node_info`, `reply`, `retransmit`, `relay`.
    pub kind: String,
    /// The application's port.
    pub port: u32,
    /// Bytes of the application's message.
    pub payload: usize,
    /// Bytes given to the chip.
    pub bytes: usize,
    /// Milliseconds on the air.
    pub airtime_ms: f64,
    /// Who received it.
    pub delivered: Vec<String>,
    /// Who lost it to another transmission.
    pub collided: Vec<String>,
    /// Who could not hear it because they were sending or booting.
    pub deaf: Vec<String>,
    /// Who lost it to noise.
    pub lost: Vec<String>,
}

/// What a radio sent in total.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Totals {
    /// Transmissions, by kind.
    pub frames: BTreeMap<String, u64>,
    /// Bytes given to the chip.
    pub bytes: u64,
    /// Seconds on the air.
    pub airtime_s: f64,
}

/// What all radios sent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Transmissions.
    pub frames: u64,
    /// Bytes given to chips.
    pub bytes: u64,
    /// Time on the air.
    pub airtime: Duration,
}

impl std::ops::Sub for Spent {
    type Output = Self;
    fn sub(self, before: Self) -> Self {
        Self {
            frames: self.frames - before.frames,
            bytes: self.bytes - before.bytes,
            airtime: self.airtime.saturating_sub(before.airtime),
        }
    }
}

impl Radiosim {
    /// Starts the simulator; returns when its ports are open. Its files go to `dir`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(air: &AirSpec, radios: &[(u32, Port)], dir: &Path) -> Result<Self> {
        let control = tempfile::Builder::new().prefix("meshnet-").tempdir()?;
        let ledger = dir.join("air.jsonl");
        let mut command = Command::new(program("meshnet-radiosim")?);
        command.args(radios.iter().map(|(node, port)| port.option(*node)));
        command.args(["--preset", &air.preset, "--region", air.region]);
        command.arg(format!("--seed={}", air.seed)).arg(format!("--speed={}", air.speed)).args(&air.more);
        command.arg("--control").arg(control.path().join(CONTROL)).arg("--ledger").arg(&ledger);
        let mut process = Process::start("radiosim", command, None, dir)?;
        process.wait_for_line("ready ", READY_LIMIT)?;
        Ok(Self { process, control, ledger })
    }

    /// Returns the simulator's process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Gives a command (`meshnet-radiosim --help` lists them) and returns the answer.
    ///
    /// # Errors
    /// If it is refused.
    pub fn order(&self, command: &Value) -> Result<Value> {
        let mut stream =
            UnixStream::connect(self.control.path().join(CONTROL)).context("the simulator's control port")?;
        stream.set_read_timeout(Some(READY_LIMIT))?;
        writeln!(stream, "{command}")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let mut answer: Value =
            serde_json::from_str(&line).with_context(|| format!("the answer to {command}"))?;
        if let Some(error) = answer.get("error") {
            bail!("{command}: {error}");
        }
        Ok(answer["ok"].take())
    }

    /// Gives a command about one radio: `reboot`, `unplug`, `stall`...
    ///
    /// # Errors
    /// If it is refused.
    pub fn order_radio(&self, verb: &str, node: u32) -> Result<()> {
        self.order(&json!({ verb: format!("!{node:08x}") }))?;
        Ok(())
    }

    /// Sets the share of one fault: `loss`, `duplicate`, `reorder`, `corrupt`.
    ///
    /// # Errors
    /// If it is refused.
    pub fn set_fault(&self, fault: &str, share: f64) -> Result<()> {
        self.order(&json!({ fault: share }))?;
        Ok(())
    }

    /// Returns what each radio sent so far.
    ///
    /// # Errors
    /// If the simulator does not answer.
    pub fn totals(&self) -> Result<BTreeMap<String, Totals>> {
        Ok(serde_json::from_value(self.order(&json!({ "totals": null }))?)?)
    }

    /// Returns what all radios together sent so far.
    ///
    /// # Errors
    /// If the simulator does not answer.
    pub fn spent(&self) -> Result<Spent> {
        let mut sum = Spent::default();
        for totals in self.totals()?.values() {
            sum.frames += totals.frames.values().sum::<u64>();
            sum.bytes += totals.bytes;
            sum.airtime += Duration::from_secs_f64(totals.airtime_s);
        }
        Ok(sum)
    }

    /// Returns how many transmissions somebody did not receive.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn lost(&self) -> Result<usize> {
        let missed = |frame: &Transmission| {
            [&frame.collided, &frame.deaf, &frame.lost].iter().any(|by| !by.is_empty())
        };
        Ok(self.transmissions()?.iter().filter(|frame| missed(frame)).count())
    }

    /// Returns every transmission that ended so far.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn transmissions(&self) -> Result<Vec<Transmission>> {
        json_lines(&std::fs::read_to_string(&self.ledger)?)
    }
}

/// Reads one JSON value per whole line.
fn json_lines<T: DeserializeOwned>(text: &str) -> Result<Vec<T>> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}
