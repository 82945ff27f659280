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

/// Each error, told in full: file, line, key, what is wrong, what would be right.
#[test]
fn each_mistake_is_told_where_it_is_and_how_to_mend_it() {
    let base = base();
    let table = [
        (with("Adress = 10.0.0.9/24"), "m.conf:5: unknown key \"Adress\"; did you mean Address?"),
        (with("mtu = 200"), "m.conf:5: unknown key \"mtu\"; did you mean MTU?"),
        (with("Endpoint = !d45b9db8"), "m.conf:5: unknown key \"Endpoint\"; it belongs to [Peer]"),
        (
            format!("{base}Weather = fine\n"),
            "m.conf:9: unknown key \"Weather\"; the keys of [Peer] are Name, PublicKey, PresharedKey, AllowedIPs, \
             Endpoint, PeerMode, RadioPublicKey, PersistentKeepalive, BulkOverRadio",
        ),
        (
            base.replace("[Peer]", "[peer]\n[Peer]"),
            "m.conf:5: unknown section \"peer\"; did you mean [Peer]?",
        ),
        (
            base.replace("[Peer]", "[Hub]\n[Peer]"),
            "m.conf:5: unknown section \"Hub\"; [Interface], [Link] or [Peer]",
        ),
        (
            with("MTU 200"),
            "m.conf:5: neither a section, a \"Key = value\" nor a comment; \"#\" before what is a comment",
        ),
        (with("[Link"), "m.conf:5: no section header; [Interface], [Link] or [Peer], alone on its line"),
        (format!("MTU = 5\n{base}"), "m.conf:1: before the first section; [Interface] comes before its keys"),
        (format!("{base}[Interface]\n"), "m.conf:9: a second [Interface] (the first is in line 1); one"),
        (
            base.replace(ALICE, "hello"),
            "m.conf:6: PublicKey: not base64 (expected 44 characters that end in \"=\"); a key is 32 bytes in base64, \
             as \"meshctl genkey\", \"pubkey\" and \"genpsk\" write it",
        ),
        (
            base.replace(PRIVATE, "AAAA"),
            "m.conf:2: PrivateKey: 3 bytes long once decoded, a key has 32; a key is 32 bytes in base64, as \"meshctl \
             genkey\", \"pubkey\" and \"genpsk\" write it",
        ),
        (base.replace(ALICE, OWN), "m.conf:6: PublicKey: our own public key; the public key of the peer"),
        (
            format!("{base}{}", bob().replace(BOB, ALICE)),
            "m.conf:10: PublicKey: the same public key as in line 6; each peer in one section, with its own key",
        ),
        (
            format!("{base}{}", bob().replace("10.0.0.3", "10.0.0.2")),
            "m.conf:11: AllowedIPs: 10.0.0.2/32 is another peer's already (line 7); each prefix at one peer",
        ),
        (
            format!("{base}{}", bob().replace("!d45b9db9", "!D45B9DB8")),
            "m.conf:12: Endpoint: !d45b9db8 is another peer's already (line 8); each endpoint at one peer",
        ),
        (
            format!("{base}Endpoint = !d45b9db8\n"),
            "m.conf:9: Endpoint: !d45b9db8 is there already (line 8); each endpoint once",
        ),
        (
            base.replace("!d45b9db8", "d45b9db8"),
            "m.conf:8: Endpoint: \"d45b9db8\" is no endpoint; !d45b9db8 (a radio's node id), HOST:PORT or udp://HOST:PORT \
             (an IPv6 address in brackets)",
        ),
        (
            base.replace("!d45b9db8", "!ffffffff"),
            "m.conf:8: Endpoint: !ffffffff names no single radio; !d45b9db8 (a radio's node id), HOST:PORT or \
             udp://HOST:PORT (an IPv6 address in brackets)",
        ),
        (with("MTU = 67"), "m.conf:5: MTU: \"67\" is out of range; a whole number from 68 to 1500"),
        (with("MTU = 1501"), "m.conf:5: MTU: \"1501\" is out of range; a whole number from 68 to 1500"),
        (with("MTU = many"), "m.conf:5: MTU: \"many\" is no number; a whole number from 68 to 1500"),
        (with("MTU ="), "m.conf:5: MTU: no value; a whole number from 68 to 1500"),
        (
            with("MTU = 1279").replace("10.0.0.1/24", "fd00::1/64"),
            "m.conf:5: MTU: 1279 bytes are too few for the IPv6 address in line 3; at least 1280 (RFC 8200), or no IPv6 \
             address",
        ),
        (
            with("TapName = -mesh"),
            "m.conf:5: TapName: \"-mesh\" is no interface name; 1 to 15 letters, digits, hyphens or underscores, the \
             first no hyphen",
        ),
        (
            with("TapName = abcdefghijklmnop"),
            "m.conf:5: TapName: \"abcdefghijklmnop\" is no interface name; 1 to 15 letters, digits, hyphens or \
             underscores, the first no hyphen",
        ),
        (
            base.replace("10.0.0.1/24", "10.0.0.1/33"),
            "m.conf:3: Address: \"10.0.0.1/33\" is no address with a prefix length; for example 10.42.0.1/24 or \
             fd42::1/64",
        ),
        (
            base.replace("10.0.0.1/24", "224.0.0.1/24"),
            "m.conf:3: Address: \"224.0.0.1/24\" is no address of a host; for example 10.42.0.1/24 or fd42::1/64",
        ),
        (
            base.replace("10.0.0.1/24", "10.0.0.1/24, 10.0.0.1/16"),
            "m.conf:3: Address: 10.0.0.1 is there already (line 3); each address once",
        ),
        (
            base.replace("tcp://radio", "ble://radio"),
            "m.conf:4: MeshtasticConnect: \"ble://radio\" is neither tcp nor serial; tcp://HOST, tcp://HOST:PORT, or \
             serial:///dev/ttyUSB0",
        ),
        (
            format!("{base}PeerMode = IPSEC\n"),
            "m.conf:9: PeerMode: \"IPSEC\" is no mode; PKI, SYMMETRIC or WIREGUARD",
        ),
        (
            format!("{base}PeerMode = SYMMETRIC\n"),
            "m.conf:9: PeerMode: SYMMETRIC without a PresharedKey; PresharedKey = (what \"meshctl genpsk\" writes), the \
             same at both ends",
        ),
        (
            format!("{base}RadioPublicKey = {PSK}, {BOB}\n"),
            "m.conf:9: RadioPublicKey: 2 of them for 1 radios; one for each Endpoint that is a radio, in the same \
             order",
        ),
        (
            format!("{base}RadioPublicKey = AAAA\n"),
            "m.conf:9: RadioPublicKey: 3 bytes long once decoded, a key has 32; the radio's own public key: 32 bytes in \
             base64, as the radio's app shows it",
        ),
        (with("HopLimit = 8"), "m.conf:5: HopLimit: \"8\" is out of range; a whole number from 0 to 7"),
        (
            with("ChannelIndex = 8"),
            "m.conf:5: ChannelIndex: \"8\" is out of range; a whole number from 0 to 7",
        ),
        (
            with("PrivateKeyFile = key"),
            "m.conf:5: PrivateKeyFile: there is a PrivateKey in line 2 too; one of the two",
        ),
        (
            format!("{base}[Link]\nConnect = tcp://radio\n"),
            "m.conf:9: Connect: the same radio as in line 4; each radio once: it serves one client",
        ),
        (
            format!("{base}[Link]\nName = radio0\nConnect = tcp://other\n"),
            "m.conf:9: Name: \"radio0\" is the name of another link (line 4); a name for each",
        ),
        (
            format!("{base}[Link]\n"),
            "m.conf:9: Connect: missing in [Link]; for example Connect = tcp://192.0.2.7",
        ),
        (with("RunAsUser = no body"), "m.conf:5: RunAsUser: no name of a user or group; a name or a number"),
    ];
    for (text, expected) in table {
        assert_eq!(only_wrong(&text), expected, "in\n{text}");
    }
}

