//! One peer's machine: which sessions there are, which one is used, when the next one is due.
//!
//! Life-cycle. Nothing → an outgoing packet starts a *handshake*: initiations, each with a fresh ephemeral key, until one is
//! answered or the tries are used up. A valid response makes the session current. Answering a peer's initiation makes a
//! session that is used for nothing until something authenticates under it. A session is renewed by whoever began it, when
//! it is old and there is something to send; and by either side when the other may have lost it. Keys are erased when their
//! time is over, whether or not anything happens. The constants are those of the [`Regime`]: of the link that carries the
//! session, which may change at any moment without costing it.
//!
//! How to drive it:
//! - Tell the path: [`Tunnel::set_regime`], also when only the pace changed; [`Tunnel::set_metered_too`].
//! - Before a packet is queued: [`Tunnel::readiness`]. When it leaves: [`Tunnel::sealing`], then seal with any cipher.
//! - What comes in: find the keys by [`Tunnel::opening`] or [`Tunnel::openings`], open, then call [`Tunnel::opened`], whose
//!   error is the replay window's. What nothing opened: [`Tunnel::unopened`].
//! - A packet that may be lost is sent again as a copy, if [`Tunnel::may_copy`] says that it can be told from its original;
//!   who takes one asks [`Tunnel::copied`] whether it came already.
//! - Handshakes: [`identify`](super::noise::identify) says whose tunnel is to [`accept`](Tunnel::accept); a response goes to
//!   [`Tunnel::handle_response`].
//! - After each of these: drain [`Tunnel::poll_action`], then arm a timer by [`Tunnel::deadline`] for
//!   [`Tunnel::handle_timeout`].
//!
//! Invariants: no counter is given out twice; none is accepted twice; nothing is sealed under a session that the peer has
//! not proven to hold; what does not authenticate changes nothing but limits; memory is bounded. Of two handshakes that
//! cross, that of the side with the lower public key counts, so both sides end up with one session.

mod alive;
mod attempts;
mod doubt;
mod handshake;
mod keyring;
mod opened;
mod terms;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::alive::Alive;
use self::attempts::Attempts;
use self::doubt::Doubt;
use self::handshake::{Handshake, Limits};
use self::keyring::Keyring;
pub use self::terms::{
    Action, Answer, Content, Context, Framing, HandshakeError, NotOpened, Opened, Readiness, Stamps,
};
use super::noise::Identity;
use super::regime::Regime;
use super::session::Sealing;
use crate::event::SessionState;
use crate::key::{PresharedKey, PublicKey};

/// The machine. See the module's introduction.
pub struct Tunnel {
    identity: Arc<Identity>,
    peer: PublicKey,
    psk: Option<PresharedKey>,
    regime: Regime,
    /// No path: nothing is sent.
    parked: bool,
    metered_too: bool,
    keys: Keyring,
    /// While there are any.
    attempts: Option<Box<Attempts>>,
    handshake: Option<Handshake>,
    /// When the last initiation was made.
    last_init: Option<Instant>,
    cooldown: Option<Instant>,
    failures: u32,
    away: bool,
    /// Sessions that we answered for in a row and that nobody proved.
    unproven: u8,
    stamps: Stamps,
    /// Made when the first handshake message comes.
    limits: Option<Box<Limits>>,
    alive: Alive,
    /// Made when there is a first sign.
    doubt: Option<Box<Doubt>>,
    last_heard: Option<Instant>,
    /// A handshake is wanted for its own sake since then.
    wanted: Option<Instant>,
    /// It is worth nothing where air is metered.
    wanted_where_free: bool,
    actions: VecDeque<Action>,
}

impl Tunnel {
    /// Makes the machine for one peer. It has no path yet.
    #[must_use]
    pub fn new(identity: Arc<Identity>, peer: PublicKey, psk: Option<PresharedKey>) -> Self {
        Self {
            identity,
            peer,
            psk,
            regime: Regime::Free,
            parked: true,
            metered_too: false,
            keys: Keyring::default(),
            attempts: None,
            handshake: None,
            last_init: None,
            cooldown: None,
            failures: 0,
            away: false,
            unproven: 0,
            stamps: Stamps::default(),
            limits: None,
            alive: Alive::default(),
            doubt: None,
            last_heard: None,
            wanted: None,
            wanted_where_free: false,
            actions: VecDeque::new(),
        }
    }

    /// Returns who the peer is.
    #[must_use]
    pub const fn peer(&self) -> &PublicKey {
        &self.peer
    }

    /// Returns the secret that the two share beforehand.
    #[must_use]
    pub const fn preshared(&self) -> Option<&PresharedKey> {
        self.psk.as_ref()
    }

