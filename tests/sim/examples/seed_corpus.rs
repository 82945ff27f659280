//! Writes the first corpus of every fuzz target, from running worlds: `cargo run -p meshnet-sim --example seed_corpus`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use meshnet_proto::control::{Addresses, Control};
use meshnet_proto::link::{Class, LinkAddr, Transmit};
use meshnet_proto::meshtastic::client::{Client, ClientConfig, Contact, Transport};
use meshnet_proto::meshtastic::stream::{Decoder, Piece};
use meshnet_proto::neighbour::question;
use meshnet_radiosim::{Air, AirConfig, ClientOutput, RadioConfig};
use meshnet_sim::daemon::LINK;
use meshnet_sim::packet::{self, Kind};
use meshnet_sim::scenario::{story, tell};
use meshnet_sim::world::{address, num};

type Corpus = BTreeMap<&'static str, Vec<Vec<u8>>>;

fn main() -> std::io::Result<()> {
    let mut corpus = Corpus::new();
    datagrams(&mut corpus);
    frames(&mut corpus);
    texts(&mut corpus);
    streams(&mut corpus);
    wireguard(&mut corpus);
    corpus.insert("world", (0..16).map(|seed| story(seed).into_iter().take(120).collect()).collect());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (target, inputs) in corpus {
        std::fs::create_dir_all(root.join(target))?;
        for (number, input) in inputs.iter().enumerate() {
            std::fs::write(root.join(target).join(format!("seed-{number:02}")), input)?;
        }
    }
    Ok(())
}

/// A length below 300 as a script reads it.
fn len(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap_or(299).min(299).to_be_bytes()
}

fn datagrams(corpus: &mut Corpus) {
    let mut kinds: BTreeMap<(u8, usize), Vec<u8>> = BTreeMap::new();
    for seed in 0..30 {
        let recorded = tell(&story(seed)).0.watch.recorded;
        // What is not of version 1 is for other targets.
        for recorded in recorded.into_iter().filter(|one| one.to.as_radio().is_some() && one.payload[0] <= 4)
        {
            kinds.entry((recorded.payload[0], recorded.payload.len() / 24)).or_insert(recorded.payload);
        }
    }
    let wire: Vec<_> = kinds.into_values().collect();
    let script = |payload: &Vec<u8>| [&len(payload), &[0][..], payload, &[2, 9]].concat();
    corpus.insert("datagram", wire.iter().map(script).collect());
    let piece = |payload: &Vec<u8>| {
        let length = u8::try_from(payload.len() - 1).unwrap_or(u8::MAX);
        [&[1, 0, length][..], &payload[1..], &[3]].concat()
    };
    corpus.insert("fragments", wire.iter().filter(|payload| payload[0] == 4).map(piece).collect());
    corpus.insert("wire", wire);
}

