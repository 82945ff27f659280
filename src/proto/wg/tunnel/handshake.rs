//! Handshakes: ours, until one is answered or given up, and the peer's, which are answered.

use std::time::{Duration, Instant};

use rand_core::Rng as _;

use super::{Action, Answer, Context, Framing, HandshakeError, Tunnel};
use crate::limit::Bucket;
use crate::wg::message::RESPONSE_NOISE;
use crate::wg::noise::{Hello, Secrets, fresh_key, initiate};
use crate::wg::session::Keypair;
use crate::wg::sign;
use crate::wg::tai64n::Tai64n;

/// How many initiations in stock framing are answered: WireGuard's fifty a second, which is also as fast as timestamps go.
const STOCK_ANSWERS: Bucket = Bucket::new(5, Duration::from_millis(20));
/// How many others. The genuine ones come seconds apart.
const TERSE_ANSWERS: Bucket = Bucket::new(4, Duration::from_secs(10));
/// How many responses that name no index are looked at: each is tried against several initiations.
const TERSE_RESPONSES: Bucket = Bucket::new(4, Duration::from_secs(2));
/// From this try on, reach as far as the link can.
const FAR_FROM_TRY: u32 = 2;
/// Sessions in a row that we answered for, and that frames and handshakes of ours wait for though none was proven: a peer
/// that hears us proves the first.
const MAX_UNPROVEN: u8 = 3;
/// Draws of an index before there is none to be had for now. One is enough but once in millions of times.
const INDEX_DRAWS: usize = 8;

/// A handshake under way.
pub(super) struct Handshake {
    tries: u32,
    started: Instant,
    pub(super) next_at: Instant,
    /// An initiation of the peer's that crossed ours was passed over. Once: it may be that ours do not arrive.
    passed_over: bool,
}

/// How much of a peer's handshakes is looked at.
pub(super) struct Limits {
    /// Initiations that are answered, in stock framing.
    stock: Bucket,
    /// And else.
    terse: Bucket,
    /// Responses without an index.
    responses: Bucket,
}

impl Default for Limits {
    fn default() -> Self {
        Self { stock: STOCK_ANSWERS, terse: TERSE_ANSWERS, responses: TERSE_RESPONSES }
    }
}

impl Tunnel {
    /// Starts a handshake as soon as there is a path, whatever the age of the session, which serves until there is another.
    pub fn renew(&mut self, now: Instant) {
        self.wanted.get_or_insert(now);
        self.wanted_where_free = false;
        self.cooldown = None;
        self.failures = 0;
    }

    /// What kept the last initiation from arriving is out of the way: a handshake under way begins anew now.
    pub fn hurry(&mut self, now: Instant) {
        self.cooldown = None;
        self.failures = 0;
        if let Some(handshake) = &mut self.handshake {
            *handshake =
                Handshake { tries: 0, started: now, next_at: now, passed_over: handshake.passed_over };
        }
    }

    /// As [`Self::hurry`], for a path that is another than before: but not for an initiation that has only just left, so that
    /// two paths that both refuse cannot make a flood of them.
    pub fn hurry_if_stale(&mut self, now: Instant) {
        const JUST: Duration = Duration::from_secs(1);
        if self.last_init.is_some_and(|made| made + JUST <= now)
            && let Some(handshake) = &mut self.handshake
        {
            handshake.next_at = handshake.next_at.min(now);
        }
    }

    /// When packets that wait for a session's proof have waited long enough.
    #[must_use]
    pub fn proof_deadline(&self) -> Option<Instant> {
        let next = self.keys.next.as_ref().filter(|_| self.unproven <= MAX_UNPROVEN)?;
        Some(next.created + self.regime.proof_time())
    }

    /// Whether a session is so fresh that its proof may be on its way, and packets should wait for it.
    pub(super) fn awaits_proof(&self, now: Instant) -> bool {
        self.proof_deadline().is_some_and(|until| now < until)
    }