    /// Returns when the current session was agreed on.
    #[must_use]
    pub const fn last_handshake(&self) -> Option<Instant> {
        self.keys.installed
    }

    /// Returns where the session stands.
    #[must_use]
    pub fn state(&self) -> SessionState {
        if self.keys.current.is_some() && !self.away {
            SessionState::Established
        } else if self.handshake.is_some() || self.keys.next.is_some() {
            SessionState::Handshaking
        } else {
            SessionState::Idle
        }
    }

    /// Returns the greatest timestamps so far.
    #[must_use]
    pub const fn stamps(&self) -> Stamps {
        self.stamps
    }

    /// Takes up the timestamps of an earlier life; they only ever grow.
    pub fn restore(&mut self, stamps: Stamps) {
        self.stamps = self.stamps.max_of(stamps);
    }

    /// Returns how many initiations were lost since this was asked last.
    pub fn take_lost(&mut self) -> u32 {
        self.attempts.as_mut().map_or(0, |attempts| attempts.take_lost())
    }

    /// An initiation was handed to a link, or (`None`) the link gave it back.
    pub fn note_left(&mut self, sender: u32, left: Option<Instant>) {
        if let Some(attempts) = &mut self.attempts {
            attempts.note_left(sender, left);
        }
    }

    /// On links where air is free, how often at least the peer is to hear something.
    pub fn set_keepalive(&mut self, every: Option<Duration>, now: Instant) {
        if self.alive.set_persistent(every) && self.is_free() {
            self.alive.resume(now);
        }
    }

    /// Whether any of the peer's endpoints is on a metered link. Then keys are kept for as long as they serve there, even
    /// while the session is on a free link; else they are erased when WireGuard erases them.
    pub const fn set_metered_too(&mut self, metered_too: bool) {
        self.metered_too = metered_too;
    }

    /// Says which link carries the session from here on; `None` if there is no path: then nothing is sent and a handshake
    /// under way is given up, but keys still end when they end. A handshake under way when the kind of link changes begins
    /// anew there at once.
    pub fn set_regime(&mut self, regime: Option<Regime>, now: Instant) {
        let Some(regime) = regime else {
            self.parked = true;
            self.handshake = None;
            return self.alive.rest();
        };
        let moves = regime.is_metered() != self.regime.is_metered();
        let resumes = std::mem::take(&mut self.parked);
        self.regime = regime;
        if moves {
            if regime.is_metered() && std::mem::take(&mut self.wanted_where_free) {
                self.handshake = None;
                self.wanted = None;
                self.actions.retain(|action| !matches!(action, Action::SendInit { .. }));
            }
            self.keys.moved(regime, now);
            self.hurry(now);
        }
        if regime.is_metered() {
            self.alive.rest();
        } else if moves || resumes {
            self.alive.resume(now);
        }
    }

    /// The host slept for so long, while the clock that tells the time here stood still: keys are older by that, and those
    /// whose time is over are erased. What is under way goes on. Where air is free, fresh keys replace those that could be
    /// used before the sleep and cannot be after it, so that the peer finds us; elsewhere that takes a packet.
    pub fn slept(&mut self, slept: Duration, now: Instant) {
        let could_seal = self.can_seal(now);
        let earlier = |at: Instant| at.checked_sub(slept).unwrap_or(at);
        self.last_init = self.last_init.map(earlier);
        self.cooldown = self.cooldown.map(earlier);
        if let Some(attempts) = &mut self.attempts {
            attempts.slept(slept);
        }
        if self.keys.slept(slept) {
            self.ended();
        }
        self.expire(now);
        if !self.is_free() {
            return;
        }
        self.alive.resume(now);
        self.hurry_if_stale(now);
        if could_seal && !self.can_seal(now) && self.handshake.is_none() && self.wanted.is_none() {
            self.renew(now);
            self.wanted_where_free = true;
        }
    }

    /// Erases all keys and gives back all indices, for a peer that is removed: drain [`Self::poll_action`] once more.
    pub fn close(&mut self) {
        self.handshake = None;
        self.wanted = None;
        self.alive.rest();
        self.clear_attempts();
        self.keys.clear();
    }

    fn clear_attempts(&mut self) {
        if let Some(attempts) = &mut self.attempts {
            attempts.clear();
        }
    }

    /// Whether there is a path on which air is free.
    fn is_free(&self) -> bool {
        self.regime == Regime::Free && !self.parked
    }

    const fn metered_too(&self) -> bool {
        self.metered_too || self.regime.is_metered()
    }

