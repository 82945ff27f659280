//! One peer: its keys, its place on the links, and the frames that wait for it.
//!
//! A frame for the peer passes three gates before it enters a link's queue: there is a link that reaches it, there is a
//! session (or one of its kind) to seal with, and its MAC address is known if the peer is not one of us. What a frame
//! lacks is set in motion and the frame waits here, oldest first to go out, oldest first to give way.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rand_chacha::ChaCha20Rng;

use super::pki::{Pki, Readiness};
use super::quality::Quality;
use super::silence::Silence;
use super::wireguard::Wireguard;
use crate::config::{PeerConfig, PeerMode};
use crate::event::{SessionState, Traffic};
use crate::frame::Mac;
use crate::key::PublicKey;
use crate::limit::Bucket;
use crate::link::{LinkAddr, LinkId};
use crate::neighbour;
use crate::v1::symmetric::{Symmetric, name_of};

/// Frames that may wait for a session, and their bytes.
const MAX_WAITING: usize = 32;
const MAX_WAITING_BYTES: usize = 32 * 1024;
/// Questions for a MAC address before the peer counts as unresolved.
const RESOLVE_TRIES: u32 = 3;
/// And for how long.
const UNRESOLVED_FOR: Duration = Duration::from_secs(30);

/// How a peer's frames are sealed.
pub(super) enum Keying {
    /// By sessions of handshakes.
    Pki(Box<Pki>),
    /// By a key shared beforehand.
    Symmetric(Box<Symmetric>),
    /// By WireGuard.
    Wireguard(Box<Wireguard>),
}

/// A question for the peer's MAC address.
#[derive(Debug, Clone, Copy)]
struct Resolving {
    tries: u32,
    next_at: Instant,
}

/// How a peer's MAC address is found, and found again.
struct Resolver {
    /// Limits how often a change of it is worth a write to disk.
    writes: Bucket,
    resolving: Option<Resolving>,
    silence: Silence,
    unresolved_until: Option<Instant>,
}

impl Resolver {
    fn new() -> Self {
        let writes = Bucket::new(4, Duration::from_secs(600));
        Self { writes, resolving: None, silence: Silence::default(), unresolved_until: None }
    }
}

/// A frame that waits.
pub(super) struct Waiting {
    pub(super) frame: Vec<u8>,
    pub(super) expires: Instant,
}

/// See the module's introduction.
pub(super) struct Peer {
    pub(super) public_key: PublicKey,
    pub(super) keying: Keying,
    pub(super) endpoints: Vec<LinkAddr>,
    pub(super) allowed_ips: Vec<IpNet>,
    /// The link that it was last heard on.
    pub(super) heard_on: Option<(LinkId, LinkAddr)>,
    /// How many paths to it have failed, one after the other.
    pub(super) detours: usize,
    /// The path that the operator knows of.
    pub(super) told_path: Option<(LinkId, LinkAddr)>,
    /// Where its session stood when that was last looked at.
    pub(super) told_state: SessionState,
    /// When it needs attention, and why.
    pub(super) timer: Option<(Instant, &'static str)>,
    pub(super) mac: Option<Mac>,
    /// What is under way about it. A WIREGUARD peer has none: no Ethernet header goes to it.
    resolver: Option<Box<Resolver>>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    pub(super) message: u16,
    pub(super) sent: Traffic,
    pub(super) received: Traffic,
    pub(super) last_seen: Option<Instant>,
    pub(super) quality: Quality,
    pub(super) up: bool,
    /// A session of ours is to be proven to it by then, for what should have done that may not have left.
    pub(super) prove_by: Option<Instant>,
    /// Limits how often a handshake that does not authenticate is reported.
    pub(super) complaints: Bucket,
    probed: bool,
}

/// Whether frames go to a peer with their Ethernet header.
const fn has_ethernet(keying: &Keying) -> bool {
    !matches!(keying, Keying::Wireguard(_))
}

fn resolver_for(keying: &Keying) -> Option<Box<Resolver>> {
    has_ethernet(keying).then(|| Box::new(Resolver::new()))
}

/// What to do about a peer's MAC address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    /// It is known, or need not be.
    Known,
    /// Asked for; wait.
    Asked,
    /// It was asked for in vain.
    Unresolved,
}

impl Peer {
    /// Makes a peer that is nowhere yet.
    pub(super) fn new(public_key: PublicKey, keying: Keying) -> Self {
        Self {
            public_key,
            resolver: resolver_for(&keying),
            keying,
            endpoints: Vec::new(),
            allowed_ips: Vec::new(),
            heard_on: None,
            detours: 0,
            told_path: None,
            told_state: SessionState::Idle,
            timer: None,
            mac: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            message: 0,
            sent: Traffic::default(),
            received: Traffic::default(),
            last_seen: None,
            quality: Quality::default(),
            up: false,
            prove_by: None,
            complaints: Bucket::new(1, Duration::from_secs(3600)),
            probed: false,
        }
    }

