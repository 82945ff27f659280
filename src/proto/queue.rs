//! The queue in front of a link: who is next, and what need not go at all.
//!
//! Frames wait here unsealed, so that whatever leaves is sealed with the newest keys and a dropped frame costs no counter.
//!
//! **Fairness** is start-time fair queueing on two levels, counted in air: first between peers, then between the flows of
//! the peer. Each has a tag, the air it had so far; the smallest tag is next and is raised by what it sends. Whoever was
//! silent starts at the tag being served, so a sparse flow goes before every busy one and nobody saves up. A packet that
//! somebody waits for ([`Class::Interactive`]) is charged a quarter.
//!
//! **Needless packets.** A TCP segment that comes again while it waits takes the old one's place, in whatever lengths its
//! sender cuts it (`segment`); one that has left so recently that no answer can be back yet, or whose lost parts the link still
//! brings by itself, is dropped; an acknowledgement that a later one covers is dropped, but for the one that completes a connection: a segment in parts would
//! bring it so late that the other end asks for it again. Of a stream of acknowledgements every second one is enough (RFC
//! 9293 section 3.8.6.3), though its receiver's kernel, which sees the segments arrive slowly, sends them all: each other one
//! is held for as long as its successor takes, if the next segment is as long as what this one acknowledges. None of this
//! changes what the two ends of the connection agree on, it only saves air.
//!
//! Invariants: at most [`MAX_FLOW`] frames of a flow and [`MAX_FRAMES`] in all; idle flows and peers are forgotten in time,
//! so that what is looked through is bounded by what waits, however many peers there are; no frame is returned after its
//! time.

mod removal;
mod segment;
mod turns;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use self::turns::Turns;
use crate::account::Account;
use crate::event::DropReason;
use crate::frame::{Frame, Inner, Packet, Tcp, tcp_flag};
use crate::link::Class;

/// Frames of one flow that may wait.
pub const MAX_FLOW: usize = 32;
/// Frames that may wait in all.
pub const MAX_FRAMES: usize = 256;
/// An IP packet up to this length is small enough to be somebody's keystroke or question.
const SMALL: usize = 128;
/// A segment is hardly longer: what Ethernet carries. Who acknowledges more acknowledges several.
const LONGEST: u32 = 1500;
/// TCP segments that have left and are remembered, per flow.
const REMEMBERED: usize = 16;
/// Idle flows whose tags and segments are remembered.
const MAX_IDLE_FLOWS: usize = 64;

/// How fast a link is, as far as the queue needs to know.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tempo {
    /// How soon after a segment left its answer can be here.
    pub answer: Duration,
    /// How long the next segment of a stream takes to arrive, if it goes in one datagram.
    pub next: Duration,
    /// What each further datagram adds to that.
    pub part: Duration,
    /// How many bytes of a segment go in a datagram; 0 if a segment always goes in one.
    pub room: usize,
}

impl Tempo {
    /// Returns how long the next segment takes to arrive, if it is as long as what was acknowledged last.
    fn next_of(&self, acknowledged: u32) -> Duration {
        let whole = u32::try_from(self.room).ok().and_then(|room| acknowledged.checked_div(room));
        self.next + self.part * whole.unwrap_or(0)
    }
}

/// Which peer, by a number that the node gives once and never again: what is kept under it by mistake after the peer was
/// removed can reach no other.
pub type PeerIndex = usize;

/// What makes packets one conversation: addresses, protocol, ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowId {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ports: (u16, u16),
}

impl FlowId {
    /// Returns which conversation a packet is of.
    #[must_use]
    pub fn of(packet: &Packet<'_>) -> Self {
        Self {
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol,
            ports: packet.ports().unwrap_or((0, 0)),
        }
    }
}

/// What a frame was sealed as already, if it is sent once more: its receiver is told, and takes only one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Original {
    /// Our index of the session.
    pub session: u32,
    /// The counter.
    pub counter: u64,
}

/// A frame that waits, with what the queue needs to know of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The frame, as it will be sealed.
    pub frame: Vec<u8>,
    /// How urgent it is.
    pub class: Class,
    /// When it is of no more use.
    pub expires: Instant,
    /// For how long after its turn the link itself brings what is lost of it: a copy from its sender would only be a
    /// second one.
    pub repair: Duration,
    /// What it is a copy of, if it left before.
    pub original: Option<Original>,
    flow: Option<FlowId>,
    tcp: Option<Tcp>,
    /// An acknowledgement that a newer one will probably cover: not before this.
    held_until: Option<Instant>,
}

