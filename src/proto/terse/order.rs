//! Segments of a TCP connection that overtook one of which parts are still being asked for wait for it.
//!
//! A packet whose parts are repeated is complete after packets that were sent later. To TCP that looks like loss: it would
//! acknowledge each of these at once, with what is missing, and send the whole segment again, while its last part is on the
//! way. So a segment that is ahead of what its connection has got so far waits, as long as a packet that was sent before it
//! may still become complete, and not longer than [`Order::push`] is told. Nothing else waits: no other packet, no segment
//! that is next in its connection, and none behind a gap that nobody repairs.
//!
//! It does not know, and need not, of which connection the incomplete packet is. Only what authenticated comes in.
//!
//! Invariants: at most `MAX_HELD` packets and `MAX_BYTES` wait, of at most `MAX_FLOWS` connections; what has no room goes
//! on at once. Segments of one connection leave in the order of their sequence numbers, as far as they waited.

use std::collections::VecDeque;
use std::time::Instant;

use crate::frame::{Packet, is_ahead};
use crate::queue::FlowId;

/// Packets that may wait.
const MAX_HELD: usize = 8;
/// Bytes of packets that may wait.
const MAX_BYTES: usize = 16 * 1024;
/// Connections that are followed; the one that was silent for longest is forgotten.
const MAX_FLOWS: usize = 16;

/// A connection, in one direction.
#[derive(Debug)]
struct Flow {
    id: FlowId,
    /// The sequence number after the last that went on.
    next: u32,
}

/// A segment that waits.
#[derive(Debug)]
struct Held {
    flow: FlowId,
    sequence: u32,
    end: u32,
    counter: u64,
    until: Instant,
    packet: Vec<u8>,
}

/// The connections of one session, as its receiver sees them.
#[derive(Debug, Default)]
pub struct Order {
    /// The latest last.
    flows: VecDeque<Flow>,
    held: Vec<Held>,
}

impl Order {
    /// Takes a packet that was sealed with this counter, and returns it unless it is to wait. It may wait `until` then at the
    /// longest, if `is_awaited`: whether a packet that was sealed before it may still become complete.
    pub fn push(
        &mut self,
        packet: Vec<u8>,
        counter: u64,
        is_awaited: bool,
        until: Instant,
    ) -> Option<Vec<u8>> {
        let Some((flow, sequence, end)) = segment(&packet) else { return Some(packet) };
        let next = self.flows.iter().find(|known| known.id == flow).map(|known| known.next);
        let bytes: usize = self.held.iter().map(|held| held.packet.len()).sum();
        let has_room = self.held.len() < MAX_HELD && bytes + packet.len() <= MAX_BYTES;
        if is_awaited && has_room && next.is_some_and(|next| is_ahead(sequence, next)) {
            self.held.push(Held { flow, sequence, end, counter, until, packet });
            return None;
        }
        self.advance(flow, end);
        Some(packet)
    }

    /// Returns a packet that has waited enough; to be called until there is none. `is_awaited` says of a counter whether a
    /// packet that was sealed before may still become complete.
    pub fn poll(&mut self, is_awaited: impl Fn(u64) -> bool, now: Instant) -> Option<Vec<u8>> {
        let next = |flow: &FlowId| self.flows.iter().find(|known| known.id == *flow).map(|known| known.next);
        let may_go = |held: &Held| {
            let is_next = next(&held.flow).is_none_or(|next| !is_ahead(held.sequence, next));
            is_next || held.until <= now || !is_awaited(held.counter)
        };
        let due = self.held.iter().position(may_go)?;
        // Whatever waits for the same connection in front of it has no more to wait for.
        let flow = self.held[due].flow;
        let of_flow = (0..self.held.len()).filter(|at| self.held[*at].flow == flow);
        let first = of_flow.reduce(|first, at| {
            if is_ahead(self.held[first].sequence, self.held[at].sequence) { at } else { first }
        })?;
        let Held { end, packet, .. } = self.held.remove(first);
        self.advance(flow, end);
        Some(packet)
    }

    /// Returns when a packet has waited for as long as it may.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.until).min()
    }

    fn advance(&mut self, id: FlowId, end: u32) {
        let known = self.flows.iter().position(|known| known.id == id).and_then(|at| self.flows.remove(at));
        let next = known.map_or(end, |known| if is_ahead(end, known.next) { end } else { known.next });
        if self.flows.len() == MAX_FLOWS {
            self.flows.pop_front();
        }
        self.flows.push_back(Flow { id, next });
    }
}

