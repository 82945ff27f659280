//! Finds out which addresses the names of endpoints stand for, and again when those lead nowhere.
//!
//! One task, which owns all that is known of each name: [`Resolver::watch`] says which names there are, [`Resolver::again`] that
//! what one stood for is of no use any more; answers come out of a channel as [`Resolved`]. A name that cannot be resolved is
//! tried again with growing waits until it can; one that could is left alone until somebody asks. The addresses are in the
//! order of the system's resolver (RFC 6724), both families mixed as it sees fit: which of them leads to the peer is for the
//! path selector to try.
//!
//! Invariants: idle, nothing wakes the task. No name is asked for more often than every [`LEAST_GAP`], whoever asks; at most
//! [`MAX_LOOKUPS`] are on their way at once, for each may hold a thread for as long as the resolver's patience lasts; at most
//! [`MAX_ADDRESSES`] are taken from an answer. What is asked for while the task is busy is noted once per name.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use meshnet_proto::link::LinkAddr;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::config::HostPort;

/// No name is asked for twice within this: a path that flaps must not make the name server feel it.
pub const LEAST_GAP: Duration = Duration::from_secs(5);
/// How many lookups are on their way at once.
pub const MAX_LOOKUPS: usize = 4;
/// How many addresses of a name are of interest.
pub const MAX_ADDRESSES: usize = 8;

/// How patient the task is.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// The least time between two lookups of one name.
    gap: Duration,
    /// The first wait after a failure.
    first: Duration,
    /// The longest.
    last: Duration,
}

const PACE: Pace = Pace { gap: LEAST_GAP, first: LEAST_GAP, last: Duration::from_secs(300) };

/// How many answers may wait for the core's task.
const ANSWERS: usize = 16;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The name.
    pub name: HostPort,
    /// At least one address of UDP, each once, in the resolver's order.
    pub addresses: Vec<LinkAddr>,
}

