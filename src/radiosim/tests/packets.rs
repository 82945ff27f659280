//! What a radio accepts, refuses and encrypts: payload limits, channels, rate limits, the duty cycle.

use meshnet_proto::meshtastic::airtime::Region;
use meshnet_proto::meshtastic::message::mesh_packet::Payload;
use meshnet_proto::meshtastic::message::{Data, FromRadio, MeshPacket, port};
use meshnet_radiosim::{ChannelConfig, ClientId, RadioConfig};

mod lab;
use lab::{A, B, C, Lab, content, data, notifications, packet, quiet, statuses, verdicts};

const TOO_LARGE: i32 = 7;
const DUTY_CYCLE_LIMIT: i32 = 9;
const BROADCAST: u32 = u32::MAX;

/// Sends one packet; returns what its host was told, and the bytes on the air.
fn send(lab: &mut Lab, from: ClientId, packet: MeshPacket) -> (Vec<FromRadio>, Option<usize>) {
    lab.ledger.clear();
    lab.packet(from, packet);
    lab.run_secs(10);
    (lab.take(from), lab.ledger.first().map(|entry| entry.bytes))
}

fn on_air(lab: &mut Lab, from: ClientId, packet: MeshPacket) -> Option<usize> {
    send(lab, from, packet).1
}

fn with_channel(num: u32, name: &str) -> RadioConfig {
    let second = ChannelConfig { name: name.into(), psk: vec![7; 32] };
    RadioConfig { channels: vec![ChannelConfig::default(), second], ..quiet(num, "SHORT_FAST") }
}

#[test]
fn a_unicast_is_encrypted_for_its_receiver_and_carries_220_bytes_on_port_33_and_219_on_256() {
    let (mut lab, a, b) = Lab::pair("SHORT_FAST", 1);
    assert_eq!(on_air(&mut lab, a, packet(B, 33, 60)), Some(94));
    assert_eq!(on_air(&mut lab, a, packet(B, 256, 123)), Some(158));
    assert_eq!(on_air(&mut lab, a, packet(B, 33, 220)), Some(255));
    assert_eq!(on_air(&mut lab, a, packet(B, 256, 219)), Some(255));
    let got = content(&lab.take(b));
    assert_eq!(got.len(), 4);
    let key = lab.air.public_key(lab.air.radio(A).unwrap());
    assert!(got.iter().all(|packet| packet.pki_encrypted && packet.public_key == key && packet.from == A));
}

#[test]
fn a_payload_over_the_limit_is_refused_twice_and_over_234_bytes_not_even_that() {
    let (mut lab, a, _) = Lab::pair("SHORT_FAST", 1);
    for (portnum, first, last) in [(33, 221, 234), (256, 220, 234)] {
        for len in [first, last] {
            let (told, bytes) = send(&mut lab, a, packet(B, portnum, len));
            assert_eq!(bytes, None);
            assert_eq!(statuses(&told).iter().map(|status| status.res).collect::<Vec<_>>(), [TOO_LARGE]);
            assert_eq!(verdicts(&told).iter().map(|verdict| verdict.1).collect::<Vec<_>>(), [TOO_LARGE]);
        }
        for len in [235, 300] {
            let (told, bytes) = send(&mut lab, a, packet(B, portnum, len));
            assert!(told.is_empty() && bytes.is_none(), "{told:?}");
        }
    }
}

#[test]
fn without_radio_to_radio_encryption_232_and_231_bytes_fit() {
    for name in ["serial", "gpio", "Serial"] {
        let mut lab = Lab::new(1);
        let (a, b) = (lab.add(with_channel(A, name)), lab.add(with_channel(B, name)));
        let (a, b) = (lab.connect(a), lab.connect(b));
        let on = |portnum, len| MeshPacket { channel: 1, ..packet(B, portnum, len) };
        assert_eq!(on_air(&mut lab, a, on(33, 60)), Some(82));
        assert_eq!(on_air(&mut lab, a, on(33, 232)), Some(255));
        assert_eq!(on_air(&mut lab, a, on(256, 231)), Some(255));
        assert_eq!(statuses(&send(&mut lab, a, on(256, 232)).0)[0].res, TOO_LARGE);
        let got = content(&lab.take(b));
        assert_eq!(got.len(), 3);
        assert!(got.iter().all(|packet| packet.channel == 1 && !packet.pki_encrypted));
    }
}

