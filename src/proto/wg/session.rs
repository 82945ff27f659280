//! Keys of one handshake, the counter that is spent on sealing, and the window that guards opening.
//!
//! Invariants: a counter is given out once, whatever the path and the encoding; the keys are wiped when the pair goes;
//! nothing here allocates while packets arrive in order.

use std::fmt;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::noise::Secrets;
use super::regime::{HARD_LIMIT, REJECT_AFTER_MESSAGES, Regime};
use super::window::{WINDOW, Window};

/// A session.
pub(super) struct Keypair {
    send: Zeroizing<[u8; 32]>,
    receive: Zeroizing<[u8; 32]>,
    /// By which index the peer names it towards us.
    pub(super) local: u32,
    /// By which index we name it towards the peer.
    pub(super) remote: u32,
    /// Whether we began the handshake.
    pub(super) initiator: bool,
    pub(super) created: Instant,
    /// When it moved from a metered link to a free one.
    freed: Option<Instant>,
    /// The counter that is given out next.
    next: u64,
    /// What that was when the session moved to a metered link.
    metered_from: u64,
    window: Window,
    /// A late renewal was begun because something came in: once is enough.
    pub(super) renewed_late: bool,
}

impl Keypair {
    pub(super) fn new(secrets: Secrets, initiator: bool, (local, remote): (u32, u32), now: Instant) -> Self {
        Self {
            send: secrets.send,
            receive: secrets.receive,
            local,
            remote,
            initiator,
            created: now,
            freed: None,
            next: 0,
            metered_from: 0,
            window: Window::default(),
            renewed_late: false,
        }
    }

    /// The link that carries the session is of another kind now.
    pub(super) fn moved(&mut self, to: Regime, now: Instant) {
        if to.is_metered() {
            self.metered_from = self.next;
        } else {
            self.freed = Some(now);
        }
    }

    /// How old the keys are in the eyes of a regime: moving to a free link makes them young again, so that it costs no
    /// handshake at once.
    fn age(&self, regime: Regime, now: Instant) -> Duration {
        let since = if regime.is_metered() { self.created } else { self.freed.unwrap_or(self.created) };
        now.saturating_duration_since(since)
    }

    /// Whether packets may be sealed with it.
    pub(super) fn seals(&self, regime: Regime, now: Instant) -> bool {
        self.next < REJECT_AFTER_MESSAGES
            && self.age(regime, now) < regime.reject_after()
            && now.saturating_duration_since(self.created) < HARD_LIMIT
    }

    /// Whether packets may be opened with it. Where a peer has a metered link too, it may still be sending there.
    pub(super) fn opens(&self, regime: Regime, metered_too: bool, now: Instant) -> bool {
        now < self.end(regime.reject_after(), metered_too || regime.is_metered())
    }

    /// When its keys are erased.
    pub(super) fn erased_at(&self, metered_too: bool) -> Instant {
        self.end(Regime::Free.reject_after() * 3, metered_too)
    }

    fn end(&self, on_free_link: Duration, metered_too: bool) -> Instant {
        let hard = self.created + HARD_LIMIT;
        if metered_too { hard } else { hard.min(self.freed.unwrap_or(self.created) + on_free_link) }
    }

    /// Whether it is time to make another, because this one is old or has sealed much.
    pub(super) fn is_due(&self, regime: Regime, now: Instant) -> bool {
        let sealed = if regime.is_metered() { self.next - self.metered_from } else { self.next };
        sealed >= regime.rekey_after_messages()
            || self.initiator && self.age(regime, now) >= regime.rekey_after()
    }

    /// Whether a packet that comes in is reason enough to make another.
    pub(super) fn is_late(&self, regime: Regime, now: Instant) -> bool {
        self.initiator && !self.renewed_late && self.age(regime, now) >= regime.rekey_on_receive_after()
    }

