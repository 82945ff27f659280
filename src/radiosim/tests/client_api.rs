//! The client API on its port: framing, greeting, polls, and what is told.

use std::time::Duration;

use meshnet_proto::meshtastic::message::from_radio::Variant;
use meshnet_proto::meshtastic::message::{Telemetry, config, port, telemetry, to_radio};
use meshnet_proto::meshtastic::stream::{FILLER, START1, START2};
use meshnet_radiosim::{RadioConfig, Transport};
use prost::Message as _;

mod lab;
use lab::{A, B, Lab, content, data, packet, quiet, statuses};

/// One letter per message of a greeting.
fn letters(messages: &[meshnet_proto::meshtastic::message::FromRadio]) -> String {
    let letter = |variant: &Option<Variant>| match variant {
        Some(Variant::MyInfo(_)) => 'i',
        Some(Variant::DeviceUiConfig(_)) => 'u',
        Some(Variant::NodeInfo(_)) => 'n',
        Some(Variant::Metadata(_)) => 'm',
        None => '?',
        Some(Variant::Channel(_)) => 'c',
        Some(Variant::Config(_)) => 's',
        Some(Variant::ModuleConfig(_)) => 'o',
        Some(Variant::ConfigCompleteId(_)) => '.',
        other => panic!("{other:?}"),
    };
    messages.iter().map(|message| letter(&message.variant)).collect()
}

