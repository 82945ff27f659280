//! The law of the region: how much air a radio may take in any hour.

use std::collections::VecDeque;
use std::time::Duration;

use meshnet_radiosim::LedgerEntry;

use super::{Watch, station_of};

const HOUR: f64 = 3600.0;
/// Packets that a radio may have queued when it finds its hour spent.
const QUEUED: f64 = 4.0;

/// The air that a radio used within the last hour.
#[derive(Debug, Default)]
pub(super) struct Law {
    sent: VecDeque<Sent>,
    sum: f64,
    own: f64,
    /// When the radio, and when the daemon, last forgot what was sent.
    pub(super) radio_forgot: Option<f64>,
    pub(super) daemon_forgot: Option<f64>,
}

/// A transmission: its start in seconds, its air, and that again if the packet was the radio's own or its host's.
#[derive(Debug, Clone, Copy)]
struct Sent {
    time: f64,
    air: f64,
    own: f64,
}

impl Law {
    /// Takes a transmission that ended now, and forgets those before the last hour.
    fn push(&mut self, sent: Sent, now: f64) {
        self.sent.push_back(sent);
        (self.sum, self.own) = (self.sum + sent.air, self.own + sent.own);
        while let Some(old) = self.sent.front().copied().filter(|old| old.time + HOUR < now) {
            (self.sum, self.own) = (self.sum - old.air, self.own - old.own);
            self.sent.pop_front();
        }
    }
}

impl Watch {
    /// A radio has sent.
    ///
    /// # Errors
    /// If it broke the law.
    pub fn handle_transmission(&mut self, entry: &LedgerEntry) -> Result<(), String> {
        let at = station_of(entry.sender.0).ok_or("a radio of nobody's sends")?;
        let line = format!(
            "   air: {} → {} {:?} {} bytes, {:.0} ms, heard by {:?}",
            entry.sender,
            entry.to,
            entry.kind,
            entry.bytes,
            entry.airtime_ms,
            entry.delivered.len()
        );
        let when = self.start + Duration::from_secs_f64(entry.time);
        self.note(when, line);
        self.relayed += u64::from(entry.kind == meshnet_radiosim::Kind::Relay);
        let law = &mut self.laws[at];
        let (air, end) = (entry.airtime_ms / 1000.0, entry.time + entry.airtime_ms / 1000.0);
        let own = if entry.from == entry.sender { air } else { 0.0 };
        law.push(Sent { time: entry.time, air, own }, end);
        let lately = |at: Option<f64>| at.is_some_and(|at| at + HOUR > end && at > 0.0);
        // Each of the two remembers for the other, unless both forgot within the hour; the tool keeps no account.
        let excused =
            self.duty >= 1.0 || self.tools[at] || lately(law.radio_forgot) && lately(law.daemon_forgot);
        let limit = self.duty * HOUR;
        // What it relays for others is the radio's business, and it looks at its account before it queues a packet.
        if !excused && (law.own > limit || law.sum > limit + QUEUED * air) {
            return Err(format!(
                "radio {at} sent for {:.1} s within an hour, {:.1} s its own",
                law.sum, law.own
            ));
        }
        Ok(())
    }

    /// Returns how long a station's radio sent within the last hour, as of its last transmission.
    #[must_use]
    pub fn sent_in_hour(&self, at: usize) -> f64 {
        self.laws[at].sum
    }
}
