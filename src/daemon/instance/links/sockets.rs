//! The sockets of udp links, and what becomes of one that fails: it is closed, its link is down, and it is opened again
//! until that works. A socket that takes a capability to open stays closed until the daemon is restarted.

use std::io;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use meshnet_proto::link::{LinkCaps, LinkEvent, LinkId};
use tracing::{debug, info, warn};

use super::{Carrier, Links, Running, Told};
use crate::backoff::Backoff;
use crate::control::Change;
use crate::instance::{Instance, random};
use crate::link::udp::{self, UdpLink};
use crate::link::{LinkKind, LinkSpec, LinkStatus, UdpSpec};

/// The waits before a socket that failed is opened again.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(60);

/// Why a socket is not open, and when it is to be.
pub(super) struct Shut {
    pub(super) error: String,
    backoff: Backoff,
    pub(super) retry_at: tokio::time::Instant,
}

/// Makes the socket of a udp link ready, which may have been `opened` before.
pub(super) fn open(
    spec: &LinkSpec,
    udp: &UdpSpec,
    opened: Option<udp::Opened>,
) -> anyhow::Result<(UdpLink, LinkCaps)> {
    let opened = opened.map_or_else(|| udp::open(&spec.name, udp), Ok)?;
    let link = opened.into_async().with_context(|| format!("cannot use the link {}", spec.name))?;
    let caps = LinkCaps { cost: udp.cost.unwrap_or(0), ..link.caps() };
    Ok((link, caps))
}

impl Shut {
    fn new(error: String) -> anyhow::Result<Self> {
        let mut backoff = Backoff::new(random()?, FIRST_WAIT, LAST_WAIT);
        let retry_at = tokio::time::Instant::now() + backoff.next_wait();
        Ok(Self { error, backoff, retry_at })
    }
}

impl Links {
    /// Has a udp link whose socket could not be opened: it is down, and tried again.
    pub(in crate::instance) fn start_shut(
        &mut self,
        spec: &LinkSpec,
        error: &anyhow::Error,
    ) -> anyhow::Result<()> {
        if !matches!(spec.kind, LinkKind::Udp(_)) {
            return Ok(());
        }
        let id = self.number()?;
        let carrier = Carrier::Shut(Box::new(Shut::new(format!("{error:#}"))?));
        let told = Told::of(&LinkStatus { state: "down", ..LinkStatus::new(spec) });
        self.running.insert(id, Running { spec: spec.clone(), carrier, up: false, heard: None, told });
        Ok(())
    }

    /// Closes the socket of a udp link that failed; it is opened again soon. The caller tells the core.
    fn shut(&mut self, id: LinkId, error: &io::Error) -> anyhow::Result<()> {
        if let Some(running) = self.running.get_mut(&id) {
            running.carrier = Carrier::Shut(Box::new(Shut::new(error.to_string())?));
            running.up = false;
            running.told = Told::of(&running.status());
        }
        Ok(())
    }

    /// Opens the socket of a udp link again, if it is shut and that is due; returns what it promises, which the caller tells
    /// the core.
    fn reopen(&mut self, id: LinkId) -> Option<LinkCaps> {
        let running = self.running.get_mut(&id)?;
        let (Carrier::Shut(shut), LinkKind::Udp(udp)) = (&mut running.carrier, &running.spec.kind) else {
            return None;
        };
        match open(&running.spec, udp, None) {
            Ok((link, caps)) => {
                running.carrier = Carrier::Udp(Box::new(link));
                running.up = true;
                running.told = Told::of(&running.status());
                Some(caps)
            }
            Err(error) => {
                debug!(link = running.spec.name, "still no socket: {error:#}");
                shut.error = format!("{error:#}");
                shut.retry_at = tokio::time::Instant::now() + shut.backoff.next_wait();
                None
            }
        }
    }
}

impl Instance {
    /// The socket of a udp link fails: peers are reached otherwise until there is another.
    pub(super) fn shut(&mut self, id: LinkId, error: &io::Error, now: Instant) -> anyhow::Result<()> {
        let name = self.links.name(id).to_owned();
        warn!(link = name, %error, "the UDP socket failed, and is opened again");
        self.links.shut(id, error)?;
        self.control.tell(Change::LinkDown(name));
        self.note_change();
        self.node.handle_link(id, LinkEvent::Down, now);
        Ok(())
    }

    pub(super) fn reopen(&mut self, id: LinkId, now: Instant) {
        let Some(caps) = self.links.reopen(id) else { return };
        let name = self.links.name(id).to_owned();
        info!(link = name, "the UDP socket is open again");
        self.control.tell(Change::LinkUp(name));
        self.note_change();
        self.node.handle_link(id, LinkEvent::Up(caps), now);
        // The kernel may have chosen another port.
        self.tell_own_addresses();
    }
}

#[cfg(test)]
mod tests {
    use super::super::HEARD_OF_LATE;
    use super::*;
    use crate::peers::Roster;

    fn links() -> (Links, LinkId) {
        let dir = tempfile::tempdir().unwrap();
        let roster = Roster::load(dir.path().join("peers"), &[]).unwrap();
        let (mut links, _from) = Links::new(&roster);
        let udp = UdpSpec { listen: vec![[127, 0, 0, 1].into()], ..UdpSpec::default() };
        let spec = LinkSpec { name: "cable".to_owned(), kind: LinkKind::Udp(udp) };
        let (id, _) = links.start(&spec, None).unwrap().unwrap();
        (links, id)
    }

    #[tokio::test]
    async fn a_socket_that_fails_is_opened_again() {
        let (mut links, id) = links();
        let now = Instant::now();
        assert!(links.any_up(true, now));
        links.shut(id, &io::Error::from_raw_os_error(nix::libc::ENOMEM)).unwrap();
        assert!(!links.any_up(true, now) && links.ports().is_empty());
        let status = &links.status()[&id];
        assert_eq!(status.state, "down");
        assert!(status.last_error.as_ref().unwrap().contains("memory"), "{:?}", status.last_error);
        assert_eq!(links.readable(id).await.unwrap(), id);
        assert!(links.reopen(id).is_some());
        assert!(links.any_up(true, now) && links.reopen(id).is_none());
        assert_eq!((links.status()[&id].state, links.ports().len()), ("up", 1));
    }

    #[tokio::test]
    async fn a_udp_link_of_a_host_without_a_network_works_only_if_something_comes_by_it() {
        let (mut links, id) = links();
        let now = Instant::now();
        assert!(!links.any_up(false, now));
        links.running.get_mut(&id).unwrap().heard = Some(now);
        assert!(links.any_up(false, now) && !links.any_up(false, now + HEARD_OF_LATE));
    }
}
