//! Silence on the current path while we send: noticed, asked about by probes, and in the end taken for its death.
//!
//! Life-cycle: *nothing owed* → a packet leaves: *owed* → something authentic comes by the same path: nothing owed; or
//! time passes: *doubted*, probes leave every 100 ms → an answer: nothing owed; or more time passes: the path is given up.
//! The timer is lazy: while packets come and go it is neither moved nor cancelled, it finds out when it rings.
//!
//! | the path | doubted after | given up after |
//! |---|---|---|
//! | answered within 100 ms so far, and loses nothing | 0.5 s | 1.3 s |
//! | is known to lose | 0.5 s | 2.5 s |
//! | otherwise | 1 s | 2.5 s, or 1 s and twice the shortest round-trip time (2 s at most) if that is longer |
//! | was not heard for 30 s before we sent | at once | as above |
//!
//! At 30 % loss each way one probe in two is answered; of the twenty that a lossy path gets, all fail once in a million.
//!
//! On a metered link silence means little, and asking costs air: only if another metered path could take over, and after
//! many times what an answer takes, each of them is asked once.

use std::time::{Duration, Instant};

use super::Paths;
use super::candidate::Candidate;
use super::words::{Heard, Origin, Sent, Why};
use crate::link::{LinkAddr, LinkId};

/// Silence of a quick path for so long is no reason for a doubt, but for keeping what is sent into it. TCP's first repetition
/// comes later.
const HUSH: Duration = Duration::from_millis(150);
const SPACING: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_millis(500);
const LATER: Duration = Duration::from_secs(1);
const GIVE_UP_FAST: Duration = Duration::from_millis(1300);
const GIVE_UP: Duration = Duration::from_millis(2500);
/// No way that is worth waiting for takes longer, there and back.
const LONGEST_WAY: Duration = Duration::from_secs(2);
/// A path that was not heard for this long is not believed in.
const STALE: Duration = Duration::from_secs(30);
/// A peer that could reach us by a path probes it twice a second while it speaks by radio; one that is not heard there for this
/// long cannot, even if a third of its probes are lost.
const GONE: Duration = Duration::from_secs(2);
/// Unanswered probes of a path that loses which mean that it loses all: at 30 % loss each way one time in a thousand they do not.
pub(super) const OFTEN_ASKED: u8 = 10;
/// A path is not given up after fewer unanswered probes, however late the timer rang.
const ENOUGH: u8 = 5;
/// A timer that rings so late tells that the host slept: the silence was ours.
const SLEPT: Duration = Duration::from_secs(5);
/// Probes of metered paths: a burst, and one more in this time.
const AIR_PROBES: u32 = 4;
const AIR_INTERVAL: Duration = Duration::from_secs(600);
/// Packets in silence before a metered path is doubted.
const METERED_PACKETS: u8 = 3;

/// What the current path owes us.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Watch {
    /// Since when we send and hear nothing.
    owed_since: Option<Instant>,
    pub(super) check_at: Option<Instant>,
    /// Packets sent in this silence, as far as it matters.
    packets: u8,
    /// Probes sent in this silence.
    pub(super) probes: u8,
}

impl Watch {
    /// Whether nothing has come for longer than an answer takes on a quick path.
    pub(super) fn is_hushed(&self, now: Instant) -> bool {
        self.owed_since.is_some_and(|since| now.saturating_duration_since(since) >= HUSH)
    }
}

impl Paths {
    /// Something was handed to a link for the peer; `airtime` is zero where it is free.
    pub fn sent(
        &mut self,
        link: LinkId,
        to: LinkAddr,
        what: Sent,
        bytes: usize,
        airtime: Duration,
        now: Instant,
    ) {
        let Some(at) = self.find(link, to) else { return };
        self.candidates[at].booked(bytes, airtime);
        if what == Sent::Control {
            return;
        }
        if what == Sent::Packet {
            self.note_traffic(now);
        }
        if self.current == Some(at) {
            self.note_owed(what, now);
        }
        self.settle(now);
    }

    fn note_owed(&mut self, what: Sent, now: Instant) {
        let Some(path) = self.chosen() else { return };
        // A packet is watched within a session, an init without one; what goes by a dead path is hoped for, not watched.
        if !self.kin || path.dead || (what == Sent::Packet) != self.session {
            return;
        }
        if path.is_metered() && (!self.session || !self.has_other_metered()) {
            return;
        }
        let first = self.first_doubt(path, now);
        self.watch.packets = self.watch.packets.saturating_add(1);
        self.watch.owed_since.get_or_insert(now);
        self.watch.check_at.get_or_insert(now + first);
    }

