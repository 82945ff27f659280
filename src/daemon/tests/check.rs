//! `meshnetd --check`, and what the daemon says before it starts anything.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const PRIVATE: &str = "SEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISEg=";
const OWN: &str = "kXeyMnjL8PPRfDbyrMm1XpyF+HsiClOG7DcNZj4g4zc=";
const ALICE: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn write(dir: &Path, name: &str, mode: u32, text: impl AsRef<[u8]>) {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
}

fn interface(key: &str) -> String {
    format!("[Interface]\n{key}\nAddress = 10.0.0.1/24\nMeshtasticConnect = tcp://radio\n")
}

fn peer(key: &str) -> String {
    format!("[Peer]\nPublicKey = {key}\nAllowedIPs = 10.0.0.2/32\nEndpoint = !d45b9db8\n")
}

fn meshnetd(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshnetd"));
    let output = command.current_dir(dir).args(args).env_remove("MESHNET_LOG").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// What `--check` says of `m.conf` with this content and mode.
fn check(dir: &TempDir, mode: u32, text: impl AsRef<[u8]>) -> (i32, String) {
    write(dir.path(), "m.conf", mode, text);
    let (code, said, talk) = meshnetd(dir.path(), &["--check", "m.conf"]);
    assert_eq!(talk, "");
    (code, said)
}

#[test]
fn a_good_file_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let text = interface(&format!("PrivateKey = {PRIVATE}")) + &peer(ALICE);
    assert_eq!(check(&dir, 0o600, text), (0, "m.conf: fine (1 peer, 1 link)\n".to_owned()));
}

#[test]
fn all_mistakes_are_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[Interface]\nPrivateKey = x\nMut = 1\nMTU = 10\nMeshtasticConnect = tcp://radio\n";
    let (code, said) = check(&dir, 0o600, format!("{text}{}", peer(ALICE).replace('!', "")));
    let lines: Vec<&str> = said.lines().map(|line| &line[..line.len().min(24)]).collect();
    assert_eq!(code, 1);
    assert_eq!(
        lines,
        [
            "m.conf:1: Address: missi",
            "m.conf:2: PrivateKey: no",
            "m.conf:3: unknown key \"M",
            "m.conf:4: MTU: \"10\" is o",
            "m.conf:9: Endpoint: \"d45",
            "m.conf: 5 errors, 0 warn",
        ]
    );
}

#[test]
fn a_secret_that_others_can_read_is_a_warning_in_a_file_of_the_python_tool() {
    let dir = tempfile::tempdir().unwrap();
    let text = interface(&format!("PrivateKey = {PRIVATE}")) + &peer(ALICE);
    for mode in [0o644, 0o640, 0o604] {
        let (code, said) = check(&dir, mode, &text);
        let expected = format!(
            "m.conf:2: warning: PrivateKey: a secret in a file that others can read (mode {mode:04o}); chmod 600 m.conf, \
             or PrivateKeyFile =\nm.conf: fine (1 peer, 1 link)\n"
        );
        assert_eq!((code, said), (0, expected));
    }
}

#[test]
fn a_key_file_lies_beside_the_configuration_and_is_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let text = interface("PrivateKeyFile = keys/own") + &peer(ALICE);
    fs::create_dir(dir.path().join("keys")).unwrap();
    let error = |text: &str, what: &str| {
        let (code, said) = check(&dir, 0o644, text);
        assert_eq!(code, 1, "{said}");
        assert!(said.starts_with(&format!("m.conf:2: PrivateKeyFile: {what}")), "{said}");
        assert!(!said.contains(&PRIVATE[..10]), "{said}");
    };
    error(&text, "keys/own: cannot be read: No such file or directory");
    let (_, said) = check(&dir, 0o644, text.replace("10.0.0.1/24", "x"));
    assert!(
        said.contains("m.conf:3: Address: ") && said.contains("m.conf:2: PrivateKeyFile: "),
        "all at once: {said}"
    );
    write(dir.path(), "keys/own", 0o644, format!("{PRIVATE}\n"));
    error(&text, "keys/own is a file that others can read (mode 0644); chmod 600 keys/own");
    write(dir.path(), "keys/own", 0o600, &PRIVATE[..40]);
    error(
        &text,
        "keys/own: 30 bytes long once decoded, a key has 32; one line as \"meshctl genkey\" writes it",
    );
    write(dir.path(), "keys/own", 0o600, PRIVATE.repeat(20));
    error(&text, "keys/own: too large; at most 256 bytes");
    write(dir.path(), "keys/own", 0o600, format!("{PRIVATE}\n"));
    assert_eq!(check(&dir, 0o644, &text), (0, "m.conf: fine (1 peer, 1 link)\n".to_owned()));
    let (code, said) = check(&dir, 0o644, interface("PrivateKeyFile = keys/own") + &peer(OWN));
    let expected =
        "m.conf:6: PublicKey: our own public key; the public key of the peer\nm.conf: 1 error, 0 warnings\n";
    assert_eq!((code, said.as_str()), (1, expected));
}

