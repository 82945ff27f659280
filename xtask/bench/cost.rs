//! What a first contact, a ping, a TCP connection and 10 kB over TCP cost on the air.
//!
//! One lab after the other does all four, at `SHORT_FAST`, with several seeds of the air's chance; medians are reported.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use meshnet_system::daemon::Make;
use meshnet_system::ping::Ping;
use serde::{Deserialize, Serialize};

use super::account::{Account, Mark, Purpose, Sum, settle};
use super::setup::{MAKES, first_reply, lab, median, name};
use super::stream::{Carried, accept, carry, connect, listen};
use super::{Bar, Goal, Section, Task};

pub(crate) const NAME: &str = "cost";
const PRESET: &str = "SHORT_FAST";
const SEEDS: [u64; 3] = [1, 2, 3];
/// The kernel looks after a neighbour 5 s after it was last spoken to: what that costs belongs to the job.
const QUIET: Duration = Duration::from_secs(8);
const PINGS: u32 = 20;
const TRANSFER: usize = 10_000;
const TRANSFER_LIMIT: Duration = Duration::from_secs(180);

/// What one lab found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    make: Make,
    seed: u64,
    /// Seconds from the first echo request until the first reply.
    first_reply: Option<f64>,
    contact: Account,
    pings_answered: usize,
    pings: Account,
    /// Seconds until the connection stood.
    connected: Option<f64>,
    connect: Account,
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
            Task::new(NAME, title, 160, move |dir| measure(make, seed, dir))
        })
        .collect()
}

fn measure(make: Make, seed: u64, dir: &Path) -> Result<Found> {
    let lab = lab(make, PRESET, seed, dir)?;
    let (west, east, sim) = (&lab.west, &lab.east, &lab.sim);
    let rest = || settle(sim, QUIET, Duration::from_secs(60));

    let mark = Mark::here(sim)?;
    let first_reply = first_reply(west, east, Duration::from_secs(1), Duration::from_secs(60))?;
    ensure!(first_reply.is_some(), "no reply in a minute");
    rest()?;
    let contact = mark.account(sim)?;

    let mark = Mark::here(sim)?;
    let ping = Ping { count: PINGS, interval: Duration::from_secs(2), ..Ping::default() };
    let pings_answered = ping.run(&west.namespace, east.address)?.round_trips.len();
    rest()?;
    let pings = mark.account(sim)?;

    let mark = Mark::here(sim)?;
    let (start, deadline) = (Instant::now(), Instant::now() + Duration::from_secs(60));
    let listener = listen(east, 4001)?;
    let outgoing = connect(west, east.at(4001), deadline)?;
    let connected = outgoing.is_some().then(|| start.elapsed().as_secs_f64());
    let incoming = accept(&listener, deadline)?;
    rest()?;
    let account = mark.account(sim)?;
    drop((outgoing, incoming));
    rest()?;

    let mark = Mark::here(sim)?;
    let carried = carry(west, east, TRANSFER, TRANSFER_LIMIT)?;
    rest()?;
    let transfer = mark.account(sim)?;
    Ok(Found {
        make,
        seed,
        first_reply,
        contact,
        pings_answered,
        pings,
        connected,
        connect: account,
        carried,
        transfer,
    })
}

/// What a job costs with one make.
struct Cost {
    bytes: f64,
    airtime_ms: f64,
    /// The same without what the radios added.
    asked_ms: f64,
}

