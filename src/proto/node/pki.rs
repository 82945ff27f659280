//! A version 1 peer with handshakes: which sessions there are, which one is used, when the next one is due.
//!
//! Life-cycle. Nothing → an outgoing frame starts a *handshake*: inits, each with a fresh ephemeral key, until one is
//! answered or all tries are used up (then a *cooldown*, so that an absent peer costs little air). A valid response makes
//! the session *current*. Answering a peer's init makes a session that is only *offered*: an init may be a recording, so
//! the offer is used for nothing until something authenticates under it; then it becomes current. The session that was
//! current before stays *previous* for a while, to open what the peer still seals with it. So a rekey loses no packet, and
//! a replayed init cuts nothing.
//!
//! A session is renewed when an outgoing frame finds it 5 h old or used 2^16 times. It is also renewed when the peer may
//! have lost it: several datagrams that no session opens, or several frames sent and nothing heard for a while. Both are
//! limited in rate, so that neither forged datagrams nor a silent receiver make us fill the air.

mod attempts;
mod messages;
mod provocation;
mod sessions;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use zeroize::Zeroizing;

use self::attempts::Attempts;
use self::provocation::Provocation;
use self::sessions::{OpenedBy, Sessions};
use crate::event::{DropReason, SessionState};
use crate::key::{PresharedKey, PrivateKey};
use crate::limit::Bucket;
use crate::v1::handshake::{Attempt, Pair};
use crate::v1::wire::{Data, Init};

/// A session is renewed at this age (the reference's figure).
const REKEY_AFTER: Duration = Duration::from_secs(5 * 3600);
/// The responder waits a little longer, so that the two sides do not renew at once.
const RESPONDER_GRACE: Duration = Duration::from_secs(120);
/// Tries of a handshake; after a first failure fewer, for the peer is probably away.
const TRIES: u32 = 5;
const TRIES_WHEN_AWAY: u32 = 2;
/// From this try on, reach as far as the link can.
const FAR_FROM_TRY: u32 = 2;
/// Pause after a failed handshake, doubled by each further one.
const COOLDOWN: Duration = Duration::from_secs(20);
const MAX_COOLDOWN: Duration = Duration::from_secs(300);
/// Offers in a row that frames and handshakes of ours wait for though none was proven: a peer in earnest tries a few
/// times, recordings of its inits come without end.
const MAX_UNPROVEN: u8 = 3;
/// How many inits of the peer's are answered. The genuine ones come seconds apart.
const ANSWERS: Bucket = Bucket::new(4, Duration::from_secs(10));
/// How many responses are looked at, so that one peer's forged ones take no other peer's share of the global limit.
const RESPONSES: Bucket = Bucket::new(4, Duration::from_secs(2));
/// Frames sent with nothing heard before the peer is asked for a sign of life.
const UNANSWERED: u32 = 3;
const UNANSWERED_FOR: Duration = Duration::from_secs(15);
const MAX_UNANSWERED_FOR: Duration = Duration::from_secs(3600);

/// A handshake under way.
struct Handshake {
    tries: u32,
    next_at: Instant,
}

/// Frames sent since anything was heard.
#[derive(Debug, Clone, Copy)]
struct Silence {
    since: Instant,
    frames: u32,
}

/// What may be done with an outgoing frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Seal it.
    Ready,
    /// Keep it: a handshake is under way, or an offer waits for its proof.
    Wait,
    /// The peer is away: drop it.
    Away,
}

/// What the machine wants done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Send this handshake datagram.
    Send {
        /// Its bytes.
        payload: Vec<u8>,
        /// Reach as far as the link can.
        far: bool,
    },
    /// Prove the new session to the responder, by a frame or by an empty message.
    Prove,
    /// There is a session to send through: what waits may go.
    Usable {
        /// There was none before.
        first: bool,
    },
    /// An init was answered after this time.
    Measured(Duration),
    /// The handshake came to nothing: what waits may not stay.
    Failed {
        /// How many inits were sent.
        tries: u32,
        /// A session ended with it.
        lost: bool,
    },
}

