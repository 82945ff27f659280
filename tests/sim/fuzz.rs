//! The bodies of the fuzz targets: plain functions of bytes, which panic if something is wrong.
//!
//! `tests/fuzz` runs them under libFuzzer; the test `decoders` runs them over the committed corpus and over random
//! changes of it, with the stable toolchain.

mod terse;
mod wireguard;

use std::time::{Duration, Instant};

use hkdf::Hkdf;
use ipnet::Ipv4Net;
use meshnet_proto::Node;
use meshnet_proto::config::{Config, PeerConfig, PeerMode};
use meshnet_proto::frame::{Frame, Inner};
use meshnet_proto::key::{PresharedKey, PrivateKey};
use meshnet_proto::link::{AddrKind, Airtime, LinkAddr, LinkCaps, LinkEvent};
use meshnet_proto::meshtastic::client::{Client, ClientConfig, Contact, Transport};
use meshnet_proto::meshtastic::stream::{Decoder, Piece, frame};
use meshnet_proto::neighbour::Discovery;
use meshnet_proto::v1::fragment::{self, Reassembler};
use meshnet_proto::v1::session::Cipher;
use meshnet_proto::v1::wire::{Data, Datagram};
use meshnet_radiosim::{Air, AirConfig, ClientOutput, RadioConfig};
use sha2::Sha256;

pub use self::terse::{control, flows, header, offload, parts, terse};
pub use self::wireguard::wireguard;
pub use meshnet_proto::wg::fuzz::{handshake as wg_handshake, message as wg_message, window as wg_window};

use crate::daemon::LINK;
use crate::scenario;
use crate::script::Script;
use crate::world::{address, num};

/// A target's name and body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("stream", stream),
    ("wire", wire),
    ("fragments", fragments),
    ("inner", inner),
    ("state", state),
    ("config", config),
    ("client", client),
    ("datagram", datagram),
    ("device", device),
    ("radio", radio),
    ("wg_message", wg_message),
    ("wg_handshake", wg_handshake),
    ("wg_window", wg_window),
    ("terse", terse),
    ("parts", parts),
    ("header", header),
    ("flows", flows),
    ("control", control),
    ("wireguard", wireguard),
    ("offload", offload),
    ("world", world),
];

const PSK: [u8; 32] = [7; 32];

fn epoch() -> Instant {
    Instant::now()
}

/// The framing of a radio's stream: however the bytes are cut, the same pieces come out, and a message can be framed again.
pub fn stream(bytes: &[u8]) {
    let decode = |chunk: usize| {
        let (mut decoder, mut pieces) = (Decoder::default(), Vec::new());
        bytes.chunks(chunk).for_each(|chunk| decoder.push(chunk, |piece| pieces.push(piece)));
        pieces
    };
    let whole = decode(bytes.len().max(1));
    assert_eq!(whole, decode(1), "pieces depend on how the bytes are cut");
    for piece in whole {
        let Piece::Message(message) = piece else { continue };
        let mut again = Vec::new();
        Decoder::default().push(&frame(&message), |piece| again.push(piece));
        assert_eq!(again, [Piece::Message(message)]);
    }
}

/// The datagrams of version 1: what is understood is written again to the byte.
pub fn wire(bytes: &[u8]) {
    match Datagram::parse(bytes) {
        Ok(Datagram::Init(init)) => assert_eq!(init.emit(), bytes),
        Ok(Datagram::Response(response)) => assert_eq!(response.emit(), bytes),
        Ok(Datagram::Data(data)) => assert_eq!(data.emit(), bytes),
        Ok(Datagram::Fragment(fragment)) => assert_eq!(fragment.emit(), bytes),
        Err(_) => {}
    }
}

/// Reassembly: bounded, whatever comes; and what was split is put together.
pub fn fragments(bytes: &[u8]) {
    const BOUND: usize = 512 * 1024;
    let (mut script, mut now) = (Script::new(bytes), epoch());
    let (mut reassembler, mut message) = (Reassembler::default(), 0);
    while !script.is_over() {
        let from = LinkAddr::radio(script.below(5) as u32);
        if script.once_in(4) {
            let ciphertext = vec![script.byte(); 1 + script.below(4000)];
            let mtu = 6 + script.below(220);
            for piece in fragment::split(9, &ciphertext, &mut message, mtu).into_iter().flatten() {
                if let Ok(Datagram::Fragment(fragment)) = Datagram::parse(&piece) {
                    let _any = reassembler.push(from, &fragment, now);
                }
            }
        } else {
            let len = script.below(256);
            let mut piece = vec![4];
            piece.extend_from_slice(script.take(len));
            if let Ok(Datagram::Fragment(fragment)) = Datagram::parse(&piece) {
                let _any = reassembler.push(from, &fragment, now);
            }
        }
        now += Duration::from_millis(script.below(16) as u64 * 100);
        assert!(reassembler.bytes() <= BOUND, "{} bytes of fragments", reassembler.bytes());
    }
}

