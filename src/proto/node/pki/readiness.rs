//! What may be done with an outgoing frame, and what doubts speak against it: keys that are due, an answer that does not come,
//! an offer whose proof may be on its way.

use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;

use super::Pki;

/// A session is renewed at this age (the reference's figure).
const REKEY_AFTER: Duration = Duration::from_secs(5 * 3600);
/// The responder waits a little longer, so that the two sides do not renew at once.
const RESPONDER_GRACE: Duration = Duration::from_secs(120);
/// Offers in a row that frames and handshakes of ours wait for though none was proven: a peer in earnest tries a few
/// times, recordings of its inits come without end.
pub(super) const MAX_UNPROVEN: u8 = 3;
/// Frames sent with nothing heard before the peer is asked for a sign of life, and for how long at the least; at the most, for
/// one that does not answer that either.
pub(super) const UNANSWERED: u32 = 3;
pub(super) const UNANSWERED_FOR: Duration = Duration::from_secs(15);
pub(super) const MAX_UNANSWERED_FOR: Duration = Duration::from_secs(3600);

/// What may be done with an outgoing frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum Readiness {
    /// Seal it.
    Ready,
    /// Keep it: a handshake is under way, or an offer waits for its proof.
    Wait,
    /// The peer is away: drop it.
    Away,
}

impl Pki {
    /// Says what may be done with an outgoing frame, and starts the handshake that it needs. `pace`: how long a handshake
    /// takes on this path when nothing goes wrong.
    pub(in crate::node) fn readiness(
        &mut self,
        pace: Duration,
        rng: &mut ChaCha20Rng,
        now: Instant,
    ) -> Readiness {
        self.expire(now);
        let cooling = self.cooldown.is_some_and(|until| now < until);
        // Also of a peer that was away: its init says that it is back.
        if self.awaits_proof(pace, now) {
            return Readiness::Wait;
        }
        if self.away && cooling {
            return Readiness::Away;
        }
        let Some(current) = &self.sessions.current else {
            if cooling {
                return Readiness::Away;
            }
            self.start(pace, rng, now);
            return Readiness::Wait;
        };
        if self.away {
            self.start(pace, rng, now);
            return Readiness::Wait;
        }
        let age = now.saturating_duration_since(current.since);
        let limit = if current.initiator { REKEY_AFTER } else { REKEY_AFTER + RESPONDER_GRACE };
        let due = age >= limit || current.session.sent() >= self.rekey_messages;
        if (due || self.is_unanswered(pace, now)) && !cooling {
            self.start(pace, rng, now);
        }
        // A peer that is none of us lets go of the old session as soon as it answers: what it cannot open is lost.
        if self.handshake.is_some() && self.kin == Some(false) { Readiness::Wait } else { Readiness::Ready }
    }

    /// Whether an offer is so fresh that its proof may be on its way, and frames should wait for it: because there is
    /// nothing else, or because the peer (not one of us) has let go of the session that we have. Not without end: the inits
    /// may be recordings.
    fn awaits_proof(&self, pace: Duration, now: Instant) -> bool {
        let Some(offer) = self.sessions.offers.back() else { return false };
        let fresh = now < offer.live.since + proof_time(pace) && self.unproven <= MAX_UNPROVEN;
        fresh && (self.sessions.current.is_none() || !offer.kin)
    }

    /// Whether an offer waits for proof that only our own question can bring.
    pub(in crate::node) fn wants_probe(&self, pace: Duration, now: Instant) -> bool {
        self.sessions.offers.back().is_some_and(|offer| !offer.kin) && self.awaits_proof(pace, now)
    }

    /// Seals with the newest offer, to find out whether the peer has it too. Only for what may be lost.
    pub(in crate::node) fn seal_probe(&mut self, frame: &[u8]) -> Option<(u64, Vec<u8>)> {
        self.sessions.offers.back_mut().map(|offer| offer.live.session.seal(frame))
    }

    fn is_unanswered(&self, pace: Duration, now: Instant) -> bool {
        self.silence.is_some_and(|silence| {
            let waited = now.saturating_duration_since(silence.since);
            silence.frames >= UNANSWERED && waited >= self.silence_for.max(pace * 8)
        })
    }

    /// When frames that wait for an offer's proof have waited long enough.
    pub(in crate::node) fn proof_deadline(&self, pace: Duration) -> Option<Instant> {
        self.sessions.offers.back().map(|offer| offer.live.since + proof_time(pace))
    }
}

/// How long an offer's proof may take: the response has to arrive, and something to come back.
pub(super) fn proof_time(pace: Duration) -> Duration {
    pace * 3 + Duration::from_secs(1)
}
