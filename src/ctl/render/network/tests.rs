use meshnet_bus::describe::{Radio, SCHEMA};

use super::*;

/// A network with a bit of everything.
pub(crate) fn example() -> Network {
    let counts = |pairs: &[(&str, u64)]| pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    let radio = Radio {
        radio: Some("!d45b9db8".to_owned()),
        radio_name: Some("Attic".to_owned()),
        firmware: Some("2.7.4".to_owned()),
        region: Some("EU_868".to_owned()),
        preset: Some("LONG_FAST".to_owned()),
        hop_limit: Some(3),
        channel_index: 1,
        channel_name: Some("mesh".to_owned()),
        duty_percent: Some(1.0),
        channel_utilization: Some(12.54),
        queue_free: Some(14),
        queue_len: Some(16),
        nodes_heard: 7,
        ..Radio::default()
    };
    let cabin = Peer {
        public_key: "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=".to_owned(),
        name: Some("cabin".to_owned()),
        mode: "PKI".to_owned(),
        origin: "config".to_owned(),
        state: "established".to_owned(),
        last_handshake_seconds: Some(7_300),
        last_seen_seconds: Some(185),
        endpoint: Some("!a1b2c3d4".to_owned()),
        link: Some("radio0".to_owned()),
        endpoints: vec!["!a1b2c3d4".to_owned()],
        allowed_ips: vec!["10.42.0.2/32".to_owned()],
        rtt_ms: Some(1843.2),
        loss: Some(0.031),
        sent: Counters { packets: 40, bytes: 3_500, datagrams: 42, airtime_ms: 4_200 },
        received: Counters { packets: 1, bytes: 84, datagrams: 3, airtime_ms: 980 },
        drops: counts(&[("queue-full", 2), ("no-route", 11)]),
        tier: Some("radio".to_owned()),
        ..Peer::default()
    };
    let hut = Peer {
        public_key: "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=".to_owned(),
        mode: "SYMMETRIC".to_owned(),
        origin: "bus-volatile".to_owned(),
        state: "idle".to_owned(),
        allowed_ips: vec!["10.42.0.3/32".to_owned()],
        endpoints: vec!["!00000003".to_owned()],
        ..Peer::default()
    };
    Network {
        schema: SCHEMA,
        version: "0.1.0".to_owned(),
        interface: "mesh0".to_owned(),
        state: "running".to_owned(),
        public_key: "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned(),
        addresses: vec!["10.42.0.1/24".to_owned(), "fd00::1/64".to_owned()],
        mtu: 1280,
        unix_time: 1_800_000_000,
        uptime_seconds: 11_000,
        peers: vec![cabin, hut],
        links: vec![Link {
            name: "radio0".to_owned(),
            kind: "meshtastic".to_owned(),
            connect: "tcp://192.0.2.7:4403".to_owned(),
            state: "up".to_owned(),
            up: true,
            queued: counts(&[("bulk", 2), ("control", 0)]),
            airtime_used_ms: 4_200,
            airtime_left_ms: Some(31_800),
            sent: 1,
            received: 9,
            radio,
            peers: vec![PeerRadio {
                radio: "!a1b2c3d4".to_owned(),
                hops: Some(0),
                snr: Some(6.25),
                rssi: Some(-97),
                heard: Some(1_799_999_815),
                key: "known".to_owned(),
            }],
            ..Link::default()
        }],
        drops: counts(&[]),
        ..Network::default()
    }
}

