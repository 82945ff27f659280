//! The driver of a Meshtastic radio: moves bytes, messages and time between a stream, the core's task and the
//! [`Client`], which knows what they mean.
//!
//! One task; whatever it waits for, it also notices that nobody wants the link any more. Idle, it wakes when the client's
//! next timer is due, which is the radio's heartbeat.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use meshnet_proto::link::LinkEvent;
use meshnet_proto::meshtastic::client::{Client, ClientConfig, Ending, Notice, Output, Severity, Transport};
use tracing::{debug, info, warn};

use super::stream::Stream;
use super::supervisor::{Ports, Unwanted};
use super::{FromLink, Incoming, LinkStatus, RadioSpec};
use crate::alarm::Alarm;
use crate::catalog;

/// A radio's message has 512 bytes; several may have come since the last look.
const READ_BUFFER: usize = 4096;
/// More than this waits only for a radio that reads nothing while it goes on talking.
const MAX_OUTBOX: usize = 64 * 1024;
/// The status is brought up to date this long after a change at the latest: a person reads it.
const STATUS_DELAY: Duration = Duration::from_millis(500);

/// A radio and its channels, across connections.
#[derive(Debug)]
pub(super) struct Driver {
    client: Client,
    ports: Ports,
    /// Bytes that the stream did not take yet.
    outbox: Vec<u8>,
    up_since: Option<Instant>,
    status_due: Option<Instant>,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// In words.
    pub(super) reason: String,
    /// Since when the link had been up, if it had.
    pub(super) up_since: Option<Instant>,
}

/// What a connection's task woke up for.
enum Wake {
    Transmit(meshnet_proto::link::Transmit),
    Read(io::Result<usize>),
    Written(io::Result<usize>),
    Contacts,
    Timer,
}

impl Driver {
    pub(super) fn new(spec: &RadioSpec, seed: [u8; 32], mut ports: Ports) -> Self {
        let config = ClientConfig {
            channel_index: spec.channel_index,
            hop_limit: spec.hop_limit,
            contacts: ports.contacts.borrow_and_update().clone(),
            ..ClientConfig::default()
        };
        let client = Client::new(config, seed, Instant::now());
        Self { client, ports, outbox: Vec::new(), up_since: None, status_due: None }
    }

    /// Returns how long to wait at least before the next connection.
    pub(super) fn reconnect_wait(&self) -> Duration {
        self.client.reconnect_wait()
    }

    /// Shows how the connection stands, and what went wrong if something did.
    pub(super) fn set_state(&mut self, state: &'static str, error: Option<&str>) {
        let counts = state == "configuring";
        self.modify_status(|status| {
            status.state = state;
            status.connections += u64::from(counts);
            if let Some(error) = error {
                status.last_error = Some(error.to_owned());
            }
        });
    }

    /// Waits for something else, refusing what the core hands over meanwhile.
    pub(super) async fn refuse_while<T>(&mut self, other: impl Future<Output = T>) -> Result<T, Unwanted> {
        tokio::pin!(other);
        loop {
            tokio::select! {
                done = &mut other => return Ok(done),
                transmit = self.ports.from_core.recv() => {
                    self.client.handle_transmit(transmit.ok_or(Unwanted)?, Instant::now());
                    self.pump().await?;
                }
                changed = self.ports.contacts.changed() => {
                    changed.map_err(|_| Unwanted)?;
                    self.take_contacts();
                }
                () = self.ports.to_core.closed() => return Err(Unwanted),
            }
        }
    }

    /// Tells the client who the peers' radios are.
    fn take_contacts(&mut self) {
        let contacts = self.ports.contacts.borrow_and_update().clone();
        self.client.set_contacts(contacts, Instant::now());
    }

    /// Runs one connection until it ends.
    pub(super) async fn run(&mut self, stream: &Stream) -> Result<Ended, Unwanted> {
        self.up_since = None;
        self.outbox.clear();
        self.set_state("configuring", None);
        self.client.handle_connected(stream.transport(), Instant::now());
        let (ending, reason) = self.serve(stream).await?;
        self.client.handle_disconnected(ending, Instant::now());
        self.pump().await?;
        self.show_status(Instant::now());
        Ok(Ended { reason, up_since: self.up_since.take() })
    }

