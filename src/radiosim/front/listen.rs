//! Opens the client ports.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use meshnet_radiosim::{RadioId, Transport};
use nix::sched::{CloneFlags, setns};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use super::connection::{self, FromHost};

/// A connection that cannot be taken, for want of descriptors, stays at the head of the kernel's queue and would be tried
/// without end.
pub(crate) const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Listens on TCP, in this network namespace; returns the address with its true port.
///
/// # Errors
/// If the address is not ours, or taken.
pub(crate) fn tcp(
    address: SocketAddr,
    radio: RadioId,
    world: mpsc::Sender<FromHost>,
    drained: Arc<Notify>,
) -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
    accept_tcp(listener, radio, world, drained)
}

/// Listens on TCP in a network namespace: one made by `ip netns add`, or any by its path (`/proc/1/ns/net`).
///
/// # Errors
/// If there is none of that name, or the address is not there.
pub(crate) fn netns(
    name: &str,
    address: SocketAddr,
    radio: RadioId,
    world: mpsc::Sender<FromHost>,
    drained: Arc<Notify>,
) -> anyhow::Result<SocketAddr> {
    let path = Path::new("/run/netns").join(name);
    // A socket stays in the namespace where it was made; the thread that went there ends with it.
    let enter_and_bind = move || -> anyhow::Result<std::net::TcpListener> {
        let namespace = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        setns(namespace, CloneFlags::CLONE_NEWNET).context("entering the network namespace")?;
        std::net::TcpListener::bind(address).with_context(|| format!("listening on {address}"))
    };
    let listener = match std::thread::spawn(enter_and_bind).join() {
        Ok(listener) => listener.with_context(|| format!("network namespace {name}"))?,
        Err(_) => bail!("the thread for network namespace {name} panicked"),
    };
    accept_tcp(listener, radio, world, drained)
}

/// Listens on a Unix socket, which replaces one left behind.
///
/// # Errors
/// If something else is at that path, or it cannot be made.
pub(crate) fn unix(
    path: &Path,
    radio: RadioId,
    world: mpsc::Sender<FromHost>,
    drained: Arc<Notify>,
) -> anyhow::Result<()> {
    let listener = bind_unix(path)?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(ACCEPT_AGAIN).await;
                continue;
            };
            tokio::spawn(connection::serve(stream, radio, Transport::Tcp, world.clone(), drained.clone()));
        }
    });
    Ok(())
}

/// Binds a Unix socket, in place of one that was left behind.
///
/// # Errors
/// If something else is at that path, or it cannot be made.
pub(crate) fn bind_unix(path: &Path) -> anyhow::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => bail!("{} exists and is no socket", path.display()),
        Err(_) => {}
    }
    UnixListener::bind(path).with_context(|| format!("listening on {}", path.display()))
}

fn accept_tcp(
    listener: std::net::TcpListener,
    radio: RadioId,
    world: mpsc::Sender<FromHost>,
    drained: Arc<Notify>,
) -> anyhow::Result<SocketAddr> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(ACCEPT_AGAIN).await;
                continue;
            };
            // Chunks are whole polls of the firmware: waiting for more only adds to the latency.
            let _ = stream.set_nodelay(true);
            tokio::spawn(connection::serve(stream, radio, Transport::Tcp, world.clone(), drained.clone()));
        }
    });
    Ok(address)
}
