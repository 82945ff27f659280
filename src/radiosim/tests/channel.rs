//! The channel: airtime, medium access, collisions, losses, and the account of it all.

use std::collections::BTreeSet;
use std::time::Duration;

use meshnet_proto::meshtastic::airtime::PRESETS;
use meshnet_proto::meshtastic::message::MeshPacket;
use meshnet_radiosim::{AirConfig, Burst, ClientId, Faults, Hearing, RadioConfig, Role};

mod lab;
use lab::{A, B, C, Lab, content, data, packet, quiet, statuses};

/// Keeps a radio's queue between one and three packets for a time, as a host that is paced by `QueueStatus` does.
fn backlog(lab: &mut Lab, client: ClientId, to: u32, duration: Duration) {
    let radio = lab.air.radio(A).unwrap();
    let end = lab.now + duration;
    while lab.now < end {
        while lab.air.queued(radio) + lab.air.unread(client) / 240 < 3 {
            lab.datagram(client, to, 220);
        }
        lab.run_ms(10);
        lab.take(client);
    }
}

/// Bytes of payload per second that one backlogged sender gets across, once the channel's use has settled.
fn goodput(preset: &str) -> f64 {
    let mut lab = Lab::new(1);
    let mute = |num| RadioConfig { role: Role::ClientMute, ..quiet(num, preset) };
    let (a, b) = (lab.add(mute(A)), lab.add(mute(B)));
    let (a, b) = (lab.connect(a), lab.connect(b));
    let frame = PRESETS.iter().find(|known| known.name == preset).unwrap().modem(false).airtime(255);
    let settled = (frame * 200).max(Duration::from_secs(120));
    backlog(&mut lab, a, B, settled);
    lab.take(b);
    let before = lab.ledger.len();
    backlog(&mut lab, a, B, 2 * settled);
    #[allow(clippy::cast_precision_loss, reason = "thousands")]
    let bytes = 220.0 * (lab.ledger.len() - before) as f64;
    bytes / (2 * settled).as_secs_f64()
}

#[test]
fn one_backlogged_sender_settles_where_the_contention_window_lets_it() {
    // Bytes per second: the model of the reference's table, and what was measured where something was.
    for (preset, model, measured) in [
        ("SHORT_TURBO", 974.0, Some(961.0)),
        ("SHORT_FAST", 671.0, Some(622.0)),
        ("MEDIUM_FAST", 216.0, Some(235.0)),
        ("LONG_TURBO", 100.0, None),
        ("LONG_FAST", 72.0, None),
        ("LONG_MODERATE", 23.0, None),
        ("LITE_FAST", 121.0, None),
        ("NARROW_SLOW", 98.0, None),
    ] {
        let got = goodput(preset);
        let near = |expected: f64| (got / expected - 1.0).abs() <= 0.1;
        assert!(near(model), "{preset}: {got:.0} B/s, model {model}");
        assert!(measured.is_none_or(near), "{preset}: {got:.0} B/s, measured {measured:?}");
    }
}

#[test]
fn after_an_idle_time_the_first_seconds_are_faster() {
    let mut lab = Lab::new(1);
    let (a, _) = (lab.add(quiet(A, "SHORT_TURBO")), lab.add(quiet(B, "SHORT_TURBO")));
    let a = lab.connect(a);
    backlog(&mut lab, a, B, Duration::from_secs(5));
    let early = lab.ledger.len();
    backlog(&mut lab, a, B, Duration::from_secs(60));
    let before = lab.ledger.len();
    backlog(&mut lab, a, B, Duration::from_secs(5));
    let late = lab.ledger.len() - before;
    assert!(early * 2 > late * 3, "{early} packets, then {late}");
}

#[test]
fn a_transmission_takes_its_airtime_and_waits_0_to_7_slots_on_an_idle_channel() {
    let (mut lab, a, _) = Lab::pair("LONG_FAST", 1);
    let radio = lab.air.radio(A).unwrap();
    let mut drawn = BTreeSet::new();
    for _ in 0..60 {
        lab.run_secs(90);
        lab.heartbeat(a, 0);
        lab.run_ms(1000);
        let before = lab.ledger.len();
        lab.datagram(a, B, 220);
        // A packet that draws no slots leaves the queue in the instant in which it came.
        while lab.air.queued(radio) == 0 && lab.ledger.len() == before {
            let next = lab.air.poll_timeout().unwrap();
            lab.run(next.saturating_duration_since(lab.now));
        }
        let waits = lab.air.queued(radio) > 0;
        let queued = waits.then(|| lab.time().as_secs_f64());
        lab.run_secs(5);
        let entry = lab.ledger.last().unwrap();
        let slots = (entry.time - queued.unwrap_or(entry.time)) / 0.028;
        drawn.insert(format!("{slots:.0}"));
        assert!((-0.01..=7.01).contains(&slots) && (slots - slots.round()).abs() < 0.01, "{slots} slots");
        assert!((entry.airtime_ms - 2156.5).abs() < 1.0);
    }
    assert_eq!(drawn.len(), 8, "each of them");
}

