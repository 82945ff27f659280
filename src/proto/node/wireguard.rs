//! A WIREGUARD peer: one session, whatever path carries it, and what session and paths need of each other.
//!
//! The [`Tunnel`] decides when handshakes are due and which session is used, the [`Paths`] by which way things go; the node
//! carries out what both want (`settle`; `moving` what the paths do), and writes what leaves in the encoding of the link: `free`
//! to the byte as WireGuard where air is free, `metered` tersely where it is not. `stock` and `metered` take what comes in,
//! `inner` and `controls` what was inside. `copies` sends again what may have been lost with a path.
//!
//! Invariant: session and paths are told of each other's changes before anything else is done for the peer.

use std::time::{Duration, Instant};

use super::Node;
use super::doubtful::Doubtful;
use super::metered::{Sessions, repair_time, tempo};
use super::peer::{Keying, Peer};
use crate::config::PeerConfig;
use crate::event::{DropReason, Event};
use crate::frame::ETHERNET_HEADER;
use crate::link::{AddrKind, Airtime, LinkAddr, LinkId};
use crate::offload::Offload;
use crate::path::{Bulk, Paths};
use crate::queue::{Entry, Original, PeerIndex};
use crate::terse::header::{Context as Compression, End};
use crate::wg::mac::Cookies;
use crate::wg::regime::Regime;
use crate::wg::tunnel::{Action, Content, Context, Readiness, Stamps, Tunnel};

/// See the module's introduction.
pub(super) struct Wireguard {
    pub(super) tunnel: Tunnel,
    pub(super) paths: Paths,
    /// Made with the first handshake message.
    pub(super) handshakes: Option<Box<Handshakes>>,
    /// What both ends know of each other's addresses, if their configurations agree.
    pub(super) compression: Compression,
    /// What sessions keep for links where air is metered.
    pub(super) sessions: Sessions,
    /// What was sent while the path was silent, if it is.
    pub(super) doubtful: Option<Box<Doubtful>>,
    /// Our index of the initiation that waits in front of a metered link.
    pub(super) init: Option<u32>,
    /// What the paths were told of the session.
    session: bool,
    /// What the state file says of the handshakes.
    pub(super) kept: Stamps,
    /// The path under which the node's table has the peer.
    pub(super) way: Option<(LinkId, LinkAddr)>,
}

/// What handshake messages leave to be remembered.
pub(super) struct Handshakes {
    /// For those in WireGuard's own framing.
    pub(super) cookies: Cookies,
    /// Where the last initiation of the peer's was answered: what proves that session from there has come back to us.
    pub(super) answered_to: Option<(LinkId, LinkAddr)>,
    /// Where the last initiation of ours went.
    pub(super) asked_at: Option<(LinkId, LinkAddr)>,
}

impl Wireguard {
    /// There is a handshake message to be remembered.
    pub(super) fn handshakes(&mut self) -> &mut Handshakes {
        self.handshakes.get_or_insert_with(|| {
            let cookies = Cookies::new(self.tunnel.peer());
            Box::new(Handshakes { cookies, answered_to: None, asked_at: None })
        })
    }

    pub(super) fn answered_to(&self) -> Option<(LinkId, LinkAddr)> {
        self.handshakes.as_ref()?.answered_to
    }

    pub(super) fn asked_at(&self) -> Option<(LinkId, LinkAddr)> {
        self.handshakes.as_ref()?.asked_at
    }
}

impl Node {
    /// Makes the state of a WIREGUARD peer. Its links are told to it when its endpoints are.
    pub(super) fn wireguard_keying(&mut self, config: &PeerConfig, now: Instant) -> Keying {
        let (key, psk) = (config.public_key, config.preshared_key.clone());
        let mut tunnel = Tunnel::new(self.identity.clone(), key, psk);
        let known = self.known_stamps(&key);
        tunnel.restore(known);
        tunnel.set_keepalive(config.keepalive, now);
        let mut wireguard = Wireguard {
            tunnel,
            paths: Paths::new(false, bulk(config)),
            handshakes: None,
            compression: Compression::default(),
            sessions: Sessions::default(),
            doubtful: None,
            init: None,
            session: false,
            kept: known,
            way: None,
        };
        for (link, state) in &self.links {
            if let Some(caps) = &state.caps {
                wireguard.paths.handle_link_up(*link, caps, now);
            }
        }
        wireguard.paths.set_own_addresses(!self.own_addresses.is_empty(), now);
        Keying::Wireguard(Box::new(wireguard))
    }

