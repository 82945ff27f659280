//! What the terse encoding of a WIREGUARD session costs on the air beside version 1: a ping, an acknowledgement, and 10 kB
//! over TCP where a tenth of everything is lost.
//!
//! Both have the same air: preset, seed and loss. Version 1 has the MTU that suits it best, 180; WIREGUARD is measured with
//! several, and judged with the one that it has where nobody chose ([`JUDGED`]).

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use meshnet_proto::meshtastic::airtime::on_air_len;
use meshnet_system::daemon::Make;
use meshnet_system::lab::{Lab, Security, Spec};
use meshnet_system::ping::Ping;
use meshnet_system::radiosim::{AirSpec, Transmission};
use serde::{Deserialize, Serialize};

use super::account::{Mark, settle};
use super::setup::{acquaint, median, modem};
use super::stream::{Carried, accept, carry, connect, listen};
use super::{Goal, Section, Task};

pub(crate) const NAME: &str = "terse";
/// What a daemon takes for a network of WIREGUARD peers with radios only.
const JUDGED: u16 = 1300;
/// Version 1's best MTU.
const PLAIN: u16 = 180;
const MTUS: [u16; 4] = [PLAIN, 655, JUDGED, 1420];
const LOSS: f64 = 0.1;
/// What is judged, in bytes.
const TRANSFER: usize = 10 * 1024;

/// What is measured at a preset.
#[derive(Debug, Clone, Copy)]
struct Setting {
    preset: &'static str,
    /// With how many seeds.
    seeds: u64,
    /// With which MTUs.
    mtus: &'static [u16],
    /// How many bytes are carried, and how many seconds that may take.
    transfer: usize,
    limit: u64,
    /// After so many seconds of silence a job is taken to be over; a transfer not before its receiver has all of it.
    quiet: u64,
}

/// The air cannot go faster than real time here, for the kernels' TCP would not: what is slow carries less.
const SETTINGS: [Setting; 2] = [
    Setting { preset: "SHORT_TURBO", seeds: 7, mtus: &MTUS, transfer: TRANSFER, limit: 240, quiet: 6 },
    Setting { preset: "LONG_FAST", seeds: 1, mtus: &[JUDGED], transfer: 2 * 1024, limit: 400, quiet: 15 },
];
/// What a ping of 56 bytes may take, and a pure acknowledgement with timestamps.
const PING_GOAL: usize = 82;
const ACK_GOAL: usize = 45;
/// An IPv4 packet with an ICMP echo of 56 bytes of data: what the official tunnel hands to the radio.
const ECHO: usize = 84;
/// A question for parts that were lost; no acknowledgement is so short.
const QUESTION: usize = 24;
/// The official tunnel's port: IP_TUNNEL_APP.
const TUNNEL_PORT: u32 = 33;

/// Which encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    Version1,
    Terse,
}

/// What one lab found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    encoding: Encoding,
    mtu: u16,
    preset: String,
    seed: u64,
    /// Payload of each echo request and reply, in bytes, and the air of one in milliseconds.
    pings: Vec<usize>,
    ping_ms: f64,
    /// Whether the radios encrypted for each other, which is up to them.
    sealed_by_radio: bool,
    /// Payload of each pure acknowledgement.
    acknowledgements: Vec<usize>,
    carried: Carried,
    /// What went on the air for the transfer: there, back.
    there: Traffic,
    back: Traffic,
}

/// What one side sent.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Traffic {
    frames: usize,
    /// Bytes of payload.
    payload: usize,
    /// Milliseconds.
    air: f64,
    /// How many frames there were of each length.
    lengths: BTreeMap<usize, usize>,
}

impl Traffic {
    fn of<'a>(frames: impl Iterator<Item = &'a Transmission>) -> Self {
        let mut sum = Self::default();
        for frame in frames {
            sum.frames += 1;
            sum.payload += frame.payload;
            sum.air += frame.airtime_ms;
            *sum.lengths.entry(frame.payload).or_default() += 1;
        }
        sum
    }

    /// Returns how many bytes of payload what acknowledges had on average: all but the questions for parts.
    fn mean_acknowledgement(&self) -> f64 {
        let others = self.lengths.iter().filter(|(len, _)| **len != QUESTION);
        let (frames, payload) =
            others.fold((0, 0), |(frames, payload), (len, count)| (frames + count, payload + len * count));
        #[allow(clippy::cast_precision_loss, reason = "thousands")]
        let mean = payload as f64 / frames.max(1) as f64;
        mean
    }
}

pub(crate) fn tasks() -> Vec<Task> {
    let mut tasks = Vec::new();
    for setting in SETTINGS {
        for seed in 1..=setting.seeds {
            for (encoding, mtu) in setting.variants() {
                let title =
                    format!("{} with an MTU of {mtu} at {}, seed {seed}", name(encoding), setting.preset);
                tasks.push(Task::new(NAME, title, setting.limit, move |dir| {
                    measure(encoding, mtu, &setting, seed, dir)
                }));
            }
        }
    }
    tasks
}

