//! The sessions with one peer: the current one, the one before it, and the next one.
//!
//! The *next* one is a session that we answered an initiation with. Nothing is sealed with it until something
//! authenticates under it, which proves that the initiation was no recording; then it becomes current, and what was current
//! becomes *previous*, to open what the peer still seals with it. A session that we began ourselves is current as soon as it
//! is answered. So a renewal loses no packet, and an initiation alone changes nothing.

use std::time::{Duration, Instant};

use crate::wg::regime::Regime;
use crate::wg::session::Keypair;

/// How long the previous session opens what comes late, and the next one waits for its proof.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// See the module's introduction.
#[derive(Default)]
pub(super) struct Keyring {
    previous: Option<Box<Keypair>>,
    pub(super) current: Option<Box<Keypair>>,
    pub(super) next: Option<Box<Keypair>>,
    /// When the current one took its place.
    pub(super) installed: Option<Instant>,
    /// Indices of sessions that are gone, for whoever keeps the table of them.
    gone: Vec<u32>,
}

impl Keyring {
    /// Makes a session current.
    pub(super) fn install(&mut self, keypair: Box<Keypair>, now: Instant) {
        if let Some(old) = self.current.replace(keypair) {
            let before = self.previous.replace(old);
            self.forget(before);
        }
        self.installed = Some(now);
    }

    /// Keeps a session until it is proven.
    pub(super) fn offer(&mut self, keypair: Box<Keypair>) {
        let before = self.next.replace(keypair);
        self.forget(before);
    }

    /// The next session is proven. If a handshake of ours was answered since it was made, the two have crossed: both sides
    /// hold both sessions, and each would send through the one that the other is about to forget. Then the session stays
    /// current that the side with the lower key began, here if `keeps_own`. Returns whether it did.
    pub(super) fn confirm(&mut self, keeps_own: bool, now: Instant) -> bool {
        let Some(next) = self.next.take() else { return false };
        let is_newer = |current: &Keypair| current.initiator && current.created >= next.created;
        let crossed = keeps_own && self.current.as_deref().is_some_and(is_newer);
        if crossed {
            let before = self.previous.replace(next);
            self.forget(before);
        } else {
            self.install(next, now);
        }
        crossed
    }

    /// The sessions, those first that most packets are sealed with.
    pub(super) fn all(&self) -> impl Iterator<Item = &Keypair> {
        [&self.current, &self.next, &self.previous].into_iter().filter_map(Option::as_deref)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Keypair> {
        [&mut self.current, &mut self.next, &mut self.previous].into_iter().filter_map(Option::as_deref_mut)
    }

    /// Erases keys whose time is over. Returns whether that left none to seal with.
    pub(super) fn expire(&mut self, metered_too: bool, now: Instant) -> bool {
        let had_current = self.current.is_some();
        let is_over = |keypair: &mut Box<Keypair>| keypair.erased_at(metered_too) <= now;
        let is_late = |since: Option<Instant>| since.is_some_and(|since| since + KEPT_FOR <= now);
        let (installed, offered) = (self.installed, self.next.as_ref().map(|next| next.created));
        let gone = [
            self.current.take_if(is_over),
            self.previous.take_if(|keypair| is_over(keypair) || is_late(installed)),
            self.next.take_if(|keypair| is_over(keypair) || is_late(offered)),
        ];
        gone.into_iter().for_each(|keypair| self.forget(keypair));
        had_current && self.current.is_none()
    }

    /// The host slept for so long, which the clock left out: [`Self::expire`] says what is over by that. Keys whose age
    /// cannot be told are erased here. Returns whether that left none to seal with.
    pub(super) fn slept(&mut self, slept: Duration) -> bool {
        let had_current = self.current.is_some();
        let is_ageless = |keypair: &mut Box<Keypair>| !keypair.slept(slept);
        let gone =
            [&mut self.current, &mut self.next, &mut self.previous].map(|slot| slot.take_if(is_ageless));
        gone.into_iter().for_each(|keypair| self.forget(keypair));
        self.installed = self.installed.and_then(|at| at.checked_sub(slept));
        had_current && self.current.is_none()
    }

    /// When [`Self::expire`] has something to do.
    pub(super) fn deadline(&self, metered_too: bool) -> Option<(Instant, &'static str)> {
        let ends = self.all().map(|keypair| keypair.erased_at(metered_too));
        let previous = self.installed.filter(|_| self.previous.is_some());
        let next = self.next.as_ref().map(|next| next.created);
        let kept = [previous, next].into_iter().flatten().map(|since| since + KEPT_FOR);
        ends.chain(kept).min().map(|at| (at, "old keys"))
    }

    /// The link that carries the sessions is of another kind.
    pub(super) fn moved(&mut self, to: Regime, now: Instant) {
        self.all_mut().for_each(|keypair| keypair.moved(to, now));
    }

    /// Forgets all sessions.
    pub(super) fn clear(&mut self) {
        for keypair in [self.current.take(), self.previous.take(), self.next.take()] {
            self.forget(keypair);
        }
    }

    fn forget(&mut self, keypair: Option<Box<Keypair>>) {
        self.gone.extend(keypair.map(|keypair| keypair.local));
    }

    /// An index that is not used any more; also one of a handshake that came to nothing.
    pub(super) fn release(&mut self, index: u32) {
        self.gone.push(index);
    }

    pub(super) fn poll_gone(&mut self) -> Option<u32> {
        self.gone.pop()
    }
}