#[test]
fn a_channel_of_another_name_does_not_switch_the_encryption_off() {
    let mut lab = Lab::new(1);
    let (a, _) = (lab.add(with_channel(A, "tunnel")), lab.add(with_channel(B, "tunnel")));
    let a = lab.connect(a);
    assert_eq!(on_air(&mut lab, a, MeshPacket { channel: 1, ..packet(B, 33, 60) }), Some(94));
}

#[test]
fn ham_mode_switches_the_encryption_off() {
    let mut lab = Lab::new(1);
    let ham = |num| RadioConfig { licensed: true, ..quiet(num, "SHORT_FAST") };
    let (a, b) = (lab.add(ham(A)), lab.add(ham(B)));
    let (a, b) = (lab.connect(a), lab.connect(b));
    assert_eq!(on_air(&mut lab, a, packet(B, 33, 60)), Some(82));
    assert_eq!(content(&lab.take(b)).len(), 1);
}

#[test]
fn four_ports_are_never_encrypted_for_a_receiver() {
    let (mut lab, a, _) = Lab::pair("SHORT_FAST", 1);
    for portnum in [port::TRACEROUTE, port::NODE_INFO, port::ROUTING, port::POSITION] {
        assert_eq!(on_air(&mut lab, a, packet(B, portnum, 60)), Some(82), "port {portnum}");
    }
}

#[test]
fn a_broadcast_is_signed_while_that_fits() {
    let (mut lab, a, _) = Lab::pair("SHORT_FAST", 1);
    assert_eq!(on_air(&mut lab, a, packet(BROADCAST, 33, 60)), Some(148));
    assert_eq!(on_air(&mut lab, a, packet(BROADCAST, 33, 166)), Some(255));
    assert_eq!(on_air(&mut lab, a, packet(BROADCAST, 33, 167)), Some(190));
    assert_eq!(on_air(&mut lab, a, packet(BROADCAST, 33, 232)), Some(255));
}

#[test]
fn a_channel_that_is_not_there_is_refused_with_6() {
    let (mut lab, a, _) = Lab::pair("SHORT_FAST", 1);
    let (told, bytes) = send(&mut lab, a, MeshPacket { channel: 3, ..packet(BROADCAST, 256, 10) });
    assert_eq!((statuses(&told)[0].res, verdicts(&told)[0].1, bytes), (6, 6, None));
}

#[test]
fn a_packet_number_used_again_is_dropped_without_a_status() {
    let (mut lab, a, b) = Lab::pair("SHORT_FAST", 1);
    for _ in 0..2 {
        lab.packet(a, MeshPacket { id: 77, ..packet(B, 33, 10) });
        lab.run_secs(3);
    }
    assert_eq!(statuses(&lab.take(a)).len(), 1);
    assert_eq!(content(&lab.take(b)).len(), 1);
}

#[test]
fn texts_are_limited_to_one_in_two_seconds_and_tunnels_are_not() {
    let (mut lab, a, b) = Lab::pair("SHORT_TURBO", 1);
    lab.packet(a, packet(B, port::TEXT_MESSAGE, 10));
    lab.run_secs(1);
    assert!(verdicts(&lab.take(a)).is_empty());
    let second = lab.packet(a, packet(B, port::TEXT_MESSAGE, 10));
    lab.run_ms(500);
    assert_eq!(verdicts(&lab.take(a)), [(second, 38, A)]);
    lab.run_secs(2);
    lab.packet(a, packet(B, port::TEXT_MESSAGE, 10));
    for portnum in [33, 256, 33, 256] {
        lab.packet(a, packet(B, portnum, 10));
    }
    lab.run_secs(3);
    assert!(verdicts(&lab.take(a)).is_empty());
    assert_eq!(content(&lab.take(b)).len(), 6);
}

#[test]
fn traceroutes_and_positions_are_limited_too() {
    let (mut lab, a, _) = Lab::pair("SHORT_TURBO", 1);
    let mut sent = |portnum: u32, gap: u64| {
        lab.ledger.clear();
        lab.packet(a, packet(B, portnum, 10));
        lab.run_secs(gap);
        lab.packet(a, packet(B, portnum, 10));
        lab.run_secs(60);
        (lab.ledger.len(), notifications(&lab.take(a)).len())
    };
    assert_eq!(sent(port::TRACEROUTE, 29), (1, 1));
    assert_eq!(sent(port::TRACEROUTE, 31), (2, 0));
    assert_eq!(sent(port::POSITION, 9), (1, 0));
    assert_eq!(sent(port::POSITION, 11), (2, 0));
}

