//! What a configuration may say, and what is said about a wrong one.

use meshnet_proto::config::PeerMode;

use super::*;
use crate::link::{Connect, LinkKind, RadioSpec};

const PRIVATE: &str = "SEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISEg=";
/// The public half of [`PRIVATE`].
const OWN: &str = "kXeyMnjL8PPRfDbyrMm1XpyF+HsiClOG7DcNZj4g4zc=";
const ALICE: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
const BOB: &str = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";
const PSK: &str = "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=";

/// A file as the Python tool has it: the interface in lines 1 to 4, a peer in lines 5 to 8.
fn base() -> String {
    format!(
        "[Interface]\nPrivateKey = {PRIVATE}\nAddress = 10.0.0.1/24\nMeshtasticConnect = tcp://radio\n\
         [Peer]\nPublicKey = {ALICE}\nAllowedIPs = 10.0.0.2/32\nEndpoint = !d45b9db8\n"
    )
}

/// A second peer that contradicts nothing, in four lines.
fn bob() -> String {
    format!("[Peer]\nPublicKey = {BOB}\nAllowedIPs = 10.0.0.3/32\nEndpoint = !d45b9db9\n")
}

/// [`base`] with one line of `[Interface]` more, which is line 5.
fn with(line: &str) -> String {
    base().replace("[Peer]", &format!("{line}\n[Peer]"))
}

fn ok(text: &str) -> Config {
    parse("m.conf", text).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
}

/// A configuration without a word of warning.
fn fine(text: &str) -> Config {
    let config = ok(text);
    assert_eq!(config.warnings, [], "{text}");
    config
}

fn wrong(text: &str) -> Vec<String> {
    let Err(errors) = parse("m.conf", text) else { panic!("accepted:\n{text}") };
    errors.iter().map(ToString::to_string).collect()
}

/// The one thing that is wrong.
fn only_wrong(text: &str) -> String {
    let errors = wrong(text);
    let [error] = errors.as_slice() else { panic!("{errors:#?}\nin\n{text}") };
    error.clone()
}

#[test]
fn a_file_of_the_python_tool_means_what_it_means_there() {
    let config = fine(&base());
    assert!(matches!(&config.key, KeySource::Inline(key) if key.public().to_string() == OWN));
    assert_eq!(config.addresses, ["10.0.0.1/24".parse().unwrap()]);
    assert_eq!((config.mtu, config.tap_name.as_str()), (180, "mesh0"));
    assert_eq!((config.run_as_user, config.run_as_group), (None, None));
    let [link] = config.links.as_slice() else { panic!() };
    let radio = radio(link);
    assert_eq!(radio.connect, Connect::Tcp { host: "radio".to_owned(), port: 4403 });
    assert_eq!((radio.channel_index, radio.hop_limit), (0, None));
    let [peer] = config.peers.as_slice() else { panic!() };
    assert_eq!(peer.core.public_key.to_string(), ALICE);
    assert_eq!(peer.core.allowed_ips, ["10.0.0.2/32".parse().unwrap()]);
    assert_eq!(peer.core.endpoints[0].as_radio(), Some(0xd45b_9db8));
    assert_eq!(peer.core.mode, PeerMode::Pki);
}

/// A link that is a radio.
fn radio(link: &LinkSpec) -> &RadioSpec {
    let LinkKind::Meshtastic(radio) = &link.kind else { panic!("{link:?}") };
    radio
}