/// The machine. See the module's introduction.
pub(super) struct Pki {
    pair: Pair,
    /// Our static key is the lower one: in a collision we stay the initiator.
    lower: bool,
    rekey_messages: u64,
    /// Whether the peer is a meshnetd, once known.
    kin: Option<bool>,
    sessions: Sessions,
    attempts: Attempts,
    handshake: Option<Handshake>,
    cooldown: Option<Instant>,
    failures: u32,
    away: bool,
    /// Offers made since one was proven.
    unproven: u8,
    seen: VecDeque<[u8; 32]>,
    answers: Bucket,
    responses: Bucket,
    provocation: Provocation,
    silence: Option<Silence>,
    silence_for: Duration,
    /// A handshake is wanted for its own sake, and none has come to an end since.
    renewal_wanted: bool,
    actions: VecDeque<Action>,
}

impl Pki {
    pub(super) fn new(pair: Pair, lower: bool, rekey_messages: u64) -> Self {
        Self {
            pair,
            lower,
            rekey_messages,
            kin: None,
            sessions: Sessions::default(),
            attempts: Attempts::default(),
            handshake: None,
            cooldown: None,
            failures: 0,
            away: false,
            unproven: 0,
            seen: VecDeque::new(),
            answers: ANSWERS,
            responses: RESPONSES,
            provocation: Provocation::default(),
            silence: None,
            silence_for: UNANSWERED_FOR,
            renewal_wanted: false,
            actions: VecDeque::new(),
        }
    }

    pub(super) const fn kin(&self) -> Option<bool> {
        self.kin
    }

    pub(super) const fn last_handshake(&self) -> Option<Instant> {
        self.sessions.installed
    }

