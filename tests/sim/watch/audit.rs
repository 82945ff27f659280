//! The account of a node: nothing is missing, and what waits is bounded.

use std::time::Instant;

use meshnet_proto::event::{DropReason, Snapshot};

use super::Watch;
use crate::station::Station;

impl Watch {
    /// Checks a node's account.
    ///
    /// # Errors
    /// If a packet is missing, or too much waits.
    pub fn audit(
        &self,
        at: usize,
        station: &Station,
        snapshot: &Snapshot,
        now: Instant,
    ) -> Result<(), String> {
        self.pings.audit(at, station.lives, now)?;
        for (reason, total) in &snapshot.drops {
            let of_peers: u64 = snapshot.peers.iter().filter_map(|peer| peer.drops.get(reason)).sum();
            if of_peers > *total {
                return Err(format!("station {at} dropped {total} for {reason:?}, {of_peers} of its peers'"));
            }
        }
        self.audit_packets(at, station, snapshot)
    }

    fn audit_packets(&self, at: usize, station: &Station, snapshot: &Snapshot) -> Result<(), String> {
        use DropReason as D;
        const BEFORE: [DropReason; 10] = [
            D::MalformedFrame,
            D::Noise,
            D::NoRoute,
            D::TooBig,
            D::HandshakeBacklog,
            D::HandshakeTimeout,
            D::Unresolved,
            D::TcpDuplicate,
            D::AckSuperseded,
            D::BulkOverRadio,
        ];
        /// These also count what was sealed already, or what came from a link.
        const PERHAPS: [DropReason; 7] =
            [D::NoPath, D::QueueOverflow, D::Expired, D::LinkDown, D::Refused, D::NoSession, D::PeerRemoved];
        let sum = |reasons: &[DropReason]| -> u64 {
            reasons.iter().map(|reason| snapshot.drops.get(reason).copied().unwrap_or(0)).sum()
        };
        let waiting: usize = snapshot.peers.iter().map(|peer| peer.waiting).sum();
        let queued: usize = snapshot.links.iter().flat_map(|link| link.queued.values()).sum();
        if snapshot.peers.iter().any(|peer| peer.waiting > 32) || queued > 256 {
            return Err(format!("{waiting} frames wait for peers and {queued} for the link at {at}"));
        }
        let handed = station.handed;
        let sent: u64 = snapshot.peers.iter().map(|peer| peer.sent.packets).sum();
        let sent = sent + station.sent_to_removed;
        let known = sent + sum(&BEFORE);
        let held = u64::try_from(waiting + queued).unwrap_or(u64::MAX);
        if known > handed || handed > known + held + sum(&PERHAPS) {
            return Err(format!(
                "station {at}: {handed} packets handed in, {sent} sent, {held} wait, drops {:?}",
                snapshot.drops
            ));
        }
        Ok(())
    }
}
