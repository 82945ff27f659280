//! A day without traffic.

use std::time::Duration;

use meshnet_sim::packet::Kind;
use meshnet_sim::{Plan, World};

#[test]
fn a_day_without_traffic_takes_no_air_and_wakes_for_the_radio_alone() {
    let mut world = World::new(Plan::default());
    world.run(Duration::from_secs(2));
    world.send(0, 1, Kind::Ping, 20);
    world.run(Duration::from_secs(3600));
    let (datagrams, wakeups) = (world.watch.datagrams, world.watch.wakeups.clone());
    world.run(Duration::from_secs(24 * 3600));
    assert_eq!(world.watch.datagrams, datagrams, "nothing of ours is on the air");
    let more = |why: &&'static str| world.watch.wakeups[why] - wakeups.get(why).copied().unwrap_or(0);
    let ours: Vec<_> = world.watch.wakeups.keys().filter(|why| **why != "air").collect();
    let woken: Vec<_> = ours.into_iter().filter(|why| more(why) > 0).map(|why| (*why, more(why))).collect();
    // Two stations with a heartbeat per 300 s each; sessions end once.
    for (why, times) in woken {
        let expected = match why {
            "radio heartbeat" => 2 * 24 * 12,
            "session end" | "old keys" => 4,
            _ => 0,
        };
        assert!(times <= expected, "{times} wakeups for {why}");
    }
}
