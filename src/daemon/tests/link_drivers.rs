//! The drivers against the radio simulator's real ports: TCP and ptys, and everything that goes wrong with them.

mod simulator;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meshnet_proto::link::{Class, LinkAddr, LinkEvent, LinkId, Transmit};
use meshnetd::link::{Connect, Contact, FromLink, Incoming, Link, RadioSpec, start};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use simulator::{NODES, Simulator};

/// Anything that does not happen within this will not: reconnecting after a crash takes some seconds.
const PATIENCE: Duration = Duration::from_secs(45);

/// A driver with what it said.
struct Host {
    link: Link,
    /// The driver goes with it.
    _contacts: watch::Sender<Vec<Contact>>,
    from_link: mpsc::Receiver<FromLink>,
    token: u64,
}

impl Host {
    fn start(at: usize, connect: Connect) -> Self {
        let (to_core, from_link) = mpsc::channel(64);
        let contacts = vec![Contact { node: NODES[1 - at], public_key: None }];
        let radio = RadioSpec { connect, channel_index: 0, hop_limit: None };
        let contacts = watch::Sender::new(contacts);
        let seed = [u8::try_from(at).unwrap() + 1; 32];
        let link = start(LinkId(0), format!("radio{at}"), radio, contacts.subscribe(), seed, to_core);
        Self { link, _contacts: contacts, from_link, token: 0 }
    }

    async fn next(&mut self) -> Incoming {
        let next = timeout(PATIENCE, self.from_link.recv()).await.expect("something within the time");
        next.expect("the driver runs").what
    }

    /// Waits for an event that fits.
    async fn event(&mut self, what: &str, fits: impl Fn(&LinkEvent) -> bool) -> LinkEvent {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "{what} did not happen");
            if let Incoming::Event(event) = self.next().await
                && fits(&event)
            {
                return event;
            }
        }
    }

    async fn up(&mut self) {
        self.event("up", |event| matches!(event, LinkEvent::Up(_))).await;
        self.event("room", |event| matches!(event, LinkEvent::Room(1..))).await;
    }

    async fn down(&mut self) {
        self.event("down", |event| *event == LinkEvent::Down).await;
    }

    async fn datagram(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "no datagram came");
            if let Incoming::Datagram { payload, .. } = self.next().await {
                return payload;
            }
        }
    }

    fn send(&mut self, to: usize, payload: &[u8]) {
        self.token += 1;
        let transmit = Transmit {
            link: LinkId(0),
            to: LinkAddr::radio(NODES[to]),
            payload: payload.to_vec(),
            segment: None,
            class: Class::Interactive,
            far: false,
            token: self.token,
        };
        self.link.outgoing.try_send(transmit).expect("the driver takes what it has room for");
    }
}

async fn both_up(simulator: &Simulator) -> [Host; 2] {
    let mut hosts = [0, 1].map(|at| Host::start(at, simulator.port(at)));
    for host in &mut hosts {
        host.up().await;
    }
    hosts
}

/// Both ways, so that both drivers are known to work.
async fn talk([one, two]: &mut [Host; 2]) {
    one.send(1, b"there");
    assert_eq!(two.datagram().await, b"there");
    two.send(0, b"and back");
    assert_eq!(one.datagram().await, b"and back");
}

#[tokio::test]
async fn datagrams_cross_the_air_between_tcp_radios() {
    let simulator = Simulator::tcp(&[]);
    let mut hosts = both_up(&simulator).await;
    talk(&mut hosts).await;
    let shown = hosts[0].link.status.wait_for(|status| status.received == 1).await.unwrap().clone();
    assert_eq!((shown.state, shown.sent, shown.connections), ("up", 1, 1));
    assert_eq!(shown.radio.as_deref(), Some("!a0000001"));
    assert_eq!((shown.region, shown.preset, shown.mtu), (Some("US"), Some("SHORT_TURBO"), Some(219)));
    assert_eq!((shown.peers[0].radio.as_str(), shown.peers[0].hops), ("!a0000002", Some(0)));
    let json = serde_json::to_value(&shown).unwrap();
    assert_eq!(json["state"], "up");
}

