//! The air: radios that share it, time that passes over it, and all that is visible from outside.
//!
//! [`Air`] is sans-IO: time is an argument, chance comes from a seed, bytes from hosts go in with `handle_*`, bytes to
//! them come out of `poll_*`. The caller's part is a loop:
//!
//! 1. hand in what came from hosts ([`Air::handle_client_bytes`] and so on),
//! 2. take out what is for them ([`Air::poll_ready`], [`Air::poll_client`]),
//! 3. at [`Air::poll_timeout`] call [`Air::handle_timeout`].
//!
//! Events happen in the order of their time, whatever steps the caller takes: a late call of `handle_timeout` yields the
//! same trace as many punctual ones. The same calls with the same seed yield the same trace.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::config::{AirConfig, Faults, Hearing, RadioConfig};
use crate::ledger::{LedgerEntry, NodeNum, Totals};
use crate::radio::frame::PublicKey;
use crate::radio::port::{ClientId, ClientOutput, Transport};
use crate::radio::queue::Queued;
use crate::radio::{Radio, Turn};

mod fading;
mod medium;

use fading::Fading;
use medium::{Medium, Reception};

/// Radios that are switched on together do not come up together to the millisecond.
const MAX_LATENESS: Duration = Duration::from_secs(2);

/// One of the radios of an [`Air`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RadioId(pub(crate) usize);

/// Radios on one simulated LoRa channel.
#[derive(Debug)]
pub struct Air {
    config: AirConfig,
    chance: Chance,
    start: Instant,
    now: Instant,
    radios: Vec<Radio>,
    totals: Vec<Totals>,
    hearing: BTreeMap<(usize, usize), Option<Hearing>>,
    fading: Fading,
    medium: Medium,
    ledger: VecDeque<LedgerEntry>,
    next_client: u64,
}

impl Air {
    /// Creates an air without radios.
    #[must_use]
    pub fn new(config: AirConfig, seed: u64, now: Instant) -> Self {
        Self {
            config,
            chance: Chance::new(seed),
            start: now,
            now,
            radios: Vec::new(),
            totals: Vec::new(),
            hearing: BTreeMap::new(),
            fading: Fading::default(),
            medium: Medium::default(),
            ledger: VecDeque::new(),
            next_client: 0,
        }
    }

    /// Switches a radio on, booted already; it and the others get acquainted as configured.
    pub fn add_radio(&mut self, config: RadioConfig, now: Instant) -> RadioId {
        self.handle_timeout(now);
        let mut key: PublicKey = [0; 32];
        self.chance.fill(&mut key);
        let lateness = MAX_LATENESS.mul_f64(self.chance.unit());
        let mut radio = Radio::new(config, key, lateness, now);
        let unix = self.unix();
        for other in &mut self.radios {
            radio.acquaint(other, unix);
            other.acquaint(&radio, unix);
        }
        self.radios.push(radio);
        self.totals.push(Totals::default());
        RadioId(self.radios.len() - 1)
    }

    /// Returns the radio with this node number.
    #[must_use]
    pub fn radio(&self, num: u32) -> Option<RadioId> {
        self.radios.iter().position(|radio| radio.config.num == num).map(RadioId)
    }

    /// Returns all radios, in the order in which they were added.
    pub fn radios(&self) -> impl Iterator<Item = RadioId> + use<> {
        (0..self.radios.len()).map(RadioId)
    }

    /// Returns a radio's node number.
    #[must_use]
    pub fn num(&self, radio: RadioId) -> u32 {
        self.radios[radio.0].config.num
    }

    /// Returns a radio's Meshtastic public key.
    #[must_use]
    pub fn public_key(&self, radio: RadioId) -> PublicKey {
        self.radios[radio.0].key
    }

    /// Returns what a radio sent so far.
    #[must_use]
    pub fn totals(&self, radio: RadioId) -> &Totals {
        &self.totals[radio.0]
    }

    /// Returns how much of its transmit queue of 16 a radio has in use.
    #[must_use]
    pub fn queued(&self, radio: RadioId) -> usize {
        self.radios[radio.0].queue.len()
    }

    /// Returns how many packets a radio lost because its host did not read.
    #[must_use]
    pub fn dropped_for_host(&self, radio: RadioId) -> u64 {
        self.radios[radio.0].phone.dropped
    }

    /// Returns the faults, to be changed at will.
    pub fn faults_mut(&mut self) -> &mut Faults {
        &mut self.config.faults
    }

    /// Sets how well one radio hears another, `None` for not at all.
    pub fn set_hearing(&mut self, from: RadioId, to: RadioId, hearing: Option<Hearing>) {
        self.hearing.insert((from.0, to.0), hearing);
    }

    /// Starts or stops the keeping of ledger entries.
    pub fn set_ledger(&mut self, keep: bool) {
        self.config.ledger = keep;
    }

