//! The words that the selector speaks in: what a path amounts to, why it was chosen, what was heard, what is asked of it.

use std::time::Duration;

use crate::link::{Airtime, LinkCaps};

/// How well a peer is reached, as a user is told; later is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Not at all: no link that is up reaches any address that may be used.
    Offline,
    /// Over a medium that is scarce: slow, and only what must go.
    Radio,
    /// Over free links, through a host that passes datagrams on.
    Relayed,
    /// Over a free link, straight to the peer.
    Direct,
}

impl Tier {
    /// Returns the name in status and D-Bus.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Radio => "radio",
            Self::Relayed => "relayed",
            Self::Direct => "direct",
        }
    }
}

/// Why the current path is the one that it is: the last thing that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// There is no path: no link that is up reaches any address that may be used.
    NoPath,
    /// It is the best by kind and cost; nothing has come by it yet.
    Untried,
    /// It answered a probe or a handshake, and is better in kind than what there was.
    Proven,
    /// It answered a probe and its link costs less.
    Cheaper,
    /// It costs the same and is clearly faster.
    Faster,
    /// The path before fell silent while we sent.
    Silent,
    /// The path before did not answer a handshake, or its link could not send there.
    Unanswered,
    /// The link of the path before went down, or this host has no way there any more: no route, no carrier.
    LinkDown,
    /// The path before was taken out of the configuration, or its link was.
    Removed,
    /// The peer has moved there: a stock WireGuard peer speaks from there, a kin peer has also answered a probe there.
    Roamed,
    /// The peer speaks by this metered path: the one before is metered too, and silent, or the peer was on it and has left it.
    Heard,
}

impl Why {
    /// Returns the name in status, logs and D-Bus.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPath => "no-path",
            Self::Untried => "untried",
            Self::Proven => "proven",
            Self::Cheaper => "cheaper",
            Self::Faster => "faster",
            Self::Silent => "silent",
            Self::Unanswered => "unanswered",
            Self::LinkDown => "link-down",
            Self::Removed => "removed",
            Self::Roamed => "roamed",
            Self::Heard => "heard",
        }
    }
}

/// How we came to know an address of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The operator says so: may be used before it is proven.
    Configured,
    /// The peer says so.
    Announced,
    /// Something authentic came from there.
    Heard,
}

impl Origin {
    /// Returns the name in status and D-Bus.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Announced => "announced",
            Self::Heard => "heard",
        }
    }
}

/// What state a path is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathState {
    /// Its link is down.
    Down,
    /// It fell silent, or did not answer.
    Dead,
    /// Nothing has shown yet that it leads to the peer.
    Untried,
    /// It was shown to lead to the peer, and nothing speaks against it since.
    Proven,
}

impl PathState {
    /// Returns the name in status and D-Bus.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Dead => "dead",
            Self::Untried => "untried",
            Self::Proven => "proven",
        }
    }
}

/// What an authentic message shows of the way that it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Its counter is older than another that came: it may have been delayed, and by somebody who means harm.
    Late,
    /// It is a probe, whatever its counter: the peer wants to know whether this way works. It came because the peer is not
    /// sure that anything of ours arrives by it, so that it is no sign that anything does.
    Question,
    /// It is a packet of somebody's, and its counter is newer than all before: the peer's own current path is this one.
    Packet,
    /// Its counter is newer than all before, or it is a handshake's init with a timestamp newer than all before.
    Newest,
    /// It answers what we sent **to this very address**, and could not be made without having got that: a handshake's
    /// response to our init, or the first message of a session whose response we sent there. As good as an answer to a probe.
    Answer,
}

/// What we send by a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// A packet of somebody's: it is traffic, and silence after it is noticed.
    Packet,
    /// A message of a handshake: silence after an init is noticed while there is no session.
    Handshake,
    /// Probes, answers to them, announcements, keepalives, requests for fragments: what demands nothing. Only counted.
    Control,
}

/// Whether bulk traffic may take a peer's metered path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bulk {
    /// If the operator gave the peer an address on a metered link: that he did so is the permission.
    #[default]
    Configured,
    /// Whatever the path is.
    Always,
    /// Only where sending is free.
    Never,
}

/// What a peer needs to know of a link, in a few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quality {
    pub(super) cost: u32,
    pub(super) metered: bool,
    /// How long silence on it means nothing, in milliseconds.
    pub(super) patience_ms: u32,
}

impl Quality {
    pub(super) fn of(caps: &LinkCaps) -> Self {
        let (metered, patience) = match &caps.airtime {
            Airtime::Free => (false, Duration::ZERO),
            Airtime::Metered(metered) => {
                let exchange = (metered.airtime(64) + metered.access) * 2 + Duration::from_millis(500);
                (true, (exchange * 6).max(Duration::from_secs(15)))
            }
        };
        let patience_ms = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        Self { cost: caps.cost, metered, patience_ms }
    }

    pub(super) const fn tier(&self) -> Tier {
        if self.metered { Tier::Radio } else { Tier::Direct }
    }
}
