//! What two ends learn of each other's TCP flows in a session: segments as differences from an earlier one.
//!
//! The sender announces a segment: it goes compressed as ever, with a slot (0 to 15) in front, and the receiver keeps its
//! header as the slot's base. The next packet in the other direction, whatever it is, carries two bytes that confirm it: the
//! low bits of the announcing packet's counter. From then on, and not before, the sender writes segments of that flow as
//! differences from the base. Since every difference is from a base that the receiver is known to have, never from the
//! packet before, a packet that is lost, repeated or overtaken spoils no other.
//!
//! Invariants:
//! - The sender refers only to slots that are confirmed. It announces a slot again only to forget what it had confirmed.
//! - A receiver that finds a reference with a counter below that of the slot's announcement refuses it: it is a late packet
//!   that means the base before. Announcements that come late are not kept.
//! - Memory is bounded: 16 bases in each direction and [`MAX_CONFIRMS`] confirmations; none of it before the first segment.
//!
//! One [`Flows`] belongs to one session, and ends with it. Only what authenticated and is no replay may come in.

use std::collections::VecDeque;

use super::context::Context;
use super::difference::{self, Fit};
use super::packet::{Packet, Transport};
use super::reader::Reader;
use super::tcp::{Tcp, flag};
use super::{compress_verbatim, ip::Ip};
use crate::aead::TAG_LEN;
use crate::terse::Malformed;
use crate::terse::fragment::PART_HEADER;
use crate::terse::frame::{DATA_HEADER, counter_low};

/// The high 4 bits of a dispatch: a reference to the slot in the low 4.
const REFERENCE: u8 = 0x50;
/// The same: an announcement, then the packet.
const ANNOUNCEMENT: u8 = 0x70;
/// Two bytes of counter that are confirmed, then the packet.
const CONFIRMATION: u8 = 0x11;
/// Slots in each direction.
const SLOTS: usize = 16;
/// How many bytes it takes.
const CONFIRMATION_LEN: usize = 3;
/// What a TCP acknowledgement takes whose flow is not known yet, and its announcement: what can wait makes none longer.
/// Nothing waits for ever: a flow's later acknowledgements are short, and its segments longer than this.
const ACKNOWLEDGEMENT: usize = 26;
/// A confirmation is of no use once so many counters have gone by: its 16 bits might mean another.
const STALE: u64 = 1 << 15;
/// Confirmations that wait for a packet to go with; the oldest gives way.
const MAX_CONFIRMS: usize = 4;
/// How many segments of a flow go after its announcement before it is announced again; doubled each time, up to
/// [`MAX_PATIENCE`].
const PATIENCE: u32 = 4;
const MAX_PATIENCE: u32 = 64;
/// A slot is not taken from a flow that used it within so many packets: more flows than slots would only push each other out.
const BUSY: u64 = 32;

/// The headers that differences are from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base {
    pub(super) ip: Ip,
    pub(super) tcp: Tcp,
}

impl Base {
    fn of(packet: &Packet<'_>) -> Option<Self> {
        match packet.transport {
            Transport::Tcp(tcp) => Some(Self { ip: packet.ip, tcp }),
            _ => None,
        }
    }

    /// Whether another header is of the same flow.
    fn is_of_flow(&self, other: &Self) -> bool {
        self.tcp.ports == other.tcp.ports && self.ip.with_id(0) == other.ip.with_id(0)
    }

    /// Whether it is worth to announce: not at the start or the end of a connection.
    fn is_established(&self) -> bool {
        self.tcp.flags & !flag::PSH == flag::ACK && self.tcp.options.established().is_some()
    }
}

/// A slot, as its sender knows it.
#[derive(Debug, Clone, Copy)]
struct Announced {
    base: Base,
    /// Of the packet that announced it.
    counter: u64,
    confirmed: bool,
    /// The counter of the last packet that referred to it.
    used: u64,
    /// Segments of the flow that may go before the next announcement.
    patience: u32,
    /// How long it was patient the last time.
    last_patience: u32,
}