    /// Gives it other keys, of any mode; returns the old ones.
    pub(super) fn set_keying(&mut self, keying: Keying) -> Keying {
        if self.resolver.is_some() != has_ethernet(&keying) {
            self.resolver = resolver_for(&keying);
        }
        self.prove_by = None;
        std::mem::replace(&mut self.keying, keying)
    }

    /// Whether a configuration means the keys that the peer has.
    pub(super) fn is_keyed_as(&self, config: &PeerConfig) -> bool {
        match (&self.keying, config.mode) {
            (Keying::Pki(pki), PeerMode::Pki) => pki.preshared() == config.preshared_key.as_ref(),
            (Keying::Symmetric(symmetric), PeerMode::Symmetric) => {
                config.preshared_key.as_ref().is_some_and(|key| name_of(key) == symmetric.name())
            }
            (Keying::Wireguard(wireguard), PeerMode::Wireguard) => {
                wireguard.tunnel.preshared() == config.preshared_key.as_ref()
            }
            _ => false,
        }
    }

    /// Whether the peer is one of us, as far as known.
    pub(super) fn kin(&self) -> Option<bool> {
        match &self.keying {
            Keying::Pki(pki) => pki.kin(),
            Keying::Symmetric(_) | Keying::Wireguard(_) => None,
        }
    }

    pub(super) fn state(&self) -> SessionState {
        match &self.keying {
            Keying::Pki(pki) => pki.state(),
            Keying::Wireguard(wireguard) => wireguard.tunnel.state(),
            Keying::Symmetric(_) if self.up => SessionState::Established,
            Keying::Symmetric(_) => SessionState::Idle,
        }
    }

    pub(super) fn readiness(&mut self, pace: Duration, rng: &mut ChaCha20Rng, now: Instant) -> Readiness {
        match &mut self.keying {
            Keying::Pki(pki) => pki.readiness(pace, rng, now),
            Keying::Symmetric(_) | Keying::Wireguard(_) => Readiness::Ready,
        }
    }

    /// Keeps a frame; returns how many older ones had to give way.
    pub(super) fn wait(&mut self, frame: Vec<u8>, expires: Instant) -> u64 {
        self.waiting_bytes += frame.len();
        self.waiting.push_back(Waiting { frame, expires });
        let mut dropped = 0;
        while self.waiting.len() > MAX_WAITING || self.waiting_bytes > MAX_WAITING_BYTES {
            if let Some(oldest) = self.waiting.pop_front() {
                self.waiting_bytes -= oldest.frame.len();
                dropped += 1;
            }
        }
        dropped
    }

    pub(super) fn take_waiting(&mut self) -> VecDeque<Waiting> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    /// Takes out the waiting frames that are `astray`, in their order.
    pub(super) fn take_astray(&mut self, astray: impl Fn(&[u8]) -> bool) -> Vec<Waiting> {
        let (gone, stay) =
            std::mem::take(&mut self.waiting).into_iter().partition(|w: &Waiting| astray(&w.frame));
        self.waiting = stay;
        self.waiting_bytes = self.waiting.iter().map(|waiting| waiting.frame.len()).sum();
        gone.into()
    }

