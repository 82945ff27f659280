//! What it costs to cut frames up, put them together and sum them, on one core: `cargo bench -p meshnet-proto --bench offload`.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use meshnet_proto::offload::checksum::{Sum, pseudo_header};
use meshnet_proto::offload::{Checksum, Coalescer, Offload, SegmentKind, Segmenter, Segments};

/// Payload of a TCP segment with time stamps in a packet of 1420 bytes.
const SIZE: usize = 1368;
/// Segments of a frame.
const COUNT: usize = 47;

fn main() {
    divan::main();
}

#[divan::bench(args = [20, 64, 1420, 65_535])]
fn checksum(bencher: Bencher, len: usize) {
    let bytes = vec![0x5a; len];
    bencher.counter(BytesCount::new(len)).bench_local(|| Sum::of(black_box(&bytes)).fold());
}

/// A TCP frame of `COUNT` segments over IPv4, as the kernel hands it out.
fn row() -> (Vec<u8>, Offload) {
    let mut frame = vec![2; 12];
    frame.extend([0x08, 0, 0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0x10, 0, 0x14, 0x51, 0, 0, 0, 1, 0, 0, 0, 5, 0x80, 0x10, 1, 2, 0, 0, 0, 0]);
    frame.extend([1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9]);
    frame.resize(14 + 52 + COUNT * SIZE, 0xa5);
    let length = u32::try_from(frame.len() - 34).expect("a frame is short");
    let partial = pseudo_header(&frame[26..34], 6, length).fold();
    frame[50..52].copy_from_slice(&partial.to_be_bytes());
    let size = u16::try_from(SIZE).expect("a packet is short");
    let offload = Offload {
        checksum: Some(Checksum { start: 34, offset: 16 }),
        segments: Some(Segments { kind: SegmentKind::Tcp, size }),
    };
    (frame, offload)
}

#[divan::bench]
fn segment(bencher: Bencher) {
    let (frame, offload) = row();
    let mut out = [0; 1500];
    bencher.counter(BytesCount::new(COUNT * SIZE)).bench_local(|| {
        let mut segmenter = Segmenter::new(black_box(&frame), offload, 1420).expect("it is sound");
        while segmenter.write(&mut out).is_some() {
            black_box(&out);
        }
    });
}

#[divan::bench]
fn coalesce(bencher: Bencher) {
    let (frame, offload) = row();
    let mut segmenter = Segmenter::new(&frame, offload, 1420).expect("it is sound");
    let mut packets = Vec::new();
    while segmenter.remaining() > 0 {
        let mut packet = vec![0; segmenter.next_len()];
        segmenter.write(&mut packet);
        packets.push(packet);
    }
    let mut coalescer = Coalescer::new([2; 6], [3; 6], true);
    bencher.counter(BytesCount::new(COUNT * SIZE)).bench_local(|| {
        for packet in &packets {
            coalescer.push(black_box(packet)).expect("it is polled");
        }
        while let Some(frame) = coalescer.poll() {
            black_box(frame);
        }
    });
}
