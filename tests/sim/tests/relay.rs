//! Three stations in a row: the outer ones do not hear each other.

use std::time::Duration;

use meshnet_proto::meshtastic::airtime::Preset;
use meshnet_sim::packet::Kind;
use meshnet_sim::{Plan, StationPlan, World};

fn row() -> World {
    let preset = Preset::by_name("MEDIUM_FAST").expect("it exists");
    let mut world = World::new(Plan { preset, stations: vec![StationPlan::default(); 3], ..Plan::default() });
    let (left, right) = (world.stations[0].radio, world.stations[2].radio);
    world.air.set_hearing(left, right, None);
    world.air.set_hearing(right, left, None);
    world
}

#[test]
fn the_one_in_the_middle_relays_for_those_who_do_not_hear_each_other() {
    let mut world = row();
    world.run(Duration::from_secs(2));
    for _ in 0..20 {
        world.send(0, 2, Kind::Ping, 20);
        world.run(Duration::from_secs(20));
    }
    let answered = world.watch.packets.iter().filter(|packet| packet.kind == Kind::Pong);
    let answered = answered.filter(|packet| packet.delivered.is_some()).count();
    assert!(answered >= 18, "{answered} of 20 pings are answered");
}

#[test]
fn neighbours_are_not_relayed_for() {
    let mut world = row();
    world.run(Duration::from_secs(2));
    for _ in 0..10 {
        world.send(0, 1, Kind::Ping, 20);
        world.run(Duration::from_secs(10));
    }
    let before = world.watch.relayed;
    for _ in 0..10 {
        world.send(0, 1, Kind::Ping, 20);
        world.run(Duration::from_secs(10));
    }
    assert_eq!(world.watch.relayed, before, "once the distance is known nobody repeats anything");
}
