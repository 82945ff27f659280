//! Fairness, needless packets, bounds.

mod segment;

use super::*;
use crate::frame::{ether_type, ethernet, protocol};

const SECOND: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(3);
const NEXT: Duration = Duration::from_secs(2);
const TEMPO: Tempo = Tempo { answer: ANSWER, next: NEXT, part: SECOND, room: 400 };

/// A frame of `protocol` between port `port` here and one there, with `data` bytes.
fn frame(protocol: u8, port: u16, header: &[u8], data: usize) -> Vec<u8> {
    let mut out = ethernet([2; 6], [2; 6], ether_type::IPV4);
    let total = u16::try_from(20 + 4 + header.len() + data).unwrap().to_be_bytes();
    out.extend([0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    out.extend(port.to_be_bytes());
    out.extend([0, 80]);
    out.extend(header);
    out.extend(vec![0; data]);
    out
}

fn udp(port: u16, data: usize) -> Vec<u8> {
    frame(protocol::UDP, port, &[0; 4], data)
}

fn tcp(sequence: u32, acknowledgement: u32, flags: u8, data: usize) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(sequence.to_be_bytes());
    header.extend(acknowledgement.to_be_bytes());
    header.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
    frame(protocol::TCP, 1000, &header, data)
}

struct Bench {
    queue: Queue,
    account: Account,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { queue: Queue::default(), account: Account::default(), now: crate::testing::start() }
    }

    fn push(&mut self, peer: PeerIndex, frame: Vec<u8>) {
        let entry = Entry::new(frame, self.now + 60 * SECOND);
        self.queue.push(peer, entry, TEMPO, &mut self.account, self.now);
    }

    /// Takes a frame of which the link repairs what is lost.
    fn push_repaired(&mut self, frame: Vec<u8>, repair: Duration) {
        let mut entry = Entry::new(frame, self.now + 60 * SECOND);
        entry.repair = repair;
        self.queue.push(0, entry, TEMPO, &mut self.account, self.now);
    }

    fn pop(&mut self) -> Option<(PeerIndex, Vec<u8>)> {
        let price = |len| Duration::from_millis(u64::try_from(len).unwrap() * 10);
        self.queue
            .pop(Class::Bulk, price, &mut self.account, self.now)
            .map(|(peer, entry)| (peer, entry.frame))
    }

    fn drained(&mut self) -> usize {
        std::iter::from_fn(|| self.pop()).count()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.account.total().get(&reason).copied().unwrap_or(0)
    }
}

#[test]
fn a_keystroke_goes_before_a_backlog_of_bulk() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        bench.push(0, udp(1, 150));
    }
    bench.pop();
    bench.push(0, udp(22, 10));
    assert_eq!(bench.pop().unwrap().1, udp(22, 10));
}

#[test]
fn what_is_long_is_interactive_if_it_is_marked_as_what_somebody_waits_for() {
    let class = |service: u8, data| {
        let mut frame = udp(1, data);
        frame[15] = service;
        Entry::new(frame, crate::testing::start()).class
    };
    // CS2, AF21, AF22, AF23, CS4, AF41, EF, CS6, minimize delay; with a bit of congestion notification.
    for service in [0x40, 0x48, 0x50, 0x58, 0x80, 0x88, 0xb8, 0xc0, 0x10, 0x49] {
        assert_eq!(class(service, 1000), Class::Interactive, "{service:x}");
    }
    // Nothing, CS1, AF11, AF12, CS3, AF31, maximize throughput.
    for service in [0, 0x20, 0x28, 0x30, 0x60, 0x68, 0x08, 0x01] {
        assert_eq!(class(service, 1000), Class::Bulk, "{service:x}");
        assert_eq!(class(service, 100), Class::Interactive, "{service:x}");
    }
}

