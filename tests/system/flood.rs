//! A flood of handshakes that look genuine until somebody computes for them: their first MAC is right, all else is chance.
//!
//! Whoever is flooded may answer with cookies (WireGuard section 5.4.7); the flood counts them, and makes no use of them.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use blake2::digest::{FixedOutput as _, KeyInit as _, Mac as _, consts::U16};
use blake2::{Blake2s256, Blake2sMac, Digest as _};
use meshnet_proto::key::PublicKey;

use crate::flow::noise;
use crate::namespace::Namespace;

/// Bytes of a handshake's first message.
const INIT: usize = 148;
/// Where its first MAC begins.
const MAC1: usize = 116;
/// Bytes of a cookie reply, and its first byte.
const COOKIE: (usize, u8) = (64, 3);
/// So many leave at once: more than a queue's share that counts as no load.
const BURST: usize = 400;
/// Between bursts: a thousand messages in 20 ms keep a processor from keeping up.
const PAUSE: Duration = Duration::from_millis(8);
/// It ends by itself after this.
const LONGEST: Duration = Duration::from_secs(60);

/// A flood that goes on until it is dropped.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    cookies: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Flood {
    /// Begins to flood the owner of `key` at `to`, from an address of `namespace`.
    ///
    /// # Errors
    /// If the address cannot be used.
    pub fn start(namespace: &Namespace, from: SocketAddr, to: SocketAddr, key: &PublicKey) -> Result<Self> {
        let socket = namespace.run(|| {
            let socket = UdpSocket::bind(from).with_context(|| format!("sending from {from}"))?;
            socket.connect(to)?;
            Ok(socket)
        })?;
        socket.set_nonblocking(true)?;
        let messages: Vec<[u8; INIT]> = (1..=256).map(|seed| init(seed, key)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let cookies = Arc::new(AtomicUsize::new(0));
        let (ended, counter) = (Arc::clone(&stop), Arc::clone(&cookies));
        let thread = std::thread::spawn(move || flood(&socket, &messages, &ended, &counter));
        Ok(Self { stop, cookies, thread: Some(thread) })
    }

    /// Returns how many cookies came back.
    #[must_use]
    pub fn cookies(&self) -> usize {
        self.cookies.load(Ordering::Relaxed)
    }

    /// Ends it, and returns how many cookies came back.
    ///
    /// # Errors
    /// If it could not be sent.
    pub fn finish(mut self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| anyhow!("the flood panicked"))??;
        }
        Ok(self.cookies())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whoever drops it does not ask how it went.
            let _ = thread.join();
        }
    }
}

fn flood(
    socket: &UdpSocket,
    messages: &[[u8; INIT]],
    stop: &AtomicBool,
    cookies: &AtomicUsize,
) -> Result<()> {
    let begin = Instant::now();
    let mut turn = messages.iter().cycle();
    let mut buffer = [0; 256];
    while !stop.load(Ordering::Relaxed) && begin.elapsed() < LONGEST {
        for message in turn.by_ref().take(BURST) {
            match socket.send(message) {
                Err(error)
                    if error.kind() != ErrorKind::WouldBlock
                        && error.kind() != ErrorKind::ConnectionRefused =>
                {
                    return Err(error).context("sending a flood");
                }
                _ => {}
            }
        }
        while let Ok(len) = socket.recv(&mut buffer) {
            if (len, buffer[0]) == COOKIE {
                cookies.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Returns a first message for the owner of `key`: noise but for its type and its first MAC.
fn init(seed: u64, key: &PublicKey) -> [u8; INIT] {
    let mut message = [0; INIT];
    message[..MAC1].copy_from_slice(&noise(MAC1, seed));
    message[..4].copy_from_slice(&[1, 0, 0, 0]);
    let label = Blake2s256::new().chain_update(b"mac1----").chain_update(key.as_bytes()).finalize();
    let mut mac = Blake2sMac::<U16>::new_from_slice(&label).expect("32 bytes are a key of BLAKE2s");
    mac.update(&message[..MAC1]);
    message[MAC1..MAC1 + 16].copy_from_slice(&mac.finalize_fixed());
    message
}