/// A slot, as its receiver knows it.
#[derive(Debug, Clone, Copy)]
struct Known {
    base: Base,
    counter: u64,
}

/// Returns how many datagrams a plaintext takes, if one has room for so much of it.
const fn datagrams(len: usize, room: usize) -> usize {
    if len <= room { 1 } else { (len + TAG_LEN).div_ceil(room + TAG_LEN + DATA_HEADER - PART_HEADER) }
}

/// The flows of one session, in both directions.
#[derive(Debug, Default)]
pub struct Flows {
    /// By slot; at most [`SLOTS`].
    ours: Vec<Announced>,
    /// By slot; at most [`SLOTS`].
    theirs: Vec<Option<Known>>,
    /// Counters that we have yet to confirm.
    confirms: VecDeque<u64>,
    /// The greatest counter received.
    heard: u64,
}

impl Flows {
    /// Makes the state of a fresh session.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Compresses a packet that will be sealed with this counter, as [`compress`](super::compress) does, and better where
    /// the peer knows its flow. It takes at most four bytes more than the packet.
    ///
    /// `room` is how many bytes of plaintext go in one datagram: announcements and confirmations wait for another packet if
    /// this one goes in fewer datagrams without them.
    pub fn compress(
        &mut self,
        packet: &[u8],
        context: &Context,
        counter: u64,
        room: usize,
        out: &mut Vec<u8>,
    ) {
        let mut body = Vec::with_capacity(packet.len() + 1);
        match Packet::parse(packet) {
            Some(parsed) => self.compress_parsed(&parsed, context, counter, room, &mut body),
            None => compress_verbatim(packet, &mut body),
        }
        while self.confirms.front().is_some_and(|&confirm| self.heard - confirm > STALE) {
            self.confirms.pop_front();
        }
        let with = body.len() + CONFIRMATION_LEN;
        let lengthens = with > ACKNOWLEDGEMENT && body.len() <= ACKNOWLEDGEMENT;
        if !lengthens
            && datagrams(with, room) == datagrams(body.len(), room)
            && let Some(confirm) = self.confirms.pop_front()
        {
            out.push(CONFIRMATION);
            out.extend(counter_low(confirm).to_be_bytes());
        }
        out.extend(body);
    }

    fn compress_parsed(
        &mut self,
        packet: &Packet<'_>,
        context: &Context,
        counter: u64,
        room: usize,
        out: &mut Vec<u8>,
    ) {
        let Some(base) = Base::of(packet).filter(Base::is_established) else {
            return packet.compress(context, out);
        };
        let reference = self.best_reference(&base);
        let mut plain = Vec::with_capacity(packet.payload.len() + 60);
        packet.compress(context, &mut plain);
        let mut best = plain.clone();
        if let Some((slot, _)) = reference
            && let Some(announced) = self.ours.get(usize::from(slot))
        {
            best = vec![REFERENCE | slot];
            difference::put(&announced.base, &base, &mut best);
            best.extend_from_slice(packet.payload);
        }
        let announcing = datagrams(plain.len() + 1, room) == datagrams(best.len(), room);
        if announcing
            && reference.is_none_or(|(_, fit)| fit == Fit::Wide)
            && let Some(slot) = self.announce(&base, counter)
        {
            out.push(ANNOUNCEMENT | slot);
            out.extend(plain);
            return;
        }
        if let Some(announced) = reference.and_then(|(slot, _)| self.ours.get_mut(usize::from(slot))) {
            announced.used = counter;
        }
        out.extend(best);
    }

