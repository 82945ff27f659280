//! Copies: packets that went into a silent path and are sent again by another, so that whoever gets both takes one.
//!
//! A copy is a control message in the session of its original, and names the counter that the original was sealed with
//! ([`Control::Copy`], `docs/terse.md`). Its receiver asks the session's replay window for that counter. If it was seen, or
//! too much came since to know, the copy is dropped and counted as [`DropReason::Duplicate`]; else the counter is marked as
//! seen and the packet goes on, as any packet of the peer's, and the original, should it come late, is refused as a
//! repetition.
//!
//! The packet inside is compressed as on metered links, though without what flows know: so a copy is no longer than a packet
//! of full length, whose way through a path has shown itself (but for IPv4 with options and rare protocols over IPv6: five
//! bytes more at most), and the rules for packets hold for it. A packet and its copies are counted once as sent, with the packet.
//!
//! Invariants: no copy goes to a peer that is not known to be meshnet; none is sealed under another session than its
//! original, or so late that the peer could not tell; a copy of a copy names the first original.

use std::time::Instant;

use super::Node;
use super::peer::Keying;
use super::stock::Path;
use super::wireguard::packet_of;
use crate::control::{COPY_HEADER, Control};
use crate::event::DropReason;
use crate::queue::{Original, PeerIndex};
use crate::terse::frame::{counter_low, expand_counter};
use crate::terse::header::{Context, compress, decompress};
use crate::wg::tunnel::{Content, NotOpened};

use super::doubtful::Kept;

/// Returns the plaintext of a packet's copy.
pub(super) fn copy_of(packet: &[u8], original: Original, context: &Context) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(packet.len() + COPY_HEADER);
    compress(packet, context, &mut compressed);
    Control::Copy { counter_low: counter_low(original.counter), packet: compressed }.emit()
}

impl Node {
    /// What is sent to a peer takes another path: copies of what may have been lost on the one before go first. Without a path
    /// they wait for one.
    pub(super) fn send_copies(&mut self, at: PeerIndex, now: Instant) {
        if self.path(at).is_none() {
            return;
        }
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return };
        let Some(kept) = wireguard.doubtful.take().filter(|_| wireguard.paths.is_kin()) else { return };
        for Kept { frame, original, .. } in kept.into_packets(now) {
            if self.may_copy(at, original, now) {
                self.admit_wireguard(at, frame, None, Some(original), now);
            }
        }
    }

    /// Whether the peer could tell that a copy which is sealed now is one.
    pub(super) fn may_copy(&self, at: PeerIndex, original: Original, now: Instant) -> bool {
        match &self.peers[at].keying {
            Keying::Wireguard(wireguard) => {
                wireguard.tunnel.may_copy(original.session, original.counter, now)
            }
            Keying::Pki(_) | Keying::Symmetric(_) => false,
        }
    }

    /// Seals a copy, and puts it on its way where air is free.
    pub(super) fn copy_free(
        &mut self,
        at: PeerIndex,
        path: Path,
        frame: Vec<u8>,
        original: Original,
        now: Instant,
    ) {
        if !self.may_copy(at, original, now) {
            return self.account.count(at, DropReason::NoSession);
        }
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return };
        let context = wireguard.sessions.get(original.session).context;
        let plaintext = copy_of(packet_of(&frame), original, &context);
        if !self.send_free(at, path, &plaintext, Content::Data, now) {
            return self.account.count(at, DropReason::QueueOverflow);
        }
        if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying
            && wireguard.paths.is_silent(now)
        {
            wireguard.doubtful.get_or_insert_default().keep(frame, original, now);
        }
    }

    /// Takes a copy that came in a message with the counter `own`.
    pub(super) fn take_copy(
        &mut self,
        at: PeerIndex,
        path: Path,
        (index, own): (u32, u64),
        (low, compressed): (u16, &[u8]),
        now: Instant,
    ) -> Result<(), DropReason> {
        let original = expand_counter(low, own);
        if original >= own {
            return Err(DropReason::MalformedInner);
        }
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return Ok(()) };
        let context = wireguard.sessions.get(index).context;
        let mut packet = Vec::with_capacity(compressed.len() + 64);
        decompress(compressed, &context, &mut packet).map_err(|_| DropReason::MalformedInner)?;
        wireguard.tunnel.copied(index, own, original).map_err(|error| match error {
            NotOpened::NoSession => DropReason::NoSession,
            NotOpened::Replayed => DropReason::Duplicate,
        })?;
        if self.is_free(path.0) {
            return self.inner(at, &packet, now);
        }
        self.in_order(at, path, (index, own), packet, now)
    }
}
