//! The search for a better path while traffic flows, and the probes that are under way.
//!
//! *Urgent* while traffic rides a metered or dead or doubted path, or none: every free path is probed every 500 ms, and ever
//! more rarely the longer that is in vain: after a hundred-and-twentieth of the time since there was last a reason for hope,
//! so every second after 2 minutes, every 5 s after 10, every 30 s after an hour. Hope is a link that came up, a change of
//! addresses or routes here, an announcement, a path that just died, or traffic after a minute of none. *Idle curiosity*
//! while a free path works: those that cost no more are measured every 30 s. No search without traffic.

use std::time::{Duration, Instant};

use super::Paths;
use super::candidate::Candidate;
use super::words::Origin;
use crate::link::{LinkAddr, LinkId};

/// Probes at once to addresses that neither the operator nor an answer vouches for, per peer.
pub const MAX_STRANGER_PROBES: u32 = 16;
/// And one more in each such time. A probe is a datagram of 48 bytes.
pub const STRANGER_INTERVAL: Duration = Duration::from_secs(5);

const OFTEN: Duration = Duration::from_millis(500);
const RARELY: Duration = Duration::from_secs(30);
/// Which part of the time in vain passes between two rounds.
const PATIENCE: u32 = 120;
/// Traffic flows for this long after a packet.
const BUSY: Duration = Duration::from_secs(15);
/// Traffic after this long without is a new hope.
const PAUSE: Duration = Duration::from_secs(60);
/// Rounds after an announcement, with traffic or without.
const BURST: u8 = 3;
/// Paths that are probed in one round.
const ROUND: usize = 8;
/// A path that was asked so recently is not asked again.
const ASKED: Duration = Duration::from_millis(250);
/// How long an answer may take on a free link before the probe counts as lost.
const LIFE: Duration = Duration::from_secs(3);
/// And on a metered one.
const LIFE_METERED: Duration = Duration::from_secs(60);
/// Probes under way that are remembered.
const MAX_OUTSTANDING: usize = 48;

/// A probe under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outstanding {
    token: u32,
    pub(super) link: LinkId,
    pub(super) to: LinkAddr,
    sent: Instant,
    pub(super) expires: Instant,
    /// It went into a dead path. If it is answered after all, it waited for that to come back, or for a neighbour to be found.
    in_vain: bool,
}

/// When to look around.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Search {
    /// When there was last a reason for hope.
    since: Option<Instant>,
    last: Option<Instant>,
    pub(super) next: Option<Instant>,
    /// Rounds that do not need traffic.
    rounds: u8,
    /// Where the next round starts.
    turn: u8,
}

impl Search {
    /// The next round is due at once.
    pub(super) const fn hurry(&mut self) {
        self.last = None;
        self.next = None;
    }

    /// The next rounds are due, with traffic or without.
    pub(super) const fn burst(&mut self) {
        self.hurry();
        self.rounds = BURST;
    }
}

