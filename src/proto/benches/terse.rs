//! What compression of headers costs per packet, on one core: `cargo bench -p meshnet-proto --bench terse`.

use std::net::Ipv4Addr;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use meshnet_proto::terse::header::{Context, End, Flows, compress, decompress};

fn main() {
    divan::main();
}

fn context() -> Context {
    let end = |last| End { v4: Some(Ipv4Addr::new(10, 9, 0, last)), v6: None };
    Context { ours: end(1), theirs: end(2) }
}

fn sum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 =
        words.map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (!u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)).to_be_bytes()
}

/// A TCP segment over IPv4 with timestamps.
fn segment(payload: usize) -> Vec<u8> {
    let total = u16::try_from(52 + payload).expect("a short packet").to_be_bytes();
    let mut out = vec![0x45, 0, total[0], total[1], 7, 7, 0x40, 0, 64, 6, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2];
    let header = sum(&[&out]);
    out[10..12].copy_from_slice(&header);
    out.extend([0x9c, 0x40, 0, 22, 1, 2, 3, 4, 5, 6, 7, 8, 0x80, 16, 1, 0xf5, 0, 0, 0, 0]);
    out.extend([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    out.resize(52 + payload, 0x20);
    let len = u16::try_from(32 + payload).expect("a short packet").to_be_bytes();
    let transport = sum(&[&out[12..20], &[0, 6], &len, &out[20..]]);
    out[36..38].copy_from_slice(&transport);
    out
}

#[divan::bench(args = [0, 150])]
fn there_and_back(bencher: Bencher<'_, '_>, payload: usize) {
    let (packet, context, other) = (segment(payload), context(), context().mirrored());
    let (mut bytes, mut back) = (Vec::new(), Vec::new());
    compress(&packet, &context, &mut bytes);
    assert_eq!(bytes.len(), 24 + payload, "the segment is regular");
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        bytes.clear();
        back.clear();
        compress(black_box(&packet), &context, &mut bytes);
        decompress(&bytes, &other, &mut back).expect("it was compressed");
        back.len()
    });
}

#[divan::bench(args = [0, 150])]
fn there_and_back_in_a_known_flow(bencher: Bencher<'_, '_>, payload: usize) {
    let (packet, context, other) = (segment(payload), context(), context().mirrored());
    let (mut ours, mut theirs) = (Flows::new(), Flows::new());
    let (mut bytes, mut back) = (Vec::new(), Vec::new());
    ours.compress(&packet, &context, 0, 200, &mut bytes);
    theirs.decompress(&bytes, &other, 0, &mut back).expect("it was compressed");
    bytes.clear();
    theirs.compress(&[], &other, 0, 200, &mut bytes);
    ours.decompress(&bytes, &context, 0, &mut back).expect("it was compressed");
    let mut counter = 0;
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        counter += 1;
        bytes.clear();
        back.clear();
        ours.compress(black_box(&packet), &context, counter, 200, &mut bytes);
        theirs.decompress(&bytes, &other, counter, &mut back).expect("it was compressed");
        back.len()
    });
}
