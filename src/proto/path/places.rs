//! Where the peer may be: addresses from the configuration and from announcements, on every link that reaches such.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::candidate::Candidate;
use super::words::{Origin, PathState, Quality, Why};
use super::{Paths, ToDo};
use crate::link::{LinkAddr, LinkCaps, LinkId};

/// Announced addresses that are kept: those of the last announcement.
pub const MAX_ANNOUNCED: usize = crate::control::MAX_ADDRESSES;
/// Addresses that are kept because something authentic came from there.
pub const MAX_HEARD: usize = 4;
/// Paths of one peer, of all kinds. What comes later finds no place.
pub const MAX_CANDIDATES: usize = 32;

impl Paths {
    /// Takes the operator's addresses of the peer, all of them, in his order of preference.
    pub fn set_configured(&mut self, endpoints: &[LinkAddr], now: Instant) {
        let announced = self.places.iter().filter(|(_, origin)| *origin == Origin::Announced);
        let announced: Vec<_> = announced.copied().filter(|(to, _)| !endpoints.contains(to)).collect();
        self.set_places(endpoints.iter().map(|to| (*to, Origin::Configured)).chain(announced).collect());
        self.sync(now);
        self.refresh(now);
        self.reconsider(now);
        self.settle(now);
    }

    /// Takes the addresses that a kin peer says it has. They take the place of those that it announced before; each is
    /// probed, and nothing else, until it answers. What no host can be reached at from elsewhere is passed over.
    pub fn announced(&mut self, list: &[SocketAddr], now: Instant) {
        if !self.kin {
            return;
        }
        let configured = self.places.iter().filter(|(_, origin)| *origin == Origin::Configured);
        let mut places: Vec<_> = configured.copied().collect();
        let worth = list.iter().filter(|address| is_worth_a_probe(address)).take(MAX_ANNOUNCED);
        for to in worth.map(|address| LinkAddr::udp(*address)) {
            if places.iter().all(|(known, _)| *known != to) {
                places.push((to, Origin::Announced));
            }
        }
        self.set_places(places);
        self.sync(now);
        self.refresh(now);
        self.search.burst();
        self.settle(now);
    }

    fn set_places(&mut self, mut places: Vec<(LinkAddr, Origin)>) {
        places.truncate(MAX_CANDIDATES);
        places.shrink_to_fit();
        self.places = places;
    }

    /// Returns the first link by which an address of the peer's is tried.
    #[must_use]
    pub fn link_to(&self, to: LinkAddr) -> Option<LinkId> {
        self.candidates.iter().find(|path| path.to == to).map(|path| path.link)
    }

    /// A link came up, or its capabilities changed.
    pub fn handle_link_up(&mut self, link: LinkId, caps: &LinkCaps, now: Instant) {
        let quality = Quality::of(caps);
        let news = self.links.iter().all(|(known, ..)| *known != link);
        self.links.retain(|(known, ..)| *known != link);
        self.links.reserve_exact(1);
        self.links.push((link, caps.kind, quality));
        for path in self.candidates.iter_mut().filter(|path| path.link == link && path.to.kind() == caps.kind)
        {
            path.quality = Some(quality);
            path.dead &= !news;
        }
        self.sync(now);
        self.refresh(now);
        if news && self.is_busy(now) {
            self.search.hurry();
        }
        self.reconsider(now);
        self.settle(now);
    }

    /// A link went down: nothing goes by it as of now.
    pub fn handle_link_down(&mut self, link: LinkId, now: Instant) {
        self.links.retain(|(known, ..)| *known != link);
        for path in self.candidates.iter_mut().filter(|path| path.link == link) {
            path.quality = None;
        }
        self.forget_probes(|on, _| on == link);
        if self.chosen().is_some_and(|path| path.link == link) {
            let next = self.best(None);
            self.switch(next, Why::LinkDown, now);
            self.refresh(now);
        }
        self.settle(now);
    }

