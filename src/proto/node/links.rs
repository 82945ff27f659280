//! A link as the node sees it: what it promised, what waits for it, what it may still send.
//!
//! Three stores in front of a link, drained in this order: datagrams that are complete (handshakes, and what the link gave
//! back), the rest of a frame that goes in fragments (an interactive frame may go between two of them), and the [`Queue`]
//! of frames. Nothing leaves without room at the driver and air in the [`Budget`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::budget::Budget;
use crate::event::{DropReason, Drops};
use crate::link::{Airtime, Class, LinkAddr, LinkCaps};
use crate::queue::{Entry, PeerIndex, Queue, count};
use crate::v1::wire::{FRAGMENT_HEADER, INIT_LEN, RESPONSE_LEN};
use crate::v1::{DATA_OVERHEAD, TAG_LEN};

/// How long frames are kept for a link that is down: a radio reboots in less.
const GRACE: Duration = Duration::from_secs(60);
/// Datagrams handed to the link that it may still refuse.
const MAX_IN_FLIGHT: usize = 16;
/// Complete datagrams that may wait.
const MAX_READY: usize = 64;
/// Allowance for everything between the two ends that is not air.
const PROCESSING: Duration = Duration::from_millis(500);
/// The sealed size of a TCP acknowledgement with timestamps: what most answers are.
const ANSWER_LEN: usize = 14 + 52 + DATA_OVERHEAD;

/// A complete datagram.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) peer: PeerIndex,
    pub(super) to: LinkAddr,
    pub(super) payload: Vec<u8>,
    pub(super) class: Class,
    pub(super) far: bool,
    pub(super) expires: Instant,
}

/// See the module's introduction.
pub(super) struct LinkState {
    pub(super) caps: Option<LinkCaps>,
    down_since: Instant,
    pub(super) room: u16,
    pub(super) queue: Queue,
    pub(super) ready: VecDeque<Ready>,
    pub(super) fragments: VecDeque<Ready>,
    in_flight: VecDeque<(u64, Ready)>,
    pub(super) budget: Option<Budget>,
    /// The operator knows that the air is spent.
    pub(super) exhausted: bool,
}

