//! One Meshtastic radio as seen by its host: the client API as a machine without IO, behind which the radio looks like
//! any other link.
//!
//! Life-cycle: disconnected → `handle_connected` → (a serial line is woken) → the radio is asked for its configuration →
//! [`LinkEvent::Up`], or a fault that a [`Notice`] explains → ... → `handle_disconnected`. A `Client` outlives its
//! connections: what it learned of peers, and who threw it out how often, is kept.
//!
//! Usage: after every `handle_*`, drain [`Client::poll_bytes`] to the stream and [`Client::poll_output`] to the core, then
//! arm one timer by [`Client::poll_timeout`].
//!
//! The lean choices, and what each saves:
//! - No acknowledgement by the radio (`want_ack`): sessions and what runs in them recover by themselves. Saves an
//!   answer of 29 bytes on the air per packet (477 ms at LONG_FAST) and the firmware's own retransmissions.
//! - The smallest hop limit that reaches the peer (`radios`): one transmission instead of one per neighbour that repeats.
//! - A channel that is not encrypted twice (`device`): 12 bytes of every packet.
//! - Port 256, as version 1 peers expect, costs a byte more than port 33, which is another tool's.
//! - Two packets in the radio at most (`flow`): no air, but latency; small urgent packets overtake in our queue.
//! - Fillers and questions cost no air at all (`keepalive`, `flow`).
//!
//! Invariants: nothing that the radio sends makes memory grow without bound or panics; a datagram that is too long for the
//! air is refused here; the packets in the radio and the room told to the core never exceed `flow::DEPTH` together.

mod contacts;
mod device;
mod eviction;
mod flow;
mod ids;
mod interface;
mod keepalive;
mod notice;
mod radios;
mod receive;
mod send;
mod status;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use prost::Message as _;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::limit::Bucket;
use crate::link::{LinkCaps, LinkEvent, Transmit};

use super::message::{Heartbeat, ToRadio, to_radio};
use super::stream::{Decoder, FILLER, MAX_LEN, frame};
use device::Device;
use eviction::{Evictions, Verdict};
use flow::{Flow, Tempo};
use ids::SentLog;
pub use interface::{ClientConfig, Contact, Ending, Output, Reconnect, Transport};
use keepalive::{Due, Keepalive};
pub use notice::{Cure, Notice, Severity};
use radios::Radios;
pub use radios::{KeyState, Radio};
pub use status::{Counters, Status};

/// Wakes the UART of a sleeping device and makes its parser look for a start.
const WAKE_LEN: usize = 32;
/// What a device needs to be awake.
const WAKE_TIME: Duration = Duration::from_millis(100);
/// Reading the whole configuration takes this long at most: some hundred nodes on a slow line.
const CONFIG_TIMEOUT: Duration = Duration::from_secs(120);

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Disconnected,
    /// A serial device gets time to wake up.
    Waking {
        until: Instant,
    },
    /// The radio was asked for its configuration.
    Configuring {
        nonce: u32,
        deadline: Instant,
    },
    Up,
    /// Connected, but the radio cannot serve as it is set.
    Faulty,
}

/// One radio as seen by its host. See the module's introduction.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    rng: ChaCha20Rng,
    phase: Phase,
    transport: Transport,
    decoder: Decoder,
    /// The radio as last configured.
    device: Device,
    /// The radio whose configuration is coming in.
    incoming: Device,
    radios: Radios,
    flow: Flow,
    keepalive: Keepalive,
    evictions: Evictions,
    sent: SentLog,
    /// Taken from the core when the radio had no room after all.
    overflow: VecDeque<Transmit>,
    /// What the core knows: the capabilities, and the room less what it has handed over since.
    announced: Option<LinkCaps>,
    told_room: usize,
    /// What the operator was told last that still holds.
    told: Option<Notice>,
    /// The operator knows that the hour's airtime is spent; until the radio takes a packet again.
    told_duty_cycle: bool,
    last_text: Option<(String, Instant)>,
    saw_text: bool,
    introduced: Option<Instant>,
    /// Limits how many keys are asked for at once.
    questions: Bucket,
    channel_utilization: Option<f32>,
    air_util_tx: Option<f32>,
    nodes_known: u32,
    counters: Counters,
    bytes: VecDeque<Vec<u8>>,
    outputs: VecDeque<Output>,
}

