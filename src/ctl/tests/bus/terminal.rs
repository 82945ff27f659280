//! What is different on a terminal: `top`, the pager, colour.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use meshnet_bus::describe;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::pty::Terminal;
use crate::world::{Bus, Daemon, Table};

const ENTER_SCREEN: &str = "\x1b[?1049h";
const LEAVE_SCREEN: &str = "\x1b[?1049l";
const SHOW_CURSOR: &str = "\x1b[?25h";

/// A bus with one daemon, on a thread of its own: these tests wait for terminals.
struct World {
    bus: Arc<Bus>,
    table: Arc<Mutex<Table>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl World {
    fn start() -> Self {
        let bus = Arc::new(Bus::start());
        let (stop, stopped) = oneshot::channel();
        let (sender, started) = std::sync::mpsc::channel();
        let on = Arc::clone(&bus);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let daemon = Daemon::start(&on, "mesh0").await;
                sender.send(Arc::clone(&daemon.table)).unwrap();
                let _ = stopped.await;
            });
        });
        let table = started.recv().unwrap();
        Self { bus, table, stop: Some(stop), thread: Some(thread) }
    }

    /// The client, as somebody runs it who has set nothing.
    fn meshctl(&self, words: &[&str]) -> Command {
        let mut command = self.bus.command(words);
        for variable in ["NO_COLOR", "PAGER", "MESHCTL_PAGER", "LESS"] {
            command.env_remove(variable);
        }
        command
    }

    /// All that a run on a terminal writes; it ends with success.
    fn shown(&self, words: &[&str], environment: &[(&str, &str)]) -> String {
        let mut command = self.meshctl(words);
        command.envs(environment.iter().copied());
        let (code, text) = Terminal::run(&command, 80, 24).end();
        assert_eq!(code, Some(0), "{words:?} {environment:?}: {text}");
        text
    }

    /// `top`, with its first picture drawn.
    fn top(&self) -> Terminal {
        let mut terminal = Terminal::run(&self.meshctl(&["top"]), 80, 24);
        terminal.until(ENTER_SCREEN);
        terminal.until("cabin");
        terminal
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn top_follows_the_network_and_the_size_of_the_terminal() {
    let world = World::start();
    let mut top = world.top();
    assert!(top.is_raw());
    {
        let peer = &mut world.table.lock().unwrap().network.peers[0];
        peer.name = Some("WINDMILL".to_owned());
        peer.path_reason = Some("cheaper".to_owned());
        peer.paths =
            vec![describe::Path { link: "radio0".to_owned(), current: true, ..describe::Path::default() }];
    }
    top.until("WINDMILL");
    top.until("why:");
    // All of it is drawn again, in as much room as there is.
    top.resize(40, 10);
    let drawn = top.until("COST");
    assert!(!drawn.contains("HEARD"), "{drawn:?}");
    top.until("WINDMILL");
    top.type_in("q");
    assert_eq!(top.end().0, Some(0));
}

#[test]
fn whatever_ends_top_gives_the_terminal_back() {
    let world = World::start();
    type End = fn(&mut Terminal);
    let ways: [(&str, End); 5] = [
        ("q", |top| top.type_in("q")),
        ("Esc", |top| top.type_in("\x1b")),
        ("Ctrl-C", |top| top.type_in("\x03")),
        ("SIGINT", |top| top.signal("INT")),
        ("SIGTERM", |top| top.signal("TERM")),
    ];
    for (name, end) in ways {
        let mut top = world.top();
        assert!(top.is_raw(), "{name}");
        end(&mut top);
        let (code, last) = top.end();
        assert_eq!(code, Some(0), "{name}: {last:?}");
        assert!(last.contains(LEAVE_SCREEN) && last.contains(SHOW_CURSOR), "{name}: {last:?}");
        assert!(!top.is_raw(), "{name}");
    }
}

/// A pager that says so, what it was told, and the text after it.
fn pager(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("pager");
    fs::write(&path, "#!/bin/sh\necho \"paged $1 LESS=$LESS LESSSECURE=$LESSSECURE\"\nexec cat\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_long_answer_on_a_terminal_goes_through_the_pager_that_is_wanted() {
    let world = World::start();
    let folder = tempfile::tempdir().unwrap();
    let pager = pager(&folder).to_str().unwrap().to_owned();
    let with_word = format!("{pager} word");
    let answer = "latest handshake";
    for environment in
        [&[("PAGER", with_word.as_str())][..], &[("PAGER", "false"), ("MESHCTL_PAGER", &with_word)]]
    {
        let text = world.shown(&["show"], environment);
        let first = text.lines().next().unwrap();
        assert_eq!(first, "paged word LESS=FRX LESSSECURE=1", "{environment:?}");
        assert!(text.contains(answer) && text.contains("\x1b["), "styles go through it: {text}");
    }
    let text = world.shown(&["show"], &[("PAGER", &pager), ("LESS", "R")]);
    assert!(text.starts_with("paged  LESS=R LESSSECURE=1"), "{text}");
}

#[test]
fn without_a_pager_the_answer_comes_at_once() {
    let world = World::start();
    let folder = tempfile::tempdir().unwrap();
    let pager = pager(&folder);
    let pager = pager.to_str().unwrap();
    for (words, environment) in [
        (&["show", "--no-pager"][..], &[("PAGER", pager)][..]),
        (&["show"], &[("PAGER", "cat")]),
        (&["show"], &[("PAGER", "")]),
        (&["show"], &[("PAGER", "/nowhere/pager")]),
        (&["show"], &[("PAGER", pager), ("MESHCTL_PAGER", "cat")]),
    ] {
        let text = world.shown(words, environment);
        assert!(text.contains("latest handshake") && !text.contains("paged"), "{environment:?}: {text}");
    }
    // Who quits it has read enough.
    world.shown(&["show"], &[("PAGER", "true")]);
    // Nobody reads page by page what goes into a pipe.
    let output = world.meshctl(&["show"]).env("PAGER", pager).output().unwrap();
    assert!(!String::from_utf8(output.stdout).unwrap().contains("paged"));
}

#[test]
fn a_terminal_is_coloured_unless_somebody_wants_none() {
    let world = World::start();
    for (option, environment, coloured) in [
        ("--color=auto", &[][..], true),
        ("--color=auto", &[("NO_COLOR", "1")], false),
        ("--color=auto", &[("NO_COLOR", "")], true),
        ("--color=auto", &[("TERM", "dumb")], false),
        ("--color=always", &[("NO_COLOR", "1")], true),
        ("--color=never", &[], false),
    ] {
        let text = world.shown(&["show", "--no-pager", option], environment);
        assert!(text.contains("network: mesh0") || coloured, "{text}");
        assert_eq!(text.contains("\x1b["), coloured, "{option} {environment:?}: {text:?}");
    }
}
