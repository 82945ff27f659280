//! The drivers of a running network: started, stopped and replaced while it runs.
//!
//! A driver's number is never used twice in one life, so that what a stopped one left in the channel is told apart from what
//! its successor says.

mod sockets;

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use meshnet_proto::link::{Class, LinkAddr, LinkCaps, LinkEvent, LinkId, Refusal, Transmit};
use meshnet_proto::offload::SegmentKind;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tracing::{debug, trace};

use self::sockets::{Shut, open};
use super::{BATCH, Instance, random};
use crate::control::Change;
use crate::link::udp::{self, Evidence, UdpLink};
use crate::link::{self, Contact, FromLink, Incoming, Link, LinkKind, LinkSpec, LinkStatus};
use crate::peers::Roster;

/// How many messages from all drivers may wait.
const FROM_LINKS_LEN: usize = 64;
/// A udp link by which something came so recently works, whatever the host's addresses say.
const HEARD_OF_LATE: Duration = Duration::from_secs(180);

/// All drivers.
pub(super) struct Links {
    running: BTreeMap<LinkId, Running>,
    next: u16,
    to_core: mpsc::Sender<FromLink>,
    contacts: watch::Sender<Vec<Contact>>,
}

/// A link at work.
struct Running {
    spec: LinkSpec,
    carrier: Carrier,
    up: bool,
    /// When something last came by it, of a udp link.
    heard: Option<Instant>,
    told: Told,
}

/// What carries it.
enum Carrier {
    /// A driver with a task of its own.
    Driver(Link),
    /// A socket that the core's task looks after itself: air is free there, and a hop between tasks is not.
    Udp(Box<UdpLink>),
    /// A socket that failed and is to be opened again.
    Shut(Box<Shut>),
}

impl Carrier {
    /// Waits until there is something to do for it, if the core's task looks after it.
    async fn ready(&self) -> io::Result<()> {
        match self {
            Self::Udp(udp) => udp.readable().await,
            Self::Shut(shut) => {
                tokio::time::sleep_until(shut.retry_at).await;
                Ok(())
            }
            Self::Driver(_) => pending().await,
        }
    }
}

impl Running {
    fn status(&self) -> LinkStatus {
        match &self.carrier {
            Carrier::Driver(link) => link.status.borrow().clone(),
            Carrier::Udp(udp) => udp_status(&self.spec, udp),
            Carrier::Shut(shut) => LinkStatus {
                state: "down",
                last_error: Some(shut.error.clone()),
                ..LinkStatus::new(&self.spec)
            },
        }
    }
}

fn udp_status(spec: &LinkSpec, udp: &UdpLink) -> LinkStatus {
    let counters = udp.counters();
    LinkStatus {
        state: "up",
        mtu: Some(udp.caps().mtu),
        connections: 1,
        sent: counters.sent,
        received: counters.received,
        refused: counters.refused,
        bytes_out: counters.sent_bytes,
        bytes_in: counters.received_bytes,
        ..LinkStatus::new(spec)
    }
}

/// What a client would want to hear of at once. Counters change all the time and are asked for.
#[derive(Debug, PartialEq)]
struct Told {
    state: &'static str,
    fault: Option<String>,
    mtu: Option<u16>,
    radio: [Option<String>; 3],
    air: [Option<&'static str>; 2],
}

impl Told {
    fn of(status: &LinkStatus) -> Self {
        Self {
            state: status.state,
            fault: status.fault.clone(),
            mtu: status.mtu,
            radio: [status.radio.clone(), status.radio_name.clone(), status.firmware.clone()],
            air: [status.region, status.preset],
        }
    }
}

impl Links {
    /// Makes the channels; no driver runs yet.
    pub(super) fn new(roster: &Roster) -> (Self, mpsc::Receiver<FromLink>) {
        let (to_core, from_links) = mpsc::channel(FROM_LINKS_LEN);
        let contacts = watch::Sender::new(contacts(roster));
        (Self { running: BTreeMap::new(), next: 0, to_core, contacts }, from_links)
    }