    async fn serve(&mut self, stream: &Stream) -> Result<(Ending, String), Unwanted> {
        let mut buffer = [0; READ_BUFFER];
        let mut alarm = match Alarm::new() {
            Ok(alarm) => alarm,
            Err(error) => return Ok((Ending::Failed, error.to_string())),
        };
        loop {
            if let Some(reason) = self.pump().await? {
                return Ok((Ending::Failed, reason));
            }
            if self.outbox.len() > MAX_OUTBOX {
                return Ok((Ending::Failed, "the radio reads nothing".to_owned()));
            }
            match self.wait(stream, &mut buffer, &mut alarm).await? {
                Wake::Transmit(transmit) => {
                    let now = Instant::now();
                    self.status_due.get_or_insert(now + STATUS_DELAY);
                    self.client.handle_transmit(transmit, now);
                }
                Wake::Read(Ok(0)) => {
                    let reason = match stream.transport() {
                        Transport::Tcp => "the radio closed the connection",
                        Transport::Serial => "the serial port hung up",
                    };
                    return Ok((Ending::Closed, reason.to_owned()));
                }
                Wake::Read(Ok(len)) => self.client.handle_bytes(&buffer[..len], Instant::now()),
                Wake::Written(Ok(len)) => drop(self.outbox.drain(..len)),
                Wake::Read(Err(error)) | Wake::Written(Err(error)) => {
                    return Ok((Ending::Failed, error.to_string()));
                }
                Wake::Contacts => self.take_contacts(),
                Wake::Timer => {
                    let now = Instant::now();
                    self.client.handle_timeout(now);
                    if self.status_due.is_some_and(|due| due <= now) {
                        self.show_status(now);
                    }
                }
            }
        }
    }

    async fn wait(
        &mut self,
        stream: &Stream,
        buffer: &mut [u8],
        alarm: &mut Alarm,
    ) -> Result<Wake, Unwanted> {
        let client = self.client.poll_timeout().map(|(at, _)| at);
        let due = [client, self.status_due].into_iter().flatten().min();
        if let Err(error) = alarm.set(due) {
            return Ok(Wake::Read(Err(error)));
        }
        tokio::select! {
            transmit = self.ports.from_core.recv() => transmit.map(Wake::Transmit).ok_or(Unwanted),
            read = stream.read(buffer) => Ok(Wake::Read(read)),
            written = stream.write(&self.outbox), if !self.outbox.is_empty() => Ok(Wake::Written(written)),
            () = alarm.due(), if due.is_some() => Ok(Wake::Timer),
            changed = self.ports.contacts.changed() => changed.map(|()| Wake::Contacts).map_err(|_| Unwanted),
            () = self.ports.to_core.closed() => Err(Unwanted),
        }
    }

    /// Moves everything that the client has to say. Returns why the connection must end, if it must.
    async fn pump(&mut self) -> Result<Option<String>, Unwanted> {
        let now = Instant::now();
        // The client's word on the room counts from what it has seen.
        while let Ok(transmit) = self.ports.from_core.try_recv() {
            self.client.handle_transmit(transmit, now);
        }
        while let Some(bytes) = self.client.poll_bytes() {
            self.outbox.extend_from_slice(&bytes);
        }
        let mut reconnect = None;
        while let Some(output) = self.client.poll_output() {
            self.status_due.get_or_insert(now + STATUS_DELAY);
            match output {
                Output::Link(event) => self.tell_event(event, now).await?,
                Output::Datagram { from, payload } => self.tell(Incoming::Datagram { from, payload }).await?,
                Output::Notice(notice) => log(&notice),
                Output::Reconnect(reason) => reconnect = Some(reason.to_string()),
            }
        }
        Ok(reconnect)
    }

    async fn tell_event(&mut self, event: LinkEvent, now: Instant) -> Result<(), Unwanted> {
        match &event {
            LinkEvent::Up(caps) => {
                self.show_status(now);
                if self.up_since.is_none() {
                    self.up_since = Some(now);
                    let status = self.ports.status.borrow().clone();
                    info!(
                        radio = status.radio,
                        firmware = status.firmware,
                        region = status.region,
                        preset = status.preset,
                        mtu = caps.mtu,
                        "the radio is up"
                    );
                } else {
                    info!(mtu = caps.mtu, "the radio's configuration changed");
                }
            }
            LinkEvent::Down => self.show_status(now),
            _ => {}
        }
        self.tell(Incoming::Event(event)).await
    }

    async fn tell(&self, what: Incoming) -> Result<(), Unwanted> {
        self.ports.to_core.send(FromLink { link: self.ports.link, what }).await.map_err(|_| Unwanted)
    }

    fn show_status(&mut self, now: Instant) {
        self.status_due = None;
        let client = self.client.status();
        self.modify_status(|status| {
            status.state = client.state;
            status.update(client, now);
        });
    }

    /// Changes the status, and wakes the core's task if it is news.
    fn modify_status(&self, change: impl FnOnce(&mut LinkStatus)) {
        let mut is_news = false;
        self.ports.status.send_modify(|status| {
            let telling =
                |status: &LinkStatus| (status.state, status.fault.clone(), status.mtu, status.radio.clone());
            let before = telling(status);
            change(status);
            is_news = before != telling(status);
        });
        if is_news {
            // A full channel means that the core's task is about to look at this link anyway.
            let _ = self.ports.to_core.try_send(FromLink { link: self.ports.link, what: Incoming::Changed });
        }
    }
}

fn log(notice: &Notice) {
    let id = catalog::of(notice);
    match notice.severity() {
        Severity::Debug => debug!(message_id = id, "{notice}"),
        Severity::Info => info!(message_id = id, "{notice}"),
        Severity::Warn => warn!(message_id = id, "{notice}"),
    }
}
