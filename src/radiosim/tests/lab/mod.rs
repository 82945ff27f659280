//! Radios and their hosts in virtual time, for the tests of this folder.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meshnet_proto::meshtastic::airtime::{Preset, Region};
use meshnet_proto::meshtastic::message::from_radio::Variant;
use meshnet_proto::meshtastic::message::mesh_packet::Payload;
use meshnet_proto::meshtastic::message::{
    Data, FromRadio, Heartbeat, MeshPacket, QueueStatus, Routing, ToRadio, port, routing, to_radio,
};
use meshnet_proto::meshtastic::stream::{self, Decoder, Piece};
use meshnet_radiosim::{
    Air, AirConfig, ClientId, ClientOutput, LedgerEntry, RadioConfig, RadioId, Transport,
};
use prost::Message;

pub const A: u32 = 0xa000_0001;
pub const B: u32 = 0xa000_0002;
pub const C: u32 = 0xa000_0003;

/// What a host got.
#[derive(Default)]
pub struct Received {
    decoder: Decoder,
    pub messages: Vec<(Duration, FromRadio)>,
    pub text: Vec<String>,
    pub closed: Option<Duration>,
    /// Nothing is taken from the radio.
    pub deaf: bool,
}

pub struct Lab {
    pub air: Air,
    pub start: Instant,
    pub now: Instant,
    hosts: BTreeMap<ClientId, Received>,
    pub ledger: Vec<LedgerEntry>,
    next_id: u32,
}

/// A radio for tests: at a preset, without a duty cycle, and silent unless spoken to.
pub fn quiet(num: u32, preset: &str) -> RadioConfig {
    RadioConfig {
        preset: Preset::by_name(preset).unwrap(),
        region: Region::number_of("US").unwrap(),
        telemetry: None,
        node_info: false,
        ..RadioConfig::new(num)
    }
}

impl Lab {
    pub fn new(seed: u64) -> Self {
        Self::with(AirConfig { ledger: true, ..AirConfig::default() }, seed)
    }

    pub fn with(config: AirConfig, seed: u64) -> Self {
        let start = Instant::now();
        let air = Air::new(config, seed, start);
        Self { air, start, now: start, hosts: BTreeMap::new(), ledger: Vec::new(), next_id: 1 }
    }

    pub fn add(&mut self, config: RadioConfig) -> RadioId {
        self.air.add_radio(config, self.now)
    }

    /// Two quiet radios with a host each, both greeted.
    pub fn pair(preset: &str, seed: u64) -> (Self, ClientId, ClientId) {
        let mut lab = Self::new(seed);
        let (a, b) = (lab.add(quiet(A, preset)), lab.add(quiet(B, preset)));
        let (a, b) = (lab.connect(a), lab.connect(b));
        (lab, a, b)
    }

    /// The host closes its side.
    pub fn hang_up(&mut self, client: ClientId) {
        self.air.handle_client_disconnected(client, self.now);
    }

    pub fn time(&self) -> Duration {
        self.now - self.start
    }

