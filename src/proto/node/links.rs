//! A link as the node sees it: what it promised, what waits for it, what it may still send.
//!
//! Three stores in front of a link: datagrams that are complete (handshakes, and what the link gave back), the rest of a
//! frame that goes in fragments, and the [`Queue`] of frames. What is complete goes first, the most urgent of it before
//! all; what is more urgent than that is sealed and goes between. Nothing leaves without room at the driver and air in the [`Budget`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::budget::Budget;
use crate::event::DropReason;
use crate::link::{Airtime, Class, LinkAddr, LinkCaps};
use crate::queue::{Entry, PeerIndex, Queue, Tempo};
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
    /// The ping of ours that it is, or is a part of.
    pub(super) ping: Option<u64>,
}

/// Where a complete datagram waits.
#[derive(Debug, Clone, Copy)]
enum Place {
    Ready(usize),
    Fragments,
}

/// A datagram handed to the link.
struct InFlight {
    token: u64,
    /// What to send again if it was refused; nothing once its peer or its address there is gone.
    ready: Option<Ready>,
    /// The air that was booked for it, and when.
    price: Duration,
    since: Instant,
}

/// See the module's introduction.
pub(super) struct LinkState {
    pub(super) caps: Option<LinkCaps>,
    down_since: Instant,
    pub(super) room: u16,
    pub(super) queue: Queue,
    pub(super) ready: VecDeque<Ready>,
    pub(super) fragments: VecDeque<Ready>,
    in_flight: VecDeque<InFlight>,
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

    /// Goes down, and complete datagrams are lost with it.
    pub(super) fn down(&mut self, account: &mut Account, now: Instant) {
        if self.caps.take().is_some() {
            self.down_since = now;
        }
        self.room = 0;
        self.in_flight.clear();
        for lost in self.ready.drain(..).chain(self.fragments.drain(..)) {
            account.count(lost.peer, DropReason::LinkDown);
        }
    }

    /// Forgets complete datagrams that nobody wants any more, also those that the link may still refuse; returns how
    /// many there were here.
    pub(super) fn forget_ready(&mut self, unwanted: impl Fn(&Ready) -> bool) -> usize {
        let before = self.ready.len() + self.fragments.len();
        self.ready.retain(|ready| !unwanted(ready));
        self.fragments.retain(|fragment| !unwanted(fragment));
        for flight in &mut self.in_flight {
            flight.ready.take_if(|ready| unwanted(ready));
        }
        before - self.ready.len() - self.fragments.len()
    }

    /// Forgets everything for a peer; returns how much there was here.
    pub(super) fn forget_peer(&mut self, peer: PeerIndex) -> usize {
        self.queue.forget_peer(peer) + self.forget_ready(|ready| ready.peer == peer)
    }

    /// Whether frames should be kept for it: it is up, or has not been down for long.
    pub(super) fn is_worth_waiting_for(&self, now: Instant) -> bool {
        self.caps.is_some() || now < self.down_since + GRACE
    }

    fn price(&self, len: usize) -> Duration {
        price(self.caps.as_ref(), len)
    }

