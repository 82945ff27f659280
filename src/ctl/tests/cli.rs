//! The command line as scripts and people meet it, by the real binary; no bus is needed.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The whole reference: every change of a flag or a text is seen in review.
const REFERENCE: &str = "tests/reference.txt";

fn meshctl(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
    command
        .args(args)
        .stdin(Stdio::null())
        .env_remove("NO_COLOR")
        // Nobody's bus: what a test says must not depend on the host.
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus");
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    transcript(meshctl(args).output().unwrap())
}

fn transcript(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The same with a text on stdin.
fn run_with(args: &[&str], input: &str) -> (i32, String, String) {
    let mut child =
        meshctl(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    transcript(child.wait_with_output().unwrap())
}

fn reference(command: &mut clap::Command, path: &str, text: &mut String) {
    text.push_str(&format!("=== {path}\n{}\n\n", command.render_long_help().to_string().trim_end()));
    let names: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    for name in names {
        let verb = command.find_subcommand_mut(&name).unwrap();
        reference(verb, &format!("{path} {name}"), text);
    }
}

#[test]
fn the_reference_is_what_help_says() {
    let mut command = meshctl::cli::command().term_width(100);
    command.build();
    let mut text = String::new();
    reference(&mut command, "meshctl", &mut text);
    let text: Vec<&str> = text.lines().map(str::trim_end).collect();
    let text = text.join("\n").trim_end().to_owned() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(REFERENCE);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert!(
        text == committed,
        "help differs from {REFERENCE}; run this test with UPDATE_REFERENCE=1, and review the change"
    );
}

#[test]
fn each_verb_has_an_example() {
    fn check(command: &clap::Command) {
        for verb in command.get_subcommands() {
            let keys = ["genkey", "pubkey", "genpsk"].contains(&verb.get_name());
            let example = verb.get_after_help().is_some_and(|text| text.to_string().contains("meshctl "));
            assert!(example || keys || verb.has_subcommands(), "{}", verb.get_name());
            check(verb);
        }
    }
    check(&meshctl::cli::command());
}

#[test]
fn exit_codes_are_those_of_the_manual() {
    assert_eq!(run(&["--help"]).0, 0);
    assert_eq!(run(&["--version"]).0, 0);
    for usage in
        [&["nonsense"][..], &["-n", "Big", "show"], &["--color=pink"], &["show", "mesh1", "-n", "mesh0"]]
    {
        assert_eq!(run(usage).0, 2, "{usage:?}");
    }
    for verb in ["show", "up", "ping", "monitor"] {
        let words: &[&str] = if verb == "ping" { &["ping", "x"] } else { &[verb, "mesh0"] };
        let (code, said, talk) = run(words);
        assert_eq!((code, said.as_str()), (8, ""), "{verb}: {talk}");
        assert!(talk.starts_with("meshctl: ") && talk.contains("\nhint: "), "{verb}: {talk}");
    }
    let empty = tempfile::tempdir().unwrap();
    let (code, _, talk) = run(&["invite", "--config-dir", empty.path().to_str().unwrap()]);
    assert_eq!(code, 10, "{talk}");
}

#[test]
fn top_says_why_it_does_not_begin() {
    for (words, why, hint) in [
        (&["top", "--json"][..], "top has no JSON form", "\"meshctl show --json\" has what it shows"),
        (&["top"], "top needs a terminal", "\"meshctl show\" answers everywhere"),
    ] {
        let (code, said, talk) = run(words);
        assert_eq!((code, said.as_str()), (2, ""), "{words:?}");
        assert_eq!(talk, format!("meshctl: {why}\nhint: {hint}\n"));
    }
}

#[test]
fn a_pipe_is_not_coloured_unless_that_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let init = |name: &str, args: &[&str]| {
        let place = at(name);
        let words = ["init", "--radio", "tcp://radio", "--config-dir", &place];
        run(&[&words[..], args].concat()).1
    };
    assert!(!init("a", &[]).contains('\x1b'));
    assert!(init("b", &["--color=always"]).contains('\x1b'));
    assert!(!init("c", &["--color=never"]).contains('\x1b'));
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    run(&["init", "--radio", "tcp://radio", "--config-dir", place]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let words = ["invite", "--config-dir", place, "--endpoint", "!a0000001"];
    let output = meshctl(&words).stdout(writer).output().unwrap();
    let (code, _, talk) = transcript(output);
    assert_eq!(code, 0, "{talk}");
    assert!(!talk.contains("meshctl: "), "{talk}");
    let full = File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(meshctl(&words).stdout(full).output().unwrap().status.code(), Some(1));
}

#[test]
fn init_makes_a_private_file_once() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("etc");
    let words = ["init", "mesh1", "--radio", "tcp://radio", "--config-dir", place.to_str().unwrap()];
    let (code, said, talk) = run(&words);
    assert_eq!(code, 0, "{talk}");
    assert!(said.contains("meshctl enable --now mesh1"), "{said}");
    let path = place.join("mesh1.conf");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let key = text.lines().find_map(|line| line.strip_prefix("PrivateKey = ")).unwrap();
    assert!(!said.contains(key) && !talk.contains(key), "the secret is in the file alone");

    let (code, said, talk) = run(&words);
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(talk.contains("is there already"), "{talk}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    let (code, said, _) = run(&[&words[..], &["--force", "--json=short"]].concat());
    assert_eq!(code, 0);
    let made: serde_json::Value = serde_json::from_str(&said).unwrap();
    let backup = made["backup"].as_str().unwrap();
    assert_eq!(fs::read_to_string(backup).unwrap(), text);
    assert_ne!(fs::read_to_string(&path).unwrap(), text);
}

/// Runs one exchange between two fresh directories; returns both files.
fn exchange(invite: &[&str], join: &[&str]) -> (String, String) {
    let directory = tempfile::tempdir().unwrap();
    let [west, east] = ["west", "east"].map(|name| directory.path().join(name).to_str().unwrap().to_owned());
    run(&["init", "--radio", "tcp://a", "--address", "10.7.0.1/24", "--config-dir", &west]);
    let words = ["invite", "--name", "west", "--endpoint", "!a0000001", "--config-dir", &west];
    let (code, line, talk) = run(&[&words[..], invite].concat());
    assert_eq!(code, 0, "{talk}");
    let words = [
        "join",
        line.trim(),
        "--radio",
        "tcp://b",
        "--name",
        "east",
        "--endpoint",
        "!a0000002",
        "--config-dir",
        &east,
    ];
    let (code, answer, talk) = run(&[&words[..], join].concat());
    assert_eq!(code, 0, "{talk}");
    let (code, said, talk) = run_with(&["join", "--config-dir", &west], &answer);
    assert_eq!((code, said.as_str()), (0, ""), "{talk}");
    // Again: nothing changes.
    let before = fs::read_to_string(format!("{west}/mesh0.conf")).unwrap();
    assert_eq!(run_with(&["join", "--config-dir", &west], &answer).0, 0);
    let west = fs::read_to_string(format!("{west}/mesh0.conf")).unwrap();
    assert_eq!(west, before);
    (west, fs::read_to_string(format!("{east}/mesh0.conf")).unwrap())
}

fn value<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let start = format!("{key} = ");
    text.lines().filter_map(|line| line.strip_prefix(&start)).collect()
}

#[test]
fn one_exchange_of_lines_configures_both_ends() {
    let (west, east) = exchange(&["--for", "10.7.0.2"], &[]);
    assert_eq!(value(&east, "Address"), ["10.7.0.2/24"]);
    assert_eq!(value(&west, "AllowedIPs"), ["10.7.0.2/32"]);
    assert_eq!(value(&east, "AllowedIPs"), ["10.7.0.1/32"]);
    assert_eq!((value(&west, "Endpoint"), value(&east, "Endpoint")), (vec!["!a0000002"], vec!["!a0000001"]));
    assert_eq!((value(&west, "Name"), value(&east, "Name")), (vec!["east"], vec!["west"]));
    assert_eq!(value(&west, "PresharedKey"), Vec::<&str>::new());
}

#[test]
fn a_preshared_key_is_made_once_and_is_the_same_at_both_ends() {
    for (invite, join) in [(&["--psk"][..], &[][..]), (&[], &["--psk"])] {
        let (west, east) = exchange(invite, join);
        assert_eq!(value(&west, "PresharedKey").len(), 1);
        assert_eq!(value(&west, "PresharedKey"), value(&east, "PresharedKey"));
    }
}

#[test]
fn joining_again_answers_with_the_key_that_is_stored_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let [west, east] = ["west", "east"].map(|name| directory.path().join(name).to_str().unwrap().to_owned());
    run(&["init", "--radio", "tcp://a", "--address", "10.7.0.1/24", "--config-dir", &west]);
    let words = ["invite", "--name", "west", "--endpoint", "!a0000001", "--config-dir", &west];
    let line = run(&words).1;
    let words = ["join", line.trim(), "--psk", "--radio", "tcp://b", "--config-dir", &east];
    let join = || run(&[&words[..], &["--endpoint", "!a0000002"]].concat());
    let (code, answer, talk) = join();
    assert_eq!(code, 0, "{talk}");
    assert_eq!(join().1, answer);
    // What `invite --to` prints is the same again.
    let words = ["invite", "--to", "west", "--endpoint", "!a0000002", "--config-dir", &east];
    assert_eq!(run(&words).1, answer);

    let path = format!("{east}/mesh0.conf");
    let text = fs::read_to_string(&path).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("PresharedKey")).collect();
    fs::write(&path, without.join("\n")).unwrap();
    let (code, said, talk) = join();
    assert_eq!((code, said.as_str()), (1, ""), "{talk}");
    assert!(talk.contains("west is a peer of mesh0 already") && talk.contains("peer remove west"), "{talk}");
}