impl Setting {
    /// What is measured with each seed.
    fn variants(&self) -> impl Iterator<Item = (Encoding, u16)> + use<> {
        [(Encoding::Version1, PLAIN)].into_iter().chain(self.mtus.iter().map(|mtu| (Encoding::Terse, *mtu)))
    }

    const fn quiet(&self) -> Duration {
        Duration::from_secs(self.quiet)
    }
}

fn name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Version1 => "version 1",
        Encoding::Terse => "WIREGUARD",
    }
}

fn measure(encoding: Encoding, mtu: u16, setting: &Setting, seed: u64, dir: &Path) -> Result<Found> {
    let (preset, quiet) = (setting.preset, setting.quiet());
    let security = match encoding {
        Encoding::Version1 => Security::Pki,
        Encoding::Terse => Security::WireGuard,
    };
    let mut spec = Spec { mtu, ..Spec::new(Make::Ours, Make::Ours).security(security) };
    spec.air = AirSpec { preset: preset.to_owned(), seed, ..AirSpec::default() };
    spec.air.more.push("--no-next-hop".into());
    let mut lab = Lab::start(&spec, dir)?;
    for site in [&mut lab.west, &mut lab.east] {
        site.daemon.process()?.wait_for_line("the radio is up", Duration::from_secs(30))?;
    }
    acquaint(&lab)?;
    settle(&lab.sim, quiet, Duration::from_secs(90))?;

    let mark = Mark::here(&lab.sim)?;
    Ping { count: 3, interval: Duration::from_secs(2), ..Ping::default() }
        .run(&lab.west.namespace, lab.east.address)?;
    settle(&lab.sim, quiet, Duration::from_secs(90))?;
    let sent = data(mark.transmissions(&lab.sim)?);
    let pings = sent.iter().map(|sent| sent.payload).collect();
    let ping_ms = median(sent.iter().map(|sent| sent.airtime_ms));

    let sealed_by_radio = sent.iter().any(|sent| sent.bytes > on_air_len(sent.payload, sent.port, false));

    let acknowledgements = acknowledge(&lab, quiet)?;
    lab.sim.set_fault("loss", LOSS)?;
    let mark = Mark::here(&lab.sim)?;
    let carried = carry(&lab.west, &lab.east, setting.transfer, Duration::from_secs(setting.limit))?;
    // What is still under way belongs to it.
    settle(&lab.sim, quiet, Duration::from_secs(90))?;
    let sent = mark.transmissions(&lab.sim)?;
    let of = |node: u32| {
        let sender = format!("!{node:08x}");
        Traffic::of(sent.iter().filter(move |sent| sent.sender == sender))
    };
    let (there, back) = (of(lab.west.node), of(lab.east.node));
    Ok(Found {
        encoding,
        mtu,
        preset: preset.to_owned(),
        seed,
        pings,
        ping_ms,
        sealed_by_radio,
        acknowledgements,
        carried,
        there,
        back,
    })
}

/// Returns what the daemons handed to their radios, without the radios' own.
fn data(sent: Vec<Transmission>) -> Vec<Transmission> {
    sent.into_iter().filter(|sent| sent.kind == "data").collect()
}

/// Has east acknowledge single bytes, and returns how long each acknowledgement was.
fn acknowledge(lab: &Lab, quiet: Duration) -> Result<Vec<usize>> {
    const PORT: u16 = 4001;
    let deadline = Instant::now() + Duration::from_secs(60);
    let listener = listen(&lab.east, PORT)?;
    let mut outgoing =
        connect(&lab.west, lab.east.at(PORT), deadline)?.context("no connection in a minute")?;
    let mut incoming = accept(&listener, deadline)?.context("nothing to accept in a minute")?;
    settle(&lab.sim, quiet, Duration::from_secs(90))?;
    let mut lengths = Vec::new();
    for _ in 0..3 {
        let mark = Mark::here(&lab.sim)?;
        outgoing.write_all(b"x")?;
        settle(&lab.sim, quiet, Duration::from_secs(90))?;
        incoming.read_exact(&mut [0])?;
        let east = format!("!{:08x}", lab.east.node);
        let back = data(mark.transmissions(&lab.sim)?).into_iter().filter(|sent| sent.sender == east);
        lengths.extend(back.map(|sent| sent.payload));
    }
    drop((outgoing, incoming));
    settle(&lab.sim, quiet, Duration::from_secs(90))?;
    Ok(lengths)
}

