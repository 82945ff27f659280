//! Keepalives, where air is free: who receives and has nothing to say says nothing after ten seconds, and who speaks and
//! then hears nothing for fifteen doubts the session.
//!
//! All of it is driven by traffic: an idle peer has no timer here, unless somebody asked for a persistent keepalive.

use std::time::{Duration, Instant};

use super::Content;
use crate::wg::regime::{KEEPALIVE_TIMEOUT, REKEY_TIMEOUT};

/// The timers of one peer.
#[derive(Debug, Default)]
pub(super) struct Alive {
    /// When an empty packet is due for what was received.
    answer_at: Option<Instant>,
    /// When nothing was heard for too long after what was sent.
    doubt_at: Option<Instant>,
    persistent: Option<Duration>,
    persistent_at: Option<Instant>,
}

impl Alive {
    pub(super) fn sent(&mut self, content: Content, now: Instant) {
        self.answer_at = None;
        if content == Content::Data {
            self.doubt_at.get_or_insert(now + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT);
        }
        self.traversed(now);
    }

    pub(super) fn received(&mut self, content: Content, now: Instant) {
        self.doubt_at = None;
        if content == Content::Data {
            self.answer_at.get_or_insert(now + KEEPALIVE_TIMEOUT);
        }
        self.traversed(now);
    }

    fn traversed(&mut self, now: Instant) {
        self.persistent_at = self.persistent.map(|every| now + every);
    }

    /// Sets how often to be heard at least; returns whether that is news.
    pub(super) fn set_persistent(&mut self, every: Option<Duration>) -> bool {
        std::mem::replace(&mut self.persistent, every) != every
    }

    /// There is a path of this kind again: something that is to be heard regularly is due.
    pub(super) fn resume(&mut self, now: Instant) {
        self.persistent_at = self.persistent.map(|_| now);
    }

    /// There are new keys: the old doubt is over.
    pub(super) fn renewed(&mut self) {
        self.doubt_at = None;
    }

    /// There is no path of this kind: nothing is due.
    pub(super) fn rest(&mut self) {
        *self = Self { persistent: self.persistent, ..Self::default() };
    }

    /// Whether it is time to say nothing.
    pub(super) fn take_keepalive(&mut self, now: Instant) -> bool {
        self.answer_at.take_if(|at| *at <= now).is_some()
    }

    /// Whether it is time to be heard, session or not.
    pub(super) fn take_persistent(&mut self, now: Instant) -> bool {
        let due = self.persistent_at.is_some_and(|at| at <= now);
        if due {
            self.traversed(now);
        }
        due
    }

    /// Whether the session is doubtful.
    pub(super) fn take_doubt(&mut self, now: Instant) -> bool {
        self.doubt_at.take_if(|at| *at <= now).is_some()
    }

    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        let answer = self.answer_at.map(|at| (at, "keepalive"));
        let persistent = self.persistent_at.map(|at| (at, "persistent keepalive"));
        let doubt = self.doubt_at.map(|at| (at, "silence"));
        [answer, persistent, doubt].into_iter().flatten().min()
    }
}
