//! A peer whose Meshtastic key our radio lacks: found out, said, cured.

use super::*;
use crate::meshtastic::message::{AdminMessage, admin_message, routing_error};

const KEY: [u8; 32] = [9; 32];

fn knows(key: &[u8]) -> Setup {
    let info = NodeInfo { num: PEER, user: Some(user(PEER, key)), ..NodeInfo::default() };
    Setup { others: vec![info], ..Setup::default() }
}

/// A radio that has nobody's key.
fn knows_nobody() -> Setup {
    Setup { others: Vec::new(), ..Setup::default() }
}

fn connected(configured: Option<[u8; 32]>, setup: &Setup) -> Bench {
    let mut bench = Bench::new(with_peer(configured));
    bench.connect(setup);
    bench
}

/// The contacts handed over to our own radio since the last look.
fn handed_over(bench: &mut Bench) -> Vec<(u32, Vec<u8>)> {
    let orders =
        bench.packets().into_iter().filter(|(packet, data)| packet.to == OWN && data.portnum == port::ADMIN);
    orders
        .map(|(_, data)| {
            let order = AdminMessage::decode(data.payload.as_slice()).unwrap();
            let Some(admin_message::Variant::AddContact(contact)) = order.variant else { panic!("an order") };
            (contact.node_num, contact.user.unwrap().public_key)
        })
        .collect()
}

fn refuse_for_lack_of_key(bench: &mut Bench, token: u64) {
    bench.send(token, 53);
    let id = bench.packets().last().expect("a packet").0.id;
    bench.status(routing_error::PKI_SEND_FAIL_PUBLIC_KEY, 0, id);
    bench.routing(OWN, id, routing_error::PKI_SEND_FAIL_PUBLIC_KEY);
}

#[test]
fn a_configured_key_that_the_radio_lacks_is_handed_over_before_anything_is_sent() {
    let mut bench = connected(Some(KEY), &knows_nobody());
    assert_eq!(handed_over(&mut bench), [(PEER, KEY.to_vec())]);
    let outputs = bench.outputs();
    let peer = LinkAddr::radio(PEER);
    assert!(outputs.contains(&Output::Notice(Notice::KeyMissing { peer, cure: Cure::Configured })));
    assert!(outputs.contains(&Output::Link(LinkEvent::KeyKnown(peer))));
}

#[test]
fn another_key_in_the_radio_is_replaced_and_said_to_be() {
    let mut bench = connected(Some(KEY), &knows(&[8; 32]));
    assert_eq!(handed_over(&mut bench), [(PEER, KEY.to_vec())]);
    let peer = LinkAddr::radio(PEER);
    assert_eq!(bench.notices(), [Notice::KeyMissing { peer, cure: Cure::Replaced }]);
}

#[test]
fn a_key_that_the_radio_has_is_left_alone() {
    let mut bench = connected(Some(KEY), &knows(&KEY));
    assert_eq!(handed_over(&mut bench), []);
    assert_eq!(bench.notices(), []);
}

#[test]
fn a_key_that_the_radio_lost_is_handed_over_again() {
    let mut bench = connected(Some(KEY), &knows(&KEY));
    bench.drain();
    refuse_for_lack_of_key(&mut bench, 4);
    assert_eq!(handed_over(&mut bench), [(PEER, KEY.to_vec())]);
    let links = bench.links();
    let refusal = links.iter().position(|event| *event == refused(4, Refusal::NoKey));
    let known = links.iter().position(|event| *event == LinkEvent::KeyKnown(LinkAddr::radio(PEER)));
    assert!(refusal.is_some() && refusal < known, "{links:?}");
}

#[test]
fn a_key_nobody_configured_is_asked_for_and_its_arrival_told() {
    let mut bench = connected(None, &Setup::default());
    bench.drain();
    bench.send(4, 53);
    let id = bench.packets()[0].0.id;
    bench.status(routing_error::PKI_SEND_FAIL_PUBLIC_KEY, 0, id);
    let asks = bench.written().iter().any(|variant| match variant {
        to_radio::Variant::Packet(packet) => matches!(&packet.payload,
            Some(mesh_packet::Payload::Decoded(data)) if packet.to == PEER
                && data.portnum == port::NODE_INFO && data.want_response),
        _ => false,
    });
    assert!(asks, "the peer is asked");
    assert!(bench.links().contains(&refused(4, Refusal::NoKey)));
    bench.wait(Duration::from_secs(20));
    assert!(
        bench.written().contains(&to_radio::Variant::Heartbeat(Heartbeat { nonce: 1 })),
        "then everybody"
    );

    let payload = user(PEER, &KEY).encode_to_vec();
    bench.hear(PEER, MeshPacket::default(), Data { portnum: port::NODE_INFO, payload, ..Data::default() });
    let peer = LinkAddr::radio(PEER);
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::Notice(Notice::KeyArrived { peer })));
    assert!(outputs.contains(&Output::Link(LinkEvent::KeyKnown(peer))));
}

