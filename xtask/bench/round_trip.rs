//! The round trip of a ping on an idle channel against what the preset allows at best.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use meshnet_system::daemon::Make;
use meshnet_system::ping::Ping;
use serde::{Deserialize, Serialize};

use super::account::{Account, Mark, Purpose, Sum, settle};
use super::setup::{MAKES, acquaint, lab, median, modem, name, quantile};
use super::{Goal, Section, Task};

pub(crate) const NAME: &str = "rtt";
/// From fast to slow.
const PRESETS: [&str; 7] =
    ["SHORT_TURBO", "SHORT_FAST", "SHORT_SLOW", "MEDIUM_FAST", "MEDIUM_SLOW", "LONG_TURBO", "LONG_FAST"];
const PINGS: u32 = 24;
/// An echo request with 56 bytes of data: the sealed frame as given to the chip.
const ON_AIR: usize = 158;
/// The firmware waits longer the busier the channel was: pings are this many round trips apart, which keeps it below a
/// fifth.
const APART: f64 = 5.2;
/// What the goal says for `LONG_FAST`.
const GOAL: f64 = 1.15;
/// A frame waits for the client API when it is handed to a radio and when it is fetched from one: four times in a round
/// trip, half of the 5 ms between two polls each.
const POLLS_MS: f64 = 4.0 * 2.5;

/// What one lab found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    make: Make,
    preset: String,
    sent: u32,
    /// Milliseconds.
    round_trips: Vec<f64>,
    air: Account,
}

pub(crate) fn tasks() -> Vec<Task> {
    let both = |preset| MAKES.map(|make| (make, preset));
    PRESETS
        .into_iter()
        .flat_map(both)
        .map(|(make, preset)| {
            let expected = (interval(preset) * (PINGS + 3)).as_secs() + 30;
            Task::new(NAME, format!("{} at {preset}", name(make)), expected, move |dir| {
                measure(make, preset, dir)
            })
        })
        .collect()
}

fn measure(make: Make, preset: &str, dir: &Path) -> Result<Found> {
    let lab = lab(make, preset, 1, dir)?;
    acquaint(&lab)?;
    // What the first contact cost must not count as traffic of the channel's last minute.
    settle(&lab.sim, Duration::from_secs(15).max(interval(preset)), Duration::from_secs(90))?;
    let mark = Mark::here(&lab.sim)?;
    let ping = Ping { count: PINGS, interval: interval(preset), ..Ping::default() };
    let pinged = ping.run(&lab.west.namespace, lab.east.address)?;
    ensure!(!pinged.round_trips.is_empty(), "no reply at all: {}", pinged.output);
    let round_trips = pinged.round_trips.iter().map(|time| 1000.0 * time.as_secs_f64()).collect();
    Ok(Found { make, preset: preset.to_owned(), sent: PINGS, round_trips, air: mark.account(&lab.sim)? })
}

/// Returns the time between two pings.
fn interval(preset: &str) -> Duration {
    Duration::from_secs_f64((APART * 2.0 * modem(preset).airtime(ON_AIR).as_secs_f64()).max(1.0))
}

/// Returns the shortest round trip in milliseconds that frames of this length can have on average: both on the air, and
/// the radios' mean wait before each.
fn floor(preset: &str, on_air: usize) -> f64 {
    let modem = modem(preset);
    2000.0 * (modem.airtime(on_air) + modem.mean_access()).as_secs_f64()
}

pub(crate) fn section(found: &[Found]) -> Section {
    let mut section =
        Section { title: "Round trip of a ping against the airtime floor", ..Section::default() };
    section.body = format!(
        "Median (and the nine in ten that were quicker) of {PINGS} pings with 56 bytes of data, far enough apart that the \
         channel is idle. The floor is the airtime of both frames with the radios' mean wait before sending, 3.5 slots each; \
         what is left above it includes {POLLS_MS:.0} ms of the client API's polls, and at presets where the pings are so far \
         apart that the radio has gone to its slow poll (250 ms), two halves of that.\n\n\
         | preset | bytes on air | floor | meshnet | ratio | left after the floor | after floor and polls | reference | ratio | answered, ours : theirs |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for preset in PRESETS {
        let find = |make| found.iter().find(|found| found.make == make && found.preset == preset);
        let (Some(ours), Some(reference)) = (find(Make::Ours), find(Make::Reference)) else { continue };
        let (floor, theirs) = (floor(preset, ours.on_air()), floor(preset, reference.on_air()));
        let ratio = ours.median() / floor;
        section.body += &format!(
            "| {preset} | {} | {floor:.0} | {:.0} ({:.0}) | **{ratio:.2}** | {:.0} | {:.0} | {:.0} ({:.0}) | {:.2} | {} : {} of {} |\n",
            ours.on_air(),
            ours.median(),
            quantile(ours.round_trips.iter().copied(), 0.9),
            ours.median() - floor,
            ours.median() - floor - POLLS_MS,
            reference.median(),
            quantile(reference.round_trips.iter().copied(), 0.9),
            reference.median() / theirs,
            ours.round_trips.len(),
            reference.round_trips.len(),
            ours.sent,
        );
        match preset {
            "LONG_FAST" => section.goals.push(Goal {
                met: ratio <= GOAL,
                text: format!("ping at LONG_FAST: {ratio:.2} of the airtime floor (at most {GOAL})"),
            }),
            "SHORT_TURBO" => section.goals.push(Goal {
                met: ratio <= GOAL,
                text: format!(
                    "ping at SHORT_TURBO: {:.0} ms above the airtime floor of {floor:.0} ms, of which the client API's polls \
                     are {POLLS_MS:.0} ms ({ratio:.2} of the floor)",
                    ours.median() - floor
                ),
            }),
            _ => {}
        }
    }
    section
}

impl Found {
    fn median(&self) -> f64 {
        median(self.round_trips.iter().copied())
    }

    /// Bytes that the chip got for each echo request or reply.
    fn on_air(&self) -> usize {
        let Sum { frames, bytes, .. } = self.air.get(Purpose::Data);
        usize::try_from(bytes.checked_div(frames).unwrap_or(0)).unwrap_or(0)
    }
}
