//! What the sessions of a peer keep for metered links, each apart: whether both ends agreed on what they know of each other's
//! addresses, the flows that both know, the packets that went in parts and may be asked for again, the parts that came, and
//! what waits for them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::loss::Losses;
use crate::queue::FlowId;
use crate::terse::fragment::Cut;
use crate::terse::frame::counter_low;
use crate::terse::header::{Context, Flows};
use crate::terse::keeper::Keeper;
use crate::terse::order::Order;
use crate::terse::reassembly::{Missing, Reassembler};

/// Segments that are remembered: as many as a [`Keeper`] keeps packets.
const MAX_SEGMENTS: usize = 8;

/// A TCP segment, by its connection and first sequence number.
pub(super) type Segment = (FlowId, u32);

/// What the sessions of a peer keep for metered links: three at most.
#[derive(Default)]
pub(in crate::node) struct Sessions {
    pub(super) list: Vec<Session>,
    /// What the ways lose that packets go in parts by: it outlives a session.
    pub(super) losses: Losses,
    /// Something was sealed since the last session could be used: it is proven by that.
    pub(in crate::node) sealed: bool,
}

pub(in crate::node) struct Session {
    /// Our index of it.
    index: u32,
    /// What both ends knew of each other's addresses when they shook hands; nothing if they did not agree.
    pub(in crate::node) context: Context,
    pub(super) flows: Flows,
    pub(super) keeper: Option<Keeper>,
    pub(super) reassembler: Option<Reassembler>,
    pub(super) order: Order,
    /// TCP segments that went in parts, by counter; the latest last.
    segments: VecDeque<(u64, Segment)>,
}

impl Session {
    /// Keeps what goes in parts, and which segment it is if it is one.
    pub(super) fn keep(
        &mut self,
        counter: u64,
        segment: Option<Segment>,
        (sealed, name): (Vec<u8>, u8),
        cut: Cut,
        lifetime: Duration,
        now: Instant,
    ) {
        let keeper = self.keeper.get_or_insert_with(|| Keeper::new(name, lifetime));
        keeper.keep(counter, sealed, cut, now);
        if let Some(segment) = segment {
            if self.segments.len() == MAX_SEGMENTS {
                self.segments.pop_front();
            }
            self.segments.push_back((counter, segment));
        }
    }

    /// Returns the parts that are asked for, and which segment they are of if they are of one.
    pub(super) fn answer(&mut self, missing: Missing, now: Instant) -> (Vec<Vec<u8>>, Option<Segment>) {
        let parts = self.keeper.as_mut().map(|keeper| keeper.answer(missing, now)).unwrap_or_default();
        let asked = |(counter, _): &&(u64, Segment)| counter_low(*counter) == missing.counter_low;
        let segment = self.segments.iter().rev().find(asked).map(|(_, segment)| *segment);
        (parts, segment)
    }

    /// Whether a packet that the peer sealed before this counter may still become complete.
    pub(super) fn awaits_before(&self, counter: u64) -> bool {
        self.reassembler.as_ref().is_some_and(|parts| parts.awaits_before(counter_low(counter)))
    }

    pub(super) fn poll_ordered(&mut self, now: Instant) -> Option<Vec<u8>> {
        let parts = self.reassembler.as_ref();
        let awaited = |counter| parts.is_some_and(|parts| parts.awaits_before(counter_low(counter)));
        self.order.poll(awaited, now)
    }
}

impl Sessions {
    pub(in crate::node) fn get(&mut self, index: u32) -> &mut Session {
        let at = self.list.iter().position(|session| session.index == index).unwrap_or_else(|| {
            self.list.push(Session {
                index,
                context: Context::default(),
                flows: Flows::new(),
                keeper: None,
                reassembler: None,
                order: Order::default(),
                segments: VecDeque::new(),
            });
            self.list.len() - 1
        });
        &mut self.list[at]
    }

    pub(in crate::node) fn forget(&mut self, index: u32) {
        self.list.retain(|session| session.index != index);
    }

    pub(in crate::node) fn handle_timeout(&mut self, now: Instant) {
        for session in &mut self.list {
            session.keeper.iter_mut().for_each(|keeper| keeper.handle_timeout(now));
            session.reassembler.iter_mut().for_each(|reassembler| reassembler.handle_timeout(now));
        }
    }

    pub(in crate::node) fn deadline(&self) -> Option<Instant> {
        let keepers = self.list.iter().filter_map(|session| session.keeper.as_ref()?.deadline());
        let parts = self.list.iter().filter_map(|session| session.reassembler.as_ref()?.deadline());
        let held = self.list.iter().filter_map(|session| session.order.deadline());
        keepers.chain(parts).chain(held).min()
    }
}
