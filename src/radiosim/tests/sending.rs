//! The way of a packet: queue, acknowledgement, retransmission, relays, next hops.

use std::time::Duration;

use meshnet_proto::meshtastic::message::{MeshPacket, routing_error as error};
use meshnet_radiosim::{ClientId, Hearing, Kind, RadioConfig, Role};

mod lab;
use lab::{A, B, C, Lab, content, packet, quiet, statuses, verdicts};

const D: u32 = 0xa000_0004;

/// Radios in a row, each hearing only its neighbours; every one has a host.
fn chain(preset: &str, nums: &[u32], seed: u64) -> (Lab, Vec<ClientId>) {
    let mut lab = Lab::new(seed);
    let radios: Vec<_> = nums.iter().map(|num| lab.add(quiet(*num, preset))).collect();
    for (i, from) in radios.iter().enumerate() {
        for (j, to) in radios.iter().enumerate() {
            let hearing = (i.abs_diff(j) == 1).then(Hearing::default);
            lab.air.set_hearing(*from, *to, hearing);
        }
    }
    let hosts = radios.iter().map(|radio| lab.connect(*radio)).collect();
    (lab, hosts)
}

fn kinds(lab: &Lab) -> Vec<(u32, Kind)> {
    lab.ledger.iter().map(|entry| (entry.sender.0, entry.kind)).collect()
}

fn reliable(to: u32) -> MeshPacket {
    MeshPacket { want_ack: true, ..packet(to, 256, 50) }
}

#[test]
fn the_queue_holds_16_and_says_when_it_has_room_again() {
    let (mut lab, a, _) = Lab::pair("LONG_FAST", 1);
    for _ in 0..10 {
        lab.datagram(a, B, 200);
        lab.run_ms(10);
    }
    for _ in 0..10 {
        lab.datagram(a, B, 200);
        lab.run_ms(10);
    }
    lab.run_ms(300);
    let told = statuses(&lab.take(a));
    let full: Vec<_> = told.iter().filter(|status| status.res == 32).collect();
    assert!(!full.is_empty() && full.iter().all(|status| status.free == 0 && status.maxlen == 16));
    lab.run_secs(5);
    let news = statuses(&lab.take(a));
    assert_eq!((news[0].mesh_packet_id, news[0].res, news[0].free), (0, 0, 1), "unasked");
    assert_eq!(news.len(), 1, "and only once");
}

#[test]
fn a_full_queue_gives_up_its_last_packet_to_a_more_urgent_one_without_a_word() {
    let (mut lab, a, b) = Lab::pair("LONG_FAST", 1);
    let ids: Vec<_> = (0..17).map(|_| lab.datagram(a, B, 200)).collect();
    lab.run_secs(1);
    lab.take(a);
    let urgent = lab.packet(a, MeshPacket { priority: 70, ..packet(B, 33, 10) });
    lab.run_secs(120);
    let told = lab.take(a);
    assert_eq!(statuses(&told)[0].res, 0);
    assert!(verdicts(&told).is_empty());
    let arrived: Vec<_> = content(&lab.take(b)).iter().map(|packet| packet.id).collect();
    assert_eq!(arrived[..2], [ids[0], urgent], "it overtakes all that wait");
    assert!(!arrived.contains(&ids[16]) || !arrived.contains(&ids[15]));
}

#[test]
fn without_hops_and_acknowledgement_a_packet_is_sent_exactly_once() {
    let (mut lab, hosts) = chain("SHORT_FAST", &[A, B, C], 1);
    lab.datagram(hosts[0], B, 50);
    lab.run_secs(120);
    assert_eq!(kinds(&lab), [(A, Kind::Data)]);
    assert_eq!(content(&lab.take(hosts[1])).len(), 1);
}

#[test]
fn an_acknowledged_packet_costs_a_29_byte_answer() {
    let (mut lab, a, b) = Lab::pair("LONG_FAST", 1);
    let id = lab.packet(a, reliable(B));
    lab.run_secs(60);
    assert_eq!(kinds(&lab), [(A, Kind::Data), (B, Kind::Ack)]);
    assert_eq!(lab.ledger[1].bytes, 29);
    assert!((lab.ledger[1].airtime_ms - 477.0).abs() < 1.0);
    assert_eq!(verdicts(&lab.take(a)), [(id, error::NONE, B)]);
    let got = content(&lab.take(b));
    assert_eq!((got.len(), got[0].hop_limit, got[0].want_ack), (1, 3, true), "0 hops became the default");
}

#[test]
fn an_unanswered_packet_is_sent_three_times_and_then_given_up() {
    let (mut lab, a, _) = Lab::pair("LONG_FAST", 1);
    lab.air.faults_mut().loss = 1.0;
    let id = lab.packet(a, reliable(B));
    lab.run_secs(120);
    let sent: Vec<_> = kinds(&lab).iter().map(|(_, kind)| *kind).collect();
    assert_eq!(sent, [Kind::Data, Kind::Retransmit, Kind::Retransmit]);
    assert_eq!(verdicts(&lab.take(a)), [(id, error::MAX_RETRANSMIT, A)]);
}

