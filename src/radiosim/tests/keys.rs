//! Whose key a radio has: node infos, contacts, and what happens without.

use meshnet_proto::meshtastic::message::mesh_packet::Payload;
use meshnet_proto::meshtastic::message::{
    AdminMessage, Data, FromRadio, MeshPacket, SharedContact, User, admin_message, port,
};
use meshnet_radiosim::{Acquainted, ClientId, Kind, RadioConfig};
use prost::Message as _;

mod lab;
use lab::{A, B, C, Lab, content, data, packet, quiet, statuses, verdicts};

const BROADCAST: u32 = u32::MAX;

/// Sends one packet; returns what its host was told.
fn send(lab: &mut Lab, from: ClientId, packet: MeshPacket) -> Vec<FromRadio> {
    lab.packet(from, packet);
    lab.run_secs(10);
    lab.take(from)
}

fn stranger(num: u32) -> RadioConfig {
    RadioConfig { acquainted: Acquainted::Nobody, ..quiet(num, "SHORT_FAST") }
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
fn a_receiver_whose_key_is_unknown_here_is_refused_with_39() {
    let mut lab = Lab::new(1);
    let (a, _) = (lab.add(stranger(A)), lab.add(stranger(B)));
    let a = lab.connect(a);
    let told = send(&mut lab, a, packet(B, 256, 10));
    assert_eq!((statuses(&told)[0].res, verdicts(&told)[0].1, lab.ledger.len()), (39, 39, 0));
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
    let told = send(&mut lab, b, packet(A, 256, 10));
    assert_eq!(statuses(&told)[0].res, 39, "so B, which forgot, never learns A's key from it");
    lab.heartbeat(a, 1);
    lab.run_secs(10);
    assert_eq!(statuses(&send(&mut lab, b, packet(A, 256, 10)))[0].res, 0, "until A announces itself");
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
    assert_eq!(statuses(&send(&mut lab, a, wrong))[0].res, 34);
    let public_key = lab.air.public_key(lab.air.radio(B).unwrap()).to_vec();
    let right = MeshPacket { pki_encrypted: true, public_key, ..packet(B, 256, 10) };
    assert_eq!(statuses(&send(&mut lab, a, right))[0].res, 0);
    let broadcast = MeshPacket { pki_encrypted: true, ..packet(BROADCAST, 256, 10) };
    assert_eq!(statuses(&send(&mut lab, a, broadcast))[0].res, 34);
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
