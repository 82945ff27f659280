//! Who is connected to a radio, and how that ends: eviction, silence, resets, stalls, floods; and what only a serial port
//! does.

use meshnet_proto::meshtastic::message::from_radio::Variant;
use meshnet_proto::meshtastic::message::to_radio;
use meshnet_proto::meshtastic::stream::{START1, START2};
use meshnet_radiosim::{RadioConfig, Transport};

mod lab;
use lab::{A, B, Lab, content, data, quiet, statuses};

#[test]
fn a_new_tcp_client_throws_the_old_one_out_with_nothing_but_a_fin() {
    let mut lab = Lab::new(1);
    let radio = lab.add(quiet(A, "LONG_FAST"));
    let old = lab.connect(radio);
    let new = lab.open(radio, Transport::Tcp);
    lab.run_ms(150);
    assert!(lab.host(old).closed.is_some());
    assert!(lab.take(old).is_empty());
    lab.want_config(new, 9);
    lab.run_secs(1);
    assert_eq!(lab.take(new).last().unwrap().variant, Some(Variant::ConfigCompleteId(9)));
    assert!(lab.host(new).closed.is_none());
}

#[test]
fn tcp_clients_are_accepted_once_per_100_ms() {
    let mut lab = Lab::new(1);
    let radio = lab.add(quiet(A, "LONG_FAST"));
    lab.run_ms(301);
    let clients: Vec<_> = (0..3).map(|_| lab.open(radio, Transport::Tcp)).collect();
    for client in &clients {
        lab.want_config(*client, 1);
    }
    lab.run_secs(1);
    let first: Vec<_> = clients.iter().map(|client| lab.take_timed(*client)[0].0.as_millis()).collect();
    assert_eq!(first, [400, 500, 600]);
}

#[test]
fn a_client_that_says_nothing_for_15_minutes_is_dropped() {
    let mut lab = Lab::new(1);
    let radio = lab.add(quiet(A, "LONG_FAST"));
    let client = lab.connect(radio);
    lab.run_secs(14 * 60);
    assert!(lab.host(client).closed.is_none());
    lab.heartbeat(client, 0);
    lab.run_secs(14 * 60);
    assert!(lab.host(client).closed.is_none(), "a heartbeat counts");
    lab.run_secs(2 * 60);
    assert!(lab.host(client).closed.is_some());
}

#[test]
fn disconnect_closes_the_connection() {
    let mut lab = Lab::new(1);
    let radio = lab.add(quiet(A, "LONG_FAST"));
    let client = lab.connect(radio);
    lab.say(client, to_radio::Variant::Disconnect(true));
    lab.run_secs(1);
    assert!(lab.host(client).closed.is_some());
}

#[test]
fn a_reset_drops_tcp_clients_and_all_that_waited() {
    let (mut lab, a, b) = Lab::pair("LONG_FAST", 1);
    let radio = lab.air.radio(A).unwrap();
    for _ in 0..5 {
        lab.datagram(a, B, 200);
    }
    lab.run_ms(1500);
    lab.air.reboot(radio, false, lab.now);
    lab.run_ms(10);
    assert!(lab.host(a).closed.is_some());
    assert_eq!(lab.air.queued(radio), 0);
    let refused = lab.open(radio, Transport::Tcp);
    lab.run_ms(10);
    assert!(lab.host(refused).closed.is_some(), "nobody listens while it boots");
    lab.run_secs(3);
    let again = lab.connect(radio);
    lab.datagram(again, B, 20);
    lab.run_secs(5);
    assert_eq!(data(content(&lab.take(b)).last().unwrap()).payload.len(), 20, "it still has the key");
}

#[test]
fn a_serial_host_is_told_of_a_reset_and_has_to_ask_again() {
    let mut lab = Lab::new(1);
    let radio = lab.add(quiet(A, "LONG_FAST"));
    let client = lab.connect_by(radio, Transport::Serial);
    lab.air.reboot(radio, false, lab.now);
    lab.run_secs(4);
    let messages = lab.take(client);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].variant, Some(Variant::Rebooted(true)));
    assert!(lab.host(client).closed.is_none(), "a line does not hang up");
    lab.heartbeat(client, 0);
    lab.run_secs(1);
    assert!(lab.take(client).is_empty(), "it waits for want_config");
    lab.want_config(client, 4);
    lab.run_secs(1);
    assert_eq!(lab.take(client).last().unwrap().variant, Some(Variant::ConfigCompleteId(4)));
}

/// Sends a packet past a serial radio whose host has said something, or nothing; returns the lines of its log.
fn serial_log(debug_log: bool, greet: bool) -> usize {
    let mut lab = Lab::new(1);
    let listener = lab.add(RadioConfig { debug_log, ..quiet(A, "SHORT_FAST") });
    let sender = lab.add(quiet(B, "SHORT_FAST"));
    let client = lab.open(listener, Transport::Serial);
    if greet {
        lab.want_config(client, 1);
    }
    let sender = lab.connect(sender);
    lab.datagram(sender, A, 10);
    lab.run_secs(2);
    assert_eq!(content(&lab.take(client)).len(), usize::from(greet), "text and frames do not mix");
    lab.host(client).text.len()
}

#[test]
fn a_serial_port_carries_the_text_log_until_the_first_message() {
    assert_eq!(serial_log(false, false), 1);
    assert_eq!(serial_log(false, true), 0);
}

#[test]
fn a_serial_port_may_carry_text_between_frames() {
    assert_eq!(serial_log(true, true), 1);
}