    /// Something authentic came from the peer by this path. Sealed messages and handshakes alike, before what is in them is
    /// looked at.
    pub fn heard(&mut self, link: LinkId, from: LinkAddr, proof: Heard, now: Instant) {
        let Some(at) = self.find(link, from).or_else(|| self.add_heard(link, from, now)) else { return };
        let path = &mut self.candidates[at];
        path.heard_at = Some(now);
        path.proven |= proof == Heard::Answer;
        // That the peer's questions arrive does not mean that anything of ours does.
        let was_dead = proof != Heard::Question && std::mem::take(&mut path.dead);
        if was_dead {
            self.revived(at);
        }
        if self.current == Some(at) {
            self.joined |= proof == Heard::Packet;
            if proof != Heard::Question {
                self.paid();
            }
            if was_dead {
                self.settle(now);
            }
            return;
        }
        if !self.kin {
            // WireGuard's roaming: the newest authentic message is where the peer is.
            let newest = matches!(proof, Heard::Newest | Heard::Packet | Heard::Answer);
            if newest && self.candidates[at].is_up() {
                self.switch(Some(at), Why::Roamed, now);
            }
        } else if proof == Heard::Answer {
            self.consider(at, now);
        } else {
            self.overheard(at, proof, now);
        }
        self.settle(now);
    }

    /// A kin peer speaks by another path than we do.
    fn overheard(&mut self, at: usize, proof: Heard, now: Instant) {
        let path = &self.candidates[at];
        let usable = path.is_usable();
        let Some(current) = self.chosen() else {
            return if usable { self.switch(Some(at), Why::Heard, now) } else { self.ask(at, now) };
        };
        if current.dead && usable {
            return self.switch(Some(at), Why::Silent, now);
        }
        if path.is_free() {
            let better = current.is_metered() || current.dead || path.link_cost() <= current.link_cost();
            if better || self.watch.probes > 0 {
                self.ask(at, now);
            }
        } else if current.is_metered() {
            let silent = self
                .watch
                .owed_since
                .is_some_and(|since| now.saturating_duration_since(since) >= metered_patience(current) / 3);
            if silent && usable {
                self.switch(Some(at), Why::Heard, now);
            }
        } else if proof == Heard::Packet && usable && (self.joined || current.was_quiet(GONE, now)) {
            // It was with us on the free path, or has probed it so far, and its newest packet comes by radio: it has left that
            // path for want of answers, and whatever we send there is lost. If it is wrong, a probe brings both of us back.
            self.switch(Some(at), Why::Heard, now);
            self.refresh(now);
            self.search.hurry();
        } else if current.was_quiet(LATER, now) {
            // It may have given up the path that we still believe in.
            self.doubt(now);
        }
    }

    /// Nothing is owed any more.
    pub(super) fn paid(&mut self) {
        let probes = std::mem::take(&mut self.watch.probes);
        self.watch.owed_since = None;
        self.watch.packets = 0;
        if let Some(path) = self.current.and_then(|at| self.candidates.get_mut(at)) {
            path.checked(probes);
        }
    }

    /// Doubts the current path as of now, if it is one that can be asked for nothing.
    pub(super) fn doubt(&mut self, now: Instant) {
        let Some(path) = self.chosen().filter(|path| path.is_free() && !path.dead) else { return };
        if !self.can_probe() || self.watch.probes > 0 {
            return;
        }
        // As if it had been silent for as long as it takes to doubt it.
        let first = usual_doubt(path);
        self.watch.owed_since = Some(now.checked_sub(first).unwrap_or(now));
        self.watch.check_at = Some(now);
    }

    /// The link could not send to this address, or something on the way says that nobody is there. Whoever says so may
    /// lie, so that a path is only doubted for it; without a session, the next one has its turn.
    pub fn refused(&mut self, link: LinkId, to: LinkAddr, now: Instant) {
        if self.current.is_some() && self.find(link, to) == self.current {
            if self.session {
                self.doubt(now);
            } else {
                self.fall(Why::Unanswered, now);
            }
        }
        self.settle(now);
    }

