//! What waits in the radio for its host, whoever that is: it outlives a connection, but not a reboot.

use std::collections::VecDeque;

use meshnet_proto::meshtastic::message::mesh_packet::Payload;
use meshnet_proto::meshtastic::message::{ClientNotification, MeshPacket, QueueStatus, port};

/// The firmware keeps only two; a third pushes out the oldest.
const MAX_STATUSES: usize = 2;
/// Notifications are for people; few are kept.
const MAX_NOTIFICATIONS: usize = 2;

#[derive(Debug)]
pub(crate) struct ToPhone {
    limit: usize,
    packets: VecDeque<MeshPacket>,
    statuses: VecDeque<QueueStatus>,
    notifications: VecDeque<ClientNotification>,
    /// The host was last told that the transmit queue is full.
    told_full: bool,
    /// Packets that were lost because the host did not read.
    pub(crate) dropped: u64,
}

/// What is handed to the host next.
#[derive(Debug)]
pub(crate) enum Item {
    Status(QueueStatus),
    Notification(ClientNotification),
    Packet(MeshPacket),
}

impl ToPhone {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            packets: VecDeque::new(),
            statuses: VecDeque::new(),
            notifications: VecDeque::new(),
            told_full: false,
            dropped: 0,
        }
    }

    /// Keeps a packet for the host. When too many wait, the new one is lost, but for a text, which displaces the oldest.
    pub(crate) fn push_packet(&mut self, packet: MeshPacket) {
        if self.packets.len() >= self.limit {
            self.dropped += 1;
            if !is_text(&packet) {
                return;
            }
            self.packets.pop_front();
        }
        self.packets.push_back(packet);
    }

    pub(crate) fn push_status(&mut self, status: QueueStatus) {
        if self.statuses.len() >= MAX_STATUSES {
            self.statuses.pop_front();
        }
        self.told_full = status.free == 0;
        self.statuses.push_back(status);
    }

    pub(crate) fn push_notification(&mut self, notification: ClientNotification) {
        if self.notifications.len() >= MAX_NOTIFICATIONS {
            self.notifications.pop_front();
        }
        self.notifications.push_back(notification);
    }

    pub(crate) fn pop(&mut self) -> Option<Item> {
        (self.statuses.pop_front().map(Item::Status))
            .or_else(|| self.notifications.pop_front().map(Item::Notification))
            .or_else(|| self.packets.pop_front().map(Item::Packet))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty() && self.statuses.is_empty() && self.notifications.is_empty()
    }

    /// No packet waits, so that one of the radio's own measurements is welcome.
    pub(crate) fn has_no_packets(&self) -> bool {
        self.packets.is_empty()
    }

    /// True if the host believes that the transmit queue is full.
    pub(crate) fn told_full(&self) -> bool {
        self.told_full
    }
}

fn is_text(packet: &MeshPacket) -> bool {
    matches!(&packet.payload, Some(Payload::Decoded(data)) if data.portnum == port::TEXT_MESSAGE)
}