#[tokio::test]
async fn datagrams_cross_the_air_between_serial_radios_that_chatter() {
    let simulator = Simulator::pty(&["--debug-log"]);
    let mut hosts = both_up(&simulator).await;
    for _ in 0..5 {
        talk(&mut hosts).await;
    }
}

#[tokio::test]
async fn a_backlog_gets_nine_tenths_of_what_the_firmware_allows() {
    let simulator = Simulator::tcp(&["--no-node-info", "--telemetry", "0"]);
    let [mut one, mut two] = both_up(&simulator).await;
    let mut room = 2;
    let begin = Instant::now();
    let mut received = 0;
    while begin.elapsed() < Duration::from_secs(15) {
        while room > 0 {
            room -= 1;
            one.send(1, &[7; 219]);
        }
        tokio::select! {
            what = one.next() => match what {
                Incoming::Event(LinkEvent::Room(n)) => room = n,
                Incoming::Event(LinkEvent::Refused { reason, .. }) => panic!("{reason:?}"),
                Incoming::Event(_) | Incoming::Datagram { .. } | Incoming::Changed => {}
            },
            payload = two.datagram() => received += payload.len(),
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "some thousand")]
    let rate = received as f64 / begin.elapsed().as_secs_f64();
    println!("{rate:.0} B/s");
    // Bytes per second that the firmware's medium access leaves to one sender at SHORT_TURBO.
    assert!(rate >= 0.9 * 974.0, "{rate:.0} B/s");
}