impl Entry {
    /// Makes an entry of a frame, and finds its class and flow.
    #[must_use]
    pub fn new(frame: Vec<u8>, expires: Instant) -> Self {
        let (mut class, mut flow, mut tcp) = (Class::Control, None, None);
        if let Ok(Frame { inner: Inner::Ip(packet), .. }) = Frame::parse(&frame) {
            class = classify(&packet);
            flow = Some(FlowId::of(&packet));
            tcp = packet.tcp();
        }
        Self { frame, class, expires, repair: Duration::ZERO, original: None, flow, tcp, held_until: None }
    }

    /// Returns the connection of a TCP segment that takes sequence space, and its first number.
    #[must_use]
    pub fn segment(&self) -> Option<(FlowId, u32)> {
        let tcp = self.tcp.filter(|tcp| tcp.length > 0)?;
        Some((self.flow?, tcp.sequence))
    }

    fn is_expired(&self, now: Instant) -> bool {
        self.expires <= now
    }

    fn may_go(&self, least: Class, now: Instant) -> bool {
        self.class <= least && self.held_until.is_none_or(|until| until <= now)
    }
}

/// Small packets and those that their sender marks as what somebody waits for are interactive.
fn classify(packet: &Packet<'_>) -> Class {
    let waited_for = packet.bytes.len() <= SMALL || is_marked(packet.dscp);
    if waited_for { Class::Interactive } else { Class::Bulk }
}

/// Whether a mark says that somebody waits: RFC 4594's CS2 (operation), AF21 to AF23 (low-latency data), CS4 and above (what
/// is spoken, played or steered), and "minimize delay" (RFC 1349). A terminal of OpenSSH is marked AF21, EF as of 10.1, and
/// "minimize delay" by Debian; what it copies is marked CS1, "maximize throughput", or not at all.
const fn is_marked(dscp: u8) -> bool {
    const MINIMIZE_DELAY: u8 = 0x10 >> 2;
    const CS2: u8 = 16;
    const AF23: u8 = 22;
    const CS4: u8 = 32;
    dscp == MINIMIZE_DELAY || (dscp >= CS2 && dscp <= AF23) || dscp >= CS4
}

#[derive(Debug, Default)]
struct Flow {
    entries: VecDeque<Entry>,
    tag: Duration,
    /// Segments that have left: sequence, length, and from when on the time of an answer counts.
    sent: VecDeque<(u32, u32, Instant)>,
    /// The last pure acknowledgement that came, and when.
    acknowledged: Option<(Tcp, Instant)>,
    /// Something without SYN has left: the other end has been told that the connection is complete.
    complete: bool,
}

#[derive(Debug, Default)]
struct Share {
    flows: BTreeMap<Option<FlowId>, Flow>,
    tag: Duration,
    /// The tag of the flow served last.
    clock: Duration,
    waiting: usize,
}

/// The queue. See the module's introduction.
#[derive(Debug, Default)]
pub struct Queue {
    /// Of the peers for which frames wait, and of some that were served last.
    shares: BTreeMap<PeerIndex, Share>,
    /// Every share by its tag.
    turns: Turns,
    /// The tag of the peer served last.
    clock: Duration,
    len: usize,
}

