//! The paths to one peer, and which of them carries what we send to it. `docs/paths.md` has the rules in a user's words.
//!
//! A *path* is an address of the peer's on one of our links. Paths come from the configuration, from what the peer
//! announces, and from where it is heard; each is only a candidate until it has answered a probe, which bears a random token
//! that nobody else can know. The current path stays until there is evidence: against it (silence while we send, a link
//! that went down), or for a better one (an answer).
//!
//! Usage: one [`Paths`] per peer. The node says what happens (`handle_*`, [`Paths::sent`], [`Paths::heard`],
//! [`Paths::answered`]); after every such call it carries out what [`Paths::poll_action`] returns, and arms one timer by
//! [`Paths::deadline`]. Life-cycle: no path → untried → proven → dead → proven … until the peer is removed.
//!
//! A peer that is not known to be meshnet ("kin") cannot answer probes: it roams as WireGuard says, to wherever its newest
//! authentic message came from.
//!
//! Invariants: a kin peer's path that neither the operator nor an answer vouches for carries nothing but probes, few
//! enough ([`MAX_STRANGER_PROBES`], [`STRANGER_INTERVAL`]) that nobody can have us flood a third party. On a metered
//! link no probe is periodic. Without traffic there is no timer, once what is outstanding has ended. All lists are bounded.

mod allowance;
mod announce;
mod candidate;
mod choice;
mod places;
mod search;
#[cfg(test)]
mod tests;
mod watch;
mod words;

use std::time::{Duration, Instant};

use rand_core::Rng;

use self::allowance::Allowance;
use self::announce::Announcing;
use self::candidate::Candidate;
pub use self::candidate::Cost;
pub use self::places::{MAX_ANNOUNCED, MAX_CANDIDATES, MAX_HEARD};
pub use self::search::{MAX_STRANGER_PROBES, STRANGER_INTERVAL};
use self::search::{Outstanding, Search};
use self::watch::Watch;
use self::words::Quality;
pub use self::words::{Bulk, Heard, Origin, PathState, Sent, Tier, Why};
use crate::link::{AddrKind, Class, LinkAddr, LinkId};

/// What names a path: one of our links, and the peer's address there.
pub type Way = (LinkId, LinkAddr);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send a [`Probe`](crate::control::Control::Probe) this way, sealed in the session.
    Probe {
        /// Through which link.
        link: LinkId,
        /// To which address.
        to: LinkAddr,
        /// What the answer must bear.
        token: u32,
    },
    /// What is sent to the peer takes another way as of now.
    Changed {
        /// The way until now.
        from: Option<Way>,
        /// And from here on.
        to: Option<Way>,
        /// What decided.
        why: Why,
    },
    /// Send our own UDP addresses to the peer, by the current path.
    Announce,
    /// The path that carries the session died, and there is no other: where the peer is said to be may be out of date.
    Stranded,
}

/// An action that waits to be polled; its token is drawn then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ToDo {
    Probe(LinkId, LinkAddr),
    Changed(Option<Way>, Option<Way>, Why),
    Announce,
    Stranded,
}

/// One path, as a user sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PathView {
    /// Through which link.
    pub link: LinkId,
    /// The peer's address there.
    pub to: LinkAddr,
    /// Whether it is the one that carries what we send.
    pub current: bool,
    /// What it would make of the peer.
    pub tier: Tier,
    /// How we know of it.
    pub origin: Origin,
    /// What is known of it.
    pub state: PathState,
    /// The smoothed round-trip time of probes.
    pub rtt: Option<Duration>,
    /// The share of the last 32 probes at most that got no answer, 0 to 1.
    pub loss: Option<f32>,
    /// When something authentic last came by it.
    pub last_heard: Option<Instant>,
    /// What was sent by it.
    pub cost: Cost,
}

/// See the module's introduction.
#[derive(Debug, Default)]
pub struct Paths {
    /// Configured and announced addresses.
    places: Vec<(LinkAddr, Origin)>,
    /// The links that are up.
    links: Vec<(LinkId, AddrKind, Quality)>,
    candidates: Vec<Candidate>,
    outstanding: Vec<Outstanding>,
    todo: Vec<ToDo>,
    current: Option<usize>,
    changed_at: Option<Instant>,
    /// When a packet last went to the peer.
    traffic_at: Option<Instant>,
    /// The path that was given up last, and when.
    fell: Option<(u8, Instant)>,
    watch: Watch,
    /// The peer has sent packets by the current path since it is ours.
    joined: bool,
    search: Search,
    announcing: Announcing,
    strangers: Allowance,
    /// For probes on metered links.
    air: Allowance,
    why: Option<Why>,
    kin: bool,
    session: bool,
    bulk: Bulk,
}

impl Paths {
    /// Makes the paths of a peer that is nowhere yet. `kin`: it is known or assumed to be meshnet.
    #[must_use]
    pub fn new(kin: bool, bulk: Bulk) -> Self {
        Self { kin, bulk, ..Self::default() }
    }

    /// The peer showed itself to be meshnet, or its keys were changed and nothing is known.
    pub fn set_kin(&mut self, kin: bool, now: Instant) {
        let before = std::mem::replace(&mut self.kin, kin);
        let news = kin && !before;
        // A stock peer is followed to where it speaks from; of a kin peer that place has to show that it is the peer's.
        if let Some(at) = self.current.filter(|at| news && !self.candidates[*at].is_usable()) {
            self.switch(self.best(None), Why::Untried, now);
            self.ask(at, now);
        }
        self.settle(now);
    }

    /// Returns whether the peer is known or assumed to be meshnet.
    #[must_use]
    pub const fn is_kin(&self) -> bool {
        self.kin
    }