#[tokio::test]
async fn a_restart_of_a_tcp_radio_is_survived() {
    let simulator = Simulator::tcp(&["--speed", "5"]);
    let mut hosts = both_up(&simulator).await;
    talk(&mut hosts).await;
    simulator.order(r#"{"reboot":"!a0000001"}"#);
    hosts[0].down().await;
    hosts[0].up().await;
    talk(&mut hosts).await;
    assert_eq!(hosts[0].link.status.borrow().connections, 2);
}

#[tokio::test]
async fn a_restart_of_a_serial_radio_is_survived_on_the_open_port() {
    let simulator = Simulator::pty(&["--speed", "5"]);
    let mut hosts = both_up(&simulator).await;
    simulator.order(r#"{"reboot":"!a0000001"}"#);
    hosts[0].down().await;
    hosts[0].up().await;
    talk(&mut hosts).await;
}

#[tokio::test]
async fn another_client_is_blamed_and_the_radio_taken_back_later() {
    let log = Log::capture();
    let simulator = Simulator::tcp(&[]);
    let mut hosts = both_up(&simulator).await;
    let Connect::Tcp { host, port } = simulator.port(0) else { unreachable!("a TCP radio") };
    let mut intruder = tokio::net::TcpStream::connect((host, port)).await.unwrap();
    hosts[0].down().await;
    let thrown_out = Instant::now();
    hosts[0].up().await;
    assert!(thrown_out.elapsed() >= Duration::from_secs(4), "the other one gets its time");
    assert_eq!(intruder.read(&mut [0; 1]).await.unwrap_or(0), 0, "and is thrown out in its turn");
    talk(&mut hosts).await;
    log.says("another client of this radio");
}

#[tokio::test]
async fn a_radio_that_vanishes_without_a_farewell_is_found_out_by_what_it_does_not_answer() {
    let simulator = Simulator::tcp(&[]);
    let mut hosts = both_up(&simulator).await;
    talk(&mut hosts).await;
    simulator.order(r#"{"stall":"!a0000001"}"#);
    hosts[0].send(1, b"into the void");
    let sent = Instant::now();
    hosts[0].down().await;
    assert!(sent.elapsed() < Duration::from_secs(15), "{:?}", sent.elapsed());
    hosts[0].up().await;
    talk(&mut hosts).await;
}

#[tokio::test]
async fn a_serial_radio_may_be_unplugged_and_plugged_in_again() {
    let simulator = Simulator::pty(&[]);
    let mut hosts = both_up(&simulator).await;
    simulator.order(r#"{"unplug":"!a0000001"}"#);
    hosts[0].down().await;
    hosts[0].link.status.wait_for(|status| status.last_error.is_some()).await.unwrap();
    simulator.order(r#"{"plug":"!a0000001"}"#);
    hosts[0].up().await;
    talk(&mut hosts).await;
}

#[tokio::test]
async fn radios_that_never_met_come_by_each_others_keys() {
    let log = Log::capture();
    let simulator = Simulator::tcp(&["--keys", "none", "--no-node-info"]);
    let mut hosts = both_up(&simulator).await;
    for (host, other) in hosts.iter_mut().zip([NODES[1], NODES[0]]) {
        let known = LinkEvent::KeyKnown(LinkAddr::radio(other));
        host.event("the key", |event| *event == known).await;
    }
    talk(&mut hosts).await;
    log.says(
        "the radio does not know the key of !a0000002 and cannot encrypt for it: asking for it on the air",
    );
}

#[tokio::test]
async fn a_radio_without_a_region_is_shown_as_faulty_and_why() {
    let log = Log::capture();
    let simulator = Simulator::tcp(&["--region", "UNSET"]);
    let mut host = Host::start(0, simulator.port(0));
    let status = host.link.status.wait_for(|status| status.state == "faulty").await.unwrap().clone();
    assert!(status.fault.unwrap().contains("no region set"));
    log.says("no region set");
}

#[tokio::test]
async fn a_radio_that_is_not_there_yet_is_waited_for() {
    let log = Log::capture();
    let simulator = Simulator::tcp(&[]);
    let (connect, address) = match simulator.port(0) {
        Connect::Tcp { host, port } => (Connect::Tcp { host: host.clone(), port }, format!("{host}:{port}")),
        Connect::Serial { .. } => unreachable!("a TCP radio"),
    };
    drop(simulator);
    let mut host = Host::start(0, connect);
    host.link.status.wait_for(|status| status.state == "down" && status.last_error.is_some()).await.unwrap();
    let _simulator = Simulator::tcp_at(&address);
    host.up().await;
    log.says("trying again until it works");
}

#[tokio::test]
async fn an_idle_driver_lets_the_processor_sleep() {
    let simulator = Simulator::tcp(&["--telemetry", "0", "--no-node-info"]);
    let mut host = Host::start(0, simulator.port(0));
    host.up().await;
    // What the connection set going may take a while to come to rest; anything periodic shows in every window.
    let mut woken = u64::MAX;
    for _ in 0..4 {
        let before = wakeups();
        tokio::time::sleep(Duration::from_secs(8)).await;
        woken = woken.min(wakeups() - before);
    }
    // The end of this test's own wait is one, and a busy machine adds another; the most frequent periodic thing that there
    // is, the filler, would be four.
    assert!(woken <= 3, "{woken} wakeups in the calmest 8 s");
}

/// How often this thread, which runs everything of a test, has slept so far.
fn wakeups() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn a_dropped_link_stops_its_driver() {
    let simulator = Simulator::tcp(&[]);
    let mut host = Host::start(0, simulator.port(0));
    host.up().await;
    drop(host.link);
    while timeout(PATIENCE, host.from_link.recv()).await.expect("the driver ends").is_some() {}
}

#[tokio::test]
async fn a_driver_that_waits_for_its_radio_stops_too() {
    let path = PathBuf::from("/nonexistent/radio");
    let mut host = Host::start(0, Connect::Serial { path });
    host.link.status.wait_for(|status| status.state == "down").await.unwrap();
    drop(host.link);
    while timeout(PATIENCE, host.from_link.recv()).await.expect("the driver ends").is_some() {}
}

/// What was logged on this thread, where the test's runtime runs everything.
struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn capture() -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = text.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || Sink(sink.clone()))
            .finish();
        Self { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    fn says(&self, what: &str) {
        let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches(what).count(), 1, "{what:?} once in:\n{text}");
    }
}
