//! VPNs between two namespaces on one machine: ours beside everything that installs here from registries.
//!
//! All do equal work: an MTU of 1420 inside and 1500 outside, encryption and checksums on. They take turns, round after round, so
//! that what else the machine does hits all of them; the report has medians, and ratios to one of them in the same run.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Result, ensure};
use meshnet_system::cable::{Cable, ip, run_for};
use meshnet_system::namespace::Namespace;
use meshnet_system::process::Process;
use meshnet_system::wait::{let_pass, wait_for};
use meshnet_system::{interrupt, ping};
use serde::{Deserialize, Serialize};

use super::{Section, Task};
use crate::{need, say};
use load::Load;
use peer::{INSIDE, OURS, OUTSIDE, PEERS, Peer};

mod chart;
mod fastd;
mod load;
mod nebula;
mod openvpn;
mod ours;
mod peer;
mod section;
mod tinc;
mod usage;
mod vpncloud;
mod wireguard;

pub(crate) const NAME: &str = "vpn";
pub(crate) const CHART: &str = "docs/vpn.svg";

/// How long a program may take until its tunnel carries something: one that loses its first handshake may wait half a minute
/// before it tries again.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Pings of each round.
const PINGS: u32 = 300;
/// How long nothing happens when wakeups are counted.
const IDLE: Duration = Duration::from_secs(120);

/// How much is measured.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Of `vpn`: how often each program has its turn
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,

    /// Of `vpn`: how long TCP runs
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    seconds: u64,

    /// Of `vpn`: only programs whose name begins so; may be repeated
    #[arg(long, value_name = "NAME")]
    peer: Vec<String>,
}

/// What one turn of one program found.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Turn {
    peer: String,
    /// Bits per second, one stream and four.
    tcp: f64,
    tcp_four: f64,
    /// Seconds of both processes per gigabyte, with one stream.
    processor: f64,
    /// Packets per second without loss, with 64 bytes of data and with 200.
    small: f64,
    medium: f64,
    /// Microseconds.
    ping: f64,
    ping_p99: f64,
    /// Megabytes, of the larger of the two processes.
    resident: f64,
    peak: f64,
}

/// What a program does while nothing is sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Quiet {
    peer: String,
    /// Voluntary context switches of all threads of both ends per minute.
    wakeups: f64,
}

/// Everything.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    rounds: u32,
    seconds: u64,
    turns: Vec<Turn>,
    quiet: Vec<Quiet>,
    /// Who could not be measured, and why.
    failed: Vec<(String, String)>,
}

static ARGUMENTS: OnceLock<Arguments> = OnceLock::new();

/// Keeps what was asked for until the task runs.
pub(crate) fn configure(arguments: &Arguments) {
    let _ = ARGUMENTS.set(arguments.clone());
}

/// Returns whether our daemon is among what is measured.
pub(crate) fn needs_ours() -> bool {
    wanted(&ARGUMENTS.get().map_or_else(Vec::new, |arguments| arguments.peer.clone()), OURS)
}

fn wanted(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|beginning| name.starts_with(beginning))
}

/// One task: the programs take turns in it, alone on the machine.
pub(crate) fn tasks() -> Vec<Task> {
    let title = "VPNs in turns".to_owned();
    vec![Task::new(NAME, title, 600, measure).alone()]
}

fn measure(dir: &Path) -> Result<Found> {
    let arguments = ARGUMENTS.get().cloned().unwrap_or(Arguments { rounds: 5, seconds: 5, peer: Vec::new() });
    need::tools(&[&need::IPERF])?;
    let mut found = Found { rounds: arguments.rounds, seconds: arguments.seconds, ..Found::default() };
    let mut peers: Vec<&dyn Peer> = Vec::new();
    for peer in PEERS.iter().filter(|peer| wanted(&arguments.peer, peer.name())) {
        match peer.provision() {
            Ok(()) => peers.push(*peer),
            Err(error) => found.failed.push((peer.name().to_owned(), format!("{error:#}"))),
        }
    }
    for round in 0..arguments.rounds {
        // One that fails once is left out from then on: medians of fewer turns would be no equals.
        for peer in std::mem::take(&mut peers) {
            interrupt::check()?;
            let place = dir.join(format!("{}-{round}", peer.name().replace(' ', "-")));
            std::fs::create_dir(&place)?;
            match turn(peer, &place, Duration::from_secs(arguments.seconds)) {
                Ok(turn) => {
                    say::note(&format!(
                        "{}: TCP {:.2} Gbit/s, {:.0} small packets/s, ping {:.0} us, {:.1} s per GB",
                        turn.peer,
                        turn.tcp / 1e9,
                        turn.small,
                        turn.ping,
                        turn.processor
                    ));
                    found.turns.push(turn);
                    peers.push(peer);
                }
                Err(error) => {
                    say::note(&format!("{}: {error:#}", peer.name()));
                    found.turns.retain(|turn| turn.peer != peer.name());
                    found.failed.push((peer.name().to_owned(), format!("{error:#}")));
                }
            }
        }
    }
    ensure!(!peers.is_empty(), "nobody could be measured");
    found.quiet = quiet(&peers, dir)?;
    Ok(found)
}