/// What WIREGUARD peers of running worlds send, and the packets in it.
fn wireguard(corpus: &mut Corpus) {
    let (mut free, mut radio) = (BTreeMap::new(), BTreeMap::new());
    for seed in 0..60 {
        for recorded in tell(&story(seed)).0.watch.recorded {
            let payload = recorded.payload;
            let kind = (payload[0], payload.len() / 32);
            match recorded.to.as_udp() {
                Some(_) => free.entry(kind).or_insert(payload),
                None if payload[0] >= 0x20 => radio.entry((kind.0 >> 5, kind.1)).or_insert(payload),
                None => continue,
            };
        }
    }
    let (free, radio): (Vec<_>, Vec<_>) = (free.into_values().collect(), radio.into_values().collect());
    let bodies = free.iter().filter(|message| message[0] <= 2).map(|message| message[8..].to_vec());
    corpus.insert("wg_handshake", bodies.collect());
    let counters = [0_u64, 4, 8, 1, 2, 33_000, 40_000 << 2, 2, 1];
    corpus.insert("wg_window", vec![counters.iter().flat_map(|number| number.to_le_bytes()).collect()]);
    let short = |payload: &Vec<u8>| payload.len() < 240;
    let one = |payload: &Vec<u8>| {
        [&[u8::try_from(payload.len()).unwrap_or(239)], payload.as_slice(), &[3]].concat()
    };
    corpus.insert("terse", radio.iter().filter(|payload| short(payload)).map(one).collect());
    let fates = [0, 1, 0, 2, 1].repeat(8);
    corpus.insert(
        "parts",
        vec![[&[60, 1, 0][..], &fates, &[9; 900]].concat(), [&[180, 3, 1][..], &fates, &[8; 1400]].concat()],
    );
    let any =
        |free: u8| move |payload: &Vec<u8>| [&[0][..], &len(payload), &[free], payload, &[0, 3]].concat();
    let mut scripts: Vec<_> = free.iter().filter(|payload| payload.len() < 300).map(any(1)).collect();
    scripts.extend(radio.iter().map(any(0)));
    let packets: Vec<_> =
        [Kind::Udp { port: 7 }, Kind::Ping, Kind::Tcp { port: 22, sequence: 1, acknowledgement: 7 }]
            .iter()
            .map(|kind| packet::build(1, *kind, address(1), address(0), 12))
            .collect();
    let controls = [
        Control::Probe { token: 7 },
        Control::ProbeAnswer { token: 7 },
        Control::Addresses(Addresses::new([SocketAddr::from(([192, 0, 2, 7], 7))])),
        Control::Missing { counter_low: 7, bitmap: 5 },
        Control::Copy { counter_low: 7, packet: packets[0].clone() },
    ];
    let controls: Vec<_> = controls.iter().map(Control::emit).collect();
    for free in [0, 1] {
        let sealed = |inside: &Vec<u8>| [&[3][..], &len(inside), &[free], inside, &[0, 3]].concat();
        scripts.extend(packets.iter().chain(&controls).map(sealed));
    }
    corpus.insert("wireguard", scripts);
    corpus.insert("control", controls);
    corpus.insert("wg_message", free);
    let with = |packet: &Vec<u8>| [&[1][..], packet].concat();
    corpus.insert("header", packets.iter().map(with).collect());
    let flow = |packet: &Vec<u8>| {
        let again = [0, 0, 0, 1, 27, 9].repeat(6);
        [&[1, 0, 0, u8::try_from(packet.len()).unwrap_or(119)][..], packet.as_slice(), &again].concat()
    };
    corpus.insert("flows", packets.iter().map(flow).collect());
    let framed = |packet: &Vec<u8>| packet::frame(packet, [4; 6], [2; 6]);
    let row =
        |packet: &Vec<u8>| [&[0, 1, 0, 34, 0, 16, 0, 4, 0, 0, 0, 1, 1, 44][..], &framed(packet)].concat();
    let single = |packet: &Vec<u8>| [&[0, 0, 0, 4, 0, 0, 0, 0, 1, 44][..], &framed(packet)].concat();
    corpus.insert("offload", packets.iter().map(row).chain(packets.iter().map(single)).collect());
}

fn frames(corpus: &mut Corpus) {
    let kinds = [
        Kind::Udp { port: 7 },
        Kind::Urgent { port: 8 },
        Kind::Ping,
        Kind::Tcp { port: 22, sequence: 100, acknowledgement: 7 },
    ];
    let mut frames: Vec<_> = kinds
        .iter()
        .map(|kind| packet::frame(&packet::build(1, *kind, address(0), address(1), 12), [4; 6], [2; 6]))
        .collect();
    frames.extend(question([2; 6], address(0).into(), address(1).into()));
    let (a, b): (std::net::Ipv6Addr, std::net::Ipv6Addr) =
        ("fd00::1".parse().expect("an address"), "fd00::2".parse().expect("an address"));
    frames.extend(question([2; 6], a.into(), b.into()));
    let script = |frame: &Vec<u8>| [&len(frame), frame.as_slice(), &[9]].concat();
    corpus.insert("device", frames.iter().map(script).collect());
    // The same under a key that is right.
    let sealed = |frame: &Vec<u8>| [&len(frame), &[1][..], frame, &[0, 9]].concat();
    corpus.entry("datagram").or_default().extend(frames.iter().map(sealed));
    corpus.insert("inner", frames);
}

