//! What a radio accepts, refuses and encrypts: payload limits, keys, rate limits, the duty cycle.

use meshnet_proto::meshtastic::airtime::Region;
use meshnet_proto::meshtastic::message::mesh_packet::Payload;
use meshnet_proto::meshtastic::message::{
    AdminMessage, Data, FromRadio, MeshPacket, SharedContact, User, admin_message, port,
};
use meshnet_radiosim::{Acquainted, ChannelConfig, ClientId, Kind, RadioConfig};
use prost::Message as _;

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

fn stranger(num: u32) -> RadioConfig {
    RadioConfig { acquainted: Acquainted::Nobody, ..quiet(num, "SHORT_FAST") }
}

fn with_channel(num: u32, name: &str) -> RadioConfig {
    let second = ChannelConfig { name: name.into(), psk: vec![7; 32] };
    RadioConfig { channels: vec![ChannelConfig::default(), second], ..quiet(num, "SHORT_FAST") }
}

fn contact(lab: &Lab, num: u32) -> AdminMessage {
    let public_key = lab.air.public_key(lab.air.radio(num).unwrap()).to_vec();
    let user = User { id: format!("!{num:08x}"), public_key, ..User::default() };
    let contact = SharedContact { node_num: num, user: Some(user) };
    AdminMessage { variant: Some(admin_message::Variant::AddContact(contact)) }
}

/// Returns who sent a node info.
fn node_infos(lab: &Lab) -> Vec<u32> {
    lab.ledger.iter().filter(|entry| entry.kind == Kind::NodeInfo).map(|entry| entry.sender.0).collect()
}

