//! The drivers of a running network: started, stopped and replaced while it runs.
//!
//! A driver's number is never used twice in one life, so that what a stopped one left in the channel is told apart from what
//! its successor says.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, bail};
use meshnet_proto::link::{Class, LinkEvent, LinkId, Refusal, Transmit};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tracing::{debug, trace};

use super::{BATCH, Instance, random};
use crate::control::Change;
use crate::link::{self, Contact, FromLink, Incoming, Link, LinkKind, LinkSpec, LinkStatus, UdpSpec};
use crate::peers::Roster;

/// How many messages from all drivers may wait.
const FROM_LINKS_LEN: usize = 64;

/// All drivers.
pub(super) struct Links {
    running: BTreeMap<LinkId, Running>,
    next: u16,
    to_core: mpsc::Sender<FromLink>,
    contacts: watch::Sender<Vec<Contact>>,
}

/// A driver at work.
struct Running {
    spec: LinkSpec,
    link: Link,
    up: bool,
    told: Told,
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

    /// Starts a driver.
    pub(super) fn start(&mut self, spec: &LinkSpec) -> anyhow::Result<()> {
        let id = LinkId(self.next);
        self.next = self.next.checked_add(1).context("too many links were started: this takes a restart")?;
        let link = match &spec.kind {
            LinkKind::Meshtastic(radio) => {
                let (contacts, to_core) = (self.contacts.subscribe(), self.to_core.clone());
                link::start(id, spec.name.clone(), radio.clone(), contacts, random()?, to_core)
            }
            LinkKind::Udp(udp) => self.start_udp(id, &spec.name, udp)?,
        };
        let told = Told::of(&link.status.borrow());
        self.running.insert(id, Running { spec: spec.clone(), link, up: false, told });
        Ok(())
    }

    /// Opens the sockets of a udp link.
    // The node does not speak over UDP in this tree; who teaches it to puts the sockets here.
    #[allow(clippy::unused_self)]
    fn start_udp(&mut self, _: LinkId, name: &str, udp: &UdpSpec) -> anyhow::Result<Link> {
        bail!("the link {name} at {udp} cannot be started: this daemon has no udp driver")
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
        self.running.iter().map(|(id, running)| (*id, running.link.status.borrow().clone())).collect()
    }

    /// Whether any link works.
    pub(super) fn any_up(&self) -> bool {
        self.running.values().any(|running| running.up)
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
        let seen = Told::of(&running.link.status.borrow());
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
        let Some(running) = self.links.running.get(&link) else {
            bail!("the core sends to link {}, which there is not", link.0);
        };
        match running.link.outgoing.try_send(transmit) {
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
