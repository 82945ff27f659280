#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| meshnet_sim::fuzz::terse(bytes));
