//! A network at work: the one task that owns the core.
//!
//! Frames from the TAP, datagrams and news from the links, the core's timer, signals and news of the interface come in;
//! after each the core is drained in the order that it asks for (`meshnet_proto::Node`): what must be durable, frames for
//! the TAP, datagrams for the links, events for the operator.
//!
//! Invariants: nothing leaves while the state that covers it is not on disk; nothing but an input or the core's own timer
//! wakes the task; no source of input keeps another waiting for more than `BATCH` packets.

mod awake;
mod command;
mod free;
mod links;
mod names;
mod reload;
mod report;
mod store;
mod supervised;
mod timer;
mod tuning;
mod ways;

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use meshnet_bus::Error;
use meshnet_proto::Node;
use meshnet_proto::key::{PrivateKey, PublicKey};
use meshnet_proto::link::{LinkEvent, LinkId, Transmit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{debug, error, info, trace, warn};

use self::awake::Awake;
use self::command::PendingPing;
use self::free::Free;
use self::links::Links;
use self::names::Names;
use self::store::Store;
use self::timer::Timer;
use self::tuning::Tuner;
use crate::config::{Config, Source};
use crate::control::{Change, Control, Handle, Scope};
use crate::link::{FromLink, udp};
use crate::netlink::{Interface, InterfaceEvent, Settings};
use crate::peers::{Member, Roster};
use crate::service;
use crate::status::{self, Identity};
use crate::systemd::Supervisor;
use crate::{catalog, files, tap};

/// How many packets one source may bring, or the core may emit, before the others get their turn: as many as the kernel
/// sends in one call.
const BATCH: usize = 64;
/// How many bytes of frames make a turn.
const TURN: usize = 128 * 1024;

/// All that a network needs, opened while the daemon still could.
pub struct Parts {
    /// Where the configuration is.
    pub source: Source,
    /// The network's name on the bus, if it is to be there.
    pub bus_name: Option<meshnet_bus::names::Instance>,
    /// The configuration.
    pub config: Config,
    /// Everybody we talk to.
    pub roster: Roster,
    /// Our identity.
    pub private_key: PrivateKey,
    /// The TAP.
    pub tap: tap::Opened,
    /// The sockets of udp links, by the links' names.
    pub sockets: BTreeMap<String, udp::Opened>,
    /// The netlink helper, which ends when this is dropped.
    pub interface: Interface,
    /// What it made of the interface.
    pub settings: Settings,
    /// Its news.
    pub interface_events: mpsc::Receiver<InterfaceEvent>,
    /// The state file.
    pub state_path: PathBuf,
    /// The status file.
    pub status_path: PathBuf,
    /// Gives orders to the network: for its objects on the bus.
    pub handle: Handle,
    /// Where orders come from and news goes.
    pub control: Control,
}

/// A running network.
pub struct Instance {
    node: Node,
    source: Source,
    config: Config,
    roster: Roster,
    public_key: PublicKey,
    started: Instant,
    tap: tap::Tap,
    tap_is_up: bool,
    /// Whether this machine has one processor or two.
    few_processors: bool,
    links: Links,
    /// What a udp link did not take: nothing more is sent or read from the TAP until it does.
    blocked: Option<Transmit>,
    /// The udp link that was served last.
    served: LinkId,
    names: Names,
    /// What goes with links where air is free.
    free: Free,
    /// Where others may reach this host, as far as it is known.
    surroundings: Option<Vec<IpAddr>>,
    awake: Awake,
    /// Which peers are reached by other means than the kernel knows.
    tuner: Tuner,
    /// It does not want to know.
    tuning_fails: bool,
    from_links: mpsc::Receiver<FromLink>,
    interface: Interface,
    /// What the interface is, unless the kernel refused to make it so.
    settings: Option<Settings>,
    interface_events: mpsc::Receiver<InterfaceEvent>,
    store: Store,
    status_path: PathBuf,
    timer: Timer,
    supervisor: Supervisor,
    /// Something happened that the supervisor may have to hear of.
    changed: bool,
    /// Why the last reload was refused, if it was.
    reload_failure: Option<String>,
    control: Control,
    /// Who waits for the answers to which echoes.
    pings: BTreeMap<u64, PendingPing>,
    /// As last told.
    state: State,
}

/// How the network is, and why it is not better: names on D-Bus.
type State = (&'static str, Option<&'static str>);

/// The signals that the daemon knows.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
    status: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
            status: signal(SignalKind::user_defined1())?,
        })
    }
}