fn add_contact(lab: &mut Lab, client: ClientId, own: u32, peer: u32) {
    let payload = contact(lab, peer).encode_to_vec();
    let data = Data { portnum: port::ADMIN, payload, ..Data::default() };
    lab.packet(
        client,
        MeshPacket { to: own, payload: Some(Payload::Decoded(data)), ..MeshPacket::default() },
    );
    lab.run_secs(1);
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
fn a_receiver_whose_key_is_unknown_here_is_refused_with_39() {
    let mut lab = Lab::new(1);
    let (a, _) = (lab.add(stranger(A)), lab.add(stranger(B)));
    let a = lab.connect(a);
    let (told, bytes) = send(&mut lab, a, packet(B, 256, 10));
    assert_eq!((statuses(&told)[0].res, verdicts(&told)[0].1, bytes), (39, 39, None));
    assert_eq!(verdicts(&told)[0].2, A, "the radio itself says so");
}

#[test]
fn a_sender_whose_key_is_unknown_at_the_receiver_is_ignored_without_a_word() {
    let mut lab = Lab::new(1);
    let (a, b) = (lab.add(quiet(A, "SHORT_FAST")), lab.add(stranger(B)));
    let (a, b) = (lab.connect(a), lab.connect(b));
    let id = lab.packet(a, MeshPacket { want_ack: true, ..packet(B, 256, 10) });
    lab.run_secs(60);
    assert!(content(&lab.take(b)).is_empty());
    assert_eq!(verdicts(&lab.take(a)), [(id, 5, A)], "MAX_RETRANSMIT, and no other hint");
    assert_eq!(lab.ledger.len(), 3);
}

#[test]
fn a_contact_given_to_both_radios_lets_them_talk_with_nothing_else_on_the_air() {
    let mut lab = Lab::new(1);
    let (a, b) = (lab.add(stranger(A)), lab.add(stranger(B)));
    let (a, b) = (lab.connect(a), lab.connect(b));
    add_contact(&mut lab, a, A, B);
    add_contact(&mut lab, b, B, A);
    assert!(lab.ledger.is_empty());
    lab.datagram(a, B, 30);
    lab.run_secs(5);
    assert_eq!((content(&lab.take(b)).len(), lab.ledger.len()), (1, 1));
}

#[test]
fn a_heartbeat_with_nonce_1_broadcasts_the_node_info_but_once_a_minute() {
    let mut lab = Lab::new(1);
    let (a, b) = (lab.add(stranger(A)), lab.add(stranger(B)));
    let (a, b) = (lab.connect(a), lab.connect(b));
    lab.heartbeat(b, 1);
    lab.run_secs(5);
    assert_eq!(node_infos(&lab), [B, A], "and it asks for an answer");
    lab.heartbeat(b, 1);
    lab.run_secs(50);
    assert_eq!(node_infos(&lab), [B, A]);
    lab.datagram(a, B, 10);
    lab.datagram(b, A, 10);
    lab.run_secs(10);
    assert_eq!(content(&lab.take(b)).iter().filter(|packet| data(packet).portnum == 33).count(), 1);
    assert_eq!(content(&lab.take(a)).iter().filter(|packet| data(packet).portnum == 33).count(), 1);
    lab.heartbeat(b, 1);
    lab.run_secs(10);
    assert_eq!(node_infos(&lab), [B, A, B], "after a minute");
}

#[test]
fn a_node_that_asked_within_12_hours_is_not_answered_again() {
    let mut lab = Lab::new(1);
    let (a, b) = (lab.add(stranger(A)), lab.add(stranger(B)));
    let (a, b) = (lab.connect(a), lab.connect(b));
    lab.heartbeat(b, 1);
    lab.run_secs(10);
    lab.air.reboot(lab.air.radio(B).unwrap(), true, lab.now);
    lab.run_secs(400);
    assert!(lab.host(b).closed.is_some());
    let b = lab.connect(lab.air.radio(B).unwrap());
    lab.ledger.clear();
    lab.heartbeat(b, 1);
    lab.run_secs(10);
    assert_eq!(node_infos(&lab), [B], "A knows it, and keeps silent");
    lab.take(b);
    let (told, _) = send(&mut lab, b, packet(A, 256, 10));
    assert_eq!(statuses(&told)[0].res, 39, "so B, which forgot, never learns A's key from it");
    lab.heartbeat(a, 1);
    lab.run_secs(10);
    assert_eq!(statuses(&send(&mut lab, b, packet(A, 256, 10)).0)[0].res, 0, "until A announces itself");
}

#[test]
fn node_infos_go_out_30_s_after_boot_and_every_three_hours() {
    let mut lab = Lab::new(1);
    lab.add(RadioConfig { telemetry: None, ..RadioConfig::new(A) });
    lab.run_secs(7 * 3600);
    let times: Vec<_> = lab.ledger.iter().map(|entry| entry.time.floor()).collect();
    assert_eq!(times.len(), 3, "{times:?}");
    assert!((30.0..33.0).contains(&times[0]) && (10_830.0..10_834.0).contains(&times[1]));
    assert!(lab.ledger.iter().all(|entry| entry.kind == Kind::NodeInfo && entry.to.0 == BROADCAST));
}

#[test]
fn strangers_are_acquainted_by_their_node_infos_after_boot() {
    let mut lab = Lab::new(3);
    let own = |num| RadioConfig { node_info: true, ..stranger(num) };
    let (a, b) = (lab.add(own(A)), lab.add(own(B)));
    let (a, b) = (lab.connect(a), lab.connect(b));
    lab.run_secs(120);
    lab.datagram(a, B, 10);
    lab.datagram(b, A, 10);
    lab.run_secs(10);
    assert_eq!(statuses(&lab.take(a))[0].res + statuses(&lab.take(b))[0].res, 0);
}

#[test]
fn a_key_once_known_is_not_replaced_over_the_air() {
    let mut lab = Lab::new(1);
    let (a, _) = (lab.add(quiet(A, "SHORT_FAST")), lab.add(quiet(B, "SHORT_FAST")));
    let mallory = lab.add(quiet(C, "SHORT_FAST"));
    let (a, mallory) = (lab.connect(a), lab.connect(mallory));
    // A host cannot forge the sender, so the impostor's radio says it of itself, with another key than before.
    let user = User { public_key: vec![9; 32], ..User::default() };
    let data = Data { portnum: port::NODE_INFO, payload: user.encode_to_vec(), ..Data::default() };
    let lie = MeshPacket { to: BROADCAST, payload: Some(Payload::Decoded(data)), ..MeshPacket::default() };
    lab.packet(mallory, lie);
    lab.run_secs(5);
    lab.datagram(a, C, 10);
    lab.run_secs(5);
    assert_eq!(content(&lab.take(mallory)).len(), 1, "encrypted with the old key, it is readable");
}

#[test]
fn insisting_on_another_key_or_on_an_impossible_encryption_fails_with_34() {
    let (mut lab, a, _) = Lab::pair("SHORT_FAST", 1);
    let wrong = MeshPacket { pki_encrypted: true, public_key: vec![9; 32], ..packet(B, 256, 10) };
    assert_eq!(statuses(&send(&mut lab, a, wrong).0)[0].res, 34);
    let public_key = lab.air.public_key(lab.air.radio(B).unwrap()).to_vec();
    let right = MeshPacket { pki_encrypted: true, public_key, ..packet(B, 256, 10) };
    assert_eq!(statuses(&send(&mut lab, a, right).0)[0].res, 0);
    let broadcast = MeshPacket { pki_encrypted: true, ..packet(BROADCAST, 256, 10) };
    assert_eq!(statuses(&send(&mut lab, a, broadcast).0)[0].res, 34);
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
fn a_channel_busy_for_over_a_quarter_of_the_time_keeps_radios_from_speaking_for_themselves() {
    let mut lab = Lab::new(1);
    let (a, _) = (lab.add(quiet(A, "SHORT_FAST")), lab.add(quiet(B, "SHORT_FAST")));
    let a = lab.connect(a);
    lab.add(RadioConfig { node_info: true, ..quiet(C, "SHORT_FAST") });
    for _ in 0..130 {
        lab.datagram(a, B, 220);
        lab.run_ms(300);
    }
    assert!(node_infos(&lab).is_empty());
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