    /// Changes what bulk traffic may do.
    pub const fn set_bulk(&mut self, bulk: Bulk) {
        self.bulk = bulk;
    }

    /// There is a session that seals for the peer, or there is none any more. Without one nothing can be probed: then a
    /// handshake tries the paths, free ones first.
    pub fn set_session(&mut self, up: bool, now: Instant) {
        if std::mem::replace(&mut self.session, up) != up {
            self.watch = Watch::default();
            if up {
                self.refresh(now);
            }
            self.reconsider(now);
        }
        self.settle(now);
    }

    /// The host was suspended, or its clock jumped: what was free and good before must show that it still is.
    pub fn handle_resume(&mut self, now: Instant) {
        self.refresh(now);
        self.doubt(now);
        self.settle(now);
    }

    /// Something about this host's network changed (an address, a route): dead paths may be alive again. Costs nothing
    /// unless traffic flows.
    pub fn handle_hint(&mut self, now: Instant) {
        self.refresh(now);
        if self.is_busy(now) {
            self.search.hurry();
            self.doubt(now);
        }
        self.settle(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire_probes(now);
        self.check(now);
        self.arm_search(now);
        self.look(now);
        self.settle(now);
    }

    /// When [`Self::handle_timeout`] must be called next, and why; `None` if nothing is outstanding.
    #[must_use]
    pub fn deadline(&self) -> Option<(Instant, &'static str)> {
        let silence = self.watch.check_at.map(|at| (at, "silence"));
        let probe = self.search.next.map(|at| (at, "probe"));
        let lost = self.outstanding.iter().map(|probe| probe.expires).min().map(|at| (at, "probe-lost"));
        [silence, probe, lost].into_iter().flatten().min()
    }

    /// Returns the next thing to do. A probe counts as sent by that; its token comes from `rng`, which must be
    /// unpredictable to others.
    pub fn poll_action(&mut self, rng: &mut impl Rng, now: Instant) -> Option<Action> {
        if self.todo.is_empty() {
            self.todo = Vec::new(); // An idle peer keeps no memory for it.
            return None;
        }
        Some(match self.todo.remove(0) {
            ToDo::Announce => Action::Announce,
            ToDo::Stranded => Action::Stranded,
            ToDo::Changed(from, to, why) => Action::Changed { from, to, why },
            ToDo::Probe(link, to) => {
                let token = rng.next_u32();
                self.note_probe(token, link, to, now);
                Action::Probe { link, to, token }
            }
        })
    }

    /// The path that carries what we send.
    #[must_use]
    pub fn current(&self) -> Option<Way> {
        self.chosen().map(Candidate::key)
    }

    /// Why that one, and since when.
    #[must_use]
    pub fn why(&self) -> (Why, Option<Instant>) {
        (self.why.unwrap_or(Why::NoPath), self.changed_at)
    }

    /// How well the peer is reached.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.chosen().and_then(|path| path.quality).map_or(Tier::Offline, |quality| quality.tier())
    }

    /// Whether traffic of a class may take the current path: all of it where sending is free, bulk on a metered link only
    /// if that is allowed, nothing where there is no path.
    #[must_use]
    pub fn may_carry(&self, class: Class) -> bool {
        let Some(path) = self.chosen() else { return false };
        class < Class::Bulk
            || path.is_free()
            || match self.bulk {
                Bulk::Always => true,
                Bulk::Never => false,
                Bulk::Configured => path.origin == Origin::Configured,
            }
    }

    /// All paths, in the order in which they became known.
    pub fn views(&self) -> impl Iterator<Item = PathView> + '_ {
        self.candidates.iter().enumerate().map(|(at, path)| PathView {
            link: path.link,
            to: path.to,
            current: self.current == Some(at),
            tier: path.quality.map_or(Tier::Offline, |quality| quality.tier()),
            origin: path.origin,
            state: match path {
                path if !path.is_up() => PathState::Down,
                path if path.dead => PathState::Dead,
                path if path.proven => PathState::Proven,
                _ => PathState::Untried,
            },
            rtt: path.rtt(),
            loss: path.loss(),
            last_heard: path.heard_at,
            cost: path.cost,
        })
    }

    /// Whether the current path is silent though it should have answered what we sent by it: what is sent may not arrive. Of a
    /// quick path that shows soon; any other may only be slow until it has been asked why, and one that is known to lose until
    /// it has been asked often.
    #[must_use]
    pub fn is_silent(&self, now: Instant) -> bool {
        self.chosen().is_some_and(|path| match path {
            path if path.is_fast() => self.watch.is_hushed(now),
            path if path.is_lossy() => self.watch.probes >= watch::OFTEN_ASKED,
            _ => self.watch.probes > 0,
        })
    }

    fn chosen(&self) -> Option<&Candidate> {
        self.current.and_then(|at| self.candidates.get(at))
    }

    fn find(&self, link: LinkId, to: LinkAddr) -> Option<usize> {
        let is = |path: &Candidate| path.link == link && path.to == to;
        // Nearly everything goes and comes by the current path.
        self.current
            .filter(|at| self.candidates.get(*at).is_some_and(is))
            .or_else(|| self.candidates.iter().position(is))
    }

    /// Whether probes can be sent at all: a session seals them, and the peer answers.
    const fn can_probe(&self) -> bool {
        self.kin && self.session
    }

    fn do_probe(&mut self, at: usize) {
        let (link, to) = self.candidates[at].key();
        let todo = ToDo::Probe(link, to);
        if !self.todo.contains(&todo) {
            self.todo.push(todo);
        }
    }

    /// Brings the timers in line with the state.
    fn settle(&mut self, now: Instant) {
        self.announce_if_due(now);
        self.arm_search(now);
    }
}
