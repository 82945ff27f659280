//! Onto links where air is free: packets are sealed as they come, straight into rows of datagrams that are WireGuard to
//! the byte (the WireGuard paper, section 5.4).

use std::time::{Duration, Instant};

use super::Node;
use super::peer::Keying;
use super::wireguard::packet_of;
use crate::aead::{Row, TAG_LEN};
use crate::event::DropReason;
use crate::link::{Class, LinkAddr, LinkId};
use crate::offload::{Offload, Segmenter};
use crate::path::Sent;
use crate::queue::{Original, PeerIndex};
use crate::wg::message::{
    COOKIE_REPLY_LEN, DATA_HEADER, INIT_NOISE, Init, PADDING, RESPONSE_NOISE, Response,
};
use crate::wg::session::Sealing;
use crate::wg::tunnel::Content;

/// The first bytes of a data message: its type, and three that are zero.
const DATA: [u8; 4] = [4, 0, 0, 0];

impl Node {
    /// Seals the packets that a frame stands for, and puts them on their way.
    pub(super) fn seal_free(
        &mut self,
        at: PeerIndex,
        (link, to): (LinkId, LinkAddr),
        frame: &[u8],
        offload: Offload,
        now: Instant,
    ) {
        let segments = self.segments(link);
        let Ok(mut packets) = Segmenter::new(frame, offload, self.mtu) else {
            return self.account.count(at, DropReason::MalformedFrame);
        };
        let Self { peers, outbox, aead, account, mtu, .. } = self;
        let peer = &mut peers[at];
        let Keying::Wireguard(wireguard) = &mut peer.keying else { return };
        let Some(mut sealing) = wireguard.tunnel.sealing(Content::Data, now) else {
            return account.count_many(at, DropReason::NoSession, count(packets.remaining()));
        };
        let (mut datagrams, mut bytes) = (0, 0);
        let mut original = None;
        while packets.remaining() > 0 {
            // All have the length of the first, but for the last, which may be shorter.
            let segment = DATA_HEADER + padded(packets.next_len(), *mtu) + TAG_LEN;
            let row = outbox.rows(link, to, segment, segments, Class::Bulk);
            let row = row.map(|(row, room)| (row, packets.remaining().min(room)));
            let first = row.as_ref().and_then(|(_, many)| sealing.counters(count(*many)));
            let (Some((row, many)), Some(first)) = (row, first) else {
                account.count_many(at, DropReason::QueueOverflow, count(packets.remaining()));
                break;
            };
            original.get_or_insert(Original { session: sealing.index, counter: first });
            let start = row.len();
            for counter in (first..).take(many) {
                let len = packets.next_len();
                let out = begin(row, &sealing, counter, padded(len, *mtu));
                packets.write(&mut out[..len]);
                peer.sent.packets += 1;
                peer.sent.bytes += count(len);
            }
            bytes += row.len() - start;
            datagrams += count(many);
            let row = Row { bytes: &mut row[start..], segment, head: DATA_HEADER };
            aead.seal_all(sealing.key, first, row);
        }
        peer.sent.datagrams += datagrams;
        if wireguard.paths.is_silent(now) {
            // Counters of one frame are in a row: nothing else was sealed in between.
            if let (Some(first), Ok(packets)) = (original, Segmenter::new(frame, offload, *mtu)) {
                let doubtful = wireguard.doubtful.get_or_insert_default();
                doubtful.keep_row(frame, packets, (first, datagrams), now);
            }
        } else if wireguard.doubtful.is_some() {
            wireguard.doubtful = None;
        }
        wireguard.sessions.sealed = true;
        wireguard.paths.sent(link, to, Sent::Packet, bytes, Duration::ZERO, now);
    }

    /// Seals a plaintext of ours, and puts it on its way. Returns whether it could.
    pub(super) fn send_free(
        &mut self,
        at: PeerIndex,
        (link, to): (LinkId, LinkAddr),
        plaintext: &[u8],
        content: Content,
        now: Instant,
    ) -> bool {
        let segments = self.segments(link);
        let Self { peers, outbox, aead, mtu, .. } = self;
        let peer = &mut peers[at];
        let Keying::Wireguard(wireguard) = &mut peer.keying else { return false };
        let Some(mut sealing) = wireguard.tunnel.sealing(content, now) else { return false };
        let body = padded(plaintext.len(), *mtu);
        let row = outbox.row(link, to, DATA_HEADER + body + TAG_LEN, segments, Class::Bulk);
        let (Some(row), Some(counter)) = (row, sealing.counter()) else { return false };
        let out = begin(row, &sealing, counter, body);
        out[..plaintext.len()].copy_from_slice(plaintext);
        let (body, tag) = out.split_at_mut(body);
        tag.copy_from_slice(&aead.seal(sealing.key, counter, &[], body));
        peer.sent.datagrams += 1;
        let bytes = DATA_HEADER + body.len() + TAG_LEN;
        let what = if content == Content::Data { Sent::Packet } else { Sent::Control };
        wireguard.paths.sent(link, to, what, bytes, Duration::ZERO, now);
        true
    }