    /// Starts a handshake, unless one is under way.
    pub(super) fn start(&mut self, context: &mut Context<'_>) {
        if self.handshake.is_some() {
            return;
        }
        let now = context.now;
        let next_at = self.last_init.map_or(now, |last| now.max(last + self.regime.spacing()));
        self.handshake = Some(Handshake { tries: 0, started: next_at, next_at, passed_over: false });
        if next_at <= now {
            self.try_again(context);
        }
    }

    pub(super) fn try_again(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        let Some(handshake) = &mut self.handshake else { return };
        let lasted = now.saturating_duration_since(handshake.started);
        if self.regime.gives_up(handshake.tries, lasted, self.failures) {
            return self.fail(now);
        }
        if handshake.tries > 0 {
            self.actions.push_back(Action::Unanswered);
        }
        let jitter = f64::from(context.rng.next_u32()) / f64::from(u32::MAX);
        let tries = handshake.tries;
        handshake.tries = tries.saturating_add(1);
        handshake.next_at = now + self.regime.retry_after(tries, jitter);
        self.initiate(tries >= FAR_FROM_TRY, context);
    }

    fn initiate(&mut self, far: bool, context: &mut Context<'_>) {
        let drawn = (0..INDEX_DRAWS).map(|_| context.rng.next_u32()).find(|index| (context.claim)(*index));
        // Else the next try may find one.
        let Some(sender) = drawn else { return };
        let stamp = Tai64n::from_unix(context.unix_time).after(self.stamps.sent);
        let ephemeral = fresh_key(context.rng);
        let made = initiate(&self.identity, &self.peer, self.psk.as_ref(), &stamp, &ephemeral);
        // A peer with such a key can never be spoken to: the tries run out.
        let Ok((initiation, noise)) = made else { return self.keys.release(sender) };
        self.stamps.sent = Some(stamp);
        self.last_init = Some(context.now);
        self.attempts.get_or_insert_default().push(initiation, sender, context.now);
        self.actions.push_back(Action::SendInit { sender, noise, far });
    }

    fn fail(&mut self, now: Instant) {
        let Some(handshake) = self.handshake.take() else { return };
        self.wanted = None;
        self.wanted_where_free = false;
        self.cooldown = self.regime.cooldown(self.failures).map(|pause| now + pause);
        self.failures = self.failures.saturating_add(1);
        // A session that merely could not be renewed, while the peer is heard, goes on.
        let is_silent = self.last_heard.is_none_or(|heard| heard < handshake.started);
        let lost = self.keys.current.is_some() && is_silent && !self.away;
        self.away = self.away || self.keys.current.is_none() || is_silent;
        self.actions.push_back(Action::Failed { tries: handshake.tries, lost });
    }

    /// Answers an initiation of this peer's. The caller sends the answer back to where the initiation came from.
    ///
    /// # Errors
    /// If it is not answered; then no session has changed.
    pub fn accept(
        &mut self,
        hello: Hello,
        framing: Framing,
        context: &mut Context<'_>,
    ) -> Result<Answer, HandshakeError> {
        let now = context.now;
        self.expire(now);
        if *hello.peer() != self.peer {
            return Err(HandshakeError::Rejected);
        }
        let timestamp = *hello.timestamp();
        if self.stamps.received.is_some_and(|last| timestamp <= last) {
            return Err(HandshakeError::Replayed);
        }
        if framing == Framing::Terse && self.passes_over(now) {
            return Err(HandshakeError::Crossed);
        }
        let Limits { stock, terse, .. } = &mut **self.limits.get_or_insert_default();
        if !(if framing == Framing::Terse { terse } else { stock }).take(now) {
            return Err(HandshakeError::Flood);
        }
        let (noise, secrets) = hello.answer(self.psk.as_ref()).map_err(|_| HandshakeError::Rejected)?;
        let (sender, receiver) = match framing {
            Framing::Stock { sender: theirs, .. } => {
                let ours = self.identity.public();
                let drawn = (0..INDEX_DRAWS)
                    .map(|_| sign::draw(context.rng, ours, &self.peer))
                    .find(|index| (context.claim)(*index));
                (drawn.ok_or(HandshakeError::IndexInUse)?, theirs)
            }
            Framing::Terse => {
                let (theirs, ours) = secrets.derived_indices();
                if !(context.claim)(ours) {
                    return Err(HandshakeError::IndexInUse);
                }
                (ours, theirs)
            }
        };
        self.stamps.received = Some(timestamp);
        self.keys.offer(Box::new(Keypair::new(secrets, false, (sender, receiver), now)));
        self.unproven = self.unproven.saturating_add(1);
        if let (Some(until), Some(handshake)) = (self.proof_deadline(), &mut self.handshake) {
            handshake.next_at = handshake.next_at.max(until);
        }
        Ok(Answer { sender, receiver, noise })
    }

