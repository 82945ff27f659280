//! The peer's half of handshakes: its inits, which are answered, and its responses to ours.

use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;

use super::readiness::{MAX_UNANSWERED_FOR, MAX_UNPROVEN, proof_time};
use super::sessions::{Live, Offer};
use super::{Action, Pki, fresh_key, retry_time};
use crate::event::DropReason;
use crate::limit::Bucket;
use crate::v1::handshake::respond;
use crate::v1::wire::{Init, Response};

/// Repetitions of a response to a repeated init.
const MAX_REPEATS: u8 = 2;
/// Ephemeral keys of answered inits that are remembered.
const MAX_SEEN: usize = 128;

impl Pki {
    /// Answers an init. `global` limits all peers together. Returns why it was dropped, if it was.
    pub(in crate::node) fn handle_init(
        &mut self,
        init: &Init,
        pace: Duration,
        global: &mut Bucket,
        rng: &mut ChaCha20Rng,
        now: Instant,
    ) -> Result<(), DropReason> {
        if !self.pair.is_authentic(init) {
            return Err(DropReason::BadHandshake);
        }
        if let Some(offer) = self.sessions.offers.iter_mut().find(|offer| offer.ephemeral == init.ephemeral) {
            if offer.repeats == MAX_REPEATS || !self.answers.take(now) {
                return Err(DropReason::HandshakeFlood);
            }
            offer.repeats += 1;
            let payload = offer.response.to_vec();
            self.actions.push_back(Action::Send { payload, far: true });
            return Ok(());
        }
        if self.seen.contains(&init.ephemeral) {
            return Err(DropReason::Replayed);
        }
        let ours_is_fresh = self.attempts.last().is_some_and(|at| now < at + retry_time(pace, 1));
        if self.lower && self.handshake.is_some() && ours_is_fresh {
            return Err(DropReason::HandshakeCollision);
        }
        if !self.answers.take(now) || !global.take(now) {
            return Err(DropReason::HandshakeFlood);
        }
        self.answer(init, pace, rng, now)
    }

    fn answer(
        &mut self,
        init: &Init,
        pace: Duration,
        rng: &mut ChaCha20Rng,
        now: Instant,
    ) -> Result<(), DropReason> {
        let (response, keys) =
            respond(&self.pair, init, &fresh_key(rng)).map_err(|_| DropReason::BadHandshake)?;
        let kin = self.pair.number(&init.ephemeral) == init.session;
        self.seen.push_back(init.ephemeral);
        if self.seen.len() > MAX_SEEN {
            self.seen.pop_front();
        }
        let response = response.emit();
        let live = Live::new(&keys, false, now);
        self.sessions.offer(Offer { live, ephemeral: init.ephemeral, response, repeats: 0, kin });
        self.unproven = self.unproven.saturating_add(1);
        if let Some(handshake) = self.handshake.as_mut().filter(|_| self.unproven <= MAX_UNPROVEN) {
            handshake.next_at = now + proof_time(pace);
        }
        self.actions.push_back(Action::Send { payload: response.to_vec(), far: false });
        Ok(())
    }

    /// Takes a response to one of our inits. Returns why it was dropped, if it was.
    pub(in crate::node) fn handle_response(
        &mut self,
        response: &Response,
        global: &mut Bucket,
        now: Instant,
    ) -> Result<(), DropReason> {
        self.expire(now);
        let Some((at, attempt)) = self.attempts.find(response.receiver) else {
            return Err(DropReason::BadHandshake);
        };
        if !self.responses.take(now) || !global.take(now) {
            return Err(DropReason::HandshakeFlood);
        }
        let keys = attempt.finish(&self.pair, response).map_err(|_| DropReason::BadHandshake)?;
        // A responder that drops the old session for each new one now has this one, unless it answers a later init too.
        let rtt = self.attempts.answered(at, now);
        self.actions.extend(rtt.map(Action::Measured));
        self.renewal_wanted = false;
        self.unproven = 0;
        self.kin = Some(self.pair.number(&response.ephemeral) == response.sender);
        self.handshake = None;
        self.failures = 0;
        self.cooldown = None;
        if self.silence.take().is_some() {
            self.silence_for = (self.silence_for * 2).min(MAX_UNANSWERED_FOR);
        }
        let first = std::mem::take(&mut self.away) || self.sessions.current.is_none();
        self.sessions.install(Live::new(&keys, true, now), now);
        self.actions.extend([Action::Usable { first }, Action::Prove]);
        Ok(())
    }
}
