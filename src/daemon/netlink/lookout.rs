//! Watches what lies around the interface, for a network with links where air is free: other ways may open and close.
//!
//! The kernel tells every change of links, addresses and routes; they come in flocks (an interface that gets an address gets
//! routes too), so one look is taken when a flock has passed.
//!
//! A thread of its own, without capabilities: a router's routes change all the time, and a look at many addresses takes its
//! time, which the core's thread does not have.
//!
//! Life-cycle: [`start`] → a first look → one for each flock → the thread ends when the [`Lookout`] is dropped, or nobody takes
//! news of the interface any more. If netlink fails, it is asked anew.
//!
//! Invariant: the helper, whose channel it is, never waits for room that looks have taken: of two who wait for one another
//! neither would go on.

use std::convert::Infallible;
use std::future::pending;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::watch::{InterfaceEvent, Messages};
use super::{subscribe, surroundings};

/// How long a flock of changes takes to pass. Short: traffic may be waiting for the way that they open.
const FLOCK: Duration = Duration::from_millis(50);
/// How long it takes until netlink that failed is asked again.
const AGAIN: Duration = Duration::from_secs(1);

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
                () = keep_watching(index, events, handle, messages) => {}
                _ = unwanted => {}
            }
            told
        }),
    };
    if told.is_err() {
        debug!("nobody waits for the surroundings to be watched");
    }
}

/// Why a watch ended.
enum End {
    /// Netlink is gone.
    Deaf,
    /// Nobody takes the news any more.
    Unheard,
}

/// Looks around for as long as somebody takes the news.
async fn keep_watching(
    index: u32,
    events: &mpsc::WeakSender<InterfaceEvent>,
    mut handle: rtnetlink::Handle,
    mut messages: Messages,
) {
    while let End::Deaf = watch(index, events, &handle, messages).await {
        warn!("netlink tells nothing of this host's surroundings any more: it is asked anew");
        (handle, messages) = loop {
            tokio::time::sleep(AGAIN).await;
            match subscribe(&surroundings::GROUPS) {
                Ok(connection) => break connection,
                Err(error) => debug!("netlink cannot be asked: {error:#}"),
            }
        };
    }
}

/// Looks around whenever it is due.
async fn watch(
    index: u32,
    events: &mpsc::WeakSender<InterfaceEvent>,
    handle: &rtnetlink::Handle,
    mut messages: Messages,
) -> End {
    let mut due = Some(Instant::now());
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) if surroundings::concerns(&message, index) => {
                    due.get_or_insert_with(|| Instant::now() + FLOCK);
                }
                Some(_) => {}
                None => return End::Deaf,
            },
            () = passed(due) => {
                let Some(events) = events.upgrade() else { return End::Unheard };
                if events.is_closed() {
                    return End::Unheard;
                }
                if events.capacity() <= events.max_capacity() / 2 {
                    due = Some(Instant::now() + FLOCK);
                    continue;
                }
                due = None;
                match surroundings::look(handle, index).await {
                    // What finds no room after all is looked at again.
                    Ok(surroundings) => {
                        if events.try_send(InterfaceEvent::Surroundings(surroundings)).is_err() {
                            due = Some(Instant::now() + FLOCK);
                        }
                    }
                    Err(error) => debug!(%error, "cannot look at this host's addresses"),
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