pub(crate) fn section(found: &[Found]) -> Section {
    let mut section = Section { title: "WIREGUARD on the air, beside version 1", ..Section::default() };
    if found.is_empty() {
        return section;
    }
    section.body = format!(
        "Two daemons at a time, with the same seeds; pings of 56 bytes and pure TCP acknowledgements (with timestamps) on a \
         clear channel, then a TCP connection that carries some bytes, with its begin and end, while every reception fails with \
         a chance of {:.0} %. Payload is what the daemon hands to the radio; air is of all that both radios sent. The \
         acknowledgements of the transfer are all that came back but questions for lost parts, on average. At {} it is one run, \
         and so short that the connection's begin and end weigh most.\n\n\
         | preset | encoding | MTU | ping | acknowledgement | transfer | air | of version 1's | took | frames there | back | payload | acknowledgements |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        100.0 * LOSS,
        SETTINGS[1].preset,
    );
    for setting in SETTINGS {
        let preset = setting.preset;
        let of = |encoding, mtu| {
            let all = found.iter().filter(move |found| found.preset == preset);
            all.filter(move |found| found.encoding == encoding && found.mtu == mtu)
        };
        let reference = median(of(Encoding::Version1, PLAIN).map(Found::air));
        for (encoding, mtu) in setting.variants() {
            if of(encoding, mtu).next().is_none() {
                continue;
            }
            let longest = |pick: fn(&Found) -> &Vec<usize>| of(encoding, mtu).flat_map(pick).max().copied();
            let middle = |pick: fn(&Found) -> usize| {
                #[allow(clippy::cast_precision_loss, reason = "thousands")]
                median(of(encoding, mtu).map(|found| pick(found) as f64))
            };
            let air = median(of(encoding, mtu).map(Found::air));
            section.body += &format!(
                "| {preset} | {} | {mtu} | {} | {} | {} | {:.1} s | **{:.0} %** | {:.0} s | {:.0} | {:.0} | {:.0} | {:.0} |\n",
                name(encoding),
                longest(|found| &found.pings).unwrap_or_default(),
                longest(|found| &found.acknowledgements).unwrap_or_default(),
                setting.transfer,
                air / 1000.0,
                100.0 * air / reference,
                median(of(encoding, mtu).map(|found| found.carried.whole.unwrap_or(f64::INFINITY))),
                middle(|found| found.there.frames),
                middle(|found| found.back.frames),
                middle(|found| found.there.payload + found.back.payload),
                median(of(encoding, mtu).map(|found| found.back.mean_acknowledgement())),
            );
        }
        section.goals.extend(goals(&setting, found));
    }
    section
}

fn goals(setting: &Setting, found: &[Found]) -> Vec<Goal> {
    let preset = setting.preset;
    if !found.iter().any(|found| found.preset == preset) {
        return Vec::new();
    }
    let of = |encoding| {
        let all = found.iter().filter(move |found| found.preset == preset && found.encoding == encoding);
        all.filter(|found| found.mtu == if found.encoding == Encoding::Terse { JUDGED } else { PLAIN })
    };
    let longest = |encoding, pick: fn(&Found) -> &Vec<usize>| of(encoding).flat_map(pick).max().copied();
    let mut goals = Vec::new();
    let pings =
        (longest(Encoding::Terse, |found| &found.pings), longest(Encoding::Version1, |found| &found.pings));
    if let (Some(ours), Some(plain)) = pings {
        let air = of(Encoding::Terse).map(|found| found.ping_ms).fold(0.0, f64::max);
        let sealed_by_radio = of(Encoding::Terse).any(|found| found.sealed_by_radio);
        let official = on_air_len(ECHO, TUNNEL_PORT, sealed_by_radio);
        let official = modem(preset).airtime(official).as_secs_f64() * 1000.0;
        goals.push(Goal {
            met: ours <= PING_GOAL && air <= official + 0.001,
            text: format!(
                "a ping of 56 bytes at {preset}: {ours} bytes of payload (at most {PING_GOAL}; version 1: {plain}), \
                 {air:.1} ms of air (no more than the {official:.1} ms of the official tunnel, which encrypts nothing)"
            ),
        });
    }
    let acks = (
        longest(Encoding::Terse, |found| &found.acknowledgements),
        longest(Encoding::Version1, |found| &found.acknowledgements),
    );
    if let (Some(ours), Some(plain)) = acks {
        goals.push(Goal {
            met: ours <= ACK_GOAL,
            text: format!(
                "a pure TCP acknowledgement at {preset}: {ours} bytes of payload (at most {ACK_GOAL}; version 1: {plain})"
            ),
        });
    }
    // A few bytes are mostly the connection's begin and end.
    if setting.transfer < TRANSFER {
        return goals;
    }
    let air = |encoding| median(of(encoding).map(Found::air));
    let share = air(Encoding::Terse) / air(Encoding::Version1);
    let whole = of(Encoding::Terse).all(|found| found.carried.whole.is_some());
    goals.push(Goal {
        met: share <= 0.5 && whole,
        text: format!(
            "{} kB over TCP at {:.0} % loss at {preset}: {:.0} % of version 1's airtime (at most 50 %)",
            setting.transfer / 1024,
            100.0 * LOSS,
            100.0 * share
        ),
    });
    goals
}

impl Found {
    /// Milliseconds of air for the transfer.
    fn air(&self) -> f64 {
        self.there.air + self.back.air
    }
}