impl Queue {
    /// Returns how many frames wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns how many frames wait, by class.
    #[must_use]
    pub fn by_class(&self) -> BTreeMap<Class, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.entries() {
            *counts.entry(entry.class).or_default() += 1;
        }
        counts
    }

    /// Takes a frame for a peer.
    pub fn push(&mut self, peer: PeerIndex, entry: Entry, tempo: Tempo, account: &mut Account, now: Instant) {
        let share = self.shares.entry(peer).or_default();
        self.turns.forget(peer, share);
        if share.waiting == 0 {
            share.tag = share.tag.max(self.clock);
        }
        let flow = share.flows.entry(entry.flow).or_default();
        if flow.entries.is_empty() {
            flow.tag = flow.tag.max(share.clock);
        }
        let before = flow.entries.len();
        flow.push(entry, tempo, &mut |reason| account.count(peer, reason), now);
        let after = flow.entries.len();
        share.waiting = share.waiting + after - before;
        self.len = self.len + after - before;
        if share.flows.len() > MAX_FRAMES + MAX_IDLE_FLOWS {
            share.prune();
        }
        self.turns.note(peer, share);
        if self.len > MAX_FRAMES {
            self.drop_from_longest(account);
        }
        self.prune();
    }

    /// Returns the next frame of a class no less urgent than `least`, and its peer, charging what `price` says.
    pub fn pop(
        &mut self,
        least: Class,
        price: impl Fn(usize) -> Duration,
        account: &mut Account,
        now: Instant,
    ) -> Option<(PeerIndex, Entry)> {
        loop {
            let (peer, flow_id) = self.next_flow(least, now)?;
            let share = self.shares.get_mut(&peer).expect("just found");
            self.turns.forget(peer, share);
            let flow = share.flows.get_mut(&flow_id).expect("just found");
            let entry = flow.entries.pop_front().expect("the next flow is not empty");
            self.len -= 1;
            share.waiting -= 1;
            if entry.is_expired(now) {
                account.count(peer, DropReason::Expired);
                self.turns.note(peer, share);
                continue;
            }
            let cost = charge(entry.class, price(entry.frame.len()));
            self.clock = share.tag;
            share.clock = flow.tag;
            flow.tag += cost;
            share.tag += cost;
            if let Some(tcp) = entry.tcp {
                flow.remember(&tcp, now + entry.repair);
                flow.complete |= tcp.flags & tcp_flag::SYN == 0;
            }
            share.prune();
            self.turns.note(peer, share);
            self.prune();
            return Some((peer, entry));
        }
    }

    /// The link still brings what is lost of a segment that has left, until then: its peer has asked for it.
    pub fn extend_repair(&mut self, peer: PeerIndex, (flow, sequence): (FlowId, u32), until: Instant) {
        let flow = self.shares.get_mut(&peer).and_then(|share| share.flows.get_mut(&Some(flow)));
        for (_, _, at) in flow.into_iter().flat_map(|flow| &mut flow.sent).filter(|sent| sent.0 == sequence) {
            *at = until.max(*at);
        }
    }

    /// Returns the class and length of what [`Self::pop`] would return, if nothing has expired.
    #[must_use]
    pub fn peek(&self, least: Class, now: Instant) -> Option<(Class, usize)> {
        let (peer, flow) = self.next_flow(least, now)?;
        let entry = self.shares.get(&peer)?.flows.get(&flow)?.entries.front()?;
        Some((entry.class, entry.frame.len()))
    }

    /// Returns when the first frame expires.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        self.entries().map(|entry| entry.expires).min()
    }

    /// Returns when the first held acknowledgement may go.
    #[must_use]
    pub fn next_release(&self) -> Option<Instant> {
        self.entries().filter_map(|entry| entry.held_until).min()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let busy = self.turns.busy().filter_map(|peer| self.shares.get(&peer));
        busy.flat_map(|share| share.flows.values()).flat_map(|flow| &flow.entries)
    }

    /// Returns whether frames of a peer wait.
    #[must_use]
    pub fn has_peer(&self, peer: PeerIndex) -> bool {
        self.shares.get(&peer).is_some_and(|share| share.waiting > 0)
    }

    fn next_flow(&self, least: Class, now: Instant) -> Option<(PeerIndex, Option<FlowId>)> {
        let urgent = |flow: &Flow| flow.entries.front().is_some_and(|entry| entry.may_go(least, now));
        let busy = self.turns.busy().filter_map(|peer| Some((peer, self.shares.get(&peer)?)));
        let (peer, share) = busy.into_iter().find(|(_, share)| share.flows.values().any(urgent))?;
        // Ties go to what is more urgent.
        let key = |(_, flow): &(&Option<FlowId>, &Flow)| (flow.tag, flow.entries.front().map(|e| e.class));
        let busy = share.flows.iter().filter(|(_, flow)| urgent(flow));
        busy.min_by_key(key).map(|(id, _)| (peer, *id))
    }

    fn drop_from_longest(&mut self, account: &mut Account) {
        let longest = |share: &Share| share.flows.values().map(|flow| flow.entries.len()).max();
        let busy = self.shares.iter().max_by_key(|(_, share)| longest(share));
        let Some(peer) = busy.map(|(peer, _)| *peer) else { return };
        let Some(share) = self.shares.get_mut(&peer) else { return };
        self.turns.forget(peer, share);
        let flow = share.flows.values_mut().max_by_key(|flow| flow.entries.len());
        if flow.and_then(|flow| flow.entries.pop_front()).is_some() {
            share.waiting -= 1;
            self.len -= 1;
            account.count(peer, DropReason::QueueOverflow);
        }
        self.turns.note(peer, share);
    }

    /// Forgets idle peers, first those that would start at the clock anyway.
    fn prune(&mut self) {
        while let Some(peer) = self.turns.take_idle() {
            self.shares.remove(&peer);
        }
    }
}

