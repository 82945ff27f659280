//! The transmit queue: sixteen packets by priority; a full one gives up its last packet to a more urgent one.

use super::frame::{Frame, Kind};

/// How many packets wait at most.
pub(crate) const MAX_QUEUE: usize = 16;

/// A packet that waits.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) frame: Frame,
    pub(crate) priority: i32,
    pub(crate) kind: Kind,
    /// For a relayed packet, how well it was heard: that decides how long to hold back.
    pub(crate) heard: Option<f32>,
}

#[derive(Debug, Default)]
pub(crate) struct TxQueue {
    /// First the one to go first.
    items: Vec<Queued>,
}

impl TxQueue {
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn front(&self) -> Option<&Queued> {
        self.items.first()
    }

    pub(crate) fn pop(&mut self) -> Option<Queued> {
        (!self.items.is_empty()).then(|| self.items.remove(0))
    }

    /// Takes a packet behind those as urgent as itself, but a relayed one before our own; false if there is no room.
    pub(crate) fn push(&mut self, item: Queued) -> bool {
        if self.items.len() >= MAX_QUEUE {
            match self.items.last() {
                Some(last) if last.priority < item.priority => self.items.pop(),
                _ => return false,
            };
        }
        let rank = |queued: &Queued| (-queued.priority, queued.heard.is_none());
        let at = self.items.partition_point(|other| rank(other) <= rank(&item));
        self.items.insert(at, item);
        true
    }

    pub(crate) fn contains(&self, from: u32, id: u32) -> bool {
        self.items.iter().any(|item| (item.frame.from, item.frame.id) == (from, id))
    }

    /// Takes a packet out before it is sent; false if it does not wait here.
    pub(crate) fn cancel(&mut self, from: u32, id: u32) -> bool {
        let before = self.items.len();
        self.items.retain(|item| (item.frame.from, item.frame.id) != (from, id));
        self.items.len() < before
    }
}