#[test]
fn two_that_cannot_hear_each_other_collide_at_a_third_unless_one_is_6_db_stronger() {
    for (advantage, survives) in [(0.0, false), (5.0, false), (6.0, true), (20.0, true)] {
        let mut lab = Lab::new(1);
        let radios =
            [A, B, C].map(|num| lab.add(RadioConfig { role: Role::ClientMute, ..quiet(num, "LONG_FAST") }));
        let [a, b, c] = radios.map(|radio| lab.connect(radio));
        lab.air.set_hearing(radios[0], radios[1], None);
        lab.air.set_hearing(radios[1], radios[0], None);
        let snr = -10.0 + advantage;
        lab.air.set_hearing(radios[0], radios[2], Some(Hearing { snr, loss: 0.0 }));
        lab.air.set_hearing(radios[1], radios[2], Some(Hearing { snr: -10.0, loss: 0.0 }));
        lab.datagram(a, C, 100);
        lab.datagram(b, C, 100);
        lab.run_secs(5);
        let arrived = content(&lab.take(c)).len();
        assert_eq!(arrived, usize::from(survives), "{advantage} dB");
        let collided: usize = lab.ledger.iter().map(|entry| entry.collided.len()).sum();
        assert_eq!(collided, 2 - arrived);
    }
}

#[test]
fn a_receiver_that_is_locked_on_to_a_weak_packet_does_not_hear_a_strong_one() {
    let mut lab = Lab::new(1);
    let radios =
        [A, B, C].map(|num| lab.add(RadioConfig { role: Role::ClientMute, ..quiet(num, "LONG_FAST") }));
    let [a, b, c] = radios.map(|radio| lab.connect(radio));
    lab.air.set_hearing(radios[0], radios[1], None);
    lab.air.set_hearing(radios[1], radios[0], None);
    lab.air.set_hearing(radios[0], radios[2], Some(Hearing { snr: -10.0, loss: 0.0 }));
    lab.air.set_hearing(radios[1], radios[2], Some(Hearing { snr: 10.0, loss: 0.0 }));
    lab.datagram(a, C, 200);
    lab.run_ms(900);
    lab.datagram(b, C, 100);
    lab.run_secs(5);
    assert!(content(&lab.take(c)).is_empty(), "both are lost");
}

#[test]
fn a_radio_that_sends_hears_nothing() {
    let mut lab = Lab::new(1);
    let radios = [A, B].map(|num| lab.add(quiet(num, "LONG_FAST")));
    let [a, b] = radios.map(|radio| lab.connect(radio));
    // B does not hear A, so it does not wait for it; A would hear B.
    lab.air.set_hearing(radios[0], radios[1], None);
    lab.datagram(a, B, 200);
    lab.run_ms(600);
    lab.datagram(b, A, 50);
    lab.run_secs(5);
    assert!(content(&lab.take(a)).is_empty());
    assert!(lab.ledger.iter().any(|entry| entry.deaf.iter().any(|num| num.0 == A)));
}

#[test]
fn those_who_hear_each_other_wait_for_each_other() {
    let mut lab = Lab::new(1);
    let radios =
        [A, B, C].map(|num| lab.add(RadioConfig { role: Role::ClientMute, ..quiet(num, "LONG_FAST") }));
    let [a, b, c] = radios.map(|radio| lab.connect(radio));
    let mut arrived = 0;
    for _ in 0..40 {
        lab.datagram(a, C, 100);
        lab.run_ms(400);
        lab.datagram(b, C, 100);
        lab.run_secs(20);
        lab.heartbeat(c, 0);
        arrived += content(&lab.take(c)).len();
    }
    let overlaps =
        lab.ledger.windows(2).filter(|pair| pair[1].time < pair[0].time + pair[0].airtime_ms / 1000.0);
    assert!(overlaps.count() <= 4, "only where both drew the same slot");
    assert!(arrived >= 74, "{arrived} of 80");
}

/// Sends many packets over an air with faults; returns which arrived, in order, as indices.
fn through(faults: Faults, count: usize, seed: u64) -> (Vec<usize>, Vec<Vec<u8>>) {
    let mut lab = Lab::with(AirConfig { faults, ledger: true, ..AirConfig::default() }, seed);
    let (a, b) = (lab.add(quiet(A, "SHORT_TURBO")), lab.add(quiet(B, "SHORT_TURBO")));
    let (a, b) = (lab.connect(a), lab.connect(b));
    let mut order = Vec::new();
    let mut payloads = Vec::new();
    for index in 0..count {
        let id = 1000 + u32::try_from(index).unwrap();
        lab.packet(a, MeshPacket { id, ..packet(B, 33, 40) });
        lab.run_ms(1000);
        lab.heartbeat(b, 0);
        for packet in content(&lab.take(b)) {
            order.push(usize::try_from(packet.id - 1000).unwrap());
            payloads.push(data(&packet).payload.clone());
        }
    }
    (order, payloads)
}