/// Runs a network until it is told to stop.
///
/// # Errors
/// If it cannot go on: the interface was removed, a driver ended, the state cannot be read.
pub async fn run(parts: Parts) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot watch for signals")?;
    let (bus_name, handle) = (parts.bus_name.clone(), parts.handle.clone());
    let mut instance = Instance::new(parts)?;
    info!(
        interface = instance.config.tap_name,
        public_key = %instance.public_key,
        addresses = ?instance.config.addresses,
        mtu = instance.config.mtu,
        peers = instance.roster.members().len(),
        "network is running"
    );
    instance.run(&mut signals, bus_name, handle).await
}

impl Instance {
    fn new(parts: Parts) -> anyhow::Result<Self> {
        let Parts { source, bus_name: _, mut config, roster, private_key, tap, control, mut sockets, .. } =
            parts;
        let Parts { interface, settings, interface_events, state_path, status_path, .. } = parts;
        // The roster has them.
        config.peers = Vec::new();
        let started = Instant::now();
        let public_key = private_key.public();
        let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let core = meshnet_proto::config::Config {
            private_key,
            addresses: config.addresses.clone(),
            mtu: config.mtu,
            rekey_after_messages: config.rekey_after_messages,
            peers: roster.members().iter().map(|member| member.peer.core.clone()).collect(),
        };
        let mut node = Node::new(&core, random()?, unix_time, started)?;
        let store = Store::open(state_path, &mut node)?;
        let (mut links, from_links) = Links::new(&roster);
        for spec in &config.links {
            if let Some((id, caps)) = links.start(spec, sockets.remove(&spec.name))? {
                node.handle_link(id, LinkEvent::Up(caps), started);
            }
        }
        let names = Names::new(&roster)?;
        let mut tap = tap.into_async().context("cannot watch the TAP")?;
        let mut free = Free::default();
        free.suit(&config, &interface, &mut tap, &mut node)?;
        Ok(Self {
            node,
            source,
            config,
            roster,
            public_key,
            started,
            tap,
            tap_is_up: true,
            few_processors: std::thread::available_parallelism().is_ok_and(|count| count.get() <= 2),
            links,
            blocked: None,
            served: LinkId(0),
            names,
            free,
            surroundings: None,
            awake: Awake::new(),
            tuner: Tuner::default(),
            tuning_fails: false,
            from_links,
            interface,
            settings: Some(settings),
            interface_events,
            store,
            status_path,
            timer: Timer::new().context("cannot make a timer")?,
            supervisor: Supervisor::new(started),
            changed: false,
            reload_failure: None,
            control,
            pings: BTreeMap::new(),
            state: ("starting", None),
        })
    }