impl LinkState {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            caps: None,
            down_since: now,
            room: 0,
            queue: Queue::default(),
            ready: VecDeque::new(),
            fragments: VecDeque::new(),
            in_flight: VecDeque::new(),
            budget: None,
            exhausted: false,
        }
    }

    pub(super) fn up(&mut self, caps: LinkCaps) {
        if let Airtime::Metered(metered) = &caps.airtime {
            match &mut self.budget {
                Some(budget) => budget.set_hourly(metered.hourly),
                None => self.budget = Some(Budget::new(metered.hourly)),
            }
        }
        self.caps = Some(caps);
    }

    /// Goes down; returns how many complete datagrams are lost with it.
    pub(super) fn down(&mut self, now: Instant) -> usize {
        if self.caps.take().is_some() {
            self.down_since = now;
        }
        self.room = 0;
        self.in_flight.clear();
        let lost = self.ready.len() + self.fragments.len();
        self.ready.clear();
        self.fragments.clear();
        lost
    }

    /// Whether frames should be kept for it: it is up, or has not been down for long.
    pub(super) fn is_worth_waiting_for(&self, now: Instant) -> bool {
        self.caps.is_some() || now < self.down_since + GRACE
    }

    fn price(&self, len: usize) -> Duration {
        price(self.caps.as_ref(), len)
    }

    fn access(&self) -> Duration {
        match self.caps.as_ref().map(|caps| &caps.airtime) {
            Some(Airtime::Metered(metered)) => metered.access,
            Some(Airtime::Free) | None => Duration::ZERO,
        }
    }

    pub(super) fn mtu(&self) -> usize {
        self.caps.as_ref().map_or(0, |caps| caps.mtu.into())
    }

    pub(super) fn datagram_price(&self, len: usize) -> Duration {
        self.price(len)
    }

    /// How long a handshake takes when nothing goes wrong.
    pub(super) fn pace(&self) -> Duration {
        self.price(INIT_LEN) + self.price(RESPONSE_LEN) + self.access() * 2 + PROCESSING
    }

    /// How soon after a full frame was handed over its answer can be back: one may be on the air before it.
    pub(super) fn answer_time(&self) -> Duration {
        match self.caps.as_ref().map(|caps| &caps.airtime) {
            Some(Airtime::Metered(_)) => {
                self.price(self.mtu()) * 2 + self.price(ANSWER_LEN) + self.access() * 2
            }
            Some(Airtime::Free) | None => Duration::ZERO,
        }
    }

    /// How long a frame is worth keeping.
    pub(super) fn useful_time(&self) -> Duration {
        if self.caps.is_none() {
            return GRACE;
        }
        Duration::from_secs(10) + self.price(self.mtu()) * 16
    }

    pub(super) fn push_ready(&mut self, ready: Ready) -> bool {
        let fits = self.ready.len() < MAX_READY;
        if fits {
            self.ready.push_back(ready);
        }
        fits
    }

    pub(super) fn remember(&mut self, token: u64, ready: Ready) {
        self.in_flight.push_back((token, ready));
        if self.in_flight.len() > MAX_IN_FLIGHT {
            self.in_flight.pop_front();
        }
    }

    /// Takes back a datagram that the link refused, with the air that was booked for it.
    pub(super) fn take_back(&mut self, token: u64) -> Option<Ready> {
        let at = self.in_flight.iter().position(|(known, _)| *known == token)?;
        let (_, ready) = self.in_flight.remove(at)?;
        let price = self.price(ready.payload.len());
        if let Some(budget) = &mut self.budget {
            budget.refund(price);
        }
        Some(ready)
    }

    /// Whether the air allows this now.
    pub(super) fn affords(&self, class: Class, price: Duration, now: Instant) -> bool {
        self.budget.as_ref().is_none_or(|budget| budget.allows(class, price, now))
    }

    /// The least urgent class that the air allows a full datagram of.
    pub(super) fn least_affordable(&self, now: Instant) -> Option<Class> {
        let full = self.price(self.mtu());
        let classes = [Class::Bulk, Class::Interactive, Class::Control];
        classes.into_iter().find(|class| self.affords(*class, full, now))
    }

    /// Takes the next frame of the queue, if it is of a class no less urgent than `least`.
    pub(super) fn pop(
        &mut self,
        least: Class,
        drops: &mut Drops,
        now: Instant,
    ) -> Option<(PeerIndex, Entry)> {
        let caps = self.caps.as_ref()?;
        self.queue.pop(least, |len| frame_price(caps, len), drops, now)
    }

    /// Makes the datagrams of a sealed frame ready: before the fragments of whatever is less urgent.
    pub(super) fn push_sealed(&mut self, datagrams: Vec<Ready>) {
        let Some(class) = datagrams.first().map(|first| first.class) else { return };
        let behind = self.fragments.iter().position(|fragment| fragment.class > class);
        let rest = self.fragments.split_off(behind.unwrap_or(self.fragments.len()));
        self.fragments.extend(datagrams);
        self.fragments.extend(rest);
    }

    /// Takes the next complete datagram that the air allows: whatever is ready first, then fragments, unless somebody
    /// waits for a frame that may go between two of them.
    pub(super) fn next_ready(&mut self, drops: &mut Drops, now: Instant) -> Option<Ready> {
        loop {
            let from_fragments = self.ready.is_empty();
            let store = if from_fragments { &self.fragments } else { &self.ready };
            let head = store.front()?;
            let overtaken = head.class == Class::Bulk && self.queue.peek(Class::Interactive).is_some();
            if from_fragments && overtaken {
                return None;
            }
            let expired = head.expires <= now;
            if !expired && !self.affords(head.class, self.price(head.payload.len()), now) {
                return None;
            }
            let store = if from_fragments { &mut self.fragments } else { &mut self.ready };
            let ready = store.pop_front()?;
            if !expired {
                return Some(ready);
            }
            count(drops, DropReason::Expired);
        }
    }

    /// What waits for air: its class and price.
    fn head(&self) -> Option<(Class, Duration)> {
        if let Some(ready) = self.ready.front() {
            return Some((ready.class, self.price(ready.payload.len())));
        }
        if let Some(fragment) = self.fragments.front() {
            return Some((fragment.class, self.price(fragment.payload.len())));
        }
        let class = self.queue.by_class().into_keys().min()?;
        Some((class, self.price(self.mtu())))
    }

    /// When something of this link is due: air for what waits, or the end of its use.
    pub(super) fn deadline(&self, now: Instant) -> Option<(Instant, &'static str)> {
        let expiry = self.queue.next_expiry().map(|at| (at, "expiry"));
        let ready = self.ready.iter().chain(&self.fragments).map(|ready| ready.expires).min();
        let ready = ready.map(|at| (at, "expiry"));
        let air = match (&self.budget, self.head()) {
            (Some(budget), Some((class, price))) if self.caps.is_some() && self.room > 0 => {
                Some(budget.when(class, price, now)).filter(|at| *at > now).map(|at| (at, "airtime"))
            }
            _ => None,
        };
        [expiry, ready, air].into_iter().flatten().min()
    }
}

fn price(caps: Option<&LinkCaps>, len: usize) -> Duration {
    match caps.map(|caps| &caps.airtime) {
        Some(Airtime::Metered(metered)) => metered.airtime(len),
        Some(Airtime::Free) | None => Duration::ZERO,
    }
}

/// The air that a frame takes once it is sealed and, if need be, cut into fragments.
fn frame_price(caps: &LinkCaps, frame_len: usize) -> Duration {
    let mtu = usize::from(caps.mtu);
    let price = |len| price(Some(caps), len);
    let sealed = frame_len + DATA_OVERHEAD;
    if sealed <= mtu || mtu <= FRAGMENT_HEADER {
        return price(sealed);
    }
    let whole = 8 + frame_len + TAG_LEN;
    let chunk = mtu - FRAGMENT_HEADER;
    let full = u32::try_from(whole / chunk).unwrap_or(u32::MAX);
    let rest = whole % chunk;
    let last = if rest == 0 { Duration::ZERO } else { price(rest + FRAGMENT_HEADER) };
    price(mtu) * full + last
}