#[test]
fn independent_losses_have_their_share() {
    let (order, _) = through(Faults { loss: 0.2, ..Faults::default() }, 1000, 3);
    assert!((770..=830).contains(&order.len()), "{}", order.len());
}

#[test]
fn losses_in_bursts_have_their_share_and_their_length() {
    let burst = Burst { good: Duration::from_secs(30), bad: Duration::from_secs(10), loss: 1.0 };
    let (order, _) = through(Faults { burst: Some(burst), ..Faults::default() }, 4000, 3);
    assert!((2700..=3300).contains(&order.len()), "a quarter of the time is bad: {}", order.len());
    let gaps: Vec<_> = order.windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|gap| *gap > 0).collect();
    let mean = gaps.iter().sum::<usize>() / gaps.len();
    assert!((7..=14).contains(&mean), "a packet a second, ten seconds of silence: {mean}");
}

#[test]
fn packets_are_duplicated_reordered_and_corrupted_on_demand() {
    let clean = through(Faults::default(), 100, 3);
    assert_eq!(clean.0, (0..100).collect::<Vec<_>>());
    let (twice, _) = through(Faults { duplicate: 1.0, ..Faults::default() }, 100, 3);
    assert_eq!(twice.len(), 200);
    let late = Faults { reorder: 0.3, reorder_delay: Duration::from_secs(5), ..Faults::default() };
    let (order, _) = through(late, 100, 3);
    assert!(!order.is_sorted() && order.len() >= 95);
    let (order, payloads) = through(Faults { corrupt: 0.5, ..Faults::default() }, 100, 3);
    let wrong = payloads.iter().filter(|payload| payload.iter().any(|byte| *byte != 0)).count();
    assert!(order.len() == 100 && (30..=70).contains(&wrong), "{wrong}");
}

/// Runs some traffic of everyone to everyone; returns the account as text.
fn trace(seed: u64, step: Option<u64>) -> String {
    let faults = Faults { loss: 0.1, duplicate: 0.1, ..Faults::default() };
    let mut lab = Lab::with(AirConfig { faults, ledger: true, ..AirConfig::default() }, seed);
    let radios = [A, B, C].map(|num| lab.add(RadioConfig::new(num)));
    let hosts = radios.map(|radio| lab.connect(radio));
    for round in 0..20_u32 {
        let from = hosts[usize::try_from(round % 3).unwrap()];
        let to = [B, C, A][usize::try_from(round % 3).unwrap()];
        lab.packet(from, MeshPacket { want_ack: round % 2 == 0, ..packet(to, 256, 60) });
        match step {
            None => lab.run_ms(5000),
            Some(ms) => {
                for _ in 0..5000 / ms {
                    lab.run_ms(ms);
                }
            }
        }
    }
    serde_json::to_string(&lab.ledger).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_trace_whatever_the_steps() {
    let once = trace(5, None);
    assert_eq!(once, trace(5, None));
    assert_eq!(once, trace(5, Some(100)));
    assert_eq!(once, trace(5, Some(2500)));
    assert_ne!(once, trace(6, None));
}

#[test]
fn totals_add_up_to_the_ledger() {
    let (mut lab, a, b) = Lab::pair("SHORT_FAST", 1);
    for _ in 0..10 {
        lab.packet(a, MeshPacket { want_ack: true, ..packet(B, 256, 60) });
        lab.run_secs(10);
    }
    assert_eq!(statuses(&lab.take(a)).len(), 10);
    assert_eq!(content(&lab.take(b)).len(), 10);
    let (ra, rb) = (lab.air.radio(A).unwrap(), lab.air.radio(B).unwrap());
    let sum = |num: u32| -> (u64, f64) {
        let own = lab.ledger.iter().filter(|entry| entry.sender.0 == num);
        own.fold((0, 0.0), |(bytes, ms), entry| (bytes + entry.bytes as u64, ms + entry.airtime_ms))
    };
    for (radio, num) in [(ra, A), (rb, B)] {
        let totals = lab.air.totals(radio);
        let (bytes, ms) = sum(num);
        assert_eq!(totals.bytes, bytes);
        assert!((totals.airtime.as_secs_f64() * 1000.0 - ms).abs() < 0.01);
        assert_eq!(totals.received, 10);
    }
}

#[test]
fn an_idle_air_has_little_to_do() {
    let mut lab = Lab::new(1);
    for num in 1..=5 {
        let radio = lab.add(RadioConfig { telemetry: None, ..RadioConfig::new(num) });
        lab.connect(radio);
    }
    let mut wakes = 0;
    let end = lab.now + Duration::from_secs(24 * 3600);
    while let Some(at) = lab.air.poll_timeout().filter(|at| *at < end) {
        lab.air.handle_timeout(at);
        wakes += 1;
    }
    assert!(wakes < 5000, "a simulated day took {wakes} wakes: polls that find nothing are not made");
}