    pub(super) fn state(&self) -> SessionState {
        if self.sessions.current.is_some() && !self.away {
            SessionState::Established
        } else if self.handshake.is_some() || !self.sessions.offers.is_empty() {
            SessionState::Handshaking
        } else {
            SessionState::Idle
        }
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns how many inits were lost since this was asked last.
    pub(super) const fn take_lost(&mut self) -> u32 {
        self.attempts.take_lost()
    }

    pub(super) const fn preshared(&self) -> Option<&PresharedKey> {
        self.pair.preshared()
    }

    pub(super) const fn set_rekey_messages(&mut self, messages: u64) {
        self.rekey_messages = messages;
    }

    /// An init was handed to a link, or (`None`) the link gave it back.
    pub(super) fn note_left(&mut self, init: &Init, left: Option<Instant>) {
        self.attempts.note_left(init.session, left);
    }

    /// Somebody wants fresh keys, whatever the age of those in use, which serve until then.
    pub(super) fn want_renewal(&mut self) {
        self.renewal_wanted = true;
        self.cooldown = None;
        self.failures = 0;
    }

    /// Starts the handshake that somebody wants, if it is not under way. Call when a link reaches the peer.
    pub(super) fn renew(&mut self, pace: Duration, rng: &mut ChaCha20Rng, now: Instant) {
        if self.renewal_wanted {
            self.start(pace, rng, now);
        }
    }

    /// Says what may be done with an outgoing frame, and starts the handshake that it needs. `pace`: how long a handshake
    /// takes on this path when nothing goes wrong.
    pub(super) fn readiness(&mut self, pace: Duration, rng: &mut ChaCha20Rng, now: Instant) -> Readiness {
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

    /// The host slept for so long, while the clock that tells the time here stood still: keys are older by that, and those
    /// whose time is over are forgotten. What is under way goes on.
    pub(super) fn slept(&mut self, slept: Duration, now: Instant) {
        self.cooldown = self.cooldown.map(|until| until.checked_sub(slept).unwrap_or(until));
        self.attempts.slept(slept);
        self.sessions.slept(slept);
        self.expire(now);
    }

    /// What is due while no link reaches the peer: keys are forgotten all the same, and a handshake is given up; the next
    /// frame starts another.
    pub(super) fn park(&mut self, now: Instant) {
        self.expire(now);
        self.handshake = None;
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
    pub(super) fn wants_probe(&self, pace: Duration, now: Instant) -> bool {
        self.sessions.offers.back().is_some_and(|offer| !offer.kin) && self.awaits_proof(pace, now)
    }

    /// Seals with the newest offer, to find out whether the peer has it too. Only for what may be lost.
    pub(super) fn seal_probe(&mut self, frame: &[u8]) -> Option<(u64, Vec<u8>)> {
        self.sessions.offers.back_mut().map(|offer| offer.live.session.seal(frame))
    }

    /// Seals with the current session.
    pub(super) fn seal(&mut self, frame: &[u8], now: Instant) -> Option<(u64, Vec<u8>)> {
        let current = self.sessions.current.as_mut()?;
        let silence = self.silence.get_or_insert(Silence { since: now, frames: 0 });
        silence.frames += 1;
        Some(current.session.seal(frame))
    }

    fn is_unanswered(&self, pace: Duration, now: Instant) -> bool {
        self.silence.is_some_and(|silence| {
            let waited = now.saturating_duration_since(silence.since);
            silence.frames >= UNANSWERED && waited >= self.silence_for.max(pace * 8)
        })
    }

    /// Opens a datagram with whichever session it belongs to.
    pub(super) fn open(&mut self, data: &Data<'_>, now: Instant) -> Result<Vec<u8>, DropReason> {
        self.expire(now);
        let first = self.sessions.current.is_none() || self.away;
        let (frame, by) = self.sessions.open(data, self.lower, now)?;
        if let OpenedBy::Offer { kin, crossed } = by {
            self.kin = Some(kin);
            self.unproven = 0;
            self.handshake = None;
            self.renewal_wanted = false;
            // A peer that is none of us has only the session of the init that it answered last, if one of ours is still
            // to be answered.
            if self.kin != Some(false) {
                self.attempts.clear();
            }
            self.away = false;
            self.actions.push_back(Action::Usable { first });
            if crossed {
                self.actions.push_back(Action::Prove);
            }
        }
        self.heard();
        Ok(frame)
    }

    /// The peer lives, and its keys are ours.
    fn heard(&mut self) {
        self.provocation.heard();
        self.silence = None;
        self.silence_for = UNANSWERED_FOR;
        self.failures = 0;
        self.cooldown = None;
        if std::mem::take(&mut self.away) && self.sessions.current.is_some() {
            self.handshake = None;
            self.actions.push_back(Action::Usable { first: true });
        }
    }

    /// Takes note of a datagram that nothing opened: the peer may have other keys than we.
    pub(super) fn note_unopened(&mut self, pace: Duration, rng: &mut ChaCha20Rng, now: Instant) {
        let has_keys = self.sessions.current.is_some() || !self.sessions.offers.is_empty();
        if self.provocation.note(has_keys, self.handshake.is_some(), now) {
            self.start(pace, rng, now);
        }
    }

    /// Starts a handshake, unless one is under way.
    pub(super) fn start(&mut self, pace: Duration, rng: &mut ChaCha20Rng, now: Instant) {
        if self.handshake.is_none() {
            self.handshake = Some(Handshake { tries: 0, next_at: now });
            self.try_again(pace, rng, now);
        }
    }

    /// Sends the next init now: what kept the last one from going is out of the way.
    pub(super) fn hurry(&mut self, pace: Duration, rng: &mut ChaCha20Rng, now: Instant) {
        self.cooldown = None;
        self.failures = 0;
        if let Some(handshake) = &mut self.handshake {
            handshake.tries = handshake.tries.saturating_sub(1);
            self.try_again(pace, rng, now);
        }
    }

    fn try_again(&mut self, pace: Duration, rng: &mut ChaCha20Rng, now: Instant) {
        let tries = self.handshake.as_ref().map_or(0, |handshake| handshake.tries);
        let limit = if self.failures == 0 { TRIES } else { TRIES_WHEN_AWAY };
        if tries >= limit {
            return self.fail(tries, now);
        }
        let attempt = Attempt::new(&self.pair, fresh_key(rng));
        let payload = attempt.init().emit().to_vec();
        self.actions.push_back(Action::Send { payload, far: tries >= FAR_FROM_TRY });
        self.attempts.push(attempt, now);
        let wait = retry_time(pace, tries);
        let jitter = wait.mul_f64(f64::from(rng.next_u32() >> 16) / 65_536.0 / 4.0);
        self.handshake = Some(Handshake { tries: tries + 1, next_at: now + wait + jitter });
    }

    fn fail(&mut self, tries: u32, now: Instant) {
        self.handshake = None;
        self.renewal_wanted = false;
        let pause = COOLDOWN * 2_u32.pow(self.failures.min(6));
        self.failures += 1;
        self.cooldown = Some(now + pause.min(MAX_COOLDOWN));
        // A session that merely could not be renewed, while the peer is heard, goes on.
        let silent = self.silence.is_some_and(|silence| silence.frames >= UNANSWERED);
        let lost = self.sessions.current.is_some() && silent && !self.away;
        self.away = self.away || self.sessions.current.is_none() || silent;
        self.actions.push_back(Action::Failed { tries, lost });
    }

    pub(super) fn handle_timeout(&mut self, pace: Duration, rng: &mut ChaCha20Rng, now: Instant) {
        self.expire(now);
        if self.handshake.as_ref().is_some_and(|handshake| handshake.next_at <= now) {
            self.try_again(pace, rng, now);
        }
    }

    /// When [`Self::handle_timeout`] is due: a retry, or keys to be forgotten.
    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        let retry = self.handshake.as_ref().map(|handshake| (handshake.next_at, "handshake"));
        let attempt = self.attempts.deadline().map(|at| (at, "old keys"));
        retry.into_iter().chain(attempt).chain(self.sessions.deadline()).min()
    }

    /// When frames that wait for an offer's proof have waited long enough.
    pub(super) fn proof_deadline(&self, pace: Duration) -> Option<Instant> {
        self.sessions.offers.back().map(|offer| offer.live.since + proof_time(pace))
    }

    fn expire(&mut self, now: Instant) {
        self.attempts.expire(now);
        self.sessions.expire(self.rekey_messages, now);
    }
}

/// How long an init waits for its response: half as long again with each try.
fn retry_time(pace: Duration, tries: u32) -> Duration {
    let first = pace * 3 + Duration::from_secs(1);
    first * 3_u32.pow(tries.min(4)) / 2_u32.pow(tries.min(4))
}

/// How long an offer's proof may take: the response has to arrive, and something to come back.
fn proof_time(pace: Duration) -> Duration {
    pace * 3 + Duration::from_secs(1)
}

/// Draws an ephemeral key, and makes the generator forget how: who reads our memory later finds no key of a session that
/// is over.
fn fresh_key(rng: &mut ChaCha20Rng) -> PrivateKey {
    let (mut bytes, mut next) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    rng.fill_bytes(&mut *bytes);
    rng.fill_bytes(&mut *next);
    *rng = ChaCha20Rng::from_seed(*next);
    PrivateKey::from_random(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_does_not_remember_the_keys_that_it_gave() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let first = fresh_key(&mut rng).public();
        // The state of the generator is its seed and a position in its stream, which can be set back.
        let mut rewound = ChaCha20Rng::from_seed(rng.get_seed());
        assert_ne!(fresh_key(&mut rewound).public(), first);
        assert_ne!(rng.get_seed(), [1; 32]);
    }
}