#[test]
fn connections_that_reach_no_radio_are_refused() {
    for connect in [
        "",
        "radio",
        "tcp:",
        "tcp://",
        "tcp://:4403",
        "tcp://::1",
        "tcp://[::1",
        "tcp://[x]",
        "tcp://[::1]x",
        "tcp://h:0",
        "tcp://h:65536",
        "tcp://h:x",
        "tcp://h/path",
        "tcp://h?q",
        "tcp://u:p@h",
        "tcp://a b",
        "serial:",
        "serial://",
        "serial:///",
        "serial://dev/ttyUSB0",
        "serial:ttyUSB0",
    ] {
        let error = only_wrong(&base().replace("tcp://radio", connect));
        assert!(error.starts_with("m.conf:4: MeshtasticConnect: "), "{connect}: {error}");
        assert!(
            error.ends_with("tcp://HOST, tcp://HOST:PORT, or serial:///dev/ttyUSB0"),
            "{connect}: {error}"
        );
    }
}

#[test]
fn whatever_is_required_is_missed() {
    for key in ["PrivateKey", "Address", "MeshtasticConnect", "PublicKey", "AllowedIPs", "Endpoint"] {
        let text: Vec<String> =
            base().lines().filter(|line| !line.starts_with(key)).map(str::to_owned).collect();
        let error = only_wrong(&text.join("\n"));
        let line = if ["PrivateKey", "Address", "MeshtasticConnect"].contains(&key) { 1 } else { 5 };
        assert!(error.starts_with(&format!("m.conf:{line}: {key}: ")), "{error}");
    }
    assert_eq!(wrong("").len(), 1, "no [Interface]");
}

