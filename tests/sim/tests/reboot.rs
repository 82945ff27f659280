//! A radio reboots in mid-transfer.

use std::time::Duration;

use meshnet_proto::meshtastic::airtime::Preset;
use meshnet_sim::packet::Kind;
use meshnet_sim::{Plan, World};

#[test]
fn a_radio_that_reboots_in_mid_transfer_costs_what_was_in_it_and_no_handshake() {
    for station in 0..2 {
        let mut world =
            World::new(Plan { preset: Preset::by_name("SHORT_FAST").expect("it exists"), ..Plan::default() });
        world.run(Duration::from_secs(2));
        world.send(0, 1, Kind::Ping, 10);
        world.run(Duration::from_secs(10));
        let mut numbers = Vec::new();
        for at in 0..60 {
            numbers.push(world.send(0, 1, Kind::Ping, 100));
            if at == 20 {
                world.reboot(station, false);
            }
            world.run(Duration::from_secs(1));
        }
        world.run(Duration::from_secs(60));
        world.audit();
        let lost =
            numbers.iter().filter(|number| world.watch.packets[usize::from(**number)].delivered.is_none());
        let lost = lost.count();
        // A radio loses what it holds, and is deaf for as long as it boots.
        assert!(lost <= 12, "radio {station}: {lost} lost");
        let last = world.watch.packets.last().expect("packets were sent");
        assert!(last.delivered.is_some());
        assert_eq!(world.watch.inits, 1, "sessions outlive a radio");
    }
}