/// The same, and its peer with a name was found in the local network.
pub(crate) fn example_with_paths() -> Network {
    let mut network = example();
    network.links.push(Link {
        name: "udp0".to_owned(),
        kind: "udp".to_owned(),
        connect: "udp://*:51820".to_owned(),
        state: "up".to_owned(),
        ..Link::default()
    });
    let cabin = &mut network.peers[0];
    cabin.tier = Some("direct".to_owned());
    cabin.path_reason = Some("cheaper".to_owned());
    (cabin.endpoint, cabin.link) = (Some("udp://192.0.2.7:51820".to_owned()), Some("udp0".to_owned()));
    let path = |link: &str, endpoint: &str, tier: &str| Path {
        link: link.to_owned(),
        endpoint: endpoint.to_owned(),
        tier: tier.to_owned(),
        state: "proven".to_owned(),
        ..Path::default()
    };
    let direct = Path {
        current: true,
        origin: Some("announced".to_owned()),
        last_heard_seconds: Some(1),
        rtt_ms: Some(12.0),
        loss: Some(0.0),
        sent: PathCounters { datagrams: 1, bytes: 148, airtime_ms: 0 },
        ..path("udp0", "udp://192.0.2.7:51820", "direct")
    };
    let sent = PathCounters { datagrams: 42, bytes: 3_500, airtime_ms: 4_200 };
    cabin.paths = vec![direct, Path { sent, ..path("radio0", "!a1b2c3d4", "radio") }];
    network
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn everything_that_is_known_is_shown_and_nothing_else() {
    let expected = "\
network: mesh0 (running)
  public key: AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
  addresses: 10.42.0.1/24, fd00::1/64
  mtu: 1280
  running for: 3 hours
  version: 0.1.0

link: radio0 (up)
  connected to: tcp://192.0.2.7:4403
  radio: !d45b9db8 \"Attic\", firmware 2.7.4
  set to: EU_868, LONG_FAST, channel 1 \"mesh\", 3 hops
  channel: busy 12.5 % of the last minute
  radio's queue: 14 of 16 places free
  nodes heard: 7
  airtime: 4.2 s of 36 s this hour
  waiting for air: 2 bulk
  traffic: 1 datagram sent, 9 received
  hears: !a1b2c3d4, 3 minutes ago, directly, 6.2 dB over noise, -97 dBm

peer: cabin (established)
  public key: AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=
  allowed ips: 10.42.0.2/32
  endpoints: !a1b2c3d4
  tier: radio
  path: !a1b2c3d4 through radio0
  latest handshake: 2 hours ago
  last heard: 3 minutes ago
  round trip: 1.8 s
  loss: 3 % of what was asked
  transfer: 84 B (1 packet) received, 3.4 KiB (40 packets) sent
  airtime: 980 ms received, 4.2 s sent
  dropped: 11 no-route, 2 queue-full

peer: AwMDAwMDAwMD… (idle)
  public key: AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=
  allowed ips: 10.42.0.3/32
  endpoints: !00000003
  latest handshake: never
  origin: added with \"peer add\", until the daemon ends
  mode: SYMMETRIC
";
    assert_eq!(plain(&show(&example())), expected);
}

#[test]
fn each_way_to_a_peer_is_shown_with_why_and_what_it_has_cost() {
    let network = example_with_paths();
    let text = plain(&show(&network));
    for line in [
        "link: udp0 (up)\n  listens at: udp://*:51820\n  traffic: 0 datagrams sent, 0 received\n",
        "  tier: direct\n  path: udp://192.0.2.7:51820 through udp0 (its link costs less)\n",
        "  in use: udp://192.0.2.7:51820 through udp0, direct, proven, announced, last heard 1 second ago, round trip \
         12 ms, 0 % lost; 148 B sent (1 datagram)\n",
        "  also known: !a1b2c3d4 through radio0, radio, proven, never heard; 3.4 KiB sent (42 datagrams, 4.2 s of \
         air)\n",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn what_is_wrong_stands_at_the_top_of_its_section() {
    let mut network = example();
    network.state = "degraded".to_owned();
    network.state_reason = Some("no-link".to_owned());
    let link = &mut network.links[0];
    link.state = "down".to_owned();
    link.last_error = Some("connection refused".to_owned());
    link.radio.stopped_until = Some(network.unix_time + 720);
    let text = plain(&show(&network));
    assert!(text.starts_with("network: mesh0 (degraded)\n  because: no link works\n"), "{text}");
    assert!(text.contains("link: radio0 (down)\n  last error: connection refused\n"), "{text}");
    assert!(text.contains("refuses to send: for another 12 min\n"), "{text}");
}

#[test]
fn a_radios_name_cannot_write_on_the_terminal() {
    let mut network = example();
    network.links[0].radio.radio_name = Some("\u{1b}[2J\nlink: fake (up)".to_owned());
    network.peers[0].name = Some("\u{202e}nibac".to_owned());
    let text = show(&network);
    assert!(!text.contains("\u{1b}[2J") && !text.contains('\u{202e}'), "{text:?}");
    assert!(!plain(&text).contains("\nlink: fake"), "{text}");
}

#[test]
fn a_number_that_is_none_is_no_round_trip() {
    let peer = |rtt_ms| Peer { rtt_ms, ..Peer::default() };
    assert_eq!(round_trip(&peer(Some(f64::NAN))), None);
    assert_eq!(round_trip(&peer(Some(-1.0))), None);
    assert_eq!(round_trip(&peer(Some(f64::INFINITY))), None);
    assert_eq!(round_trip(&peer(Some(250.4))).as_deref(), Some("250 ms"));
}
