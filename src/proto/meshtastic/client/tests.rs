//! The client against messages fed by hand: what a radio says, and what the client makes of it.

mod config;
mod hostile;
mod keys;
mod life;
mod receiving;
mod sending;

use super::*;
use crate::link::{Class, LinkAddr, LinkId, Refusal};
use crate::meshtastic::airtime::Region;
use crate::meshtastic::message::{
    Channel, ChannelSettings, Config, Data, DeviceMetadata, FromRadio, LoraConfig, MeshPacket, MyNodeInfo,
    NodeInfo, QueueStatus, Routing, SecurityConfig, User, config as section, from_radio::Variant,
    mesh_packet, port, routing,
};
use crate::meshtastic::stream::Piece;

const OWN: u32 = 0x0a0a_0a0a;
const PEER: u32 = 0x0b0b_0b0b;

/// Some instant: tests count from it.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no other way to an instant; what it is does not matter"
)]
pub(super) fn epoch() -> Instant {
    Instant::now()
}

/// What the fed radio is like.
struct Setup {
    region: &'static str,
    preset: i32,
    hop_limit: u32,
    tx_enabled: bool,
    channels: Vec<(&'static str, i32)>,
    firmware: &'static str,
    has_pkc: bool,
    licensed: bool,
    reboots: u32,
    others: Vec<NodeInfo>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            region: "US",
            preset: 0,
            hop_limit: 3,
            tx_enabled: true,
            channels: vec![("", 1)],
            firmware: "2.7.26.54e0d8d",
            has_pkc: true,
            licensed: false,
            reboots: 1,
            others: vec![NodeInfo { num: PEER, user: Some(user(PEER, &[9; 32])), ..NodeInfo::default() }],
        }
    }
}

impl Setup {
    fn lora(&self) -> LoraConfig {
        LoraConfig {
            use_preset: true,
            modem_preset: self.preset,
            region: Region::number_of(self.region).unwrap(),
            hop_limit: self.hop_limit,
            tx_enabled: self.tx_enabled,
            ..LoraConfig::default()
        }
    }

    fn messages(&self) -> Vec<Variant> {
        let user = User { is_licensed: self.licensed, ..user(OWN, &[1; 32]) };
        let info = MyNodeInfo { my_node_num: OWN, reboot_count: self.reboots, ..MyNodeInfo::default() };
        let metadata = DeviceMetadata {
            firmware_version: self.firmware.to_owned(),
            has_pkc: self.has_pkc,
            ..DeviceMetadata::default()
        };
        let security = SecurityConfig { public_key: vec![1; 32], serial_enabled: true };
        let config = |variant| Variant::Config(Config { variant: Some(variant) });
        let mut all = vec![
            Variant::MyInfo(info),
            Variant::NodeInfo(NodeInfo { num: OWN, user: Some(user), ..NodeInfo::default() }),
            Variant::Metadata(metadata),
            config(section::Variant::Lora(self.lora())),
            config(section::Variant::Security(security)),
        ];
        all.extend((0..).zip(&self.channels).map(|(index, (name, role))| channel(index, name, *role)));
        all.extend(self.others.iter().cloned().map(Variant::NodeInfo));
        all
    }
}

fn user(node: u32, key: &[u8]) -> User {
    User {
        id: format!("!{node:08x}"),
        long_name: format!("Meshtastic {:04x}", node & 0xffff),
        public_key: key.to_vec(),
        ..User::default()
    }
}

fn channel(index: i32, name: &str, role: i32) -> Variant {
    let settings = ChannelSettings { psk: vec![1], name: name.to_owned() };
    Variant::Channel(Channel { index, settings: Some(settings), role })
}

/// A client with a clock, fed by hand.
struct Bench {
    client: Client,
    now: Instant,
}

impl Bench {
    fn new(config: ClientConfig) -> Self {
        let now = epoch();
        Self { client: Client::new(config, [3; 32], now), now }
    }

    /// A client with one peer, up on the radio of `setup`; what it said and wrote on the way is drained.
    fn up(setup: &Setup) -> Self {
        let mut bench = Self::new(with_peer(None));
        bench.connect(setup);
        bench.drain();
        bench
    }

    fn connect(&mut self, setup: &Setup) {
        self.client.handle_connected(Transport::Tcp, self.now);
        self.configure(setup);
    }