/// Each of these was given to the Python tool, which took it.
#[test]
fn what_the_python_tool_takes_is_taken() {
    let all = base();
    let peer_first = {
        let (interface, peer) = all.split_at(all.find("[Peer]").unwrap());
        format!("{peer}{interface}")
    };
    let mut table = vec![
        all.replace(" = ", "="),
        all.replace(" = ", "\t=  "),
        all.replace(" = ", "\u{a0}=\u{a0}"),
        all.replace('\n', "\r\n"),
        all.replace('\n', "\n\n  # a comment\n; another\n"),
        format!("# at the top, before any section\n{all}"),
        peer_first,
        with("MTU = 1_000"),
        with("MTU = +200"),
        with("MTU = 68"),
        with("MTU = 1500"),
        with("TapName = a"),
        with("TapName = my-mesh-7"),
        with("TapName = abcdefghijklmno"),
        with("RunAsUser = nobody\nRunAsGroup = 65534"),
        with("RunAsUser ="),
        format!("{all}PresharedKey = {PSK}\n"),
        format!("{all}PeerMode = PKI\n"),
        format!("{all}PeerMode = symmetric\nPresharedKey = {PSK}\n"),
        format!("{all}{}", bob()),
    ];
    for address in
        ["10.0.0.1", "10.0.0.1/255.255.255.0", "10.0.0.1/0.0.0.255", "10.0.0.0/24", "fd00::1/64", "fd00::1"]
    {
        table.push(all.replace("10.0.0.1/24", address));
    }
    for prefixes in
        ["10.0.0.2", "10.0.0.2/24", "10.1.0.0/255.255.0.0", "10.1.0.0/16 ,10.2.0.0/16,", "0.0.0.0/0"]
    {
        table.push(all.replace("10.0.0.2/32", prefixes));
    }
    for connect in [
        "tcp://h:4403",
        "tcp://h:",
        "TCP://h",
        "tcp://h/",
        "tcp://[::1]",
        "tcp://[::1]:4404",
        "tcp://192.0.2.7:1",
    ] {
        table.push(all.replace("tcp://radio", connect));
    }
    for connect in ["serial:///dev/ttyUSB0", "SERIAL:///dev/ttyUSB0", "serial:/dev/ttyUSB0"] {
        table.push(all.replace("tcp://radio", connect));
    }
    table.push(all.replace("!d45b9db8", "!D45B9DB8"));
    for text in table {
        fine(&text);
    }
}

#[test]
fn what_the_python_tool_takes_but_nobody_means_is_a_warning() {
    let again = ok(&with("MTU = 200\nMTU = 300"));
    assert_eq!(again.mtu, 300, "the last one counts");
    assert_eq!(
        again.warnings[0].to_string(),
        "m.conf:6: warning: MTU: given again (first in line 5); this one counts; one line for it"
    );
    let mute = ok(&base().replace("10.0.0.2/32", ""));
    assert!(mute.warnings[0].to_string().starts_with("m.conf:5: warning: AllowedIPs: no value: no traffic"));
    let deaf = ok(&base().replace("10.0.0.2/32", "10.0.0.2/32, fd00::/64"));
    assert!(deaf.warnings[0].to_string().contains("an interface with an MTU of 180 speaks no IPv6"));
}

#[test]
fn a_network_of_terse_sessions_alone_has_long_packets_unless_it_says_otherwise() {
    let terse = format!("{}PeerMode = WIREGUARD\n", base());
    assert_eq!(fine(&terse).mtu, 1300);
    assert_eq!(fine(&terse.replace("10.0.0.1/24", "fd00::1/64")).mtu, 1300);
    assert_eq!(fine(&terse.replace("[Interface]\n", "[Interface]\nMTU = 400\n")).mtu, 400);
    // One that cuts packets in version 1's manner, which repeats nothing, is enough.
    assert_eq!(fine(&format!("{terse}{}", bob())).mtu, 180);
}

#[test]
fn prefixes_lose_their_host_bits_and_masks_become_lengths() {
    let config =
        fine(&base().replace("10.0.0.2/32", "10.0.0.2/24, 10.1.2.3/255.255.0.0, 10.2.0.0/0.0.0.255"));
    let expected = ["10.0.0.0/24", "10.1.0.0/16", "10.2.0.0/24"].map(|prefix| prefix.parse().unwrap());
    assert_eq!(config.peers[0].core.allowed_ips, expected);
}

#[test]
fn connections_are_read_to_the_letter() {
    let connect = |text: &str| radio(&fine(&base().replace("tcp://radio", text)).links[0]).connect.clone();
    let tcp = |host: &str, port| Connect::Tcp { host: host.to_owned(), port };
    assert_eq!(connect("tcp://192.0.2.7:5000"), tcp("192.0.2.7", 5000));
    assert_eq!(connect("tcp://[2001:db8::7]:5000"), tcp("2001:db8::7", 5000));
    assert_eq!(connect("tcp://meshtastic.local/"), tcp("meshtastic.local", 4403));
    let path = "/dev/serial/by-id/usb-Silicon_Labs_CP2102_0001-if00-port0".into();
    assert_eq!(
        connect("serial:///dev/serial/by-id/usb-Silicon_Labs_CP2102_0001-if00-port0"),
        Connect::Serial { path }
    );
}