fn texts(corpus: &mut Corpus) {
    let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let state = format!(
        "meshnet-state 1\nsymmetric {key} 18446744073709551615 1-2,5-500\nsymmetric {key} 0 \nmac {key} 02ab00010203\n"
    );
    corpus.insert("state", vec![state.into_bytes(), b"meshnet-state 1\n".to_vec()]);
    let plain = format!(
        "[Interface]\nPrivateKey = {key}\nAddress = 10.0.0.1/24\nMeshtasticConnect = tcp://127.0.0.1:4403\n\n\
         [Peer]\nPublicKey = {key}\nAllowedIPs = 10.0.0.2/32\nEndpoint = !d45b9db8\n"
    );
    let full = format!(
        "# mesh\n[Interface]\nPrivateKeyFile = /etc/meshnet/key ; secret\nAddress = 10.0.0.1/24, fd00::1/64\nMTU = 300\n\
         TapName = mesh0\nRunAsUser = nobody\nRunAsGroup = nogroup\n[Link]\nConnect = serial:///dev/ttyUSB0\n\
         ChannelIndex = 1\nHopLimit = 3\n[Peer]\nPublicKey = {key}\nPresharedKey = {key}\nAllowedIPs = 10.0.0.2/32,\
         fd00::2/128\nEndpoint = !0a000001\nPeerMode = SYMMETRIC\nRadioPublicKey = {key}\n"
    );
    corpus.insert("config", vec![plain.into_bytes(), full.into_bytes()]);
}

/// What a client and a radio say to each other, while some packets go both ways.
fn streams(corpus: &mut Corpus) {
    let mut now = Instant::now();
    let mut air = Air::new(AirConfig::default(), 1, now);
    let radio = air.add_radio(RadioConfig::new(num(0)), now);
    air.add_radio(RadioConfig::new(num(1)), now);
    let contacts = vec![Contact { node: num(1), public_key: None }];
    let mut client = Client::new(ClientConfig { contacts, ..ClientConfig::default() }, [3; 32], now);
    let id = air.handle_client_connected(radio, meshnet_radiosim::Transport::Tcp, now);
    client.handle_connected(Transport::Tcp, now);
    let (mut to_radio, mut from_radio) = (Vec::new(), Vec::new());
    for round in 0..100_u64 {
        if round % 10 == 9 {
            let (to, payload) = (LinkAddr::radio(num(1)), vec![3; 40 + usize::try_from(round).unwrap_or(0)]);
            let transmit = Transmit {
                link: LINK,
                to,
                payload,
                segment: None,
                class: Class::Bulk,
                far: false,
                token: round,
            };
            client.handle_transmit(transmit, now);
        }
        while let Some(bytes) = client.poll_bytes() {
            air.handle_client_bytes(id, &bytes, now);
            to_radio.extend(bytes);
        }
        now += Duration::from_millis(700);
        air.handle_timeout(now);
        while let Some(ClientOutput::Bytes(bytes)) = air.poll_client(id) {
            client.handle_bytes(&bytes, now);
            from_radio.extend(bytes);
        }
        client.handle_timeout(now);
        while client.poll_output().is_some() {}
    }
    corpus.insert("client", scripts(&from_radio, &[0, 1]));
    corpus.insert("radio", scripts(&to_radio, &[0]));
    from_radio.truncate(1500);
    to_radio.truncate(1500);
    corpus.insert(
        "stream",
        vec![from_radio, to_radio, b"INFO | log\r\n\x94\xc3\x00\x01a\x94\xc3\xff\xff".to_vec()],
    );
}

/// One script for each kind of message in a stream, by its first byte and length.
fn scripts(stream: &[u8], start: &[u8]) -> Vec<Vec<u8>> {
    let mut messages: BTreeMap<(u8, usize), Vec<u8>> = BTreeMap::new();
    Decoder::default().push(stream, |piece| {
        if let Piece::Message(message) = piece
            && let Some(first) = message.first()
        {
            messages.entry((*first, message.len() / 16)).or_insert(message);
        }
    });
    let short = messages.into_values().filter(|message| message.len() < 300);
    short.map(|message| [start, &len(&message), &[0], &message, &[3, 40]].concat()).collect()
}