#[test]
fn the_greeting_comes_in_the_fixed_order_and_ends_with_the_nonce() {
    let mut lab = Lab::new(1);
    let radio = lab.add(quiet(A, "LONG_FAST"));
    lab.add(quiet(B, "LONG_FAST"));
    let client = lab.open(radio, Transport::Tcp);
    lab.want_config(client, 0xdead_beef);
    lab.run_secs(1);
    let greeting = lab.take(client);
    // The question mark is a variant that older hosts do not know, and must skip.
    assert_eq!(letters(&greeting), "iunm?ccccccccsssssssssoooooooooooooooon.");
    assert_eq!(greeting.last().unwrap().variant, Some(Variant::ConfigCompleteId(0xdead_beef)));
    let Some(Variant::MyInfo(info)) = &greeting[0].variant else { panic!() };
    assert_eq!(info.my_node_num, A);
    let lora = greeting.iter().find_map(|message| match &message.variant {
        Some(Variant::Config(config)) => match &config.variant {
            Some(config::Variant::Lora(lora)) => Some(*lora),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(lora.map(|lora| (lora.use_preset, lora.modem_preset, lora.hop_limit)), Some((true, 0, 3)));
    let ids: Vec<_> = greeting.iter().map(|message| message.id).collect();
    assert!(ids.is_sorted() && ids[0] > 0, "messages are numbered");
}

#[test]
fn two_nonces_ask_for_a_part() {
    let mut lab = Lab::new(1);
    let radio = lab.add(quiet(A, "LONG_FAST"));
    lab.add(quiet(B, "LONG_FAST"));
    let client = lab.connect(radio);
    lab.want_config(client, 69420);
    lab.run_secs(1);
    assert_eq!(letters(&lab.take(client)), "iunm?ccccccccsssssssssoooooooooooooooo.");
    lab.want_config(client, 69421);
    lab.run_secs(1);
    assert_eq!(letters(&lab.take(client)), "nn.");
}

#[test]
fn before_the_first_want_config_the_radio_says_nothing() {
    let mut lab = Lab::new(1);
    let radio = lab.add(quiet(A, "LONG_FAST"));
    lab.add(quiet(B, "LONG_FAST"));
    let client = lab.open(radio, Transport::Tcp);
    lab.run_ms(200);
    lab.heartbeat(client, 0);
    lab.datagram(client, B, 10);
    lab.run_secs(5);
    assert!(lab.take(client).is_empty());
    assert_eq!(lab.ledger.len(), 1, "but it sends what it is told to");
}

#[test]
fn garbage_wake_bytes_and_impossible_lengths_do_not_hide_a_frame() {
    let mut lab = Lab::new(1);
    let radio = lab.add(quiet(A, "LONG_FAST"));
    let client = lab.open(radio, Transport::Tcp);
    lab.bytes(client, &[FILLER; 32]);
    lab.bytes(client, &[START1, START2, 0xff, 0xff, START1, 0x00, START1, START2, 0x02, 0x01]);
    lab.want_config(client, 3);
    lab.run_secs(1);
    assert_eq!(lab.take(client).last().unwrap().variant, Some(Variant::ConfigCompleteId(3)));
}

#[test]
fn a_frame_that_holds_a_frame_start_is_one_frame() {
    let (mut lab, a, b) = Lab::pair("SHORT_FAST", 1);
    let mut tricky = packet(B, port::IP_TUNNEL, 0);
    if let Some(meshnet_proto::meshtastic::message::mesh_packet::Payload::Decoded(data)) = &mut tricky.payload
    {
        data.payload = [START1, START2, 0, 4].repeat(20);
    }
    lab.packet(a, tricky);
    lab.run_secs(2);
    let got = content(&lab.take(b));
    assert_eq!(data(&got[0]).payload, [START1, START2, 0, 4].repeat(20));
}

#[test]
fn a_heartbeat_is_answered_by_a_queue_status() {
    let mut lab = Lab::new(1);
    let radio = lab.add(quiet(A, "LONG_FAST"));
    let client = lab.connect(radio);
    lab.heartbeat(client, 0);
    lab.run_secs(1);
    let status = statuses(&lab.take(client));
    assert_eq!(status.len(), 1);
    assert_eq!((status[0].res, status[0].free, status[0].maxlen, status[0].mesh_packet_id), (0, 16, 16, 0));
}

/// Heartbeats at odd times; returns the median and the longest time to the answer, in milliseconds.
fn heartbeat_latency(poke: bool) -> (u128, u128) {
    let mut lab = Lab::new(1);
    let radio = lab.add(quiet(A, "LONG_FAST"));
    let client = lab.connect(radio);
    let mut waits = Vec::new();
    for round in 0..100_u64 {
        for _ in 0..4 {
            if poke {
                lab.bytes(client, &[FILLER]);
            }
            lab.run_ms(977 + round);
        }
        let sent = lab.time();
        lab.heartbeat(client, 0);
        lab.run_secs(1);
        waits.push((lab.take_timed(client)[0].0 - sent).as_millis());
    }
    waits.sort_unstable();
    (waits[50], waits[99])
}

#[test]
fn an_idle_port_is_polled_every_250_ms_in_both_directions() {
    let (median, longest) = heartbeat_latency(false);
    assert!((100..=150).contains(&median), "measured: 128, here {median}");
    assert!((230..=253).contains(&longest), "measured: 253, here {longest}");
}

#[test]
fn a_byte_a_second_that_is_no_frame_keeps_the_port_polled_every_5_ms() {
    let (median, longest) = heartbeat_latency(true);
    assert!(median <= 5, "measured: 3.9, here {median}");
    assert!(longest <= 10, "measured: 10, here {longest}");
}

#[test]
fn a_packet_from_the_air_waits_for_the_receivers_poll() {
    let (mut lab, a, b) = Lab::pair("SHORT_TURBO", 1);
    let mut waits = Vec::new();
    for round in 0..200 {
        lab.run_ms(5000 + 61 * round);
        lab.heartbeat(b, 0);
        lab.heartbeat(a, 0);
        lab.run_secs(5);
        lab.take(b);
        lab.datagram(a, B, 10);
        lab.run_secs(2);
        let entry = lab.ledger.last().unwrap();
        let ended = Duration::from_secs_f64(entry.time + entry.airtime_ms / 1000.0);
        waits.push(lab.take_timed(b)[0].0.saturating_sub(ended).as_millis());
    }
    waits.sort_unstable();
    assert!((80..=170).contains(&waits[100]), "{waits:?}");
}

#[test]
fn a_serial_host_gets_a_packet_at_once() {
    let mut lab = Lab::new(1);
    let (a, b) = (lab.add(quiet(A, "SHORT_FAST")), lab.add(quiet(B, "SHORT_FAST")));
    let (a, b) = (lab.connect(a), lab.connect_by(b, Transport::Serial));
    lab.run_secs(10);
    lab.datagram(a, B, 10);
    lab.run_secs(2);
    let entry = lab.ledger.last().unwrap();
    let ended = Duration::from_secs_f64(entry.time + entry.airtime_ms / 1000.0);
    let wait = lab.take_timed(b)[0].0.saturating_sub(ended);
    assert!(wait < Duration::from_millis(1), "{wait:?}");
}

#[test]
fn only_the_last_two_queue_statuses_are_kept_for_the_host() {
    let (mut lab, a, b) = Lab::pair("SHORT_TURBO", 1);
    let ids: Vec<_> = (0..8).map(|_| lab.datagram(a, B, 10)).collect();
    lab.run_secs(10);
    let told: Vec<_> = statuses(&lab.take(a)).iter().map(|status| status.mesh_packet_id).collect();
    assert_eq!(told, ids[6..], "all came in one poll");
    assert_eq!(content(&lab.take(b)).len(), 8, "yet all were sent");
}

#[test]
fn a_host_that_does_not_read_loses_the_newest_packets_but_no_text() {
    let mut lab = Lab::new(1);
    let (a, b) = (quiet(A, "SHORT_TURBO"), RadioConfig { to_phone: 8, ..quiet(B, "SHORT_TURBO") });
    let (a, b) = (lab.add(a), lab.add(b));
    let a = lab.connect(a);
    for len in 1..=12 {
        lab.datagram(a, B, len);
        lab.run_secs(3);
    }
    lab.packet(a, packet(B, port::TEXT_MESSAGE, 50));
    lab.run_secs(3);
    assert_eq!(lab.air.dropped_for_host(b), 5);
    let client = lab.open(b, Transport::Tcp);
    lab.want_config(client, 1);
    lab.run_secs(1);
    let lens: Vec<_> = content(&lab.take(client)).iter().map(|packet| data(packet).payload.len()).collect();
    assert_eq!(lens, [2, 3, 4, 5, 6, 7, 8, 50], "they waited while nobody was connected");
}

#[test]
fn a_radio_tells_its_own_host_how_it_fares_and_wakes_it_for_nothing_else() {
    let mut lab = Lab::new(1);
    let radio = lab.add(RadioConfig { node_info: false, ..RadioConfig::new(A) });
    let client = lab.connect(radio);
    for _ in 0..10 {
        lab.heartbeat(client, 0);
        lab.run_secs(5 * 60);
    }
    let messages = lab.take(client);
    let told = content(&messages);
    assert_eq!((told.len(), statuses(&messages).len()), (50, 10));
    assert_eq!(messages.len(), 60);
    let telemetry = Telemetry::decode(data(&told[0]).payload.as_slice()).unwrap();
    let Some(telemetry::Variant::DeviceMetrics(metrics)) = telemetry.variant else { panic!() };
    assert_eq!((told[0].from, metrics.air_util_tx), (A, Some(0.0)));
    assert!(lab.ledger.is_empty(), "nothing of that is on the air");
}

#[test]
fn packets_that_arrive_during_the_greeting_come_after_it() {
    let mut lab = Lab::new(1);
    let (a, b) = (lab.add(quiet(A, "SHORT_FAST")), lab.add(quiet(B, "SHORT_FAST")));
    let (a, b) = (lab.connect(a), lab.open(b, Transport::Tcp));
    lab.datagram(a, B, 10);
    lab.run_secs(2);
    lab.want_config(b, 5);
    lab.run_secs(1);
    let messages = lab.take(b);
    assert_eq!(content(&messages).len(), 1);
    assert!(matches!(messages.last().unwrap().variant, Some(Variant::Packet(_))));
}

#[test]
fn there_is_no_notice_that_a_packet_was_sent() {
    let (mut lab, a, _) = Lab::pair("LONG_FAST", 1);
    lab.datagram(a, B, 10);
    lab.run_secs(60);
    let messages = lab.take(a);
    assert_eq!((messages.len(), statuses(&messages).len()), (1, 1), "it was queued, and that is all");
}

#[test]
fn a_packet_without_a_number_is_given_one() {
    let (mut lab, a, b) = Lab::pair("SHORT_FAST", 1);
    for _ in 0..2 {
        lab.say(a, to_radio::Variant::Packet(packet(B, port::IP_TUNNEL, 10)));
        lab.run_secs(3);
    }
    let told: Vec<_> = statuses(&lab.take(a)).iter().map(|status| status.mesh_packet_id).collect();
    let got: Vec<_> = content(&lab.take(b)).iter().map(|packet| packet.id).collect();
    assert!(told == got && got.len() == 2 && got[0] != got[1] && !got.contains(&0));
}

#[test]
fn of_24_packets_at_once_the_queue_takes_16_and_the_host_learns_of_two() {
    let (mut lab, a, b) = Lab::pair("SHORT_TURBO", 1);
    for _ in 0..24 {
        lab.datagram(a, B, 50);
    }
    lab.run_secs(1);
    let told = statuses(&lab.take(a));
    assert_eq!(told.iter().filter(|status| status.mesh_packet_id != 0).count(), 2);
    lab.run_secs(30);
    assert_eq!(content(&lab.take(b)).len(), 16);
}
