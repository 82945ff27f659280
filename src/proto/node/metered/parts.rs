//! Packets that go in parts: how long to wait for these, asking for those that are lost, answering who asks, and handing on
//! what waited for them.

use std::time::{Duration, Instant};

use super::super::Node;
use super::super::links::{LinkState, Ready};
use super::super::peer::Keying;
use super::super::stock::Path;
use super::super::wireguard::packet_of;
use crate::aead::TAG_LEN;
use crate::control::Control;
use crate::event::DropReason;
use crate::link::Class;
use crate::path::{PathState, Tier};
use crate::queue::{PeerIndex, Tempo};
use crate::terse::fragment::{Cut, PART_HEADER, Part};
use crate::terse::frame::{Datagram, expand_counter, tag_of};
use crate::terse::reassembly::{Missing, Outcome, Patience, Reassembler};
use crate::wg::session::Opening;
use crate::wg::tunnel::{Content, Tunnel};

/// What compression takes from the headers of a TCP segment, at the least, with timestamps.
const HEADERS_SAVED: usize = 28;
/// How many silences repair takes whose first question is lost: one until it is asked, two until it is asked again.
const REPAIR_SILENCES: u32 = 3;

/// How fast TCP can be on a link whose packets may go in parts.
pub(in crate::node) fn tempo(state: &LinkState) -> Tempo {
    let part = state.datagram_price(state.mtu()) + state.access();
    Tempo { part, room: state.mtu().saturating_sub(PART_HEADER), ..state.tempo() }
}

/// How long to wait for parts on a link.
pub(super) fn patience(state: &LinkState) -> Patience {
    let part = state.datagram_price(state.mtu()) + state.access();
    let silence = part * 2 + Duration::from_millis(500);
    Patience { silence, lifetime: silence * 12 }
}

/// For how long after its last part left a packet may be asked for: three questions that bring nothing are over by then.
pub(super) fn askable(state: &LinkState) -> Duration {
    patience(state).silence * (1 + 2 + 4)
}

/// How long a segment may wait for one that was sent before it: until questions and answers were lost several times over.
pub(super) fn order_time(state: &LinkState) -> Duration {
    patience(state).silence * REPAIR_SILENCES * 2
}

/// For how long after a frame's turn selective repeat brings what is lost of it: until its parts have left, two questions
/// were answered of which the first was lost, and an acknowledgement was held for a segment's time, lost, and replaced by the
/// next that is not held. TCP takes a segment for lost that comes after its successors, or is not acknowledged soon, and sends
/// it again whole; that copy is not worth its air before. Nothing for what one datagram carries.
pub(in crate::node) fn repair_time(state: &LinkState, frame: &[u8]) -> Duration {
    let sealed = packet_of(frame).len().saturating_sub(HEADERS_SAVED) + TAG_LEN;
    let Some(cut) = Cut::of(sealed, state.mtu()) else { return Duration::ZERO };
    let next = state.tempo().next
        + (state.datagram_price(cut.datagram_len()) + state.access()) * (u32::from(cut.count()) - 1);
    repair_of(state, cut.count().into(), cut.datagram_len()) + next * 2
}

/// How long it takes to bring so many parts of one length, of which the first question may be lost.
fn repair_of(state: &LinkState, parts: u32, len: usize) -> Duration {
    (state.datagram_price(len) + state.access()) * parts + patience(state).silence * REPAIR_SILENCES
}

