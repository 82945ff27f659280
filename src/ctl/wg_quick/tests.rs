use meshnet_bus::names::Instance;

use super::*;

const PRIVATE: &str = "SEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISEg=";
const ALICE: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
const BOB: &str = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";
const PSK: &str = "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=";

fn wg0() -> Instance {
    Instance::new("wg0").unwrap()
}

/// A file of `wg-quick` that has a counterpart in all.
fn stock() -> String {
    format!(
        "[Interface]\nPrivateKey = {PRIVATE}\nAddress = 10.0.0.1/24, fd00::1/64\nListenPort = 51821\nFwMark = 0xca6c\n\
         MTU = 1380\n\n[Peer]\n# alice\nPublicKey = {ALICE}\nPresharedKey = {PSK}\nEndpoint = vpn.example.org:51820\n\
         PersistentKeepalive = 25\nAllowedIPs = 10.0.0.2/32, 192.168.7.0/24\n\n[Peer]\nPublicKey = {BOB}\nAllowedIPs = \
         10.0.0.3/32\n"
    )
}

fn ours() -> String {
    import(&wg0(), &stock()).unwrap().text.to_string()
}

#[test]
fn a_file_that_goes_there_and_back_is_the_same() {
    let there = import(&wg0(), &stock()).unwrap();
    assert!(there.told.is_empty(), "{:?}", there.told);
    let back = export(&there.text, "", PRIVATE).unwrap();
    assert_eq!((back.text.as_str(), back.told.len()), (stock().as_str(), 0));
    let again = import(&wg0(), &back.text).unwrap();
    assert_eq!(*again.text, ours());
}

/// The daemon's own reading is the measure.
#[test]
fn what_is_imported_is_a_configuration() {
    let config = meshnetd::config::parse("wg0.conf", &ours()).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!((config.tap_name.as_str(), config.mtu, config.links.len()), ("wg0", 1380, 1));
    let [alice, bob] = config.peers.as_slice() else { panic!("{:?}", config.peers) };
    assert_eq!((alice.name.as_deref(), alice.names.len()), (Some("alice"), 1));
    assert_eq!(alice.core.preshared_key.as_ref().unwrap().to_base64().as_str(), PSK);
    assert_eq!(alice.keepalive.unwrap().get(), 25);
    assert!(bob.core.endpoints.is_empty() && bob.names.is_empty());
}

#[test]
fn a_file_as_people_have_it_is_read_as_wireguard_does() {
    let text = format!(
        "# made by an app\n[interface]\r\nprivatekey={PRIVATE} # ours\naddress=10.0.0.1\nAddress = fd00::1/64\n\n\
         ### Client bob\n[PEER]\npublickey = {BOB}\nallowedips = 0.0.0.0/0,::/0\nAllowedIPs = 10.0.0.7/24\n\
         endpoint = [2001:db8::7]:51820\npersistentkeepalive = off\n"
    );
    let made = import(&wg0(), &text).unwrap();
    let config = meshnetd::config::parse("wg0.conf", &made.text).unwrap();
    assert_eq!((config.addresses.len(), config.mtu), (2, 1420));
    let meshnetd::link::LinkKind::Udp(udp) = &config.links[0].kind else { panic!() };
    assert_eq!(udp.port, 0, "the kernel chooses, as with WireGuard");
    let prefixes: Vec<String> = config.peers[0].core.allowed_ips.iter().map(ToString::to_string).collect();
    assert_eq!(prefixes, ["0.0.0.0/0", "::/0", "10.0.0.0/24"]);
    assert_eq!(made.told.len(), 2, "a word on each default route: {:?}", made.told);
}

