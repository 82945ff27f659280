//! Half of all packets are lost.

use std::time::Duration;

use meshnet_proto::meshtastic::airtime::Preset;
use meshnet_sim::packet::Kind;
use meshnet_sim::{Plan, World};

/// Returns how many of 300 packets arrive.
fn arrive(seed: u64) -> usize {
    let preset = Preset::by_name("SHORT_FAST").expect("it exists");
    let mut world = World::new(Plan { seed, preset, ..Plan::default() });
    world.air.faults_mut().loss = 0.5;
    for _ in 0..300 {
        world.send(0, 1, Kind::Udp { port: 1 }, 60);
        world.run(Duration::from_secs(2));
    }
    world.watch.packets.iter().filter(|packet| packet.delivered.is_some()).count()
}

#[test]
fn with_half_the_packets_lost_a_session_is_made_and_traffic_arrives() {
    let arrived: Vec<_> = (0..10).map(arrive).collect();
    // A handshake needs two messages in a row, and an absent peer is tried ever more rarely: one in forty of such worlds
    // has none within ten minutes. Traffic that nobody answers is also stopped now and then by a renewal that fails.
    let served = arrived.iter().filter(|count| **count > 50).count();
    assert!(served >= 8, "{arrived:?} of 300 each");
    assert!((700..=1600).contains(&arrived.iter().sum::<usize>()), "{arrived:?} of 300 each");
}
