//! `monitor`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use meshnetd::control::Change;

use crate::world::{Bus, Daemon, key};

/// A monitor that listens already.
struct Monitor {
    child: Child,
    lines: Option<std::io::Lines<BufReader<ChildStdout>>>,
}

impl Monitor {
    async fn start(bus: &Bus, words: &[&str]) -> Self {
        let mut command = bus.command(words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let ready = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stderr).read_line(&mut line).unwrap();
            line
        });
        assert!(ready.await.unwrap().contains("Ctrl-C"));
        let lines = Some(BufReader::new(child.stdout.take().unwrap()).lines());
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        let mut lines = self.lines.take().unwrap();
        let (line, lines) = tokio::task::spawn_blocking(move || (lines.next(), lines)).await.unwrap();
        self.lines = Some(lines);
        line.expect("the monitor ended").unwrap()
    }

    async fn event(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.line().await).unwrap()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn events_come_one_object_a_line_and_daemons_come_and_go() {
    let bus = Bus::start();
    let mesh0 = Daemon::start(&bus, "mesh0").await;
    let mut monitor = Monitor::start(&bus, &["monitor", "--json"]).await;

    mesh0.change(|network| network.peers[0].state = "idle".to_owned(), vec![Change::PeerDown(key(2))]).await;
    let event = monitor.event().await;
    assert_eq!(
        (&event["network"], &event["event"], &event["peer"]),
        (&"mesh0".into(), &"peer-down".into(), &"cabin".into())
    );
    assert!(event["time"].as_f64().unwrap() > 1.7e9);

    mesh0
        .change(
            |network| {
                network.state = "degraded".to_owned();
                network.state_reason = Some("no-link".to_owned());
                network.links[0].state = "down".to_owned();
                network.links[0].last_error = Some("connection refused".to_owned());
            },
            vec![Change::Network, Change::LinkDown("radio0".to_owned())],
        )
        .await;
    let (first, second) = (monitor.event().await, monitor.event().await);
    assert_eq!(
        (&first["event"], &first["state"], &first["reason"]),
        (&"state".into(), &"degraded".into(), &"no-link".into())
    );
    assert_eq!((&second["event"], &second["link"]), (&"link-down".into(), &"radio0".into()));

    let mesh1 = Daemon::start(&bus, "mesh1").await;
    let event = monitor.event().await;
    assert_eq!((&event["network"], &event["event"]), (&"mesh1".into(), &"started".into()));
    drop(mesh1);
    let event = monitor.event().await;
    assert_eq!((&event["network"], &event["event"]), (&"mesh1".into(), &"stopped".into()));
}

#[tokio::test]
async fn of_a_network_that_is_named_and_for_people() {
    let bus = Bus::start();
    let mesh1 = Daemon::start(&bus, "mesh1").await;
    let mut monitor = Monitor::start(&bus, &["monitor", "mesh0"]).await;
    mesh1.change(|_| (), vec![Change::PeerDown(key(2))]).await;
    let mesh0 = Daemon::start(&bus, "mesh0").await;
    mesh0.change(|network| network.peers[0].endpoint = None, vec![Change::PathChanged(key(2))]).await;
    let (first, second) = (monitor.line().await, monitor.line().await);
    assert!(first.ends_with(" mesh0 has a daemon"), "{first}");
    assert!(second.contains(" mesh0 peer cabin "), "{second}");
}

#[tokio::test]
async fn whoever_has_seen_enough_ends_it_with_success() {
    let bus = Bus::start();
    let _mesh0 = Daemon::start(&bus, "mesh0").await;
    for signal in ["-INT", "-TERM"] {
        let mut monitor = Monitor::start(&bus, &["monitor"]).await;
        let pid = monitor.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        assert_eq!(monitor.child.wait().unwrap().code(), Some(0), "{signal}");
    }
}