#[test]
fn peers_share_the_air_equally_however_many_flows_they_have() {
    let mut bench = Bench::new();
    for flow in 0..6 {
        for _ in 0..20 {
            bench.push(0, udp(flow, 150));
        }
    }
    for _ in 0..20 {
        bench.push(1, udp(1, 150));
    }
    let of_peer_1 = (0..20).filter(|_| bench.pop().unwrap().0 == 1).count();
    assert!((9..=11).contains(&of_peer_1), "{of_peer_1} of 20");
}

#[test]
fn a_flow_of_large_packets_gets_no_more_air_than_one_of_small_ones() {
    let mut bench = Bench::new();
    for _ in 0..30 {
        bench.push(0, udp(1, 1000));
        bench.push(0, udp(2, 200));
    }
    let mut air = [0, 0];
    for _ in 0..20 {
        let frame = bench.pop().unwrap().1;
        air[usize::from(frame.len() < 500)] += frame.len();
    }
    assert!(air[0].abs_diff(air[1]) < 1100, "{air:?}");
}

#[test]
fn a_retransmission_takes_the_place_of_the_segment_that_still_waits() {
    let mut bench = Bench::new();
    bench.push(0, tcp(100, 1, tcp_flag::ACK, 150));
    bench.push(0, tcp(100, 2, tcp_flag::ACK, 150));
    assert_eq!(bench.pop().unwrap().1, tcp(100, 2, tcp_flag::ACK, 150));
    assert_eq!((bench.drained(), bench.dropped(DropReason::TcpDuplicate)), (0, 1));
}

#[test]
fn a_retransmission_before_any_answer_can_be_here_is_dropped_and_a_later_one_is_not() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        bench.push(0, tcp(100, 1, tcp_flag::SYN, 0));
        bench.pop();
        bench.now += SECOND;
    }
    assert_eq!(bench.dropped(DropReason::TcpDuplicate), 1);
    bench.now += 2 * SECOND;
    bench.push(0, tcp(100, 1, tcp_flag::SYN, 0));
    assert!(bench.pop().is_some());
}

#[test]
fn of_a_stream_of_acknowledgements_every_second_one_goes_and_the_last_is_not_late() {
    let mut bench = Bench::new();
    let mut gone = Vec::new();
    for acknowledgement in 1..=10 {
        bench.push(0, tcp(7, acknowledgement * 100, tcp_flag::ACK, 0));
        gone.extend(bench.pop().map(|_| acknowledgement));
        bench.now += SECOND;
    }
    assert_eq!(gone, [1, 3, 5, 7, 9]);
    assert!(bench.pop().is_none());
    assert_eq!(bench.queue.next_release(), Some(bench.now - SECOND + NEXT));
    bench.now += NEXT - SECOND;
    assert!(bench.pop().is_some());
}

#[test]
fn of_long_segments_too_every_second_acknowledgement_goes() {
    let mut bench = Bench::new();
    let mut gone = Vec::new();
    for segment in 1..=6 {
        bench.push(0, tcp(7, segment * 1000, tcp_flag::ACK, 0));
        gone.extend(bench.pop().map(|_| segment));
        // Two datagrams more than one that goes in a single one.
        bench.now += NEXT + SECOND;
    }
    assert_eq!(gone, [1, 3, 5]);
    assert_eq!(bench.queue.next_release(), Some(bench.now + SECOND));
}

#[test]
fn what_completes_a_connection_does_not_wait_for_a_segment_in_parts() {
    for (repair, rest) in [(Duration::ZERO, 1), (SECOND, 2)] {
        let mut bench = Bench::new();
        bench.push(0, tcp(0, 0, tcp_flag::SYN, 0));
        assert_eq!(bench.drained(), 1);
        bench.push(0, tcp(1, 1, tcp_flag::ACK, 0));
        bench.push_repaired(tcp(1, 1, tcp_flag::ACK, 1000), repair);
        assert_eq!(bench.drained(), rest);
        // Later acknowledgements do.
        bench.now += 20 * SECOND;
        bench.push(0, tcp(1001, 1, tcp_flag::ACK, 0));
        bench.push_repaired(tcp(1001, 1, tcp_flag::ACK, 1000), repair);
        assert_eq!(bench.drained(), 1);
    }
}