impl Node {
    pub(super) fn terse_part(
        &mut self,
        at: PeerIndex,
        path: Path,
        part: &Part<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let patience = self.links.get(&path.0).map(patience).ok_or(DropReason::LinkDown)?;
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else {
            return Err(DropReason::NoSession);
        };
        let named: Vec<_> =
            wireguard.tunnel.openings(now).filter(|opening| tag_of(opening.index) == part.tag).collect();
        let Some(index) = named.iter().map(|opening| opening.index).min() else {
            self.with_tunnel(at, now, Tunnel::unopened);
            return Err(DropReason::NoSession);
        };
        // What was opened is awaited no more, whoever repeats a part of it: nothing is asked for, and nothing waits for it.
        let may_be_of = |opening: &Opening<'_>| {
            opening.allows(expand_counter(part.counter_low, opening.greatest().unwrap_or(0)))
        };
        if !named.iter().any(may_be_of) {
            return Err(DropReason::Replayed);
        }
        let session = wireguard.sessions.get(index);
        let reassembler = session.reassembler.get_or_insert_with(|| Reassembler::new(patience));
        let before = reassembler.given_up();
        let outcome = reassembler.push(part, now);
        let given_up = reassembler.given_up() - before;
        self.account.count_many(at, DropReason::BadFragment, given_up);
        match outcome {
            Outcome::Kept => Ok(()),
            Outcome::Refused => Err(DropReason::BadFragment),
            Outcome::Whole { counter_low, sealed } => {
                self.terse_data(at, path, part.tag, counter_low, &sealed, now)?;
                if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying
                    && let Some(reassembler) = &mut wireguard.sessions.get(index).reassembler
                {
                    reassembler.accepted(counter_low, now);
                }
                Ok(())
            }
        }
    }

    /// Hands on the segments that waited for one which is there, or comes no more.
    pub(in crate::node) fn release_ordered(&mut self, at: PeerIndex, now: Instant) {
        loop {
            let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return };
            let mut waited =
                wireguard.sessions.list.iter_mut().filter_map(|session| session.poll_ordered(now));
            let Some(packet) = waited.next() else { return };
            if let Err(reason) = self.inner(at, &packet, now) {
                self.account.count(at, reason);
            }
        }
    }

    /// Sends the parts that a peer asked for.
    pub(in crate::node) fn repeat_parts(
        &mut self,
        at: PeerIndex,
        path: Path,
        missing: Missing,
        now: Instant,
    ) {
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return };
        let mut answers = wireguard.sessions.list.iter_mut().map(|session| session.answer(missing, now));
        let Some((parts, segment)) = answers.find(|(parts, _)| !parts.is_empty()) else { return };
        if let Some(Ok(Datagram::Part(part))) = parts.first().map(|part| Datagram::parse(part)) {
            wireguard.sessions.losses.asked((part.tag, part.counter_low), missing.bitmap);
        }
        // Asked by whichever way, parts fit a metered link alone.
        let Some(path) = self.metered_way(at, path) else { return };
        let Some(state) = self.links.get_mut(&path.0) else { return };
        let (to, expires) = (path.1, now + state.useful_time());
        if let Some(segment) = segment {
            let until = now + repair_of(state, u32::try_from(parts.len()).unwrap_or(0), state.mtu());
            state.queue.extend_repair(at, segment, until);
        }
        let ready = |payload| Ready {
            peer: at,
            to,
            payload,
            class: Class::Interactive,
            far: false,
            expires,
            ping: None,
        };
        state.push_sealed(parts.into_iter().map(ready).collect());
    }

    /// The given way to a peer if it is metered, else one that is and may be used.
    fn metered_way(&self, at: PeerIndex, path: Path) -> Option<Path> {
        if !self.is_free(path.0) {
            return Some(path);
        }
        let Keying::Wireguard(wireguard) = &self.peers[at].keying else { return None };
        let usable = |view: &crate::path::PathView| {
            matches!(view.state, PathState::Untried | PathState::Proven) && view.tier == Tier::Radio
        };
        wireguard.paths.views().find(usable).map(|view| (view.link, view.to))
    }

    /// Asks a peer for parts that are missing, if it is time.
    pub(in crate::node) fn ask_for_missing(&mut self, at: PeerIndex, now: Instant) {
        loop {
            let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return };
            let reassemblers =
                wireguard.sessions.list.iter_mut().filter_map(|session| session.reassembler.as_mut());
            let Some(missing) = reassemblers.filter_map(|parts| parts.poll_missing(now)).next() else {
                return;
            };
            // Parts come by radio: the question goes where they come from, if that is where things go.
            let Some(path) = self.path(at) else { return };
            let Missing { counter_low, bitmap } = missing;
            let question = Control::Missing { counter_low, bitmap }.emit();
            self.send_inside(at, path, &question, Content::Control, now);
        }
    }
}