    async fn run(
        &mut self,
        signals: &mut Signals,
        bus_name: Option<meshnet_bus::names::Instance>,
        handle: Handle,
    ) -> anyhow::Result<()> {
        let mut starting = pin!(async {
            match bus_name {
                Some(name) => service::start(&name, handle).await.map(Some),
                None => Ok(None),
            }
        });
        let mut bus = None;
        loop {
            let more = self.drain()?;
            let now = Instant::now();
            let blocked = self.blocked.as_ref().map(|transmit| transmit.link);
            self.tell_state();
            self.report(now);
            self.timer.arm(self.node.poll_timeout(now), self.store.retry_at(), self.supervisor.feed_at())?;
            tokio::select! {
                started = &mut starting, if bus.is_none() => {
                    bus = Some(started.context("cannot be on the system bus")?);
                    self.ready();
                }
                _ = signals.reload.recv() => self.reload_supervised().await,
                _ = signals.terminate.recv() => return self.stop("SIGTERM"),
                _ = signals.interrupt.recv() => return self.stop("SIGINT"),
                _ = signals.status.recv() => self.write_status(),
                event = self.interface_events.recv() => {
                    self.look_at_clocks();
                    self.handle_interface(event)?;
                }
                message = self.from_links.recv() => {
                    self.look_at_clocks();
                    self.handle_links(message)?;
                }
                Some(command) = self.control.commands.recv() => {
                    self.look_at_clocks();
                    self.handle_command(command).await;
                }
                readable = self.links.readable(self.served) => {
                    self.look_at_clocks();
                    let link = readable.context("cannot wait for UDP")?;
                    self.served = link;
                    self.handle_udp(link)?;
                }
                writable = self.links.writable(blocked) => writable.context("cannot wait for UDP")?,
                outcome = self.tuner.outcome() => self.handle_tuned(outcome),
                Some(resolved) = self.names.resolved.recv() => self.handle_resolved(resolved),
                readable = self.tap.readable(), if blocked.is_none() => {
                    readable.context("cannot wait for the TAP")?;
                    self.look_at_clocks();
                    self.handle_frames()?;
                }
                () = self.timer.expired() => {
                    self.look_at_clocks();
                    self.node.handle_timeout(Instant::now());
                }
                () = ready_if(more) => {}
            }
        }
    }

    /// Tells the core if the host slept or its clock was set. It has to know before it takes anything that tells of peers or
    /// goes to one: what it believed of paths and keys is of a time before.
    fn look_at_clocks(&mut self) {
        let now = Instant::now();
        if let Some(unix_time) = self.awake.clock_was_set() {
            debug!("the wall clock was set");
            self.node.set_unix_time(unix_time, now);
        }
        if let Some(slept) = self.awake.slept() {
            info!(?slept, "the host was suspended: every path has to show that it still works");
            self.node.handle_resume(slept, now);
        }
    }

    /// Takes frames from the TAP, as many as one turn may.
    fn handle_frames(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        let mut bytes = 0;
        for _ in 0..BATCH {
            match self.tap.read() {
                Ok(Some((frame, offload))) => {
                    trace!(bytes = frame.len(), ?offload, "frame from the kernel");
                    bytes += frame.len();
                    self.node.handle_device_row(frame, offload, now);
                }
                Ok(None) => break,
                // One that is down only has no frames; this one is removed.
                Err(error) => return Err(error).context("the TAP is gone"),
            }
            // What was sealed leaves while it is warm.
            if bytes >= TURN {
                break;
            }
        }
        self.node.handle_device_end();
        Ok(())
    }

    /// Takes news of the interface.
    fn handle_interface(&mut self, event: Option<InterfaceEvent>) -> anyhow::Result<()> {
        self.note_change();
        match event.context("the netlink helper has ended")? {
            InterfaceEvent::Down => {
                warn!(
                    message_id = catalog::INTERFACE_TAKEN,
                    interface = self.config.tap_name,
                    "somebody took the interface down: no traffic until it is up"
                );
                self.tap_is_up = false;
            }
            InterfaceEvent::Up => {
                info!(interface = self.config.tap_name, "the interface is up again");
                self.tap_is_up = true;
            }
            InterfaceEvent::Surroundings(surroundings) => self.handle_surroundings(surroundings)?,
            InterfaceEvent::Broken(error) => bail!("the interface is up again, but {error}"),
            InterfaceEvent::Removed => {
                error!(message_id = catalog::INTERFACE_TAKEN, "somebody removed the interface");
                bail!("somebody removed the interface {}", self.config.tap_name)
            }
        }
        Ok(())
    }

