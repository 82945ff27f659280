//! Datagrams to the radio: what a packet looks like, how many the radio is given, and what becomes of refusals.

use super::*;
use crate::meshtastic::message::{ClientNotification, priority, routing_error};

fn far() -> Transmit {
    Transmit { far: true, ..transmit(1, 60) }
}

fn heard(hop_start: u32, hop_limit: u32) -> MeshPacket {
    MeshPacket { hop_start, hop_limit, rx_snr: 6.5, rx_rssi: -40, ..MeshPacket::default() }
}

/// The hop limit that a packet gets after one was heard.
fn hop_limit(bench: &mut Bench, transmit: Transmit) -> u32 {
    bench.client.handle_transmit(transmit, bench.now);
    let packet = bench.packets().pop().expect("a packet").0;
    bench.status(0, 0, packet.id);
    bench.wait(Duration::from_secs(3));
    packet.hop_limit
}

#[test]
fn a_datagram_goes_out_as_version_1_peers_expect_it() {
    let mut bench = Bench::up(&Setup::default());
    bench.send(1, 60);
    let (packet, data) = bench.packets().pop().unwrap();
    assert_eq!((packet.from, packet.to, packet.channel), (0, PEER, 0));
    assert_eq!((packet.want_ack, packet.pki_encrypted, packet.priority), (false, false, priority::DEFAULT));
    assert_ne!(packet.id, 0);
    assert_eq!((data.portnum, data.payload), (port::PRIVATE, vec![0x55; 60]));
}

#[test]
fn a_handshake_overtakes() {
    let mut bench = Bench::up(&Setup::default());
    let handshake = Transmit { class: Class::Handshake, ..transmit(1, 53) };
    bench.client.handle_transmit(handshake, bench.now);
    assert_eq!(bench.packets()[0].0.priority, priority::RELIABLE);
}

#[test]
fn hops_are_as_few_as_reach_the_peer() {
    let mut bench = Bench::up(&Setup { hop_limit: 4, ..Setup::default() });
    assert_eq!(hop_limit(&mut bench, transmit(1, 60)), 4, "never heard: as far as the radio goes");
    bench.hear(PEER, heard(3, 1), private(b"x"));
    assert_eq!(hop_limit(&mut bench, transmit(2, 60)), 2, "two relays");
    bench.hear(PEER, heard(3, 3), private(b"x"));
    assert_eq!(hop_limit(&mut bench, transmit(3, 60)), 0, "direct");
    assert_eq!(hop_limit(&mut bench, far()), 4, "nobody answered: whatever it costs");
}

#[test]
fn a_packet_that_started_with_no_hops_came_directly() {
    let mut bench = Bench::up(&Setup::default());
    bench.hear(PEER, heard(0, 0), private(b"x"));
    assert_eq!(hop_limit(&mut bench, transmit(1, 60)), 0);
    let mut old = Bench::up(&Setup::default());
    old.hear(PEER, heard(0, 0), Data { bitfield: None, ..private(b"x") });
    assert_eq!(hop_limit(&mut old, transmit(1, 60)), 3, "firmware that does not say where it started");
}

#[test]
fn the_radios_own_table_tells_the_distance_too() {
    let near = NodeInfo { num: PEER, hops_away: Some(0), ..NodeInfo::default() };
    let mut bench = Bench::up(&Setup { others: vec![near], ..Setup::default() });
    assert_eq!(hop_limit(&mut bench, transmit(1, 60)), 0);
}

#[test]
fn a_configured_hop_limit_is_kept() {
    let mut bench = Bench::new(ClientConfig { hop_limit: Some(1), ..with_peer(None) });
    bench.connect(&Setup::default());
    bench.drain();
    bench.hear(PEER, heard(3, 3), private(b"x"));
    assert_eq!(hop_limit(&mut bench, far()), 1);
}

