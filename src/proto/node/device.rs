//! From the interface: what the kernel sends into its imagined Ethernet.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ipnet::IpNet;

use super::Node;
use super::peer::Keying;
use crate::event::DropReason;
use crate::frame::{Arp, ETHERNET_HEADER, Frame, Inner, Mac, Packet, protocol};
use crate::icmp;
use crate::link::LinkAddr;
use crate::neighbour::{self, Discovery};
use crate::offload::{Offload, Segmenter};
use crate::queue::PeerIndex;

/// The MAC address at which the kernel finds what is nowhere: frames there are answered by ICMP.
pub(super) const NOWHERE: Mac = [0x02, 0, 0, 0, 0, 0];

impl Node {
    /// Takes an Ethernet frame from the interface.
    pub fn handle_device(&mut self, frame: &[u8], now: Instant) {
        self.handle_device_offload(frame, Offload::default(), now);
    }

    /// Takes an Ethernet frame from the interface, and what the kernel left to do for it.
    pub fn handle_device_offload(&mut self, frame: &[u8], offload: Offload, now: Instant) {
        self.handle_device_row(frame, offload, now);
        self.handle_device_end();
    }

    /// [`Self::handle_device_offload`] of one frame of several that come in a row: after the last, and before anything else is
    /// done with the node, call [`Self::handle_device_end`]. What packets to one peer change is carried out once for all then.
    pub fn handle_device_row(&mut self, frame: &[u8], offload: Offload, now: Instant) {
        let handled = match Frame::parse(frame) {
            Ok(Frame { inner: Inner::Arp(arp), .. }) => self.device_arp(&arp, frame, now),
            Ok(Frame { inner: Inner::Ip(packet), destination, source }) => {
                self.device_packet(&packet, destination, source, (frame, offload), now)
            }
            Ok(Frame { inner: Inner::Other, .. }) => Err(DropReason::Noise),
            Err(_) => Err(DropReason::MalformedFrame),
        };
        if let Err(reason) = handled {
            self.account.count_nobodys(reason);
        }
    }

    /// A row of frames is over.
    pub fn handle_device_end(&mut self) {
        self.settle_sealed();
    }

    /// The kernel asks for a MAC address: it is told one for every address, so that it learns by ICMP, at once, what goes
    /// nowhere. An answer of the kernel's is to a peer's question about a host behind us.
    fn device_arp(&mut self, arp: &Arp, frame: &[u8], now: Instant) -> Result<(), DropReason> {
        let announces = arp.sender == arp.target || arp.sender.is_unspecified();
        if announces || self.is_ours(arp.target.into()) {
            return Err(DropReason::Noise);
        }
        if !arp.is_request {
            let (_, at) = self.routes.find(arp.target.into()).ok_or(DropReason::NoRoute)?;
            self.send_control(at, frame.to_vec(), now);
            return Ok(());
        }
        let answer = neighbour::arp_answer(arp, arp.target, self.mac_towards(arp.target.into()));
        self.push_device(answer);
        Ok(())
    }

    fn device_packet(
        &mut self,
        packet: &Packet<'_>,
        destination: Mac,
        source: Mac,
        (frame, offload): (&[u8], Offload),
        now: Instant,
    ) -> Result<(), DropReason> {
        if let Some(discovery) = Discovery::parse(packet) {
            return self.device_discovery(packet, discovery, source);
        }
        if is_noise(packet) {
            return Err(DropReason::Noise);
        }
        if packet.bytes.len() > self.mtu && offload.segments.is_none() {
            return Err(DropReason::TooBig);
        }
        let Some((prefix, at)) = self.routes.find(packet.destination) else {
            self.answer_unreachable(packet, source, now);
            return Err(DropReason::NoRoute);
        };
        let many = packet.destination.is_multicast() || !neighbour::is_unicast(&destination);
        if many && !is_for_many(&prefix) {
            return Err(DropReason::Noise);
        }
        if is_default(&prefix) && self.would_carry_itself(at, packet, now) {
            return Err(DropReason::Loop);
        }
        let frame = &frame[..ETHERNET_HEADER + packet.bytes.len()];
        if self.device_free(at, frame, offload, now) {
            self.settle_later(at, now);
            return Ok(());
        }
        self.admit_each(at, frame, offload, now)?;
        self.settle(at, now);
        Ok(())
    }

    /// Whether a packet is a link's own, on its way to an address of the peer that the default route leads to: when every other
    /// way out is gone, the kernel takes this one. Any user of this host can send such a thing: it is a reason to doubt, no more.
    fn would_carry_itself(&mut self, at: PeerIndex, packet: &Packet<'_>, now: Instant) -> bool {
        let Some((_, port)) = packet.ports().filter(|_| packet.protocol == protocol::UDP) else {
            return false;
        };
        let to = LinkAddr::udp(SocketAddr::new(packet.destination, port));
        let Keying::Wireguard(wireguard) = &mut self.peers[at].keying else { return false };
        let Some(link) = wireguard.paths.link_to(to) else { return false };
        // Without a session a doubt would be a change of path.
        if wireguard.tunnel.can_seal(now) {
            wireguard.paths.refused(link, to, now);
            self.settle(at, now);
        }
        true
    }

