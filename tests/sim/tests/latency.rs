//! Interactive traffic beside a bulk transfer, and a ping on an idle channel.

use std::time::Duration;

use meshnet_proto::meshtastic::airtime::{Preset, on_air_len};
use meshnet_sim::packet::Kind;
use meshnet_sim::{Plan, World};

fn round_trips(world: &World) -> Vec<Duration> {
    let packets = &world.watch.packets;
    let pings = packets.iter().filter(|packet| packet.kind == Kind::Ping);
    let pongs = packets.iter().filter(|packet| packet.kind == Kind::Pong);
    let answered: Vec<_> = pongs.filter_map(|pong| pong.delivered).collect();
    let mut trips: Vec<_> = pings
        .filter_map(|ping| {
            let end = answered.iter().find(|at| **at > ping.sent)?;
            Some(*end - ping.sent)
        })
        .collect();
    trips.sort();
    trips
}

#[test]
fn a_keystroke_waits_for_no_more_than_what_the_radio_holds_of_a_bulk_transfer() {
    let preset = Preset::by_name("LONG_FAST").expect("it exists");
    let mut world = World::new(Plan { preset, ..Plan::default() });
    world.run(Duration::from_secs(2));
    world.send(0, 1, Kind::Ping, 20);
    world.run(Duration::from_secs(20));
    let mut keys = Vec::new();
    for second in 0..600_u32 {
        world.send(0, 1, Kind::Udp { port: 1 }, 140);
        if second % 20 == 0 {
            keys.push(world.send(0, 1, Kind::Tcp { port: 22, sequence: second, acknowledgement: 1 }, 1));
        }
        world.run(Duration::from_secs(1));
    }
    let mut delays: Vec<_> = keys
        .iter()
        .map(|number| {
            let packet = &world.watch.packets[usize::from(*number)];
            packet.delivered.map_or(Duration::MAX, |at| at - packet.sent)
        })
        .collect();
    delays.sort();
    let full = preset.modem(false).airtime(on_air_len(207, 256, true));
    let half = delays[delays.len() / 2];
    // Two packets in the radio, with a wait for the medium each, and its own airtime.
    assert!(half < full * 3 + Duration::from_secs(3), "half of the keystrokes take {half:?}");
    let most = delays[delays.len() * 9 / 10];
    assert!(most < full * 4 + Duration::from_secs(6), "nine in ten take {most:?}");
}

#[test]
fn a_ping_on_an_idle_channel_takes_little_more_than_its_airtime() {
    let preset = Preset::by_name("LONG_FAST").expect("it exists");
    let mut world = World::new(Plan { preset, ..Plan::default() });
    world.run(Duration::from_secs(60));
    world.send(0, 1, Kind::Ping, 56);
    world.run(Duration::from_secs(60));
    for _ in 0..100 {
        world.send(0, 1, Kind::Ping, 56);
        world.run(Duration::from_secs(10));
    }
    let trips = round_trips(&world);
    let modem = preset.modem(false);
    // An IP packet of 84 bytes, its Ethernet header, counter, type and tag.
    let sealed = 84 + 14 + 25;
    let floor = (modem.airtime(on_air_len(sealed, 256, true)) + modem.mean_access()) * 2;
    let mean = trips.iter().sum::<Duration>() / u32::try_from(trips.len()).expect("a hundred");
    println!("mean {mean:?}, floor {floor:?}: {:.3}", mean.as_secs_f64() / floor.as_secs_f64());
    assert!(trips.len() >= 99, "{} of 101 answered", trips.len());
    assert!(mean < floor.mul_f64(1.15), "{mean:?} against {floor:?}");
}