    /// A host connects to a radio's client port; a TCP client is served at the port's next look, a serial one at once.
    pub fn handle_client_connected(
        &mut self,
        radio: RadioId,
        transport: Transport,
        now: Instant,
    ) -> ClientId {
        self.handle_timeout(now);
        self.next_client += 1;
        let id = ClientId { radio: radio.0, number: self.next_client };
        let radio = &mut self.radios[radio.0];
        radio.port.connect(id, transport, radio.boot, self.now);
        if transport == Transport::Tcp && !radio.is_up(self.now) {
            radio.port.refuse(id);
        }
        id
    }

    /// A host sends bytes; returns how many were taken. At most 64 KiB wait for the radio to read them, as in a socket:
    /// the rest is to be sent again later.
    pub fn handle_client_bytes(&mut self, client: ClientId, bytes: &[u8], now: Instant) -> usize {
        self.handle_timeout(now);
        self.radios[client.radio].port.receive(client, bytes, self.now)
    }

    /// A host has closed its connection.
    pub fn handle_client_disconnected(&mut self, client: ClientId, now: Instant) {
        self.handle_timeout(now);
        self.radios[client.radio].port.disconnect(client);
    }

    /// Returns a connection for which [`poll_client`](Self::poll_client) has something, once per occasion.
    pub fn poll_ready(&mut self) -> Option<ClientId> {
        self.radios.iter_mut().find_map(|radio| radio.port.poll_ready())
    }

    /// Returns what a radio did to a connection. A radio whose host leaves 16 KiB here stops writing, and then loses
    /// packets as the firmware does.
    pub fn poll_client(&mut self, client: ClientId) -> Option<ClientOutput> {
        self.radios[client.radio].port.poll(client, self.now)
    }

    /// Returns how many bytes from this host the radio has not read yet: what a socket's buffer would hold.
    #[must_use]
    pub fn unread(&self, client: ClientId) -> usize {
        self.radios[client.radio].port.unread(client)
    }

    /// Returns the next entry of the ledger.
    pub fn poll_ledger(&mut self) -> Option<LedgerEntry> {
        self.ledger.pop_front()
    }