    /// Lets time pass, event by event.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.collect();
            match self.air.poll_timeout().filter(|at| *at <= end) {
                Some(at) => {
                    self.now = self.now.max(at);
                    self.air.handle_timeout(self.now);
                }
                None => break,
            }
        }
        self.now = end;
        self.air.handle_timeout(end);
        self.collect();
    }

    pub fn run_ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
    }

    pub fn run_secs(&mut self, secs: u64) {
        self.run(Duration::from_secs(secs));
    }

    fn collect(&mut self) {
        let at = self.now - self.start;
        for (client, host) in &mut self.hosts {
            while !host.deaf
                && let Some(output) = self.air.poll_client(*client)
            {
                match output {
                    ClientOutput::Closed => host.closed = Some(at),
                    ClientOutput::Bytes(bytes) => {
                        let (messages, text) = (&mut host.messages, &mut host.text);
                        host.decoder.push(&bytes, |piece| match piece {
                            Piece::Message(bytes) => {
                                messages.push((at, FromRadio::decode(bytes.as_slice()).unwrap()));
                            }
                            Piece::Text(line) => text.push(line),
                        });
                    }
                }
            }
        }
        self.ledger.extend(std::iter::from_fn(|| self.air.poll_ledger()));
    }

    pub fn open(&mut self, radio: RadioId, transport: Transport) -> ClientId {
        let client = self.air.handle_client_connected(radio, transport, self.now);
        self.hosts.insert(client, Received::default());
        client
    }

    /// Connects on TCP and goes through the greeting, which is then forgotten.
    pub fn connect(&mut self, radio: RadioId) -> ClientId {
        self.connect_by(radio, Transport::Tcp)
    }

    pub fn connect_by(&mut self, radio: RadioId, transport: Transport) -> ClientId {
        let client = self.open(radio, transport);
        self.want_config(client, 7);
        self.run_ms(700);
        let messages = self.take(client);
        let complete = Some(Variant::ConfigCompleteId(7));
        assert!(messages.iter().any(|message| message.variant == complete));
        client
    }

    pub fn bytes(&mut self, client: ClientId, bytes: &[u8]) {
        assert_eq!(self.air.handle_client_bytes(client, bytes, self.now), bytes.len());
    }

    pub fn say(&mut self, client: ClientId, variant: to_radio::Variant) {
        self.bytes(client, &stream::frame(&ToRadio { variant: Some(variant) }.encode_to_vec()));
    }

    pub fn want_config(&mut self, client: ClientId, nonce: u32) {
        self.say(client, to_radio::Variant::WantConfigId(nonce));
    }

    pub fn heartbeat(&mut self, client: ClientId, nonce: u32) {
        self.say(client, to_radio::Variant::Heartbeat(Heartbeat { nonce }));
    }

    /// Sends a packet from a host; returns its number.
    pub fn packet(&mut self, client: ClientId, packet: MeshPacket) -> u32 {
        self.next_id += 1;
        let id = if packet.id == 0 { self.next_id } else { packet.id };
        self.say(client, to_radio::Variant::Packet(MeshPacket { id, ..packet }));
        id
    }

    /// Sends `len` bytes to a node on port 33, without hops or acknowledgement.
    pub fn datagram(&mut self, client: ClientId, to: u32, len: usize) -> u32 {
        self.packet(client, packet(to, port::IP_TUNNEL, len))
    }

    /// Returns what a host got, and forgets it.
    pub fn take(&mut self, client: ClientId) -> Vec<FromRadio> {
        self.take_timed(client).into_iter().map(|(_, message)| message).collect()
    }

    pub fn take_timed(&mut self, client: ClientId) -> Vec<(Duration, FromRadio)> {
        std::mem::take(&mut self.host(client).messages)
    }

    pub fn host(&mut self, client: ClientId) -> &mut Received {
        self.hosts.get_mut(&client).unwrap()
    }
}

/// A packet of zeros without hops or acknowledgement.
pub fn packet(to: u32, portnum: u32, len: usize) -> MeshPacket {
    let data = Data { portnum, payload: vec![0; len], ..Data::default() };
    MeshPacket { to, payload: Some(Payload::Decoded(data)), ..MeshPacket::default() }
}

pub fn statuses(messages: &[FromRadio]) -> Vec<QueueStatus> {
    let status = |message: &FromRadio| match message.variant {
        Some(Variant::QueueStatus(status)) => Some(status),
        _ => None,
    };
    messages.iter().filter_map(status).collect()
}

pub fn packets(messages: &[FromRadio]) -> Vec<MeshPacket> {
    let packet = |message: &FromRadio| match &message.variant {
        Some(Variant::Packet(packet)) => Some(packet.clone()),
        _ => None,
    };
    messages.iter().filter_map(packet).collect()
}

pub fn data(packet: &MeshPacket) -> &Data {
    match &packet.payload {
        Some(Payload::Decoded(data)) => data,
        other => panic!("not decoded: {other:?}"),
    }
}

/// Returns the packets that are not about other packets.
pub fn content(messages: &[FromRadio]) -> Vec<MeshPacket> {
    packets(messages).into_iter().filter(|packet| data(packet).portnum != port::ROUTING).collect()
}

/// Returns what routing messages say: about which packet, with what reason, and who says so.
pub fn verdicts(messages: &[FromRadio]) -> Vec<(u32, i32, u32)> {
    let verdict = |packet: &MeshPacket| {
        let data = data(packet);
        match Routing::decode(data.payload.as_slice()).unwrap().variant {
            Some(routing::Variant::ErrorReason(reason)) if data.portnum == port::ROUTING => {
                Some((data.request_id, reason, packet.from))
            }
            _ => None,
        }
    };
    packets(messages)
        .iter()
        .filter(|packet| data(packet).portnum == port::ROUTING)
        .filter_map(verdict)
        .collect()
}

pub fn notifications(messages: &[FromRadio]) -> Vec<String> {
    let text = |message: &FromRadio| match &message.variant {
        Some(Variant::ClientNotification(notification)) => Some(notification.message.clone()),
        _ => None,
    };
    messages.iter().filter_map(text).collect()
}