    /// Restores a packet from a plaintext that was sealed with this counter.
    ///
    /// # Errors
    /// If the bytes are not a compressed packet, or refer to what is not known: `out` is as before then.
    pub fn decompress(
        &mut self,
        bytes: &[u8],
        context: &Context,
        counter: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        self.heard = self.heard.max(counter);
        let mut reader = Reader(bytes);
        let mut dispatch = reader.u8()?;
        if dispatch == CONFIRMATION {
            self.confirm(reader.u16()?);
            dispatch = reader.u8()?;
        }
        let slot = dispatch & 15;
        match dispatch & 0xf0 {
            REFERENCE => {
                let known = self.theirs.get(usize::from(slot)).copied().flatten();
                let base = known.filter(|known| known.counter < counter).ok_or(Malformed)?.base;
                let Base { ip, tcp } = difference::read(&base, &mut reader)?;
                Packet { ip, transport: Transport::Tcp(tcp), payload: reader.0 }.emit(out)
            }
            ANNOUNCEMENT => {
                let dispatch = reader.u8()?;
                let packet = Packet::decompress(dispatch, reader, context)?;
                let base = Base::of(&packet).ok_or(Malformed)?;
                packet.emit(out)?;
                self.learn(slot, base, counter);
                Ok(())
            }
            _ => super::decompress(&bytes[bytes.len() - reader.0.len() - 1..], context, out),
        }
    }

    /// Finds the confirmed slot that fits a segment best; of equals, the latest.
    fn best_reference(&self, base: &Base) -> Option<(u8, Fit)> {
        (0..)
            .zip(&self.ours)
            .filter(|(_, slot)| slot.confirmed && slot.base.is_of_flow(base))
            .filter_map(|(at, slot)| Some((at, difference::fit(&slot.base, base)?, slot.counter)))
            .min_by_key(|&(_, fit, counter)| (fit, u64::MAX - counter))
            .map(|(at, fit, _)| (at, fit))
    }

    /// Takes a slot to announce a segment in, unless one of its flow was announced a short while ago or all are busy.
    fn announce(&mut self, base: &Base, counter: u64) -> Option<u8> {
        let waiting = self.ours.iter().position(|slot| !slot.confirmed && slot.base.is_of_flow(base));
        let patience = match waiting.and_then(|at| self.ours.get_mut(at)) {
            Some(slot) if slot.patience > 0 => {
                slot.patience -= 1;
                return None;
            }
            Some(slot) => (slot.last_patience * 2).min(MAX_PATIENCE),
            None => PATIENCE,
        };
        let slot = Announced {
            base: *base,
            counter,
            confirmed: false,
            used: counter,
            patience,
            last_patience: patience,
        };
        // Its own, else a fresh one, else the one that was not used for longest.
        let at = match waiting {
            Some(at) => at,
            None if self.ours.len() < SLOTS => {
                self.ours.push(slot);
                self.ours.len() - 1
            }
            None => self.idle_slot(counter)?,
        };
        self.ours[at] = slot;
        u8::try_from(at).ok()
    }

    fn idle_slot(&self, counter: u64) -> Option<usize> {
        let idle = self.ours.iter().enumerate().filter(|(_, slot)| counter.saturating_sub(slot.used) >= BUSY);
        idle.min_by_key(|(_, slot)| slot.used).map(|(at, _)| at)
    }

    fn confirm(&mut self, low: u16) {
        let named = self.ours.iter_mut().filter(|slot| counter_low(slot.counter) == low);
        if let Some(slot) = named.max_by_key(|slot| slot.counter) {
            slot.confirmed = true;
        }
    }

    fn learn(&mut self, slot: u8, base: Base, counter: u64) {
        let at = usize::from(slot);
        if self.theirs.len() <= at {
            self.theirs.resize(at + 1, None);
        }
        let known = &mut self.theirs[at];
        if known.is_some_and(|known| known.counter >= counter) {
            return;
        }
        *known = Some(Known { base, counter });
        if self.confirms.len() == MAX_CONFIRMS {
            self.confirms.pop_front();
        }
        self.confirms.push_back(counter);
    }
}
