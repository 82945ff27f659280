//! Initiations whose response may still come. Each has an ephemeral key and an index of its own, so that a response tells
//! which one it answers, and a round trip is never measured against the wrong one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::wg::message::RESPONSE_NOISE;
use crate::wg::noise::{Initiation, Rejected, Secrets};

/// How many there may be, and for how long: a peer behind a slow link answers late.
const MAX_ATTEMPTS: usize = 3;
const ATTEMPT_FOR: Duration = Duration::from_secs(120);

/// One initiation.
struct Tried {
    initiation: Box<Initiation>,
    index: u32,
    made: Instant,
    /// When it was handed to a link.
    left: Option<Instant>,
}

/// What came of a response.
pub(super) struct Answered {
    pub(super) secrets: Secrets,
    /// The index of the initiation that it answers.
    pub(super) index: u32,
    /// How long the answer took, if the initiation is known to have left.
    pub(super) rtt: Option<Duration>,
}

/// The initiations of one peer, oldest first.
#[derive(Default)]
pub(super) struct Attempts {
    tried: VecDeque<Tried>,
    /// Inits that left and were not answered, since somebody asked last.
    lost: u32,
    /// Indices of those that are gone.
    gone: Vec<u32>,
}

impl Attempts {
    pub(super) fn push(&mut self, initiation: Initiation, index: u32, now: Instant) {
        self.tried.push_back(Tried { initiation: Box::new(initiation), index, made: now, left: None });
        if self.tried.len() > MAX_ATTEMPTS {
            self.forget_first(1);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tried.is_empty()
    }

    /// Whether one has this index.
    pub(super) fn has(&self, index: u32) -> bool {
        self.tried.iter().any(|tried| tried.index == index)
    }

    /// Takes a response to the initiation with this index, or to any, the latest first. That one and those before it are
    /// over; a later one may still be answered. After an error nothing has changed.
    pub(super) fn finish(
        &mut self,
        index: Option<u32>,
        noise: &[u8; RESPONSE_NOISE],
        now: Instant,
    ) -> Result<Answered, Rejected> {
        for at in (0..self.tried.len()).rev() {
            if index.is_some_and(|index| index != self.tried[at].index) {
                continue;
            }
            let Ok(secrets) = self.tried[at].initiation.finish(noise) else { continue };
            self.forget_first(at);
            let Some(tried) = self.tried.pop_front() else { break };
            self.rest();
            let rtt = tried.left.map(|left| now.saturating_duration_since(left));
            return Ok(Answered { secrets, index: tried.index, rtt });
        }
        Err(Rejected)
    }

    /// None of them matters any more, and nothing is known of their fate.
    pub(super) fn clear(&mut self) {
        self.gone.extend(std::mem::take(&mut self.tried).into_iter().map(|tried| tried.index));
    }

    /// The one with this index was handed to a link at `left`, or (`None`) given back by it.
    pub(super) fn note_left(&mut self, index: u32, left: Option<Instant>) {
        if let Some(tried) = self.tried.iter_mut().find(|tried| tried.index == index) {
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
    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        self.tried.front().map(|tried| (tried.made + ATTEMPT_FOR, "old keys"))
    }

    /// Returns how many were lost since this was asked last.
    pub(super) const fn take_lost(&mut self) -> u32 {
        std::mem::replace(&mut self.lost, 0)
    }

    /// Whether there is nothing left to be known of them.
    pub(super) fn are_over(&self) -> bool {
        self.tried.is_empty() && self.gone.is_empty() && self.lost == 0
    }

    pub(super) fn poll_gone(&mut self) -> Option<u32> {
        self.gone.pop()
    }

    fn forget_first(&mut self, number: usize) {
        for tried in self.tried.drain(..number) {
            self.lost = self.lost.saturating_add(u32::from(tried.left.is_some()));
            self.gone.push(tried.index);
        }
        self.rest();
    }

    /// An idle peer keeps no memory for it.
    fn rest(&mut self) {
        if self.tried.is_empty() {
            self.tried = VecDeque::new();
        }
    }
}