#[test]
fn a_key_that_the_radio_does_not_have_at_first_is_asked_for_before_anything_is_sent() {
    let mut bench = connected(None, &knows_nobody());
    let asked = |bench: &mut Bench| {
        let is_question = |(packet, data): &(MeshPacket, Data)| {
            packet.to == PEER && data.portnum == port::NODE_INFO && data.want_response
        };
        bench.packets().iter().filter(|packet| is_question(packet)).count()
    };
    assert_eq!(asked(&mut bench), 1, "a peer's packets would be dropped without a word");
    let peer = LinkAddr::radio(PEER);
    assert_eq!(bench.notices(), [Notice::KeyMissing { peer, cure: Cure::Asked }]);
    bench.connect(&knows_nobody());
    assert_eq!(asked(&mut bench), 0, "a reconnect does not hurry it");
}

#[test]
fn many_refusals_make_few_questions() {
    let mut bench = connected(None, &Setup { preset: 8, ..Setup::default() });
    bench.drain();
    let mut questions = 0;
    let end = bench.now + Duration::from_secs(3600);
    let mut token = 0;
    while bench.now < end {
        token += 1;
        bench.send(token, 53);
        for variant in bench.written() {
            if let to_radio::Variant::Packet(packet) = variant {
                let Some(mesh_packet::Payload::Decoded(data)) = &packet.payload else { continue };
                if data.portnum == port::NODE_INFO {
                    questions += 1;
                    bench.status(0, 0, packet.id);
                } else {
                    bench.status(routing_error::PKI_SEND_FAIL_PUBLIC_KEY, 0, packet.id);
                }
            }
        }
        bench.wait(Duration::from_secs(5));
        bench.outputs();
        assert_eq!(bench.client.status().state, "up");
    }
    // At 0, 1, 5 and 21 min; in between everybody is asked.
    assert!((3..=5).contains(&questions), "{questions}");
}

#[test]
fn a_peer_that_asks_who_we_are_is_told_though_our_radio_may_not() {
    let mut bench = connected(None, &knows(&KEY));
    bench.drain();
    let payload = user(PEER, &KEY).encode_to_vec();
    let question = Data { portnum: port::NODE_INFO, payload, want_response: true, ..Data::default() };
    bench.hear(PEER, MeshPacket::default(), question);
    bench.wait(Duration::from_secs(6));
    let (packet, data) = bench.packets().pop().expect("an answer");
    assert_eq!((packet.to, data.portnum, data.want_response), (PEER, port::NODE_INFO, false));
    assert_eq!(User::decode(data.payload.as_slice()).unwrap().public_key, vec![1; 32]);
}

#[test]
fn a_peer_that_lacks_our_key_hears_from_us() {
    let mut bench = connected(None, &knows(&KEY));
    bench.drain();
    bench.send(4, 53);
    let id = bench.packets()[0].0.id;
    bench.routing(PEER, id, routing_error::PKI_UNKNOWN_PUBKEY);
    assert!(bench.written().contains(&to_radio::Variant::Heartbeat(Heartbeat { nonce: 1 })));
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::Notice(Notice::PeerLacksOurKey { peer: LinkAddr::radio(PEER) })));
    assert!(outputs.contains(&Output::Link(refused(4, Refusal::Unreachable))), "it did go out");
}

#[test]
fn a_contact_that_comes_later_is_taught_to_the_radio_without_another_connection() {
    const LATER: u32 = 0x0c0c_0c0c;
    let mut bench = connected(None, &knows(&KEY));
    bench.drain();
    let contacts =
        vec![Contact { node: PEER, public_key: None }, Contact { node: LATER, public_key: Some([7; 32]) }];
    bench.client.set_contacts(contacts.clone(), bench.now);
    assert_eq!(handed_over(&mut bench), [(LATER, vec![7; 32])]);
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::Link(LinkEvent::KeyKnown(LinkAddr::radio(LATER)))), "{outputs:?}");
    assert!(!outputs.contains(&Output::Link(LinkEvent::Down)), "{outputs:?}");
    bench.client.set_contacts(contacts, bench.now);
    assert_eq!(bench.written(), [], "nothing has changed");
}

#[test]
fn a_later_contact_whose_key_the_radio_lacks_is_asked_and_one_that_is_gone_no_more() {
    const LATER: u32 = 0x0c0c_0c0c;
    let mut bench = connected(None, &knows(&KEY));
    bench.drain();
    bench.client.set_contacts(vec![Contact { node: LATER, public_key: None }], bench.now);
    let asked: Vec<u32> = bench.packets().iter().map(|(packet, _)| packet.to).collect();
    assert_eq!(asked, [LATER]);
    bench.client.set_contacts(Vec::new(), bench.now);
    for _ in 0..100 {
        bench.wait(Duration::from_secs(30));
    }
    assert!(bench.packets().is_empty());
    assert!(bench.client.status().peers.is_empty());
}

#[test]
fn contacts_that_come_and_go_without_end_make_few_questions() {
    let mut bench = connected(None, &knows(&KEY));
    bench.drain();
    for node in 0x0c00_0000..0x0c00_0000 + 1000 {
        bench.client.set_contacts(vec![Contact { node, public_key: None }], bench.now);
    }
    assert!(bench.packets().len() <= 8);
}

#[test]
fn contacts_given_while_the_radio_is_away_are_taught_when_it_is_there() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.client.set_contacts(vec![Contact { node: PEER, public_key: Some(KEY) }], bench.now);
    assert_eq!(bench.written(), []);
    bench.connect(&knows_nobody());
    assert_eq!(handed_over(&mut bench), [(PEER, KEY.to_vec())]);
}
