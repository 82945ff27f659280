//! `meshnet-unruly`: a client of the system bus that does not behave, for the stories of what it may cost others.
//!
//!     meshnet-unruly flood COUNT METHOD    calls as fast as the bus takes them; prints how often it got which answer
//!     meshnet-unruly deaf COUNT METHOD     the same, but never reads; prints "deaf" and stays until it is ended
//!     meshnet-unruly oversized             calls with arguments that are too large; prints what each was answered
//!
//! It speaks to the socket itself, for a library would wait for answers.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::num::NonZeroU32;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use zbus::message::Message;
use zbus::wire::{Type, Variant};

const BUS: &str = "/run/dbus/system_bus_socket";
const NETWORK: &str = "org.meshnet1.mesh0";

/// How long everything may take.
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["flood", count, method] => flood(count.parse()?, method),
        ["deaf", count, method] => deaf(count.parse()?, method),
        ["oversized"] => oversized(),
        _ => bail!("flood COUNT METHOD, deaf COUNT METHOD or oversized"),
    }
}

fn flood(count: u32, method: &str) -> Result<()> {
    let mut bus = Bus::connect()?;
    let mut writer = bus.stream.get_ref().try_clone()?;
    let calls = (0..count).map(|number| call(method, number + 2, &())).collect::<Result<Vec<_>>>()?;
    let writing = std::thread::spawn(move || calls.iter().try_for_each(|call| writer.write_all(call)));
    let mut answers: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..count {
        *answers.entry(bus.answer()?).or_default() += 1;
    }
    writing.join().ok().context("the writer panicked")??;
    println!("{}", serde_json::to_string(&answers)?);
    Ok(())
}

fn deaf(count: u32, method: &str) -> Result<()> {
    let bus = Bus::connect()?;
    let mut stream = bus.stream.get_ref();
    // The bus stops to read from one that does not read: that is as far as it gets.
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    let mut written = 0;
    for number in 0..count {
        match stream.write_all(&call(method, number + 2, &())?) {
            Ok(()) => written += 1,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => return Err(error).context("the bus hung up"),
        }
    }
    println!("deaf after {written}");
    std::thread::sleep(LIMIT);
    Ok(())
}

fn oversized() -> Result<()> {
    let settings = BTreeMap::<&str, Variant<'_>>::new;
    let key = "A".repeat(43) + "=";
    let long = "x".repeat(1 << 20);
    let many: Vec<String> = (0..20_000_u32).map(|n| format!("10.{}.{}.0/24", n >> 8, n & 255)).collect();
    let with = |name: &'static str, value: Variant<'static>| {
        let mut settings = settings();
        settings.insert(name, value);
        settings
    };
    let bodies = [
        ("a key of 1 MiB", call("AddPeer", 2, &(&long, settings()))?),
        ("a name of 1 MiB", call("AddPeer", 3, &(&key, with("Name", long.clone().into())))?),
        ("20000 prefixes", call("AddPeer", 4, &(&key, with("AllowedIPs", many.into())))?),
        ("a key of 1 MiB to Rekey", call("Rekey", 5, &(&long,))?),
        ("a key of 1 MiB to RemovePeer", call("RemovePeer", 6, &(&long,))?),
    ];
    let mut bus = Bus::connect()?;
    for (what, call) in bodies {
        bus.stream.get_ref().write_all(&call)?;
        println!("{what}: {}", bus.answer()?);
    }
    Ok(())
}

/// Returns the bytes of a call of one of the network's methods.
fn call<B: Serialize + Type>(method: &str, serial: u32, body: &B) -> Result<Vec<u8>> {
    let message = Message::method_call("/org/meshnet1", method)
        .destination(NETWORK)
        .interface("org.meshnet1.Network")
        .serial(NonZeroU32::new(serial).context("a serial number is never 0")?)
        .build(body)?;
    Ok(message.data().to_vec())
}

/// A connection, greeted and named.
struct Bus {
    stream: BufReader<UnixStream>,
    deadline: Instant,
}

impl Bus {
    fn connect() -> Result<Self> {
        let stream = UnixStream::connect(BUS).context(BUS)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut bus = Self { stream: BufReader::new(stream), deadline: Instant::now() + LIMIT };
        // The uid that the bus knows anyhow, in decimal, in hexadecimal.
        let uid: String =
            nix::unistd::getuid().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        write!(bus.stream.get_ref(), "\0AUTH EXTERNAL {uid}\r\n")?;
        let mut line = String::new();
        bus.stream.read_line(&mut line)?;
        ensure!(line.starts_with("OK "), "the bus says {line:?}");
        bus.stream.get_ref().write_all(b"BEGIN\r\n")?;
        let hello = Message::method_call("/org/freedesktop/DBus", "Hello")
            .destination("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .serial(NonZeroU32::MIN)
            .build(&())?;
        bus.stream.get_ref().write_all(hello.data())?;
        let answer = bus.answer()?;
        ensure!(answer == "ok", "Hello: {answer}");
        Ok(bus)
    }

    /// Reads up to the next answer: `ok`, or the error's name.
    fn answer(&mut self) -> Result<String> {
        loop {
            ensure!(Instant::now() < self.deadline, "not within {LIMIT:?}");
            // Byte order, type, flags, version, length of the body, serial number, length of the fields.
            let mut fixed = [0; 16];
            self.stream.read_exact(&mut fixed)?;
            ensure!(fixed[0] == b'l', "not little-endian");
            let number =
                |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
            let fields = usize::try_from(number(12))?.next_multiple_of(8);
            let mut rest = vec![0; fields + usize::try_from(number(4))?];
            self.stream.read_exact(&mut rest)?;
            match fixed[1] {
                2 => return Ok("ok".to_owned()),
                3 => return error_name(&rest[..fields]).context("an error without a name"),
                _ => {}
            }
        }
    }
}

/// Finds the field ERROR_NAME: code 4, signature "s", length, text.
fn error_name(fields: &[u8]) -> Option<String> {
    let start = fields.windows(4).position(|window| window == b"\x04\x01s\0")? + 4;
    let length = u32::from_le_bytes(fields.get(start..start + 4)?.try_into().ok()?);
    let text = fields.get(start + 4..start + 4 + usize::try_from(length).ok()?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}
