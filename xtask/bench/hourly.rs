//! A ping after silence, and what a day with one an hour comes to.
//!
//! The kernel takes a neighbour that it has not heard of for a minute as stale, whether it was a minute or an hour, so a
//! ping after a minute's silence costs what one after an hour's does. A day is 24 of these and a handshake every 5 hours,
//! when a session of version 1 is too old and there is traffic.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use meshnet_system::daemon::Make;
use meshnet_system::ping::Ping;
use meshnet_system::wait::let_pass;
use serde::{Deserialize, Serialize};

use super::account::{Account, Mark, Purpose};
use super::setup::{MAKES, acquaint, lab, median, name};
use super::{Bar, Goal, Section, Task};

pub(crate) const NAME: &str = "hourly";
const PRESET: &str = "SHORT_FAST";
/// The kernel's neighbours are reachable for 15 to 45 s and stale after that.
const SILENCE: Duration = Duration::from_secs(75);
const PINGS: usize = 5;
/// Of a day with a ping an hour: at hours 5, 10, 15 and 20.
const HANDSHAKES: f64 = 4.0;

/// What one lab found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    make: Make,
    /// Milliseconds, of those that were answered.
    round_trips: Vec<f64>,
    /// What each ping cost with what came after it.
    pings: Vec<Account>,
    /// What came before the first: session and first reply.
    contact: Account,
}

pub(crate) fn tasks() -> Vec<Task> {
    MAKES.map(|make| Task::new(NAME, name(make).to_owned(), 470, move |dir| measure(make, dir))).into()
}

fn measure(make: Make, dir: &Path) -> Result<Found> {
    let lab = lab(make, PRESET, 1, dir)?;
    let mark = Mark::here(&lab.sim)?;
    acquaint(&lab)?;
    let_pass(SILENCE)?;
    let contact = mark.account(&lab.sim)?;
    let mut found = Found { make, round_trips: Vec::new(), pings: Vec::new(), contact };
    for _ in 0..PINGS {
        let mark = Mark::here(&lab.sim)?;
        let pinged = Ping { count: 1, ..Ping::default() }.run(&lab.west.namespace, lab.east.address)?;
        found.round_trips.extend(pinged.round_trips.iter().map(|time| 1000.0 * time.as_secs_f64()));
        let_pass(SILENCE)?;
        found.pings.push(mark.account(&lab.sim)?);
    }
    Ok(found)
}

pub(crate) fn section(found: &[Found]) -> Section {
    let mut section =
        Section { title: "A ping after silence, and a day with one an hour", ..Section::default() };
    let [Some(ours), Some(reference)] = MAKES.map(|make| found.iter().find(|found| found.make == make))
    else {
        return section;
    };
    section.body = format!(
        "{PRESET}, the median of {PINGS} pings, each after {} s without a word on the channel. The day is reckoned, not \
         measured: 24 such pings and {HANDSHAKES} handshakes (a session is renewed when it is 5 hours old and there is \
         traffic), as they were measured here. Acknowledgements and copies \
         that the radios add by themselves are left out.\n\n\
         | daemon | frames | of them ARP | bytes | ms of air | round trip | a day with a ping an hour |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
        SILENCE.as_secs()
    );
    for found in [ours, reference] {
        #[allow(clippy::cast_precision_loss, reason = "hundreds")]
        let frames =
            |pick: fn(&Account) -> u64| median(found.pings.iter().map(|account| pick(account) as f64));
        section.body += &format!(
            "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} ms | {:.1} s of air |\n",
            name(found.make),
            frames(|account| account.asked().frames),
            frames(|account| account.get(Purpose::Arp).frames),
            frames(|account| account.asked().bytes),
            found.ping(),
            median(found.round_trips.iter().copied()),
            found.day() / 1000.0,
        );
    }
    for (job, ours, reference) in [
        ("a ping and its reply after silence", ours.ping(), reference.ping()),
        ("a day with a ping an hour (reckoned)", ours.day(), reference.day()),
    ] {
        section.bars.push(Bar { job: job.to_owned(), ours, reference });
        section.goals.push(Goal {
            met: ours < 0.95 * reference,
            text: format!(
                "{job}: {:.0} % of the reference's airtime (clearly less)",
                100.0 * ours / reference
            ),
        });
    }
    section
}

impl Found {
    /// Milliseconds of air of a ping, without what the radios add.
    fn ping(&self) -> f64 {
        median(self.pings.iter().map(|account| account.asked().airtime_ms))
    }

    /// Milliseconds of air of a day with one an hour.
    fn day(&self) -> f64 {
        24.0 * self.ping() + HANDSHAKES * self.contact.get(Purpose::Handshake).airtime_ms
    }
}
