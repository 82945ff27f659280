//! Parts become packets again, and what is lost of them is asked for.
//!
//! A part is not authenticated; only the whole is. So any part may be forged by whoever can send from the peer's address,
//! and what that can do is bounded: the first part of a packet fixes its shape, a part that contradicts it or is there
//! already changes nothing, packets are bounded in number, bytes and time, and questions in number per packet and in rate.
//! Where room is needed, the packet with the fewest parts gives way first, so that single forged parts do not push out what
//! is nearly complete. A forged part that fits in spoils the packet that it is of, no other.
//!
//! It asks when nothing came for a time ([`Patience::silence`]), or at once when the last part under way came and others are
//! missing. A [`Reassembler`] belongs to one session and ends with it.

mod packet;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::fragment::Part;
use crate::limit::Bucket;
use packet::Packet;

/// The most packets that are incomplete at one time.
const MAX_PACKETS: usize = 8;
/// The most bytes that their chunks take.
const MAX_BYTES: usize = 16 * 1024;
/// How many packets are remembered as complete, so that a part that comes again does not start anew.
const MAX_DONE: usize = 32;
/// For how many lifetimes.
const DONE_LIFETIMES: u32 = 4;
/// How many questions may go at once; then two every silence: more than a stream of packets needs of which a tenth is lost,
/// and a tenth of the air at the most.
const ASK_BURST: u32 = 12;
const ASKS_PER_SILENCE: u32 = 2;

/// Which parts of a packet are wanted again. It travels sealed in the session of the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// The low 16 bits of the packet's counter.
    pub counter_low: u16,
    /// Bit n (from the lowest) is set if part n is wanted.
    pub bitmap: u16,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// When nothing came for this long, what is missing is asked for; doubled with each question that brings nothing. Twice
    /// what a part of full length takes, waiting for the channel included, is a good value.
    pub silence: Duration,
    /// A packet of which nothing came for this long is given up. It must be longer than all questions take.
    pub lifetime: Duration,
}

/// What became of a part.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its packet is complete.
    Whole {
        /// The low 16 bits of its counter.
        counter_low: u16,
        /// Ciphertext and authentication tag.
        sealed: Vec<u8>,
    },
    /// Its packet lacks others.
    Kept,
    /// It was there already, contradicts what is, or found no room.
    Refused,
}

/// The incomplete packets of one session.
#[derive(Debug)]
pub struct Reassembler {
    patience: Patience,
    packets: BTreeMap<u16, Packet>,
    done: VecDeque<(u16, Instant)>,
    asks: Bucket,
    given_up: u64,
}

impl Reassembler {
    /// Makes an empty one.
    #[must_use]
    pub fn new(patience: Patience) -> Self {
        Self {
            patience,
            packets: BTreeMap::new(),
            done: VecDeque::new(),
            asks: Bucket::new(ASK_BURST, patience.silence / ASKS_PER_SILENCE),
            given_up: 0,
        }
    }

    /// Takes a part.
    pub fn push(&mut self, part: &Part<'_>, now: Instant) -> Outcome {
        self.handle_timeout(now);
        let counter_low = part.counter_low;
        if self.done.iter().any(|&(done, _)| done == counter_low) {
            return Outcome::Refused;
        }
        let silence = self.patience.silence;
        let packet = self.packets.entry(counter_low).or_insert_with(|| Packet::new(part, now));
        if !packet.add(part, silence, now) {
            return Outcome::Refused;
        }
        if let Some(sealed) = packet.whole() {
            self.packets.remove(&counter_low);
            return Outcome::Whole { counter_low, sealed };
        }
        self.make_room();
        if self.packets.contains_key(&counter_low) { Outcome::Kept } else { Outcome::Refused }
    }

    /// Returns whether a packet that was sealed before the one with these bits of its counter is incomplete, and may still be
    /// asked for.
    #[must_use]
    pub fn awaits_before(&self, counter_low: u16) -> bool {
        let is_before = |other: u16| other != counter_low && counter_low.wrapping_sub(other) < 1 << 15;
        self.packets.iter().any(|(&other, packet)| is_before(other) && packet.ask_at().is_some())
    }

    /// Takes note that a whole packet authenticated: its parts are of no use any more. One that did not may be made up
    /// again from parts that come again.
    pub fn accepted(&mut self, counter_low: u16, now: Instant) {
        if self.done.len() == MAX_DONE {
            self.done.pop_front();
        }
        self.done.push_back((counter_low, now));
    }

    /// Returns a question that is due, if any; to be called until there is none.
    pub fn poll_missing(&mut self, now: Instant) -> Option<Missing> {
        let silence = self.patience.silence;
        let due = |packet: &Packet| packet.ask_at().is_some_and(|at| at <= now);
        let (&counter_low, packet) = self.packets.iter_mut().find(|(_, packet)| due(packet))?;
        if !self.asks.take(now) {
            // Too many: all that are due wait.
            for packet in self.packets.values_mut().filter(|packet| due(packet)) {
                packet.put_off(now + silence);
            }
            return None;
        }
        Some(Missing { counter_low, bitmap: packet.ask(silence, now) })
    }

    /// Gives up what is too old.
    pub fn handle_timeout(&mut self, now: Instant) {
        let (before, lifetime) = (self.packets.len(), self.patience.lifetime);
        self.packets.retain(|_, packet| now < packet.heard() + lifetime);
        self.given_up += u64::try_from(before - self.packets.len()).unwrap_or(0);
        self.done.retain(|&(_, at)| now < at + lifetime * DONE_LIFETIMES);
    }

    /// Returns when to call [`Reassembler::handle_timeout`] and [`Reassembler::poll_missing`] next, if nothing comes before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let lifetime = self.patience.lifetime;
        self.packets
            .values()
            .map(|packet| {
                (packet.heard() + lifetime).min(packet.ask_at().unwrap_or(packet.heard() + lifetime))
            })
            .min()
    }

    /// Returns how many packets were given up so far, for whatever reason.
    #[must_use]
    pub const fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Returns how many bytes the chunks of incomplete packets take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.packets.values().map(Packet::bytes).sum()
    }

    /// Gives up packets while there are too many: those with the fewest parts first, of these the oldest.
    fn make_room(&mut self) {
        while self.packets.len() > MAX_PACKETS || self.bytes() > MAX_BYTES {
            let weakest = self.packets.iter().min_by_key(|(_, packet)| (packet.parts(), packet.heard()));
            let Some(counter_low) = weakest.map(|(&counter_low, _)| counter_low) else { return };
            self.packets.remove(&counter_low);
            self.given_up += 1;
        }
    }
}

#[cfg(test)]
mod tests;