#[test]
fn an_acknowledgement_that_stands_alone_or_repeats_another_is_not_held() {
    let mut bench = Bench::new();
    for acknowledgement in [100, 200, 200, 200] {
        bench.push(0, tcp(7, acknowledgement, tcp_flag::ACK, 0));
        assert!(bench.pop().is_some());
        bench.now += if acknowledgement == 100 { NEXT * 2 } else { SECOND };
    }
}

#[test]
fn a_held_acknowledgement_holds_up_nothing_of_its_flow() {
    let mut bench = Bench::new();
    bench.push(0, tcp(7, 100, tcp_flag::ACK, 0));
    bench.pop();
    bench.push(0, tcp(7, 200, tcp_flag::ACK, 0));
    assert!(bench.pop().is_none());
    bench.push(0, tcp(7, 200, tcp_flag::ACK | tcp_flag::FIN, 0));
    assert_eq!(bench.drained(), 1, "the end of the connection says as much");
}

#[test]
fn only_the_newest_acknowledgement_goes_but_repeated_ones_stay() {
    let mut bench = Bench::new();
    for acknowledgement in [10, 20, 30, 30, 30] {
        bench.push(0, tcp(7, acknowledgement, tcp_flag::ACK, 0));
    }
    assert_eq!((bench.drained(), bench.dropped(DropReason::AckSuperseded)), (3, 2));
    bench.push(0, tcp(7, 40, tcp_flag::ACK, 0));
    bench.push(0, tcp(7, 40, tcp_flag::ACK, 5));
    assert_eq!(bench.drained(), 1);
}

#[test]
fn nothing_is_returned_after_its_time() {
    let mut bench = Bench::new();
    bench.push(0, udp(1, 10));
    bench.now += 60 * SECOND;
    bench.push(0, udp(1, 20));
    assert_eq!(bench.pop().unwrap().1, udp(1, 20));
    assert_eq!(bench.dropped(DropReason::Expired), 1);
}

#[test]
fn the_queue_is_bounded_and_the_longest_flow_pays() {
    let mut bench = Bench::new();
    for peer in 0..20 {
        for _ in 0..100 {
            bench.push(peer, udp(1, 150));
        }
    }
    assert_eq!(bench.queue.len(), MAX_FRAMES);
    bench.push(20, udp(1, 10));
    assert_eq!(bench.queue.len(), MAX_FRAMES);
    assert!(bench.queue.has_peer(20));
}

#[test]
fn every_frame_comes_out_or_is_counted() {
    use rand_core::{Rng as _, SeedableRng as _};
    for seed in 0..30 {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let (mut bench, mut pushed, mut popped) = (Bench::new(), 0, 0);
        for _ in 0..3000 {
            let random = rng.next_u32();
            if random % 3 > 0 {
                pushed += 1;
                let data = (random >> 8) as usize % 200;
                match random >> 4 & 3 {
                    0 => bench.push(random as usize >> 6 & 3, udp((random >> 16) as u16 & 7, data)),
                    _ => bench.push(0, tcp(random >> 16 & 15, random >> 20 & 15, tcp_flag::ACK, data & 3)),
                }
            } else {
                popped += usize::from(bench.pop().is_some());
            }
            bench.now += Duration::from_millis(u64::from(random >> 24) * 4);
        }
        bench.now += NEXT; // what is held may go
        popped += bench.drained();
        let dropped: u64 = bench.account.total().values().sum();
        assert_eq!(popped as u64 + dropped, pushed, "seed {seed}");
        assert_eq!(bench.queue.len(), 0, "seed {seed}");
    }
}

