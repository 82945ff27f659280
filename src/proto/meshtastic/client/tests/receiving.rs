//! What comes from the radio besides answers: datagrams, measurements, texts.

use super::*;
use crate::meshtastic::message::{ClientNotification, DeviceMetrics, LocalStats, Telemetry, telemetry};

fn datagrams(bench: &mut Bench) -> Vec<Output> {
    bench.outputs().into_iter().filter(|output| matches!(output, Output::Datagram { .. })).collect()
}

#[test]
fn datagrams_come_in_on_both_ports() {
    let mut bench = Bench::up(&Setup::default());
    for portnum in [port::PRIVATE, port::IP_TUNNEL] {
        bench.hear(PEER, MeshPacket::default(), Data { portnum, ..private(b"hello") });
        let expected = Output::Datagram { from: LinkAddr::radio(PEER), payload: b"hello".to_vec() };
        assert_eq!(datagrams(&mut bench), [expected]);
    }
}

#[test]
fn what_is_not_for_us_alone_is_none_of_ours() {
    let mut bench = Bench::up(&Setup::default());
    let payload = Some(mesh_packet::Payload::Decoded(private(b"x")));
    for (from, to) in [(PEER, crate::meshtastic::BROADCAST), (PEER, 0x0c), (OWN, OWN), (0, OWN)] {
        bench.feed(Variant::Packet(MeshPacket {
            from,
            to,
            payload: payload.clone(),
            ..MeshPacket::default()
        }));
    }
    bench.hear(PEER, MeshPacket::default(), Data { portnum: port::TEXT_MESSAGE, ..private(b"x") });
    let encrypted = Some(mesh_packet::Payload::Encrypted(vec![1, 2, 3]));
    bench.feed(Variant::Packet(MeshPacket {
        from: PEER,
        to: OWN,
        payload: encrypted,
        ..MeshPacket::default()
    }));
    assert_eq!(datagrams(&mut bench), []);
}

#[test]
fn signal_and_distance_of_a_peer_are_shown() {
    let mut bench = Bench::up(&Setup::default());
    let packet =
        MeshPacket { hop_start: 3, hop_limit: 2, rx_snr: -4.25, rx_rssi: -110, ..MeshPacket::default() };
    bench.hear(PEER, packet, private(b"x"));
    let (node, radio) = bench.client.status().peers.remove(0);
    assert_eq!((node, radio.hops, radio.snr, radio.rssi), (PEER, Some(1), Some(-4.25), Some(-110)));
}

#[test]
fn the_radios_own_airtime_is_told_and_nobody_elses() {
    let mut bench = Bench::up(&Setup::default());
    let metrics =
        DeviceMetrics { air_util_tx: Some(2.5), channel_utilization: Some(12.0), ..DeviceMetrics::default() };
    let stats = LocalStats { air_util_tx: 5.0, channel_utilization: 9.0, ..LocalStats::default() };
    for (from, variant, spent) in [
        (OWN, telemetry::Variant::DeviceMetrics(metrics), Some(90)),
        (OWN, telemetry::Variant::LocalStats(stats), Some(180)),
        (PEER, telemetry::Variant::DeviceMetrics(metrics), None),
    ] {
        let payload = Telemetry { time: 1, variant: Some(variant) }.encode_to_vec();
        bench.hear(
            from,
            MeshPacket::default(),
            Data { portnum: port::TELEMETRY, payload, ..Data::default() },
        );
        let expected: Vec<_> = spent.map(|s| LinkEvent::Spent(Duration::from_secs(s))).into_iter().collect();
        assert_eq!(bench.links(), expected);
    }
    assert_eq!(bench.client.status().channel_utilization, Some(9.0));
}

#[test]
fn airtime_that_cannot_be_is_ignored() {
    let mut bench = Bench::up(&Setup::default());
    for percent in [f32::NAN, f32::INFINITY, -1.0, 100.1, f32::MAX] {
        let metrics = DeviceMetrics { air_util_tx: Some(percent), ..DeviceMetrics::default() };
        let variant = Some(telemetry::Variant::DeviceMetrics(metrics));
        let payload = Telemetry { time: 1, variant }.encode_to_vec();
        bench.hear(OWN, MeshPacket::default(), Data { portnum: port::TELEMETRY, payload, ..Data::default() });
    }
    assert_eq!(bench.links(), []);
}

#[test]
fn the_radios_words_reach_the_operator_once_and_harmless() {
    let mut bench = Bench::up(&Setup::default());
    for _ in 0..3 {
        let message = "low\x1b[2J battery\n".to_owned();
        bench.feed(Variant::ClientNotification(ClientNotification { message, ..Default::default() }));
    }
    assert_eq!(bench.notices(), [Notice::RadioSays("low [2J battery".to_owned())]);
}

#[test]
fn the_log_of_a_serial_device_is_kept_apart_from_its_messages() {
    let mut bench = Bench::up(&Setup::default());
    bench.client.handle_bytes(b"DEBUG | tick\r\n", bench.now);
    assert_eq!(bench.notices(), [Notice::Log("DEBUG | tick".to_owned())]);
    bench.hear(PEER, MeshPacket::default(), private(b"x"));
    assert_eq!(datagrams(&mut bench).len(), 1);
}
