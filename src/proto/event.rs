//! What comes out of a node besides packets: events for an operator, reasons for every packet that went nowhere, and the
//! snapshot of its state.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::key::PublicKey;
use crate::link::{Class, LinkAddr, LinkId};
use crate::path::{PathView, Tier, Why};

/// Something an operator would be told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A session with the peer is established, where there was none.
    PeerUp {
        /// Which peer.
        peer: PublicKey,
    },
    /// The peer's session ended, and no other took its place.
    PeerDown {
        /// Which peer.
        peer: PublicKey,
    },
    /// A peer whose session stands got new keys.
    Rekeyed {
        /// Which peer.
        peer: PublicKey,
    },
    /// What is sent to a peer takes another way, or there is one again, or none any more.
    PathChanged {
        /// Which peer.
        peer: PublicKey,
        /// The link and the peer's address there until now.
        from: Option<(LinkId, LinkAddr)>,
        /// And from here on.
        to: Option<(LinkId, LinkAddr)>,
        /// What decided; of a version 1 peer nothing is said.
        why: Option<Why>,
    },
    /// The path to a peer died while there was no other to take: it is tried on, but where the peer is said to be may be out of
    /// date. Told once for each death.
    Stranded {
        /// Which peer.
        peer: PublicKey,
    },
    /// The peer's host answered a ping.
    PingAnswered {
        /// What [`Node::ping`](crate::Node::ping) returned.
        token: u64,
        /// From the call to the answer: waits here, and for a handshake if there was one, included.
        rtt: Duration,
    },
    /// No answer to a ping came in time, or it never left.
    PingLost {
        /// What [`Node::ping`](crate::Node::ping) returned.
        token: u64,
    },
    /// All tries of a handshake went unanswered.
    HandshakeTimedOut {
        /// Which peer.
        peer: PublicKey,
        /// How many initiations were sent.
        attempts: u32,
    },
    /// A handshake message from a peer's endpoint did not authenticate: another key there than configured?
    HandshakeRefused {
        /// Which peer's endpoint it came from.
        peer: PublicKey,
    },
    /// The hour's airtime is spent: nothing but handshakes leaves before `until`.
    AirtimeExhausted {
        /// Which link.
        link: LinkId,
        /// When there will be some again.
        until: Instant,
    },
    /// The link refuses to carry what we send to this address, for lack of its key.
    NoRadioKey {
        /// Which link.
        link: LinkId,
        /// To whom.
        to: LinkAddr,
    },
}

/// Why a packet was not delivered. Each is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// From the interface: no Ethernet frame, or its headers contradict each other.
    MalformedFrame,
    /// From the interface: multicast or broadcast that no radio should carry.
    Noise,
    /// From the interface: no peer's AllowedIPs contain the destination (answered by ICMP unreachable).
    NoRoute,
    /// From the interface: longer than the interface's MTU, or than fragments can carry.
    TooBig,
    /// From the interface: a datagram of a link of ours to that very peer, which would carry itself.
    Loop,
    /// No link reaches the peer at present.
    NoPath,
    /// The peer's wait queue for a handshake is full: the oldest gave way.
    HandshakeBacklog,
    /// The handshake that it waited for came to nothing.
    HandshakeTimeout,
    /// The version 1 peer did not answer for its MAC address.
    Unresolved,
    /// A retransmission of a TCP segment that still waits here, or cannot have been answered yet.
    TcpDuplicate,
    /// A TCP acknowledgement that a newer one made needless.
    AckSuperseded,
    /// The queue of its flow was full: the oldest gave way.
    QueueOverflow,
    /// It waited for longer than is useful.
    Expired,
    /// Bulk traffic for a peer that only a metered link reaches at present, where it is not to go.
    BulkOverRadio,
    /// Its peer was removed, or got other keys, before it left; or it was a part of something from such a peer.
    PeerRemoved,
    /// The link went down before it left.
    LinkDown,
    /// The link refused it.
    Refused,
    /// From a link: the sender is nobody's endpoint.
    UnknownSender,
    /// From a link: no datagram of the protocol.
    MalformedDatagram,
    /// From a link: a fragment that contradicts the ones before it, or whose message expired or was evicted.
    BadFragment,
    /// From a link: no session to open it with.
    NoSession,
    /// From a link: it did not authenticate.
    Unauthentic,
    /// From a link: its counter was seen before, or is too old to know.
    Replayed,
    /// From a link: a copy of a packet that has come already, by another path.
    Duplicate,
    /// From a link: a handshake message that did not authenticate, or answers nothing of ours.
    BadHandshake,
    /// From a link: an init that crossed ours, which is the one that counts.
    HandshakeCollision,
    /// From a link: more handshakes than are answered.
    HandshakeFlood,
    /// From a link: authentic, but what is inside is no frame.
    MalformedInner,
    /// From a link: the inner source address is not one of the peer's.
    SpoofedSource,
    /// From a link: authentic, for none of our addresses and nothing that we route.
    NotForUs,
}

