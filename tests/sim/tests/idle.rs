//! A day without traffic.

use std::time::Duration;

use meshnet_proto::config::PeerMode;
use meshnet_proto::path::Tier;
use meshnet_sim::packet::Kind;
use meshnet_sim::world::{PairPlan, StationPlan, Ways};
use meshnet_sim::{Plan, World};

#[test]
fn a_day_without_traffic_takes_no_air_and_wakes_for_the_radio_alone() {
    sleeps_through(Plan::default());
}

#[test]
fn nor_does_a_session_of_wireguards_by_radio() {
    sleeps_through(wireguard(Ways::Radio, false));
}

#[test]
fn nor_does_one_that_has_moved_to_where_air_is_free() {
    let world = sleeps_through(wireguard(Ways::Both, true));
    for station in &world.stations {
        let ways = station.node().expect("it runs").snapshot(world.now).peers.remove(0).ways;
        assert_eq!(ways.expect("it is a peer of mode WIREGUARD").tier, Tier::Direct);
    }
}

fn wireguard(ways: Ways, attached: bool) -> Plan {
    let station = StationPlan { mtu: 1400, attached, ..StationPlan::default() };
    let pair = PairPlan { mode: PeerMode::Wireguard, preshared: true, ways };
    Plan { stations: vec![station; 2], pairs: [((0, 1), pair)].into(), ..Plan::default() }
}

/// After a ping and an hour, two daemons are silent for a day, on all links.
fn sleeps_through(plan: Plan) -> World {
    let mut world = World::new(plan);
    world.run(Duration::from_secs(2));
    world.send(0, 1, Kind::Ping, 20);
    world.run(Duration::from_secs(3600));
    assert!(world.watch.packets[0].delivered.is_some());
    let (datagrams, wakeups) = (world.watch.datagrams, world.watch.wakeups.clone());
    world.run(Duration::from_secs(24 * 3600));
    assert_eq!(world.watch.datagrams, datagrams, "nothing of ours is on any link");
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
    world
}