#[test]
fn who_has_anothers_address_or_radio_does_not_get_into_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let invite = |name: &str, address: &str, radio: &str| {
        let place = place(name);
        run(&["init", "--radio", "tcp://a", "--address", address, "--config-dir", &place]);
        run(&["invite", "--name", name, "--no-address", "--endpoint", radio, "--config-dir", &place]).1
    };
    let ours = place("ours");
    run(&["init", "--radio", "tcp://b", "--address", "10.7.0.9/24", "--config-dir", &ours]);
    let join = |line: &str| {
        run(&["join", line.trim(), "--name", "us", "--endpoint", "!a0000009", "--config-dir", &ours])
    };
    let (code, _, talk) = join(&invite("cabin", "10.7.0.1/24", "!a0000001"));
    assert_eq!(code, 0, "{talk}");
    let path = format!("{ours}/mesh0.conf");
    let before = fs::read_to_string(&path).unwrap();
    for (name, address, radio, taken) in [
        ("hut", "10.7.0.1/24", "!a0000002", "10.7.0.1/32"),
        ("barn", "10.7.0.3/24", "!a0000001", "!a0000001"),
    ] {
        let (code, said, talk) = join(&invite(name, address, radio));
        assert_eq!((code, said.as_str()), (1, ""), "{talk}");
        assert!(talk.contains(&format!("{taken} is already that of cabin")), "{talk}");
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
    }
}

