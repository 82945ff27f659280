//! One radio: its firmware, without the air between it and the others.
//!
//! The files below follow the firmware's own division: [`port`] and [`client`] are the client API, [`greeting`] what
//! `want_config` is answered with, [`phone`] what waits for the host; [`send`] and [`receive`] are the router, with
//! [`retry`], [`history`], [`queue`] and [`nodedb`] as its tables; [`modules`] are the radio's own applications,
//! [`airlog`] its account of the air. Medium access is in [`Air`](crate::Air), for it needs to hear the others.
//!
//! Life-cycle: switched on (or reset) → boots, deaf and without client port → up. A reset loses everything but the node
//! database, and even that if told so.

use std::time::{Duration, Instant};

use meshnet_proto::meshtastic::airtime::{Modem, Region};
use meshnet_proto::meshtastic::message::{LoraConfig, MeshPacket, User};

use crate::chance::Chance;
use crate::config::{Acquainted, Faults, RadioConfig};

pub(crate) mod admin;
pub(crate) mod airlog;
pub(crate) mod client;
pub(crate) mod frame;
pub(crate) mod greeting;
pub(crate) mod history;
pub(crate) mod mac;
pub(crate) mod modules;
pub(crate) mod nodedb;
pub(crate) mod phone;
pub(crate) mod port;
pub(crate) mod queue;
pub(crate) mod receive;
pub(crate) mod retry;
pub(crate) mod send;

/// What a radio is given to act: the time, its share of chance, and what goes wrong on its way to the host.
pub(crate) struct Turn<'a> {
    pub(crate) now: Instant,
    /// Seconds since 1970.
    pub(crate) unix: u32,
    pub(crate) chance: &'a mut Chance,
    pub(crate) faults: &'a Faults,
}

#[derive(Debug)]
pub(crate) struct Radio {
    pub(crate) config: RadioConfig,
    pub(crate) modem: Modem,
    pub(crate) region: Region,
    pub(crate) key: frame::PublicKey,
    /// How much later than others it comes to speak after a boot.
    lateness: Duration,
    /// When it came, or will come, up.
    pub(crate) boot: Instant,
    booted: bool,
    reboots: u32,
    pub(crate) nodes: nodedb::NodeDb,
    pub(crate) queue: queue::TxQueue,
    pub(crate) mac: mac::Mac,
    pub(crate) airlog: airlog::AirLog,
    history: history::History,
    retries: retry::Retries,
    pub(crate) phone: phone::ToPhone,
    pub(crate) port: port::Port,
    node_info: modules::NodeInfoModule,
    telemetry_due: Option<Instant>,
    reset_due: Option<Instant>,
    /// How the host wants the radio set; it takes effect with the next reset.
    new_lora: Option<LoraConfig>,
    /// Packets for the host that a fault holds back.
    late: Vec<(Instant, MeshPacket)>,
}

impl Radio {
    pub(crate) fn new(config: RadioConfig, key: frame::PublicKey, lateness: Duration, now: Instant) -> Self {
        let mut radio = Self {
            modem: config.modem(),
            region: Region::from_number(config.region),
            key,
            lateness,
            boot: now,
            booted: false,
            reboots: 0,
            nodes: nodedb::NodeDb::default(),
            queue: queue::TxQueue::default(),
            mac: mac::Mac::default(),
            airlog: airlog::AirLog::new(now),
            history: history::History::default(),
            retries: retry::Retries::default(),
            phone: phone::ToPhone::new(config.to_phone),
            port: port::Port::default(),
            node_info: modules::NodeInfoModule::default(),
            telemetry_due: None,
            reset_due: None,
            new_lora: None,
            late: Vec::new(),
            config,
        };
        radio.start(now);
        radio
    }