    /// Brings a WIREGUARD peer's state in line with its configuration. Its session goes on.
    pub(super) fn configure_wireguard(&mut self, at: PeerIndex, config: &PeerConfig, now: Instant) {
        let ours = End::first_of(self.addresses.iter().map(ipnet::IpNet::addr));
        let hosts = config.allowed_ips.iter().filter(|prefix| prefix.prefix_len() == prefix.max_prefix_len());
        let theirs = End::first_of(hosts.map(ipnet::IpNet::addr));
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return };
        let by_radio = config.endpoints.iter().any(|endpoint| endpoint.kind() == AddrKind::Radio);
        wireguard.compression = Compression { ours, theirs };
        wireguard.tunnel.set_metered_too(by_radio);
        wireguard.tunnel.set_keepalive(config.keepalive, now);
        wireguard.paths.set_bulk(bulk(config));
        if by_radio {
            // Nobody but one of us speaks over a radio.
            wireguard.paths.set_kin(true, now);
        }
        wireguard.paths.set_configured(&config.endpoints, now);
    }

    /// Which constants hold for a session on this link.
    pub(super) fn regime(&self, link: LinkId) -> Option<Regime> {
        let state = self.links.get(&link)?;
        Some(match state.caps.as_ref()?.airtime {
            Airtime::Free => Regime::Free,
            Airtime::Metered(_) => Regime::Metered { pace: state.pace() },
        })
    }

    pub(super) fn is_free(&self, link: LinkId) -> bool {
        self.regime(link) == Some(Regime::Free)
    }

    /// Lets a peer's tunnel do something that may make a handshake message.
    pub(super) fn with_tunnel<R>(
        &mut self,
        at: PeerIndex,
        now: Instant,
        act: impl FnOnce(&mut Tunnel, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let Self { peers, indices, rng, clock, .. } = self;
        let Keying::Wireguard(wireguard) = &mut peers[at].keying else { return None };
        let mut claim = |index| indices.claim(index, at);
        let unix_time = clock.unix_time(now);
        let mut context = Context { rng, claim: &mut claim, unix_time, now };
        Some(act(&mut wireguard.tunnel, &mut context))
    }

    /// Lets a frame for a WIREGUARD peer as far as it gets: onto a free link, into a metered link's queue, or to wait for a
    /// session. A copy does not wait: under another session it would be no copy.
    pub(super) fn admit_wireguard(
        &mut self,
        at: PeerIndex,
        frame: Vec<u8>,
        expires: Option<Instant>,
        original: Option<Original>,
        now: Instant,
    ) {
        let Some((link, to)) = self.path(at) else {
            return match original {
                Some(_) => self.account.count(at, DropReason::NoPath),
                None => self.wait_for_link(at, frame, expires, now),
            };
        };
        let expires = expires.unwrap_or_else(|| now + self.links[&link].useful_time());
        match self.with_tunnel(at, now, Tunnel::readiness) {
            Some(Readiness::Ready) => {}
            _ if original.is_some() => return self.account.count(at, DropReason::NoSession),
            Some(Readiness::Away) => return self.drop_frame(at, &frame, DropReason::HandshakeTimeout, now),
            Some(Readiness::Wait) | None => {
                let dropped = self.peers[at].wait(frame, expires);
                return self.account.count_many(at, DropReason::HandshakeBacklog, dropped);
            }
        }
        if self.is_free(link) {
            let ping = self.own_ping(at, &frame);
            match original {
                Some(original) => self.copy_free(at, (link, to), frame, original, now),
                None => self.seal_free(at, (link, to), &frame, Offload::default(), now),
            }
            return ping.into_iter().for_each(|token| self.ping_left(token, Some(now)));
        }
        let mut entry = Entry::new(frame, expires);
        entry.original = original;
        let Keying::Wireguard(wireguard) = &self.peers[at].keying else { return };
        if !wireguard.paths.may_carry(entry.class) {
            return self.drop_frame(at, &entry.frame, DropReason::BulkOverRadio, now);
        }
        if let Some(mtu) = self.metered_mtu(link, &entry.frame) {
            return self.answer_too_big(at, &entry.frame, mtu, now);
        }
        let Some(state) = self.links.get_mut(&link) else { return };
        let tempo = tempo(state);
        entry.repair = repair_time(state, &entry.frame);
        state.queue.push(at, entry, tempo, &mut self.account, now);
    }

    /// A frame's turn in a metered link's queue has come: it is sealed, unless its session has gone meanwhile.
    pub(super) fn leave_wireguard(
        &mut self,
        link: LinkId,
        at: PeerIndex,
        to: LinkAddr,
        entry: Entry,
        now: Instant,
    ) {
        match self.with_tunnel(at, now, Tunnel::readiness) {
            Some(Readiness::Ready) => self.seal_terse(link, at, to, &entry, now),
            _ if entry.original.is_some() => self.account.count(at, DropReason::NoSession),
            Some(Readiness::Away) => self.drop_frame(at, &entry.frame, DropReason::HandshakeTimeout, now),
            Some(Readiness::Wait) | None => {
                let dropped = self.peers[at].wait(entry.frame, entry.expires);
                self.account.count_many(at, DropReason::HandshakeBacklog, dropped);
            }
        }
    }

    /// Drops a frame that is too long for the path, and tells its sender the length that is not.
    fn answer_too_big(&mut self, at: PeerIndex, frame: &[u8], mtu: u16, now: Instant) {
        self.account.count(at, DropReason::TooBig);
        if let Some(token) = self.own_ping(at, frame) {
            return self.lose_ping(token);
        }
        self.tell_too_big(frame, mtu, now);
    }

    /// Carries out what a peer's tunnel and paths want done, tells each of the other, and sets the peer's timer.
    pub(super) fn settle_wireguard(&mut self, at: PeerIndex, now: Instant) {
        loop {
            let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return };
            let session = wireguard.tunnel.can_seal(now);
            if std::mem::replace(&mut wireguard.session, session) != session {
                wireguard.paths.set_session(session, now);
            }
            if let Some(action) = wireguard.tunnel.poll_action() {
                self.tunnel_action(at, &action, now);
            } else if let Some(action) = wireguard.paths.poll_action(&mut self.rng, now) {
                self.path_action(at, action, now);
            } else {
                break;
            }
        }
        self.note_way(at);
        self.release_ordered(at, now);
        self.ask_for_missing(at, now);
        self.arm(at, now);
    }

    fn tunnel_action(&mut self, at: PeerIndex, action: &Action, now: Instant) {
        match *action {
            Action::SendInit { sender, ref noise, far } => {
                self.note_stamps(at, now);
                self.send_init(at, sender, noise, far, now);
            }
            Action::Unanswered => {
                if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying {
                    wireguard.paths.unanswered(now);
                    // The next initiation is to take the path that this may have chosen.
                    self.follow_path(at, now);
                }
            }
            Action::Confirm => self.confirm(at, now),
            Action::Keepalive => self.send_nothing(at, now),
            Action::Usable { first } => {
                let peer = self.peers[at].public_key;
                let was_up = std::mem::replace(&mut self.peers[at].up, true);
                self.peers[at].prove_by = None;
                if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying {
                    wireguard.sessions.sealed = false;
                }
                self.push_event(if first && !was_up {
                    Event::PeerUp { peer }
                } else {
                    Event::Rekeyed { peer }
                });
                self.flush(at, now);
            }
            Action::Measured(rtt) => self.peers[at].quality.answered(rtt),
            Action::Failed { tries, lost } => self.wireguard_failed(at, tries, lost, now),
            Action::Ended => self.session_ended(at),
            Action::Released { index } => {
                self.indices.release(index);
                if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying {
                    wireguard.sessions.forget(index);
                }
            }
        }
        if let Peer { keying: Keying::Wireguard(wireguard), quality, .. } = &mut self.peers[at] {
            (0..wireguard.tunnel.take_lost()).for_each(|_| quality.lost());
        }
    }

    /// Proves a session to a peer, unless something was sealed that does. What waits in a queue may, too; but it may be dropped
    /// there, or wait for air, and then an empty message has to.
    pub(super) fn confirm(&mut self, at: PeerIndex, now: Instant) {
        let first_asked = self.peers[at].prove_by.take().is_none();
        let sealed =
            matches!(&self.peers[at].keying, Keying::Wireguard(wireguard) if wireguard.sessions.sealed);
        if sealed {
            return;
        }
        if first_asked && self.links.values().any(|state| state.queue.has_peer(at)) {
            self.peers[at].prove_by = Some(now + self.pace(at));
        } else {
            self.send_nothing(at, now);
        }
    }

    fn send_nothing(&mut self, at: PeerIndex, now: Instant) {
        if let Some(path) = self.path(at) {
            self.send_inside(at, path, &[], Content::Empty, now);
        }
    }

    fn wireguard_failed(&mut self, at: PeerIndex, tries: u32, lost: bool, now: Instant) {
        let peer = self.peers[at].public_key;
        self.push_event(Event::HandshakeTimedOut { peer, attempts: tries });
        if lost {
            self.session_ended(at);
        }
        for waiting in self.peers[at].take_waiting() {
            // A session that goes on takes what waited for a better one.
            self.admit(at, waiting.frame, Some(waiting.expires), now);
        }
    }

    /// A peer's last session is gone: its operator hears of it, once.
    pub(super) fn session_ended(&mut self, at: PeerIndex) {
        let peer = self.peers[at].public_key;
        if std::mem::take(&mut self.peers[at].up) {
            self.push_event(Event::PeerDown { peer });
        }
    }

    /// Does what is due for a WIREGUARD peer.
    pub(super) fn wireguard_timeout(&mut self, at: PeerIndex, now: Instant) {
        self.with_tunnel(at, now, Tunnel::handle_timeout);
        if let Keying::Wireguard(wireguard) = &mut self.peers[at].keying {
            wireguard.paths.handle_timeout(now);
            wireguard.sessions.handle_timeout(now);
            if let Some(doubtful) = &mut wireguard.doubtful {
                doubtful.expire(now);
            }
        }
        if self.peers[at].prove_by.is_some_and(|by| by <= now) {
            self.confirm(at, now);
        }
        self.flush(at, now);
        self.settle(at, now);
    }

    /// Forgets a WIREGUARD peer's keys, and gives back what names them.
    pub(super) fn close_wireguard(&mut self, at: PeerIndex, keying: &mut Keying) {
        let Keying::Wireguard(wireguard) = keying else { return };
        wireguard.way.take().map(|(link, to)| self.ways.remove(&(link, to, at)));
        wireguard.tunnel.close();
        while let Some(action) = wireguard.tunnel.poll_action() {
            if let Action::Released { index } = action {
                self.indices.release(index);
            }
        }
    }
}

impl Wireguard {
    /// When something of this peer's is due, and why.
    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        let sessions = self.sessions.deadline().map(|at| (at, "fragments"));
        [self.tunnel.deadline(), self.paths.deadline(), sessions].into_iter().flatten().min()
    }
}

/// What the configuration says of bulk traffic over metered links.
const fn bulk(config: &PeerConfig) -> Bulk {
    match config.bulk_over_metered {
        None => Bulk::Configured,
        Some(true) => Bulk::Always,
        Some(false) => Bulk::Never,
    }
}

/// The wall clock, as it was last told.
pub(super) struct Clock {
    pub(super) set: Instant,
    pub(super) unix_time: Duration,
}

impl Clock {
    pub(super) fn unix_time(&self, now: Instant) -> Duration {
        self.unix_time + now.saturating_duration_since(self.set)
    }
}

/// The IP packet of a frame.
pub(super) fn packet_of(frame: &[u8]) -> &[u8] {
    frame.get(ETHERNET_HEADER..).unwrap_or_default()
}