    /// Answers the question for the configuration.
    fn configure(&mut self, setup: &Setup) {
        let nonce = self.nonce();
        for message in setup.messages() {
            self.feed(message);
        }
        self.feed(Variant::ConfigCompleteId(nonce));
    }

    fn nonce(&mut self) -> u32 {
        let asked = self.written().into_iter().find_map(|variant| match variant {
            to_radio::Variant::WantConfigId(nonce) => Some(nonce),
            _ => None,
        });
        asked.expect("the configuration is asked for")
    }

    fn feed(&mut self, variant: Variant) {
        let message = FromRadio { id: 1, variant: Some(variant) }.encode_to_vec();
        self.client.handle_bytes(&frame(&message), self.now);
    }

    /// The messages written since the last look; fillers are left out.
    fn written(&mut self) -> Vec<to_radio::Variant> {
        let (mut decoder, mut found) = (Decoder::default(), Vec::new());
        while let Some(bytes) = self.client.poll_bytes() {
            decoder.push(&bytes, |piece| {
                if let Piece::Message(message) = piece {
                    found.extend(ToRadio::decode(message.as_slice()).unwrap().variant);
                }
            });
        }
        found
    }

    /// The packets written since the last look.
    fn packets(&mut self) -> Vec<(MeshPacket, Data)> {
        let packets = self.written().into_iter().filter_map(|variant| match variant {
            to_radio::Variant::Packet(packet) => Some(packet),
            _ => None,
        });
        packets
            .map(|packet| match packet.payload.clone() {
                Some(mesh_packet::Payload::Decoded(data)) => (packet, data),
                other => panic!("a host sends decoded packets, not {other:?}"),
            })
            .collect()
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.client.poll_output()).collect()
    }

    fn links(&mut self) -> Vec<LinkEvent> {
        let outputs = self.outputs().into_iter();
        outputs
            .filter_map(|output| if let Output::Link(event) = output { Some(event) } else { None })
            .collect()
    }

    fn notices(&mut self) -> Vec<Notice> {
        let outputs = self.outputs().into_iter();
        outputs
            .filter_map(|output| if let Output::Notice(notice) = output { Some(notice) } else { None })
            .collect()
    }

    fn drain(&mut self) {
        self.written();
        self.outputs();
    }

    fn send(&mut self, token: u64, len: usize) {
        self.client.handle_transmit(transmit(token, len), self.now);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.client.handle_timeout(self.now);
    }

    /// Goes to the next timer, which must have this reason.
    fn wait_for(&mut self, reason: &str) {
        let (at, why) = self.client.poll_timeout().expect("a timer");
        assert_eq!(why, reason);
        self.now = self.now.max(at);
        self.client.handle_timeout(self.now);
    }

    fn status(&mut self, res: i32, used: u32, id: u32) {
        self.feed(Variant::QueueStatus(QueueStatus { res, free: 16 - used, maxlen: 16, mesh_packet_id: id }));
    }

    fn hear(&mut self, from: u32, packet: MeshPacket, data: Data) {
        let payload = Some(mesh_packet::Payload::Decoded(data));
        self.feed(Variant::Packet(MeshPacket { from, to: OWN, payload, ..packet }));
    }

    fn routing(&mut self, from: u32, request_id: u32, error: i32) {
        let routing = Routing { variant: Some(routing::Variant::ErrorReason(error)) };
        let data =
            Data { portnum: port::ROUTING, payload: routing.encode_to_vec(), request_id, ..Data::default() };
        self.hear(from, MeshPacket::default(), data);
    }
}

fn with_peer(public_key: Option<[u8; 32]>) -> ClientConfig {
    ClientConfig { contacts: vec![Contact { node: PEER, public_key }], ..ClientConfig::default() }
}

fn transmit(token: u64, len: usize) -> Transmit {
    Transmit {
        link: LinkId(0),
        to: LinkAddr::radio(PEER),
        payload: vec![0x55; len],
        segment: None,
        class: Class::Bulk,
        far: false,
        token,
    }
}

fn private(payload: &[u8]) -> Data {
    Data { portnum: port::PRIVATE, payload: payload.to_vec(), bitfield: Some(1), ..Data::default() }
}

fn refused(token: u64, reason: Refusal) -> LinkEvent {
    LinkEvent::Refused { token, reason }
}
