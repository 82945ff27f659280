//! What nodes say to each other inside a session, and how anything that is not a packet gets there.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::Node;
use super::device::is_default;
use super::peer::Keying;
use super::stock::Path;
use crate::control::{Addresses, Control, ControlError};
use crate::event::DropReason;
use crate::link::{Class, LinkAddr, LinkId};
use crate::path::{Heard, Paths};
use crate::queue::PeerIndex;
use crate::terse::reassembly::Missing;
use crate::wg::message::INIT_NOISE;
use crate::wg::tunnel::Content;

/// Says what a plaintext is to session and paths, in either encoding. A copy is somebody's packet.
pub(super) fn content_of(plaintext: &[u8]) -> Content {
    match plaintext.first() {
        None => Content::Empty,
        Some(_) if Control::is_control(plaintext) && !Control::is_copy(plaintext) => Content::Control,
        Some(_) => Content::Data,
    }
}

impl Node {
    /// Takes the addresses at which others may reach this host by UDP, the best first; peers that are meshnet are told of
    /// them. Call it whenever they changed, and as well when they did not but ways may have opened (a route, a link).
    pub fn set_own_addresses(&mut self, addresses: Vec<SocketAddr>, now: Instant) {
        let changed = self.own_addresses != addresses;
        let any = !addresses.is_empty();
        self.own_addresses = addresses;
        self.tell_paths(now, |paths| {
            if changed {
                paths.set_own_addresses(any, now);
            }
            paths.handle_hint(now);
        });
    }

    /// The host slept for so long, which `now` leaves out. Keys age in sleep as they do awake, so that what is over by now is
    /// erased before anything else is done; a session that has merely slept goes on. What was a good path before must show
    /// that it still is. A peer that was spoken with by a free link is asked for fresh keys there if the old ones are over;
    /// one that is reached by a metered link costs nothing before there is something to send.
    pub fn handle_resume(&mut self, slept: Duration, now: Instant) {
        for at in self.peers.numbers() {
            match &mut self.peers[at].keying {
                Keying::Wireguard(wireguard) => {
                    wireguard.tunnel.slept(slept, now);
                    // Whoever sent it before the sleep waits for it no more.
                    wireguard.doubtful = None;
                }
                Keying::Pki(pki) => pki.slept(slept, now),
                // Its key is for ever.
                Keying::Symmetric(_) => continue,
            }
            self.settle(at, now);
        }
        self.tell_paths(now, |paths| paths.handle_resume(now));
    }

    /// An address could not be sent to, or something on the way says that nobody is there. Whoever says so may lie: it is a
    /// reason to look, no more.
    pub fn handle_unreachable(&mut self, link: LinkId, to: LinkAddr, now: Instant) {
        self.tell_users(link, to, now, |paths| paths.refused(link, to, now));
    }

    /// This host has no way to an address on a link: no route leads there, or only one through an interface without a
    /// carrier. Only what the kernel says of its own tables may be told so; for all else there is
    /// [`Self::handle_unreachable`].
    pub fn handle_no_way(&mut self, link: LinkId, to: LinkAddr, now: Instant) {
        self.tell_users(link, to, now, |paths| paths.cut(link, to, now));
    }

    /// The ways on free links that carry something to a peer, each once: what [`Self::handle_no_way`] may be told of.
    pub fn free_ways(&self) -> BTreeSet<(LinkId, LinkAddr)> {
        let ways = self.ways.iter().map(|(link, to, _)| (*link, *to));
        ways.filter(|(link, _)| self.is_free(*link)).collect()
    }

    /// Tells something to the paths of those peers that are reached this way.
    fn tell_users(&mut self, link: LinkId, to: LinkAddr, now: Instant, mut tell: impl FnMut(&mut Paths)) {
        let there = (link, to, PeerIndex::MIN)..=(link, to, PeerIndex::MAX);
        let users: Vec<PeerIndex> = self.ways.range(there).map(|(.., at)| *at).collect();
        for at in users {
            if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying {
                tell(&mut wireguard.paths);
                self.settle(at, now);
            }
        }
    }

    /// Takes a control message of a peer's: of which session, with which counter.
    pub(super) fn control(
        &mut self,
        at: PeerIndex,
        path: Path,
        sealed: (u32, u64),
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let control = match Control::parse(bytes) {
            Ok(control) => control,
            // A later version may know more.
            Err(ControlError::Unknown(_)) => return Ok(()),
            Err(_) => return Err(DropReason::MalformedInner),
        };
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return Ok(()) };
        // Nobody else speaks like this.
        wireguard.paths.set_kin(true, now);
        match control {
            Control::Probe { token } => {
                wireguard.paths.heard(path.0, path.1, Heard::Question, now);
                let answer = Control::ProbeAnswer { token }.emit();
                self.send_inside(at, path, &answer, Content::Control, now);
            }
            Control::ProbeAnswer { token } => {
                wireguard.paths.answered(token, path.0, path.1, now);
            }
            Control::Addresses(list) => {
                let outside: Vec<SocketAddr> = list
                    .as_slice()
                    .iter()
                    .copied()
                    .filter(|address| !self.leads_inside(address.ip()))
                    .collect();
                if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying {
                    wireguard.paths.announced(&outside, now);
                }
            }
            Control::Missing { counter_low, bitmap } => {
                self.repeat_parts(at, path, Missing { counter_low, bitmap }, now);
            }
            Control::Copy { counter_low, packet } => {
                return self.take_copy(at, path, sealed, (counter_low, &packet), now);
            }
        }
        Ok(())
    }

    /// Whether packets to an address go into this very network: a path there would lead into itself. A default route is not
    /// enough to say so; whoever has one sees to it that the links' own packets take another.
    pub(super) fn leads_inside(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|ours| ours.contains(&address))
            || self.routes.find(address).is_some_and(|(prefix, _)| !is_default(&prefix))
    }

    pub(super) fn send_probe(&mut self, at: PeerIndex, path: Path, token: u32, now: Instant) {
        self.send_inside(at, path, &Control::Probe { token }.emit(), Content::Control, now);
    }

    /// Tells a peer where we may be reached.
    pub(super) fn announce(&mut self, at: PeerIndex, now: Instant) {
        let addresses = Addresses::new(self.own_addresses.iter().copied());
        if let Some(path) = self.path(at).filter(|_| !addresses.as_slice().is_empty()) {
            self.send_inside(at, path, &Control::Addresses(addresses).emit(), Content::Control, now);
        }
    }

    /// Sends a plaintext that is no packet, in the encoding of the path's link.
    pub(super) fn send_inside(
        &mut self,
        at: PeerIndex,
        path: Path,
        plaintext: &[u8],
        content: Content,
        now: Instant,
    ) {
        if self.is_free(path.0) {
            let _may_be_lost = !self.send_free(at, path, plaintext, content, now);
        } else {
            self.send_metered(at, path, plaintext, content, Class::Control, now);
        }
    }

    /// Sends an initiation, in the encoding of the path's link.
    pub(super) fn send_init(
        &mut self,
        at: PeerIndex,
        sender: u32,
        noise: &[u8; INIT_NOISE],
        far: bool,
        now: Instant,
    ) {
        let path = self.path(at);
        if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying {
            wireguard.handshakes().asked_at = path;
        }
        match path {
            None => {}
            Some(path) if self.is_free(path.0) => self.send_stock_init(at, path, sender, noise, now),
            Some(path) => self.send_terse_init(at, path, sender, noise, far, now),
        }
    }
}