#[test]
fn nothing_is_sent_that_the_radio_would_find_too_large() {
    let mut bench = Bench::up(&Setup::default());
    bench.send(1, 219);
    bench.drain();
    bench.send(2, 220);
    assert!(bench.links().contains(&refused(2, Refusal::TooLarge)));
    assert_eq!(bench.packets().len(), 0);
}

#[test]
fn a_limit_that_the_radio_does_not_keep_is_learned() {
    let mut bench = Bench::up(&Setup::default());
    bench.send(1, 219);
    let id = bench.packets()[0].0.id;
    bench.drain();
    bench.status(routing_error::TOO_LARGE, 0, id);
    let links = bench.links();
    assert!(links.contains(&refused(1, Refusal::TooLarge)));
    assert!(links.iter().any(|event| matches!(event, LinkEvent::Up(caps) if caps.mtu == 207)), "{links:?}");
}

#[test]
fn two_packets_are_in_the_radio_and_the_next_when_it_has_room() {
    let mut bench = Bench::up(&Setup { preset: 8, ..Setup::default() });
    bench.send(1, 219);
    bench.send(2, 219);
    bench.send(3, 219);
    let ids: Vec<u32> = bench.packets().iter().map(|(packet, _)| packet.id).collect();
    assert_eq!(ids.len(), 2, "the third came against the word given, and waits");
    bench.status(0, 1, ids[0]);
    bench.status(0, 1, ids[1]);
    assert_eq!(bench.packets().len(), 0, "one on the air, one behind it");
    bench.wait(Duration::from_millis(102));
    assert_eq!(bench.packets().len(), 1);
}

#[test]
fn a_full_radio_is_asked_and_its_answer_makes_room() {
    let mut bench = Bench::up(&Setup { preset: 8, ..Setup::default() });
    bench.send(1, 219);
    bench.send(2, 219);
    bench.drain();
    bench.wait_for("radio queue");
    assert_eq!(bench.written(), [to_radio::Variant::Heartbeat(Heartbeat { nonce: 0 })]);
    bench.status(0, 0, 0);
    assert_eq!(bench.links(), [LinkEvent::Room(1)]);
}

#[test]
fn a_backlog_goes_through_though_most_statuses_are_lost() {
    let mut bench = Bench::up(&Setup { preset: 8, ..Setup::default() });
    let start = bench.now;
    let (mut sent, mut questions) = (0, 0);
    while sent < 20 {
        let room = bench.links().into_iter().rev().find_map(|event| match event {
            LinkEvent::Room(room) => Some(room),
            _ => None,
        });
        for _ in 0..room.unwrap_or(if sent == 0 { 2 } else { 0 }) {
            sent += 1;
            bench.send(sent, 219);
        }
        bench.drain_bytes();
        let (at, _) = bench.client.poll_timeout().unwrap();
        bench.now = at;
        bench.client.handle_timeout(at);
        let asked = bench.written().iter().filter(|v| matches!(v, to_radio::Variant::Heartbeat(_))).count();
        questions += asked;
        // Every fourth question is answered, by a radio that is empty by then.
        if asked > 0 && questions % 4 == 0 {
            bench.status(0, 0, 0);
        }
        assert!(bench.now < start + Duration::from_secs(120), "stalled after {sent}");
    }
}

#[test]
fn ids_never_repeat_a_recent_one() {
    let mut bench = Bench::up(&Setup { preset: 8, ..Setup::default() });
    let mut ids = Vec::new();
    for token in 0..600 {
        bench.send(token, 10);
        let id = bench.packets().last().expect("room").0.id;
        assert!(!ids.iter().rev().take(255).any(|known| *known == id));
        ids.push(id);
        bench.status(0, 0, id);
        bench.wait(Duration::from_millis(100));
    }
}

