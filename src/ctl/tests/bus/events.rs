//! `monitor`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use meshnet_bus::describe::{Network, Path, PathCounters};
use meshnet_bus::names::{NETWORK, ROOT};
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

#[tokio::test]
async fn a_path_that_changes_is_told_with_all_ways_and_their_cost() {
    let bus = Bus::start();
    let mesh0 = Daemon::start(&bus, "mesh0").await;
    let radio = Path {
        link: "radio0".to_owned(),
        endpoint: "!d45b9db8".to_owned(),
        tier: "radio".to_owned(),
        state: "proven".to_owned(),
        origin: Some("configured".to_owned()),
        rtt_ms: Some(1843.25),
        sent: PathCounters { datagrams: 42, bytes: 3_500, airtime_ms: 4_200 },
        ..Path::default()
    };
    let direct = Path {
        link: "udp0".to_owned(),
        endpoint: "udp://192.0.2.7:51820".to_owned(),
        tier: "direct".to_owned(),
        state: "proven".to_owned(),
        current: true,
        loss: Some(0.25),
        sent: PathCounters { datagrams: 1, bytes: 148, airtime_ms: 0 },
        ..Path::default()
    };
    let paths = vec![direct, radio];
    let edit = |network: &mut Network| {
        let cabin = &mut network.peers[0];
        (cabin.link, cabin.endpoint) = (Some("udp0".to_owned()), Some("udp://192.0.2.7:51820".to_owned()));
        (cabin.path_reason, cabin.tier) = (Some("proven".to_owned()), Some("direct".to_owned()));
        cabin.paths = paths.clone();
    };
    let mut json = Monitor::start(&bus, &["monitor", "--json"]).await;
    let mut text = Monitor::start(&bus, &["monitor"]).await;
    mesh0.change(edit, vec![Change::PathChanged(key(2))]).await;

    let event = json.event().await;
    assert_eq!(
        (&event["event"], &event["reason"], &event["tier"]),
        (&"path-changed".into(), &"proven".into(), &"direct".into())
    );
    assert_eq!(event["paths"], serde_json::to_value(&paths).unwrap(), "as the description has them");
    let line = text.line().await;
    let told = "peer cabin is reached through udp0 udp://192.0.2.7:51820 (direct: it answered, and is better in kind); sent \
                so far: 148 B (1 datagram) by udp0 udp://192.0.2.7:51820, 3.4 KiB (42 datagrams, 4.2 s of air) by radio0 \
                !d45b9db8";
    assert!(line.ends_with(told), "{line}");
}

#[tokio::test]
async fn a_daemon_that_ends_leaves_its_last_event_without_the_paths() {
    let bus = Bus::start();
    let mut monitor = Monitor::start(&bus, &["monitor", "--json"]).await;
    // Somebody with a network's name who has no objects.
    let other = bus.connect().await;
    other.request_name("org.meshnet1.mesh0").await.unwrap();
    assert_eq!(monitor.event().await["event"], "started");
    let object = meshnet_bus::names::peer_path(key(2).as_bytes());
    let body = (object, key(2).to_string(), "cabin", "radio0 !d45b9db8", "silent");
    other.emit_signal(None::<&str>, ROOT, NETWORK, "PathChanged", &body).await.unwrap();
    let event = monitor.event().await;
    assert_eq!((&event["path"], &event["reason"]), (&"radio0 !d45b9db8".into(), &"silent".into()));
    assert!(event["tier"].is_null() && event["paths"].is_null(), "{event}");
}
