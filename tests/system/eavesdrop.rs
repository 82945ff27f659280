//! Between a daemon and its radio: what the daemon hands over, before the radio encrypts it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use meshnet_proto::meshtastic::message::mesh_packet::Payload;
use meshnet_proto::meshtastic::message::{ToRadio, to_radio};
use meshnet_proto::meshtastic::stream::{Decoder, Piece};
use prost::Message as _;

use crate::flow::accept;
use crate::namespace::Namespace;

/// The port that the daemon connects to instead of the radio's.
const PORT: u16 = 4404;

/// A packet that a daemon handed to its radio.
#[derive(Debug, Clone)]
pub struct Handed {
    /// The application's port.
    pub port: u32,
    /// Whether the radio is to see to an acknowledgement.
    pub want_ack: bool,
    /// The datagram.
    pub payload: Vec<u8>,
}

/// A relay in front of a radio's TCP port. Dropped, it cuts the connection.
#[derive(Debug)]
pub struct Eavesdropper {
    handed: Arc<Mutex<Vec<Handed>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Eavesdropper {
    /// Waits in `namespace` for its daemon, for one connection.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn new(namespace: &Namespace) -> Result<Self> {
        let (handed, stop) = (Arc::<Mutex<Vec<Handed>>>::default(), Arc::<AtomicBool>::default());
        let listener =
            namespace.run(|| TcpListener::bind(("127.0.0.1", PORT)).context("the eavesdropper's port"))?;
        let radio = namespace.run(|| TcpStream::connect(("127.0.0.1", 4403)).context("the radio's port"))?;
        let (sink, stopped) = (Arc::clone(&handed), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            // A test that ends early never connects, and a broken connection shows in the test itself.
            let _ = relay(&listener, &radio, &sink, &stopped);
        });
        Ok(Self { handed, stop, thread: Some(thread) })
    }

    /// Returns the `MeshtasticConnect` that leads here.
    #[must_use]
    pub fn connect() -> String {
        format!("tcp://127.0.0.1:{PORT}")
    }

    /// Returns everything handed over so far.
    #[must_use]
    pub fn handed(&self) -> Vec<Handed> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Eavesdropper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic would have shown already.
            let _ = thread.join();
        }
    }
}

fn relay(
    listener: &TcpListener,
    radio: &TcpStream,
    sink: &Mutex<Vec<Handed>>,
    stop: &AtomicBool,
) -> Result<()> {
    let host = accept(listener, Instant::now() + Duration::from_secs(30))?;
    std::thread::scope(|scope| {
        let up = scope.spawn(|| copy(&host, radio, stop, |message| note(message, sink)));
        let down = copy(radio, &host, stop, |_| {});
        for socket in [&host, radio] {
            // One of them closed first.
            let _ = socket.shutdown(Shutdown::Both);
        }
        up.join().expect("a copy returns its errors").and(down)
    })
}

/// Copies until one side closes or it is told to stop, showing each message of the client API to `see`.
fn copy(mut from: &TcpStream, mut to: &TcpStream, stop: &AtomicBool, see: impl Fn(&[u8])) -> Result<()> {
    from.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut decoder = Decoder::default();
    let mut buffer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        decoder.push(&buffer[..read], |piece| {
            if let Piece::Message(message) = piece {
                see(&message);
            }
        });
        to.write_all(&buffer[..read])?;
    }
    Ok(())
}

fn note(message: &[u8], sink: &Mutex<Vec<Handed>>) {
    let Ok(ToRadio { variant: Some(to_radio::Variant::Packet(packet)) }) = ToRadio::decode(message) else {
        return;
    };
    let Some(Payload::Decoded(data)) = packet.payload else { return };
    let handed = Handed { port: data.portnum, want_ack: packet.want_ack, payload: data.payload };
    sink.lock().unwrap_or_else(PoisonError::into_inner).push(handed);
}
