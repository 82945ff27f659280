//! What sealing and opening cost on one core, beside the core's own cipher: `cargo bench -p meshnetd --bench cipher`.

use std::num::NonZeroUsize;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use meshnet_proto::aead::{Aead, Portable, Row, nonce};
use meshnetd::cipher::{Pool, Ring};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

/// A small packet, one that is as long as version 1 allows, one of a bulk transfer.
const SIZES: [usize; 3] = [64, 180, 1420];

fn main() {
    divan::main();
}

#[divan::bench(args = SIZES, types = [Ring, Portable])]
fn seal<A: Aead + Default>(bencher: Bencher, len: usize) {
    let (aead, key, mut buffer, mut counter) = (A::default(), [7; 32], vec![0x5a; len], 0);
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        counter += 1;
        aead.seal(black_box(&key), counter, &[], &mut buffer)
    });
}

#[divan::bench(args = SIZES, types = [Ring, Portable])]
fn open<A: Aead + Default>(bencher: Bencher, len: usize) {
    let (aead, key) = (A::default(), [7; 32]);
    let mut sealed = vec![0x5a; len];
    let tag = aead.seal(&key, 1, &[], &mut sealed);
    let mut buffer = sealed.clone();
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        buffer.copy_from_slice(&sealed);
        aead.open(black_box(&key), 1, &[], &mut buffer, &tag)
    });
}

/// The same as `seal` with `ring`, but that the key is set up only once.
#[divan::bench(args = SIZES)]
fn seal_with_kept_key(bencher: Bencher, len: usize) {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).expect("the length is right"));
    let (mut buffer, mut counter) = (vec![0x5a; len], 0);
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        counter += 1;
        let nonce = Nonce::assume_unique_for_key(nonce(counter));
        black_box(&key)
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut buffer)
            .map(|tag| tag.as_ref()[0])
    });
}

/// What one call to UDP carries, on one thread and on several. That it pays takes processors that nothing else wants.
#[divan::bench(args = [1, 2, 3, 4])]
fn seal_row(bencher: Bencher, threads: usize) {
    const SEGMENT: usize = 1452;
    let pool = NonZeroUsize::new(threads).filter(|threads| threads.get() > 1).map(Pool::start);
    let pool = pool.map(|pool| pool.expect("there are threads"));
    let aead: &dyn Aead = pool.as_ref().map_or(&Ring, |pool| pool);
    let (mut bytes, mut counter) = (vec![0x5a; 45 * SEGMENT], 0);
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| {
        counter += 45;
        let row = Row { bytes: &mut bytes, segment: SEGMENT, head: 16 };
        aead.seal_all(black_box(&[7; 32]), counter, row);
    });
}
