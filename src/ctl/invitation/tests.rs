use super::*;

fn place(text: &str) -> Place {
    Place::read(text, None).unwrap()
}

fn full() -> Invitation {
    Invitation {
        key: PublicKey::from_bytes([0xfb; 32]),
        addresses: vec!["10.42.0.1/24".parse().unwrap(), "fd42::1/64".parse().unwrap()],
        radios: vec![0xd45b_9db8, 1],
        udp: ["192.0.2.7:51820", "[2001:db8::7]:51820", "vpn.example.org:1"].map(place).to_vec(),
        name: Some("west.example".to_owned()),
        proposed: vec!["10.42.0.2".parse().unwrap(), "fd42::2".parse().unwrap()],
        mtu: Some(1280),
        wireguard: true,
        psk: Psk::Key(PresharedKey::from_bytes([0xff; 32])),
        to: Some("kXeyMnjL8PPR".to_owned()),
    }
}

fn sealed(text: &str) -> String {
    format!("{text},sum={:04x}", checksum(text.as_bytes()))
}

#[test]
fn what_is_written_is_read_back() {
    let none = Vec::new;
    let bare = || Invitation { name: None, proposed: none(), mtu: None, psk: Psk::None, to: None, ..full() };
    let by_radio = Invitation { udp: Vec::new(), wireguard: false, ..bare() };
    let by_udp = Invitation { radios: Vec::new(), ..bare() };
    let who_calls = Invitation { radios: Vec::new(), udp: Vec::new(), ..full() };
    let wanted = Invitation { psk: Psk::Wanted, mtu: Some(8920), ..full() };
    for invitation in [full(), bare(), by_radio, by_udp, who_calls, wanted] {
        let line = invitation.to_line();
        assert_eq!(Invitation::parse(&format!(" {}\n", *line)), Ok(invitation), "{}", *line);
    }
}

#[test]
fn the_lines_of_the_documentation_are_lines() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/invitations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("    meshnet:1,key=")).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert!(Invitation::parse(line).is_ok(), "{line}");
    }
}

#[test]
fn a_line_means_nothing_to_a_shell() {
    let line = full().to_line();
    assert!(line.bytes().all(|b| b.is_ascii_alphanumeric() || b":,=/.-_".contains(&b)), "{}", *line);
}

#[test]
fn one_wrong_character_is_noticed_wherever_it_is() {
    let line = full().to_line();
    for at in 0..line.len() {
        let mut wrong = line.as_bytes().to_vec();
        wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
        let wrong = String::from_utf8(wrong).unwrap();
        assert!(Invitation::parse(&wrong).is_err(), "{wrong}");
        assert!(Invitation::parse(&line[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn an_error_says_what_is_wrong() {
    let key = format!("meshnet:1,key={}", "A".repeat(43));
    for (text, wrong) in [
        (sealed("meshnet:2,key=x"), BadInvitation::Version("2".to_owned())),
        (sealed("http://x"), BadInvitation::Start),
        (sealed("meshnet:1,key=x"), BadInvitation::Value("key")),
        (sealed(&key), BadInvitation::Missing("ip")),
        (sealed(&format!("{key},ip=10.0.0.1/24")), BadInvitation::Missing("radio or udp")),
        (sealed(&format!("{key},ip=10.0.0.1/24,mode=wireguard")), BadInvitation::Missing("radio or udp")),
        (sealed(&format!("{key},ip=10.0.0.1/24,to=kXeyMnjL8PPR")), BadInvitation::Missing("radio or udp")),
        (sealed(&format!("{key},ip=10.0.0.1/24,udp=192.0.2.7:1")), BadInvitation::Missing("mode")),
        (
            sealed(&format!("{key},ip=10.0.0.1/24,udp=[2001:db8::7]:1,mode=wireguard")),
            BadInvitation::Value("udp"),
        ),
        (
            sealed(&format!("{key},ip=10.0.0.1/24{}", ",udp=a:1,udp=b:1,udp=c:1,udp=d:1,udp=e:1")),
            BadInvitation::Value("udp"),
        ),
        (
            sealed(&format!("{key},ip=10.0.0.1/24,udp=a:1,udp=a:1,mode=wireguard")),
            BadInvitation::Value("udp"),
        ),
        (sealed(&format!("{key},ip=10.0.0.1/24,udp=a:1,mode=pki")), BadInvitation::Value("mode")),
        (
            sealed(&format!("{key},ip=10.0.0.1/24,udp=a:1,mode=wireguard,mode=wireguard")),
            BadInvitation::Field("mode".to_owned()),
        ),
        (
            sealed(&format!("{key},ip=10.0.0.1/24,mode=wireguard,udp=a:1")),
            BadInvitation::Field("udp".to_owned()),
        ),
        (sealed(&format!("{key},ip=10.0.0.1/24,radio=00000001,mtu=1501")), BadInvitation::Value("mtu")),
        (
            sealed(&format!("{key},ip=10.0.0.1/24,radio=00000001,radio=00000001")),
            BadInvitation::Value("radio"),
        ),
        (sealed(&format!("{key},ip=10.0.0.1/33")), BadInvitation::Value("ip")),
        (sealed(&format!("{key},ip=10.0.0.1/24,radio=ffffffff")), BadInvitation::Value("radio")),
        (sealed(&format!("{key},ip=10.0.0.1/24,radio=00000001,mtu=9")), BadInvitation::Value("mtu")),
        (sealed(&format!("{key},radio=00000001,ip=10.0.0.1/24")), BadInvitation::Field("ip".to_owned())),
        (
            sealed(&format!("{key},ip=10.0.0.1/24,radio=00000001,later=1")),
            BadInvitation::Field("later".to_owned()),
        ),
        (
            sealed(&format!("{key}{}", (1..=9).map(|n| format!(",ip=10.0.0.{n}/24")).collect::<String>())),
            BadInvitation::Value("ip"),
        ),
        (format!("{key},ip=10.0.0.1/24"), BadInvitation::Cut),
        (format!("{key},sum=0000"), BadInvitation::Checksum),
        ("x".repeat(MAX_LEN + 1), BadInvitation::TooLong),
    ] {
        assert_eq!(Invitation::parse(&text).unwrap_err(), wrong, "{text}");
    }
}

#[test]
fn the_largest_line_is_no_longer_than_may_be_read() {
    let longest = |n: usize| format!("fd42:1111:2222:3333:4444:5555:6666:777{n}");
    let places =
        (0..MAX_UDP).map(|n| place(&format!("{n}{}:65535", "x".repeat(crate::place::MAX_LINE_HOST - 1))));
    let large = Invitation {
        addresses: (0..MAX_TIMES).map(|n| format!("{}/128", longest(n)).parse().unwrap()).collect(),
        radios: (1..=8).map(|n| u32::MAX - n).collect(),
        udp: places.collect(),
        proposed: (0..MAX_TIMES).map(|n| longest(n).parse().unwrap()).collect(),
        name: Some("x".repeat(MAX_NAME_LEN)),
        ..full()
    };
    assert!(Invitation::parse(&large.to_line()).is_ok());
}

#[test]
fn a_secret_is_not_shown_by_accident() {
    assert!(full().is_secret());
    assert!(!format!("{:?}", full()).contains("////"));
}