    /// Starts a link. Of a udp link the socket may have been `opened` before; returns what it promises, which the caller
    /// tells the core. A driver tells by itself.
    pub(super) fn start(
        &mut self,
        spec: &LinkSpec,
        opened: Option<udp::Opened>,
    ) -> anyhow::Result<Option<(LinkId, LinkCaps)>> {
        let id = self.number()?;
        let (carrier, told, caps) = match &spec.kind {
            LinkKind::Meshtastic(radio) => {
                let (contacts, to_core) = (self.contacts.subscribe(), self.to_core.clone());
                let link = link::start(id, spec.name.clone(), radio.clone(), contacts, random()?, to_core);
                let told = Told::of(&link.status.borrow());
                (Carrier::Driver(link), told, None)
            }
            LinkKind::Udp(udp) => {
                let (link, caps) = open(spec, udp, opened)?;
                let told = Told::of(&udp_status(spec, &link));
                (Carrier::Udp(Box::new(link)), told, Some((id, caps)))
            }
        };
        self.running
            .insert(id, Running { spec: spec.clone(), carrier, up: caps.is_some(), heard: None, told });
        Ok(caps)
    }

    /// A number that no link has had.
    fn number(&mut self) -> anyhow::Result<LinkId> {
        let id = LinkId(self.next);
        self.next = self.next.checked_add(1).context("too many links were started: this takes a restart")?;
        Ok(id)
    }

    fn udp(&self) -> impl Iterator<Item = (LinkId, &UdpLink)> {
        self.running.iter().filter_map(|(id, running)| match &running.carrier {
            Carrier::Udp(udp) => Some((*id, &**udp)),
            Carrier::Driver(_) | Carrier::Shut(_) => None,
        })
    }

    fn udp_mut(&mut self, id: LinkId) -> Option<&mut UdpLink> {
        match &mut self.running.get_mut(&id)?.carrier {
            Carrier::Udp(udp) => Some(udp),
            Carrier::Driver(_) | Carrier::Shut(_) => None,
        }
    }

    /// Waits until something may have come on a udp link, or its socket is to be opened again, and says on which; for ever
    /// if there is none.
    pub(super) async fn readable(&self, served: LinkId) -> io::Result<LinkId> {
        let of_sockets = || {
            let running = self.running.iter().map(|(id, running)| (*id, &running.carrier));
            running.filter(|(_, carrier)| !matches!(carrier, Carrier::Driver(_)))
        };
        // Nearly always there is one, and this is asked at every turn.
        let mut links = of_sockets();
        let Some((only, carrier)) = links.next() else { return pending().await };
        if links.next().is_none() {
            return carrier.ready().await.map(|()| only);
        }
        // After the one that was served last, so that a busy one keeps no other waiting.
        let (before, after): (Vec<_>, Vec<_>) = of_sockets().partition(|(id, _)| *id <= served);
        let all = after.into_iter().chain(before);
        let waits = all.map(|(id, carrier)| Box::pin(async move { carrier.ready().await.map(|()| id) }));
        futures_util::future::select_all(waits).await.0
    }

    /// Waits until a udp link that took no more may take something again.
    pub(super) async fn writable(&self, blocked: Option<LinkId>) -> io::Result<()> {
        let link = blocked.and_then(|blocked| self.udp().find(|(id, _)| *id == blocked));
        match link {
            Some((_, udp)) => udp.writable().await,
            None => pending().await,
        }
    }

    /// The ports on which others reach us.
    pub(super) fn ports(&self) -> Vec<u16> {
        self.udp().filter_map(|(_, udp)| udp.local_addr().ok()).map(|address| address.port()).collect()
    }

    /// Whether this host has no way to an address on a udp link; routes from addresses that are `dark` are none.
    pub(super) fn finds_no_way(&self, id: LinkId, to: LinkAddr, dark: &[IpAddr]) -> bool {
        self.udp().any(|(link, udp)| link == id && udp.finds_no_way(to, dark))
    }