#[test]
fn a_secret_line_is_not_taken_from_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let [west, east] = ["west", "east"].map(|name| directory.path().join(name).to_str().unwrap().to_owned());
    run(&["init", "--radio", "tcp://a", "--config-dir", &west]);
    let (_, line, _) = run(&["invite", "--psk", "--endpoint", "!a0000001", "--config-dir", &west]);
    let words = ["join", line.trim(), "--radio", "tcp://b", "--endpoint", "!a0000002", "--config-dir", &east];
    let (_, answer, talk) = run(&words);
    assert!(talk.contains("holds a secret"), "{talk}");
    let (code, _, talk) = run(&["join", answer.trim(), "--config-dir", &west]);
    assert_eq!(code, 2, "{talk}");
}

#[test]
fn an_answer_to_somebody_else_is_refused_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| directory.path().join(name).to_str().unwrap().to_owned());
    for place in [&a, &c] {
        run(&["init", "--radio", "tcp://a", "--config-dir", place]);
    }
    let (_, line, _) = run(&["invite", "--endpoint", "!a0000001", "--config-dir", &a]);
    let (_, answer, _) =
        run(&["join", line.trim(), "--radio", "tcp://b", "--endpoint", "!a0000002", "--config-dir", &b]);
    let before = fs::read_to_string(format!("{c}/mesh0.conf")).unwrap();
    let (code, _, talk) = run(&["join", answer.trim(), "--config-dir", &c]);
    assert_eq!(code, 10, "{talk}");
    assert_eq!(fs::read_to_string(format!("{c}/mesh0.conf")).unwrap(), before);
    let (code, _, talk) = run(&["join", &line[..40], "--config-dir", &c]);
    assert_eq!(code, 2, "{talk}");
}

#[test]
fn a_shell_that_asks_gets_verbs_and_no_error_without_a_bus() {
    for shell in ["bash", "zsh", "fish"] {
        let ask = |words: &[&str]| {
            let mut command = meshctl(&[&["--"], words].concat());
            // fish has no variable for the place: it leaves out what comes after the cursor.
            command.env("COMPLETE", shell).env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
            transcript(command.output().unwrap())
        };
        let (code, said, _) = ask(&["meshctl", "pee"]);
        assert_eq!(code, 0, "{shell}");
        assert!(said.lines().any(|line| line.starts_with("peer")), "{shell}: {said}");
        let (code, _, talk) = ask(&["meshctl", "ping", ""]);
        assert_eq!((code, talk.as_str()), (0, ""), "{shell}");
    }
}

#[test]
fn help_is_short_on_h_and_whole_on_help() {
    let mut whole = String::new();
    let mut child = meshctl(&["ping", "--help"]).stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.take().unwrap().read_to_string(&mut whole).unwrap();
    child.wait().unwrap();
    assert!(run(&["ping", "-h"]).1.len() < whole.len());
}