impl Client {
    /// Makes a client without a connection. `seed` must come from the operating system's randomness (or a test).
    #[must_use]
    pub fn new(config: ClientConfig, seed: [u8; 32], now: Instant) -> Self {
        let device = Device::default();
        Self {
            rng: ChaCha20Rng::from_seed(seed),
            phase: Phase::Disconnected,
            transport: Transport::Tcp,
            decoder: Decoder::default(),
            incoming: Device::default(),
            radios: Radios::new(&config.contacts),
            flow: Flow::new(tempo(&device)),
            device,
            keepalive: Keepalive::new(now),
            evictions: Evictions::default(),
            sent: SentLog::default(),
            overflow: VecDeque::new(),
            announced: None,
            told_room: 0,
            told: None,
            told_duty_cycle: false,
            last_text: None,
            saw_text: false,
            introduced: None,
            questions: contacts::QUESTIONS,
            channel_utilization: None,
            air_util_tx: None,
            nodes_known: 0,
            counters: Counters::default(),
            bytes: VecDeque::new(),
            outputs: VecDeque::new(),
            config,
        }
    }

    /// The stream to the radio is open.
    pub fn handle_connected(&mut self, transport: Transport, now: Instant) {
        self.transport = transport;
        self.decoder.reset();
        self.bytes.clear();
        self.saw_text = false;
        self.keepalive = Keepalive::new(now);
        self.evictions.handle_connected(now);
        match transport {
            Transport::Tcp => self.ask_config(now),
            Transport::Serial => {
                self.push_bytes(vec![FILLER; WAKE_LEN]);
                self.phase = Phase::Waking { until: now + WAKE_TIME };
            }
        }
    }

    /// The stream to the radio is gone.
    pub fn handle_disconnected(&mut self, ending: Ending, now: Instant) {
        let restarts = match self.phase {
            Phase::Disconnected => return,
            Phase::Waking { .. } => None,
            Phase::Configuring { .. } => self.incoming.node.map(|_| self.incoming.reboots),
            Phase::Up | Phase::Faulty => Some(self.device.reboots),
        };
        let closed = ending == Ending::Closed && self.transport == Transport::Tcp;
        match restarts.filter(|_| closed) {
            Some(restarts) => {
                let verdict = self.evictions.handle_closed(restarts, now);
                self.tell_verdict(verdict);
            }
            None => self.evictions.handle_failed(),
        }
        self.go_down();
        self.phase = Phase::Disconnected;
        self.bytes.clear();
    }

