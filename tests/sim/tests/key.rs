//! Radios that do not have each other's Meshtastic keys.

use std::time::Duration;

use meshnet_proto::meshtastic::airtime::Preset;
use meshnet_sim::packet::Kind;
use meshnet_sim::{Plan, World};

fn answered(world: &World) -> bool {
    let mut pongs = world.watch.packets.iter().filter(|packet| packet.kind == Kind::Pong);
    pongs.any(|packet| packet.delivered.is_some())
}

#[test]
fn a_missing_radio_key_is_cured_by_itself_within_a_minute() {
    for name in ["SHORT_FAST", "LONG_FAST"] {
        let preset = Preset::by_name(name).expect("it exists");
        let mut world = World::new(Plan { preset, acquainted: false, node_info: false, ..Plan::default() });
        world.run(Duration::from_secs(2));
        for _ in 0..6 {
            world.send(0, 1, Kind::Ping, 20);
            world.run(Duration::from_secs(10));
        }
        assert!(answered(&world), "at {name}\n{}", world.story());
    }
}

#[test]
fn a_radio_that_lost_its_table_gets_the_key_again() {
    let preset = Preset::by_name("MEDIUM_FAST").expect("it exists");
    let mut world = World::new(Plan { preset, node_info: false, ..Plan::default() });
    world.run(Duration::from_secs(2));
    world.send(0, 1, Kind::Ping, 20);
    world.run(Duration::from_secs(20));
    assert!(answered(&world));
    for station in 0..2 {
        world.reboot(station, true);
        world.run(Duration::from_secs(20));
        let before = world.watch.packets.len();
        for _ in 0..12 {
            world.send(0, 1, Kind::Ping, 20);
            world.run(Duration::from_secs(20));
        }
        let after = &world.watch.packets[before..];
        assert!(
            after.iter().any(|p| p.kind == Kind::Pong && p.delivered.is_some()),
            "radio {station} forgot\n{}",
            world.story()
        );
    }
}
