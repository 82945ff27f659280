//! The one task that owns the air: it lets time pass, and carries bytes between it and the hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use meshnet_radiosim::{Air, ClientId, ClientOutput, RadioId, Transport};
use tokio::sync::{Notify, mpsc, oneshot};

use super::clock::Clock;
use super::connection::{self, FromHost, Host, UNREAD};
use super::control::{self, Plug};
use super::pty::Pty;

/// A command line from the control port, and where its answer goes.
pub(crate) type Order = (String, oneshot::Sender<String>);

pub(crate) struct World {
    air: Air,
    clock: Clock,
    hosts: BTreeMap<ClientId, Host>,
    /// Hosts for whom the air has something.
    ready: BTreeSet<ClientId>,
    /// Serial ports, by radio: where the link is, and the line's task while it is plugged in.
    lines: BTreeMap<RadioId, (PathBuf, Option<tokio::task::JoinHandle<()>>)>,
    ledger: Option<BufWriter<File>>,
    from_hosts: mpsc::Sender<FromHost>,
    pub(crate) drained: Arc<Notify>,
}

impl World {
    pub(crate) fn new(
        air: Air,
        clock: Clock,
        ledger: Option<File>,
        from_hosts: mpsc::Sender<FromHost>,
    ) -> Self {
        Self {
            air,
            clock,
            hosts: BTreeMap::new(),
            ready: BTreeSet::new(),
            lines: BTreeMap::new(),
            ledger: ledger.map(BufWriter::new),
            from_hosts,
            drained: Arc::new(Notify::new()),
        }
    }

    pub(crate) fn air(&self) -> &Air {
        &self.air
    }

    /// Gives a radio a serial port.
    ///
    /// # Errors
    /// If there is no pty, or its link cannot be made.
    pub(crate) fn plug_in(&mut self, radio: RadioId, link: PathBuf) -> anyhow::Result<()> {
        let pty = Pty::open(&link)?;
        let serve =
            connection::serve(pty, radio, Transport::Serial, self.from_hosts.clone(), self.drained.clone());
        self.lines.insert(radio, (link, Some(tokio::spawn(serve))));
        Ok(())
    }

    /// Runs until one of the channels closes.
    ///
    /// # Errors
    /// If the ledger cannot be written, or the kernel refuses an alarm.
    pub(crate) async fn run(
        &mut self,
        hosts: &mut mpsc::Receiver<FromHost>,
        orders: &mut mpsc::Receiver<Order>,
    ) -> anyhow::Result<()> {
        let drained = self.drained.clone();
        loop {
            self.air.handle_timeout(self.clock.now());
            self.hand_out();
            self.write_ledger()?;
            tokio::select! {
                from = hosts.recv() => match from {
                    Some(from) => self.handle_host(from),
                    None => return Ok(()),
                },
                order = orders.recv() => match order {
                    Some((line, answer)) => self.handle_order(&line, answer),
                    None => return Ok(()),
                },
                rung = self.clock.sleep_until(self.air.poll_timeout()) => rung?,
                () = drained.notified() => {}
            }
        }
    }

    fn handle_host(&mut self, from: FromHost) {
        let now = self.clock.now();
        match from {
            FromHost::Connected { radio, transport, host, id } => {
                let client = self.air.handle_client_connected(radio, transport, now);
                self.hosts.insert(client, host);
                // The connection has gone already if it does not wait for its number.
                let _ = id.send(client);
            }
            FromHost::Bytes { client, bytes } => {
                if self.hosts.contains_key(&client) {
                    self.air.handle_client_bytes(client, &bytes, now);
                }
            }
            FromHost::Disconnected { client } => {
                self.hosts.remove(&client);
                self.air.handle_client_disconnected(client, now);
            }
        }
    }

    fn handle_order(&mut self, line: &str, answer: oneshot::Sender<String>) {
        let now = self.clock.now();
        let (mut value, plug) = control::obey(line, &mut self.air, now);
        if let Some(plug) = plug
            && let Err(error) = self.handle_plug(plug)
        {
            value = serde_json::json!({ "error": format!("{error:#}") });
        }
        // Whoever asked may be gone.
        let _ = answer.send(value.to_string());
    }

    fn handle_plug(&mut self, plug: Plug) -> anyhow::Result<()> {
        let (Plug::Pull(radio) | Plug::Insert(radio)) = plug;
        let (link, line) = self.lines.get_mut(&radio).context("that radio is on no serial port")?;
        match plug {
            Plug::Pull(_) => {
                // Its end closes both ends of the pty and removes the link.
                if let Some(line) = line.take() {
                    line.abort();
                }
                Ok(())
            }
            Plug::Insert(_) if line.is_some() => Ok(()),
            Plug::Insert(_) => {
                let link = link.clone();
                self.plug_in(radio, link)
            }
        }
    }

    /// Gives hosts what the radios sent, as far as they read, and room for what the radios have read.
    fn hand_out(&mut self) {
        self.ready.extend(std::iter::from_fn(|| self.air.poll_ready()));
        for client in std::mem::take(&mut self.ready) {
            while let Some(host) = self.hosts.get(&client) {
                let Ok(slot) = host.to_host.try_reserve() else {
                    self.ready.insert(client);
                    break;
                };
                match self.air.poll_client(client) {
                    Some(ClientOutput::Bytes(bytes)) => slot.send(bytes),
                    Some(ClientOutput::Closed) => {
                        drop(slot);
                        self.hosts.remove(&client);
                    }
                    None => break,
                }
            }
        }
        for (client, host) in &self.hosts {
            let room = UNREAD.saturating_sub(self.air.unread(*client));
            host.room.add_permits(room.saturating_sub(host.room.available_permits()));
        }
    }

    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn write_ledger(&mut self) -> anyhow::Result<()> {
        let Some(file) = &mut self.ledger else {
            // Somebody may have asked for one without there being a file.
            self.air.set_ledger(false);
            return Ok(());
        };
        let mut written = false;
        while let Some(entry) = self.air.poll_ledger() {
            serde_json::to_writer(&mut *file, &entry).context("writing the ledger")?;
            file.write_all(b"\n").context("writing the ledger")?;
            written = true;
        }
        // Whoever follows the file sees whole lines at once.
        if written { file.flush().context("writing the ledger") } else { Ok(()) }
    }
}
