//! What was inside: packets for the interface, if the peer may say what they say.

use std::time::Instant;

use super::Node;
use super::controls::content_of;
use super::device::{NOWHERE, is_link_chatter};
use super::stock::Path;
use crate::control::Control;
use crate::event::DropReason;
use crate::frame::{Packet, ether_type, ethernet};
use crate::offload::Coalescer;
use crate::queue::PeerIndex;
use crate::wg::tunnel::Content;

impl Node {
    /// Says what the interface's driver can do: `tcp`, take rows of TCP segments as one frame; `udp`, of UDP datagrams too.
    pub fn set_device_offload(&mut self, tcp: bool, udp: bool) {
        self.coalescer = tcp.then(|| Coalescer::new(self.mac, NOWHERE, udp));
    }

    /// Takes what was inside a sealed message in WireGuard's own framing: of which session, with which counter.
    pub(super) fn opened(
        &mut self,
        at: PeerIndex,
        path: Path,
        sealed: (u32, u64),
        plaintext: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        match content_of(plaintext) {
            Content::Empty => Ok(()),
            _ if Control::is_control(plaintext) => self.control(at, path, sealed, plaintext, now),
            Content::Control | Content::Data => self.inner(at, plaintext, now),
        }
    }

    /// Hands a packet of a peer's to the interface.
    pub(super) fn inner(&mut self, at: PeerIndex, bytes: &[u8], now: Instant) -> Result<(), DropReason> {
        let packet = Packet::parse(bytes).map_err(|_| DropReason::MalformedInner)?;
        // A peer may be our route to everywhere; it is not our link's router.
        if is_link_chatter(&packet) {
            return Err(DropReason::NotForUs);
        }
        self.may_speak_as(at, packet.source)?;
        let received = &mut self.peers[at].received;
        received.packets += 1;
        received.bytes += u64::try_from(packet.bytes.len()).unwrap_or(0);
        if !self.take_answer(at, &packet, now) {
            self.push_packet(packet.bytes);
        }
        Ok(())
    }

    fn push_packet(&mut self, packet: &[u8]) {
        let Some(coalescer) = &mut self.coalescer else { return self.push_single(packet) };
        if coalescer.push(packet).is_ok() {
            return;
        }
        // The shell takes frames after each row of datagrams; if it does not, they wait here, as many as may.
        while let Some((frame, offload)) = coalescer.poll() {
            let frame = frame.to_vec();
            if self.to_device.len() < super::MAX_DEVICE_FRAMES {
                self.to_device.push_back((frame, offload));
            } else {
                self.account.count_nobodys(DropReason::QueueOverflow);
            }
        }
        if coalescer.push(packet).is_err() {
            self.account.count_nobodys(DropReason::QueueOverflow);
        }
    }

    fn push_single(&mut self, packet: &[u8]) {
        let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
        let mut frame = ethernet(self.mac, NOWHERE, if is_v6 { ether_type::IPV6 } else { ether_type::IPV4 });
        frame.extend_from_slice(packet);
        self.push_device(frame);
    }
}
