//! Connections: how they begin, are kept, and end.

use super::*;
use crate::meshtastic::stream::START1;

#[test]
fn a_serial_device_is_woken_and_given_time_before_it_is_asked() {
    let mut bench = Bench::new(ClientConfig::default());
    bench.client.handle_connected(Transport::Serial, bench.now);
    assert_eq!(bench.client.poll_bytes(), Some(vec![FILLER; WAKE_LEN]));
    assert_eq!(bench.client.poll_bytes(), None);
    let asked = bench.now;
    bench.wait_for("radio wakes");
    assert_eq!(bench.now, asked + WAKE_TIME);
    bench.configure(&Setup::default());
    assert_eq!(bench.client.status().state, "up");
}

#[test]
fn an_idle_link_wakes_for_its_heartbeat_alone() {
    let mut bench = Bench::up(&Setup::default());
    for _ in 0..3 {
        let before = bench.now;
        bench.wait_for("radio heartbeat");
        assert_eq!(bench.now, before + Duration::from_secs(300));
        assert_eq!(bench.written(), [to_radio::Variant::Heartbeat(Heartbeat { nonce: 0 })]);
        bench.status(0, 0, 0);
        bench.client.handle_timeout(bench.now);
        assert_eq!(bench.outputs(), []);
    }
}

#[test]
fn fillers_flow_after_traffic_and_stop() {
    let mut bench = Bench::up(&Setup::default());
    bench.hear(PEER, MeshPacket::default(), private(b"x"));
    let start = bench.now;
    while bench.client.poll_timeout().unwrap().1 == "radio filler" {
        bench.wait_for("radio filler");
        assert_eq!(bench.client.poll_bytes(), Some(vec![FILLER]));
    }
    let fast_for = bench.now - start;
    // Four round trips of the longest packet at LONG_FAST, with the mean access time.
    assert!((15..19).contains(&fast_for.as_secs()), "{fast_for:?}");
}

#[test]
fn a_peer_that_vanished_without_a_farewell_is_found_by_the_heartbeat() {
    let mut bench = Bench::up(&Setup::default());
    bench.wait_for("radio heartbeat");
    let asked = bench.now;
    while let Some((at, _)) = bench.client.poll_timeout() {
        bench.now = at;
        bench.client.handle_timeout(at);
    }
    assert_eq!(bench.now, asked + keepalive::DEAD_AFTER);
    let outputs = bench.outputs();
    assert_eq!(outputs[0], Output::Link(LinkEvent::Down));
    assert!(matches!(outputs[1], Output::Notice(Notice::Silent { .. })));
    assert_eq!(outputs[2], Output::Reconnect(Reconnect::Silent));
}

#[test]
fn no_answer_at_all_is_explained_by_what_came_instead() {
    let told = |transport, garbage: &[u8]| {
        let mut bench = Bench::new(ClientConfig::default());
        bench.client.handle_connected(transport, bench.now);
        bench.client.handle_bytes(garbage, bench.now);
        while bench.client.status().state == "configuring" {
            let (at, _) = bench.client.poll_timeout().unwrap();
            bench.now = at;
            bench.client.handle_timeout(at);
        }
        let outputs = bench.outputs();
        assert_eq!(outputs.last(), Some(&Output::Reconnect(Reconnect::NoAnswer)));
        outputs.into_iter().find_map(|output| match output {
            Output::Notice(Notice::NoAnswer { transport, text }) => Some((transport, text)),
            _ => None,
        })
    };
    assert_eq!(told(Transport::Tcp, b""), Some((Transport::Tcp, false)));
    assert_eq!(told(Transport::Serial, b""), Some((Transport::Serial, false)));
    assert_eq!(told(Transport::Serial, b"INFO | booting\r\n"), Some((Transport::Serial, true)));
}

#[test]
fn a_radio_that_never_answers_is_complained_about_once() {
    let mut bench = Bench::new(ClientConfig::default());
    let mut notices = Vec::new();
    for _ in 0..5 {
        bench.client.handle_connected(Transport::Tcp, bench.now);
        bench.wait(keepalive::DEAD_AFTER);
        notices.extend(bench.notices());
        bench.client.handle_disconnected(Ending::Failed, bench.now);
    }
    assert_eq!(notices.len(), 1);
}

#[test]
fn a_serial_radio_that_restarts_is_asked_anew_and_the_link_comes_back() {
    let mut bench = Bench::up(&Setup::default());
    bench.feed(Variant::Rebooted(true));
    let outputs = bench.outputs();
    assert_eq!(outputs, [Output::Notice(Notice::Rebooted), Output::Link(LinkEvent::Down)]);
    bench.configure(&Setup { reboots: 2, ..Setup::default() });
    assert!(matches!(bench.links()[..], [LinkEvent::Up(_), LinkEvent::Room(2)]));
}

#[test]
fn a_restart_over_tcp_is_told_from_an_eviction() {
    let mut bench = Bench::up(&Setup::default());
    bench.client.handle_disconnected(Ending::Closed, bench.now);
    assert_eq!(bench.links(), [LinkEvent::Down]);
    bench.connect(&Setup { reboots: 2, ..Setup::default() });
    assert_eq!(bench.notices(), [Notice::Rebooted]);
}

#[test]
fn another_client_is_blamed_for_an_eviction_and_given_ever_more_time() {
    let mut bench = Bench::up(&Setup::default());
    let mut waits = Vec::new();
    for times in 1..=3 {
        bench.client.handle_disconnected(Ending::Closed, bench.now);
        waits.push(bench.client.reconnect_wait());
        bench.drain();
        bench.connect(&Setup::default());
        let notices = bench.notices();
        assert!(matches!(notices[..], [Notice::Evicted { times: t, .. }] if t == times), "{notices:?}");
    }
    assert!(waits.is_sorted_by(|a, b| a < b), "{waits:?}");
}

#[test]
fn a_broken_connection_blames_nobody() {
    let mut bench = Bench::up(&Setup::default());
    bench.client.handle_disconnected(Ending::Failed, bench.now);
    assert_eq!(bench.client.reconnect_wait(), Duration::ZERO);
    bench.drain();
    bench.connect(&Setup::default());
    assert_eq!(bench.notices(), []);
}

#[test]
fn half_a_frame_before_a_reconnect_does_not_spoil_the_next_connection() {
    let mut bench = Bench::up(&Setup::default());
    bench.client.handle_bytes(&[START1, FILLER, 1], bench.now);
    bench.client.handle_disconnected(Ending::Failed, bench.now);
    bench.connect(&Setup::default());
    assert_eq!(bench.client.status().state, "up");
}