#[test]
fn without_a_region_or_with_the_transmitter_off_every_packet_gets_34_and_no_reason() {
    let unset = RadioConfig { region: Region::UNSET, ..quiet(A, "SHORT_FAST") };
    let off = RadioConfig { tx_enabled: false, ..quiet(A, "SHORT_FAST") };
    for config in [unset, off] {
        let mut lab = Lab::new(1);
        let (a, _) = (lab.add(config), lab.add(quiet(B, "SHORT_FAST")));
        let a = lab.connect(a);
        let (told, bytes) = send(&mut lab, a, packet(B, 256, 10));
        assert_eq!((statuses(&told)[0].res, bytes), (34, None));
        assert!(verdicts(&told).is_empty() && notifications(&told).is_empty());
    }
}

#[test]
fn the_duty_cycle_is_a_cliff() {
    let mut lab = Lab::new(1);
    let eu = |num| RadioConfig { region: Region::number_of("EU_868").unwrap(), ..quiet(num, "MEDIUM_FAST") };
    let (a, b) = (lab.add(eu(A)), lab.add(eu(B)));
    let (a, _) = (lab.connect(a), lab.connect(b));
    let mut refused = None;
    while refused.is_none() && lab.time().as_secs() < 1200 {
        lab.datagram(a, B, 220);
        lab.run_ms(900);
        refused =
            statuses(&lab.take(a)).iter().any(|status| status.res == DUTY_CYCLE_LIMIT).then(|| lab.time());
    }
    let after = refused.expect("refused within 20 minutes").as_secs();
    assert!((450..650).contains(&after), "measured: 517 s; here {after}");
    let airtime = lab.air.totals(lab.air.radio(A).unwrap()).airtime.as_secs_f64();
    assert!((360.0..372.0).contains(&airtime), "measured: 368 s; here {airtime}");
    lab.run_secs(60);
    lab.take(a);
    let (told, bytes) = send(&mut lab, a, packet(B, 33, 1));
    assert_eq!((statuses(&told)[0].res, verdicts(&told)[0].1, bytes), (9, 9, None));
    let text = &notifications(&told)[0];
    let minutes: u32 = text.split(' ').rev().nth(1).unwrap().parse().unwrap();
    assert!((48..=52).contains(&minutes), "measured: 50 mins; here {text:?}");
    lab.run_secs(40 * 60);
    let a = lab.connect(lab.air.radio(A).unwrap());
    assert_eq!(statuses(&send(&mut lab, a, packet(B, 33, 1)).0)[0].res, DUTY_CYCLE_LIMIT);
    lab.run_secs(11 * 60);
    let (told, bytes) = send(&mut lab, a, packet(B, 33, 1));
    assert_eq!((statuses(&told)[0].res, bytes), (0, Some(35)), "an hour after the first minute");
}

#[test]
fn no_duty_cycle_where_the_law_knows_none_or_the_owner_overrides_it() {
    let eu = Region::number_of("EU_868").unwrap();
    let owner = RadioConfig { region: eu, override_duty_cycle: true, ..quiet(A, "MEDIUM_FAST") };
    let other = RadioConfig { region: eu, ..quiet(B, "MEDIUM_FAST") };
    let mut lab = Lab::new(1);
    let (a, _) = (lab.add(owner), lab.add(other));
    let a = lab.connect(a);
    for _ in 0..1000 {
        lab.datagram(a, B, 220);
        lab.run_ms(900);
        assert!(statuses(&lab.take(a)).iter().all(|status| status.res != DUTY_CYCLE_LIMIT));
    }
}

#[test]
fn radios_on_another_primary_channel_preset_or_region_hear_nothing() {
    let name = ChannelConfig { name: "Elsewhere".into(), psk: vec![1] };
    for other in [
        RadioConfig { channels: vec![name], ..quiet(B, "SHORT_FAST") },
        quiet(B, "SHORT_SLOW"),
        RadioConfig { region: Region::number_of("EU_868").unwrap(), ..quiet(B, "SHORT_FAST") },
    ] {
        let mut lab = Lab::new(1);
        let (a, b) = (lab.add(quiet(A, "SHORT_FAST")), lab.add(other));
        let (a, b) = (lab.connect(a), lab.connect(b));
        lab.datagram(a, B, 10);
        lab.run_secs(5);
        assert!(lab.take(b).is_empty());
        assert!(lab.ledger[0].delivered.is_empty());
    }
}