#[test]
fn retransmissions_wait_for_two_airtimes_56_slots_and_4500_ms() {
    let (mut lab, a, _) = Lab::pair("LONG_FAST", 1);
    lab.air.faults_mut().loss = 1.0;
    lab.packet(a, reliable(B));
    lab.run_secs(120);
    let gap = lab.ledger[1].time - lab.ledger[0].time;
    // From queueing to queueing; each then waits 0 to 7 slots of 28 ms.
    let expected = (2.0 * lab.ledger[0].airtime_ms + (8.0 + 16.0 + 32.0) * 28.0 + 4500.0) / 1000.0;
    assert!((gap - expected).abs() <= 7.0 * 0.028, "gap {gap}, expected {expected}");
}

#[test]
fn a_lost_answer_is_given_again_when_the_packet_is_repeated() {
    let (mut lab, a, b) = Lab::pair("SHORT_FAST", 1);
    let (ra, rb) = (lab.air.radio(A).unwrap(), lab.air.radio(B).unwrap());
    lab.air.set_hearing(rb, ra, Some(Hearing { snr: 6.0, loss: 1.0 }));
    let id = lab.packet(a, reliable(B));
    lab.run_secs(3);
    lab.air.set_hearing(rb, ra, Some(Hearing::default()));
    lab.run_secs(30);
    assert_eq!(content(&lab.take(b)).len(), 1, "taken once");
    assert_eq!(verdicts(&lab.take(a)), [(id, error::NONE, B)]);
    assert_eq!(lab.ledger.iter().filter(|entry| entry.kind == Kind::Ack).count(), 2);
}

#[test]
fn a_neighbours_relay_is_an_implicit_acknowledgement_from_ourselves() {
    let (mut lab, hosts) = chain("SHORT_FAST", &[A, B, C], 1);
    let id = lab.packet(hosts[0], reliable(C));
    lab.run_secs(60);
    let told = verdicts(&lab.take(hosts[0]));
    assert_eq!(told, [(id, error::NONE, A), (id, error::NONE, C)], "first implicit, then from the receiver");
    assert_eq!(content(&lab.take(hosts[2])).len(), 1);
    assert!(content(&lab.take(hosts[1])).is_empty());
}

#[test]
fn a_packet_goes_as_far_as_its_hop_limit() {
    for (hop_limit, arrives) in [(0, false), (1, false), (2, true), (3, true)] {
        let (mut lab, hosts) = chain("SHORT_FAST", &[A, B, C, D], 1);
        lab.packet(hosts[0], MeshPacket { hop_limit, ..packet(D, 256, 50) });
        lab.run_secs(60);
        assert_eq!(content(&lab.take(hosts[3])).len(), usize::from(arrives), "{hop_limit} hops");
        let data = lab.ledger.iter().filter(|entry| entry.from.0 == A).count();
        assert_eq!(data, 1 + usize::try_from(hop_limit).unwrap().min(2));
    }
}

#[test]
fn the_receiver_of_a_unicast_does_not_relay_it() {
    let (mut lab, a, _) = Lab::pair("SHORT_FAST", 1);
    lab.packet(a, MeshPacket { hop_limit: 3, ..packet(B, 256, 50) });
    lab.run_secs(10);
    assert_eq!(kinds(&lab), [(A, Kind::Data)]);
}

#[test]
fn of_several_neighbours_one_relays_and_mutes_never_do() {
    let mut lab = Lab::new(5);
    let a = lab.add(quiet(A, "SHORT_FAST"));
    let b = lab.add(quiet(B, "SHORT_FAST"));
    lab.add(quiet(C, "SHORT_FAST"));
    lab.add(RadioConfig { role: Role::ClientMute, ..quiet(D, "SHORT_FAST") });
    // The one that hears it worse has the smaller window, and is first.
    lab.air.set_hearing(a, b, Some(Hearing { snr: -19.0, loss: 0.0 }));
    let a = lab.connect(a);
    lab.packet(a, MeshPacket { hop_limit: 3, ..packet(u32::MAX, 256, 50) });
    lab.run_secs(10);
    let relays: Vec<_> = kinds(&lab)[1..].to_vec();
    assert_eq!(relays.len(), 1, "{relays:?}");
    assert!(relays[0] == (B, Kind::Relay) || relays[0] == (C, Kind::Relay));
}

#[test]
fn a_relay_waits_16_slots_longer_and_a_router_does_not() {
    let gap = |role: Role, seed: u64| {
        let mut lab = Lab::new(seed);
        let a = lab.add(quiet(A, "LONG_FAST"));
        lab.add(RadioConfig { role, ..quiet(B, "LONG_FAST") });
        let a = lab.connect(a);
        lab.packet(a, MeshPacket { hop_limit: 1, ..packet(u32::MAX, 256, 50) });
        lab.run_secs(20);
        lab.ledger[1].time - lab.ledger[0].time - lab.ledger[0].airtime_ms / 1000.0
    };
    for seed in 0..20 {
        let client = gap(Role::Client, seed);
        // 6 dB: a window of 2^(3 + 5 x 26/30) = 2^7 slots.
        assert!((0.4475..0.4485 + 127.0 * 0.028).contains(&client), "{client}");
        assert!(gap(Role::Router, seed) <= 13.0 * 0.028 + 0.001);
    }
}

