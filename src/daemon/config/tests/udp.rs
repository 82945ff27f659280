//! Links and endpoints of UDP, and files of WireGuard's.

use std::net::IpAddr;
use std::num::NonZeroU16;

use super::*;
use crate::link::UdpSpec;

/// A file as `wg-quick` has it: the interface in lines 1 to 4, a peer in lines 5 to 9.
fn wireguard() -> String {
    format!(
        "[Interface]\nPrivateKey = {PRIVATE}\nAddress = 10.0.0.1/24, fd00::1/64\nListenPort = 51821\n\
         [Peer]\nPublicKey = {ALICE}\nAllowedIPs = 10.0.0.2/32\nEndpoint = vpn.example.org:51820\n\
         PersistentKeepalive = 25\n"
    )
}

/// [`wireguard`] with one line of `[Interface]` more, which is line 5.
fn wireguard_with(line: &str) -> String {
    wireguard().replace("[Peer]", &format!("{line}\n[Peer]"))
}

/// A network with a radio and a udp link: the interface in lines 1 to 5, a peer in lines 6 to 9.
fn both() -> String {
    with("ListenPort = 0")
}

fn udp(link: &LinkSpec) -> &UdpSpec {
    let LinkKind::Udp(udp) = &link.kind else { panic!("{link:?}") };
    udp
}

fn endpoints(config: &Config, peer: usize) -> Vec<String> {
    config.peers[peer].endpoints().map(|endpoint| endpoint.to_string()).collect()
}

#[test]
fn a_file_of_wireguard_makes_a_network_without_any_radio() {
    let config = fine(&wireguard());
    let [link] = config.links.as_slice() else { panic!() };
    assert_eq!((link.name.as_str(), udp(link)), ("udp0", &UdpSpec { port: 51821, ..UdpSpec::default() }));
    assert_eq!(config.mtu, 1420);
    let peer = &config.peers[0];
    assert_eq!(peer.core.mode, PeerMode::Wireguard);
    assert_eq!(peer.names, [HostPort { host: "vpn.example.org".to_owned(), port: 51820 }]);
    assert_eq!((peer.core.endpoints.len(), peer.keepalive), (0, NonZeroU16::new(25)));
}

#[test]
fn endpoints_are_radios_addresses_and_names_at_once() {
    let endpoint = "Endpoint = !d45b9db8, 192.0.2.7:51820, udp://[2001:db8::7]:5, cabin.example:51820";
    let config = fine(&both().replace("Endpoint = !d45b9db8", endpoint));
    let peer = &config.peers[0];
    assert_eq!(peer.core.mode, PeerMode::Wireguard);
    assert!(peer.has_radio() && peer.has_udp() && peer.bulk_over_radio());
    assert_eq!(
        endpoints(&config, 0),
        ["!d45b9db8", "udp://192.0.2.7:51820", "udp://[2001:db8::7]:5", "udp://cabin.example:51820"]
    );
    assert_eq!(peer.contacts.len(), 1);
}

#[test]
fn the_mode_is_what_the_endpoints_suggest_unless_it_is_said() {
    let mode = |text: &str| ok(text).peers[0].core.mode;
    assert_eq!(mode(&base()), PeerMode::Pki);
    assert_eq!(mode(&both()), PeerMode::Pki, "a radio alone means what it meant, whatever links there are");
    assert_eq!(mode(&format!("{}PeerMode = wireguard\n", base())), PeerMode::Wireguard);
    let comes_to_us = both().replace("Endpoint = !d45b9db8\n", "");
    assert_eq!(mode(&comes_to_us), PeerMode::Wireguard);
    assert!(ok(&comes_to_us).peers[0].core.endpoints.is_empty());
    let last = wireguard();
    let (interface, peer) = last.split_at(last.find("[Peer]").unwrap());
    assert_eq!(
        mode(&format!("{peer}{interface}")),
        PeerMode::Wireguard,
        "the order of sections says nothing"
    );
}

#[test]
fn udp_links_are_read_to_the_letter() {
    let text = format!(
        "{}[Link]\nType = udp\nName = lan\nListenPort = 7\nAddress = ::1\nFwMark = 0xca6c\n\
         BindToDevice = enp3s0.100\nCost = 20\n[Link]\nType = UDP\n[Link]\nType = meshtastic\nConnect = tcp://b\n",
        wireguard_with("FwMark = 51")
    );
    let config = fine(&text);
    let names: Vec<&str> = config.links.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(names, ["udp0", "lan", "udp2", "radio3"]);
    assert_eq!(udp(&config.links[0]).fwmark, Some(51));
    let listen: Vec<IpAddr> = vec!["::1".parse().unwrap()];
    let expected = UdpSpec {
        listen,
        port: 7,
        fwmark: Some(0xca6c),
        device: Some("enp3s0.100".to_owned()),
        cost: Some(20),
    };
    assert_eq!(udp(&config.links[1]), &expected);
    assert_eq!(udp(&config.links[2]).port, 51820);
    let marks = ["off", "0", "0x0", "0XFF", "4294967295"].map(|mark| {
        udp(&fine(&wireguard().replace("ListenPort = 51821", &format!("FwMark = {mark}"))).links[0]).fwmark
    });
    assert_eq!(marks, [None, None, None, Some(255), Some(u32::MAX)]);
    let two = format!("{}[Link]\nType = udp\nAddress = 192.0.2.1, ::1\n", wireguard());
    assert!(only_wrong(&two).contains("Address"), "one socket has one address, or all");
}