/// Who knows what names stand for: the system, or a test.
pub trait Lookup: Clone + Send + 'static {
    /// Returns the addresses of a host with this port.
    ///
    /// # Errors
    /// If the name is unknown, or nobody could be asked.
    fn lookup(&self, host: String, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// The system's resolver: hosts file, DNS and whatever else it is configured to ask.
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Lookup for System {
    async fn lookup(&self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// The names that there are, each with how often its addresses were found of no use.
type Wanted = BTreeMap<HostPort, u64>;

/// Tells the task what to resolve; dropping it ends the task.
#[derive(Debug)]
pub struct Resolver {
    wanted: watch::Sender<Wanted>,
}

impl Resolver {
    /// Says which names there are from here on. Those that are new are looked up at once, others stay as they are.
    pub fn watch(&self, names: impl IntoIterator<Item = HostPort>) {
        self.wanted.send_if_modified(|wanted| {
            let next: Wanted = names
                .into_iter()
                .map(|name| {
                    let asked = wanted.get(&name).copied().unwrap_or(0);
                    (name, asked)
                })
                .collect();
            let changed = next != *wanted;
            *wanted = next;
            changed
        });
    }

    /// Says that what these names stood for leads nowhere: they are looked up again, soon. Names that are not watched are
    /// passed over.
    pub fn again<'n>(&self, names: impl IntoIterator<Item = &'n HostPort>) {
        self.wanted.send_if_modified(|wanted| {
            let mut changed = false;
            for name in names {
                if let Some(asked) = wanted.get_mut(name) {
                    *asked = asked.wrapping_add(1);
                    changed = true;
                }
            }
            changed
        });
    }

    /// Says that the host is in another network: every name may stand for something else there, and one that could not be
    /// resolved perhaps can.
    pub fn all_again(&self) {
        self.wanted.send_if_modified(|wanted| {
            wanted.values_mut().for_each(|asked| *asked = asked.wrapping_add(1));
            !wanted.is_empty()
        });
    }
}

/// Starts the task. `seed` comes from the operating system's randomness.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn start(lookup: impl Lookup, seed: [u8; 32]) -> (Resolver, mpsc::Receiver<Resolved>) {
    start_at(PACE, lookup, seed)
}

fn start_at(pace: Pace, lookup: impl Lookup, seed: [u8; 32]) -> (Resolver, mpsc::Receiver<Resolved>) {
    let (wanted, names) = watch::channel(Wanted::new());
    let (answers, resolved) = mpsc::channel(ANSWERS);
    let task = Task { pace, lookup, seed, names, answers, known: BTreeMap::new(), under_way: JoinSet::new() };
    tokio::spawn(task.run());
    (Resolver { wanted }, resolved)
}

/// What is known of a name.
#[derive(Debug)]
struct Known {
    /// How often it had been asked for when it was last looked up.
    asked: u64,
    /// When it is to be looked up next; `None` while that is under way, and when there is no need.
    due: Option<Instant>,
    /// When it was last looked up.
    tried: Option<Instant>,
    under_way: bool,
    /// Whether the operator was told that it fails.
    told: bool,
    backoff: Backoff,
}

/// A lookup that is done.
type Answer = (HostPort, io::Result<Vec<SocketAddr>>);

struct Task<L> {
    pace: Pace,
    lookup: L,
    seed: [u8; 32],
    names: watch::Receiver<Wanted>,
    answers: mpsc::Sender<Resolved>,
    known: BTreeMap<HostPort, Known>,
    under_way: JoinSet<Answer>,
}

impl<L: Lookup> Task<L> {
    async fn run(mut self) {
        loop {
            self.begin();
            let due = self.next_due();
            let timer = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                changed = self.names.changed() => match changed {
                    Ok(()) => self.take_wanted(),
                    // Nobody is interested any more. What is under way ends by itself, unheard.
                    Err(_) => return,
                },
                Some(done) = self.under_way.join_next() => {
                    // A lookup that panicked has no name any more; there is nothing in it that could.
                    let Ok((name, found)) = done else { continue };
                    if let Some(resolved) = self.take_answer(name, found)
                        && self.answers.send(resolved).await.is_err()
                    {
                        return;
                    }
                }
                () = timer => {}
            }
        }
    }

    /// Takes over which names there are, and which are asked for again.
    fn take_wanted(&mut self) {
        let now = Instant::now();
        let wanted = self.names.borrow_and_update().clone();
        self.known.retain(|name, _| wanted.contains_key(name));
        for (name, asked) in wanted {
            let Some(known) = self.known.get_mut(&name) else {
                let fresh = self.fresh(asked, now);
                self.known.insert(name, fresh);
                continue;
            };
            if known.asked != asked {
                known.asked = asked;
                known.backoff.reset();
                // What is under way may have begun before the news: it is looked up once more after that.
                let soon = known.tried.map_or(now, |tried| (tried + self.pace.gap).max(now));
                known.due = Some(known.due.map_or(soon, |due| due.min(soon)));
            }
        }
    }

    /// A name of which nothing is known yet.
    fn fresh(&mut self, asked: u64, now: Instant) -> Known {
        // Another stream of randomness for each.
        for byte in &mut self.seed {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        let backoff = Backoff::new(self.seed, self.pace.first, self.pace.last);
        Known { asked, due: Some(now), tried: None, under_way: false, told: false, backoff }
    }

    /// Begins what is due, as much as there may be at once.
    fn begin(&mut self) {
        let now = Instant::now();
        for (name, known) in &mut self.known {
            if self.under_way.len() >= MAX_LOOKUPS {
                return;
            }
            if known.under_way || known.due.is_none_or(|due| due > now) {
                continue;
            }
            (known.due, known.tried, known.under_way) = (None, Some(now), true);
            let (lookup, name) = (self.lookup.clone(), name.clone());
            self.under_way.spawn(async move {
                let found = lookup.lookup(name.host.clone(), name.port).await;
                (name, found)
            });
        }
    }

    /// When the next lookup can begin; `None` while there is no room for one.
    fn next_due(&self) -> Option<Instant> {
        if self.under_way.len() >= MAX_LOOKUPS {
            return None;
        }
        self.known.values().filter(|known| !known.under_way).filter_map(|known| known.due).min()
    }

    /// Takes what a lookup found; returns what the core is to hear.
    fn take_answer(&mut self, name: HostPort, found: io::Result<Vec<SocketAddr>>) -> Option<Resolved> {
        // Gone meanwhile, or gone and back: then it is under way a second time, and this answer is as good.
        let known = self.known.get_mut(&name)?;
        known.under_way = false;
        let failure = match found {
            Ok(found) => {
                let addresses = usable(found);
                if !addresses.is_empty() {
                    known.told = false;
                    known.backoff.reset();
                    debug!(%name, ?addresses, "resolved");
                    return Some(Resolved { name, addresses });
                }
                io::Error::other("it stands for no address")
            }
            Err(error) => error,
        };
        let retry = Instant::now() + known.backoff.next_wait();
        known.due = Some(known.due.map_or(retry, |due| due.min(retry)));
        if std::mem::replace(&mut known.told, true) {
            debug!(%name, error = %failure, "cannot be resolved");
        } else {
            warn!(%name, error = %failure, "cannot be resolved; trying again until it can");
        }
        None
    }
}

/// The addresses that a packet can be sent to, each once.
fn usable(found: Vec<SocketAddr>) -> Vec<LinkAddr> {
    let mut addresses = Vec::new();
    for address in found {
        let ip = address.ip().to_canonical();
        let place = LinkAddr::udp(address);
        if !ip.is_unspecified() && !ip.is_multicast() && address.port() != 0 && !addresses.contains(&place) {
            addresses.push(place);
        }
        if addresses.len() == MAX_ADDRESSES {
            break;
        }
    }
    addresses
}

#[cfg(test)]
mod tests;