#[test]
fn what_goes_beyond_the_python_tool_is_read() {
    let text = format!(
        "[Interface] # ours\nPrivateKeyFile = key # not here\nAddress = 10.0.0.1/24, fd00::1/64\nAddress = 10.9.0.1/16\n\
         MTU = 1400 # bytes\nTapName = mesh_1\nRekeyAfterMessages = 100\n\
         [Link]\nName = roof\nConnect = tcp://roof\nChannelIndex = 3\nHopLimit = 5\n\
         [Link]\nConnect = serial:///dev/ttyUSB0\n\
         [Peer]\nName = alice\nPublicKey = {ALICE}\nAllowedIPs = 10.0.0.2/32\nAllowedIPs = fd00::2/128\n\
         Endpoint = !d45b9db8, !d45b9db9\nRadioPublicKey = {PSK}\nRadioPublicKey = {BOB}\n"
    );
    let config = fine(&text);
    assert!(matches!(&config.key, KeySource::File { path, line: 2 } if path.as_os_str() == "key"));
    assert_eq!(config.addresses.len(), 3);
    assert_eq!((config.mtu, config.tap_name.as_str(), config.rekey_after_messages), (1400, "mesh_1", 100));
    let names: Vec<_> = config
        .links
        .iter()
        .map(|link| (link.name.as_str(), radio(link).channel_index, radio(link).hop_limit))
        .collect();
    assert_eq!(names, [("roof", 3, Some(5)), ("radio2", 0, None)]);
    let peer = &config.peers[0];
    assert_eq!(peer.name.as_deref(), Some("alice"));
    assert_eq!((peer.core.allowed_ips.len(), peer.core.endpoints.len()), (2, 2));
    let contacts: Vec<_> = peer.contacts.iter().map(|c| (c.node, c.public_key.map(|key| key[0]))).collect();
    assert_eq!(contacts, [(0xd45b_9db8, Some(4)), (0xd45b_9db9, Some(3))]);
}

#[test]
fn the_single_radio_takes_its_channel_and_hops_from_the_interface() {
    let config = fine(&with("ChannelIndex = 2\nHopLimit = 0"));
    let radio = radio(&config.links[0]);
    assert_eq!((radio.channel_index, radio.hop_limit), (2, Some(0)));
}

#[test]
fn an_ipv6_address_raises_the_default_mtu_to_what_ipv6_needs() {
    assert_eq!(fine(&base().replace("10.0.0.1/24", "fd00::1/64")).mtu, 1280);
}

#[test]
fn a_network_may_begin_without_a_peer() {
    let (interface, _) = base().split_once("[Peer]").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let config = ok(&interface);
    assert!(config.peers.is_empty());
    let [warning] = config.warnings.as_slice() else { panic!("{:?}", config.warnings) };
    assert!(warning.to_string().starts_with("m.conf: warning: no [Peer] section"), "{warning}");
}

const MANUAL: &str = include_str!("../../../docs/configuration.md");

#[test]
fn the_manual_names_every_key_and_its_example_is_right() {
    for key in interpret::keys() {
        assert!(
            MANUAL.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{key}`"))),
            "{key} is not in the manual"
        );
    }
    let (_, example) = MANUAL.split_once("## Two radios, several addresses\n").unwrap();
    let (example, _) = example.split_once("\n## ").unwrap();
    let config = fine(example);
    assert_eq!((config.links.len(), config.peers[0].core.endpoints.len()), (2, 2));
    let (_, example) = MANUAL.split_once("## Radio and UDP\n").unwrap();
    let (example, _) = example.split_once("\n## ").unwrap();
    let (_, example) = example.split_once("    [Interface]").unwrap();
    let config = fine(&format!("[Interface]{example}"));
    assert_eq!(config.links.len(), 2);
    assert!(config.peers[0].has_radio() && config.peers[0].has_udp());
}

mod hostile;
mod udp;
mod wrong;