    pub(super) fn access(&self) -> Duration {
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

    /// The least that a frame and an answer of the same length take on it.
    pub(super) fn round_trip(&self, frame_len: usize) -> Duration {
        let Some(caps) = &self.caps else { return Duration::ZERO };
        let datagrams = u32::try_from(datagrams(caps, frame_len)).unwrap_or(u32::MAX);
        (frame_price(caps, frame_len) + self.access() * datagrams) * 2
    }

    /// How fast TCP can be on it. An answer comes after a full frame that may be on the air before the one in question; the
    /// next segment of a stream after a frame's time and a busy channel's waits.
    pub(super) fn tempo(&self) -> Tempo {
        match self.caps.as_ref().map(|caps| &caps.airtime) {
            Some(Airtime::Metered(_)) => Tempo {
                answer: self.price(self.mtu()) * 2 + self.price(ANSWER_LEN) + self.access() * 2,
                next: self.price(self.mtu()) * 3 / 2 + self.access() * 4,
                part: Duration::ZERO,
                room: 0,
            },
            Some(Airtime::Free) | None => Tempo::default(),
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

    pub(super) fn remember(&mut self, token: u64, ready: Ready, price: Duration, now: Instant) {
        self.in_flight.push_back(InFlight { token, ready: Some(ready), price, since: now });
        if self.in_flight.len() > MAX_IN_FLIGHT {
            self.in_flight.pop_front();
        }
    }

    /// Takes back a datagram that the link refused, with the air that was booked for it unless that `went_out` in vain.
    pub(super) fn take_back(&mut self, token: u64, went_out: bool) -> Option<Ready> {
        let at = self.in_flight.iter().position(|known| known.token == token)?;
        let InFlight { ready, price, since, .. } = self.in_flight.remove(at)?;
        if let Some(budget) = self.budget.as_mut().filter(|_| !went_out) {
            budget.refund(price, since);
        }
        ready
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
        account: &mut Account,
        now: Instant,
    ) -> Option<(PeerIndex, Entry)> {
        let caps = self.caps.as_ref()?;
        // While a frame goes in fragments, nothing is sealed that would have to wait for its last one.
        let least = if self.fragments.is_empty() { least } else { least.min(Class::Interactive) };
        self.queue.pop(least, |len| frame_price(caps, len), account, now)
    }

    /// Makes the datagrams of a sealed frame ready: before the fragments of whatever is less urgent.
    pub(super) fn push_sealed(&mut self, datagrams: Vec<Ready>) {
        let Some(class) = datagrams.first().map(|first| first.class) else { return };
        let behind = self.fragments.iter().position(|fragment| fragment.class > class);
        let rest = self.fragments.split_off(behind.unwrap_or(self.fragments.len()));
        self.fragments.extend(datagrams);
        self.fragments.extend(rest);
    }

    /// Takes the most urgent complete datagram if the air allows it; a bulk fragment lets a frame go before it that
    /// somebody waits for.
    pub(super) fn next_ready(&mut self, account: &mut Account, now: Instant) -> Option<Ready> {
        self.expire_ready(account, now);
        let first = self.first_ready()?;
        let head = self.ready_at(first)?;
        let overtaken = matches!(first, Place::Fragments)
            && head.class == Class::Bulk
            && self.queue.peek(Class::Interactive, now).is_some();
        if overtaken || !self.affords(head.class, self.price(head.payload.len()), now) {
            return None;
        }
        match first {
            Place::Ready(at) => self.ready.remove(at),
            Place::Fragments => self.fragments.pop_front(),
        }
    }

    /// Drops complete datagrams that are of no more use.
    pub(super) fn expire_ready(&mut self, account: &mut Account, now: Instant) {
        let mut is_useful = |ready: &Ready| {
            let useful = ready.expires > now;
            if !useful {
                account.count(ready.peer, DropReason::Expired);
            }
            useful
        };
        self.ready.retain(&mut is_useful);
        self.fragments.retain(&mut is_useful);
    }

    /// The most urgent complete datagram; of equals, one that is ready goes before a fragment.
    fn first_ready(&self) -> Option<Place> {
        let ready = self.ready.iter().enumerate().min_by_key(|(_, ready)| ready.class);
        match (ready, self.fragments.front()) {
            (Some((_, ready)), Some(fragment)) if fragment.class < ready.class => Some(Place::Fragments),
            (Some((at, _)), _) => Some(Place::Ready(at)),
            (None, Some(_)) => Some(Place::Fragments),
            (None, None) => None,
        }
    }

    fn ready_at(&self, place: Place) -> Option<&Ready> {
        match place {
            Place::Ready(at) => self.ready.get(at),
            Place::Fragments => self.fragments.front(),
        }
    }

    /// What waits for air: its class and price.
    fn head(&self, now: Instant) -> Option<(Class, Duration)> {
        let first = self.first_ready().and_then(|place| self.ready_at(place));
        let first = first.map(|ready| (ready.class, self.price(ready.payload.len())));
        let classes = [Class::Handshake, Class::Control, Class::Interactive, Class::Bulk];
        let queued = classes.into_iter().find(|class| self.queue.peek(*class, now).is_some());
        let queued = queued.map(|class| (class, self.price(self.mtu())));
        [first, queued].into_iter().flatten().min()
    }

    /// When something of this link is due: air for what waits, or the end of its use.
    pub(super) fn deadline(&self, now: Instant) -> Option<(Instant, &'static str)> {
        let expiry = self.queue.next_expiry().map(|at| (at, "expiry"));
        let ready = self.ready.iter().chain(&self.fragments).map(|ready| ready.expires).min();
        let ready = ready.map(|at| (at, "expiry"));
        let held = self.queue.next_release().filter(|at| *at > now).map(|at| (at, "acknowledgement"));
        let air = match (&self.budget, self.head(now)) {
            (Some(budget), Some((class, price))) if self.caps.is_some() && self.room > 0 => {
                Some(budget.when(class, price, now)).filter(|at| *at > now).map(|at| (at, "airtime"))
            }
            _ => None,
        };
        [expiry, ready, held, air].into_iter().flatten().min()
    }
}

fn price(caps: Option<&LinkCaps>, len: usize) -> Duration {
    match caps.map(|caps| &caps.airtime) {
        Some(Airtime::Metered(metered)) => metered.airtime(len),
        Some(Airtime::Free) | None => Duration::ZERO,
    }
}

/// How many datagrams a frame becomes once it is sealed.
fn datagrams(caps: &LinkCaps, frame_len: usize) -> usize {
    let mtu = usize::from(caps.mtu);
    if frame_len + DATA_OVERHEAD <= mtu || mtu <= FRAGMENT_HEADER {
        return 1;
    }
    (8 + frame_len + TAG_LEN).div_ceil(mtu - FRAGMENT_HEADER)
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
