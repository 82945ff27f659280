//! What a transfer over TCP costs on the air where a tenth of everything is lost: WIREGUARD beside version 1, with the same
//! seeds.
//!
//! Both ends of the connection are [`meshnet_sim::tcp`], which behaves as Linux does. With the kernel's own, in real time and with
//! seven seeds, `cargo xtask bench terse` finds much the same (BENCHMARKS.md): 13.5 s of air and 6.4 s where this finds 14.4 s and
//! 6.7 s on average.

use std::time::Duration;

use meshnet_proto::config::PeerMode;
use meshnet_proto::meshtastic::airtime::Preset;
use meshnet_sim::packet::Kind;
use meshnet_sim::transfer::{Carried, carry};
use meshnet_sim::world::PairPlan;
use meshnet_sim::{Plan, StationPlan, World};

/// Version 1's best MTU, and what a daemon takes for a network of WIREGUARD peers with radios only.
const MODES: [(PeerMode, u16); 2] = [(PeerMode::Pki, 180), (PeerMode::Wireguard, 1300)];
const LOSS: f64 = 0.1;
/// Enough that their sum hangs on no single one of them.
const SEEDS: u64 = 40;

/// Carries some bytes between two that know each other.
fn transfer((mode, mtu): (PeerMode, u16), preset: &str, len: usize, seed: u64) -> Carried {
    let preset = Preset::by_name(preset).expect("it exists");
    let stations = vec![StationPlan { mtu, ..StationPlan::default() }; 2];
    let pairs = [((0, 1), PairPlan { mode, ..PairPlan::default() })].into();
    let plan = Plan { seed, preset, stations, pairs, telemetry: None, node_info: false, ..Plan::default() };
    let mut world = World::new(plan);
    world.run(Duration::from_secs(2));
    let first = world.send(0, 1, Kind::Ping, 56);
    world.run(Duration::from_secs(60));
    assert!(world.watch.packets[usize::from(first)].delivered.is_some(), "they know each other");
    world.air.faults_mut().loss = LOSS;
    // Bytes that no segment can be taken for another's by.
    let bytes: Vec<u8> = (0..len).map(|at| at.wrapping_mul(167).to_le_bytes()[at % 2]).collect();
    let carried = carry(&mut world, [0, 1], &bytes, Duration::from_secs(1200), Duration::from_secs(30));
    world.audit();
    carried
}

/// The air of a transfer, of all seeds together: in version 1, in WIREGUARD.
fn airs(preset: &str, len: usize) -> [f64; 2] {
    MODES.map(|mode| {
        let all: Vec<Carried> = (1..=SEEDS).map(|seed| transfer(mode, preset, len, seed)).collect();
        let sum = |pick: fn(&Carried) -> f64| all.iter().map(pick).sum::<f64>();
        let mean = |pick| sum(pick) / f64::from(u32::try_from(SEEDS).expect("a few"));
        #[allow(clippy::cast_precision_loss, reason = "hundreds")]
        let frames = [mean(|carried| carried.sent[0].frames as f64), mean(|carried| carried.sent[1].frames as f64)];
        println!(
            "{len} bytes at {preset}, {:?}: {:.1} s of air ({:.1} s of it back), {frames:.1?} frames, {:.0} s",
            mode.0,
            mean(|carried| carried.air().as_secs_f64()),
            mean(|carried| carried.sent[1].air.as_secs_f64()),
            mean(|carried| carried.whole.as_secs_f64()),
        );
        sum(|carried| carried.air().as_secs_f64())
    })
}

#[test]
fn ten_kilobytes_over_tcp_at_a_tenth_lost_take_at_most_half_of_version_1s_air() {
    let [plain, terse] = airs("SHORT_TURBO", 10 * 1024);
    let share = terse / plain;
    assert!(share <= 0.5, "{share:.3} of version 1's air");
}

#[test]
fn two_kilobytes_at_the_slowest_usual_preset_take_at_most_seven_tenths() {
    // A transfer so short is a connection's begin and end for a sixth, and packets have three parts there, not six.
    let [plain, terse] = airs("LONG_FAST", 2 * 1024);
    let share = terse / plain;
    assert!(share <= 0.7, "{share:.3} of version 1's air");
}
