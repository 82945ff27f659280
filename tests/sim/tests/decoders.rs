//! Every fuzz target over its committed corpus and over random changes of it, for `MESHNET_FUZZ_SECONDS` each (2 unless
//! said otherwise): what runs with the stable toolchain everywhere. `tests/fuzz` goes on from here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use meshnet_sim::fuzz::{TARGETS, Target};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("a readable file")).collect()
}

/// Changes an input as a fuzzer does.
fn mutate(rng: &mut ChaCha8Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut below = |bound: usize| rng.next_u32() as usize % bound.max(1);
    let mut bytes = corpus[below(corpus.len())].clone();
    for _ in 0..1 + below(4) {
        let at = below(bytes.len());
        match below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << below(8),
            1 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, 0x94, 0xc3][below(7)],
            2 if !bytes.is_empty() => bytes.truncate(at),
            3 if !bytes.is_empty() => drop(bytes.drain(at..(at + 1 + below(8)).min(bytes.len()))),
            4 => bytes.insert(at, below(256).to_le_bytes()[0]),
            5 if !bytes.is_empty() => {
                let end = (at + 1 + below(16)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let place = below(bytes.len());
                bytes.splice(place..place, copy);
            }
            6 => {
                let other = &corpus[below(corpus.len())];
                let from = below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from.min(other.len())..]);
            }
            _ if !bytes.is_empty() => bytes[at] = below(256).to_le_bytes()[0],
            _ => {}
        }
    }
    bytes.truncate(4096);
    bytes
}

fn check((name, body): &Target, bytes: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| body(bytes))).is_err() {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("target {name} fails with the input {hex}");
    }
}

#[test]
fn no_decoder_panics_on_any_input() {
    let seconds =
        std::env::var("MESHNET_FUZZ_SECONDS").ok().map_or(2, |text| text.parse().expect("a number"));
    for target in TARGETS {
        let corpus = corpus(target.0);
        assert!(!corpus.is_empty(), "target {} has no corpus", target.0);
        corpus.iter().for_each(|bytes| check(target, bytes));
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (end, mut runs) = (Instant::now() + Duration::from_secs(seconds), 0);
        while Instant::now() < end {
            check(target, &mutate(&mut rng, &corpus));
            runs += 1;
        }
        println!("{}: {} inputs, {runs} changes of them", target.0, corpus.len());
    }
}

#[test]
fn every_target_is_one_of_the_fuzzers_too() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("the fuzzer's manifest");
    for (name, _) in TARGETS {
        assert!(folder.join(format!("fuzz_targets/{name}.rs")).exists(), "{name} has no file");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in the manifest");
    }
}
