//! A region where a radio may send for a tenth of any hour, and a host that would send all the time.

use std::time::Duration;

use meshnet_proto::meshtastic::airtime::Preset;
use meshnet_sim::packet::Kind;
use meshnet_sim::{Plan, World};

#[test]
fn beside_a_bulk_sender_that_spends_the_hour_an_interactive_one_is_served_throughout() {
    let preset = Preset::by_name("MEDIUM_FAST").expect("it exists");
    let mut world = World::new(Plan { preset, region: "EU_868", ..Plan::default() });
    world.run(Duration::from_secs(2));
    let (mut bulk, mut keys) = (0_u32, Vec::new());
    // Three hours: bulk that never ends, and a key pressed now and then.
    for second in 0..3 * 3600_u32 {
        if second % 2 == 0 {
            world.send(0, 1, Kind::Udp { port: 1 }, 140);
            bulk += 1;
        }
        if second % 120 == 0 {
            keys.push(world.send(0, 1, Kind::Tcp { port: 22, sequence: second, acknowledgement: 1 }, 1));
        }
        world.run(Duration::from_secs(1));
    }
    let packets = &world.watch.packets;
    let delay = |number: &u16| {
        let packet = &packets[usize::from(*number)];
        packet.delivered.map(|at| at - packet.sent)
    };
    let mut delays: Vec<_> = keys.iter().map(|number| delay(number).unwrap_or(Duration::MAX)).collect();
    delays.sort();
    let lost = delays.iter().filter(|delay| **delay == Duration::MAX).count();
    assert!(lost <= keys.len() / 20, "{lost} of {} keystrokes are lost", keys.len());
    assert!(
        delays[delays.len() / 2] < Duration::from_secs(3),
        "half of them take {:?}",
        delays[delays.len() / 2]
    );
    assert!(!world.watch.refusals.contains_key("DutyCycle"), "the cliff is never reached");
    let carried = packets
        .iter()
        .filter(|packet| packet.kind == Kind::Udp { port: 1 } && packet.delivered.is_some())
        .count();
    // 85 % of what three hours allow, at 611 ms each, would be 1500; the rest goes to keystrokes and the radio itself.
    assert!(carried > 1200, "{carried} of {bulk} bulk packets");
    assert!(world.watch.sent_in_hour(0) <= 360.0);
}
