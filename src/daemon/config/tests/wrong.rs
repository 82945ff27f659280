//! What is said about a wrong configuration.

use super::*;

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
fn all_mistakes_are_told_at_once_in_the_order_of_lines() {
    let text = format!(
        "[Interface]\nPrivateKey = x\nAddress = y\nMTU = z\nTapName = ?\nMeshtasticConnect = w\nFoo = 1\n\
         [Peer]\nPublicKey = x\nAllowedIPs = y, 10.0.0.1/99\nEndpoint = z\nPeerMode = {PSK}\n[Peer]\n"
    );
    let lines: Vec<u32> = parse("m.conf", &text).unwrap_err().iter().filter_map(|error| error.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 7, 9, 10, 10, 11, 12, 13, 13, 13]);
}
