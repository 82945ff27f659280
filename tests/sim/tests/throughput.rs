//! One backlogged sender, at every preset, against what the firmware's medium access leaves (reference, table 5.2).

use std::time::Duration;

use meshnet_proto::meshtastic::airtime::{PRESETS, on_air_len};
use meshnet_sim::packet::Kind;
use meshnet_sim::{Plan, World};

/// The fixed point of `u = air / (air + mean backoff(u))`: the wait grows with the channel's use, which grows with
/// shorter waits. Contention windows of 2^3 to 2^8 slots.
fn equilibrium(air: f64, slot: f64) -> f64 {
    let mut use_: f64 = 0.5;
    for _ in 0..200 {
        let window = 2_f64.powf((3.0 + 5.0 * use_).floor().min(8.0));
        let next = air / (air + slot * (window - 1.0) / 2.0);
        use_ = use_ * 0.9 + next * 0.1;
    }
    use_
}

#[test]
fn a_backlogged_sender_gets_nine_tenths_of_what_the_firmware_gives() {
    for preset in PRESETS {
        let modem = preset.modem(false);
        let mut world = World::new(Plan { preset: *preset, node_info: false, ..Plan::default() });
        world.run(Duration::from_secs(2));
        world.send(0, 1, Kind::Udp { port: 1 }, 10);
        world.run(Duration::from_secs(60));
        // The longest packet that goes unfragmented: 219 bytes sealed.
        let data = 219 - 25 - 14 - 28;
        let air = modem.airtime(on_air_len(219, 256, true)).as_secs_f64();
        let share = equilibrium(air, modem.slot().as_secs_f64());
        let time = Duration::from_secs_f64(air * 300.0);
        let every = Duration::from_secs_f64(air / 2.0);
        let start = world.now;
        let mut measured = 0;
        while world.now < start + time {
            world.send(0, 1, Kind::Udp { port: 1 }, data);
            world.run(every);
        }
        // The first third is before the channel's use has settled.
        for packet in &world.watch.packets {
            measured += u32::from(packet.delivered.is_some_and(|at| at > start + time / 3));
        }
        let possible = time.as_secs_f64() * 2.0 / 3.0 * share / air;
        let ratio = f64::from(measured) / possible;
        println!("{:15} {:.0} % use possible, {ratio:.2} of it reached", preset.name, share * 100.0);
        assert!(ratio >= 0.9, "{}: {measured} of {possible:.0} packets", preset.name);
    }
}