impl DropReason {
    /// Returns the name in logs, status and D-Bus: lower case with hyphens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedFrame => "malformed-frame",
            Self::Noise => "noise",
            Self::NoRoute => "no-route",
            Self::TooBig => "too-big",
            Self::Loop => "loop",
            Self::NoPath => "no-path",
            Self::HandshakeBacklog => "handshake-backlog",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::Unresolved => "unresolved",
            Self::TcpDuplicate => "tcp-duplicate",
            Self::AckSuperseded => "ack-superseded",
            Self::QueueOverflow => "queue-overflow",
            Self::Expired => "expired",
            Self::BulkOverRadio => "bulk-over-radio",
            Self::PeerRemoved => "peer-removed",
            Self::LinkDown => "link-down",
            Self::Refused => "refused",
            Self::UnknownSender => "unknown-sender",
            Self::MalformedDatagram => "malformed-datagram",
            Self::BadFragment => "bad-fragment",
            Self::NoSession => "no-session",
            Self::Unauthentic => "unauthentic",
            Self::Replayed => "replayed",
            Self::Duplicate => "duplicate",
            Self::BadHandshake => "bad-handshake",
            Self::HandshakeCollision => "handshake-collision",
            Self::HandshakeFlood => "handshake-flood",
            Self::MalformedInner => "malformed-inner",
            Self::SpoofedSource => "spoofed-source",
            Self::NotForUs => "not-for-us",
        }
    }
}

/// How many packets went nowhere, by reason.
pub type Drops = BTreeMap<DropReason, u64>;

/// What traffic took, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Inner packets.
    pub packets: u64,
    /// Bytes of inner IP packets.
    pub bytes: u64,
    /// Datagrams on links, handshakes and fragments included.
    pub datagrams: u64,
    /// Air that these datagrams take, by the link's price list.
    pub airtime: Duration,
}

/// Where a peer's session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// No session, none wanted.
    Idle,
    /// No session yet; a handshake is under way.
    Handshaking,
    /// There is a session.
    Established,
}

/// A peer at one moment.
#[derive(Debug, Clone)]
pub struct PeerSnapshot {
    /// Its identity.
    pub public_key: PublicKey,
    /// Where its session stands.
    pub state: SessionState,
    /// When the last handshake completed.
    pub last_handshake: Option<Instant>,
    /// Of a WIREGUARD peer, the ways to it.
    pub ways: Option<Ways>,
    /// When the last authentic packet came.
    pub last_seen: Option<Instant>,
    /// The endpoint that it was last heard from or is sent to.
    pub endpoint: Option<(LinkId, LinkAddr)>,
    /// What we sent.
    pub sent: Traffic,
    /// What we received.
    pub received: Traffic,
    /// Frames that wait for a session or for an address.
    pub waiting: usize,
    /// Packets of or for this peer that went nowhere.
    pub drops: Drops,
    /// The smoothed round-trip time (RFC 6298) of handshakes, and of pings that found a session, from the moment that they
    /// left; `None` before the first.
    pub rtt: Option<Duration>,
    /// The share of the last handshakes and pings that left and were not answered, 0 to 1, over at most the last 32;
    /// `None` before the first. Nothing else in the protocol demands an answer.
    pub loss: Option<f32>,
}

/// The ways to a WIREGUARD peer at one moment.
#[derive(Debug, Clone)]
pub struct Ways {
    /// How well it is reached.
    pub tier: Tier,
    /// Why the present path was chosen.
    pub why: Why,
    /// All paths, in the order in which they became known.
    pub paths: Vec<PathView>,
}

/// A link at one moment.
#[derive(Debug, Clone)]
pub struct LinkSnapshot {
    /// Which link.
    pub link: LinkId,
    /// Whether it is up.
    pub up: bool,
    /// Datagrams that wait in our queue, by class.
    pub queued: BTreeMap<Class, usize>,
    /// Air used in the last hour as far as known, own packets and the carrier's.
    pub airtime_used: Duration,
    /// Air that may still be used now; `None` where air is free.
    pub airtime_left: Option<Duration>,
}

/// A node at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Peers, in the order in which they were added.
    pub peers: Vec<PeerSnapshot>,
    /// Links, by number.
    pub links: Vec<LinkSnapshot>,
    /// Every packet that went nowhere.
    pub drops: Drops,
}
