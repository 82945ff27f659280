//! Packets longer than the radio carries, at every preset.

use std::time::Duration;

use meshnet_proto::meshtastic::airtime::PRESETS;
use meshnet_sim::packet::Kind;
use meshnet_sim::{Plan, StationPlan, World};

#[test]
fn a_packet_of_1400_bytes_arrives_whole_at_every_preset() {
    for preset in PRESETS {
        let stations = vec![StationPlan { mtu: 1400, ..StationPlan::default() }; 2];
        let mut world = World::new(Plan { preset: *preset, stations, node_info: false, ..Plan::default() });
        world.run(Duration::from_secs(2));
        for _ in 0..2 {
            world.send(0, 1, Kind::Udp { port: 1 }, 1372);
            world.run(Duration::from_secs(400));
        }
        let arrived = world.watch.packets.iter().filter(|packet| packet.delivered.is_some()).count();
        assert_eq!(arrived, 2, "at {}\n{}", preset.name, world.story());
    }
}