/// Returns the connection of a TCP segment that takes sequence space, its first number and the one after its last.
fn segment(packet: &[u8]) -> Option<(FlowId, u32, u32)> {
    let packet = Packet::parse(packet).ok()?;
    let tcp = packet.tcp().filter(|tcp| tcp.length > 0)?;
    Some((FlowId::of(&packet), tcp.sequence, tcp.sequence.wrapping_add(tcp.length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use std::time::Duration;

    /// A segment of ten bytes of a connection that this port names.
    fn ten_bytes(port: u16, sequence: u32) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 50, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend(port.to_be_bytes());
        packet.extend([0, 22]);
        packet.extend(sequence.to_be_bytes());
        packet.extend([0, 0, 0, 0, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
        packet.extend([7; 10]);
        packet
    }

    const PATIENCE: Duration = Duration::from_secs(3);

    struct Bench {
        order: Order,
        now: Instant,
        /// Counters of incomplete packets.
        incomplete: Vec<u64>,
        out: Vec<u32>,
    }

    impl Bench {
        fn new() -> Self {
            Self { order: Order::default(), now: testing::start(), incomplete: Vec::new(), out: Vec::new() }
        }

        /// Takes the segment with these ten bytes.
        fn push(&mut self, counter: u64, sequence: u32) {
            self.push_of(1, counter, sequence);
        }

        fn push_of(&mut self, port: u16, counter: u64, sequence: u32) {
            let packet = ten_bytes(port, sequence);
            let awaited = self.incomplete.iter().any(|incomplete| *incomplete < counter);
            let passed = self.order.push(packet, counter, awaited, self.now + PATIENCE);
            self.out.extend(passed.map(|packet| segment(&packet).unwrap().1));
            self.poll();
        }

        fn poll(&mut self) {
            let awaited = |counter| self.incomplete.iter().any(|incomplete| *incomplete < counter);
            while let Some(packet) = self.order.poll(awaited, self.now) {
                self.out.push(segment(&packet).unwrap().1);
            }
        }
    }

    #[test]
    fn segments_behind_one_that_is_repaired_come_after_it() {
        let mut bench = Bench::new();
        bench.push(1, 0);
        bench.incomplete = vec![2];
        bench.push(4, 30);
        bench.push(3, 20);
        assert_eq!(bench.out, [0]);
        bench.incomplete.clear();
        bench.push(2, 10);
        assert_eq!(bench.out, [0, 10, 20, 30]);
        assert_eq!(bench.order.deadline(), None);
    }

    #[test]
    fn nothing_waits_longer_than_it_may_or_for_what_was_given_up() {
        let mut bench = Bench::new();
        bench.push(1, 0);
        bench.incomplete = vec![2];
        bench.push(3, 20);
        bench.push(4, 30);
        assert_eq!(bench.order.deadline(), Some(bench.now + PATIENCE));
        bench.now += PATIENCE;
        bench.poll();
        assert_eq!(bench.out, [0, 20, 30]);
        bench.push(5, 50);
        bench.incomplete.clear();
        bench.poll();
        assert_eq!(bench.out, [0, 20, 30, 50]);
    }

    #[test]
    fn a_gap_that_nobody_repairs_and_other_connections_hold_up_nothing() {
        let mut bench = Bench::new();
        bench.push(1, 0);
        bench.push(3, 20);
        bench.incomplete = vec![4];
        bench.push_of(2, 5, 700);
        bench.push_of(2, 6, 710);
        assert_eq!(bench.out, [0, 20, 700, 710]);
        // Sent before the incomplete one, sent again, and across the end of the numbers.
        bench.incomplete = vec![100];
        bench.push(7, 40);
        bench.push(101, 10);
        bench.push_of(3, 102, u32::MAX - 9);
        bench.push_of(3, 103, 0);
        assert_eq!(bench.out[4..], [40, 10, u32::MAX - 9, 0]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut bench = Bench::new();
        bench.incomplete = vec![0];
        for at in 0..1000 {
            bench.push_of(at, 1, 0);
            bench.push_of(at, 2, 1000);
            assert!(bench.order.held.len() <= MAX_HELD && bench.order.flows.len() <= MAX_FLOWS);
        }
    }
}
