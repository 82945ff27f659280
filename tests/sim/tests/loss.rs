//! Half of all packets are lost.

use std::time::Duration;

use meshnet_proto::meshtastic::airtime::Preset;
use meshnet_sim::packet::Kind;
use meshnet_sim::{Plan, World};

#[test]
fn with_half_the_packets_lost_a_session_is_made_and_half_the_traffic_arrives() {
    let mut arrived = 0;
    for seed in 0..10 {
        let preset = Preset::by_name("SHORT_FAST").expect("it exists");
        let mut world = World::new(Plan { seed, preset, ..Plan::default() });
        world.air.faults_mut().loss = 0.5;
        // A handshake needs two messages in a row: it may take some tries, and pauses between them.
        for _ in 0..300 {
            world.send(0, 1, Kind::Udp { port: 1 }, 60);
            world.run(Duration::from_secs(2));
        }
        let got = world.watch.packets.iter().filter(|packet| packet.delivered.is_some()).count();
        assert!(got > 50, "seed {seed}: {got} of 300 arrive");
        arrived += got;
    }
    assert!((1100..=1800).contains(&arrived), "{arrived} of 3000 arrive");
}