    pub(super) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// Returns how many waiting frames were of no more use.
    pub(super) fn expire_waiting(&mut self, now: Instant) -> u64 {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.expires > now);
        self.waiting_bytes = self.waiting.iter().map(|waiting| waiting.frame.len()).sum();
        u64::try_from(before - self.waiting.len()).unwrap_or(0)
    }

    /// Says whether frames may go, and whether the question for the MAC address is to be put now.
    pub(super) fn resolve(&mut self, pace: Duration, now: Instant) -> (Resolution, bool) {
        if self.mac.is_some() || self.kin() == Some(true) {
            return (Resolution::Known, false);
        }
        let Some(resolver) = &mut self.resolver else { return (Resolution::Known, false) };
        if resolver.unresolved_until.is_some_and(|until| now < until) {
            return (Resolution::Unresolved, false);
        }
        match resolver.resolving {
            Some(resolving) if now < resolving.next_at => (Resolution::Asked, false),
            Some(resolving) if resolving.tries >= RESOLVE_TRIES => {
                resolver.resolving = None;
                resolver.unresolved_until = Some(now + UNRESOLVED_FOR);
                (Resolution::Unresolved, false)
            }
            resolving => {
                let tries = resolving.map_or(1, |resolving| resolving.tries + 1);
                let next_at = now + pace * 3 + Duration::from_secs(1);
                resolver.resolving = Some(Resolving { tries, next_at });
                (Resolution::Asked, true)
            }
        }
    }

    /// A frame goes to the peer's MAC address; returns whether to ask for that address again.
    pub(super) fn doubts_mac(&mut self, pace: Duration, now: Instant) -> bool {
        let is_asked_about = self.mac.is_some() && self.kin() != Some(true);
        is_asked_about && self.resolver.as_mut().is_some_and(|resolver| resolver.silence.sent(pace * 3, now))
    }

    /// Learns the MAC address; returns whether that is news.
    pub(super) fn learn_mac(&mut self, mac: Mac) -> bool {
        let Some(resolver) = &mut self.resolver else { return false };
        resolver.resolving = None;
        resolver.unresolved_until = None;
        let news = neighbour::is_unicast(&mac) && mac != [0; 6] && self.mac.replace(mac) != Some(mac);
        if news {
            resolver.silence.ended();
        }
        news
    }

    /// Whether a change of the MAC address is worth a write to disk.
    pub(super) fn may_write_mac(&mut self, now: Instant) -> bool {
        self.resolver.as_mut().is_some_and(|resolver| resolver.writes.take(now))
    }

    /// The silence that makes the MAC address doubtful, of a peer that has one.
    pub(super) fn silence(&mut self) -> Option<&mut Silence> {
        self.resolver.as_mut().map(|resolver| &mut resolver.silence)
    }

    /// Returns the MAC address for frames to the peer.
    pub(super) fn mac_for_frames(&self) -> Mac {
        self.mac.unwrap_or_else(|| neighbour::mac_of(&self.public_key))
    }

    /// Returns whether a probe of an offered session is due: one per offer.
    pub(super) fn take_probe(&mut self, pace: Duration, now: Instant) -> bool {
        let Keying::Pki(pki) = &self.keying else { return false };
        let wanted = pki.wants_probe(pace, now);
        let due = wanted && !self.probed;
        self.probed = wanted;
        due
    }

    /// Returns whom to ask for the MAC address when the next packet is for `destination`: that host itself if it is on our
    /// subnet, else an address that is the peer's own.
    pub(super) fn whom_to_ask(&self, destination: IpAddr, on_link: bool) -> IpAddr {
        let is_own = |prefix: &&IpNet| {
            prefix.prefix_len() == prefix.max_prefix_len() && prefix.addr().is_ipv4() == destination.is_ipv4()
        };
        let own = self.allowed_ips.iter().find(is_own).map(IpNet::addr);
        if on_link { destination } else { own.unwrap_or(destination) }
    }

    /// Returns the destination of the first waiting frame.
    pub(super) fn first_waiting(&self) -> Option<&[u8]> {
        self.waiting.front().map(|waiting| waiting.frame.as_slice())
    }

    /// Returns an address of the peer's own: what an unprompted question may ask for.
    pub(super) fn own_address(&self) -> Option<IpAddr> {
        let hosts = self.allowed_ips.iter().filter(|prefix| prefix.prefix_len() == prefix.max_prefix_len());
        hosts.map(IpNet::addr).min_by_key(IpAddr::is_ipv6)
    }

    /// When this peer needs attention next, after what was due at `now` is done.
    pub(super) fn deadline(&self, pace: Duration, now: Instant) -> Option<(Instant, &'static str)> {
        let keying = match &self.keying {
            Keying::Pki(pki) => pki.deadline(),
            Keying::Symmetric(_) => None,
            Keying::Wireguard(wireguard) => wireguard.deadline(),
        };
        let keying = keying.into_iter().chain(self.prove_by.map(|at| (at, "proof"))).min();
        if self.waiting.is_empty() {
            return keying;
        }
        let proof = match &self.keying {
            Keying::Pki(pki) => pki.proof_deadline(pace).map(|at| (at, "proof")),
            Keying::Wireguard(wireguard) => wireguard.tunnel.proof_deadline().map(|at| (at, "proof")),
            Keying::Symmetric(_) => None,
        };
        let resolver = self.resolver.as_ref();
        let resolving =
            resolver.and_then(|resolver| resolver.resolving).map(|resolving| (resolving.next_at, "address"));
        let expiry = self.waiting.iter().map(|waiting| waiting.expires).min().map(|at| (at, "expiry"));
        let cooldown = resolver.and_then(|resolver| resolver.unresolved_until).map(|at| (at, "address"));
        // A gate that has opened in vain is not waited for again.
        let gates = [proof, resolving, expiry, cooldown].into_iter().flatten().filter(|(at, _)| *at > now);
        keying.into_iter().chain(gates).min()
    }
}