#[test]
fn a_next_hop_learned_from_an_answer_relieves_the_others_of_relaying() {
    let (mut lab, hosts) = chain("SHORT_FAST", &[A, B, C], 1);
    let bystander = lab.add(quiet(D, "SHORT_FAST"));
    for num in [A, B, C] {
        let other = lab.air.radio(num).unwrap();
        lab.air.set_hearing(bystander, other, None);
        lab.air.set_hearing(other, bystander, (num == A).then(Hearing::default));
    }
    lab.packet(hosts[0], reliable(C));
    lab.run_secs(60);
    let relayed_by = |lab: &Lab| {
        let relays = lab.ledger.iter().filter(|entry| entry.from.0 == A && entry.sender.0 != A);
        relays.map(|entry| entry.sender.0).collect::<Vec<_>>()
    };
    assert!(relayed_by(&lab).contains(&D), "the first one floods");
    lab.ledger.clear();
    lab.packet(hosts[0], reliable(C));
    lab.run_secs(60);
    assert_eq!(relayed_by(&lab), [B], "the second goes by B alone");
    assert_eq!(content(&lab.take(hosts[2])).len(), 2);
}

#[test]
fn with_a_learned_next_hop_and_hops_to_go_even_an_unacknowledged_packet_is_repeated_once() {
    let (mut lab, a, _) = Lab::pair("SHORT_FAST", 1);
    lab.packet(a, reliable(B));
    lab.run_secs(30);
    lab.air.faults_mut().loss = 1.0;
    lab.ledger.clear();
    lab.packet(a, MeshPacket { hop_limit: 3, ..packet(B, 256, 50) });
    lab.run_secs(60);
    assert_eq!(kinds(&lab), [(A, Kind::Data), (A, Kind::Retransmit)]);
    lab.ledger.clear();
    lab.datagram(a, B, 50);
    lab.run_secs(60);
    assert_eq!(kinds(&lab), [(A, Kind::Data)], "a hop limit of 0 avoids it");
}

#[test]
fn the_last_retry_floods_when_the_next_hop_has_gone() {
    let (mut lab, hosts) = chain("SHORT_FAST", &[A, B, C], 1);
    let d = lab.add(quiet(D, "SHORT_FAST"));
    let (a, b, c) = (lab.air.radio(A).unwrap(), lab.air.radio(B).unwrap(), lab.air.radio(C).unwrap());
    for other in [a, b, c] {
        lab.air.set_hearing(other, d, None);
        lab.air.set_hearing(d, other, None);
    }
    lab.packet(hosts[0], reliable(C));
    lab.run_secs(60);
    // B falls silent; D takes its place between A and C.
    for other in [a, c] {
        for (from, to, hearing) in [
            (b, other, None),
            (other, b, None),
            (d, other, Some(Hearing::default())),
            (other, d, Some(Hearing::default())),
        ] {
            lab.air.set_hearing(from, to, hearing);
        }
    }
    lab.take(hosts[0]);
    let id = lab.packet(hosts[0], reliable(C));
    lab.run_secs(90);
    assert!(verdicts(&lab.take(hosts[0])).contains(&(id, error::NONE, C)));
    assert_eq!(content(&lab.take(hosts[2])).len(), 2);
}

#[test]
fn a_busy_channel_puts_retransmissions_off() {
    let gap = |traffic: bool| {
        let mut lab = Lab::new(1);
        let radios =
            [A, B, C].map(|num| lab.add(RadioConfig { role: Role::ClientMute, ..quiet(num, "LONG_FAST") }));
        let [a, b, _] = radios.map(|radio| lab.connect(radio));
        lab.air.set_hearing(radios[0], radios[1], None);
        lab.packet(a, reliable(B));
        lab.run_ms(2000);
        if traffic {
            lab.datagram(b, C, 200);
        }
        lab.run(Duration::from_secs(120));
        let sent: Vec<_> = lab.ledger.iter().filter(|entry| entry.sender.0 == A).collect();
        sent[1].time - sent[0].time
    };
    assert!(gap(true) > gap(false) + 1.5, "by the airtime of what was heard");
}

#[test]
fn a_chosen_next_hop_that_is_the_receiver_acknowledges_unasked() {
    let frames = |learns_next_hop: bool| {
        let mut lab = Lab::new(1);
        let radios = [A, B].map(|num| lab.add(RadioConfig { learns_next_hop, ..quiet(num, "SHORT_FAST") }));
        let [a, b] = radios.map(|radio| lab.connect(radio));
        lab.packet(a, reliable(B));
        lab.run_secs(30);
        lab.ledger.clear();
        lab.packet(a, MeshPacket { hop_limit: 3, ..packet(B, 256, 50) });
        lab.run_secs(60);
        assert_eq!(content(&lab.take(b)).len(), 2);
        kinds(&lab)
    };
    assert_eq!(frames(true), [(A, Kind::Data), (B, Kind::Ack)]);
    assert_eq!(frames(false), [(A, Kind::Data)]);
}
