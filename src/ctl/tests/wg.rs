//! Files of WireGuard's, by the real binary; no bus is needed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

const PRIVATE: &str = "SEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISEg=";
const ALICE: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn run(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
    command.args(args).stdin(Stdio::null()).env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus");
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn stock() -> String {
    format!(
        "[Interface]\nPrivateKey = {PRIVATE}\nAddress = 10.7.0.1/24\nListenPort = 51821\n\n[Peer]\n# alice\nPublicKey = \
         {ALICE}\nEndpoint = vpn.example.org:51820\nAllowedIPs = 10.7.0.2/32\n"
    )
}

/// Reads the code that a terminal shows, as a camera would: a block is white, and all else is black.
fn photograph(shown: &str) -> String {
    /// How many pixels of the picture a square of the code has.
    const SIZE: usize = 4;
    let halves = |character| match character {
        '\u{2588}' => [true, true],
        '\u{2580}' => [true, false],
        '\u{2584}' => [false, true],
        ' ' => [false, false],
        other => panic!("{other:?} is no part of a code"),
    };
    let rows: Vec<Vec<[bool; 2]>> = shown.lines().map(|line| line.chars().map(halves).collect()).collect();
    let (width, height) = (rows[0].len() * SIZE, rows.len() * 2 * SIZE);
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
        let (column, row) = (x / SIZE, y / SIZE);
        if rows[row / 2][column][row % 2] { 255 } else { 0 }
    });
    let codes = picture.detect_grids();
    assert_eq!(codes.len(), 1, "one code: {shown}");
    codes[0].decode().unwrap().1
}

/// A place for files, with `wg0.conf` of WireGuard's in it; and the directory of our own.
fn place(text: &str) -> (tempfile::TempDir, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wg0.conf");
    fs::write(&file, text).unwrap();
    let etc = directory.path().join("etc").to_str().unwrap().to_owned();
    let file = file.to_str().unwrap().to_owned();
    (directory, file, etc)
}

#[test]
fn a_file_is_taken_over_once_into_one_that_nobody_else_reads_and_comes_back_the_same() {
    let (directory, file, etc) = place(&stock());
    let (code, said, talk) = run(&["wg", "import", &file, "--config-dir", &etc]);
    assert_eq!((code, talk.as_str()), (0, ""), "{said}");
    assert!(said.contains("meshctl enable --now wg0") && !said.contains(PRIVATE), "{said}");
    let path = Path::new(&etc).join("wg0.conf");
    assert_eq!(mode(&path), 0o600);
    assert!(
        meshnetd::config::parse("wg0.conf", &fs::read_to_string(&path).unwrap()).unwrap().warnings.is_empty()
    );
    let (code, _, talk) = run(&["wg", "import", &file, "--config-dir", &etc]);
    assert_eq!(code, 1, "{talk}");
    assert_eq!(run(&["wg", "import", &file, "--force", "--config-dir", &etc]).0, 0);

    let back = directory.path().join("back.conf");
    let words = ["wg", "export", "wg0", "--output", back.to_str().unwrap(), "--config-dir", &etc];
    let (code, said, talk) = run(&words);
    assert_eq!((code, said.as_str(), talk.as_str()), (0, "", ""));
    assert_eq!((fs::read_to_string(&back).unwrap(), mode(&back)), (stock(), 0o600));
    assert_eq!(run(&words).0, 1, "nothing is overwritten");
    assert_eq!(run(&["wg", "export", "wg0", "--config-dir", &etc]).1, stock());
    let coded = run(&["wg", "export", "wg0", "--qr", "--config-dir", &etc]);
    assert_eq!(photograph(&coded.1), stock(), "a phone reads the file");
    let json = run(&["wg", "export", "wg0", "--json", "--config-dir", &etc]);
    assert_eq!((json.0, json.1.as_str()), (2, ""), "no secret in JSON");
}