    /// Resets the radio: it is deaf for its boot time, TCP clients are cut off, and all that waited is lost.
    pub(crate) fn reset(&mut self, forget_nodes: bool, now: Instant) {
        self.reboots += 1;
        let line = self.port.transport == port::Transport::Serial;
        let host = self.port.session.as_ref().map(|session| session.id);
        if line {
            self.port.session = None;
        } else {
            self.port.close_all();
        }
        if forget_nodes {
            self.nodes.clear();
        }
        self.apply_new_lora();
        self.modem = self.config.modem();
        self.region = Region::from_number(self.config.region);
        self.queue = queue::TxQueue::default();
        self.mac = mac::Mac::default();
        self.history = history::History::default();
        self.retries = retry::Retries::default();
        self.phone = phone::ToPhone::new(self.config.to_phone);
        self.late.clear();
        self.start(now + self.config.boot_time);
        if let (true, Some(host)) = (line, host) {
            self.port.serve(host, self.boot);
        }
    }

    fn start(&mut self, boot: Instant) {
        self.boot = boot;
        self.booted = false;
        self.reset_due = None;
        self.airlog = airlog::AirLog::new(boot);
        self.node_info = modules::NodeInfoModule::at_boot(self.config.node_info, self.lateness, boot);
        self.telemetry_due = self.config.telemetry.map(|every| boot + every);
    }

    pub(crate) fn is_up(&self, now: Instant) -> bool {
        now >= self.boot
    }

    /// The last byte of the node number: how relays are named on the air.
    pub(crate) fn short(&self) -> u8 {
        self.config.num.to_le_bytes()[0]
    }

    /// Returns what this radio says of itself.
    pub(crate) fn user(&self) -> User {
        let config = &self.config;
        let [a, b, c, d] = config.num.to_be_bytes();
        User {
            id: format!("!{:08x}", config.num),
            long_name: config.long_name.clone(),
            short_name: config.short_name.clone(),
            macaddr: vec![0x02, 0x00, a, b, c, d],
            hw_model: greeting::HARDWARE,
            is_licensed: config.licensed,
            role: config.role.number(),
            public_key: if config.licensed { Vec::new() } else { self.key.to_vec() },
        }
    }

    /// Takes another radio into the node database, as if it had been heard.
    pub(crate) fn acquaint(&mut self, other: &Self, unix: u32) {
        if self.config.acquainted == Acquainted::All && self.config.num != other.config.num {
            self.nodes.set_user(other.config.num, other.user());
            self.nodes.entry(other.config.num).last_heard = unix;
        }
    }

    /// Returns when this radio next does something by itself.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let boot = (!self.booted).then_some(self.boot);
        let session = self.port.session.as_ref();
        let poll = session.filter(|session| !session.stalled).and_then(|session| session.due);
        let silence = session.map(|session| session.last_contact + port::SILENCE);
        let late = self.late.iter().map(|(at, _)| *at).min();
        [
            boot,
            self.port.next_accept(),
            poll,
            silence,
            late,
            self.mac.timer,
            self.retries.next(),
            self.node_info.due,
            self.telemetry_due,
            self.reset_due,
        ]
        .into_iter()
        .flatten()
        .min()
        // Nothing happens before the radio is up.
        .map(|at| at.max(self.boot))
    }

    /// Does what is due, but for medium access.
    pub(crate) fn handle_due(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        if !self.booted && self.is_up(now) {
            self.booted = true;
            self.say_booted(now);
        }
        if self.reset_due.is_some_and(|at| at <= now) {
            self.reset(false, now);
            return;
        }
        self.port.accept_due(now);
        self.drop_silent_client(now);
        self.poll_client_api(turn);
        self.release_late(now);
        self.retransmit_due(turn);
        self.node_info_due(turn);
        self.telemetry_due(turn);
        self.serve_host(turn);
    }

    /// Resets itself after this time, as when told so by its host.
    pub(crate) fn reset_in(&mut self, after: Duration, now: Instant) {
        self.reset_due = Some(now + after);
    }

    fn release_late(&mut self, now: Instant) {
        while let Some(at) = self.late.iter().position(|(at, _)| *at <= now) {
            let (_, packet) = self.late.swap_remove(at);
            self.phone.push_packet(packet);
        }
    }
}