#[test]
fn whatever_has_no_counterpart_is_named() {
    let keys = ["DNS = 10.0.0.1", "Table = off", "PostUp = iptables -A x", "SaveConfig = true", "Jc = 4"];
    let text = stock().replace("MTU = 1380", &keys.join("\n")).replace("# alice", "AdvancedSecurity = on");
    let made = import(&wg0(), &text).unwrap();
    for (key, told) in keys.iter().zip(&made.told) {
        let key = key.split(' ').next().unwrap();
        assert!(told.contains(&format!(": {key} is left out: ")), "{key}: {told}");
    }
    assert_eq!(made.told.len(), 6);
    assert!(made.told[5].contains("AdvancedSecurity"));
    assert!(meshnetd::config::parse("wg0.conf", &made.text).is_ok());
}

#[test]
fn a_prefix_of_two_peers_is_the_later_ones_as_with_wireguard() {
    let made = import(&wg0(), &stock().replace("10.0.0.3/32", "10.0.0.3/32, 192.168.7.9/24")).unwrap();
    let config = meshnetd::config::parse("wg0.conf", &made.text).unwrap();
    let lengths: Vec<usize> = config.peers.iter().map(|peer| peer.core.allowed_ips.len()).collect();
    assert_eq!(lengths, [1, 2]);
    assert!(made.told[0].starts_with("peer 1: 192.168.7.0/24 is left out"), "{:?}", made.told);
}

#[test]
fn what_is_no_file_of_wireguard_is_refused_without_a_word_of_its_secrets() {
    let secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U";
    for text in [
        String::new(),
        "[Peer]\n".to_owned(),
        "[Interface]\n[Interface]\n".to_owned(),
        format!("{secret}\n{}", stock()),
        stock().replace("ListenPort", secret).replace(ALICE, secret),
        stock().replace(PRIVATE, &format!("{secret}x")),
        stock().replace(PSK, &format!("{secret}x")),
        stock().replace("PrivateKey", "Private"),
        stock().replace("Address", "Adress"),
        stock().replace("[Peer]", &format!("[{secret}]")),
        stock().replace("192.168.7.0/24", secret),
    ] {
        let error = import(&wg0(), &text).unwrap_err();
        assert!(!error.contains("c2VjcmV0c2VjcmV0c2Vj"), "{error}");
    }
    let made = import(&wg0(), &stock().replace("ListenPort", secret)).unwrap();
    assert!(!made.told.join("\n").contains(secret), "{:?}", made.told);
}

#[test]
fn what_wireguard_has_not_is_named_when_it_is_left_out() {
    let text = format!(
        "[Interface]\nPrivateKeyFile = key\nAddress = 10.0.0.1/24\nMeshtasticConnect = tcp://radio\nRunAsUser = x\n\
         [Link]\nType = udp\nListenPort = 7\nBindToDevice = eth0\n[Link]\nType = udp\n[Peer]\nName = both\nPublicKey = \
         {ALICE}\nAllowedIPs = 10.0.0.2/32\nEndpoint = !d45b9db8, udp://192.0.2.7:5, b.example:6\n[Peer]\nPublicKey = \
         {BOB}\nAllowedIPs = 10.0.0.3/32\nEndpoint = !d45b9db9\n"
    );
    let more = format!("[Peer]\nPublicKey = {PSK}\nPeerMode = WIREGUARD\nAllowedIPs = 10.0.0.4/32\n");
    let made = export(&text, &more, PRIVATE).unwrap();
    let expected = format!(
        "[Interface]\nPrivateKey = {PRIVATE}\nAddress = 10.0.0.1/24\nListenPort = 7\n\n[Peer]\n# both\nPublicKey = {ALICE}\n\
         Endpoint = 192.0.2.7:5\nAllowedIPs = 10.0.0.2/32\n\n[Peer]\nPublicKey = {PSK}\nAllowedIPs = 10.0.0.4/32\n"
    );
    assert_eq!(*made.text, expected);
    let told = made.told.join("\n");
    for word in [
        "BindToDevice",
        "1 more udp link",
        "1 radio(s)",
        "RunAsUser",
        "!d45b9db8",
        "b.example:6",
        "peer 2 is left out",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
}
