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
mod readiness;
mod sessions;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use zeroize::Zeroizing;

use self::attempts::Attempts;
use self::provocation::Provocation;
pub(super) use self::readiness::Readiness;
use self::readiness::{UNANSWERED, UNANSWERED_FOR};
use self::sessions::{OpenedBy, Sessions};
use crate::event::{DropReason, SessionState};
use crate::key::{PresharedKey, PrivateKey};
use crate::limit::Bucket;
use crate::v1::handshake::{Attempt, Pair};
use crate::v1::wire::{Data, Init};

/// Tries of a handshake; after a first failure fewer, for the peer is probably away.
const TRIES: u32 = 5;
const TRIES_WHEN_AWAY: u32 = 2;
/// From this try on, reach as far as the link can.
const FAR_FROM_TRY: u32 = 2;
/// Pause after a failed handshake, doubled by each further one.
const COOLDOWN: Duration = Duration::from_secs(20);
const MAX_COOLDOWN: Duration = Duration::from_secs(300);
/// How many inits of the peer's are answered. The genuine ones come seconds apart.
const ANSWERS: Bucket = Bucket::new(4, Duration::from_secs(10));
/// How many responses are looked at, so that one peer's forged ones take no other peer's share of the global limit.
const RESPONSES: Bucket = Bucket::new(4, Duration::from_secs(2));
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
    /// The session ran out, and no other is there.
    Ended,
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

    /// Seals with the current session.
    pub(super) fn seal(&mut self, frame: &[u8], now: Instant) -> Option<(u64, Vec<u8>)> {
        let current = self.sessions.current.as_mut()?;
        let silence = self.silence.get_or_insert(Silence { since: now, frames: 0 });
        silence.frames += 1;
        Some(current.session.seal(frame))
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

    fn expire(&mut self, now: Instant) {
        self.attempts.expire(now);
        if self.sessions.expire(self.rekey_messages, now) {
            self.actions.push_back(Action::Ended);
        }
    }
}

/// How long an init waits for its response: half as long again with each try.
fn retry_time(pace: Duration, tries: u32) -> Duration {
    let first = pace * 3 + Duration::from_secs(1);
    first * 3_u32.pow(tries.min(4)) / 2_u32.pow(tries.min(4))
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
