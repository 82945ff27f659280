//! Doubt about a session, where nothing is sent for doubt's sake.
//!
//! Two signs that the peer has lost its keys: packets were sent and nothing came back for a while, or datagrams come that
//! no session opens. Each is worth a handshake, and each is limited: a flow that nobody answers is normal, and garbage costs
//! its sender nothing.

use std::time::{Duration, Instant};

use crate::limit::Bucket;

/// Packets sent with nothing heard before the session is doubtful.
const UNANSWERED: u32 = 3;
const UNANSWERED_FOR: Duration = Duration::from_secs(15);
const MAX_UNANSWERED_FOR: Duration = Duration::from_secs(3600);
/// Datagrams in a row that make the peer's keys doubtful, where there are keys to doubt.
const UNOPENED: u32 = 3;
/// How often they may start a handshake, whoever sent them.
const RATE: Bucket = Bucket::new(2, Duration::from_secs(120));
/// The pause after a handshake that they started is a minute, doubled this often at most.
const MAX_DOUBLINGS: u32 = 6;

/// What speaks against the session with one peer.
#[derive(Debug)]
pub(super) struct Doubt {
    /// Packets sent since anything was heard, and since when.
    unanswered: Option<(Instant, u32)>,
    patience: Duration,
    unopened: u32,
    rate: Bucket,
    in_vain: u32,
    rests_until: Option<Instant>,
}

impl Default for Doubt {
    fn default() -> Self {
        Self {
            unanswered: None,
            patience: UNANSWERED_FOR,
            unopened: 0,
            rate: RATE,
            in_vain: 0,
            rests_until: None,
        }
    }
}

impl Doubt {
    /// A packet that may have an answer was sent.
    pub(super) fn sent(&mut self, now: Instant) {
        let (_, packets) = self.unanswered.get_or_insert((now, 0));
        *packets = packets.saturating_add(1);
    }

    /// Something opened.
    pub(super) const fn heard(&mut self) {
        self.unanswered = None;
        self.patience = UNANSWERED_FOR;
        self.unopened = 0;
        self.in_vain = 0;
        self.rests_until = None;
    }

    /// There are new keys, which is not to say that anybody answers what is sent: the next doubt takes longer.
    pub(super) fn renewed(&mut self) {
        if self.unanswered.take().is_some() {
            self.patience = (self.patience * 2).min(MAX_UNANSWERED_FOR);
        }
    }

    /// Whether so much was sent in vain, for so long, that a handshake is due.
    pub(super) fn is_unanswered(&self, pace: Duration, now: Instant) -> bool {
        self.unanswered.is_some_and(|(since, packets)| {
            packets >= UNANSWERED && now.saturating_duration_since(since) >= self.patience.max(pace * 8)
        })
    }

    /// Something did not open. `has_keys`: there was a session that might have. `is_busy`: a handshake is under way.
    /// Returns whether to start one.
    pub(super) fn unopened(&mut self, has_keys: bool, is_busy: bool, now: Instant) -> bool {
        self.unopened = self.unopened.saturating_add(1);
        let enough = if has_keys { UNOPENED } else { 1 };
        let rests = self.rests_until.is_some_and(|until| now < until);
        if self.unopened < enough || is_busy || rests || !self.rate.take(now) {
            return false;
        }
        self.unopened = 0;
        self.in_vain = (self.in_vain + 1).min(MAX_DOUBLINGS);
        self.rests_until = Some(now + Duration::from_secs(60 << self.in_vain));
        true
    }
}
