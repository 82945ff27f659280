//! The command itself, over its real ports.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use meshnet_proto::meshtastic::message::from_radio::Variant;
use meshnet_proto::meshtastic::message::mesh_packet::Payload;
use meshnet_proto::meshtastic::message::{Data, FromRadio, Heartbeat, MeshPacket, ToRadio, port, to_radio};
use meshnet_proto::meshtastic::stream::{self, Decoder, FILLER, Piece};
use prost::Message as _;
use serde_json::Value;

const A: u32 = 0xa000_0001;
const B: u32 = 0xa000_0002;

/// Nothing here takes longer than this, in real time, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running simulator.
struct Simulator {
    process: Child,
    stdout: BufReader<ChildStdout>,
    ready: Value,
}

impl Simulator {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_meshnet-radiosim"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let json = line.strip_prefix("ready ").unwrap_or_else(|| panic!("not ready: {line:?}"));
        Self { process, stdout, ready: serde_json::from_str(json).unwrap() }
    }

    fn tcp(&self, radio: usize) -> Host<TcpStream> {
        let address = self.ready["radios"][radio]["tcp"].as_str().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Host::greet(stream)
    }

    /// Ends the simulator as a service manager would; returns what it printed last.
    fn stop(mut self) -> String {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert!(self.process.wait().unwrap().success());
        rest
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A host on a stream.
struct Host<S> {
    stream: S,
    decoder: Decoder,
    waiting: std::collections::VecDeque<Variant>,
}

impl<S: Read + Write> Host<S> {
    /// Does as the official client does when it connects.
    fn greet(mut stream: S) -> Self {
        stream.write_all(&[FILLER; 32]).unwrap();
        let mut host = Self { stream, decoder: Decoder::default(), waiting: Default::default() };
        host.say(to_radio::Variant::WantConfigId(42));
        host.until(|variant| *variant == Variant::ConfigCompleteId(42));
        host
    }

    fn say(&mut self, variant: to_radio::Variant) {
        let message = ToRadio { variant: Some(variant) }.encode_to_vec();
        self.stream.write_all(&stream::frame(&message)).unwrap();
    }

    fn send(&mut self, to: u32, payload: &[u8], want_ack: bool) {
        let data = Data { portnum: port::PRIVATE, payload: payload.into(), ..Data::default() };
        let payload = Some(Payload::Decoded(data));
        self.say(to_radio::Variant::Packet(MeshPacket { to, want_ack, payload, ..MeshPacket::default() }));
    }

    /// Reads until a message that is looked for.
    fn until(&mut self, wanted: impl Fn(&Variant) -> bool) -> Variant {
        let start = Instant::now();
        let mut buffer = [0; 4096];
        loop {
            while let Some(variant) = self.waiting.pop_front() {
                if wanted(&variant) {
                    return variant;
                }
            }
            assert!(start.elapsed() < PATIENCE, "it never came");
            let len = self.stream.read(&mut buffer).unwrap();
            assert!(len > 0, "the connection ended");
            self.decoder.push(&buffer[..len], |piece| {
                if let Piece::Message(bytes) = piece {
                    self.waiting.extend(FromRadio::decode(bytes.as_slice()).unwrap().variant);
                }
            });
        }
    }

    /// Returns the payload of the next packet from this node.
    fn payload_from(&mut self, node: u32) -> Vec<u8> {
        let found = self.until(|variant| {
            matches!(variant, Variant::Packet(MeshPacket { from, payload: Some(Payload::Decoded(data)), .. })
                if *from == node && data.portnum == port::PRIVATE)
        });
        match found {
            Variant::Packet(MeshPacket { payload: Some(Payload::Decoded(data)), .. }) => data.payload,
            other => panic!("{other:?}"),
        }
    }

    fn is_routing_from(variant: &Variant, node: u32) -> bool {
        matches!(variant, Variant::Packet(MeshPacket { from, payload: Some(Payload::Decoded(data)), .. })
            if *from == node && data.portnum == port::ROUTING)
    }
}

/// A pty as a host opens it.
struct Line(std::fs::File);

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        use std::os::fd::AsFd as _;
        let mut poll = [nix::poll::PollFd::new(self.0.as_fd(), nix::poll::PollFlags::POLLIN)];
        let timeout = u16::try_from(PATIENCE.as_millis()).unwrap();
        assert_ne!(nix::poll::poll(&mut poll, timeout).unwrap(), 0, "nothing came");
        self.0.read(buffer)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

fn open_line(path: &Path) -> std::io::Result<Line> {
    std::fs::OpenOptions::new().read(true).write(true).open(path).map(Line)
}

/// Gives one command on a control socket.
fn order(path: &Path, command: &str) -> Value {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    writeln!(stream, "{command}").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

#[test]
fn two_hosts_on_tcp_exchange_packets_that_take_their_airtime() {
    let sim = Simulator::start(&[
        "--radio=!a0000001=tcp:127.0.0.1:0",
        "--radio=!a0000002=tcp:127.0.0.1:0",
        "--preset=SHORT_SLOW",
        "--summary",
    ]);
    let (mut a, mut b) = (sim.tcp(0), sim.tcp(1));
    let sent = Instant::now();
    a.send(B, &[7; 219], true);
    assert_eq!(b.payload_from(A), [7; 219]);
    assert!(sent.elapsed() >= Duration::from_millis(362), "255 bytes at SHORT_SLOW take 362 ms");
    a.until(|variant| Host::<TcpStream>::is_routing_from(variant, B));
    b.send(A, b"and back", false);
    assert_eq!(a.payload_from(B), b"and back");
    let summary: Value = serde_json::from_str(&sim.stop()).unwrap();
    assert_eq!(summary["!a0000001"]["frames"]["data"], 1);
    assert_eq!(summary["!a0000002"]["frames"]["ack"], 1);
    assert_eq!(summary["!a0000002"]["received"], 1);
}

#[test]
fn a_speed_makes_everything_faster() {
    let sim = Simulator::start(&[
        "--radio=!a0000001=tcp:127.0.0.1:0",
        "--radio=!a0000002=tcp:127.0.0.1:0",
        "--preset=LONG_SLOW",
        "--speed=100",
    ]);
    let (mut a, mut b) = (sim.tcp(0), sim.tcp(1));
    let sent = Instant::now();
    a.send(B, &[7; 219], false);
    assert_eq!(b.payload_from(A), [7; 219]);
    let took = sent.elapsed();
    assert!(took >= Duration::from_millis(142) && took < Duration::from_secs(5), "14.3 s took {took:?}");
}

#[test]
fn a_pty_and_a_unix_socket_reach_their_radios_and_the_ledger_tells() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let sim = Simulator::start(&[
        &format!("--radio=!a0000001=pty:{}", at("radio1").display()),
        &format!("--radio=!a0000002=unix:{}", at("radio2").display()),
        "--preset=SHORT_TURBO",
        "--region=US",
        &format!("--ledger={}", at("air.jsonl").display()),
    ]);
    let mut a = Host::greet(open_line(&at("radio1")).unwrap());
    let stream = UnixStream::connect(at("radio2")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut b = Host::greet(stream);
    // Every byte there is, so that a line that translates any is found out.
    let every: Vec<u8> = (0..=218).collect();
    a.send(B, &every, false);
    assert_eq!(b.payload_from(A), every);
    let rest: Vec<u8> = (37..=255).collect();
    b.send(A, &rest, false);
    assert_eq!(a.payload_from(B), rest);
    sim.stop();
    let ledger = std::fs::read_to_string(at("air.jsonl")).unwrap();
    let entries: Vec<Value> = ledger.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 2);
    assert_eq!((&entries[0]["sender"], &entries[0]["bytes"]), (&"!a0000001".into(), &255.into()));
    assert_eq!(entries[0]["delivered"], serde_json::json!(["!a0000002"]));
    assert!(!at("radio1").exists(), "the link goes with the pty");
}

#[test]
fn a_running_simulator_takes_commands() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let sim = Simulator::start(&[
        "--radio=!a0000001=tcp:127.0.0.1:0",
        "--radio=!a0000002=tcp:127.0.0.1:0",
        "--preset=SHORT_TURBO",
        "--region=US",
        "--speed=10",
        &format!("--control={}", control.display()),
    ]);
    let (mut a, mut b) = (sim.tcp(0), sim.tcp(1));
    assert_eq!(order(&control, r#"{"loss":1.0}"#), serde_json::json!({"ok": true}));
    a.send(B, b"lost", true);
    a.until(|variant| Host::<TcpStream>::is_routing_from(variant, A));
    assert_eq!(order(&control, r#"{"totals":null}"#)["ok"]["!a0000002"]["lost"], 3);
    order(&control, r#"{"loss":0}"#);
    a.send(B, b"found", true);
    assert_eq!(b.payload_from(A), b"found");
    for (command, complaint) in [
        (r#"{"loss":2}"#, "between 0 and 1"),
        (r#"{"reboot":"!a0000009"}"#, "there is no radio"),
        (r#"{"dance":1}"#, "unknown variant"),
        ("nonsense", "expected"),
    ] {
        let answer = order(&control, command);
        assert!(answer["error"].as_str().unwrap().contains(complaint), "{command}: {answer}");
    }
    order(&control, r#"{"evict":"!a0000001"}"#);
    let mut buffer = [0; 256];
    while a.stream.read(&mut buffer).unwrap() > 0 {}
    order(&control, r#"{"reboot":"!a0000002"}"#);
    while b.stream.read(&mut buffer).unwrap() > 0 {}
}

#[test]
fn a_serial_port_can_be_unplugged_and_plugged_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let sim = Simulator::start(&[
        &format!("--radio=!a0000001=pty:{}", at("radio").display()),
        &format!("--control={}", at("control").display()),
    ]);
    let mut host = Host::greet(open_line(&at("radio")).unwrap());
    order(&at("control"), r#"{"unplug":"!a0000001"}"#);
    let mut buffer = [0; 256];
    // The end of a pty is an error or an end of file.
    while host.stream.read(&mut buffer).is_ok_and(|len| len > 0) {}
    assert!(open_line(&at("radio")).is_err());
    order(&at("control"), r#"{"plug":"!a0000001"}"#);
    let mut host = Host::greet(open_line(&at("radio")).unwrap());
    host.say(to_radio::Variant::Heartbeat(Heartbeat::default()));
    host.until(|variant| matches!(variant, Variant::QueueStatus(_)));
    drop(sim);
}

#[test]
fn commands_come_on_standard_input_too_and_its_end_ends_all() {
    let mut sim = Simulator::start(&["--radio=!a0000001", "--control=-"]);
    let mut stdin = sim.process.stdin.take().unwrap();
    writeln!(stdin, r#"{{"totals":null}}"#).unwrap();
    let mut line = String::new();
    sim.stdout.read_line(&mut line).unwrap();
    assert!(line.contains("!a0000001"), "{line}");
    drop(stdin);
    assert!(sim.process.wait().unwrap().success());
}

#[test]
fn a_port_that_cannot_be_opened_is_named() {
    let out = Command::new(env!("CARGO_BIN_EXE_meshnet-radiosim"))
        .args(["--radio=!a0000001=netns:no-such-namespace:127.0.0.1:4403"])
        .output()
        .unwrap();
    assert!(!out.status.success());
    assert!(String::from_utf8_lossy(&out.stderr).contains("no-such-namespace"));
}
