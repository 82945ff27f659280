//! The whole way of a packet: compressed, sealed, cut, put together, opened, restored.

mod vectors;

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::fragment::{Cut, split};
use super::frame::{ADDITIONAL_DATA, DATA_HEADER, Datagram, expand_counter, tag_of};
use super::header::{Context, End, Flows};
use super::keeper::Keeper;
use super::reassembly::{Outcome, Patience, Reassembler};
use crate::aead::{Aead as _, Portable, TAG_LEN};
use crate::frame::checksum;

const MTU: usize = 219;
const KEY: [u8; 32] = [9; 32];

fn context() -> Context {
    let end = |last: u8| End { v4: Some([10, 9, 0, last].into()), v6: None };
    Context { ours: end(1), theirs: end(2) }
}

/// `ping -s` with this many bytes.
fn ping(len: u16) -> Vec<u8> {
    let total = (28 + len).to_be_bytes();
    let mut out =
        vec![0x45, 0, total[0], total[1], 0x47, 0x11, 0x40, 0, 64, 1, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2];
    let header = checksum(&[&out]).to_be_bytes();
    out[10..12].copy_from_slice(&header);
    out.extend([8, 0, 0, 0, 0x12, 0x34, 0, 1]);
    out.extend((0..=255).cycle().take(usize::from(len)));
    let sum = checksum(&[&out[20..]]).to_be_bytes();
    out[22..24].copy_from_slice(&sum);
    out
}

fn seal(flows: &mut Flows, packet: &[u8], counter: u64) -> Vec<u8> {
    let mut sealed = Vec::new();
    flows.compress(packet, &context(), counter, MTU - DATA_HEADER - TAG_LEN, &mut sealed);
    let tag = Portable.seal(&KEY, counter, ADDITIONAL_DATA, &mut sealed);
    sealed.extend(tag);
    sealed
}

/// The receiving end of one session.
struct Receiver {
    flows: Flows,
    reassembler: Reassembler,
    greatest: u64,
}

impl Receiver {
    fn take(&mut self, datagram: &[u8], now: std::time::Instant) -> Option<Vec<u8>> {
        let (counter_low, mut sealed) = match Datagram::parse(datagram).unwrap() {
            Datagram::Data(data) => (data.counter_low, data.sealed.to_vec()),
            Datagram::Part(part) => match self.reassembler.push(&part, now) {
                Outcome::Whole { counter_low, sealed } => (counter_low, sealed),
                _ => return None,
            },
            other => panic!("{other:?}"),
        };
        let counter = expand_counter(counter_low, self.greatest);
        let tag: [u8; TAG_LEN] = *sealed.last_chunk().unwrap();
        sealed.truncate(sealed.len() - TAG_LEN);
        Portable.open(&KEY, counter, ADDITIONAL_DATA, &mut sealed, &tag).unwrap();
        self.greatest = self.greatest.max(counter);
        self.reassembler.accepted(counter_low, now);
        let mut packet = Vec::new();
        self.flows.decompress(&sealed, &context().mirrored(), counter, &mut packet).unwrap();
        Some(packet)
    }
}

#[test]
fn a_ping_of_56_bytes_is_a_datagram_of_82() {
    let sealed = seal(&mut Flows::new(), &ping(56), 7);
    assert_eq!(split(tag_of(0x1234), 7, &sealed, MTU, false).unwrap()[0].len(), 82);
}

#[test]
fn packets_of_any_length_arrive_whole_over_a_link_that_loses_a_tenth() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut now = crate::testing::start();
    let patience = Patience { silence: Duration::from_secs(5), lifetime: Duration::from_secs(120) };
    let (tag, mut flows) = (tag_of(0xffee), Flows::new());
    let mut keeper = Keeper::new(tag, patience.lifetime);
    let mut receiver = Receiver { flows: Flows::new(), reassembler: Reassembler::new(patience), greatest: 0 };
    let (mut arrived, mut lost) = (0, 0);
    // Over the edge of the 16 bits that travel.
    for counter in 65_000..66_500 {
        let packet = ping(u16::try_from(rng.next_u32() % 1400).unwrap());
        let sealed = seal(&mut flows, &packet, counter);
        let mut under_way = split(tag, counter, &sealed, MTU, rng.next_u32().is_multiple_of(2)).unwrap();
        assert!(under_way.iter().all(|datagram| datagram.len() <= MTU));
        let is_cut = Cut::of(sealed.len(), MTU).map(|cut| keeper.keep(counter, sealed, cut, now)).is_some();
        let before = arrived;
        loop {
            for datagram in under_way.drain(..) {
                now += Duration::from_secs(1);
                if rng.next_u32().is_multiple_of(10) {
                    continue;
                }
                if let Some(got) = receiver.take(&datagram, now) {
                    assert_eq!(got, packet);
                    arrived += 1;
                }
            }
            while let Some(missing) = receiver.reassembler.poll_missing(now) {
                under_way.extend(keeper.answer(missing, now));
            }
            match receiver.reassembler.deadline() {
                Some(next) if under_way.is_empty() => {
                    now = now.max(next);
                    receiver.reassembler.handle_timeout(now);
                }
                Some(_) => {}
                None => break,
            }
        }
        assert!(arrived <= before + 1, "no packet twice");
        lost += u32::from(is_cut && arrived == before);
    }
    assert!(lost <= 15, "{lost} packets in parts were lost");
    assert!(arrived > 1400, "{arrived}");
}
