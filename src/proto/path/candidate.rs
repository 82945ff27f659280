//! One way to a peer: an address of the peer's on one of our links, with what speaks for and against it, and what it cost.

use std::time::{Duration, Instant};

use super::words::{Origin, Quality};
use crate::link::{LinkAddr, LinkId};

/// Probes that the loss is of.
const REMEMBERED: u32 = u32::BITS;
/// How many quiet checks make a path that lost probes a clean one again.
const LOSSY: u8 = 32;
/// A path whose answers take no longer than this is judged faster.
const FAST: Duration = Duration::from_millis(100);

/// What was sent by one path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Datagrams, of whatever kind.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The air that they took, in microseconds.
    pub airtime_us: u64,
}

/// See the module's introduction.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) link: LinkId,
    pub(super) to: LinkAddr,
    pub(super) origin: Origin,
    /// An answer came through it once: it may carry traffic.
    pub(super) proven: bool,
    /// Evidence speaks against it, and nothing authentic came by it since.
    pub(super) dead: bool,
    /// It loses probes though it works: judged with more patience until this many checks were quiet.
    lossy: u8,
    samples: u8,
    count: u8,
    rtt_us: u32,
    /// The shortest of them: what the way itself takes. A question that waited for a neighbour to be found says nothing of it.
    least_us: u32,
    /// The last probes, the latest in the lowest bit: 1 is lost.
    lost: u32,
    pub(super) heard_at: Option<Instant>,
    pub(super) cost: Cost,
    /// As long as its link is up.
    pub(super) quality: Option<Quality>,
}

impl Candidate {
    pub(super) const fn new(link: LinkId, to: LinkAddr, origin: Origin, quality: Option<Quality>) -> Self {
        Self {
            link,
            to,
            origin,
            proven: false,
            dead: false,
            lossy: 0,
            samples: 0,
            count: 0,
            rtt_us: 0,
            least_us: u32::MAX,
            lost: 0,
            heard_at: None,
            cost: Cost { packets: 0, bytes: 0, airtime_us: 0 },
            quality,
        }
    }

    pub(super) const fn key(&self) -> (LinkId, LinkAddr) {
        (self.link, self.to)
    }

    pub(super) const fn is_up(&self) -> bool {
        self.quality.is_some()
    }

    /// Whether it may carry traffic: nobody can make us send to a place that neither the operator nor an answer vouches for.
    pub(super) fn is_usable(&self) -> bool {
        self.is_up() && (self.proven || self.origin == Origin::Configured)
    }

    pub(super) fn is_free(&self) -> bool {
        self.quality.is_some_and(|quality| !quality.metered)
    }

    pub(super) fn is_metered(&self) -> bool {
        self.quality.is_some_and(|quality| quality.metered)
    }

    pub(super) fn link_cost(&self) -> u32 {
        self.quality.map_or(u32::MAX, |quality| quality.cost)
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        (self.samples > 0).then(|| Duration::from_micros(self.rtt_us.into()))
    }

    /// The shortest answer so far.
    pub(super) fn least_rtt(&self) -> Option<Duration> {
        (self.samples > 0).then(|| Duration::from_micros(self.least_us.into()))
    }

    pub(super) fn is_fast(&self) -> bool {
        self.lossy == 0 && self.rtt().is_some_and(|rtt| rtt <= FAST)
    }

    /// Whether nothing came by it for so long.
    pub(super) fn was_quiet(&self, long: Duration, now: Instant) -> bool {
        self.heard_at.is_none_or(|heard| now.saturating_duration_since(heard) > long)
    }

    pub(super) const fn is_lossy(&self) -> bool {
        self.lossy > 0
    }

    pub(super) const fn is_well_measured(&self) -> bool {
        self.samples >= 3
    }

    pub(super) fn booked(&mut self, bytes: usize, airtime: Duration) {
        self.cost.packets += 1;
        self.cost.bytes += u64::try_from(bytes).unwrap_or(0);
        self.cost.airtime_us += u64::try_from(airtime.as_micros()).unwrap_or(0);
    }

    /// A probe was answered after `rtt`, which says how long the way is only if it is a `measure`.
    pub(super) fn probe_answered(&mut self, rtt: Duration, measure: bool) {
        if measure {
            let rtt = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
            self.least_us = self.least_us.min(rtt);
            // RFC 6298 section 2.
            self.rtt_us = if self.samples == 0 { rtt } else { self.rtt_us - self.rtt_us / 8 + rtt / 8 };
            self.samples = self.samples.saturating_add(1);
        }
        self.note(0);
    }

    /// How long the way takes is not known any more.
    pub(super) const fn forget_measures(&mut self) {
        self.samples = 0;
        self.least_us = u32::MAX;
    }

    pub(super) fn probe_lost(&mut self) {
        // A dead path loses everything: that is known, and says nothing of what it is like when it works.
        if !self.dead {
            self.note(1);
        }
    }

    fn note(&mut self, lost: u32) {
        self.lost = self.lost << 1 | lost;
        self.count = (self.count + 1).min(32);
    }

    /// A check whether it still works ended well, after so many probes.
    pub(super) const fn checked(&mut self, probes: u8) {
        match probes {
            0 => {}
            1 | 2 => self.lossy = self.lossy.saturating_sub(1),
            _ => self.lossy = LOSSY,
        }
    }

    /// It was given up, and worked all the same.
    pub(super) const fn was_wronged(&mut self) {
        self.lossy = LOSSY;
    }

    /// The share of the last probes that got no answer, 0 to 1.
    pub(super) fn loss(&self) -> Option<f32> {
        let lost = u8::try_from(self.lost.count_ones().min(REMEMBERED)).unwrap_or(u8::MAX);
        (self.count > 0).then(|| f32::from(lost) / f32::from(self.count))
    }
}