#[test]
fn a_user_who_is_not_here_is_a_warning_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        interface(&format!("PrivateKey = {PRIVATE}\nRunAsUser = nobdy-7\nRunAsGroup = 4711")) + &peer(ALICE);
    let expected = "m.conf:3: warning: RunAsUser: there is no user \"nobdy-7\" here; one of the host that the network \
                    runs on\nm.conf: fine (1 peer, 1 link)\n";
    assert_eq!(check(&dir, 0o600, text), (0, expected.to_owned()));
}

#[test]
fn what_is_no_text_file_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (_, said) = check(&dir, 0o600, b"[Interface]\n# caf\xe9\n");
    assert!(said.starts_with("m.conf:2: no UTF-8 text; a text file in UTF-8\n"), "{said}");
    let (_, said) = check(&dir, 0o600, vec![b'#'; (1 << 20) + 1]);
    assert!(said.starts_with("m.conf: too large; at most 1048576 bytes\n"), "{said}");
    let (code, said, _) = meshnetd(dir.path(), &["--check", "none.conf"]);
    assert_eq!(code, 1);
    assert!(said.starts_with("none.conf: cannot be read: No such file or directory"), "{said}");
    let (code, said, _) = meshnetd(dir.path(), &["--check", "."]);
    assert_eq!(code, 1);
    assert!(said.starts_with(".: cannot be read: Is a directory"), "{said}");
}

#[test]
fn a_network_with_a_mistake_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "m.conf", 0o600, interface("PrivateKey = x"));
    let (code, said, talk) = meshnetd(dir.path(), &["--config", "m.conf", "--state-dir", "state"]);
    assert_eq!((code, said.as_str()), (78, ""));
    assert!(talk.contains("ERROR m.conf:2: PrivateKey: "), "{talk}");
    assert!(talk.contains("m.conf: warning: no [Peer] section; "), "{talk}");
    assert!(!dir.path().join("state").exists());
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&[][..], &["--config", "a", "--check", "b"], &["--nonsense"]] {
        assert_eq!(meshnetd(dir.path(), args).0, 2, "{args:?}");
    }
    let (code, _, talk) = meshnetd(dir.path(), &["--config", "a", "--log", "meshnetd=loud"]);
    assert_eq!(code, 2);
    assert!(talk.contains("\"meshnetd=loud\" is no log level or filter"), "{talk}");
    assert_eq!(meshnetd(dir.path(), &["--version"]).1, format!("meshnetd {}\n", env!("CARGO_PKG_VERSION")));
}

/// All that the daemon's sources say, with string literals in one piece.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(path).unwrap();
            source.split("\\\n").for_each(|piece| text.push_str(piece.trim_start()));
        }
    }
}

#[test]
fn what_the_readme_says_that_it_says_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut said = String::new();
    ["src/daemon", "src/proto"].iter().for_each(|folder| sources(&root.join(folder), &mut said));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let rows = readme
        .lines()
        .skip_while(|line| *line != "## Troubleshooting")
        .filter_map(|line| line.strip_prefix("| `"));
    let messages: Vec<&str> = rows.filter_map(|row| Some(row.split_once('`')?.0)).collect();
    assert!(messages.len() >= 10, "{messages:?}");
    for message in messages {
        // What the program fills in is left out, or an example.
        let fixed = message.replace("tcp://", "").replace('!', "").replace("channel 3", "channel {index}");
        for part in fixed.split('…').map(str::trim) {
            assert!(said.contains(part), "nothing says {part:?}");
        }
    }
}