/// Inner frames: Ethernet, ARP, IP, and what is read of their payload.
pub fn inner(bytes: &[u8]) {
    let Ok(parsed) = Frame::parse(bytes) else { return };
    match parsed.inner {
        Inner::Arp(arp) => {
            let again = arp.emit(parsed.destination);
            let Ok(Frame { inner: Inner::Arp(same), .. }) = Frame::parse(&again) else { panic!("no ARP") };
            assert_eq!(same, arp);
        }
        Inner::Ip(packet) => {
            assert!(packet.bytes.len() <= bytes.len() && packet.payload.len() <= packet.bytes.len());
            let _any = (packet.ports(), packet.tcp(), Discovery::parse(&packet));
        }
        Inner::Other => {}
    }
}

/// The state file: any file can be read, and what is written then makes sense to the last line.
pub fn state(bytes: &[u8]) {
    let now = epoch();
    let mut node = node(now);
    let _ignored = node.restore(bytes);
    node.close();
    let stored = node.poll_store().expect("a node that closes has something to store").text;
    let mut again = self::node(now);
    assert_eq!(again.restore(&stored), 0, "{}", String::from_utf8_lossy(&stored));
}

/// The configuration file.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(errors) = meshnetd::config::parse("fuzzed", &text) {
        assert!(!errors.is_empty(), "a refusal without a reason");
        for error in errors {
            let _text = error.to_string();
        }
    }
}

/// The client of a radio, fed by a radio that says anything: raw bytes, and well-framed messages.
pub fn client(bytes: &[u8]) {
    let (mut script, mut now) = (Script::new(bytes), epoch());
    let contacts = vec![Contact { node: num(1), public_key: None }];
    let mut client = Client::new(ClientConfig { contacts, ..ClientConfig::default() }, [3; 32], now);
    let transport = if script.once_in(2) { Transport::Serial } else { Transport::Tcp };
    client.handle_connected(transport, now);
    if script.once_in(2) {
        configure(&mut client, &mut now);
    }
    while !script.is_over() {
        let len = script.below(300);
        let raw = script.once_in(8);
        let chunk = script.take(len);
        client.handle_bytes(&if raw { chunk.to_vec() } else { frame(chunk) }, now);
        if script.once_in(4) {
            now += Duration::from_millis(script.below(256) as u64 * 50);
            client.handle_timeout(now);
        }
        if script.once_in(8) {
            let public_key = script.once_in(2).then_some([9; 32]);
            let contacts = (0..script.below(4)).map(|at| Contact { node: num(at + 1), public_key });
            client.set_contacts(contacts.collect(), now);
        }
        drain(&mut client);
        let _status = client.status();
        let _due = client.poll_timeout();
    }
}

fn drain(client: &mut Client) {
    while client.poll_bytes().is_some() {}
    let outputs = std::iter::from_fn(|| client.poll_output()).count();
    assert!(outputs < 1000, "{outputs} outputs of one input");
}

/// Lets a client read the configuration of a radio that works.
fn configure(client: &mut Client, now: &mut Instant) {
    let mut air = Air::new(AirConfig::default(), 1, *now);
    let radio = air.add_radio(RadioConfig::new(num(0)), *now);
    let id = air.handle_client_connected(radio, meshnet_radiosim::Transport::Tcp, *now);
    for _ in 0..20 {
        while let Some(bytes) = client.poll_bytes() {
            air.handle_client_bytes(id, &bytes, *now);
        }
        *now += Duration::from_millis(100);
        air.handle_timeout(*now);
        client.handle_timeout(*now);
        while let Some(ClientOutput::Bytes(bytes)) = air.poll_client(id) {
            client.handle_bytes(&bytes, *now);
        }
        drain(client);
    }
}