    /// Admits the packets that a frame stands for one by one.
    pub(super) fn admit_each(
        &mut self,
        at: PeerIndex,
        frame: &[u8],
        offload: Offload,
        now: Instant,
    ) -> Result<(), DropReason> {
        let mut packets = Segmenter::new(frame, offload, self.mtu).map_err(|_| DropReason::MalformedFrame)?;
        while packets.remaining() > 0 {
            let single = next_frame(frame, &mut packets).ok_or(DropReason::MalformedFrame)?;
            self.admit(at, single, None, now);
        }
        Ok(())
    }

    /// Tells the sender of a frame's packet how long it may be.
    pub(super) fn tell_too_big(&mut self, frame: &[u8], mtu: u16, now: Instant) {
        let Ok(Frame { inner: Inner::Ip(packet), .. }) = Frame::parse(frame) else { return };
        if !self.unreachables.take(now) {
            return;
        }
        let from = self.mac_towards(packet.destination);
        if let Some(answer) = icmp::too_big(&packet, mtu, self.mac, from) {
            self.push_device(answer);
        }
    }

    fn device_discovery(
        &mut self,
        packet: &Packet<'_>,
        discovery: Discovery,
        source: Mac,
    ) -> Result<(), DropReason> {
        match (discovery, packet.source) {
            (Discovery::Solicitation { target }, IpAddr::V6(asker)) if !asker.is_unspecified() => {
                let mac = self.mac_towards(target.into());
                self.push_device(neighbour::discovery_answer(source, asker, target, mac));
                Ok(())
            }
            // The kernel tells or probes its own addresses: nobody needs to know.
            _ => Err(DropReason::Noise),
        }
    }

    fn mac_towards(&self, address: IpAddr) -> Mac {
        self.routes.find(address).map_or(NOWHERE, |(_, at)| neighbour::mac_of(&self.peers[at].public_key))
    }

    /// Tells the sender of a packet that it goes nowhere.
    pub(super) fn answer_unreachable(&mut self, packet: &Packet<'_>, source: Mac, now: Instant) {
        if !self.unreachables.take(now) {
            return;
        }
        let from = self.mac_towards(packet.destination);
        if let Some(answer) = icmp::host_unreachable(packet, source, from) {
            self.push_device(answer);
        }
    }

    /// Drops a frame for a peer that got stuck on its way, and says so to its sender.
    pub(super) fn drop_frame(&mut self, at: PeerIndex, frame: &[u8], reason: DropReason, now: Instant) {
        self.account.count(at, reason);
        if let Some(token) = self.own_ping(at, frame) {
            return self.lose_ping(token);
        }
        if let Ok(Frame { inner: Inner::Ip(packet), .. }) = Frame::parse(frame) {
            let to = self.mac;
            self.answer_unreachable(&packet, to, now);
        }
    }
}

/// Returns the next packet that a frame stands for in a frame of its own.
pub(super) fn next_frame(frame: &[u8], packets: &mut Segmenter<'_>) -> Option<Vec<u8>> {
    let mut single = frame.get(..ETHERNET_HEADER)?.to_vec();
    single.resize(ETHERNET_HEADER + packets.next_len(), 0);
    packets.write(&mut single[ETHERNET_HEADER..])?;
    Some(single)
}

/// Whether a prefix is the way for whatever has no other: all addresses, or one half of them, as those write it who want it to
/// go before the route that there is.
pub(super) fn is_default(prefix: &IpNet) -> bool {
    prefix.prefix_len() <= 1
}

/// Multicast and broadcast prefixes are meant for many hosts; a default route is not.
fn is_for_many(prefix: &IpNet) -> bool {
    prefix.network().is_multicast() && prefix.prefix_len() >= 4
}

/// Router and neighbour discovery, redirects and listener reports of IPv6: a host's affair with its own link.
pub(super) fn is_link_chatter(packet: &Packet<'_>) -> bool {
    packet.protocol == protocol::ICMPV6 && matches!(packet.payload.first(), Some(130..=137 | 143))
}

/// What no radio should carry, whatever the AllowedIPs say: the chatter of a host about its link.
fn is_noise(packet: &Packet<'_>) -> bool {
    const MDNS: u16 = 5353;
    const LLMNR: u16 = 5355;
    const SSDP: u16 = 1900;
    const WS_DISCOVERY: u16 = 3702;
    const DHCP: [u16; 4] = [67, 68, 546, 547];
    if matches!(packet.destination, IpAddr::V4(address) if address.is_broadcast()) {
        return true;
    }
    let many = packet.destination.is_multicast();
    match packet.protocol {
        protocol::IGMP => true,
        protocol::ICMPV6 => is_link_chatter(packet),
        protocol::UDP => packet.ports().is_some_and(|(_, port)| {
            many && [MDNS, LLMNR, SSDP, WS_DISCOVERY].contains(&port) || DHCP.contains(&port)
        }),
        _ => false,
    }
}
