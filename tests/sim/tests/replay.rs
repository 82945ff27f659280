//! Somebody who can write any source address replays what he recorded.

use std::time::Duration;

use meshnet_proto::link::LinkAddr;
use meshnet_sim::packet::Kind;
use meshnet_sim::world::num;
use meshnet_sim::{Plan, World};

#[test]
fn replayed_inits_and_packets_neither_cut_a_session_nor_come_through() {
    let mut world = World::new(Plan::default());
    world.run(Duration::from_secs(2));
    for _ in 0..5 {
        world.send(0, 1, Kind::Ping, 20);
        world.run(Duration::from_secs(20));
    }
    let recorded: Vec<_> = world.watch.recorded.iter().cloned().collect();
    // The victim's daemon restarts, so that it remembers no ephemeral key: the init is answered, and that is all.
    world.kill(1);
    world.start(1);
    world.run(Duration::from_secs(5));
    world.send(1, 0, Kind::Ping, 20);
    world.run(Duration::from_secs(30));
    for recorded in &recorded {
        for station in 0..2 {
            world.inject(station, LinkAddr::radio(num(recorded.from)), &recorded.payload);
        }
    }
    world.run(Duration::from_secs(60));
    let inits = world.watch.inits;
    for _ in 0..5 {
        for station in 0..2 {
            world.send(station, 1 - station, Kind::Ping, 20);
            world.run(Duration::from_secs(30));
        }
    }
    let after = &world.watch.packets[world.watch.packets.len() - 20..];
    let lost = after.iter().filter(|packet| packet.delivered.is_none()).count();
    assert_eq!((lost, world.watch.inits), (0, inits), "traffic goes on without a handshake");
}
