//! The key commands against transcripts of `wg` (wireguard-tools 1.0.20210914).

use std::fs::{self, File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

const WARNING: &str =
    "Warning: writing to world accessible file.\nConsider setting the umask to 077 and trying again.\n";
const PRIVATE: &str = "oIslLgzomGbnGd08R0sQ7z2FQfCgPIzij0X7zMVoZEA=";
const PUBLIC: &str = "MGDi0qYr0IGU/Vn3hDCwjAQO6v3BamsZIAaNJesHq2w=\n";

fn meshctl(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_meshctl"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended without reading everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn transcript(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_generated_key_is_one_line_of_base64() {
    for verb in ["genkey", "genpsk"] {
        let (code, first, talk) = transcript(meshctl(&[verb], b""));
        let (_, second, _) = transcript(meshctl(&[verb], b""));
        assert_eq!((code, talk.as_str(), first.len()), (0, "", 45), "{verb}");
        assert!(first.ends_with("=\n"), "{verb}: {first:?}");
        assert_ne!(first, second, "{verb}");
    }
}

#[test]
fn a_generated_private_key_has_a_public_key() {
    let (_, private, _) = transcript(meshctl(&["genkey"], b""));
    let (code, public, talk) = transcript(meshctl(&["pubkey"], private.as_bytes()));
    assert_eq!((code, talk.as_str(), public.len()), (0, "", 45));
}

#[test]
fn pubkey_takes_a_key_and_blanks_after_it() {
    for blanks in ["", "\n", "\n\n", " \n", "\r\n", "\t \x0b\x0c\n", "\0", &" ".repeat(1000)] {
        let input = format!("{PRIVATE}{blanks}");
        let expected = (0, PUBLIC.to_owned(), String::new());
        assert_eq!(transcript(meshctl(&["pubkey"], input.as_bytes())), expected, "{blanks:?}");
    }
}

#[test]
fn pubkey_refuses_what_follows_a_key() {
    for input in
        [format!(" {PRIVATE}\n"), format!("{PRIVATE}\nx"), format!("{PRIVATE} x"), format!("{PRIVATE}A")]
    {
        let expected = (1, String::new(), "meshctl: Trailing characters found after key\n".to_owned());
        assert_eq!(transcript(meshctl(&["pubkey"], input.as_bytes())), expected, "{input:?}");
    }
}

#[test]
fn pubkey_refuses_what_is_no_key() {
    let cut = &PRIVATE[..43];
    let not_canonical = format!("{}/=", &PRIVATE[..42]);
    let blank_inside = format!(" {cut}");
    for input in
        ["", "\n", "abc", cut, &format!("{cut}\n"), &not_canonical, &format!("{cut}A"), &blank_inside]
    {
        let expected = (1, String::new(), "meshctl: Key is not the correct length or format\n".to_owned());
        assert_eq!(transcript(meshctl(&["pubkey"], input.as_bytes())), expected, "{input:?}");
    }
}

#[test]
fn an_argument_too_many_is_a_usage_error() {
    for verb in ["genkey", "pubkey", "genpsk"] {
        for argument in ["x", "-h", "--help", "--version"] {
            let expected = (1, String::new(), format!("Usage: meshctl {verb}\n"));
            assert_eq!(transcript(meshctl(&[verb, argument], b"")), expected, "{verb} {argument}");
        }
    }
}

#[test]
fn a_file_that_others_can_open_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    // As `wg` does: any permission of others counts, the group's do not.
    for (mode, warned) in [
        (0o644, true),
        (0o604, true),
        (0o602, true),
        (0o601, true),
        (0o600, false),
        (0o640, false),
        (0o670, false),
    ] {
        for verb in ["genkey", "genpsk"] {
            let file = File::create(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let output = Command::new(env!("CARGO_BIN_EXE_meshctl")).arg(verb).stdout(file).output().unwrap();
            assert!(output.status.success());
            let expected = if warned { WARNING } else { "" };
            assert_eq!(String::from_utf8(output.stderr).unwrap(), expected, "{verb} to mode {mode:o}");
            let mut key = String::new();
            File::open(&path).unwrap().read_to_string(&mut key).unwrap();
            assert_eq!(key.len(), 45);
        }
    }
}

#[test]
fn a_key_that_cannot_be_written_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_meshctl")).arg("genkey").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("meshctl: stdout: "));
}