    /// Sends an initiation in WireGuard's own framing.
    pub(super) fn send_stock_init(
        &mut self,
        at: PeerIndex,
        path: (LinkId, LinkAddr),
        sender: u32,
        noise: &[u8; INIT_NOISE],
        now: Instant,
    ) {
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return };
        let mut message = Init { sender, noise: *noise, mac1: [0; 16], mac2: [0; 16] }.emit();
        wireguard.handshakes().cookies.stamp(&mut message, now);
        wireguard.tunnel.note_left(sender, Some(now));
        self.send_message(at, path, &message, now);
    }

    /// Answers an initiation in WireGuard's own framing.
    pub(super) fn send_stock_response(
        &mut self,
        at: PeerIndex,
        path: (LinkId, LinkAddr),
        (sender, receiver): (u32, u32),
        noise: &[u8; RESPONSE_NOISE],
        now: Instant,
    ) {
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return };
        let mut message = Response { sender, receiver, noise: *noise, mac1: [0; 16], mac2: [0; 16] }.emit();
        wireguard.handshakes().cookies.stamp(&mut message, now);
        self.send_message(at, path, &message, now);
    }

    fn send_message(&mut self, at: PeerIndex, (link, to): (LinkId, LinkAddr), message: &[u8], now: Instant) {
        let Some(row) = self.outbox.row(link, to, message.len(), 1, Class::Handshake) else {
            return self.account.count(at, DropReason::QueueOverflow);
        };
        row.extend_from_slice(message);
        let peer = &mut self.peers[at];
        peer.sent.datagrams += 1;
        if let Keying::Wireguard(wireguard) = &mut peer.keying {
            wireguard.paths.sent(link, to, Sent::Handshake, message.len(), Duration::ZERO, now);
        }
    }

    /// Sends a cookie to somebody who may be anybody.
    pub(super) fn send_cookie(&mut self, (link, to): (LinkId, LinkAddr), reply: &[u8; COOKIE_REPLY_LEN]) {
        if let Some(row) = self.outbox.row(link, to, reply.len(), 1, Class::Handshake) {
            row.extend_from_slice(reply);
        }
    }

    fn segments(&self, link: LinkId) -> u16 {
        self.links.get(&link).and_then(|state| state.caps.as_ref()).map_or(1, |caps| caps.segments.max(1))
    }

    /// Takes a frame for a WIREGUARD peer whose path is free and whose session stands; returns whether it was that simple.
    pub(super) fn device_free(
        &mut self,
        at: PeerIndex,
        frame: &[u8],
        offload: Offload,
        now: Instant,
    ) -> bool {
        use crate::wg::tunnel::{Readiness, Tunnel};
        let Some(path) = self.path(at).filter(|(link, _)| self.is_free(*link)) else { return false };
        if packet_of(frame).is_empty()
            || self.with_tunnel(at, now, Tunnel::readiness) != Some(Readiness::Ready)
        {
            return false;
        }
        self.seal_free(at, path, frame, offload, now);
        true
    }
}

/// Packets are padded, but never beyond the interface's MTU.
fn padded(len: usize, mtu: usize) -> usize {
    len.next_multiple_of(PADDING).min(mtu.max(len))
}

/// Begins a data message at the end of a row; returns where its body (zeros so far) and tag go.
fn begin<'a>(row: &'a mut Vec<u8>, sealing: &Sealing<'_>, counter: u64, body: usize) -> &'a mut [u8] {
    let start = row.len();
    row.extend_from_slice(&DATA);
    row.extend_from_slice(&sealing.receiver.to_le_bytes());
    row.extend_from_slice(&counter.to_le_bytes());
    row.resize(start + DATA_HEADER + body + TAG_LEN, 0);
    &mut row[start + DATA_HEADER..]
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
