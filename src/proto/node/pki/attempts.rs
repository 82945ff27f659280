//! Inits whose response may still come. Each has an ephemeral key of its own, so that a response tells which one it
//! answers, and a round trip is never measured against the wrong one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::v1::handshake::Attempt;

/// How many there may be, and for how long: a peer with a backlog answers late, and a peer that lets go of its old session
/// for each init that it answers has then no other.
const MAX_ATTEMPTS: usize = 8;
const ATTEMPT_FOR: Duration = Duration::from_secs(300);

struct Tried {
    attempt: Attempt,
    made: Instant,
    /// When it was handed to a link.
    left: Option<Instant>,
}

/// See the module's introduction.
#[derive(Default)]
pub(super) struct Attempts {
    tried: VecDeque<Tried>,
    /// Inits that left, were forgotten unanswered, and are not told yet.
    lost: u32,
}

impl Attempts {
    pub(super) fn push(&mut self, attempt: Attempt, now: Instant) {
        self.tried.push_back(Tried { attempt, made: now, left: None });
        if self.tried.len() > MAX_ATTEMPTS {
            self.forget_first(1);
        }
    }

    /// When the last one was made.
    pub(super) fn last(&self) -> Option<Instant> {
        self.tried.back().map(|tried| tried.made)
    }

    /// Returns the one with this number, and its place.
    pub(super) fn find(&self, number: u32) -> Option<(usize, &Attempt)> {
        let at = self.tried.iter().position(|tried| tried.attempt.number() == number)?;
        Some((at, &self.tried[at].attempt))
    }

    /// The one at this place is answered: it and those before it are over. Returns how long it took.
    pub(super) fn answered(&mut self, at: usize, now: Instant) -> Option<Duration> {
        self.forget_first(at);
        let left = self.tried.pop_front()?.left?;
        Some(now.saturating_duration_since(left))
    }

    /// None of them matters any more, and nothing is known of their fate.
    pub(super) fn clear(&mut self) {
        self.tried.clear();
    }

    /// The one with this number was handed to a link at `left`, or (`None`) given back by it.
    pub(super) fn note_left(&mut self, number: u32, left: Option<Instant>) {
        if let Some(tried) = self.tried.iter_mut().find(|tried| tried.attempt.number() == number) {
            tried.left = left;
        }
    }

    /// The host slept for so long, which the clock left out: their keys are older by that, and how long an answer takes is
    /// not known of them any more, nor whether one came meanwhile.
    pub(super) fn slept(&mut self, slept: Duration) {
        for tried in &mut self.tried {
            tried.left = None;
            tried.made = tried.made.checked_sub(slept).unwrap_or(tried.made);
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        let over = self.tried.iter().take_while(|tried| tried.made + ATTEMPT_FOR <= now).count();
        self.forget_first(over);
    }

    /// When [`Self::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.tried.front().map(|tried| tried.made + ATTEMPT_FOR)
    }

    /// Returns how many were lost since this was asked last.
    pub(super) const fn take_lost(&mut self) -> u32 {
        std::mem::replace(&mut self.lost, 0)
    }

    fn forget_first(&mut self, number: usize) {
        for tried in self.tried.drain(..number) {
            self.lost += u32::from(tried.left.is_some());
        }
    }
}