#[test]
fn a_network_may_begin_without_a_peer() {
    let (interface, _) = base().split_once("[Peer]").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let config = ok(&interface);
    assert!(config.peers.is_empty());
    let [warning] = config.warnings.as_slice() else { panic!("{:?}", config.warnings) };
    assert!(warning.to_string().starts_with("m.conf: warning: no [Peer] section"), "{warning}");
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_lines() {
    let text = format!(
        "[Interface]\nPrivateKey = x\nAddress = y\nMTU = z\nTapName = ?\nMeshtasticConnect = w\nFoo = 1\n\
         [Peer]\nPublicKey = x\nAllowedIPs = y, 10.0.0.1/99\nEndpoint = z\nPeerMode = {PSK}\n[Peer]\n"
    );
    let lines: Vec<u32> = parse("m.conf", &text).unwrap_err().iter().filter_map(|error| error.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 7, 9, 10, 10, 11, 12, 13, 13, 13]);
}

#[test]
fn the_first_secret_is_found_in_right_texts_and_wrong_ones() {
    let secret_at = |text: &str| interpret::read("m.conf", text, interpret::Given::default()).secret_at;
    assert_eq!(secret_at(&base()), Some((2, "PrivateKey")));
    let file = with("MTU = x").replace(&format!("PrivateKey = {PRIVATE}"), "PrivateKeyFile = key");
    assert_eq!(secret_at(&file), None);
    assert_eq!(secret_at(&format!("{file}PresharedKey = {PSK}\n")), Some((10, "PresharedKey")));
}

