//! Datagrams that no session opens: the peer may have other keys than we, or somebody throws garbage in its name.
//!
//! Several in a row, with nothing from the peer in between, are worth a handshake. How often is limited twice: in any
//! case, since garbage costs its sender nothing, and more and more strictly while no handshake leads to anything that
//! opens (another preshared key?).

use std::time::{Duration, Instant};

use crate::limit::Bucket;

/// How many in a row make the peer's keys doubtful, where there are keys to doubt.
const UNOPENED: u32 = 3;
/// How often they may start a handshake, whoever sent them.
const RATE: Bucket = Bucket::new(2, Duration::from_secs(120));
/// The pause after a handshake that they started is a minute, doubled this often at most.
const MAX_DOUBLINGS: u32 = 6;

/// What was received and not opened from one peer.
#[derive(Debug)]
pub(super) struct Provocation {
    unopened: u32,
    rate: Bucket,
    in_vain: u32,
    rests_until: Option<Instant>,
}

impl Default for Provocation {
    fn default() -> Self {
        Self { unopened: 0, rate: RATE, in_vain: 0, rests_until: None }
    }
}

impl Provocation {
    /// Something opened.
    pub(super) const fn heard(&mut self) {
        self.unopened = 0;
        self.in_vain = 0;
        self.rests_until = None;
    }

    /// Something did not open. `has_keys`: there was a session that might have. `is_busy`: a handshake is under way.
    /// Returns whether to start one.
    pub(super) fn note(&mut self, has_keys: bool, is_busy: bool, now: Instant) -> bool {
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