    /// Takes out of the core what is to be done, as much as one turn may; returns whether there may be more.
    fn drain(&mut self) -> anyhow::Result<bool> {
        // What woke the task may have been none of what looks by itself.
        self.look_at_clocks();
        let now = Instant::now();
        let mut more = false;
        let mut may_send = self.unblock(now)? && self.store.save(&mut self.node, now);
        let mut count = 0;
        while let Some(frame) = self.node.poll_device() {
            trace!(bytes = frame.bytes.len(), "frame to the kernel");
            if let Err(error) = self.tap.write(frame.bytes, frame.offload)
                && self.tap_is_up
            {
                debug!(%error, "the kernel did not take a frame");
            }
            count += 1;
            if count == BATCH {
                more = true;
                break;
            }
        }
        count = 0;
        while may_send && let Some(transmit) = self.node.poll_transmit(now) {
            self.transmit(transmit, now)?;
            count += 1;
            // What one input may bring, and what the kernel answers to it.
            if count == 2 * BATCH {
                more = true;
                break;
            }
            may_send = self.blocked.is_none() && self.store.save(&mut self.node, now);
        }
        while let Some(peer) = self.node.poll_moved_on() {
            self.control.tell(Change::PeerChanged(peer));
        }
        while let Some(event) = self.node.poll_event() {
            self.handle_event(&event, now);
        }
        self.tune_routes();
        Ok(more)
    }

    /// Says how everything is.
    fn describe(&self, now: Instant) -> meshnet_bus::describe::Network {
        let identity = self.identity(self.roster.members());
        status::describe(identity, &self.node.snapshot(now), &self.links.status(), now)
    }

    /// Says how as much is as was asked for.
    fn describe_scope(&self, scope: Scope, now: Instant) -> Result<meshnet_bus::describe::Network, Error> {
        match scope {
            Scope::Everything => Ok(self.describe(now)),
            Scope::WithoutPeers => {
                let snapshot = self.node.snapshot_without_peers(now);
                Ok(status::describe(self.identity(&[]), &snapshot, &self.links.status(), now))
            }
            Scope::Peer(key) => {
                let found = self.roster.get(&key).zip(self.node.snapshot_of(&key));
                let gone = || Error::NoSuchPeer(format!("the peer {key} is gone"));
                let (member, snapshot) = found.ok_or_else(gone)?;
                let links = self.links.specs().map(|(id, spec)| (id, spec.name.as_str())).collect();
                Ok(status::describe_peer(self.identity(&[]), member, &snapshot, &links, now))
            }
        }
    }

    const fn identity<'a>(&'a self, peers: &'a [Member]) -> Identity<'a> {
        Identity {
            config: &self.config,
            peers,
            public_key: self.public_key,
            started: self.started,
            state: self.state,
        }
    }

    /// Says so if the network's state is another than before.
    fn tell_state(&mut self) {
        let state = match () {
            () if !self.tap_is_up => ("degraded", Some("interface-down")),
            () if self.store.is_failing() => ("degraded", Some("state-unsaved")),
            () if !self.links.any_up(self.is_reachable(), Instant::now()) => ("degraded", Some("no-link")),
            () => ("running", None),
        };
        if std::mem::replace(&mut self.state, state) != state {
            self.control.tell(Change::Network);
        }
    }

    /// Writes the status file and a summary to the log.
    fn write_status(&self) {
        let network = self.describe(Instant::now());
        let written = status::file_text(&network)
            .map_err(io::Error::from)
            .and_then(|text| files::replace(&self.status_path, &text, false));
        match written {
            Ok(()) => info!(file = %self.status_path.display(), "{}", status::summary(&network)),
            Err(error) => error!(file = %self.status_path.display(), %error, "cannot write the status"),
        }
    }

    /// Ends: what must be durable is written, drivers stop when they are dropped, and the kernel removes the interface
    /// unless the service manager keeps it for the next life.
    fn stop(&mut self, signal: &str) -> anyhow::Result<()> {
        info!(interface = self.config.tap_name, "stopping on {signal}");
        self.supervisor.stopping();
        self.state = ("stopping", None);
        self.control.tell(Change::Network);
        self.node.close();
        if !self.store.save(&mut self.node, Instant::now()) {
            warn!("the state is not saved");
        }
        match std::fs::remove_file(&self.status_path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                debug!(%error, "the status file stays");
            }
            _ => {}
        }
        Ok(())
    }
}

/// Is ready at once, or never.
async fn ready_if(condition: bool) {
    if !condition {
        pending::<()>().await;
    }
    tokio::task::yield_now().await;
}

/// 32 bytes of the operating system's randomness.
fn random() -> anyhow::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no randomness from the kernel: {error}"))?;
    Ok(seed)
}
