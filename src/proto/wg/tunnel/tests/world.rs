//! Two tunnels in simulated time, and a wire between them that may lose, delay and record.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::super::*;
use crate::aead::{Aead as _, Portable};
use crate::key::PrivateKey;
use crate::testing::start;
use crate::wg::index::Indices;
use crate::wg::message::INIT_NOISE;
use crate::wg::noise::identify;

/// How long everything is under way.
pub(super) const LATENCY: Duration = Duration::from_millis(50);
const UNIX_TIME: Duration = Duration::from_secs(1_700_000_000);

#[derive(Debug, Clone)]
pub(super) enum Wire {
    Init { sender: u32, noise: [u8; INIT_NOISE], terse: bool },
    Response { answer: Answer, terse: bool },
    Data { receiver: u32, counter: u64, sealed: Vec<u8>, tag: [u8; 16] },
}

pub(super) struct Side {
    pub(super) tunnel: Tunnel,
    identity: Arc<Identity>,
    indices: Indices<()>,
    rng: ChaCha20Rng,
    waiting: Vec<u32>,
    pub(super) received: Vec<u32>,
    pub(super) actions: Vec<Action>,
    pub(super) errors: Vec<HandshakeError>,
    counters: std::collections::BTreeSet<(u32, u64)>,
}

/// See the module's introduction.
pub(super) struct World {
    pub(super) now: Instant,
    began: Instant,
    pub(super) sides: [Side; 2],
    air: Vec<(Instant, usize, Wire)>,
    /// Everything that was sent: when, by whom, what.
    pub(super) log: Vec<(Instant, usize, Wire)>,
    /// What the wire does not carry.
    pub(super) lost: fn(usize, &Wire) -> bool,
    /// What the clocks of the two said at the beginning.
    pub(super) clock: [Duration; 2],
}

fn side(identity: Arc<Identity>, peer: &Identity, psk: Option<PresharedKey>, seed: u8) -> Side {
    Side {
        tunnel: Tunnel::new(identity.clone(), *peer.public(), psk),
        identity,
        indices: Indices::default(),
        rng: ChaCha20Rng::from_seed([seed; 32]),
        waiting: Vec::new(),
        received: Vec::new(),
        actions: Vec::new(),
        errors: Vec::new(),
        counters: std::collections::BTreeSet::new(),
    }
}

impl World {
    pub(super) fn new(regime: Regime) -> Self {
        Self::with_psks(regime, [None, None])
    }

    /// The side 0 has the lower public key.
    pub(super) fn with_psks(regime: Regime, [psk0, psk1]: [Option<PresharedKey>; 2]) -> Self {
        let mut keys = [1, 2].map(|seed| Identity::new(PrivateKey::from_random([seed; 32])));
        keys.sort_by_key(|identity| *identity.public());
        let [a, b] = keys;
        let now = start();
        let mut sides = [side(a.clone(), &b, psk0, 11), side(b, &a, psk1, 12)];
        sides.iter_mut().for_each(|side| side.tunnel.set_regime(Some(regime), now));
        Self {
            now,
            began: now,
            sides,
            air: Vec::new(),
            log: Vec::new(),
            lost: |_, _| false,
            clock: [UNIX_TIME; 2],
        }
    }

