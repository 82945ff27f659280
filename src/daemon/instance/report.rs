//! What an operator would be told, in the log.

use std::time::Instant;

use meshnet_proto::event::Event;
use meshnet_proto::key::PublicKey;
use meshnet_proto::link::{Airtime, LinkEvent, LinkId};
use meshnet_proto::path::Why;
use tracing::{debug, info, warn};

use super::Instance;
use crate::catalog;
use crate::control::Change;

impl Instance {
    /// Takes what the core has to say.
    pub(super) fn handle_event(&mut self, event: &Event, now: Instant) {
        match event {
            Event::PeerUp { peer } => self.control.tell(Change::PeerUp(*peer)),
            Event::PeerDown { peer } => self.control.tell(Change::PeerDown(*peer)),
            Event::Rekeyed { peer } => self.control.tell(Change::PeerChanged(*peer)),
            Event::HandshakeTimedOut { peer, .. } => {
                self.resolve_again(peer);
                self.control.tell(Change::PeerChanged(*peer));
            }
            Event::PathChanged { peer, why, .. } => {
                if matches!(why, Some(Why::Silent | Why::Unanswered | Why::NoPath)) {
                    self.resolve_again(peer);
                }
                self.tuner.note(*peer);
                self.control.tell(Change::PathChanged(*peer));
            }
            Event::Stranded { peer } => {
                self.resolve_again(peer);
                self.control.tell(Change::PeerChanged(*peer));
            }
            Event::PingAnswered { token, rtt } => self.ponged(*token, Some(*rtt)),
            Event::PingLost { token } => self.ponged(*token, None),
            _ => {}
        }
        if may_change_line(event) {
            self.note_change();
        }
        self.log_event(event, now);
    }

    fn log_event(&self, event: &Event, now: Instant) {
        match event {
            Event::PeerUp { peer } => info!(peer = self.peer_name(peer), "peer is connected"),
            Event::PeerDown { peer } => info!(peer = self.peer_name(peer), "peer is disconnected"),
            Event::Rekeyed { peer } => debug!(peer = self.peer_name(peer), "new keys"),
            Event::HandshakeTimedOut { peer, attempts } => {
                info!(
                    message_id = catalog::PEER_SILENT,
                    peer = self.peer_name(peer),
                    attempts,
                    "peer does not answer"
                );
            }
            Event::HandshakeRefused { peer } => {
                let peer = self.peer_name(peer);
                warn!(
                    message_id = catalog::HANDSHAKE_REFUSED,
                    peer,
                    "handshake does not authenticate: does that radio's host have another key than configured?"
                );
            }
            Event::AirtimeExhausted { link, until } => {
                let minutes = until.saturating_duration_since(now).as_secs().div_ceil(60);
                warn!(
                    message_id = catalog::AIRTIME_SPENT,
                    link = self.link_name(*link),
                    "the hour's airtime is spent: bulk traffic waits {minutes} min, and what little is left is for handshakes \
                     and whatever somebody waits for"
                );
            }
            Event::PathChanged { peer, to, why, .. } => {
                let peer = self.peer_name(peer);
                match to {
                    Some((link, to)) => {
                        let why = why.map(Why::as_str);
                        info!(peer, link = self.link_name(*link), %to, why, "peer is reached this way");
                    }
                    None => info!(peer, "there is no way to the peer"),
                }
            }
            Event::Stranded { peer } => {
                debug!(peer = self.peer_name(peer), "nothing comes back from where the peer was");
            }
            Event::PingAnswered { .. } | Event::PingLost { .. } => {}
            // The driver says so itself, with what is being done about it.
            Event::NoRadioKey { link, to } => {
                debug!(link = self.link_name(*link), %to, "the radio lacks the key of the peer's radio");
            }
            // `Event` grows without a new version of this crate.
            other => info!(?other, "event"),
        }
    }

    /// The driver tells of its radio by itself; this is what the core is told.
    pub(super) fn log_link(&self, link: LinkId, event: &LinkEvent) {
        match event {
            LinkEvent::Up(caps) => {
                let hourly_s = match &caps.airtime {
                    Airtime::Free => None,
                    Airtime::Metered(metered) => Some(metered.hourly.as_secs()),
                };
                debug!(link = self.link_name(link), mtu = caps.mtu, air_s_per_hour = hourly_s, "link is up");
            }
            LinkEvent::Down => debug!(link = self.link_name(link), "link is down"),
            LinkEvent::Refused { token, reason } => {
                debug!(link = self.link_name(link), token, ?reason, "datagram refused");
            }
            other => tracing::trace!(link = self.link_name(link), ?other, "link"),
        }
    }

    pub(super) fn link_name(&self, link: LinkId) -> &str {
        self.links.name(link)
    }

    fn peer_name(&self, key: &PublicKey) -> String {
        self.roster.name(key)
    }
}

/// Whether the service manager's line may read otherwise after it. That line is of the network as a whole, and what happens
/// often in one with many peers has no part in it.
const fn may_change_line(event: &Event) -> bool {
    !matches!(
        event,
        Event::Rekeyed { .. }
            | Event::PathChanged { .. }
            | Event::HandshakeTimedOut { .. }
            | Event::Stranded { .. }
            | Event::PingAnswered { .. }
            | Event::PingLost { .. }
    )
}
