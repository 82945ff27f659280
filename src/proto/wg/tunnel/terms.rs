//! What a tunnel is told, and what it tells.

use std::fmt;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;

use crate::wg::message::{INIT_NOISE, RESPONSE_NOISE};
use crate::wg::tai64n::Tai64n;

/// What a machine needs of the node when it may make a handshake message.
pub struct Context<'a> {
    /// Where keys and indices are drawn.
    pub rng: &'a mut ChaCha20Rng,
    /// Claims an index for this peer; false if it is in use. [`Action::Released`] gives it back.
    pub claim: &'a mut dyn FnMut(u32) -> bool,
    /// The time since the beginning of 1970, UTC.
    pub unix_time: Duration,
    /// This moment.
    pub now: Instant,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("unix_time", &self.unix_time).finish_non_exhaustive()
    }
}

/// What a sealed packet has inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A packet of somebody, who may wait for an answer.
    Data,
    /// A message of ours about the path: it has its own answers, and its own timers.
    Control,
    /// Nothing: a keepalive, or the proof of a session.
    Empty,
}

/// What may be done with an outgoing packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Seal it.
    Ready,
    /// Keep it: a handshake is under way, or a session waits for its proof, or there is no path.
    Wait,
    /// The peer is away: drop it.
    Away,
}

/// How a handshake message came, and which indices it brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// In WireGuard's own framing.
    Stock {
        /// The peer's index of the session.
        sender: u32,
        /// Ours, as a response names it. Not read where an initiation is [accepted](super::Tunnel::accept).
        receiver: u32,
    },
    /// Without: the indices follow from the handshake.
    Terse,
}

/// The answer to an initiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Our index of the session.
    pub sender: u32,
    /// The peer's.
    pub receiver: u32,
    /// What Noise made.
    pub noise: [u8; RESPONSE_NOISE],
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this initiation, in whichever encoding the path has. When it left, say so: [`Tunnel::note_left`](super::Tunnel::note_left).
    SendInit {
        /// Our index of the session that it asks for.
        sender: u32,
        /// What Noise made.
        noise: [u8; INIT_NOISE],
        /// Earlier ones got no answer: reach as far as the link can.
        far: bool,
    },
    /// The last initiation got no answer in the time that it should have taken: another way may do better.
    Unanswered,
    /// Send an empty packet.
    Keepalive,
    /// There is a session to send through: what waits may go.
    Usable {
        /// There was none before.
        first: bool,
    },
    /// Prove the session to the peer, by what waits or by an empty packet; until then the peer sends nothing.
    Confirm,
    /// An initiation was answered after this time.
    Measured(Duration),
    /// The handshake came to nothing: what waits may not stay.
    Failed {
        /// How many initiations were sent.
        tries: u32,
        /// A session ended with it.
        lost: bool,
    },
    /// The keys of a session that was idle are erased, and there is no other.
    Ended,
    /// This index is not ours any more.
    Released {
        /// Which.
        index: u32,
    },
}

/// Why a handshake message came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// It does not authenticate, or answers nothing of ours.
    #[error("does not authenticate")]
    Rejected,
    /// Its timestamp is no greater than that of one before: a recording, or one that came late.
    #[error("older than one that was answered")]
    Replayed,
    /// It crossed ours, which is the one that counts.
    #[error("crossed ours")]
    Crossed,
    /// There are more than are answered.
    #[error("too many handshakes")]
    Flood,
    /// The index that follows from it is in use: by chance, one in four thousand million.
    #[error("index in use")]
    IndexInUse,
}

/// What an authentic packet means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// It is newer than all before it in the current session: where it came from, the peer is.
    pub newest: bool,
    /// It proved a session that may be sent through from here on.
    pub confirmed: bool,
}

/// Why an authentic packet is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// There is no such session, or its keys are too old.
    #[error("no session")]
    NoSession,
    /// Its counter was seen before, or is too old to know.
    #[error("counter seen before or too old")]
    Replayed,
}

/// The greatest timestamps of initiations, each way: what must outlive a restart for old ones to stay worthless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamps {
    /// Of ours. Kept because our clock may be set back.
    pub sent: Option<Tai64n>,
    /// Of the peer's that we answered.
    pub received: Option<Tai64n>,
}

impl Stamps {
    /// The greater of each.
    #[must_use]
    pub fn max_of(self, other: Self) -> Self {
        Self { sent: self.sent.max(other.sent), received: self.received.max(other.received) }
    }
}