/// Two namespaces joined by a veth pair, with a tunnel that has carried a ping.
struct Tunnel {
    processes: [Process; 2],
    ends: [Namespace; 2],
}

impl Tunnel {
    fn start(peer: &dyn Peer, dir: &Path) -> Result<Self> {
        let ends = [Namespace::new()?, Namespace::new()?];
        let outside = OUTSIDE.map(|address| format!("{address}/24"));
        Cable::join("veth0", [(&ends[0], &outside[0]), (&ends[1], &outside[1])])?;
        ip(&ends[0], &["link", "set", "veth0", "mtu", "1500"])?;
        let processes = peer.start(&ends, dir)?;
        wait_for("a route into the tunnel", START_LIMIT, || {
            let route = run_for(&ends[0], "ip", &["route", "get", INSIDE[1]]);
            Ok(route.ok())
        })?;
        ping::until_answered(&ends[0], INSIDE[1], START_LIMIT)?;
        Ok(Self { processes, ends })
    }

    fn each(&self, of: impl Fn(u32) -> Result<f64>) -> Result<[f64; 2]> {
        Ok([of(self.processes[0].pid())?, of(self.processes[1].pid())?])
    }

    fn sum(&self, of: impl Fn(u32) -> Result<f64>) -> Result<f64> {
        Ok(self.each(of)?.iter().sum())
    }

    fn larger(&self, of: impl Fn(u32) -> Result<f64>) -> Result<f64> {
        Ok(self.each(of)?.into_iter().fold(0.0, f64::max))
    }
}

fn turn(peer: &dyn Peer, dir: &Path, time: Duration) -> Result<Turn> {
    let tunnel = Tunnel::start(peer, dir)?;
    let resident = tunnel.larger(usage::resident)?;
    let load = Load::new(&tunnel.ends, dir)?;
    // Before all load, and with nothing in any queue.
    let round_trip = load.ping(PINGS)?;
    let before = tunnel.sum(usage::processor)?;
    let tcp = load.tcp(1, time)?;
    let processor = (tunnel.sum(usage::processor)? - before) / (tcp.bytes / 1e9);
    let tcp_four = load.tcp(4, time)?.rate;
    let (small, medium) = (load.loss_free(64)?, load.loss_free(200)?);
    Ok(Turn {
        peer: peer.name().to_owned(),
        tcp: tcp.rate,
        tcp_four,
        processor,
        small,
        medium,
        ping: round_trip.median,
        ping_p99: round_trip.p99,
        resident,
        peak: tunnel.larger(usage::peak)?,
    })
}

/// Counts wakeups of all programs at once: they do nothing, so that none disturbs another.
fn quiet(peers: &[&dyn Peer], dir: &Path) -> Result<Vec<Quiet>> {
    let mut tunnels = Vec::new();
    for peer in peers {
        let place = dir.join(format!("{}-quiet", peer.name().replace(' ', "-")));
        std::fs::create_dir(&place)?;
        tunnels.push((peer.name(), Tunnel::start(*peer, &place)?));
    }
    // What the first ping started is over: passive keepalives come after 10 s.
    let_pass(Duration::from_secs(15))?;
    let waits = || tunnels.iter().map(|(_, tunnel)| tunnel.sum(usage::waits)).collect::<Result<Vec<f64>>>();
    let before = waits()?;
    let_pass(IDLE)?;
    let after = waits()?;
    let per_minute = |(before, after): (&f64, &f64)| (after - before) * 60.0 / IDLE.as_secs_f64();
    let found = tunnels.iter().zip(before.iter().zip(&after));
    Ok(found
        .map(|((name, _), counts)| Quiet { peer: (*name).to_owned(), wakeups: per_minute(counts) })
        .collect())
}

pub(crate) fn section(found: &[Found]) -> Section {
    found.last().map_or_else(Section::default, section::write)
}

/// Returns the chart, if anything was measured.
pub(crate) fn chart(found: &[Found]) -> Option<String> {
    found.last().map(|found| chart::draw(&section::medians(found)))
}
