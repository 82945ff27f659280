//! A sender cuts what it repeats into other lengths than before.

use super::*;

const DATA: u8 = tcp_flag::ACK;

/// The segments that wait, each by its first number and length.
fn waiting(bench: &mut Bench) -> Vec<(u32, u32)> {
    let price = |_| Duration::from_millis(1);
    let all = std::iter::from_fn(|| bench.queue.pop(Class::Bulk, price, &mut bench.account, bench.now));
    all.map(|(_, entry)| entry.tcp.map(|tcp| (tcp.sequence, tcp.length)).unwrap()).collect()
}

#[test]
fn a_shorter_repetition_of_what_waits_is_dropped() {
    for at in [0, 300, 765] {
        let mut bench = Bench::new();
        bench.push(0, tcp(u32::MAX - 9, 1, DATA, 1368));
        bench.push(0, tcp((u32::MAX - 9).wrapping_add(at), 1, DATA, 603));
        assert_eq!(waiting(&mut bench), [(u32::MAX - 9, 1368)]);
        assert_eq!(bench.dropped(DropReason::TcpDuplicate), 1);
    }
}

#[test]
fn a_repetition_that_spans_two_is_dropped_and_one_that_says_more_is_not() {
    let mut bench = Bench::new();
    bench.push(0, tcp(1000, 1, DATA, 600));
    bench.push(0, tcp(1600, 1, DATA, 600));
    bench.push(0, tcp(1300, 1, DATA, 600));
    assert_eq!(bench.dropped(DropReason::TcpDuplicate), 1);
    bench.push(0, tcp(1800, 1, DATA, 600));
    bench.push(0, tcp(400, 1, DATA, 601));
    assert_eq!(waiting(&mut bench), [(1000, 600), (1600, 600), (1800, 600), (400, 601)]);
}

#[test]
fn a_longer_repetition_takes_the_place_of_all_that_it_says_again() {
    let mut bench = Bench::new();
    for at in 0..4 {
        bench.push(0, tcp(1000 + 600 * at, 1, DATA, 600));
    }
    bench.push(0, tcp(1600, 1, DATA, 1300));
    assert_eq!(bench.queue.len(), 3);
    assert_eq!(waiting(&mut bench), [(1000, 600), (1600, 1300), (2800, 600)]);
    assert_eq!(bench.dropped(DropReason::TcpDuplicate), 2);
}

#[test]
fn a_shorter_repetition_with_an_acknowledgement_that_nothing_else_brings_goes() {
    let mut bench = Bench::new();
    bench.push(0, tcp(1000, 1, DATA, 1368));
    bench.push(0, tcp(1000, 2, DATA, 603));
    bench.push(0, tcp(1603, 2, DATA, 603));
    assert_eq!(waiting(&mut bench), [(1000, 1368), (1000, 603)]);
}

#[test]
fn beginnings_and_ends_of_a_connection_are_not_taken_for_data() {
    let mut bench = Bench::new();
    let fin = tcp_flag::ACK | tcp_flag::FIN;
    bench.push(0, tcp(1000, 1, DATA, 600));
    bench.push(0, tcp(1600, 1, fin, 0));
    assert_eq!(bench.queue.len(), 2);
    bench.push(0, tcp(1000, 1, fin, 600));
    assert_eq!(waiting(&mut bench), [(1000, 601)], "it says what both said");
    bench.push(0, tcp(7000, 1, DATA, 600));
    bench.push(0, tcp(7000, 0, tcp_flag::SYN, 0));
    bench.push(0, tcp(7000, 1, DATA | tcp_flag::RST, 10));
    assert_eq!(bench.queue.len(), 3);
}

#[test]
fn a_repetition_in_other_lengths_of_what_just_left_is_dropped_until_an_answer_can_be_here() {
    let mut bench = Bench::new();
    bench.push(0, tcp(1000, 1, DATA, 1300));
    bench.push(0, tcp(2300, 1, DATA, 1300));
    assert_eq!(bench.drained(), 2);
    bench.push(0, tcp(2000, 1, DATA, 603));
    assert_eq!(bench.drained(), 0);
    bench.push(0, tcp(3500, 1, DATA, 603));
    assert_eq!(bench.drained(), 1, "its end is new");
    bench.now += ANSWER;
    bench.push(0, tcp(2000, 1, DATA, 603));
    assert_eq!(bench.drained(), 1);
}

#[test]
fn no_number_is_lost_however_a_stream_is_cut() {
    use rand_core::{Rng as _, SeedableRng as _};
    for seed in 0..200 {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut bench = Bench::new();
        let start = u32::MAX - 50;
        let mut sent = std::collections::BTreeSet::new();
        for _ in 0..MAX_FLOW {
            let (at, len) = (rng.next_u32() % 100, rng.next_u32() % 30 + 1);
            bench.push(0, tcp(start.wrapping_add(at), 1, DATA, len as usize));
            sent.extend(at..at + len);
        }
        let spans = waiting(&mut bench).into_iter().map(|(first, len)| (first.wrapping_sub(start), len));
        let left: std::collections::BTreeSet<u32> = spans.flat_map(|(at, len)| at..at + len).collect();
        assert_eq!(left, sent, "seed {seed}");
    }
}
