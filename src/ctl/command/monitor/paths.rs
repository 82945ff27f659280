//! The ways to a peer, asked of its object when its path changes: the signal has the new one and the reason, the object what
//! each is and has cost.
//!
//! Asked over a connection of its own: on the one that hears the signals, an answer would have to wait behind those that
//! nobody takes meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use meshnet_bus::describe::{Path, PathCounters};
use meshnet_bus::names::{Instance, PEER};
use zbus::proxy::MethodFlags;
use zbus::wire::{OwnedObjectPath, OwnedVariant};

use crate::bus::{self, Bus};
use crate::daemon::Daemon;
use crate::error::Error;

/// How long a daemon may take before an event is told without what it did not answer: what is followed shall not lag behind.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where to ask.
#[derive(Debug)]
pub(super) struct Asker {
    bus: Bus,
}

impl Asker {
    /// Opens the connection.
    ///
    /// # Errors
    /// If there is no bus.
    pub(super) async fn new() -> Result<Self, Error> {
        Ok(Self { bus: Bus::connect().await? })
    }

    /// Every way to a peer as it is now. `None` if there is no answer in time, the daemon's end included; none is started.
    pub(super) async fn paths(
        &self,
        network: &Instance,
        peer: &OwnedObjectPath,
        unix_time: u64,
    ) -> Option<Vec<Path>> {
        let who = network.as_str();
        let answer = bus::within(PATIENCE, who, async {
            let daemon = Daemon::of(&self.bus, network.clone()).await?;
            let properties = daemon.object(peer.as_ref(), super::PROPERTIES).await?;
            let answer: Result<Option<OwnedVariant>, _> =
                properties.call_with_flags("Get", MethodFlags::NO_AUTO_START, &(PEER, "Paths")).await;
            answer.map_err(|error| bus::trouble(&error.into(), who))
        });
        let known = Vec::<HashMap<String, OwnedVariant>>::try_from(answer.await.ok()??).ok()?;
        Some(known.into_iter().map(|path| read(path, unix_time)).collect())
    }
}

/// A path as the bus tells it; what is missing there is not known.
fn read(mut known: HashMap<String, OwnedVariant>, unix_time: u64) -> Path {
    let mut take = |key| known.remove(key);
    let text = |value: Option<OwnedVariant>| value.and_then(|value| String::try_from(value).ok());
    let number = |value: Option<OwnedVariant>| value.and_then(|value| u64::try_from(value).ok());
    Path {
        link: text(take("Link")).unwrap_or_default(),
        endpoint: text(take("Endpoint")).unwrap_or_default(),
        tier: text(take("Tier")).unwrap_or_default(),
        state: text(take("State")).unwrap_or_default(),
        current: take("Current").and_then(|value| bool::try_from(value).ok()).unwrap_or_default(),
        origin: text(take("Origin")),
        last_heard_seconds: number(take("LastHeard")).map(|heard| unix_time.saturating_sub(heard)),
        rtt_ms: number(take("Rtt")).map(|microseconds| microseconds as f64 / 1000.0),
        loss: take("Loss").and_then(|value| f64::try_from(value).ok()),
        sent: PathCounters {
            datagrams: number(take("DatagramsSent")).unwrap_or_default(),
            bytes: number(take("BytesSent")).unwrap_or_default(),
            airtime_ms: number(take("AirtimeSent")).unwrap_or_default(),
        },
    }
}
