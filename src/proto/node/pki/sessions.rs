//! The sessions with one peer: the current one, the one before it, and those offered.
//!
//! An *offer* is a session that we answered an init with. The init may be a recording, so an offer is used for nothing
//! until something authenticates under it ([`Sessions::open`]); then it becomes current and what was current becomes
//! previous, to open what the peer still seals with it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::event::DropReason;
use crate::v1::session::{Keys, OpenError, Session};
use crate::v1::wire::{Data, RESPONSE_LEN};

/// A session that could not be renewed is given up at this age.
const REJECT_AFTER: Duration = Duration::from_secs(6 * 3600);
/// And after so many messages beyond those that make it due.
const REJECT_MESSAGES: u64 = 1 << 15;
/// How long the previous session opens what comes late, and an offer waits for its proof.
const KEPT_FOR: Duration = Duration::from_secs(30 * 60);
/// Offers that may wait for their proof at once.
const MAX_OFFERS: usize = 3;

/// A session in use.
pub(super) struct Live {
    pub(super) session: Session,
    pub(super) since: Instant,
    pub(super) initiator: bool,
}

impl Live {
    pub(super) fn new(keys: &Keys, initiator: bool, now: Instant) -> Self {
        Self { session: Session::new(keys), since: now, initiator }
    }
}

/// A session that we answered an init with, not proven yet.
pub(super) struct Offer {
    pub(super) live: Live,
    /// The ephemeral key of the init.
    pub(super) ephemeral: [u8; 32],
    /// What we answered.
    pub(super) response: [u8; RESPONSE_LEN],
    /// How often that was repeated.
    pub(super) repeats: u8,
    /// Whether the init was that of one of us.
    pub(super) kin: bool,
}

/// Which kind of session opened a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenedBy {
    /// The current or the previous one.
    Known,
    /// An offer, which is proven thereby.
    Offer {
        /// Whether it was made to one of us.
        kin: bool,
        /// It came second to a session of ours, which stays current.
        crossed: bool,
    },
}

/// See the module's introduction.
#[derive(Default)]
pub(super) struct Sessions {
    pub(super) current: Option<Live>,
    previous: Option<Live>,
    pub(super) offers: VecDeque<Offer>,
    /// When the current session took its place.
    pub(super) installed: Option<Instant>,
}

impl Sessions {
    /// Opens a datagram with whichever session it belongs to; version 1 does not say which. `lower`: of two handshakes
    /// that crossed, ours counts.
    pub(super) fn open(
        &mut self,
        data: &Data<'_>,
        lower: bool,
        now: Instant,
    ) -> Result<(Vec<u8>, OpenedBy), DropReason> {
        let mut failure = DropReason::NoSession;
        if let Some(current) = &mut self.current {
            match current.session.open(data) {
                Ok(frame) => return Ok((frame, OpenedBy::Known)),
                Err(OpenError::Replayed) => failure = DropReason::Replayed,
                Err(OpenError::Unauthentic) => failure = DropReason::Unauthentic,
            }
        }
        for at in (0..self.offers.len()).rev() {
            if let Ok(frame) = self.offers[at].live.session.open(data) {
                let kin = self.offers[at].kin;
                let crossed = self.take_offer(at, lower && kin, now);
                return Ok((frame, OpenedBy::Offer { kin, crossed }));
            }
        }
        match self.previous.as_mut().map(|previous| previous.session.open(data)) {
            Some(Ok(frame)) => Ok((frame, OpenedBy::Known)),
            _ => Err(failure),
        }
    }

    /// An offer is proven. If a handshake of ours was answered since it was made, the two have crossed: both sides hold
    /// both sessions, and each would send through the one that the other is about to forget. Then the session stays
    /// current that the side with the lower key began, here if `keeps_own`. Returns whether it did.
    fn take_offer(&mut self, at: usize, keeps_own: bool, now: Instant) -> bool {
        // What was offered before is out of date; what was offered later may still be proven.
        let Some(offer) = self.offers.drain(..=at).next_back() else { return false };
        let is_newer = |current: &Live| current.initiator && current.since >= offer.live.since;
        let crossed = keeps_own && self.current.as_ref().is_some_and(is_newer);
        if crossed {
            self.previous = Some(offer.live);
        } else {
            self.install(offer.live, now);
        }
        crossed
    }

    /// Makes a session current.
    pub(super) fn install(&mut self, live: Live, now: Instant) {
        self.previous = self.current.replace(live).or_else(|| self.previous.take());
        self.installed = Some(now);
    }

    pub(super) fn offer(&mut self, offer: Offer) {
        self.offers.push_back(offer);
        if self.offers.len() > MAX_OFFERS {
            self.offers.pop_front();
        }
    }

    /// The host slept for so long, which the clock left out: [`Self::expire`] says what is over by that. Keys whose age cannot
    /// be told are forgotten here.
    pub(super) fn slept(&mut self, slept: Duration) {
        let is_ageless =
            |live: &mut Live| live.since.checked_sub(slept).map(|since| live.since = since).is_none();
        self.current.take_if(is_ageless);
        self.previous.take_if(is_ageless);
        self.offers.retain_mut(|offer| !is_ageless(&mut offer.live));
        self.installed = self.installed.and_then(|at| at.checked_sub(slept));
    }

    /// Forgets keys whose time is over; returns whether the current session ended thereby. `due_at`: after how many messages
    /// a session is renewed.
    pub(super) fn expire(&mut self, due_at: u64, now: Instant) -> bool {
        let is_over = |live: &Live| {
            live.since + REJECT_AFTER <= now || live.session.sent() >= due_at.saturating_add(REJECT_MESSAGES)
        };
        let ended = self.current.take_if(|live| is_over(live)).is_some();
        if self.installed.is_none_or(|at| at + KEPT_FOR <= now) {
            self.previous = None;
        }
        while self.offers.front().is_some_and(|offer| offer.live.since + KEPT_FOR <= now) {
            self.offers.pop_front();
        }
        ended
    }

    /// When [`Self::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        let current = self.current.as_ref().map(|live| (live.since + REJECT_AFTER, "session end"));
        let previous = self.installed.filter(|_| self.previous.is_some());
        let offer = self.offers.front().map(|offer| offer.live.since);
        let kept = [previous, offer].into_iter().flatten().map(|at| (at + KEPT_FOR, "old keys"));
        current.into_iter().chain(kept).min()
    }
}
