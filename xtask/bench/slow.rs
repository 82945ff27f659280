//! From nothing to a first reply, and 4 kB over TCP in three minutes, at `LONG_FAST`, where a full frame takes 2.2 s of air.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use meshnet_system::daemon::Make;
use serde::{Deserialize, Serialize};

use super::account::{Account, Mark, Purpose, settle};
use super::setup::{MAKES, first_reply, lab, name};
use super::stream::{Carried, carry};
use super::{Bar, Goal, Section, Task};

pub(crate) const NAME: &str = "slow";
const PRESET: &str = "LONG_FAST";
const SEEDS: [u64; 2] = [1, 2];
const BYTES: usize = 4000;
const LIMIT: Duration = Duration::from_secs(180);
const CONTACT_LIMIT: Duration = Duration::from_secs(90);

/// What one lab found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    make: Make,
    seed: u64,
    /// Seconds.
    first_reply: Option<f64>,
    contact: Account,
    carried: Carried,
    transfer: Account,
}

pub(crate) fn tasks() -> Vec<Task> {
    let both = |seed| MAKES.map(|make| (make, seed));
    SEEDS
        .into_iter()
        .flat_map(both)
        .map(|(make, seed)| {
            let title = format!("{} at {PRESET}, seed {seed}", name(make));
            Task::new(NAME, title, 320, move |dir| measure(make, seed, dir))
        })
        .collect()
}

fn measure(make: Make, seed: u64, dir: &Path) -> Result<Found> {
    let lab = lab(make, PRESET, seed, dir)?;
    let (west, east, sim) = (&lab.west, &lab.east, &lab.sim);
    let mark = Mark::here(sim)?;
    let first_reply = first_reply(west, east, Duration::from_secs(5), CONTACT_LIMIT)?;
    settle(sim, Duration::from_secs(15), Duration::from_secs(60))?;
    let contact = mark.account(sim)?;

    let mark = Mark::here(sim)?;
    let carried = carry(west, east, BYTES, LIMIT)?;
    let transfer = mark.account(sim)?;
    Ok(Found { make, seed, first_reply, contact, carried, transfer })
}

pub(crate) fn section(found: &[Found]) -> Section {
    let mut section = Section { title: "4 kB over TCP at LONG_FAST", ..Section::default() };
    if found.is_empty() {
        return section;
    }
    section.body = format!(
        "{BYTES} bytes over a new connection, {} s at most, at once after a first contact (an echo request every 5 s \
         until one is answered).\n\n\
         | daemon | seed | first reply, from nothing | air for it | connected after | bytes arrived | all after | air | of it ARP | of it radio acks |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        LIMIT.as_secs()
    );
    let seconds = |value: Option<f64>| value.map_or("never".to_owned(), |value| format!("{value:.1} s"));
    for make in MAKES {
        for found in found.iter().filter(|found| found.make == make) {
            section.body += &format!(
                "| {} | {} | {} | {:.1} s | {} | {} | {} | {:.1} s | {:.1} s | {:.1} s |\n",
                name(make),
                found.seed,
                seconds(found.first_reply),
                found.contact.total().airtime_ms / 1000.0,
                seconds(found.carried.connected),
                found.carried.arrived,
                seconds(found.carried.whole),
                found.transfer.total().airtime_ms / 1000.0,
                found.transfer.get(Purpose::Arp).airtime_ms / 1000.0,
                found.transfer.get(Purpose::RadioAck).airtime_ms / 1000.0,
            );
        }
    }
    let of = |make| found.iter().filter(move |found| found.make == make);
    let whole: Vec<String> = of(Make::Ours).map(|found| seconds(found.carried.whole)).collect();
    let theirs: Vec<String> = of(Make::Reference).map(|found| found.carried.arrived.to_string()).collect();
    section.goals.push(Goal {
        met: of(Make::Ours).all(|found| found.carried.whole.is_some()),
        text: format!(
            "4 kB over TCP at {PRESET} arrive within {} s: after {} (of the reference's arrived: {} bytes)",
            LIMIT.as_secs(),
            whole.join(", "),
            theirs.join(", ")
        ),
    });
    let contact = |make| super::setup::median(of(make).map(|found| found.contact.asked().airtime_ms));
    section.bars.push(Bar {
        job: format!("first contact at {PRESET}"),
        ours: contact(Make::Ours),
        reference: contact(Make::Reference),
    });
    let (ours, reference) = (contact(Make::Ours), contact(Make::Reference));
    section.goals.push(Goal {
        met: ours <= 1.001 * reference,
        text: format!(
            "first contact at {PRESET}: {:.0} % of the reference's airtime (never more)",
            100.0 * ours / reference
        ),
    });
    section
}