#[test]
fn no_message_holds_a_secret() {
    let secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=";
    let places = [
        "{}",
        "[{}]",
        "{} = 1",
        "{}x = {}",
        "= {}",
        "MTU = {}",
        "MTU = 1 {}",
        "TapName = {}",
        "Privatekey = {}",
        "PrivateKeyFile = a\nPrivateKey = {}x",
        "Address = {}",
        "Address = a,{}",
        "ChannelIndex = {}",
        "RunAsUser = {}",
        "MeshtasticConnect = {}",
        "MeshtasticConnect = tcp://{}",
        "[Peer]\nPublicKey = {}x",
        "[Peer]\nPresharedKey = {}x",
        "[Peer]\nEndpoint = {}",
        "[Peer]\nEndpoint = !{}",
        "[Peer]\nPeerMode = {}",
        "[Peer]\nName = {}",
        "[Peer]\nAllowedIPs = {}/24",
        "[Peer]\nRadioPublicKey = {}x",
        "[Link]\nName = {}",
        "[Link]\nConnect = {}:{}",
    ];
    for place in places {
        let text = place.replace("{}", secret);
        for whole in [with(&text), text.clone()] {
            let Err(errors) = parse("m.conf", &whole) else { continue };
            for error in errors {
                let told = error.to_string();
                assert!(!told.contains("c2VjcmV0c2Vj"), "{place}: {told}");
            }
        }
    }
    let debug = format!("{:?}", fine(&format!("{}PresharedKey = {PSK}\n", base())));
    assert!(!debug.contains(&PRIVATE[..12]) && !debug.contains(&PSK[..12]), "{debug}");
}

/// Mutates good texts by a small generator of its own, so that a failure repeats.
#[test]
fn no_text_makes_the_parser_panic() {
    let good =
        format!("{}{}PresharedKey = {PSK}\n[Link]\nConnect = tcp://[::1]:1 # x\n", with("MTU = 1_0"), bob());
    let bits = [
        "[",
        "]",
        "=",
        "#",
        ",",
        "/",
        ":",
        "!",
        "\n",
        "\r",
        "\0",
        " ",
        "é",
        "\u{2028}",
        "🦀",
        "9999999999",
        "-",
    ];
    let mut state = 1u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..20_000 {
        let mut text: Vec<char> = good.chars().collect();
        for _ in 0..=draw(6) {
            let at = draw(text.len());
            match draw(3) {
                0 => drop(text.splice(at..=at, bits[draw(bits.len())].chars())),
                1 => drop(text.drain(at..text.len().min(at + 1 + draw(30)))),
                _ => text.truncate(at + 1),
            }
            if text.is_empty() {
                break;
            }
        }
        if let Err(errors) = parse("m.conf", &text.into_iter().collect::<String>()) {
            assert!(!errors.is_empty());
            errors.iter().for_each(|error| assert!(!error.to_string().is_empty()));
        }
    }
}

#[test]
fn crowds_are_refused_before_they_cost_anything() {
    let peers = "[Peer]\n".repeat(2000);
    assert_eq!(only_wrong(&format!("{}{peers}", base())), "m.conf: 2002 sections; at most 1024");
    let addresses: Vec<String> = (0..50_000u16).map(|n| format!("10.1.{}.{}", n / 256, n % 256)).collect();
    let text = base().replace("10.0.0.1/24", &addresses.join(","));
    assert_eq!(only_wrong(&text), "m.conf:3: Address: 50000 values; at most 64");
    let endpoints: Vec<String> = (1..=50_000).map(|n| format!("!{n:08x}")).collect();
    let text = base().replace("!d45b9db8", &endpoints.join(","));
    assert_eq!(only_wrong(&text), "m.conf:8: Endpoint: 50000 values; at most 16");
    let prefixes = addresses.join(",");
    assert_eq!(fine(&base().replace("10.0.0.2/32", &prefixes)).peers[0].core.allowed_ips.len(), 50_000);
    let told = wrong(&"x\n".repeat(300_000));
    assert_eq!(told.len(), 1001);
    assert_eq!(told[1000], "m.conf: 299001 more; mend these first");
}

#[test]
fn a_key_that_agrees_on_nothing_is_no_key() {
    let error = only_wrong(&base().replace(ALICE, "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
    assert_eq!(
        error,
        "m.conf:6: PublicKey: a point of small order: it agrees on no secret; the public key of the peer"
    );
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

mod udp;
