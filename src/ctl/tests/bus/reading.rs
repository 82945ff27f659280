//! What only reads: status, show, lists.

use std::io::Read as _;
use std::process::Stdio;

use crate::world::{Bus, Daemon};

#[tokio::test]
async fn status_has_a_line_for_each_network_that_runs() {
    let bus = Bus::start();
    let (_mesh0, _mesh1) = (Daemon::start(&bus, "mesh0").await, Daemon::start(&bus, "mesh1").await);
    let done = bus.meshctl(&[]).await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
    let lines: Vec<Vec<&str>> = done.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..2], ["NETWORK", "STATE"]);
    assert_eq!(lines[1][..2], ["mesh0", "running"]);
    assert_eq!(lines[2][..2], ["mesh1", "running"]);
    let one = bus.meshctl(&["status", "mesh1"]).await;
    assert_eq!(one.stdout.lines().count(), 2, "{one:?}");
}

#[tokio::test]
async fn json_is_what_the_daemon_says_of_itself() {
    let bus = Bus::start();
    let daemon = Daemon::start(&bus, "mesh0").await;
    let said = serde_json::to_value(&daemon.table.lock().unwrap().network).unwrap();
    for form in ["--json=short", "--json=pretty", "--json", "-j"] {
        let shown = bus.meshctl(&["show", form]).await;
        assert_eq!(shown.json(), said, "{form}");
        let lines = shown.stdout.lines().count();
        assert_eq!(lines == 1, form != "--json=pretty", "{form}: {lines} lines");
        let status = bus.meshctl(&["status", form]).await.json();
        assert_eq!(status["schema"], said["schema"]);
        assert_eq!(status["networks"][0]["name"], "mesh0");
        assert_eq!(status["networks"][0]["describe"], said, "{form}");
    }
    let peers = bus.meshctl(&["peer", "list", "--json"]).await.json();
    assert_eq!(peers["peers"], said["peers"]);
    let links = bus.meshctl(&["link", "list", "--json"]).await.json();
    assert_eq!(links["links"], said["links"]);
}

#[tokio::test]
async fn show_tells_of_the_network_its_links_and_its_peers() {
    let bus = Bus::start();
    let _daemon = Daemon::start(&bus, "mesh0").await;
    let done = bus.meshctl(&["show"]).await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    for line in [
        "network: mesh0 (running)",
        "link: radio0 (up)",
        "  airtime: 4.2 s of 36 s this hour",
        "peer: cabin (established)",
        "  last heard: 3 minutes ago",
    ] {
        assert!(done.stdout.lines().any(|shown| shown == line), "{line}: {}", done.stdout);
    }
    let coloured = bus.meshctl(&["show", "--color=always"]).await;
    assert!(coloured.stdout.contains("\u{1b}[") && !done.stdout.contains("\u{1b}["));
}

#[tokio::test]
async fn with_several_networks_one_has_to_be_named() {
    let bus = Bus::start();
    let (_mesh0, _mesh1) = (Daemon::start(&bus, "mesh0").await, Daemon::start(&bus, "mesh1").await);
    let done = bus.meshctl(&["show"]).await;
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("mesh0, mesh1") && done.stderr.contains("-n NAME"), "{done:?}");
    for words in [&["show", "mesh1"][..], &["-n", "mesh1", "show"], &["show", "-n", "mesh1"]] {
        assert!(bus.meshctl(words).await.stdout.starts_with("network: mesh1"), "{words:?}");
    }
    assert_eq!(bus.meshctl(&["-n", "mesh0", "show", "mesh1"]).await.code, 2);
}

#[tokio::test]
async fn what_is_not_there_has_exit_code_10_and_no_bus_has_8() {
    let bus = Bus::start();
    for words in [&["show"][..], &["show", "mesh9"], &["status", "mesh9"], &["ping", "cabin"]] {
        let done = bus.meshctl(words).await;
        assert_eq!(done.code, 10, "{words:?}: {done:?}");
        assert!(done.stderr.contains("meshctl init"), "{done:?}");
    }
    let empty = bus.meshctl(&["status"]).await;
    assert_eq!((empty.code, empty.stdout.as_str()), (0, ""));
    let nowhere = bus.command(&["status"]).env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent").output();
    assert_eq!(nowhere.unwrap().status.code(), Some(8));
}

#[tokio::test]
async fn a_pipe_that_is_closed_is_no_error() {
    let bus = Bus::start();
    let _daemon = Daemon::start(&bus, "mesh0").await;
    let mut command = bus.command(&["show"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let (code, talk) = tokio::task::spawn_blocking(move || {
        let mut talk = String::new();
        child.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
        (child.wait().unwrap().code(), talk)
    })
    .await
    .unwrap();
    assert_eq!((code, talk.as_str()), (Some(0), ""));
}