    /// Returns when something happens next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let radios = self.radios.iter().filter_map(Radio::next_due).min();
        [self.medium.next_end(), radios].into_iter().flatten().min()
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(at) = self.poll_timeout().filter(|at| *at <= now) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = self.now.max(now);
    }

    /// Resets a radio, which takes its boot time; `forget_nodes` loses its node database and all keys in it.
    pub fn reboot(&mut self, radio: RadioId, forget_nodes: bool, now: Instant) {
        self.handle_timeout(now);
        self.medium.cut(radio.0, self.now);
        self.radios[radio.0].reset(forget_nodes, self.now);
    }

    /// Another client takes a radio's TCP port for a moment: the present one is thrown out.
    pub fn evict(&mut self, radio: RadioId, now: Instant) {
        self.handle_timeout(now);
        self.radios[radio.0].port.close();
    }

    /// Lets the network between a radio and its present host swallow everything, without a word to either; or ends that.
    pub fn stall(&mut self, radio: RadioId, stalled: bool, now: Instant) {
        self.handle_timeout(now);
        if let Some(session) = &mut self.radios[radio.0].port.session {
            session.stalled = stalled;
            session.wake(self.now);
        }
    }

    /// Does what is due at `self.now`: first what ends on the air, then radio by radio.
    fn step(&mut self) {
        while let Some(at) = self.medium.ending(self.now) {
            self.end_transmission(at);
        }
        for at in 0..self.radios.len() {
            if self.radios[at].next_due().is_some_and(|due| due <= self.now) {
                self.with_radio(at, Radio::handle_due);
                self.access_medium(at);
            }
        }
    }

    fn with_radio(&mut self, at: usize, act: impl FnOnce(&mut Radio, &mut Turn<'_>)) {
        let unix = self.unix();
        let mut turn = Turn { now: self.now, unix, chance: &mut self.chance, faults: &self.config.faults };
        act(&mut self.radios[at], &mut turn);
    }

    /// A radio's wait is over: it sends if the channel seems free, or draws another wait.
    fn access_medium(&mut self, at: usize) {
        if self.radios[at].mac.timer.is_none_or(|timer| timer > self.now) {
            return;
        }
        self.radios[at].mac.timer = None;
        let busy = self.radios[at].mac.sending
            || self.medium.is_busy(|sender| self.hearing(sender, at).map(|hearing| hearing.snr), self.now);
        if busy {
            self.with_radio(at, Radio::set_transmit_delay);
            return;
        }
        let radio = &mut self.radios[at];
        let Some(packet) = radio.queue.pop() else { return };
        let airtime = packet.frame.airtime(&radio.modem);
        radio.mac.sending = true;
        radio.airlog.log_sent(airtime, self.now);
        radio.log(self.now, format_args!("sending !{:08x} {:08x}", packet.frame.from, packet.frame.id));
        let symbol = Duration::from_secs_f64(
            f64::from(1_u32 << radio.modem.spreading_factor) / f64::from(radio.modem.bandwidth),
        );
        let preamble = radio.modem.preamble;
        self.medium.start(at, packet, airtime, symbol, preamble, self.now);
        self.with_radio(at, Radio::serve_host);
    }

    fn end_transmission(&mut self, at: usize) {
        let transmission = self.medium.get(at);
        let (sender, start, cut) = (transmission.sender, transmission.start, transmission.cut);
        let packet = transmission.packet.clone();
        let airtime = transmission.end - start;
        let mut entry = self.new_entry(sender, &packet, start, airtime);
        let mut received = Vec::new();
        for receiver in (0..self.radios.len()).filter(|receiver| *receiver != sender) {
            let Some(hearing) = self.hearing(sender, receiver) else { continue };
            let num = NodeNum(self.radios[receiver].config.num);
            let snr_at = |sender: usize| self.hearing(sender, receiver).map(|hearing| hearing.snr);
            let reception = match self.medium.reception(at, receiver, snr_at) {
                _ if start < self.radios[receiver].boot => Reception::Deaf,
                reception => reception,
            };
            if reception != Reception::Deaf {
                // Noise or not, the receiver saw the channel in use.
                self.radios[receiver].airlog.log_heard(airtime, self.now);
                self.with_radio(receiver, Radio::redraw_transmit_delay);
            }
            match reception {
                Reception::Deaf => entry.deaf.push(num),
                Reception::Collided => {
                    self.totals[receiver].collided += 1;
                    entry.collided.push(num);
                }
                Reception::Clear if self.is_lost(sender, receiver, hearing) => {
                    self.totals[receiver].lost += 1;
                    entry.lost.push(num);
                }
                Reception::Clear => {
                    self.totals[receiver].received += 1;
                    entry.delivered.push(num);
                    received.push((receiver, hearing.snr));
                }
            }
        }
        self.medium.finish(at);
        self.account(sender, &packet, airtime, entry);
        if !cut {
            self.radios[sender].mac.sending = false;
            self.with_radio(sender, Radio::redraw_transmit_delay);
        }
        for (receiver, snr) in received {
            self.with_radio(receiver, |radio, turn| {
                radio.handle_frame(&packet.frame, snr, turn);
                radio.redraw_transmit_delay(turn);
                radio.serve_host(turn);
            });
        }
    }

    fn new_entry(&self, sender: usize, packet: &Queued, start: Instant, airtime: Duration) -> LedgerEntry {
        let frame = &packet.frame;
        LedgerEntry {
            time: (start - self.start).as_secs_f64(),
            sender: NodeNum(self.radios[sender].config.num),
            from: NodeNum(frame.from),
            to: NodeNum(frame.to),
            id: frame.id,
            kind: packet.kind,
            port: frame.body.data.portnum,
            payload: frame.body.data.payload.len(),
            bytes: frame.bytes(),
            airtime_ms: airtime.as_secs_f64() * 1000.0,
            hop_limit: frame.hop_limit,
            pki: frame.body.is_pki(),
            delivered: Vec::new(),
            collided: Vec::new(),
            deaf: Vec::new(),
            lost: Vec::new(),
        }
    }

    fn account(&mut self, sender: usize, packet: &Queued, airtime: Duration, entry: LedgerEntry) {
        let totals = &mut self.totals[sender];
        *totals.frames.entry(packet.kind).or_default() += 1;
        totals.bytes += packet.frame.bytes() as u64;
        totals.airtime += airtime;
        if self.config.ledger {
            self.ledger.push_back(entry);
        }
    }

    /// Returns how well `receiver` hears `sender`; `None` for not at all.
    fn hearing(&self, sender: usize, receiver: usize) -> Option<Hearing> {
        if sender == receiver || !self.radios[sender].config.shares_air_with(&self.radios[receiver].config) {
            return None;
        }
        self.hearing.get(&(sender, receiver)).copied().unwrap_or(self.config.hearing)
    }

    fn is_lost(&mut self, sender: usize, receiver: usize, hearing: Hearing) -> bool {
        let Faults { loss, burst, .. } = self.config.faults;
        let chance = &mut self.chance;
        let in_burst =
            burst.map_or(0.0, |burst| self.fading.loss(burst, (sender, receiver), self.now, chance));
        chance.hit(loss) || chance.hit(hearing.loss) || chance.hit(in_burst)
    }

    fn unix(&self) -> u32 {
        let elapsed = (self.now - self.start).as_secs();
        u32::try_from(self.config.unix_time + elapsed).unwrap_or(u32::MAX)
    }
}