#[test]
fn a_channel_key_that_differs_makes_a_broadcast_unreadable() {
    let keyed = |num, key| {
        let channel = ChannelConfig { name: "Club".into(), psk: vec![key; 32] };
        RadioConfig { channels: vec![channel], ..quiet(num, "SHORT_FAST") }
    };
    let mut lab = Lab::new(1);
    let radios = [lab.add(keyed(A, 1)), lab.add(keyed(B, 1)), lab.add(keyed(C, 2))];
    let [a, b, c] = radios.map(|radio| lab.connect(radio));
    lab.packet(a, packet(BROADCAST, 33, 10));
    lab.run_secs(5);
    assert_eq!((content(&lab.take(b)).len(), content(&lab.take(c)).len()), (1, 0));
    assert_eq!(lab.ledger[0].delivered.len(), 2, "heard by both");
}

#[test]
fn the_sender_that_a_host_claims_is_ignored() {
    let (mut lab, a, b) = Lab::pair("SHORT_FAST", 1);
    lab.packet(a, MeshPacket { from: C, next_hop: 9, relay_node: 9, ..packet(B, 33, 10) });
    lab.run_secs(5);
    let got = &content(&lab.take(b))[0];
    assert_eq!((got.from, got.next_hop, got.relay_node), (A, 0, A & 0xff));
}

#[test]
fn what_arrives_says_how_it_came() {
    let (mut lab, a, b) = Lab::pair("SHORT_FAST", 1);
    lab.packet(a, MeshPacket { hop_limit: 3, ..packet(B, 33, 10) });
    lab.run_secs(5);
    let got = &content(&lab.take(b))[0];
    assert_eq!((got.hop_start, got.hop_limit, got.channel, got.rx_rssi), (3, 3, 0, -104));
    assert!((got.rx_snr - 6.0).abs() < 0.01 && got.rx_time >= 1_800_000_000);
    assert_eq!(data(got).bitfield, Some(0), "which every sender's firmware adds");
}

#[test]
fn a_question_that_no_application_answers_gets_8() {
    let (mut lab, a, _) = Lab::pair("SHORT_FAST", 1);
    let mut question = packet(B, 256, 10);
    if let Some(Payload::Decoded(data)) = &mut question.payload {
        data.want_response = true;
    }
    let id = lab.packet(a, question);
    lab.run_secs(5);
    assert_eq!(verdicts(&lab.take(a)), [(id, 8, B)]);
}

#[test]
fn a_host_can_set_region_preset_and_channels_and_the_radio_resets() {
    use meshnet_proto::meshtastic::message::{Channel, ChannelSettings, Config, LoraConfig, config};
    use prost::encoding::message::encode;
    let mut lab = Lab::new(1);
    let a = lab.add(RadioConfig { region: Region::UNSET, ..quiet(A, "LONG_FAST") });
    lab.add(with_channel(B, "serial"));
    let client = lab.connect(a);
    let us = Region::number_of("US").unwrap();
    let lora = LoraConfig {
        use_preset: true,
        modem_preset: 6,
        region: us,
        hop_limit: 3,
        tx_enabled: true,
        ..LoraConfig::default()
    };
    let settings = ChannelSettings { name: "serial".into(), psk: vec![7; 32] };
    let channel = Channel { index: 1, settings: Some(settings), role: 2 };
    let (mut set_channel, mut set_config) = (Vec::new(), Vec::new());
    encode(33, &channel, &mut set_channel);
    encode(34, &Config { variant: Some(config::Variant::Lora(lora)) }, &mut set_config);
    for payload in [set_channel, set_config] {
        let data = Data { portnum: port::ADMIN, payload, ..Data::default() };
        lab.packet(
            client,
            MeshPacket { to: A, payload: Some(Payload::Decoded(data)), ..MeshPacket::default() },
        );
    }
    lab.run_secs(15);
    assert!(lab.host(client).closed.is_some());
    let client = lab.connect(a);
    assert_eq!(on_air(&mut lab, client, MeshPacket { channel: 1, ..packet(B, 33, 60) }), Some(82));
    assert_eq!(lab.ledger[0].delivered.len(), 1, "with B's preset, region and channel");
}