#[test]
fn the_mtu_follows_the_links_and_has_room_for_large_frames_on_udp_only() {
    assert_eq!(fine(&both()).mtu, 1420, "a radio does not slow down UDP");
    assert_eq!(fine(&wireguard_with("MTU = 9000")).mtu, 9000);
    assert_eq!(
        only_wrong(&wireguard_with("MTU = 9001")),
        "m.conf:5: MTU: \"9001\" is out of range; a whole number from 68 to 9000"
    );
    assert!(only_wrong(&wireguard_with("MTU = 1279")).contains("too few for the IPv6 address"));
}

#[test]
fn keepalives_and_bulk_go_where_they_make_sense() {
    let table = [
        (wireguard().replace("= 25", "= off"), None),
        (wireguard().replace("= 25", "= 0"), None),
        (wireguard().replace("= 25", "= 65535"), NonZeroU16::new(65535)),
    ];
    for (text, expected) in table {
        assert_eq!(fine(&text).peers[0].keepalive, expected, "{text}");
    }
    let two = both().replace("!d45b9db8", "!d45b9db8, 192.0.2.7:1");
    assert!(fine(&format!("{two}BulkOverRadio = yes\n")).peers[0].bulk_over_radio());
    assert!(!fine(&format!("{two}BulkOverRadio = no\n")).peers[0].bulk_over_radio());
    assert!(fine(&base()).peers[0].bulk_over_radio(), "there is no other way");
    assert!(!fine(&wireguard()).peers[0].bulk_over_radio(), "there is no radio");
    // Two that know each other's radio find to UDP by themselves, and may keep bulk for that.
    let by_radio = fine(&format!("{}PeerMode = WIREGUARD\nBulkOverRadio = no\n", both()));
    assert!(!by_radio.peers[0].bulk_over_radio() && by_radio.peers[0].core.bulk_over_metered == Some(false));
    let warned = |text: &str| ok(text).warnings.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        warned(&format!("{two}PersistentKeepalive = 25\n")),
        [
            "m.conf:10: warning: PersistentKeepalive: not sent by radio, where a keepalive would take air; it holds for \
          UDP alone"
        ]
    );
    assert_eq!(
        warned(&format!("{}BulkOverRadio = yes\n", base())),
        [
            "m.conf:9: warning: BulkOverRadio: of no use: this peer is not spoken to in WireGuard's protocol; PeerMode = \
             WIREGUARD, or without this key"
        ]
    );
    assert_eq!(
        warned(&format!("{}BulkOverRadio = yes\n", wireguard())),
        [
            "m.conf:10: warning: BulkOverRadio: of no use: this peer has no radio among its endpoints; a radio as \
             Endpoint, or without this key"
        ]
    );
    assert_eq!(
        warned(&wireguard().replace("Endpoint = vpn", "Endpoint = !d45b9db8, vpn")).len(),
        2,
        "no radio here, and no keepalive there"
    );
}

