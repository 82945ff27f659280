//! Watches what lies around the interface, for a network with links where air is free: other ways may open and close.
//!
//! The kernel tells every change of links, addresses and routes; they come in flocks (an interface that gets an address gets
//! routes too), so one look is taken when a flock has passed.
//!
//! A thread of its own, without capabilities: a router's routes change all the time, and a look at many addresses takes its
//! time, which the core's thread does not have.
//!
//! Life-cycle: [`start`] → a first look → one for each flock → the thread ends when the [`Lookout`] is dropped, or nobody takes
//! news of the interface any more.

use std::convert::Infallible;
use std::future::pending;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::debug;

use super::watch::{InterfaceEvent, Messages};
use super::{subscribe, surroundings};

/// How long a flock of changes takes to pass. Short: traffic may be waiting for the way that they open.
const FLOCK: Duration = Duration::from_millis(50);

/// Has the surroundings watched for as long as it lives.
#[derive(Debug)]
pub struct Lookout {
    /// Nothing is ever sent: the thread ends when this is dropped.
    _wanted: oneshot::Sender<Infallible>,
}

/// Starts to watch what lies around the interface with that index; news goes to `events` as long as the helper has them.
pub(super) fn start(index: u32, events: mpsc::WeakSender<InterfaceEvent>) -> anyhow::Result<Lookout> {
    let (wanted, unwanted) = oneshot::channel();
    // Ready within microseconds: the socket is open, or cannot be had.
    let (ready, started) = sync_channel(1);
    thread::Builder::new()
        .name("surroundings".to_owned())
        .spawn(move || run(index, &events, unwanted, &ready))
        .context("cannot start to watch the surroundings")?;
    started.recv().unwrap_or_else(|_| Err(anyhow!("the thread for the surroundings has ended")))?;
    Ok(Lookout { _wanted: wanted })
}

fn run(
    index: u32,
    events: &mpsc::WeakSender<InterfaceEvent>,
    unwanted: oneshot::Receiver<Infallible>,
    ready: &SyncSender<anyhow::Result<()>>,
) {
    let built = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let told = match built {
        Err(error) => ready.send(Err(anyhow!(error).context("cannot watch the surroundings"))),
        Ok(runtime) => runtime.block_on(async {
            let (handle, messages) = match subscribe(&surroundings::GROUPS) {
                Ok(connection) => connection,
                Err(error) => return ready.send(Err(error)),
            };
            let told = ready.send(Ok(()));
            tokio::select! {
                () = watch(index, events, &handle, messages) => {}
                _ = unwanted => {}
            }
            told
        }),
    };
    if told.is_err() {
        debug!("nobody waits for the surroundings to be watched");
    }
}

/// Looks around whenever it is due, until netlink or whoever takes the news is gone.
async fn watch(
    index: u32,
    events: &mpsc::WeakSender<InterfaceEvent>,
    handle: &rtnetlink::Handle,
    mut messages: Messages,
) {
    let mut due = Some(Instant::now());
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) if surroundings::concerns(&message, index) => {
                    due.get_or_insert_with(|| Instant::now() + FLOCK);
                }
                Some(_) => {}
                None => return,
            },
            () = passed(due) => {
                due = None;
                let surroundings = match surroundings::look(handle, index).await {
                    Ok(surroundings) => surroundings,
                    Err(error) => {
                        debug!(%error, "cannot look at this host's addresses");
                        continue;
                    }
                };
                let Some(events) = events.upgrade() else { return };
                if events.send(InterfaceEvent::Surroundings(surroundings)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Ends when a look is due, which may be never.
async fn passed(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => pending().await,
    }
}