#[test]
fn what_is_not_taken_over_is_said_and_what_makes_no_sense_leaves_nothing() {
    let (_directory, file, etc) =
        place(&stock().replace("[Peer]", "DNS = 10.7.0.1\nPostUp = iptables -A x\n[Peer]"));
    let (code, _, talk) = run(&["wg", "import", &file, "office", "--config-dir", &etc]);
    assert_eq!(code, 0, "{talk}");
    assert_eq!(talk.lines().filter(|line| line.starts_with("not taken over: ")).count(), 2, "{talk}");
    assert!(Path::new(&etc).join("office.conf").exists());

    let (_directory, file, etc) = place(&stock().replace(PRIVATE, "nonsense"));
    let (code, _, talk) = run(&["wg", "import", &file, "--config-dir", &etc]);
    assert_eq!(code, 1, "{talk}");
    assert!(talk.contains("the PrivateKey in line 2 is no key"), "{talk}");
    assert!(!Path::new(&etc).join("wg0.conf").exists());
}

#[test]
fn a_phone_becomes_a_peer_whose_secret_is_in_its_own_file_alone() {
    let (directory, file, etc) = place(&stock());
    assert_eq!(run(&["wg", "import", &file, "--config-dir", &etc]).0, 0);
    let phone = directory.path().join("phone.conf");
    let words =
        ["wg", "phone", "anna", "--endpoint", "vpn.example.org", "--psk", "--config-dir", &etc, "--output"];
    let (code, said, talk) = run(&[&words[..], &[phone.to_str().unwrap()]].concat());
    assert_eq!((code, said.as_str()), (0, ""), "{talk}");
    assert_eq!(mode(&phone), 0o600);
    let text = fs::read_to_string(&phone).unwrap();
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap();
    assert_eq!(value("Endpoint"), "vpn.example.org:51821");
    assert_eq!(value("AllowedIPs"), "10.7.0.0/24");

    let ours = fs::read_to_string(Path::new(&etc).join("wg0.conf")).unwrap();
    assert!(!ours.contains(value("PrivateKey")), "its secret is its own");
    assert_eq!(mode(&Path::new(&etc).join("wg0.conf")), 0o600);
    let config = meshnetd::config::parse("wg0.conf", &ours).unwrap();
    let anna = config.peers.last().unwrap();
    let private: meshnet_proto::key::PrivateKey = value("PrivateKey").parse().unwrap();
    assert_eq!((anna.name.as_deref(), anna.core.public_key), (Some("anna"), private.public()));
    assert_eq!(anna.core.preshared_key.as_ref().unwrap().to_base64().as_str(), value("PresharedKey"));
    let address: ipnet::IpNet = value("Address").parse().unwrap();
    assert_eq!(anna.core.allowed_ips, [address]);

    let again =
        run(&["wg", "phone", "bert", "--endpoint", "h", "--address", "10.7.0.2", "--config-dir", &etc]);
    assert_eq!((again.0, again.1.as_str()), (1, ""), "alice has it: {again:?}");
    let coded = run(&["wg", "phone", "bert", "--endpoint", "h", "--qr", "--config-dir", &etc]);
    assert_eq!(coded.0, 0, "{coded:?}");
    let text = photograph(&coded.1);
    let private = text.lines().find_map(|line| line.strip_prefix("PrivateKey = ")).unwrap();
    let private: meshnet_proto::key::PrivateKey = private.parse().unwrap();
    let ours = fs::read_to_string(Path::new(&etc).join("wg0.conf")).unwrap();
    let bert = meshnetd::config::parse("wg0.conf", &ours).unwrap().peers.pop().unwrap();
    assert_eq!((bert.name.as_deref(), bert.core.public_key), (Some("bert"), private.public()));
}

#[test]
fn a_network_of_radios_alone_has_no_way_for_a_phone() {
    let directory = tempfile::tempdir().unwrap();
    let etc = directory.path().to_str().unwrap();
    assert_eq!(run(&["init", "mesh0", "--radio", "tcp://radio", "--config-dir", etc]).0, 0);
    let (code, said, talk) = run(&["wg", "phone", "anna", "--endpoint", "h", "--config-dir", etc]);
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(talk.contains("ListenPort"), "{talk}");
}
