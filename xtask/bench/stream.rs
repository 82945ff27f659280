//! TCP between the two sites of a lab, where what did not arrive is a result and no error.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use meshnet_system::flow::noise;
use meshnet_system::interrupt;
use meshnet_system::lab::Site;
use serde::{Deserialize, Serialize};

/// How long a call may block before the clock and Ctrl-C are looked at.
const STEP: Duration = Duration::from_millis(200);
/// Where the receiver listens.
const PORT: u16 = 4000;

/// How a transfer went.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// Seconds until the connection stood.
    pub(crate) connected: Option<f64>,
    /// Bytes that the receiver had in the end.
    pub(crate) arrived: usize,
    /// Seconds until it had all.
    pub(crate) whole: Option<f64>,
}

/// Carries `len` bytes from one site to the other over a new connection, for at most `limit`.
///
/// # Errors
/// If a byte arrives changed; bytes that do not arrive are none.
pub(crate) fn carry(from: &Site, to: &Site, len: usize, limit: Duration) -> Result<Carried> {
    let bytes = noise(len, 7);
    let deadline = Instant::now() + limit;
    let listener = listen(to, PORT)?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| -> Result<usize> {
            let Some(mut stream) = accept(&listener, deadline)? else { return Ok(0) };
            receive(&mut stream, &bytes, deadline)
        });
        let Some(mut stream) = connect(from, to.at(PORT), deadline)? else {
            receiver.join().map_err(|_| anyhow!("the receiver panicked"))??;
            return Ok(Carried { connected: None, arrived: 0, whole: None });
        };
        let connected = Some(start.elapsed().as_secs_f64());
        send(&mut stream, &bytes, deadline)?;
        let arrived = receiver.join().map_err(|_| anyhow!("the receiver panicked"))??;
        let whole = (arrived == len).then(|| start.elapsed().as_secs_f64());
        Ok(Carried { connected, arrived, whole })
    })
}

/// Listens at a site.
pub(crate) fn listen(site: &Site, port: u16) -> Result<TcpListener> {
    let at = site.at(port);
    let listener =
        site.namespace.run(|| TcpListener::bind(at).with_context(|| format!("listening at {at}")))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Accepts one connection, or none if none comes in time.
pub(crate) fn accept(listener: &TcpListener, deadline: Instant) -> Result<Option<TcpStream>> {
    while Instant::now() < deadline {
        interrupt::check()?;
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(STEP))?;
                return Ok(Some(stream));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Connects, again and again while the kernel finds no way, or not at all in time.
pub(crate) fn connect(from: &Site, at: SocketAddr, deadline: Instant) -> Result<Option<TcpStream>> {
    loop {
        interrupt::check()?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        // One attempt with all the time there is: a new one would start the kernel's retransmissions anew.
        match from.namespace.run(|| Ok(TcpStream::connect_timeout(&at, left)))? {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(STEP))?;
                stream.set_read_timeout(Some(STEP))?;
                return Ok(Some(stream));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn send(stream: &mut TcpStream, bytes: &[u8], deadline: Instant) -> Result<()> {
    let mut sent = 0;
    while sent < bytes.len() && Instant::now() < deadline {
        interrupt::check()?;
        match stream.write(&bytes[sent..]) {
            Ok(wrote) => sent += wrote,
            Err(error) if is_timeout(&error) => {}
            Err(_) => return Ok(()),
        }
    }
    // It fails only if the connection is gone, which shows in what arrived.
    let _ = stream.shutdown(Shutdown::Write);
    Ok(())
}

fn receive(stream: &mut TcpStream, expected: &[u8], deadline: Instant) -> Result<usize> {
    let mut received = 0;
    let mut buffer = [0; 4096];
    while received < expected.len() && Instant::now() < deadline {
        interrupt::check()?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                let wanted = expected.get(received..received + read);
                ensure!(wanted == Some(&buffer[..read]), "bytes from {received} on arrived changed");
                received += read;
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => break,
        }
    }
    Ok(received)
}

/// Whether a call only ran into [`STEP`].
pub(crate) fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
