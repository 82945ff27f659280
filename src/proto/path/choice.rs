//! Which path is current: what is best where there is a choice, and what evidence is enough to change it.

use std::time::{Duration, Instant};

use super::candidate::Candidate;
use super::watch::Watch;
use super::words::Why;
use super::{Paths, ToDo, Way};

/// For how long a path that was given up is not taken for being cheaper or faster.
const GRUDGE: Duration = Duration::from_secs(30);
/// A path that works again so soon was given up wrongly.
const WRONGED: Duration = Duration::from_secs(3);
/// A path that was not heard for this long, while another is, has been left by the peer.
const MOVED: Duration = Duration::from_secs(1);
/// Unanswered probes after which another free path that answers takes over, though the current one is not given up yet.
const OVERDUE: u8 = 3;

impl Paths {
    /// The best path that may carry traffic, other than `but`. With a session, what has shown that it leads to the peer goes
    /// before what has not; a handshake is its own proof, so that without a session free goes before metered whatever is known.
    pub(super) fn best(&self, but: Option<usize>) -> Option<usize> {
        let usable = self.candidates.iter().enumerate();
        let usable = usable.filter(|(at, path)| path.is_usable() && Some(*at) != but);
        let rank = |(at, path): &(usize, &Candidate)| {
            let untried = self.session && !path.proven;
            (path.dead, untried, path.is_metered(), path.link_cost(), self.current != Some(*at), *at)
        };
        usable.min_by_key(rank).map(|(at, _)| at)
    }

    /// Makes a path the current one.
    pub(super) fn switch(&mut self, next: Option<usize>, why: Why, now: Instant) {
        self.switch_from(self.current(), next, why, now);
    }

    pub(super) fn switch_from(&mut self, from: Option<Way>, next: Option<usize>, why: Why, now: Instant) {
        self.current = next;
        let to = self.current();
        if from == to {
            return;
        }
        let why = if to.is_none() { Why::NoPath } else { why };
        self.why = Some(why);
        self.changed_at = Some(now);
        self.watch = Watch::default();
        self.joined = false;
        if self.chosen().is_some_and(Candidate::is_free) {
            self.announcing.found();
        }
        self.todo.push(ToDo::Changed(from, to, why));
    }

    /// Something became possible (a link, an address, or that the session went): takes a better path if that needs no proof.
    pub(super) fn reconsider(&mut self, now: Instant) {
        let Some(next) = self.best(None) else { return };
        let best = &self.candidates[next];
        let fresh = if best.proven { Why::Proven } else { Why::Untried };
        match self.chosen() {
            None => self.switch(Some(next), fresh, now),
            Some(path) if path.dead && !best.dead => self.switch(Some(next), Why::Silent, now),
            // What carried the handshake goes before what nothing has come by.
            Some(path) if self.session && self.kin && !path.proven && best.proven && !best.dead => {
                self.switch(Some(next), Why::Proven, now);
            }
            Some(path) if !self.session && path.is_metered() && best.is_free() && !best.dead => {
                self.switch(Some(next), fresh, now);
            }
            Some(_) => {}
        }
    }

    /// A path has just answered: takes it if that makes it the better one.
    pub(super) fn consider(&mut self, at: usize, now: Instant) {
        let path = &self.candidates[at];
        let Some(current) = self.chosen() else { return self.switch(Some(at), Why::Proven, now) };
        if self.current == Some(at) || !path.is_up() {
            return;
        }
        let grudge = self.fell.is_some_and(|(fell, since)| {
            usize::from(fell) == at && now.saturating_duration_since(since) < GRUDGE
        });
        let overdue = self.watch.probes >= OVERDUE;
        let why = match (current.is_free(), path.is_free()) {
            (false, true) => Why::Proven,
            (true, false) if !current.dead => return,
            (_, _) if current.dead || overdue => Why::Silent,
            (_, _) if grudge => return,
            (_, _) if path.link_cost() < current.link_cost() => Why::Cheaper,
            (true, true) if self.is_clearly_faster(path, current, now) => Why::Faster,
            (_, _) => return,
        };
        if let Some((fell, since)) = self.fell
            && usize::from(fell) == at
            && now.saturating_duration_since(since) < WRONGED
        {
            self.candidates[at].was_wronged();
        }
        self.switch(Some(at), why, now);
    }

    /// A kin peer has proven an address that it was heard from: if it is not heard at the current one any more, and that is no
    /// better, it has moved.
    pub(super) fn follow(&mut self, at: usize, now: Instant) {
        let path = &self.candidates[at];
        let left = self.chosen().is_some_and(|current| {
            let silent = current.heard_at.is_none_or(|heard| now.saturating_duration_since(heard) > MOVED);
            silent && path.is_free() && current.is_free() && path.link_cost() <= current.link_cost()
        });
        if left && self.current != Some(at) {
            self.switch(Some(at), Why::Roamed, now);
        }
    }

    /// Round-trip times differ by chance: only a clear difference counts, of several measurements, and not at once again.
    fn is_clearly_faster(&self, path: &Candidate, current: &Candidate, now: Instant) -> bool {
        let (Some(new), Some(old)) = (path.rtt(), current.rtt()) else { return false };
        path.link_cost() == current.link_cost()
            && path.is_well_measured()
            && current.is_well_measured()
            && new * 3 / 2 + Duration::from_millis(10) < old
            && self.changed_at.is_none_or(|at| now.saturating_duration_since(at) >= GRUDGE)
    }

    /// Gives the current path up, if there is another that is not dead; without a session, whatever there is takes its turn.
    pub(super) fn fall(&mut self, why: Why, now: Instant) {
        let Some(at) = self.current else { return };
        let was_dead = std::mem::replace(&mut self.candidates[at].dead, true);
        self.fell = u8::try_from(at).ok().map(|at| (at, now));
        self.watch = Watch::default();
        let mut next = self.best(Some(at)).filter(|next| !self.candidates[*next].dead);
        if next.is_none() && !self.session {
            // All have failed: once more, from the best on.
            for path in &mut self.candidates {
                path.dead = false;
            }
            next = self.best(Some(at));
        }
        if next.is_some() {
            self.switch(next, why, now);
        } else if self.session && !was_dead {
            self.todo.push(ToDo::Stranded);
        }
        self.refresh(now);
    }

    /// A handshake that we began got no answer on the current path in the time that it should have taken (WireGuard's 5 s on a
    /// free link): the next path has its turn, if there is one.
    pub fn unanswered(&mut self, now: Instant) {
        let stands =
            self.kin && self.session && self.chosen().is_some_and(|path| !path.dead && path.is_free());
        if !stands {
            self.fall(Why::Unanswered, now);
        } else {
            self.doubt(now);
        }
        self.settle(now);
    }
}
