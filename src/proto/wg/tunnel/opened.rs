//! What comes in under a session: what opens it, and what it tells once it authenticated.

use std::time::Instant;

use super::{Action, Content, Context, NotOpened, Opened, Tunnel};
use crate::wg::session::Opening;

impl Tunnel {
    /// Returns what is needed to open a packet that names this session.
    #[must_use]
    pub fn opening(&self, index: u32, now: Instant) -> Option<Opening<'_>> {
        self.openings(now).find(|opening| opening.index == index)
    }

    /// Returns what is needed to open a packet of any session, the likeliest first: three at most.
    pub fn openings(&self, now: Instant) -> impl Iterator<Item = Opening<'_>> {
        let (regime, metered_too) = (self.regime, self.metered_too);
        self.keys
            .all()
            .filter(move |keypair| keypair.opens(regime, metered_too, now))
            .map(|keypair| keypair.opening())
    }

    /// A packet authenticated under the session with this index. Marks its counter, and proves the session if that is new.
    ///
    /// # Errors
    /// If it is not to be accepted all the same; then nothing has changed.
    pub fn opened(
        &mut self,
        index: u32,
        counter: u64,
        content: Content,
        now: Instant,
    ) -> Result<Opened, NotOpened> {
        let (regime, metered_too) = (self.regime, self.metered_too);
        let keypair =
            self.keys.all_mut().find(|keypair| keypair.local == index).ok_or(NotOpened::NoSession)?;
        if !keypair.opens(regime, metered_too, now) {
            return Err(NotOpened::NoSession);
        }
        let is_newest = keypair.greatest() < Some(counter);
        if !keypair.mark(counter) {
            return Err(NotOpened::Replayed);
        }
        if keypair.is_late(regime, now) {
            keypair.renewed_late = true;
            self.wanted.get_or_insert(now);
        }
        let confirmed = self.keys.next.as_ref().is_some_and(|next| next.local == index);
        if confirmed {
            self.confirm(now);
        }
        if self.is_free() {
            self.alive.received(content, now);
        }
        self.heard(now);
        let is_current = self.keys.current.as_ref().is_some_and(|current| current.local == index);
        Ok(Opened { newest: is_newest && is_current, confirmed })
    }

    /// A packet that came in a message with the counter `own` is a copy of one that was sealed with `original` in the same
    /// session. Marks that counter: whichever of the two comes later is refused. Where `own` is marked, that moves no window.
    ///
    /// # Errors
    /// If the packet came already, or too much has come since to know; then nothing has changed.
    pub fn copied(&mut self, index: u32, own: u64, original: u64) -> Result<(), NotOpened> {
        let keypair = self.keys.all_mut().find(|keypair| keypair.local == index);
        let keypair = keypair.ok_or(NotOpened::NoSession)?;
        // Nobody copies what he has yet to seal.
        if original < own && keypair.mark(original) { Ok(()) } else { Err(NotOpened::Replayed) }
    }

    /// A datagram of this peer's, as it seems, was opened by nothing: the peer may have other keys than we. For peers that do
    /// the same; WireGuard itself has nothing like it.
    pub fn unopened(&mut self, context: &mut Context<'_>) {
        if self.parked {
            return;
        }
        let has_keys = self.keys.all().next().is_some();
        let is_busy = self.handshake.is_some();
        if self.doubt.get_or_insert_default().unopened(has_keys, is_busy, context.now) {
            self.start(context);
        }
    }

    /// The peer lives, and its keys are ours.
    fn heard(&mut self, now: Instant) {
        self.last_heard = Some(now);
        if let Some(doubt) = &mut self.doubt {
            doubt.heard();
        }
        self.failures = 0;
        self.cooldown = None;
        if std::mem::take(&mut self.away) && self.is_usable(now) {
            self.handshake = None;
            self.actions.push_back(Action::Usable { first: true });
        }
    }
}
