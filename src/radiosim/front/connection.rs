//! One connection of a host: bytes between a stream and the world.
//!
//! Both ways are bounded. What the radio has not read yet counts against [`UNREAD`], so a host that talks faster than the
//! firmware polls is slowed down by its own socket; what the host does not read stays in the radio.

use std::sync::Arc;

use meshnet_radiosim::{ClientId, RadioId, Transport};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

/// Bytes from one host that wait for the firmware's poll.
pub(crate) const UNREAD: usize = 64 * 1024;
/// Chunks to one host that wait for its socket.
const UNWRITTEN: usize = 4;

/// From a host to the world.
pub(crate) enum FromHost {
    Connected { radio: RadioId, transport: Transport, host: Host, id: oneshot::Sender<ClientId> },
    Bytes { client: ClientId, bytes: Vec<u8> },
    Disconnected { client: ClientId },
}

/// The world's end of a connection; dropping it closes the stream once all is written.
pub(crate) struct Host {
    pub(crate) to_host: mpsc::Sender<Vec<u8>>,
    /// Permits are bytes that may come in.
    pub(crate) room: Arc<Semaphore>,
}

/// Serves a stream until either side closes it.
pub(crate) async fn serve<S>(
    stream: S,
    radio: RadioId,
    transport: Transport,
    world: mpsc::Sender<FromHost>,
    drained: Arc<Notify>,
) where
    S: AsyncRead + AsyncWrite,
{
    let (to_host, from_world) = mpsc::channel(UNWRITTEN);
    let room = Arc::new(Semaphore::new(UNREAD));
    let (id, client) = oneshot::channel();
    let host = Host { to_host, room: room.clone() };
    if world.send(FromHost::Connected { radio, transport, host, id }).await.is_err() {
        return;
    }
    let Ok(client) = client.await else { return };
    let (reader, writer) = tokio::io::split(stream);
    tokio::select! {
        () = read(reader, client, &world, &room) => {}
        () = write(writer, from_world, &drained) => {}
    }
    // The world is gone if it does not take this.
    let _ = world.send(FromHost::Disconnected { client }).await;
}

async fn read(
    mut reader: impl AsyncRead + Unpin,
    client: ClientId,
    world: &mpsc::Sender<FromHost>,
    room: &Semaphore,
) {
    let mut buffer = vec![0; 4096];
    loop {
        let Ok(len @ 1..) = reader.read(&mut buffer).await else { return };
        let permits = u32::try_from(len).expect("a buffer of 4096 bytes");
        let Ok(taken) = room.acquire_many(permits).await else { return };
        taken.forget();
        let bytes = buffer[..len].to_vec();
        if world.send(FromHost::Bytes { client, bytes }).await.is_err() {
            return;
        }
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut from_world: mpsc::Receiver<Vec<u8>>,
    drained: &Notify,
) {
    while let Some(bytes) = from_world.recv().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
        drained.notify_one();
    }
    let _ = writer.shutdown().await;
}
