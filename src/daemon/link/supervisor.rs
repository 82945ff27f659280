//! Keeps a driver connected: opens its stream, runs it until it ends, waits, and begins again.
//!
//! The wait doubles from 1 s to 60 s (5 s on a serial port) with each failure, with jitter so that several hosts do not knock at once, and starts
//! over once a connection has been up for a while. A radio that another client took asks for longer waits of its
//! own. What the operator is told is said once per change: a radio that stays away does not fill the log.

use std::time::Duration;

use meshnet_proto::link::{LinkId, Transmit};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{Instrument as _, debug, info_span, warn};

use super::meshtastic::{Driver, Ended};
use super::stream::Stream;
use super::{Connect, Contact, FromLink, LinkStatus, RadioSpec};
use crate::backoff::Backoff;
use crate::catalog;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(60);
/// On a serial port: looking for a device costs nobody anything, and whoever plugs it in again is watching.
const LAST_WAIT_SERIAL: Duration = Duration::from_secs(5);
/// A connection that was up for this long was no failure.
const STABLE: Duration = Duration::from_secs(60);

/// A driver's ends of its channels.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) link: LinkId,
    pub(super) from_core: mpsc::Receiver<Transmit>,
    pub(super) to_core: mpsc::Sender<FromLink>,
    pub(super) contacts: watch::Receiver<Vec<Contact>>,
    pub(super) status: watch::Sender<LinkStatus>,
}

/// Runs a link until nobody wants it any more.
pub(super) async fn run(name: String, spec: RadioSpec, seed: [u8; 32], ports: Ports) {
    let span = info_span!("radio", link = %name);
    let last_wait = match spec.connect {
        Connect::Tcp { .. } => LAST_WAIT,
        Connect::Serial { .. } => LAST_WAIT_SERIAL,
    };
    let mut backoff = Backoff::new(other_stream(seed), FIRST_WAIT, last_wait);
    let mut driver = Driver::new(&spec, seed, ports);
    async {
        let mut told = None;
        while let Ok(error) = connect(&spec, &mut driver, &mut backoff, &mut told).await {
            driver.set_state("down", Some(&error));
            let wait = backoff.next_wait().max(driver.reconnect_wait());
            debug!(seconds = wait.as_secs_f32(), "waiting before the next try");
            if driver.refuse_while(sleep(wait)).await.is_err() {
                break;
            }
        }
        debug!("stopped");
    }
    .instrument(span)
    .await;
}

/// Opens a connection and runs it. Returns why it ended; an error if the link is wanted no more.
async fn connect(
    spec: &RadioSpec,
    driver: &mut Driver,
    backoff: &mut Backoff,
    told: &mut Option<String>,
) -> Result<String, Unwanted> {
    driver.set_state("connecting", None);
    match driver.refuse_while(Stream::open(&spec.connect)).await? {
        Err(error) => {
            let error = error.to_string();
            if told.as_ref() == Some(&error) {
                debug!(%error, "cannot connect to {}", spec.connect);
            } else {
                warn!(message_id = catalog::RADIO_LOST, %error, "cannot connect to {}; trying again until it works", spec.connect);
                *told = Some(error.clone());
            }
            Ok(error)
        }
        Ok(stream) => {
            *told = None;
            debug!("connected to {}", spec.connect);
            let Ended { reason, up_since } = driver.run(&stream).await?;
            if up_since.is_some_and(|since| since.elapsed() >= STABLE) {
                backoff.reset();
            }
            if up_since.is_some() {
                warn!(message_id = catalog::RADIO_LOST, %reason, "lost the radio at {}; connecting again", spec.connect);
            } else {
                debug!(%reason, "the connection to {} ended", spec.connect);
            }
            Ok(reason)
        }
    }
}

/// The [`super::Link`] was dropped, or the core's task is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unwanted;

/// Another stream of randomness than the driver's, which has the same seed.
const fn other_stream(mut seed: [u8; 32]) -> [u8; 32] {
    seed[0] ^= 0xff;
    seed
}
