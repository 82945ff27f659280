//! Rows of datagrams, as the kernel joins them: each is worth what it is worth alone.

use super::*;

/// Two nodes that have spoken, and a row of packets of the first one's that has not arrived: its bytes and the length of each.
fn row(numbers: std::ops::Range<u16>) -> (Duo, Vec<u8>, usize) {
    let mut duo = Duo::new(Links::Udp);
    duo.send(0, 1);
    duo.seconds(1);
    let count = numbers.len();
    for number in numbers {
        duo.nodes[0].handle_device_row(&packet(0, number, 20), Offload::default(), duo.now);
    }
    duo.nodes[0].handle_device_end();
    let row = duo.nodes[0].poll_transmit(duo.now).unwrap();
    assert_eq!(duo.nodes[0].poll_transmit(duo.now), None, "one row");
    let segment = usize::from(row.segment.unwrap());
    assert_eq!(row.payload.len(), segment * count);
    (duo, row.payload, segment)
}

fn arrive(duo: &mut Duo, row: &[u8], segment: usize) {
    duo.nodes[1].handle_datagrams(UDP, udp(0), &mut row.to_vec(), segment, duo.now);
    duo.drain();
}

fn drops(duo: &Duo, reason: DropReason) -> u64 {
    duo.nodes[1].snapshot(duo.now).drops.get(&reason).copied().unwrap_or(0)
}

#[test]
fn a_row_arrives_in_order_and_once() {
    let (mut duo, row, segment) = row(2..42);
    arrive(&mut duo, &row, segment);
    assert!(duo.numbers(1).into_iter().eq(1..42));
    arrive(&mut duo, &row, segment);
    assert!(duo.numbers(1).into_iter().eq(1..42));
    assert_eq!(drops(&duo, DropReason::Replayed), 40);
}

#[test]
fn what_is_wrong_with_one_datagram_of_a_row_costs_no_other() {
    let (mut duo, mut row, segment) = row(2..10);
    let at = |index: usize| index * segment..(index + 1) * segment;
    // Changed on the way; a copy of the first one; of a session that there is not; no message at all.
    row[at(1).start + 20] ^= 1;
    let first = row[at(0)].to_vec();
    row[at(3)].copy_from_slice(&first);
    row[at(5).start + 4] ^= 1;
    row[at(6)].fill(9);
    arrive(&mut duo, &row, segment);
    assert_eq!(duo.numbers(1), [1, 2, 4, 6, 9]);
    for reason in
        [DropReason::Unauthentic, DropReason::Replayed, DropReason::NoSession, DropReason::MalformedDatagram]
    {
        assert_eq!(drops(&duo, reason), 1, "{reason:?}");
    }
}