    /// Whether an initiation that has just come crossed one of ours that counts more. Only where one handshake too many is
    /// a waste, and where the peer is sure to decide likewise.
    fn passes_over(&mut self, now: Instant) -> bool {
        let ours_counts = self.identity.public() < &self.peer;
        let is_fresh = self.last_init.is_some_and(|made| now < made + self.regime.spacing());
        let Some(handshake) = &mut self.handshake else { return false };
        let passes = ours_counts && is_fresh && !handshake.passed_over;
        handshake.passed_over |= passes;
        passes
    }

    /// Takes a response to one of our initiations.
    ///
    /// # Errors
    /// If it is none; then nothing has changed.
    pub fn handle_response(
        &mut self,
        framing: Framing,
        noise: &[u8; RESPONSE_NOISE],
        context: &mut Context<'_>,
    ) -> Result<(), HandshakeError> {
        let now = context.now;
        self.expire(now);
        let index = match framing {
            Framing::Stock { receiver, .. }
                if self.attempts.as_ref().is_some_and(|attempts| attempts.has(receiver)) =>
            {
                Some(receiver)
            }
            Framing::Terse if self.attempts.as_ref().is_none_or(|attempts| attempts.is_empty()) => {
                return Err(HandshakeError::Rejected);
            }
            Framing::Terse if !self.limits.get_or_insert_default().responses.take(now) => {
                return Err(HandshakeError::Flood);
            }
            Framing::Terse => None,
            Framing::Stock { .. } => return Err(HandshakeError::Rejected),
        };
        let attempts = self.attempts.as_mut().ok_or(HandshakeError::Rejected)?;
        let answered = attempts.finish(index, noise, now).map_err(|_| HandshakeError::Rejected)?;
        let indices = match framing {
            Framing::Stock { sender, receiver } => (receiver, sender),
            Framing::Terse => {
                self.keys.release(answered.index);
                let (ours, theirs) = answered.secrets.derived_indices();
                if !(context.claim)(ours) {
                    return Err(HandshakeError::IndexInUse);
                }
                (ours, theirs)
            }
        };
        self.actions.extend(answered.rtt.map(Action::Measured));
        self.complete(answered.secrets, indices, now);
        Ok(())
    }

    /// A handshake of ours is over: the session can be used.
    fn complete(&mut self, secrets: Secrets, indices: (u32, u32), now: Instant) {
        let first = !self.is_usable(now) || self.away;
        self.keys.install(Box::new(Keypair::new(secrets, true, indices, now)), now);
        if let Some(doubt) = &mut self.doubt {
            doubt.renewed();
        }
        self.settled(now);
        self.alive.renewed();
        self.actions.extend([Action::Usable { first }, Action::Confirm]);
    }

    /// Something came in under the session that we answered for: it can be used.
    pub(super) fn confirm(&mut self, now: Instant) {
        let first = !self.is_usable(now) || self.away;
        let crossed = self.keys.confirm(self.identity.public() < &self.peer, now);
        // The peer has no use for an answer to these.
        self.clear_attempts();
        self.settled(now);
        self.actions.push_back(Action::Usable { first });
        if crossed {
            self.actions.push_back(Action::Confirm);
        }
    }

    /// There are new keys: nothing is wanted any more.
    fn settled(&mut self, now: Instant) {
        self.handshake = None;
        self.wanted = None;
        self.wanted_where_free = false;
        self.unproven = 0;
        self.failures = 0;
        self.cooldown = None;
        self.away = false;
        self.last_heard = Some(now);
    }
}