    /// Addresses or routes of this host have changed.
    pub(super) fn forget_sources(&mut self) {
        for running in self.running.values_mut() {
            if let Carrier::Udp(udp) = &mut running.carrier {
                udp.forget_sources();
            }
        }
    }

    /// Stops a driver; the caller tells the core. Returns whether the link worked.
    pub(super) fn stop(&mut self, id: LinkId) -> bool {
        self.running.remove(&id).is_some_and(|running| running.up)
    }

    /// What runs, by number.
    pub(super) fn specs(&self) -> impl Iterator<Item = (LinkId, &LinkSpec)> {
        self.running.iter().map(|(id, running)| (*id, &running.spec))
    }

    /// What each driver shows.
    pub(super) fn status(&self) -> BTreeMap<LinkId, LinkStatus> {
        self.running.iter().map(|(id, running)| (*id, running.status())).collect()
    }

    /// Whether any link works. The socket of a udp link is always open: it works if this host is in any network
    /// (`reachable`), or something came by it of late.
    pub(super) fn any_up(&self, reachable: bool, now: Instant) -> bool {
        let heard = |running: &Running| {
            running.heard.is_some_and(|heard| now.saturating_duration_since(heard) < HEARD_OF_LATE)
        };
        let works =
            |running: &Running| matches!(running.carrier, Carrier::Driver(_)) || reachable || heard(running);
        self.running.values().any(|running| running.up && works(running))
    }

    /// The link's name.
    pub(super) fn name(&self, id: LinkId) -> &str {
        self.running.get(&id).map_or("?", |running| running.spec.name.as_str())
    }

    /// Tells all drivers who the peers' radios are.
    pub(super) fn set_contacts(&self, roster: &Roster) {
        let wanted = contacts(roster);
        self.contacts.send_if_modified(|known| {
            let news = *known != wanted;
            *known = wanted;
            news
        });
    }
}

fn contacts(roster: &Roster) -> Vec<Contact> {
    roster.members().iter().flat_map(|member| &member.peer.contacts).cloned().collect()
}

impl Instance {
    /// Takes what came on a udp link, and gives the kernel what was in it; or opens its socket again.
    pub(super) fn handle_udp(&mut self, id: LinkId) -> anyhow::Result<()> {
        let now = Instant::now();
        let Some(running) = self.links.running.get_mut(&id) else { return Ok(()) };
        let Carrier::Udp(udp) = &mut running.carrier else {
            self.reopen(id, now);
            return Ok(());
        };
        let rows = match udp.recv() {
            Ok(rows) => rows,
            Err(error) => return self.shut(id, &error, now),
        };
        if rows > 0 {
            running.heard = Some(now);
        }
        trace!(link = id.0, rows, "datagrams");
        let mut is_burst = false;
        for row in udp.rows() {
            self.node.handle_datagrams(id, row.from, row.bytes, row.segment, now);
            while let Some(frame) = self.node.poll_device() {
                is_burst |= matches!(frame.offload.segments, Some(row) if row.kind == SegmentKind::Udp);
                if let Err(error) = self.tap.write(frame.bytes, frame.offload)
                    && self.tap_is_up
                {
                    debug!(%error, "the kernel did not take a frame");
                }
            }
        }
        // A socket holds some 250 small datagrams. Where processors are few, whoever is to read them would not run before we
        // sleep, and what comes faster than it goes would be lost there.
        if is_burst && self.few_processors {
            std::thread::yield_now();
        }
        self.note_evidence(id, now);
        // The kernel answers what it was given while it takes it: acknowledgements, echoes.
        if rows > 0 && self.blocked.is_none() {
            self.handle_frames()?;
        }
        Ok(())
    }

    /// Tells the core what the network says against addresses.
    fn note_evidence(&mut self, id: LinkId, now: Instant) {
        while let Some(evidence) = self.links.udp_mut(id).and_then(UdpLink::poll_evidence) {
            match evidence {
                Evidence::Unreachable { to, .. } => self.node.handle_unreachable(id, to, now),
                Evidence::NoWay { to } => self.node.handle_no_way(id, to, now),
                Evidence::TooBig { .. } => {}
            }
        }
    }

