//! What one sender with more to send than fits gets through, against what the firmware lets a lone sender have.

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use meshnet_system::daemon::Make;
use meshnet_system::interrupt;
use serde::{Deserialize, Serialize};

use super::account::{Mark, settle};
use super::setup::{MAKES, acquaint, lab, modem, name};
use super::{Goal, Section, Task};

pub(crate) const NAME: &str = "goodput";

/// Presets, and the bytes per second of radio payload that a lone sender settles at when the firmware's contention window
/// is in balance with the use it makes of the channel: full packets (255 bytes to the chip) with the mean wait of that
/// window between them.
const PRESETS: [(&str, f64); 4] =
    [("SHORT_TURBO", 974.0), ("SHORT_FAST", 671.0), ("MEDIUM_FAST", 216.0), ("LONG_FAST", 72.0)];
const GOAL: f64 = 0.9;
const TIME: Duration = Duration::from_secs(150);
/// The window grows with the use of the last minute: what went before is not steady.
const RAMP: f64 = 60.0;
/// A datagram that fills the MTU of 180: 152 bytes, 8 of UDP, 20 of IP.
const DATAGRAM: usize = 152;

/// What one lab found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    make: Make,
    preset: String,
    /// Bytes per second of radio payload that reached the other radio.
    rate: f64,
    /// The share of time that the sender was on the air.
    busy: f64,
}

pub(crate) fn tasks() -> Vec<Task> {
    let both = |preset| MAKES.map(|make| (make, preset));
    PRESETS
        .into_iter()
        .flat_map(both)
        .map(|(make, (preset, _))| {
            let expected = TIME.as_secs() + 40;
            Task::new(NAME, format!("{} at {preset}", name(make)), expected, move |dir| {
                measure(make, preset, dir)
            })
        })
        .collect()
}

fn measure(make: Make, preset: &str, dir: &Path) -> Result<Found> {
    let lab = lab(make, preset, 1, dir)?;
    acquaint(&lab)?;
    settle(&lab.sim, Duration::from_secs(10), Duration::from_secs(60))?;
    let mark = Mark::here(&lab.sim)?;
    let to = lab.east.at(9);
    // Without a socket there the kernel would refuse each datagram, over the air.
    let _sink = lab.east.namespace.run(|| UdpSocket::bind(to).context("a socket at the other site"))?;
    let socket = lab.west.namespace.run(|| {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect(to).context("a way to the other site")?;
        Ok(socket)
    })?;
    // Twice what the air would carry with nothing between the frames: more would only be thrown away sooner.
    let apart = modem(preset).airtime(255) / 2;
    let begin = Instant::now();
    while begin.elapsed() < TIME {
        interrupt::check()?;
        // What a full interface refuses is as good as sent: it would be thrown away behind it.
        let _ = socket.send(&[0x5a; DATAGRAM]);
        std::thread::sleep(apart);
    }
    let sent = mark.transmissions(&lab.sim)?;
    let west = format!("!{:08x}", lab.west.node);
    let east = format!("!{:08x}", lab.east.node);
    let start = sent.first().map_or(0.0, |first| first.time) + RAMP;
    let steady: Vec<_> = sent.iter().filter(|sent| sent.time >= start && sent.sender == west).collect();
    let end = steady.last().map_or(start, |last| last.time);
    #[allow(clippy::cast_precision_loss, reason = "some hundred thousand")]
    let payload: f64 =
        steady.iter().filter(|sent| sent.delivered.contains(&east)).map(|sent| sent.payload as f64).sum();
    let airtime: f64 = steady.iter().map(|sent| sent.airtime_ms / 1000.0).sum();
    let seconds = end - start;
    Ok(Found { make, preset: preset.to_owned(), rate: payload / seconds, busy: airtime / seconds })
}

pub(crate) fn section(found: &[Found]) -> Section {
    let mut section = Section { title: "One backlogged sender", ..Section::default() };
    section.body = format!(
        "UDP one way, offered at twice the channel's rate for {} s; payload of the radio's packets that arrived, per second, \
         after the first {RAMP:.0} s. The equilibrium is what the firmware's contention window, which grows with the use of \
         the channel, leaves to a lone sender of full packets; a host cannot change it.\n\n\
         | preset | equilibrium B/s | meshnet B/s | share | on the air | reference B/s | share |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
        TIME.as_secs()
    );
    for (preset, equilibrium) in PRESETS {
        let find = |make| found.iter().find(|found| found.make == make && found.preset == preset);
        let (Some(ours), Some(reference)) = (find(Make::Ours), find(Make::Reference)) else { continue };
        section.body += &format!(
            "| {preset} | {equilibrium:.0} | {:.0} | **{:.0} %** | {:.0} % | {:.0} | {:.0} % |\n",
            ours.rate,
            100.0 * ours.rate / equilibrium,
            100.0 * ours.busy,
            reference.rate,
            100.0 * reference.rate / equilibrium,
        );
        section.goals.push(Goal {
            met: ours.rate >= GOAL * equilibrium,
            text: format!(
                "goodput of a backlogged sender at {preset}: {:.0} % of the firmware's equilibrium (at least {:.0} %)",
                100.0 * ours.rate / equilibrium,
                100.0 * GOAL
            ),
        });
    }
    section
}
