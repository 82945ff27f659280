//! Complete datagrams for links where air is free: sealed as their packets came, and gathered into rows that the kernel
//! takes in one call.
//!
//! A row is a [`Transmit`] of datagrams of one length to one place, the last of which may be shorter: whatever comes next
//! for that place, and fits, goes into it. So the segments of a TCP stream, and small packets that come in a row, cost one
//! call for all. Rows leave in the order in which they were begun; two packets to one place never overtake each other.
//!
//! Invariant: at most [`MAX_ROWS`] wait; the buffers of those that left are used again.

use std::collections::VecDeque;

use crate::link::{Class, LinkAddr, LinkId, Transmit};

/// Rows that may wait. The shell takes them after each input, so that there are more only if it does not: a turn's packets
/// may each be for another peer.
const MAX_ROWS: usize = 192;
/// Bytes of a row: what one call to UDP takes, over IPv4.
const MAX_ROW: usize = 65_507;
/// Buffers that are kept for use again.
const MAX_SPARE: usize = 8;

/// See the module's introduction.
#[derive(Default)]
pub(super) struct Outbox {
    rows: VecDeque<Transmit>,
    spare: Vec<Vec<u8>>,
}

impl Outbox {
    /// Returns where the next datagram of `len` bytes goes: a buffer, to whose end it is to be added. `None` if too many
    /// rows wait. `segments`: how many datagrams the link takes at once. The row is of the most urgent class in it.
    pub(super) fn row(
        &mut self,
        link: LinkId,
        to: LinkAddr,
        len: usize,
        segments: u16,
        class: Class,
    ) -> Option<&mut Vec<u8>> {
        self.rows(link, to, len, segments, class).map(|(row, _)| row)
    }

    /// The same for several datagrams of `len` bytes, the last of which may be shorter: returns as well how many may be added,
    /// at least one.
    pub(super) fn rows(
        &mut self,
        link: LinkId,
        to: LinkAddr,
        len: usize,
        segments: u16,
        class: Class,
    ) -> Option<(&mut Vec<u8>, usize)> {
        let open = self
            .rows
            .back()
            .is_some_and(|row| (row.link, row.to) == (link, to) && has_room(row, len, segments));
        if !open {
            if self.rows.len() >= MAX_ROWS {
                return None;
            }
            let payload = self.spare.pop().unwrap_or_default();
            let segment = u16::try_from(len).ok();
            self.rows.push_back(Transmit { link, to, payload, segment, class, far: false, token: 0 });
        }
        let row = self.rows.back_mut()?;
        row.class = row.class.min(class);
        let room = room(row, len, segments);
        Some((&mut row.payload, room))
    }

    /// Returns the next row.
    pub(super) fn poll(&mut self) -> Option<Transmit> {
        let mut row = self.rows.pop_front()?;
        // One datagram is no row.
        row.segment = row.segment.filter(|segment| row.payload.len() > usize::from(*segment));
        Some(row)
    }

    /// Takes the buffer of a row that left, for use again.
    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < MAX_SPARE && buffer.capacity() > 0 {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Forgets what is for a link that is gone; returns how many rows.
    pub(super) fn forget_link(&mut self, link: LinkId) -> usize {
        let before = self.rows.len();
        self.rows.retain(|row| row.link != link);
        before - self.rows.len()
    }
}

/// How many datagrams of `len` bytes may follow those in the row, of which one may.
fn room(row: &Transmit, len: usize, segments: u16) -> usize {
    // What is shorter than those before it ends the row, and what is too long for a row goes alone.
    let Some(segment) = row.segment.map(usize::from).filter(|segment| *segment == len) else { return 1 };
    let by_number = usize::from(segments).saturating_sub(row.payload.len() / segment);
    by_number.min(MAX_ROW.saturating_sub(row.payload.len()) / segment).max(1)
}

/// Whether a datagram of `len` bytes may follow those in the row.
fn has_room(row: &Transmit, len: usize, segments: u16) -> bool {
    let Some(segment) = row.segment.map(usize::from) else { return false };
    let whole = row.payload.len().is_multiple_of(segment);
    let count = row.payload.len() / segment;
    whole && len <= segment && count < usize::from(segments) && row.payload.len() + len <= MAX_ROW
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO: [&str; 2] = ["192.0.2.1:1", "192.0.2.2:1"];

    fn to(at: usize) -> LinkAddr {
        LinkAddr::udp(TO[at].parse().unwrap())
    }

    fn put(outbox: &mut Outbox, place: usize, len: usize, segments: u16) {
        outbox.row(LinkId(0), to(place), len, segments, Class::Bulk).unwrap().extend(vec![0; len]);
    }

    fn rows(outbox: &mut Outbox) -> Vec<(usize, Option<u16>)> {
        std::iter::from_fn(|| outbox.poll()).map(|row| (row.payload.len(), row.segment)).collect()
    }

    #[test]
    fn datagrams_of_one_length_share_a_row_that_a_shorter_one_ends() {
        let mut outbox = Outbox::default();
        for len in [100, 100, 40, 40, 100] {
            put(&mut outbox, 0, len, 64);
        }
        assert_eq!(rows(&mut outbox), [(240, Some(100)), (40, None), (100, None)]);
    }

    #[test]
    fn a_row_has_one_place_and_no_more_datagrams_than_the_link_takes() {
        let mut outbox = Outbox::default();
        for place in [0, 0, 1, 0, 0, 0] {
            put(&mut outbox, place, 8, 2);
        }
        assert_eq!(rows(&mut outbox), [(16, Some(8)), (8, None), (16, Some(8)), (8, None)]);
    }

    #[test]
    fn as_many_datagrams_fit_as_it_says() {
        let rows = |outbox: &mut Outbox, len, segments| {
            outbox.rows(LinkId(0), to(0), len, segments, Class::Bulk).map(|(_, room)| room).unwrap()
        };
        for (len, segments) in [(100, 64), (1452, 64), (1452, 1), (40, 3), (65_000, 64)] {
            let mut outbox = Outbox::default();
            let room = rows(&mut outbox, len, segments);
            (0..room).for_each(|_| put(&mut outbox, 0, len, segments));
            assert_eq!(outbox.rows.len(), 1, "{len}");
            put(&mut outbox, 0, len, segments);
            assert_eq!(outbox.rows.len(), 2, "{len}");
            let mut outbox = Outbox::default();
            put(&mut outbox, 0, len, segments);
            let room = rows(&mut outbox, len - 1, segments);
            assert!(room == 1 || outbox.rows.len() == 2, "a shorter one is the last");
        }
    }

    #[test]
    fn a_row_is_of_the_most_urgent_class_in_it() {
        let mut outbox = Outbox::default();
        for class in [Class::Bulk, Class::Handshake, Class::Bulk] {
            outbox.row(LinkId(0), to(0), 8, 64, class).unwrap().extend([0; 8]);
        }
        assert_eq!(outbox.poll().map(|row| row.class), Some(Class::Handshake));
    }

    #[test]
    fn a_shell_that_takes_nothing_costs_bounded_memory() {
        let mut outbox = Outbox::default();
        let mut put =
            |at: usize| outbox.row(LinkId(0), to(at % 2), 8, 1, Class::Bulk).map(|row| row.extend([0_u8; 8]));
        assert_eq!((0..1000).filter_map(&mut put).count(), MAX_ROWS);
    }
}
