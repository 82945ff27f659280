//! What is sent through a tunnel: TCP as fast as it goes, small packets at the rate that just loses none, pings.

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use meshnet_system::namespace::Namespace;
use meshnet_system::ping::Ping;
use meshnet_system::process::Process;
use serde_json::Value;

use super::super::setup::quantile;
use super::peer::INSIDE;

/// A rate is still free of loss with this share lost: what a scheduler of two processors loses now and then.
const TOLERATED: f64 = 0.005;
/// Where the search for the rate begins and ends, in packets per second.
const RATES: [f64; 2] = [10_000.0, 600_000.0];
/// How often the range of rates is halved: the last step is a factor of 1.05.
const STEPS: u32 = 6;
/// Packets that `iperf3` sends at a time: one by one it is the sender that takes most of the processors.
pub(super) const BURST: u32 = 10;
/// What the receiver may have waiting, where the kernel's `rmem_max` lets it: with less it is the receiver that loses packets
/// which had come through the tunnel.
pub(super) const WINDOW: &str = "400K";
/// How long one rate is tried.
const TRY: Duration = Duration::from_secs(1);

/// Two ends with `iperf3` between them.
pub(super) struct Load<'a> {
    ends: &'a [Namespace; 2],
    dir: &'a Path,
    server: std::cell::RefCell<Process>,
    runs: Cell<u32>,
}

/// What TCP found.
pub(super) struct Tcp {
    /// Bits per second that arrived.
    pub(super) rate: f64,
    /// Bytes that arrived.
    pub(super) bytes: f64,
}

/// What pings found, in microseconds.
pub(super) struct RoundTrip {
    pub(super) median: f64,
    pub(super) p99: f64,
}

impl<'a> Load<'a> {
    /// Starts the server at the second end.
    pub(super) fn new(ends: &'a [Namespace; 2], dir: &'a Path) -> Result<Self> {
        let mut command = Command::new("iperf3");
        command.args(["--server", "--forceflush", "--bind", INSIDE[1]]);
        let server = Process::start("iperf3-server", command, Some(&ends[1]), dir)?.into();
        Ok(Self { ends, dir, server, runs: Cell::new(0) })
    }

    /// Sends over TCP for so long.
    pub(super) fn tcp(&self, streams: u32, time: Duration) -> Result<Tcp> {
        let found = self.iperf(&["--parallel", &streams.to_string()], time)?;
        let sum = &found["end"]["sum_received"];
        let number = |key: &str| sum[key].as_f64().with_context(|| format!("iperf3 says no {key}"));
        Ok(Tcp { rate: number("bits_per_second")?, bytes: number("bytes")? })
    }

    /// Returns the highest rate, in packets per second, at which UDP packets with so many bytes of data all arrive.
    pub(super) fn loss_free(&self, len: u32) -> Result<f64> {
        let [mut low, mut high] = RATES;
        let mut best = 0.0;
        for _ in 0..STEPS {
            let rate = (low * high).sqrt();
            let bits = format!("{:.0}/{BURST}", rate * f64::from(len) * 8.0);
            let length = len.to_string();
            let words = ["--udp", "--length", &length, "--bandwidth", &bits, "--window", WINDOW];
            let found = self.iperf(&words, TRY)?;
            let sum = &found["end"]["sum"];
            let number = |key: &str| sum[key].as_f64().with_context(|| format!("iperf3 says no {key}"));
            let (packets, lost, seconds) = (number("packets")?, number("lost_packets")?, number("seconds")?);
            // What it could send, if that is less than it was told to.
            let sent = packets / seconds;
            if lost <= TOLERATED * packets {
                best = f64::max(best, sent);
                low = rate;
                if sent < 0.9 * rate {
                    // The sender is the limit.
                    break;
                }
            } else {
                high = rate;
            }
        }
        Ok(best)
    }

    /// Pings so often.
    pub(super) fn ping(&self, count: u32) -> Result<RoundTrip> {
        let ping = Ping {
            count,
            interval: Duration::from_millis(5),
            limit: Duration::from_secs(1),
            ..Ping::default()
        };
        let pinged = ping.run(&self.ends[0], INSIDE[1])?;
        let micros = || pinged.round_trips.iter().map(|trip| trip.as_secs_f64() * 1e6);
        Ok(RoundTrip { median: quantile(micros(), 0.5), p99: quantile(micros(), 0.99) })
    }

    /// Runs the client at the first end, and returns what it says.
    fn iperf(&self, arguments: &[&str], time: Duration) -> Result<Value> {
        self.server.borrow_mut().wait_for_line("Server listening", super::START_LIMIT)?;
        self.runs.set(self.runs.get() + 1);
        let mut command = Command::new("iperf3");
        command
            .args(["--json", "--connect-timeout", "5000", "--client", INSIDE[1]])
            .args(["--time", &time.as_secs().to_string()])
            .args(arguments);
        let name = format!("iperf3-client-{}", self.runs.get());
        let mut client = Process::start(&name, command, Some(&self.ends[0]), self.dir)?;
        // Its first words are over TCP, and wait for whatever the last load left in queues.
        client.wait(time + Duration::from_secs(20))?;
        let text = client.output()?;
        let found: Value = serde_json::from_str(&text).with_context(|| format!("iperf3 says {text:?}"))?;
        if let Some(error) = found["error"].as_str() {
            bail!("iperf3: {error}");
        }
        Ok(found)
    }
}