    pub(super) fn sealing(&mut self) -> Sealing<'_> {
        Sealing { key: &self.send, next: &mut self.next, receiver: self.remote, index: self.local }
    }

    /// Whether the next packet may be a copy of one that was sealed with this counter: it is not so old that the peer's window
    /// would have passed it by.
    pub(super) const fn may_copy(&self, counter: u64) -> bool {
        counter < self.next && self.next - counter < WINDOW
    }

    pub(super) fn opening(&self) -> Opening<'_> {
        Opening { key: &self.receive, window: &self.window, index: self.local }
    }

    /// An authentic packet came with this counter: see [`Window::mark`].
    pub(super) fn mark(&mut self, counter: u64) -> bool {
        counter < REJECT_AFTER_MESSAGES && self.window.mark(counter)
    }

    pub(super) const fn greatest(&self) -> Option<u64> {
        self.window.greatest()
    }

    #[cfg(test)]
    pub(super) const fn set_next(&mut self, next: u64) {
        self.next = next;
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keypair")
            .field("local", &self.local)
            .field("remote", &self.remote)
            .field("initiator", &self.initiator)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// What is needed to seal packets for a peer.
pub struct Sealing<'a> {
    /// The key, for [`Aead::seal`](crate::aead::Aead::seal).
    pub key: &'a [u8; 32],
    next: &'a mut u64,
    /// The peer's index of the session: what stock framing bears.
    pub receiver: u32,
    /// Our index of it: the session's name here.
    pub index: u32,
}

impl Sealing<'_> {
    /// Gives out the next counter; whether or not something is sent with it, it is spent. `None` at the end of all counters.
    #[must_use]
    pub fn counter(&mut self) -> Option<u64> {
        self.counters(1)
    }

    /// Gives out so many counters in a row, and returns the first.
    #[must_use]
    pub fn counters(&mut self, number: u64) -> Option<u64> {
        let end = self.next.checked_add(number).filter(|end| *end <= REJECT_AFTER_MESSAGES)?;
        Some(std::mem::replace(self.next, end))
    }
}

impl fmt::Debug for Sealing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing")
            .field("index", &self.index)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// What is needed to open a packet of a peer.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// The key, for [`Aead::open`](crate::aead::Aead::open).
    pub key: &'a [u8; 32],
    window: &'a Window,
    /// Our index of the session, by which the packet named it.
    pub index: u32,
}

impl Opening<'_> {
    /// Whether a counter may still be accepted: spares the opening of what was seen before.
    #[must_use]
    pub fn allows(&self, counter: u64) -> bool {
        counter < REJECT_AFTER_MESSAGES && self.window.allows(counter)
    }

    /// The greatest counter received so far: what a shortened one is read against.
    #[must_use]
    pub const fn greatest(&self) -> Option<u64> {
        self.window.greatest()
    }
}

impl fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("index", &self.index).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    fn keypair() -> Keypair {
        let secret = || Zeroizing::new([7; 32]);
        Keypair::new(Secrets { send: secret(), receive: secret(), hash: [0; 32] }, true, (1, 2), start())
    }

    #[test]
    fn debug_shows_no_key() {
        let mut keypair = keypair();
        let shown = format!("{keypair:?} {:?}", keypair.opening()) + &format!("{:?}", keypair.sealing());
        assert!(!shown.contains("7, 7"), "{shown}");
    }

    #[test]
    fn counters_end_before_they_could_come_again() {
        let mut keypair = keypair();
        keypair.set_next(REJECT_AFTER_MESSAGES - 2);
        assert!(keypair.seals(Regime::Free, start()));
        assert_eq!(keypair.sealing().counters(3), None);
        assert_eq!(keypair.sealing().counter(), Some(REJECT_AFTER_MESSAGES - 2));
        assert_eq!(keypair.sealing().counter(), Some(REJECT_AFTER_MESSAGES - 1));
        assert_eq!(keypair.sealing().counter(), None);
        assert!(!keypair.seals(Regime::Free, start()));
    }

    #[test]
    fn a_counter_beyond_the_last_is_not_accepted() {
        let mut keypair = keypair();
        assert!(!keypair.opening().allows(REJECT_AFTER_MESSAGES) && !keypair.mark(REJECT_AFTER_MESSAGES));
        assert!(
            keypair.opening().allows(REJECT_AFTER_MESSAGES - 1) && keypair.mark(REJECT_AFTER_MESSAGES - 1)
        );
    }
}
