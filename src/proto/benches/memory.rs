//! What an idle peer takes of the heap: `cargo bench -p meshnet-proto --bench memory`.

mod footprint;
#[allow(dead_code, reason = "other benches do more with it")]
mod network;

use footprint::{PASTS, Past};

fn main() {
    for past in PASTS {
        let name = match past {
            Past::None => "idle_peer",
            Past::Renewed => "idle_peer_in_session",
            Past::Left => "idle_peer_after_session",
        };
        println!("{name} {} bytes", footprint::of(past));
    }
}
