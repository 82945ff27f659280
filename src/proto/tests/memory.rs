//! The heap that peers take. A binary of its own, with one test: nothing else may allocate meanwhile.

#[path = "../benches/footprint/mod.rs"]
mod footprint;
#[path = "../benches/network/mod.rs"]
#[allow(dead_code, reason = "benches do more with it")]
mod network;

use footprint::PASTS;

#[test]
fn an_idle_peer_takes_less_than_4_kilobytes() {
    for past in PASTS {
        let bytes = footprint::of(past);
        println!("{past:?}: {bytes} bytes");
        assert!(bytes < 4096, "{past:?}: {bytes} bytes");
    }
}