    /// What the machine wants done next.
    pub fn poll_action(&mut self) -> Option<Action> {
        let released = |index| Action::Released { index };
        let attempts = &mut self.attempts;
        let gone = self.keys.poll_gone().or_else(|| attempts.as_mut()?.poll_gone());
        let next = gone.map(released).or_else(|| self.actions.pop_front());
        if next.is_none() {
            // An idle peer keeps no memory for them.
            self.actions = VecDeque::new();
            self.attempts.take_if(|attempts| attempts.are_over());
        }
        next
    }

    /// Says what may be done with an outgoing packet, and starts the handshake that it needs.
    pub fn readiness(&mut self, context: &mut Context<'_>) -> Readiness {
        let now = context.now;
        self.expire(now);
        if self.parked {
            return Readiness::Wait;
        }
        self.wanted_where_free = false;
        let cooling = self.cooldown.is_some_and(|until| now < until);
        let is_usable = self.is_usable(now) && !self.away;
        // Also of a peer that was away: its initiation says that it is back.
        if !is_usable && self.awaits_proof(now) {
            return Readiness::Wait;
        }
        if !is_usable && cooling {
            return Readiness::Away;
        }
        if !is_usable {
            self.start(context);
            return Readiness::Wait;
        }
        if !cooling && self.is_due(now) {
            self.start(context);
        }
        Readiness::Ready
    }

    /// Whether packets can be sealed for the peer, which is not away as far as known.
    #[must_use]
    pub fn can_seal(&self, now: Instant) -> bool {
        self.is_usable(now) && !self.away
    }

    fn is_usable(&self, now: Instant) -> bool {
        self.keys.current.as_ref().is_some_and(|current| current.seals(self.regime, now))
    }

    fn is_due(&self, now: Instant) -> bool {
        let is_silent = match self.regime {
            Regime::Free => false,
            Regime::Metered { pace } => {
                self.doubt.as_ref().is_some_and(|doubt| doubt.is_unanswered(pace, now))
            }
        };
        is_silent || self.keys.current.as_ref().is_some_and(|current| current.is_due(self.regime, now))
    }

    /// Returns what is needed to seal packets that leave now, all of the same content; `None` if no session is fit for it.
    pub fn sealing(&mut self, content: Content, now: Instant) -> Option<Sealing<'_>> {
        let current = self.keys.current.as_mut().filter(|current| current.seals(self.regime, now))?;
        match self.regime {
            Regime::Free => self.alive.sent(content, now),
            Regime::Metered { .. } if content == Content::Data => {
                self.doubt.get_or_insert_default().sent(now);
            }
            Regime::Metered { .. } => {}
        }
        Some(current.sealing())
    }

    /// Whether what was sealed with this counter in the session with this index of ours can be sent once more, as a copy: the
    /// session still seals, and the peer can still tell whether the counter has come.
    #[must_use]
    pub fn may_copy(&self, index: u32, counter: u64, now: Instant) -> bool {
        self.keys.current.as_ref().is_some_and(|current| {
            current.local == index && current.seals(self.regime, now) && current.may_copy(counter)
        })
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        self.expire(now);
        if self.parked {
            return;
        }
        if self.handshake.as_ref().is_some_and(|handshake| handshake.next_at <= now) {
            self.try_again(context);
        }
        if self.alive.take_doubt(now) || self.wanted.is_some_and(|at| at <= now) {
            self.wanted = None;
            self.start(context);
        }
        let (answer, persistent) = (self.alive.take_keepalive(now), self.alive.take_persistent(now));
        if (answer || persistent) && self.is_usable(now) {
            self.actions.push_back(Action::Keepalive);
        } else if persistent && !self.awaits_proof(now) {
            self.start(context);
        }
    }

    /// When [`Self::handle_timeout`] is due, and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Instant, &'static str)> {
        let keys = [
            self.keys.deadline(self.metered_too()),
            self.attempts.as_ref().and_then(|attempts| attempts.deadline()),
        ];
        let handshake = self.handshake.as_ref().map(|handshake| (handshake.next_at, "handshake"));
        let wanted = self.wanted.map(|at| (at, "renewal"));
        let traffic = [handshake, wanted, self.alive.deadline()];
        let traffic = traffic.into_iter().filter(|_| !self.parked);
        keys.into_iter().chain(traffic).flatten().min()
    }

    fn expire(&mut self, now: Instant) {
        if let Some(attempts) = &mut self.attempts {
            attempts.expire(now);
        }
        if self.keys.expire(self.metered_too(), now) {
            self.ended();
        }
    }

    fn ended(&mut self) {
        self.away = false;
        self.actions.push_back(Action::Ended);
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("peer", &self.peer)
            .field("regime", &self.regime)
            .finish_non_exhaustive()
    }
}