#[test]
fn flows_that_never_get_their_turn_are_forgotten() {
    let mut bench = Bench::new();
    for port in 0..10_000 {
        bench.push(0, udp(port, 10));
    }
    bench.queue.expire(&mut bench.account, bench.now + 60 * SECOND);
    bench.push(0, udp(1, 10));
    let flows: usize = bench.queue.shares.values().map(|share| share.flows.len()).sum();
    assert!(flows <= MAX_FRAMES + MAX_IDLE_FLOWS, "{flows} flows");
}

#[test]
fn every_peer_is_among_the_busy_or_the_idle_and_few_idle_ones_are_kept() {
    use std::collections::BTreeSet;

    use rand_core::{Rng as _, SeedableRng as _};
    for seed in 0..20 {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut bench = Bench::new();
        for step in 0..2000 {
            let peer = usize::try_from(rng.next_u32() % 500).unwrap();
            match rng.next_u32() % 100 {
                0 => drop(bench.queue.forget_peer(peer)),
                1 => drop(bench.queue.take_astray(|at, _| at == peer)),
                2 => bench.queue.expire(&mut bench.account, bench.now),
                3 => drop(bench.queue.take_all()),
                4..40 => drop(bench.pop()),
                _ => bench.push(peer, udp(u16::try_from(rng.next_u32() % 4).unwrap(), 10)),
            }
            bench.now += SECOND / 4;
            let shares = &bench.queue.shares;
            let expected = [false, true].map(|busy| {
                let of = shares.iter().filter(|(_, share)| (share.waiting > 0) == busy);
                of.map(|(peer, share)| (share.tag, *peer)).collect::<BTreeSet<_>>()
            });
            assert_eq!(bench.queue.turns.sets(), expected.each_ref(), "seed {seed}, step {step}");
            assert!(expected[0].len() <= turns::MAX_IDLE, "seed {seed}, step {step}");
        }
    }
}

#[test]
fn a_segment_whose_lost_parts_the_link_brings_itself_needs_no_copy_before() {
    let mut bench = Bench::new();
    let repair = 4 * SECOND;
    bench.push_repaired(tcp(1, 0, tcp_flag::ACK, 1000), repair);
    assert!(bench.pop().is_some());
    bench.now += repair + ANSWER - Duration::from_millis(1);
    bench.push(0, tcp(1, 0, tcp_flag::ACK, 1000));
    assert_eq!((bench.queue.len(), bench.dropped(DropReason::TcpDuplicate)), (0, 1));
    bench.now += Duration::from_millis(1);
    bench.push(0, tcp(1, 0, tcp_flag::ACK, 1000));
    assert!(bench.pop().is_some(), "what is still not answered is lost");
}

#[test]
fn a_segment_whose_parts_are_asked_for_needs_no_copy_for_longer() {
    let mut bench = Bench::new();
    bench.push_repaired(tcp(1, 0, tcp_flag::ACK, 1000), SECOND);
    let (_, entry) = bench.queue.pop(Class::Bulk, |_| SECOND, &mut bench.account, bench.now).unwrap();
    bench.queue.extend_repair(0, entry.segment().unwrap(), bench.now + 10 * SECOND);
    bench.now += 9 * SECOND;
    bench.push(0, tcp(1, 0, tcp_flag::ACK, 1000));
    assert_eq!(bench.drained(), 0);
    bench.now += SECOND + ANSWER;
    bench.push(0, tcp(1, 0, tcp_flag::ACK, 1000));
    assert_eq!(bench.drained(), 1);
}

#[test]
fn a_segment_that_comes_again_while_it_waits_is_kept_as_long_as_a_new_one() {
    let mut bench = Bench::new();
    bench.push(0, tcp(1, 0, tcp_flag::ACK, 100));
    bench.now += 59 * SECOND;
    bench.push(0, tcp(1, 0, tcp_flag::ACK, 100));
    bench.now += 59 * SECOND;
    assert_eq!(bench.drained(), 1);
}