    /// Sends what a udp link did not take, if it takes it now. Returns whether nothing is in the way any more.
    pub(super) fn unblock(&mut self, now: Instant) -> anyhow::Result<bool> {
        if let Some(transmit) = self.blocked.take()
            && self.links.running.contains_key(&transmit.link)
        {
            self.transmit(transmit, now)?;
        }
        Ok(self.blocked.is_none())
    }

    /// Takes what drivers say: `first`, and what waits behind it, as much as one turn may.
    pub(super) fn handle_links(&mut self, first: Option<FromLink>) -> anyhow::Result<()> {
        let mut message = first.context("all link drivers have ended")?;
        for _ in 0..BATCH {
            self.handle_link(message);
            let Ok(next) = self.from_links.try_recv() else { break };
            message = next;
        }
        Ok(())
    }

    fn handle_link(&mut self, message: FromLink) {
        let now = Instant::now();
        let id = message.link;
        let Some(running) = self.links.running.get_mut(&id) else {
            trace!(link = id.0, "a driver that was stopped");
            return;
        };
        // A driver's word that there is something to see may not have found room before this one.
        let seen = Told::of(&running.status());
        if running.told != seen {
            running.told = seen;
            self.control.tell(Change::LinkChanged(running.spec.name.clone()));
        }
        match message.what {
            Incoming::Event(event) => {
                let up = match &event {
                    LinkEvent::Up(_) => Some(true),
                    LinkEvent::Down => Some(false),
                    _ => None,
                };
                if let Some(up) = up
                    && std::mem::replace(&mut running.up, up) != up
                {
                    let name = running.spec.name.clone();
                    self.control.tell(if up { Change::LinkUp(name) } else { Change::LinkDown(name) });
                }
                self.log_link(id, &event);
                self.note_change();
                self.node.handle_link(id, event, now);
            }
            Incoming::Datagram { from, payload } => {
                trace!(link = running.spec.name, %from, bytes = payload.len(), "datagram");
                self.node.handle_datagram(id, from, &payload, now);
            }
            Incoming::Changed => self.note_change(),
        }
    }

    /// Hands a datagram to its driver. The core keeps to the room that the driver announced, so that its channel is never
    /// full; if it is all the same, the core learns that the datagram did not go out.
    pub(super) fn transmit(&mut self, transmit: Transmit, now: Instant) -> anyhow::Result<()> {
        let (link, token) = (transmit.link, transmit.token);
        let (to, bytes, class) = (transmit.to, transmit.payload.len(), transmit.class);
        trace!(link = self.links.name(link), %to, bytes, ?class, token, "datagram to be sent");
        // A handshake begins, or goes on: some peer's state may be another.
        self.handshaking |= class == Class::Handshake;
        let Some(running) = self.links.running.get_mut(&link) else {
            bail!("the core sends to link {}, which there is not", link.0);
        };
        let driver = match &mut running.carrier {
            Carrier::Driver(driver) => driver,
            Carrier::Udp(udp) => {
                match udp.send(&transmit) {
                    Err(Refusal::QueueFull) => self.blocked = Some(transmit),
                    Ok(()) => self.node.recycle(transmit.payload),
                    Err(_) => {
                        self.node.recycle(transmit.payload);
                        self.note_evidence(link, now);
                    }
                }
                return Ok(());
            }
            // The core knows, and will find another way.
            Carrier::Shut(_) => {
                self.node.recycle(transmit.payload);
                return Ok(());
            }
        };
        match driver.outgoing.try_send(transmit) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                debug!(link = self.links.name(link), "driver's channel is full");
                self.node.handle_link(link, LinkEvent::Refused { token, reason: Refusal::QueueFull }, now);
                Ok(())
            }
            Err(TrySendError::Closed(_)) => bail!("the driver of link {} has ended", self.links.name(link)),
        }
    }
}