    /// This host has no way to an address: no route leads there, or only one through an interface without a carrier. The
    /// kernel says so of its own tables, which nobody else can make it say: a path is left for it at once.
    pub fn cut(&mut self, link: LinkId, to: LinkAddr, now: Instant) {
        let Some(at) = self.find(link, to) else { return };
        if self.current != Some(at) {
            self.candidates[at].dead = true;
        } else if !self.session {
            self.fall(Why::Unanswered, now);
        } else if !self.candidates[at].dead {
            self.fall(Why::LinkDown, now);
        }
        self.settle(now);
    }

    /// The timer of the current path rang.
    pub(super) fn check(&mut self, now: Instant) {
        let Some(due) = self.watch.check_at.filter(|due| *due <= now) else { return };
        let (Some(since), Some(at)) = (self.watch.owed_since, self.current) else {
            self.watch.check_at = None;
            return;
        };
        if now.saturating_duration_since(due) > SLEPT {
            self.watch = Watch::default();
            return self.doubt(now);
        }
        let path = &self.candidates[at];
        if path.is_metered() {
            return self.check_metered(since + metered_patience(path), now);
        }
        let first = since + self.first_doubt(path, since);
        let last = since + give_up(path);
        if now < first {
            self.watch.check_at = Some(first);
        } else if now >= last && (self.watch.probes >= ENOUGH || !self.can_probe()) {
            let why = if self.session { Why::Silent } else { Why::Unanswered };
            self.fall(why, now);
        } else if self.can_probe() {
            self.do_probe(at);
            self.watch.probes = self.watch.probes.saturating_add(1);
            if self.watch.probes == 1 {
                self.search.hurry(); // Whoever could take over is asked meanwhile.
            }
            let next = now + SPACING;
            self.watch.check_at = Some(if now < last { next.min(last) } else { next });
        } else {
            self.watch.check_at = Some(last);
        }
    }

    fn check_metered(&mut self, due: Instant, now: Instant) {
        if now < due {
            self.watch.check_at = Some(due);
            return;
        }
        self.watch.check_at = None;
        if self.watch.packets < METERED_PACKETS || !self.can_probe() {
            return;
        }
        // Asked once in this silence: the packets that follow find the question put.
        self.watch.packets = 0;
        for at in 0..self.candidates.len() {
            let path = &self.candidates[at];
            if path.is_metered() && path.is_usable() {
                self.ask(at, now);
            }
        }
        // Whoever answers first has the traffic.
        self.watch.probes = u8::MAX;
    }

    /// Probes one path, within what that may cost.
    pub(super) fn ask(&mut self, at: usize, now: Instant) {
        let path = &self.candidates[at];
        if !self.can_probe() || !path.is_up() || self.is_asked(path.key(), now) {
            return;
        }
        let allowed = match path {
            path if path.is_metered() => self.air.take(AIR_PROBES, AIR_INTERVAL, now),
            path if path.proven || path.origin == Origin::Configured => true,
            _ => self.may_probe_stranger(now),
        };
        if allowed {
            self.do_probe(at);
        }
    }

    fn has_other_metered(&self) -> bool {
        self.candidates.iter().filter(|path| path.is_metered() && path.is_usable()).count() > 1
    }

    /// How long silence after a packet of `since` is passed over.
    fn first_doubt(&self, path: &Candidate, since: Instant) -> Duration {
        if path.is_metered() {
            return metered_patience(path);
        }
        if !self.can_probe() {
            return give_up(path);
        }
        let fresh = path.heard_at.is_some_and(|heard| since.saturating_duration_since(heard) < STALE);
        if fresh { usual_doubt(path) } else { Duration::ZERO }
    }
}

fn usual_doubt(path: &Candidate) -> Duration {
    if path.is_fast() || path.is_lossy() { SOON } else { LATER }
}

fn give_up(path: &Candidate) -> Duration {
    if path.is_fast() {
        return GIVE_UP_FAST;
    }
    let slow = path.least_rtt().unwrap_or_default().min(LONGEST_WAY) * 2 + Duration::from_secs(1);
    GIVE_UP.max(slow)
}

fn metered_patience(path: &Candidate) -> Duration {
    Duration::from_millis(path.quality.map_or(0, |quality| quality.patience_ms).into())
}
