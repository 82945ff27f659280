//! How long packets over a metered link may be.

use std::time::Duration;

use super::super::Node;
use super::super::links::LinkState;
use super::super::wireguard::packet_of;
use crate::aead::TAG_LEN;
use crate::frame::Packet;
use crate::link::LinkId;
use crate::terse::fragment::PART_HEADER;

/// A packet longer than what takes so long to send keeps everything else from the air: its sender is told to make shorter
/// ones.
const LONGEST: Duration = Duration::from_secs(6);
/// What every host must be able to send (RFC 791), and what IPv6 demands of a link.
const LEAST_V4: usize = 576;
const LEAST_V6: usize = 1280;
/// What a TCP segment over IPv4 loses to compression, with timestamps, until both ends know its flow: 52 bytes become 26, with
/// the announcement of the flow.
const HEADERS_SAVED: usize = 52 - 26;

/// The longest packet, but for what the interface takes, on a link that has to carry `least` bytes.
fn longest(state: &LinkState, least: usize) -> usize {
    let room = state.mtu().saturating_sub(PART_HEADER).max(1);
    let part = state.datagram_price(state.mtu()) + state.access();
    let in_time = usize::try_from(LONGEST.as_micros() / part.as_micros().max(1)).unwrap_or(usize::MAX);
    let enough = (least + TAG_LEN - HEADERS_SAVED).div_ceil(room);
    let parts = in_time.clamp(1, 16).max(enough);
    (parts * room + HEADERS_SAVED - TAG_LEN).max(least)
}

impl Node {
    /// Returns how long the packet of a frame may be on a metered link, if it is longer and its sender can be told so.
    pub(in crate::node) fn metered_mtu(&self, link: LinkId, frame: &[u8]) -> Option<u16> {
        let packet = Packet::parse(packet_of(frame)).ok()?;
        let v4 = packet.source.is_ipv4();
        // What may be fragmented on the way is not answered; it goes as it is.
        if v4 && packet.bytes.get(6).is_none_or(|flags| flags & 0x40 == 0) {
            return None;
        }
        let most = self.longest_packet(link, v4)?;
        (packet.bytes.len() > most).then(|| u16::try_from(most).unwrap_or(u16::MAX))
    }

    /// Returns how long packets over a metered link may be: so that none takes it for longer than a few seconds, but what
    /// every link must carry; and in either case so long that its parts are full.
    pub(in crate::node) fn longest_packet(&self, link: LinkId, v4: bool) -> Option<usize> {
        let state = self.links.get(&link)?;
        Some(longest(state, if v4 { LEAST_V4 } else { LEAST_V6 }).min(self.mtu))
    }

    /// Returns how long IPv4 packets may be on the present path to a peer, if it is a metered one; for routes.
    #[must_use]
    pub fn metered_path_mtu(&self, key: &crate::key::PublicKey) -> Option<u16> {
        let (link, _) = self.path(self.peers.find(key)?)?;
        let metered = !self.is_free(link);
        self.longest_packet(link, true).filter(|_| metered).and_then(|mtu| u16::try_from(mtu).ok())
    }
}