impl Paths {
    /// There is a reason for hope. A round that has just been is not repeated for it.
    pub(super) const fn refresh(&mut self, now: Instant) {
        self.search.since = Some(now);
        self.search.next = None;
    }

    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.traffic_at.is_some_and(|at| now.saturating_duration_since(at) < BUSY)
    }

    pub(super) fn note_traffic(&mut self, now: Instant) {
        if self.traffic_at.is_none_or(|at| now.saturating_duration_since(at) > PAUSE) {
            self.refresh(now);
        }
        self.traffic_at = Some(now);
    }

    fn is_urgent(&self) -> bool {
        self.watch.probes > 0 || self.chosen().is_none_or(|path| path.dead || !path.is_free())
    }

    /// Whether a path is worth a probe in a round.
    fn is_target(&self, at: usize) -> bool {
        let path = &self.candidates[at];
        let Some(current) = self.chosen() else { return path.is_free() };
        let is_current = self.current == Some(at);
        path.is_free()
            && if self.is_urgent() {
                !is_current || path.dead
            } else {
                path.link_cost() <= current.link_cost()
            }
    }

    fn has_targets(&self) -> bool {
        let mut targets = (0..self.candidates.len()).filter(|at| self.is_target(*at));
        // A path that works and has no rival need not be measured.
        match targets.next() {
            None => false,
            Some(first) => self.is_urgent() || self.current != Some(first) || targets.next().is_some(),
        }
    }

    fn interval(&self, now: Instant) -> Duration {
        if self.search.rounds > 0 {
            return OFTEN;
        }
        if !self.is_urgent() {
            return RARELY;
        }
        let vain = self.search.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        (vain / PATIENCE).clamp(OFTEN, RARELY)
    }

    /// Arms or disarms the timer of the next round.
    pub(super) fn arm_search(&mut self, now: Instant) {
        let active = self.search.rounds > 0 || self.is_busy(now);
        if !self.can_probe() || !active || !self.has_targets() {
            self.search.next = None;
            self.search.rounds = 0;
        } else {
            let due = self.search.last.map_or(now, |last| now.max(last + self.interval(now)));
            // Traffic must not put it off.
            self.search.next = Some(self.search.next.map_or(due, |next| next.min(due)));
        }
    }

    /// Makes a round, if one is due.
    pub(super) fn look(&mut self, now: Instant) {
        if self.search.next.is_none_or(|next| next > now) {
            return;
        }
        self.search.next = None;
        if !self.can_probe() || !(self.search.rounds > 0 || self.is_busy(now)) {
            return;
        }
        self.search.last = Some(now);
        self.search.rounds = self.search.rounds.saturating_sub(1);
        let (count, start) = (self.candidates.len(), usize::from(self.search.turn));
        let mut asked = 0;
        for at in (0..count).map(|step| (start + step) % count) {
            if asked == ROUND {
                self.search.turn = u8::try_from(at).unwrap_or(0);
                break;
            }
            let path = &self.candidates[at];
            let vouched = path.proven || path.origin == Origin::Configured;
            if self.is_target(at) && (vouched || self.may_probe_stranger(now)) {
                self.do_probe(at);
                asked += 1;
            }
        }
    }

    /// Takes one of the probes that the peer can have us send to whomever it likes.
    pub(super) fn may_probe_stranger(&mut self, now: Instant) -> bool {
        self.strangers.take(MAX_STRANGER_PROBES, STRANGER_INTERVAL, now)
    }

    /// A path that was dead works again: whether as well as before is not known, and its probes so far do not measure it.
    pub(super) fn revived(&mut self, at: usize) {
        self.candidates[at].forget_measures();
        let key = self.candidates[at].key();
        for probe in self.outstanding.iter_mut().filter(|probe| (probe.link, probe.to) == key) {
            probe.in_vain = true;
        }
    }

    pub(super) fn is_asked(&self, (link, to): (LinkId, LinkAddr), now: Instant) -> bool {
        self.outstanding.iter().any(|probe| {
            probe.link == link && probe.to == to && now.saturating_duration_since(probe.sent) < ASKED
        })
    }

    pub(super) fn note_probe(&mut self, token: u32, link: LinkId, to: LinkAddr, now: Instant) {
        let metered = self.find(link, to).is_some_and(|at| self.candidates[at].is_metered());
        let expires = now + if metered { LIFE_METERED } else { LIFE };
        if self.outstanding.len() >= MAX_OUTSTANDING {
            self.outstanding.remove(0);
        }
        self.outstanding.push(Outstanding { token, link, to, sent: now, expires, in_vain: false });
    }

    /// An answer to a probe came, inside the session; [`Self::heard`] was told before. Returns whether it proves the path that
    /// it came by: only if that probe went there, and nowhere else.
    pub fn answered(&mut self, token: u32, link: LinkId, from: LinkAddr, now: Instant) -> bool {
        let is = |probe: &Outstanding| probe.token == token && probe.link == link && probe.to == from;
        let Some(which) = self.outstanding.iter().position(is) else { return false };
        let probe = self.outstanding.remove(which);
        let Some(at) = self.find(link, from) else { return false };
        let path = &mut self.candidates[at];
        let took = now.saturating_duration_since(probe.sent);
        path.probe_answered(took, !probe.in_vain);
        let is_measured = path.rtt().is_some();
        let moved = !std::mem::replace(&mut path.proven, true) && path.origin == Origin::Heard;
        path.dead = false;
        path.heard_at = Some(now);
        if self.current == Some(at) {
            self.paid();
        }
        if moved {
            self.follow(at, now);
        }
        self.consider(at, now);
        if !is_measured {
            self.ask(at, now);
        }
        self.settle(now);
        true
    }

    /// Counts the probes whose answers will not come any more.
    pub(super) fn expire_probes(&mut self, now: Instant) {
        let candidates = &mut self.candidates;
        self.outstanding.retain(|probe| {
            let lost = probe.expires <= now;
            let of = |path: &&mut Candidate| path.key() == (probe.link, probe.to);
            if let Some(path) = candidates.iter_mut().find(of).filter(|_| lost) {
                path.probe_lost();
            }
            !lost
        });
        if self.outstanding.is_empty() {
            self.outstanding = Vec::new(); // An idle peer keeps no memory for it.
        }
    }
}