#[test]
fn a_stalled_network_swallows_everything_without_a_fin() {
    let (mut lab, a, _) = Lab::pair("SHORT_FAST", 1);
    let radio = lab.air.radio(A).unwrap();
    lab.air.stall(radio, true, lab.now);
    lab.heartbeat(a, 0);
    lab.datagram(a, B, 10);
    lab.run_secs(60);
    assert!(lab.take(a).is_empty() && lab.host(a).closed.is_none());
    assert!(lab.ledger.is_empty());
    let other = lab.connect(radio);
    assert!(lab.host(a).closed.is_none(), "nor does it carry the FIN of an eviction");
    lab.heartbeat(other, 0);
    lab.run_secs(1);
    assert_eq!(statuses(&lab.take(other)).len(), 1);
}

#[test]
fn an_evicted_host_sees_the_end_of_its_connection() {
    let (mut lab, a, _) = Lab::pair("SHORT_FAST", 1);
    let radio = lab.air.radio(A).unwrap();
    lab.air.evict(radio, lab.now);
    lab.run_ms(1);
    assert!(lab.host(a).closed.is_some());
}

#[test]
fn a_host_that_floods_is_slowed_down_and_memory_is_bounded() {
    let mut lab = Lab::new(1);
    let radio = lab.add(quiet(A, "LONG_FAST"));
    let client = lab.connect(radio);
    let taken = lab.air.handle_client_bytes(client, &vec![0; 1 << 20], lab.now);
    assert_eq!(taken, 64 * 1024);
    assert_eq!(lab.air.handle_client_bytes(client, &[0], lab.now), 0);
    lab.run_secs(1);
    assert_eq!(lab.air.unread(client), 0);
    lab.heartbeat(client, 0);
    lab.run_secs(1);
    assert_eq!(statuses(&lab.take(client)).len(), 1);
}

#[test]
fn a_host_that_does_not_read_stops_the_radio_from_writing() {
    let (mut lab, a, b) = Lab::pair("SHORT_TURBO", 1);
    lab.host(b).deaf = true;
    for _ in 0..200 {
        lab.datagram(a, B, 200);
        lab.run_secs(1);
    }
    let radio = lab.air.radio(B).unwrap();
    assert!(lab.air.dropped_for_host(radio) > 80);
    lab.host(b).deaf = false;
    lab.run_secs(10);
    let got = content(&lab.take(b)).len();
    assert!((80..120).contains(&got), "16 KiB of socket and 32 packets, not {got}");
}

#[test]
fn a_radio_whose_serial_port_is_switched_off_is_deaf_there() {
    let mut lab = Lab::new(1);
    let radio = lab.add(RadioConfig { serial_enabled: false, ..quiet(A, "LONG_FAST") });
    let client = lab.open(radio, Transport::Serial);
    lab.want_config(client, 1);
    lab.run_secs(10);
    assert!(lab.take(client).is_empty());
    let client = lab.connect(radio);
    lab.heartbeat(client, 0);
    lab.run_secs(1);
    assert_eq!(statuses(&lab.take(client)).len(), 1, "on TCP it is not");
}

#[test]
fn nothing_that_a_host_sends_can_break_a_radio() {
    let (mut lab, a, b) = Lab::pair("SHORT_TURBO", 1);
    let mut state = 1_u64;
    let mut random = move || {
        // Knuth's MMIX generator: any will do.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).unwrap()
    };
    for _ in 0..5000 {
        let mut bytes: Vec<u8> = (0..random()).map(|_| random()).collect();
        if random() < 200 {
            // A frame with a plausible beginning: a packet, a nonce, a heartbeat.
            let len = u8::try_from(bytes.len()).unwrap();
            bytes.splice(0..0, [START1, START2, 0, len]);
            if len > 2 {
                bytes[4] = [0x0a, 0x18, 0x20, 0x3a][usize::from(random() % 4)];
                bytes[5] = len - 2;
            }
        }
        lab.air.handle_client_bytes(a, &bytes, lab.now);
        lab.run_ms(20);
        lab.take(a);
    }
    assert!(lab.host(a).closed.is_some() || lab.air.unread(a) < 512);
    lab.run_secs(60);
    let radio = lab.air.radio(A).unwrap();
    let again = lab.connect(radio);
    lab.datagram(again, B, 10);
    lab.heartbeat(b, 0);
    lab.run_secs(60);
    assert!(content(&lab.take(b)).iter().any(|packet| packet.from == A && data(packet).payload.len() == 10));
}

#[test]
fn what_a_host_sent_before_it_hung_up_is_still_read() {
    let mut lab = Lab::new(1);
    let (a, b) = (lab.add(quiet(A, "SHORT_FAST")), lab.add(quiet(B, "SHORT_FAST")));
    let (served, b) = (lab.connect(a), lab.connect(b));
    lab.datagram(served, B, 10);
    lab.hang_up(served);
    lab.run_secs(2);
    assert_eq!(content(&lab.take(b)).len(), 1);
    let waiting = lab.open(a, Transport::Tcp);
    lab.datagram(waiting, B, 20);
    lab.say(waiting, to_radio::Variant::Disconnect(true));
    lab.hang_up(waiting);
    lab.run_secs(2);
    assert_eq!(content(&lab.take(b)).len(), 1, "even if it was not accepted yet");
    lab.connect(a);
}

#[test]
fn a_serial_host_that_says_nothing_for_15_minutes_has_to_ask_again() {
    let mut lab = Lab::new(1);
    let radio = lab.add(quiet(A, "LONG_FAST"));
    let client = lab.connect_by(radio, Transport::Serial);
    lab.run_secs(16 * 60);
    assert!(lab.host(client).closed.is_none());
    lab.heartbeat(client, 0);
    lab.run_secs(1);
    assert!(lab.take(client).is_empty());
    lab.want_config(client, 2);
    lab.run_secs(1);
    assert_eq!(lab.take(client).last().unwrap().variant, Some(Variant::ConfigCompleteId(2)));
}
