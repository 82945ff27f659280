//! Exchanges of lines between hosts with udp links, by the real binary; what they lead to is read by the daemon's own eyes.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use meshnet_proto::config::PeerMode;
use meshnetd::config::{Config, Peer};

/// How a run ended: the exit code, the answer, the talk.
type Done = (i32, String, String);

fn run_with(args: &[&str], input: &str) -> Done {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
    // Nobody's bus: what a test says must not depend on the host.
    command.args(args).env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn run(args: &[&str]) -> Done {
    run_with(args, "")
}

/// Runs what must succeed; returns the answer.
fn answer(args: &[&str]) -> String {
    let (code, said, talk) = run(args);
    assert_eq!(code, 0, "{args:?}: {talk}");
    said
}

/// A host: the directory of its configurations.
struct Host(tempfile::TempDir);

impl Host {
    /// Without a network.
    fn bare() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a network that has this address and these links.
    fn with(address: &str, links: &[&str]) -> Self {
        let host = Self::bare();
        answer(&[&["init", "--address", address, "--config-dir", host.place()], links].concat());
        host
    }

    fn place(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn invites(&self, name: &str, args: &[&str]) -> String {
        answer(&[&["invite", "--name", name, "--config-dir", self.place()], args].concat())
    }

    fn joins(&self, line: &str, name: &str, args: &[&str]) -> Done {
        run(&[&["join", line.trim(), "--name", name, "--config-dir", self.place()], args].concat())
    }

    /// Takes an answer; nothing is to be answered then.
    fn takes(&self, line: &str) {
        let (code, said, talk) = run_with(&["join", "--config-dir", self.place()], line);
        assert_eq!((code, said.as_str()), (0, ""), "{talk}");
    }

    fn text(&self) -> String {
        fs::read_to_string(Path::new(self.place()).join("mesh0.conf")).unwrap()
    }

    /// What the daemon makes of the file, of which it has nothing to complain.
    fn config(&self) -> Config {
        let (config, _) = meshnetd::config::load(&Path::new(self.place()).join("mesh0.conf")).unwrap();
        // Of a network that has just begun it says that there is nobody in it.
        let wanted = usize::from(config.peers.is_empty());
        assert_eq!(config.warnings.len(), wanted, "{:?}", config.warnings);
        config
    }

    fn peer(&self) -> Peer {
        let mut peers = self.config().peers;
        assert_eq!(peers.len(), 1);
        peers.remove(0)
    }
}

/// A peer's endpoints as a file has them, addresses before names, and its mode.
fn endpoints(peer: &Peer) -> (Vec<String>, PeerMode) {
    (peer.endpoints().map(|endpoint| endpoint.to_string()).collect(), peer.core.mode)
}

fn at(list: &[&str], mode: PeerMode) -> (Vec<String>, PeerMode) {
    (list.iter().map(|text| (*text).to_owned()).collect(), mode)
}

const UDP: &[&str] = &["--listen-port", "51820"];
const RADIO: &[&str] = &["--radio", "tcp://a"];
const BOTH: &[&str] = &["--listen-port", "51820", "--radio", "tcp://a"];

#[test]
fn a_network_over_udp_is_made_without_a_radio() {
    let host = Host::bare();
    let said = answer(&[&["init", "--config-dir", host.place()], UDP].concat());
    assert!(said.contains("udp port    51820") && !said.contains("radio"), "{said}");
    assert_eq!(host.config().links.len(), 1);
    let json = |links: &[&str]| -> serde_json::Value {
        let words = ["init", "--force", "--json=short", "--config-dir", host.place()];
        serde_json::from_str(&answer(&[&words[..], links].concat())).unwrap()
    };
    let made = json(UDP);
    assert_eq!((&made["radio"], &made["listen_port"]), (&serde_json::Value::Null, &51820.into()));
    let made = json(RADIO);
    assert_eq!((&made["radio"], &made["listen_port"]), (&"tcp://a".into(), &serde_json::Value::Null));
    let made = json(BOTH);
    assert_eq!((&made["radio"], &made["listen_port"]), (&"tcp://a".into(), &51820.into()));
    assert_eq!(host.config().links.len(), 2);
    for bad in ["53", "65536", "x"] {
        let done = run(&["init", "--force", "--listen-port", bad, "--config-dir", host.place()]);
        assert_eq!(done.0, 2, "{done:?}");
    }
}

#[test]
fn one_exchange_of_lines_joins_two_hosts_without_radios() {
    let west = Host::with("10.7.0.1/24", UDP);
    let line = west.invites("west", &["--for", "10.7.0.2", "--endpoint", "udp://West.example.org"]);
    assert!(line.contains(",udp=west.example.org:51820,") && line.contains(",mode=wireguard,"), "{line}");
    let east = Host::bare();
    let (code, back, talk) =
        east.joins(&line, "east", &["--listen-port", "51821", "--endpoint", "udp://[2001:db8::2]"]);
    assert_eq!(code, 0, "{talk}");
    assert!(back.contains(",udp=2001:db8::2.51821,"), "no daemon has to run for this answer: {back}");
    assert!(
        talk.contains("10.7.0.2/24 at UDP port 51821") && talk.contains("meshctl enable --now mesh0"),
        "{talk}"
    );
    west.takes(&back);
    let before = west.text();
    west.takes(&back);
    assert_eq!(west.text(), before);
    assert_eq!(endpoints(&west.peer()), at(&["udp://[2001:db8::2]:51821"], PeerMode::Wireguard));
    assert_eq!(endpoints(&east.peer()), at(&["udp://west.example.org:51820"], PeerMode::Wireguard));
    assert_eq!(east.peer().keepalive, None, "each can begin");
    // What is printed again later is the same.
    let again = answer(&[
        "invite",
        "--to",
        "west",
        "--name",
        "east",
        "--endpoint",
        "udp://[2001:db8::2]",
        "--config-dir",
        east.place(),
    ]);
    assert_eq!(again, back);
}

#[test]
fn hosts_with_both_links_tell_both() {
    let west = Host::with("10.7.0.1/24", BOTH);
    let line = west.invites("west", &["--endpoint", "!a0000001,udp://192.0.2.1"]);
    let east = Host::bare();
    let (code, said, talk) = east.joins(&line, "east", &["--radio", "tcp://b"]);
    assert_eq!((code, said.as_str()), (0, ""), "the radio is not known yet: {talk}");
    assert!(talk.contains("meshctl invite mesh0 --to west"), "{talk}");
    assert_eq!(east.config().links.len(), 2);
    let line = answer(&[
        "invite",
        "--to",
        "west",
        "--endpoint",
        "!a0000002,udp://192.0.2.2:7",
        "--config-dir",
        east.place(),
    ]);
    west.takes(&line);
    let mode = PeerMode::Wireguard;
    assert_eq!(endpoints(&west.peer()), at(&["!a0000002", "udp://192.0.2.2:7"], mode));
    assert_eq!(endpoints(&east.peer()), at(&["!a0000001", "udp://192.0.2.1:51820"], mode));
}

#[test]
fn who_has_no_address_to_tell_calls_and_keeps_the_way_open() {
    let west = Host::with("10.7.0.1/24", UDP);
    let line = west.invites("west", &["--endpoint", "udp://west.example.org"]);
    let east = Host::bare();
    let (code, back, talk) = east.joins(&line, "east", &["--listen-port", "0"]);
    assert_eq!(code, 0, "{talk}");
    assert!(!back.contains(",udp=") && back.contains(",mode=wireguard,"), "{back}");
    west.takes(&back);
    assert_eq!(endpoints(&west.peer()), at(&[], PeerMode::Wireguard));
    assert_eq!(endpoints(&east.peer()), at(&["udp://west.example.org:51820"], PeerMode::Wireguard));
    assert_eq!(east.peer().keepalive.map(u16::from), Some(25));
    // It cannot be the one that invites.
    let (code, said, talk) = run(&["invite", "--config-dir", east.place()]);
    assert_eq!((code, said.as_str()), (1, ""), "{talk}");
    assert!(talk.contains("--endpoint udp://HOST:PORT"), "{talk}");
}

#[test]
fn both_ends_take_the_mode_that_the_invitation_says() {
    // By radio alone, although the one who joins has UDP too.
    let west = Host::with("10.7.0.1/24", RADIO);
    let east = Host::with("10.7.0.2/24", BOTH);
    let line = west.invites("west", &["--no-address", "--endpoint", "!a0000001"]);
    assert!(!line.contains("mode="), "{line}");
    let (code, back, talk) = east.joins(&line, "east", &["--endpoint", "!a0000002"]);
    assert_eq!(code, 0, "{talk}");
    west.takes(&back);
    assert_eq!(endpoints(&west.peer()), at(&["!a0000002"], PeerMode::Pki));
    assert_eq!(endpoints(&east.peer()), at(&["!a0000001"], PeerMode::Pki));

    // By WireGuard's protocol, although the one who joins has a radio alone.
    let west = Host::with("10.7.0.1/24", BOTH);
    let east = Host::with("10.7.0.2/24", RADIO);
    let line = west.invites("west", &["--no-address", "--endpoint", "!a0000001,udp://192.0.2.1"]);
    let (code, back, talk) = east.joins(&line, "east", &["--endpoint", "!a0000002"]);
    assert_eq!(code, 0, "{talk}");
    assert!(back.contains(",mode=wireguard,"), "{back}");
    west.takes(&back);
    assert_eq!(endpoints(&west.peer()), at(&["!a0000002"], PeerMode::Wireguard));
    assert_eq!(endpoints(&east.peer()), at(&["!a0000001"], PeerMode::Wireguard));

    // A peer that is there in the other mode is not answered as if it were in this one.
    let text = east.text();
    fs::write(Path::new(east.place()).join("mesh0.conf"), text.replace("PeerMode = WIREGUARD\n", ""))
        .unwrap();
    let (code, said, talk) = east.joins(&line, "east", &["--endpoint", "!a0000002"]);
    assert_eq!((code, said.as_str()), (1, ""), "{talk}");
    assert!(talk.contains("in another mode") && talk.contains("meshctl peer remove west"), "{talk}");
}

#[test]
fn where_no_link_leads_to_the_other_side_nothing_is_written() {
    let radio = Host::with("10.7.0.1/24", RADIO);
    let udp = Host::with("10.7.0.2/24", UDP);
    let by_radio = radio.invites("radio", &["--no-address", "--endpoint", "!a0000001"]);
    let by_udp = udp.invites("udp", &["--no-address", "--endpoint", "udp://192.0.2.2"]);
    for (host, line, missing) in [(&udp, by_radio, "by radio alone"), (&radio, by_udp, "no udp link")] {
        let before = host.text();
        let (code, said, talk) = host.joins(&line, "us", &[]);
        assert_eq!((code, said.as_str()), (1, ""), "{talk}");
        assert!(talk.contains(missing), "{talk}");
        assert_eq!(host.text(), before);
    }
    let bare = Host::bare();
    let line = udp.invites("udp", &["--endpoint", "udp://192.0.2.2"]);
    let (code, _, talk) = bare.joins(&line, "us", &["--listen-port", "51820", "--endpoint", "udp://:7"]);
    assert_eq!(code, 2, "{talk}");
    assert_eq!(fs::read_dir(bare.place()).unwrap().count(), 0);
}

#[test]
fn an_address_that_another_peer_has_is_refused_or_if_private_left_out() {
    let ours = Host::with("10.7.0.9/24", UDP);
    let join = |name: &str, address: &str, endpoint: &str| {
        let line = Host::with(address, UDP).invites(name, &["--no-address", "--endpoint", endpoint]);
        ours.joins(&line, "us", &["--endpoint", "udp://us.example.org"])
    };
    let (code, _, talk) = join("cabin", "10.7.0.1/24", "udp://192.0.2.1,udp://192.168.1.5");
    assert_eq!(code, 0, "{talk}");
    let before = ours.text();
    let (code, said, talk) = join("hut", "10.7.0.2/24", "udp://192.0.2.1");
    assert_eq!((code, said.as_str()), (1, ""), "{talk}");
    assert!(talk.contains("192.0.2.1:51820 is already that of cabin"), "{talk}");
    assert_eq!(ours.text(), before);
    let (code, _, talk) = join("barn", "10.7.0.3/24", "udp://192.168.1.5,udp://[2001:db8::3]");
    assert_eq!(code, 0, "{talk}");
    assert!(talk.contains("192.168.1.5:51820 is that of cabin"), "{talk}");
    let barn = ours.config().peers.remove(1);
    assert_eq!(endpoints(&barn), at(&["udp://[2001:db8::3]:51820"], PeerMode::Wireguard));
}

#[test]
fn without_an_endpoint_this_hosts_own_addresses_are_told_with_a_word_about_them() {
    let host = Host::with("10.7.0.1/24", UDP);
    let (code, line, talk) = run(&["invite", "--config-dir", host.place()]);
    assert!(talk.contains("--endpoint udp://HOST"), "{talk}");
    // A host may have none.
    if code == 0 {
        let places: Vec<&str> =
            line.trim().split(',').filter_map(|field| field.strip_prefix("udp=")).collect();
        assert!((1..=4).contains(&places.len()), "{line}");
        assert!(places.iter().all(|place| place.ends_with(":51820") || place.ends_with(".51820")), "{line}");
    }
}