/// A node with a peer of each mode, on a link that takes everything.
fn node(now: Instant) -> Node {
    let key = |at: usize| PrivateKey::from_random([at as u8 + 1; 32]);
    let peers = [(1, PeerMode::Pki), (2, PeerMode::Symmetric)].map(|(at, mode)| PeerConfig {
        public_key: key(at).public(),
        preshared_key: Some(PresharedKey::from_bytes(PSK)),
        allowed_ips: vec![Ipv4Net::from(address(at)).into()],
        endpoints: vec![LinkAddr::radio(num(at))],
        mode,
        keepalive: None,
        bulk_over_metered: None,
    });
    let config = Config {
        private_key: key(0),
        addresses: vec![Ipv4Net::new(address(0), 24).expect("24 bits are fine").into()],
        mtu: 1400,
        rekey_after_messages: 20,
        peers: peers.into(),
    };
    let mut node = Node::new(&config, [1; 32], Duration::ZERO, now).expect("the configuration is sound");
    let caps = LinkCaps {
        kind: AddrKind::Radio,
        mtu: 219,
        airtime: Airtime::Free,
        cost: 1,
        ordered: false,
        broadcast: true,
        segments: 1,
    };
    node.handle_link(LINK, LinkEvent::Up(caps), now);
    node
}

/// Drains a node as a shell does.
fn settle(node: &mut Node, now: Instant) {
    node.handle_link(LINK, LinkEvent::Room(8), now);
    let _stored = node.poll_store();
    while node.poll_device().is_some() {}
    while let Some(transmit) = node.poll_transmit(now) {
        assert!(transmit.payload.len() <= 219, "{} bytes for a link of 219", transmit.payload.len());
    }
    while node.poll_event().is_some() {}
    if let Some((due, why)) = node.poll_timeout(now) {
        node.handle_timeout(due.max(now));
        let again = node.poll_timeout(due.max(now));
        assert!(again.is_none_or(|(next, _)| next > due || next > now), "it wants to wake again for {why}");
    }
}

/// Datagrams from peers' addresses: any bytes, and any inner frame under a key that is right.
pub fn datagram(bytes: &[u8]) {
    let (mut script, mut now) = (Script::new(bytes), epoch());
    let mut node = node(now);
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(Some(b"symmetric"), &PSK)
        .expand(b"meshnet-symmetric-key", &mut key)
        .expect("32 bytes are no more than HKDF gives");
    let cipher = Cipher::new(&key);
    let mut counter = 1 << 40;
    while !script.is_over() {
        let len = script.below(300);
        let payload = if script.once_in(2) {
            counter += 1;
            let frame = script.take(len);
            Data { counter, ciphertext: &cipher.seal(counter, frame) }.emit()
        } else {
            script.take(len).to_vec()
        };
        let from = LinkAddr::radio(num(script.choose(&[2, 2, 1, 7])));
        node.handle_datagram(LINK, from, &payload, now);
        settle(&mut node, now);
        now += Duration::from_millis(script.below(64) as u64 * 30);
    }
}

/// Frames from the interface.
pub fn device(bytes: &[u8]) {
    let (mut script, mut now) = (Script::new(bytes), epoch());
    let mut node = node(now);
    while !script.is_over() {
        let len = script.below(300);
        node.handle_device(script.take(len), now);
        settle(&mut node, now);
        now += Duration::from_millis(script.below(64) as u64 * 30);
    }
}

/// A simulated radio's client API.
pub fn radio(bytes: &[u8]) {
    let (mut script, mut now) = (Script::new(bytes), epoch());
    let mut air = Air::new(AirConfig::default(), 1, now);
    let radio = air.add_radio(RadioConfig::new(num(0)), now);
    let _other = air.add_radio(RadioConfig::new(num(1)), now);
    let transport = if script.once_in(2) {
        meshnet_radiosim::Transport::Serial
    } else {
        meshnet_radiosim::Transport::Tcp
    };
    let id = air.handle_client_connected(radio, transport, now);
    while !script.is_over() {
        let len = script.below(300);
        let raw = script.once_in(8);
        let chunk = script.take(len);
        air.handle_client_bytes(id, &if raw { chunk.to_vec() } else { frame(chunk) }, now);
        now += Duration::from_millis(script.below(64) as u64 * 40);
        air.handle_timeout(now);
        while air.poll_ready().is_some() {}
        while air.poll_client(id).is_some() {}
    }
}

/// A whole world.
///
/// # Panics
/// If it fails.
pub fn world(bytes: &[u8]) {
    if let Err(failure) = scenario::run(bytes) {
        panic!("{failure}");
    }
}