    /// Returns how long the driver should wait at least before it connects again.
    #[must_use]
    pub fn reconnect_wait(&self) -> Duration {
        self.evictions.wait()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Disconnected => return,
            Phase::Waking { until } if until <= now => self.ask_config(now),
            Phase::Waking { .. } => return,
            Phase::Configuring { deadline, .. } if deadline <= now => {
                self.give_up(Notice::IncompleteConfig, Reconnect::IncompleteConfig);
            }
            Phase::Configuring { .. } | Phase::Up | Phase::Faulty => {}
        }
        self.keep_alive(now);
        if self.phase == Phase::Up {
            if self.flow.handle_timeout(now) {
                self.ask(now);
            }
            for introduction in self.radios.due_introductions(now) {
                self.introduce(introduction, now);
            }
            self.flush(now);
        }
    }

    /// Returns the next bytes for the stream.
    pub fn poll_bytes(&mut self) -> Option<Vec<u8>> {
        self.bytes.pop_front()
    }

    /// Returns the next thing that the client has to say.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when [`Self::handle_timeout`] must be called next, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let keepalive = Some(self.keepalive.poll_timeout());
        let (phase, flow, key) = match self.phase {
            Phase::Disconnected => return None,
            Phase::Waking { until } => return Some((until, "radio wakes")),
            Phase::Configuring { deadline, .. } => (Some((deadline, "radio configuration")), None, None),
            Phase::Faulty => (None, None, None),
            Phase::Up => (
                None,
                self.flow.poll_timeout().map(|at| (at, "radio queue")),
                self.radios.poll_timeout().map(|at| (at, "radio key")),
            ),
        };
        [keepalive, phase, flow, key].into_iter().flatten().min()
    }

    fn keep_alive(&mut self, now: Instant) {
        match self.keepalive.handle_timeout(now) {
            None => {}
            Some(Due::Filler) => {
                self.counters.fillers += 1;
                self.push_bytes(vec![FILLER]);
                self.keepalive.handle_filler(now);
            }
            // A fault may have been mended by other means: look again instead.
            Some(Due::Heartbeat) if self.phase == Phase::Faulty => self.ask_config(now),
            Some(Due::Heartbeat) => self.ask(now),
            Some(Due::Dead) => {
                // Once is enough: what follows is up to the driver.
                self.keepalive.handle_received();
                if let Phase::Configuring { .. } = self.phase {
                    let notice = Notice::NoAnswer { transport: self.transport, text: self.saw_text };
                    self.give_up(notice, Reconnect::NoAnswer);
                } else {
                    let notice = Notice::Silent { waited: keepalive::DEAD_AFTER };
                    self.give_up(notice, Reconnect::Silent);
                }
            }
        }
    }

    /// Nothing more is to be had from this connection.
    fn give_up(&mut self, notice: Notice, reason: Reconnect) {
        self.go_down();
        self.phase = Phase::Disconnected;
        self.evictions.handle_failed();
        self.tell_fault(notice);
        self.outputs.push_back(Output::Reconnect(reason));
    }

    fn ask_config(&mut self, now: Instant) {
        // 69420 and 69421 ask for a part only.
        let nonce = loop {
            let nonce = self.rng.next_u32();
            if !matches!(nonce, 0 | 69420 | 69421) {
                break nonce;
            }
        };
        self.incoming = Device::default();
        self.nodes_known = 0;
        self.radios.forget_keys();
        let deadline = now + CONFIG_TIMEOUT;
        self.phase = Phase::Configuring { nonce, deadline };
        self.keepalive.expect_until(deadline);
        self.write(to_radio::Variant::WantConfigId(nonce), true, now);
    }

    /// Asks for the state of the radio's queue; the answer also shows that the radio is there.
    fn ask(&mut self, now: Instant) {
        self.counters.questions += 1;
        self.flow.handle_question(now);
        self.write(to_radio::Variant::Heartbeat(Heartbeat { nonce: 0 }), true, now);
    }

    /// Writes a message; a `question` is one that is always answered.
    fn write(&mut self, variant: to_radio::Variant, question: bool, now: Instant) {
        let message = ToRadio { variant: Some(variant) }.encode_to_vec();
        // All that is written is far shorter; a longer one would be dropped by the radio without a word.
        if message.len() <= MAX_LEN {
            self.push_bytes(frame(&message));
            self.keepalive.handle_written(now, question);
        }
    }

    fn push_bytes(&mut self, bytes: Vec<u8>) {
        self.counters.bytes_out += bytes.len() as u64;
        self.bytes.push_back(bytes);
    }

    /// The link carries nothing any more.
    fn go_down(&mut self) {
        if self.announced.take().is_some() {
            self.outputs.push_back(Output::Link(LinkEvent::Down));
        }
        self.told_room = 0;
        self.overflow.clear();
        self.flow = Flow::new(tempo(&self.device));
    }

    fn tell(&mut self, notice: Notice) {
        self.outputs.push_back(Output::Notice(notice));
    }

    /// Tells what keeps the link from working, once until it works or another thing keeps it.
    fn tell_fault(&mut self, fault: Notice) {
        if self.told.as_ref() != Some(&fault) {
            self.told = Some(fault.clone());
            self.tell(fault);
        }
    }

    fn tell_verdict(&mut self, verdict: Option<Verdict>) {
        match verdict {
            None => {}
            Some(Verdict::Restart) => self.tell(Notice::Rebooted),
            Some(Verdict::Eviction(times)) => {
                let wait = self.evictions.next_wait();
                self.tell(Notice::Evicted { times, wait });
            }
        }
    }
}

/// What the flow control needs to know of a radio's modem.
fn tempo(device: &Device) -> Tempo {
    let modem = device.modem();
    Tempo { access: modem.mean_access(), longest: modem.airtime(super::airtime::MAX_ON_AIR) }
}