/// Each error, told in full.
#[test]
fn each_mistake_is_told_where_it_is_and_how_to_mend_it() {
    let table = [
        (
            base().replace("!d45b9db8", "192.0.2.7:1"),
            "m.conf:8: Endpoint: udp://192.0.2.7:1 is reached by no link; ListenPort = 51820 in [Interface], or a \
             [Link] with Type = udp",
        ),
        (
            wireguard()
                .replace("vpn.example.org:51820", "!d45b9db8")
                .replace("PersistentKeepalive = 25\n", ""),
            "m.conf:8: Endpoint: !d45b9db8 is reached by no link; MeshtasticConnect in [Interface], or a [Link] with \
             Connect",
        ),
        (
            format!("{}PeerMode = PKI\n", both().replace("!d45b9db8", "!d45b9db8, a.example:1")),
            "m.conf:9: Endpoint: a UDP endpoint at a peer that is not spoken to in WireGuard's protocol; PeerMode = \
             WIREGUARD, or radios only",
        ),
        (
            format!("{}PersistentKeepalive = 25\n", base()),
            "m.conf:9: PersistentKeepalive: at a peer that is not spoken to in WireGuard's protocol; PeerMode = \
             WIREGUARD, or without this key",
        ),
        (
            wireguard().replace("= 25", "= soon"),
            "m.conf:9: PersistentKeepalive: \"soon\" is no number; seconds from 1 to 65535, or off",
        ),
        (
            format!("{}BulkOverRadio = maybe\n", wireguard()),
            "m.conf:10: BulkOverRadio: \"maybe\" is neither yes nor no; yes or no",
        ),
        (
            format!("{}PeerMode = WIREGUARD\n", base().replace("Endpoint = !d45b9db8\n", "")),
            "m.conf:5: Endpoint: missing in [Peer], and without a udp link the peer cannot come to us either; an \
             Endpoint, or ListenPort = 51820 in [Interface]",
        ),
        (
            wireguard().replace("vpn.example.org:51820", "vpn.example.org"),
            "m.conf:8: Endpoint: \"vpn.example.org\" is no endpoint; !d45b9db8 (a radio's node id), HOST:PORT or \
             udp://HOST:PORT (an IPv6 address in brackets)",
        ),
        (
            format!(
                "{}[Peer]\nPublicKey = {BOB}\nAllowedIPs = 10.0.0.3/32\nEndpoint = VPN.example.org:51820\n",
                wireguard()
            ),
            "m.conf:13: Endpoint: udp://vpn.example.org:51820 is another peer's already (line 8); each endpoint at one \
             peer",
        ),
        (
            wireguard().replace("51821", "65536"),
            "m.conf:4: ListenPort: \"65536\" is out of range; a whole number from 0 to 65535",
        ),
        (
            wireguard_with("FwMark = 0x1ffffffff"),
            "m.conf:5: FwMark: \"0x1ffffffff\" is no mark; a number from 0 to 4294967295, also as 0xca6c, or off",
        ),
        (
            format!("{}[Link]\nType = ble\n", base()),
            "m.conf:10: Type: \"ble\" is no type of a link; meshtastic or udp",
        ),
        (
            format!("{}[Link]\nListenPort = 5\n", base()),
            "m.conf:9: Type: missing in [Link], which has ListenPort; Type = udp, or Connect for a radio",
        ),
        (
            format!("{}[Link]\nType = udp\nHopLimit = 5\n", base()),
            "m.conf:11: HopLimit: a udp link has none; Type = meshtastic for a radio, or without this key",
        ),
        (
            format!("{}[Link]\nConnect = tcp://b\nCost = 5\n", base()),
            "m.conf:11: Cost: a radio has none; Type = udp for a link over IP networks, or without this key",
        ),
        (
            format!("{}[Link]\nType = udp\nAddress = 10.0.0.1/24\n", base()),
            "m.conf:11: Address: \"10.0.0.1/24\" is no address; an address of this host, for example 192.0.2.7 or \
             2001:db8::7; none for all",
        ),
        (
            format!("{}[Link]\nType = udp\nBindToDevice = eth/0\n", base()),
            "m.conf:11: BindToDevice: \"eth/0\" is no interface name; as \"ip link\" shows it, for example eth0",
        ),
        (
            format!("{}[Link]\nType = udp\nListenPort = 51821\nAddress = ::1\n", wireguard()),
            "m.conf:10: ListenPort: the port is taken by the link in line 4; another port, address or interface, or \
             ListenPort = 0 for any free port",
        ),
        (
            wireguard().replace("ListenPort = 51821\n", ""),
            "m.conf:1: MeshtasticConnect: no link; MeshtasticConnect for a radio or ListenPort for UDP here, or a [Link] \
             section",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(only_wrong(&text), expected, "in\n{text}");
    }
}

#[test]
fn what_wg_quick_has_and_we_have_not_is_never_passed_over() {
    for (line, mends) in [
        ("PreUp = iptables -A x", "ExecStartPre=+"),
        ("PostUp = iptables -A x", "ExecStartPost=+"),
        ("PreDown = true", "ExecStop=+"),
        ("PostDown = true", "ExecStopPost=+"),
        ("Table = off", "ip rule"),
        ("Table = 1234", "ip rule"),
    ] {
        let error = only_wrong(&wireguard_with(line));
        let key = line.split(' ').next().unwrap();
        assert!(error.starts_with(&format!("m.conf:5: {key}: ")) && error.contains(mends), "{error}");
    }
    for line in ["DNS = 10.0.0.1, example.org", "SaveConfig = true", "Table = auto"] {
        let config = ok(&wireguard_with(line));
        let [warning] = config.warnings.as_slice() else { panic!("{line}: {:?}", config.warnings) };
        assert!(warning.to_string().starts_with("m.conf:5: warning: "), "{warning}");
    }
}

#[test]
fn a_peer_is_the_same_after_it_is_written() {
    let text = both().replace(
        "Endpoint = !d45b9db8",
        &format!("Endpoint = cabin.example:51820, [fd00::7]:5, !d45b9db8\nRadioPublicKey = {PSK}\nBulkOverRadio = yes"),
    ) + &format!("[Peer]\nPublicKey = {BOB}\nAllowedIPs = 10.0.0.3/32\n");
    let config = fine(&text);
    let written: String = config.peers.iter().map(|peer| peer_section(peer).to_string()).collect();
    let again = parse_peers("m.peers", &written).unwrap();
    for (before, after) in config.peers.iter().zip(&again) {
        let blank = |peer: &Peer| format!("{:?}", Peer { line: 0, ..peer.clone() });
        assert_eq!(blank(before), blank(after));
    }
    assert_eq!(again.len(), 2);
}