impl Flow {
    fn push(&mut self, mut entry: Entry, tempo: Tempo, dropped: &mut impl FnMut(DropReason), now: Instant) {
        if let Some(tcp) = entry.tcp {
            let Some(said) = segment::merge(&mut self.entries, entry, dropped) else { return };
            entry = said;
            if self.cannot_be_answered_yet(&tcp, tempo.answer, now) {
                return dropped(DropReason::TcpDuplicate);
            }
            let covered = self.drop_covered_acks(&tcp, entry.repair.is_zero(), dropped);
            entry.held_until = self.hold(&tcp, covered, tempo, now);
        }
        // Nothing waits behind a held acknowledgement.
        self.entries.iter_mut().for_each(|waiting| waiting.held_until = None);
        self.entries.push_back(entry);
        if self.entries.len() > MAX_FLOW {
            self.entries.pop_front();
            dropped(DropReason::QueueOverflow);
        }
    }

    fn cannot_be_answered_yet(&self, tcp: &Tcp, answer_time: Duration, now: Instant) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < answer_time;
        let sent = || self.sent.iter().filter(|sent| recent(sent.2)).map(|sent| (sent.0, sent.1));
        tcp.length > 0
            && tcp.flags & tcp_flag::RST == 0
            && segment::are_covered((tcp.sequence, tcp.length), sent)
    }

    /// Until when an acknowledgement is held: of a stream of them, and not of a segment that was lost, each other one.
    fn hold(&mut self, tcp: &Tcp, covers_another: bool, tempo: Tempo, now: Instant) -> Option<Instant> {
        if !tcp.is_pure_ack() {
            return None;
        }
        let (last, at) = self.acknowledged.replace((*tcp, now))?;
        let next = tempo.next_of(tcp.acknowledgement.wrapping_sub(last.acknowledgement).min(LONGEST));
        let streams = tcp.acknowledges_more_than(&last) && now.saturating_duration_since(at) < next * 2;
        (streams && !covers_another && !tcp.reports_loss).then_some(now + next)
    }

    /// A pure acknowledgement goes when a newer one, or a segment that says as much, comes behind it; `soon`: which goes in
    /// one datagram. Returns whether any did.
    fn drop_covered_acks(&mut self, newer: &Tcp, soon: bool, dropped: &mut impl FnMut(DropReason)) -> bool {
        if newer.flags & tcp_flag::ACK == 0 {
            return false;
        }
        let before = self.entries.len();
        let carries = newer.length > 0 && (soon || self.complete);
        self.entries.retain(|entry| {
            let covered = entry.tcp.is_some_and(|waiting| {
                let carried = carries && newer.acknowledgement == waiting.acknowledgement;
                waiting.is_pure_ack() && (carried || newer.acknowledges_more_than(&waiting))
            });
            if covered {
                dropped(DropReason::AckSuperseded);
            }
            !covered
        });
        self.entries.len() < before
    }

    fn remember(&mut self, tcp: &Tcp, left: Instant) {
        if tcp.length > 0 {
            self.sent.retain(|(sequence, ..)| *sequence != tcp.sequence);
            self.sent.push_back((tcp.sequence, tcp.length, left));
            if self.sent.len() > REMEMBERED {
                self.sent.pop_front();
            }
        }
    }
}

impl Share {
    /// Forgets idle flows, first those that would start at the clock anyway.
    fn prune(&mut self) {
        let idle = |flow: &Flow| flow.entries.is_empty();
        while self.flows.values().filter(|flow| idle(flow)).count() > MAX_IDLE_FLOWS {
            let oldest = self.flows.iter().filter(|(_, flow)| idle(flow)).min_by_key(|(_, flow)| flow.tag);
            let Some(id) = oldest.map(|(id, _)| *id) else { return };
            self.flows.remove(&id);
        }
    }
}

fn charge(class: Class, price: Duration) -> Duration {
    match class {
        Class::Interactive => price / 4,
        Class::Handshake | Class::Control => Duration::ZERO,
        Class::Bulk => price,
    }
}

#[cfg(test)]
mod tests;