#[test]
fn a_refusal_names_its_datagram_once_though_the_radio_says_it_twice() {
    let cases = [
        (routing_error::MAX_RETRANSMIT, Refusal::Unreachable),
        (routing_error::RATE_LIMIT_EXCEEDED, Refusal::RateLimit),
        (routing_error::NO_INTERFACE, Refusal::Disabled),
        (routing_error::BAD_REQUEST, Refusal::QueueFull),
    ];
    for (error, reason) in cases {
        let mut bench = Bench::up(&Setup::default());
        bench.send(7, 60);
        let id = bench.packets()[0].0.id;
        bench.drain();
        bench.status(error, 0, id);
        bench.routing(OWN, id, error);
        let refusals: Vec<_> =
            bench.links().into_iter().filter(|event| matches!(event, LinkEvent::Refused { .. })).collect();
        assert_eq!(refusals, [refused(7, reason)]);
    }
}

#[test]
fn a_refused_packet_takes_no_place_in_the_radio() {
    let mut bench = Bench::up(&Setup::default());
    bench.send(1, 60);
    let id = bench.packets()[0].0.id;
    bench.drain();
    bench.status(routing_error::RATE_LIMIT_EXCEEDED, 0, id);
    assert!(bench.links().contains(&LinkEvent::Room(2)));
}

#[test]
fn a_stranger_refuses_nothing() {
    let mut bench = Bench::up(&Setup::default());
    bench.send(1, 60);
    let id = bench.packets()[0].0.id;
    bench.drain();
    bench.routing(0x666, id, routing_error::MAX_RETRANSMIT);
    assert_eq!(bench.links(), []);
}

#[test]
fn a_spent_hour_stops_sending_until_the_radio_says() {
    let mut bench = Bench::up(&Setup { region: "EU_868", ..Setup::default() });
    bench.send(1, 60);
    let id = bench.packets()[0].0.id;
    bench.drain();
    bench.status(routing_error::DUTY_CYCLE_LIMIT, 0, id);
    let links = bench.links();
    assert!(
        links.contains(&refused(1, Refusal::DutyCycle)) && links.contains(&LinkEvent::Room(0)),
        "{links:?}"
    );
    let text = "Duty cycle limit exceeded. You can send again in 50 mins";
    bench.feed(Variant::ClientNotification(ClientNotification {
        message: text.to_owned(),
        ..Default::default()
    }));
    assert_eq!(bench.notices(), [Notice::DutyCycle { wait: Duration::from_secs(3000) }]);
    bench.wait(Duration::from_secs(2999));
    assert_eq!(bench.links(), []);
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.links(), [LinkEvent::Room(2)]);
}

#[test]
fn a_spent_hour_without_an_end_is_tried_again_every_minute_and_told_once() {
    let mut bench = Bench::up(&Setup { region: "EU_868", ..Setup::default() });
    let mut notices = 0;
    for token in 0..5 {
        bench.send(token, 60);
        let id = bench.packets()[0].0.id;
        bench.status(routing_error::DUTY_CYCLE_LIMIT, 0, id);
        notices += bench.notices().len();
        bench.wait(Duration::from_secs(60));
        bench.status(0, 0, 0);
    }
    assert_eq!(notices, 1);
}

#[test]
fn what_has_no_radio_address_is_unreachable() {
    let mut bench = Bench::up(&Setup::default());
    for node in [OWN, 0, crate::meshtastic::BROADCAST] {
        let to = LinkAddr::radio(node);
        bench.client.handle_transmit(Transmit { to, ..transmit(5, 1) }, bench.now);
        assert!(bench.links().contains(&refused(5, Refusal::Unreachable)));
    }
    assert_eq!(bench.packets().len(), 0);
}

#[test]
fn a_link_that_is_down_takes_nothing() {
    let mut bench = Bench::new(with_peer(None));
    bench.send(1, 60);
    assert_eq!(bench.links(), [refused(1, Refusal::Disabled)]);
}

impl Bench {
    fn drain_bytes(&mut self) {
        while self.client.poll_bytes().is_some() {}
    }
}