    /// A link is no more: what is known of its paths is forgotten.
    pub fn remove_link(&mut self, link: LinkId, now: Instant) {
        self.links.retain(|(known, ..)| *known != link);
        self.retain_candidates(|path| path.link != link, now);
        self.settle(now);
    }

    /// Something authentic came from an address that nobody told us of.
    pub(super) fn add_heard(&mut self, link: LinkId, from: LinkAddr, now: Instant) -> Option<usize> {
        let (_, kind, quality) = *self.links.iter().find(|(known, ..)| *known == link)?;
        if from.kind() != kind {
            return None;
        }
        let current = self.current();
        let heard = self.candidates.iter().filter(|path| path.origin == Origin::Heard);
        if heard.clone().count() >= MAX_HEARD {
            // The unproven give way first, then those that were not heard for longest.
            let others = heard.filter(|path| Some(path.key()) != current);
            let oldest = others.min_by_key(|path| (path.proven, path.heard_at)).map(Candidate::key)?;
            self.retain_candidates(|path| path.key() != oldest, now);
        }
        self.add(Candidate::new(link, from, Origin::Heard, Some(quality)))
    }

    fn add(&mut self, path: Candidate) -> Option<usize> {
        if self.candidates.len() >= MAX_CANDIDATES {
            return None;
        }
        self.candidates.reserve_exact(1);
        self.candidates.push(path);
        Some(self.candidates.len() - 1)
    }

    /// Brings the paths in line with the places and links.
    fn sync(&mut self, now: Instant) {
        let places = std::mem::take(&mut self.places);
        for path in &mut self.candidates {
            match places.iter().find(|(to, _)| *to == path.to) {
                Some((_, origin)) => path.origin = *origin,
                // What works works, whether the peer still announces it or not.
                None if path.origin == Origin::Announced && path.proven && !path.dead => {
                    path.origin = Origin::Heard;
                }
                None => {}
            }
        }
        let is_placed = |path: &Candidate| places.iter().any(|(to, _)| *to == path.to);
        self.retain_candidates(|path| path.origin == Origin::Heard || is_placed(path), now);
        for (to, origin) in &places {
            for at in 0..self.links.len() {
                let (link, kind, quality) = self.links[at];
                if kind == to.kind() && self.find(link, *to).is_none() {
                    self.add(Candidate::new(link, *to, *origin, Some(quality)));
                }
            }
        }
        self.places = places;
    }

    fn retain_candidates(&mut self, keep: impl Fn(&Candidate) -> bool, now: Instant) {
        if self.candidates.iter().all(&keep) {
            return;
        }
        let from = self.current();
        self.candidates.retain(&keep);
        self.candidates.shrink_to_fit();
        self.fell = None; // Its number means another path.
        let known: Vec<_> = self.candidates.iter().map(Candidate::key).collect();
        self.forget_probes(|link, to| !known.contains(&(link, to)));
        self.current = from.and_then(|key| known.iter().position(|known| *known == key));
        if let (Some(from), None) = (from, self.current) {
            let next = self.best(None);
            self.switch_from(Some(from), next, Why::Removed, now);
        }
    }

    fn forget_probes(&mut self, gone: impl Fn(LinkId, LinkAddr) -> bool) {
        self.outstanding.retain(|probe| !gone(probe.link, probe.to));
        self.todo.retain(|todo| !matches!(todo, ToDo::Probe(link, to) if gone(*link, *to)));
    }

    /// Returns the state of one path, for tests and displays that know which.
    #[must_use]
    pub fn state_of(&self, link: LinkId, to: LinkAddr) -> Option<PathState> {
        self.views().find(|view| view.link == link && view.to == to).map(|view| view.state)
    }
}

/// Whether an announced address can be another host's. Loopback would have us probe our own services; a link-local
/// IPv6 address means nothing without a scope, which no other host can name.
fn is_worth_a_probe(address: &SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let odd = ip.is_unspecified() || ip.is_multicast() || ip.is_loopback();
    let reserved = match ip {
        IpAddr::V4(ip) => ip.is_broadcast() || ip.octets()[0] == 0,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    address.port() != 0 && !odd && !reserved
}