    pub(super) fn with<T>(&mut self, at: usize, act: impl FnOnce(&mut Tunnel, &mut Context<'_>) -> T) -> T {
        let unix_time = self.clock[at] + (self.now - self.began);
        let Side { tunnel, indices, rng, .. } = &mut self.sides[at];
        let mut claim = |index| indices.claim(index, ());
        act(tunnel, &mut Context { rng, claim: &mut claim, unix_time, now: self.now })
    }

    pub(super) fn transmit(&mut self, from: usize, wire: Wire) {
        self.log.push((self.now, from, wire.clone()));
        if !(self.lost)(from, &wire) {
            self.air.push((self.now + LATENCY, from, wire));
        }
    }

    fn seal(&mut self, at: usize, content: Content, number: u32) -> bool {
        let side = &mut self.sides[at];
        let Some(mut sealing) = side.tunnel.sealing(content, self.now) else { return false };
        let counter = sealing.counter().unwrap();
        assert!(side.counters.insert((sealing.index, counter)), "a counter twice");
        let mut sealed = if content == Content::Empty { vec![] } else { number.to_le_bytes().to_vec() };
        let tag = Portable.seal(sealing.key, counter, &[], &mut sealed);
        let receiver = sealing.receiver;
        self.transmit(at, Wire::Data { receiver, counter, sealed, tag });
        true
    }

    /// A packet from one side's host to the other's.
    pub(super) fn send(&mut self, at: usize, number: u32) -> Readiness {
        let readiness = self.with(at, Tunnel::readiness);
        match readiness {
            Readiness::Ready => assert!(self.seal(at, Content::Data, number)),
            Readiness::Wait => self.sides[at].waiting.push(number),
            Readiness::Away => {}
        }
        self.settle(at);
        readiness
    }

    pub(super) fn settle(&mut self, at: usize) {
        while let Some(action) = self.sides[at].tunnel.poll_action() {
            match action.clone() {
                Action::SendInit { sender, noise, .. } => {
                    self.sides[at].tunnel.note_left(sender, Some(self.now));
                    let terse = self.sides[at].tunnel.regime.is_metered();
                    self.transmit(at, Wire::Init { sender, noise, terse });
                }
                Action::Keepalive => assert!(self.seal(at, Content::Empty, 0)),
                Action::Usable { .. } => {
                    for number in std::mem::take(&mut self.sides[at].waiting) {
                        self.send(at, number);
                    }
                }
                // What waited has gone already.
                Action::Confirm => assert!(self.seal(at, Content::Empty, 0)),
                Action::Failed { .. } => self.sides[at].waiting.clear(),
                Action::Released { index } => self.sides[at].indices.release(index),
                Action::Measured(_) | Action::Unanswered | Action::Ended => {}
            }
            self.sides[at].actions.push(action);
        }
    }

    pub(super) fn deliver(&mut self, to: usize, wire: Wire) {
        match wire {
            Wire::Init { sender, noise, terse } => {
                let side = &mut self.sides[to];
                let hello = identify(&side.identity.clone(), &noise, &mut side.rng).unwrap();
                let framing = if terse { Framing::Terse } else { Framing::Stock { sender, receiver: 0 } };
                match self.with(to, |tunnel, context| tunnel.accept(hello, framing, context)) {
                    Ok(answer) => self.transmit(to, Wire::Response { answer, terse }),
                    Err(error) => self.sides[to].errors.push(error),
                }
            }
            Wire::Response { answer: Answer { sender, receiver, noise }, terse } => {
                let framing = if terse { Framing::Terse } else { Framing::Stock { sender, receiver } };
                let handled =
                    self.with(to, |tunnel, context| tunnel.handle_response(framing, &noise, context));
                self.sides[to].errors.extend(handled.err());
            }
            Wire::Data { receiver, counter, mut sealed, tag } => {
                let side = &mut self.sides[to];
                let Some(opening) = side.tunnel.opening(receiver, self.now) else {
                    self.with(to, Tunnel::unopened);
                    return self.settle(to);
                };
                Portable.open(opening.key, counter, &[], &mut sealed, &tag).unwrap();
                let content = if sealed.is_empty() { Content::Empty } else { Content::Data };
                if side.tunnel.opened(receiver, counter, content, self.now).is_ok() {
                    side.received
                        .extend(sealed.as_chunks().0.iter().map(|number| u32::from_le_bytes(*number)));
                }
            }
        }
        self.settle(to);
    }

    /// Lets so much time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..200_000 {
            let wire = self.air.iter().map(|(at, _, _)| *at).min();
            let timers = self.sides.iter().filter_map(|side| side.tunnel.deadline()).map(|(at, _)| at).min();
            let Some(next) = wire.into_iter().chain(timers).min().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            while let Some(at) = self.air.iter().position(|(at, _, _)| *at <= self.now) {
                let (_, from, wire) = self.air.remove(at);
                self.deliver(1 - from, wire);
            }
            for at in 0..2 {
                if self.sides[at].tunnel.deadline().is_some_and(|(due, _)| due <= self.now) {
                    self.with(at, Tunnel::handle_timeout);
                    self.settle(at);
                }
            }
        }
        panic!("the world spins: {:?}", self.sides.each_ref().map(|side| side.tunnel.deadline()));
    }

    pub(super) fn seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    /// How many messages of a kind one side has sent.
    pub(super) fn sent(&self, from: usize, is_meant: fn(&Wire) -> bool) -> usize {
        self.log.iter().filter(|(_, at, wire)| *at == from && is_meant(wire)).count()
    }

    pub(super) fn inits(&self, from: usize) -> usize {
        self.sent(from, |wire| matches!(wire, Wire::Init { .. }))
    }

    pub(super) fn data(&self, from: usize) -> usize {
        self.sent(from, |wire| matches!(wire, Wire::Data { .. }))
    }

    /// The last of the messages that one side sent and that are meant.
    pub(super) fn last(&self, from: usize, is_meant: fn(&Wire) -> bool) -> Wire {
        let mut meant = self.log.iter().filter(|(_, at, wire)| *at == from && is_meant(wire));
        meant.next_back().map(|(_, _, wire)| wire.clone()).expect("one was sent")
    }

    /// The indices in use are those of sessions and initiations, and of nothing else.
    pub(super) fn assert_indices_are_accounted_for(&mut self) {
        for at in 0..2 {
            self.settle(at);
            let side = &mut self.sides[at];
            side.tunnel.close();
            self.settle(at);
            assert!(self.sides[at].indices.is_empty(), "side {at}");
        }
    }
}