/// A row of the table: its name, and how to find it.
type Row = (&'static str, fn(&Found) -> &Account, f64);

const ROWS: [Row; 4] = [
    ("first contact, until all is quiet", |found| &found.contact, 1.0),
    ("a ping and its reply, one of a run", |found| &found.pings, PINGS as f64),
    ("a TCP connection", |found| &found.connect, 1.0),
    ("10 kB over TCP, with connect and close", |found| &found.transfer, 1.0),
];

pub(crate) fn section(found: &[Found]) -> Section {
    let mut section = Section { title: "What a job costs", ..Section::default() };
    if found.is_empty() {
        return section;
    }
    let of = |make| found.iter().filter(move |found| found.make == make);
    section.body = format!(
        "{PRESET}, medians of {} seeds. Bytes as given to the radio's chip and milliseconds of airtime, both directions, \
         everything that the air carried for the job: with it the kernel's ARP and the radios' acknowledgements. The last \
         column leaves out what the radios added by themselves, acknowledgements and copies: radios that have learned a next \
         hop add these to the reference's packets, which have a hop limit of 3, and not to ours, which have 0. The goals are \
         judged by this column, the stricter one.\n\n\
         | job | meshnet bytes | reference bytes | meshnet ms | reference ms | ours of theirs | without the radios' own |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
        SEEDS.len()
    );
    for (job, account, count) in ROWS {
        let of_total = |make, sum: fn(&Account) -> Sum, pick: fn(Sum) -> f64| {
            median(of(make).map(|found| pick(sum(account(found))) / count))
        };
        #[allow(clippy::cast_precision_loss, reason = "thousands")]
        let [ours, reference] = MAKES.map(|make| Cost {
            bytes: of_total(make, Account::total, |sum| sum.bytes as f64),
            airtime_ms: of_total(make, Account::total, |sum| sum.airtime_ms),
            asked_ms: of_total(make, Account::asked, |sum| sum.airtime_ms),
        });
        let share = ours.asked_ms / reference.asked_ms;
        section.body += &format!(
            "| {job} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} % | **{:.0} %** |\n",
            ours.bytes,
            reference.bytes,
            ours.airtime_ms,
            reference.airtime_ms,
            100.0 * ours.airtime_ms / reference.airtime_ms,
            100.0 * share
        );
        section.bars.push(Bar { job: job.to_owned(), ours: ours.asked_ms, reference: reference.asked_ms });
        let (limit, more) =
            if job.contains("10 kB") { (0.95, "clearly less") } else { (1.001, "never more") };
        section.goals.push(Goal {
            met: share <= limit,
            text: format!("{job}: {:.0} % of the reference's airtime ({more})", 100.0 * share),
        });
    }
    section.body += "\nOf which frames, by what they were for:\n\n\
                     | job | daemon | handshake | ARP | data | TCP ack alone | radio ack | other |\n\
                     |---|---|--:|--:|--:|--:|--:|--:|\n";
    for (job, account, _) in ROWS {
        for make in MAKES {
            let frames = |purpose| {
                #[allow(clippy::cast_precision_loss, reason = "hundreds")]
                median(of(make).map(|found| account(found).get(purpose).frames as f64))
            };
            let cells: Vec<String> = PURPOSES.map(|purpose| format!("{:.0}", frames(purpose))).to_vec();
            let job = if job.starts_with("a ping") { "20 pings and their replies" } else { job };
            section.body += &format!("| {job} | {} | {} |\n", name(make), cells.join(" | "));
        }
    }
    section.body += &times(found);
    section
}

const PURPOSES: [Purpose; 6] =
    [Purpose::Handshake, Purpose::Arp, Purpose::Data, Purpose::TcpAck, Purpose::RadioAck, Purpose::Other];

fn times(found: &[Found]) -> String {
    let mut text = "\nAnd how long it took:\n\n\
                    | daemon | first reply, from nothing | pings answered | TCP connect | 10 kB arrived after |\n\
                    |---|--:|--:|--:|--:|\n"
        .to_owned();
    for make in MAKES {
        let of = || found.iter().filter(move |found| found.make == make);
        let answered: usize = of().map(|found| found.pings_answered).sum();
        let whole: Vec<f64> = of().filter_map(|found| found.carried.whole).collect();
        let arrived = if whole.len() == of().count() {
            format!("{:.1} s", median(whole))
        } else {
            format!("{} of {} did within {} s", whole.len(), of().count(), TRANSFER_LIMIT.as_secs())
        };
        text += &format!(
            "| {} | {:.2} s | {answered} of {} | {:.2} s | {arrived} |\n",
            name(make),
            median(of().filter_map(|found| found.first_reply)),
            of().count() * PINGS as usize,
            median(of().filter_map(|found| found.connected)),
        );
    }
    text
}
