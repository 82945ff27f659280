//! Exactness for every byte string, and the sizes that typical packets come to.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::context::{Context, End};
use super::options::Options;
use super::packet::{Packet, Transport};
use super::tcp::Tcp;
use super::{MAX_PACKET, compress, decompress};
use crate::terse::header::ip::Ip;

pub(super) const ACK: u8 = 16;
pub(super) const PSH_ACK: u8 = 24;
const SYN: u8 = 2;

pub(super) fn context() -> Context {
    let end = |last: u8| End {
        v4: Some([10, 9, 0, last].into()),
        v6: Some([0xfd, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last].into()),
    };
    Context { ours: end(1), theirs: end(2) }
}

/// IPv4 between the ends' own addresses, as Linux writes it.
pub(super) fn v4(id: u16, protocol: u8) -> Ip {
    Ip::V4 { class: 0, id, df: true, hops: 64, protocol, source: [10, 9, 0, 1], destination: [10, 9, 0, 2] }
}

pub(super) fn v6(flow: u32, protocol: u8) -> Ip {
    let context = context();
    Ip::V6 {
        class: 0,
        flow,
        hops: 64,
        protocol,
        source: context.ours.v6.unwrap().octets(),
        destination: context.theirs.v6.unwrap().octets(),
    }
}

fn whole(ip: Ip, transport: Transport, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Packet { ip, transport, payload }.emit(&mut out).unwrap();
    out
}

/// A segment with these bytes of options.
pub(super) fn segment(ip: Ip, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let tcp = Tcp {
        ports: [40_000, 22],
        sequence: 0x0102_0304,
        acknowledgement: if flags & ACK == 0 { 0 } else { 0x1122_3344 },
        flags,
        window: 501,
        options: Options::parse(options).unwrap(),
    };
    whole(ip, Transport::Tcp(tcp), payload)
}

pub(super) const STAMPS: [u8; 12] = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
const SACK: [u8; 12] = [1, 1, 5, 10, 0x11, 0x22, 0x35, 0x44, 0x11, 0x22, 0x38, 0x44];
const SYN_OPTIONS: [u8; 20] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7];

fn echo(ip: Ip, kind: u8) -> Vec<u8> {
    let mut body = vec![0x12, 0x34, 0, 1];
    body.extend(0..56);
    whole(ip, Transport::Icmp { kind, code: 0 }, &body)
}

/// What hosts send for the most part, in either family.
pub(crate) fn ordinary_packets() -> Vec<Vec<u8>> {
    let of = |ip: fn(u8) -> Ip| {
        [
            segment(ip(6), ACK, &STAMPS, &[]),
            segment(ip(6), PSH_ACK, &STAMPS, &[7; 1300]),
            segment(ip(6), SYN, &SYN_OPTIONS, &[]),
            segment(ip(6), ACK, &[], &[7; 9]),
            whole(ip(17), Transport::Udp { ports: [40_000, 53], checked: true }, &[7; 30]),
        ]
    };
    let pings = [echo(v4(0x4711, 1), 8), echo(v6(0, 58), 128)];
    of(|protocol| v4(0x4711, protocol))
        .into_iter()
        .chain(of(|protocol| v6(0x1_2345, protocol)))
        .chain(pings)
        .collect()
}

/// Compresses, checks the inverse, returns the length.
#[track_caller]
fn size(packet: &[u8]) -> usize {
    let mut bytes = vec![0xaa];
    compress(packet, &context(), &mut bytes);
    let mut back = vec![0xbb];
    decompress(&bytes[1..], &context().mirrored(), &mut back).unwrap();
    assert_eq!(&back[1..], packet);
    assert!(bytes.get(1).is_some_and(|&dispatch| dispatch >= 0x10));
    bytes.len() - 1
}

#[test]
fn a_ping_of_84_bytes_becomes_63() {
    let ping = echo(v4(0x4711, 1), 8);
    assert_eq!((ping.len(), size(&ping)), (84, 63));
    assert_eq!(size(&echo(v4(0x4711, 1), 0)), 63);
    assert_eq!(size(&echo(v4(0, 1), 0)), 61, "no identification");
    assert_eq!(size(&echo(v6(0, 58), 128)), 61);
    assert_eq!(size(&echo(v6(0x12345, 58), 129)), 64);
}

#[test]
fn a_tcp_acknowledgement_of_52_bytes_becomes_24() {
    let ack = segment(v4(0x4711, 6), ACK, &STAMPS, &[]);
    assert_eq!((ack.len(), size(&ack)), (52, 24));
    assert_eq!(size(&segment(v4(0, 6), ACK, &STAMPS, &[])), 22);
    assert_eq!(size(&segment(v6(0x12345, 6), ACK, &STAMPS, &[])), 25);
    assert_eq!(size(&segment(v4(0x4711, 6), ACK, &[], &[])), 17, "without timestamps");
    assert_eq!(size(&segment(v4(0x4711, 6), PSH_ACK, &STAMPS, &[7; 100])), 124);
}

#[test]
fn the_examples_of_the_specification_hold() {
    let compressed = |packet: &[u8]| {
        let mut out = Vec::new();
        compress(packet, &context(), &mut out);
        out
    };
    let ping = compressed(&echo(v4(0x4711, 1), 8));
    assert_eq!(ping[..9], [0xe1, 0x47, 0x11, 0x12, 0x34, 0, 1, 0, 1]);
    let ack = compressed(&segment(v4(0x4711, 6), ACK, &STAMPS, &[]));
    let [numbers, stamps] = [&[1, 2, 3, 4, 0x11, 0x22, 0x33, 0x44, 1, 0xf5][..], &STAMPS[4..]];
    assert_eq!(ack, [&[0xc1, 0x47, 0x11, 0x9c, 0x40, 22], numbers, stamps].concat());
    assert_eq!(compressed(b"\x45 no packet"), b"\x45 no packet");
    assert_eq!(compressed(b"\x05 no packet"), b"\x10\x05 no packet");
}

#[test]
fn options_of_tcp_take_no_more_than_their_values() {
    assert_eq!(size(&segment(v4(1, 6), SYN, &SYN_OPTIONS, &[])), 1 + 2 + 1 + 3 + 4 + 2 + 2 + 4 + 1);
    let sack = segment(v4(1, 6), ACK, &[&STAMPS[..], &SACK].concat(), &[]);
    assert_eq!((sack.len(), size(&sack)), (64, 25 + 4), "2 bytes for each edge");
    let odd = [254, 4, 1, 2];
    assert_eq!(size(&segment(v4(1, 6), ACK, &odd, &[])), 17 + 1 + 4, "what is not known goes verbatim");
    let bare_reset = segment(v4(0, 6), 4, &[], &[]);
    assert_eq!(size(&bare_reset), 1 + 1 + 3 + 1 + 4 + 2);
}

#[test]
fn a_udp_datagram_loses_23_of_28_bytes() {
    let dns = |ip, checked| whole(ip, Transport::Udp { ports: [40_000, 53], checked }, &[7; 30]);
    assert_eq!(size(&dns(v4(0, 17), true)), 30 + 4);
    assert_eq!(size(&dns(v4(9, 17), true)), 30 + 6);
    assert_eq!(size(&dns(v6(0, 17), true)), 30 + 4);
    assert_eq!(size(&dns(v4(0, 17), false)), 30 + 5, "no checksum: ports in full");
}

#[test]
fn addresses_of_others_take_what_differs() {
    let to = |destination| match v4(0, 17) {
        Ip::V4 { class, id, df, hops, protocol, source, .. } => {
            Ip::V4 { class, id, df, hops, protocol, source, destination }
        }
        other => other,
    };
    let len = |destination| size(&whole(to(destination), Transport::Other, &[])) - 2;
    assert_eq!(
        [[10, 9, 0, 2], [10, 9, 0, 3], [10, 9, 1, 2], [192, 0, 2, 1]].map(len),
        [0, 2 + 1, 2 + 2, 2 + 4],
        "a control byte, a byte of modes, and the bytes"
    );
    let to = |text: &str| match v6(0, 17) {
        Ip::V6 { class, flow, hops, protocol, source, .. } => {
            let destination = text.parse::<std::net::Ipv6Addr>().unwrap().octets();
            Ip::V6 { class, flow, hops, protocol, source, destination }
        }
        other => other,
    };
    let len = |text| size(&whole(to(text), Transport::Other, &[])) - 2;
    let addresses =
        ["fd00:9::2", "fd00:9::77", "fd00:9::1:2:3:4", "fe80::1:2:3:4", "ff02::fb", "2001:db8::1"];
    assert_eq!(addresses.map(len), [0, 2 + 2, 2 + 8, 2 + 8, 2 + 2, 2 + 16]);
}

#[test]
fn a_wrong_checksum_or_length_arrives_as_wrong_as_it_was() {
    let ping = echo(v4(0x4711, 1), 8);
    for at in 0..ping.len() {
        for bit in 0..8 {
            let mut wrong = ping.clone();
            wrong[at] ^= 1 << bit;
            size(&wrong);
        }
    }
    let mut longer = ping.clone();
    longer.push(0);
    assert_eq!(size(&longer), longer.len(), "verbatim, and not a byte more");
    for len in 0..ping.len() {
        size(&ping[..len]);
    }
}

#[test]
fn without_context_addresses_are_sent() {
    let ping = echo(v4(0x4711, 1), 8);
    let (mut bytes, mut back) = (Vec::new(), Vec::new());
    compress(&ping, &Context::default(), &mut bytes);
    decompress(&bytes, &Context::default(), &mut back).unwrap();
    assert_eq!((back, bytes.len()), (ping, 63 + 2 + 8));
}

/// A packet of some kind: regular for the most part.
pub(super) fn random_packet(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut pick = |from: &[u32]| from[rng.next_u32() as usize % from.len()];
    let (class, hops) = (pick(&[0, 0, 0x10, 0x48, 2, 0xb8]), pick(&[64, 64, 63, 255, 62, 1]));
    let (protocol, id, df) = (pick(&[6, 6, 17, 1, 47]), pick(&[0, 1, 0xffff, 300]), pick(&[0, 1]));
    let (flow, kind, code) = (pick(&[0, 1, 0xf_ffff]), pick(&[0, 3, 8, 128, 129]), pick(&[0, 0, 4]));
    let (flags, blocks) = (pick(&[2, 18, 16, 16, 24, 17, 4, 20, 0xc2]), pick(&[0, 0, 1, 2, 3]) as usize);
    let (port, version, layout) =
        (pick(&[22, 443, 239, 240, 255, 5000]), pick(&[4, 4, 6]), pick(&[0, 1, 1, 2, 3, 4]));
    let [source, destination] = [pick(&[0, 0, 1, 2, 3]), pick(&[0, 0, 1, 2, 3, 4])];
    let byte = |value: u32| u8::try_from(value).unwrap();
    let mut random = |len: usize| {
        let mut bytes = vec![0; len];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    let address_v4 = |own: [u8; 4], differ: u32, random: &[u8]| {
        let from = 4 - (differ as usize).min(4);
        let mut address = own;
        address[from..].copy_from_slice(&random[from..4]);
        address
    };
    let address_v6 = |own: std::net::Ipv6Addr, differ: u32, random: &[u8]| {
        let mut address = own.octets();
        match differ {
            0 => {}
            1 => address[14..].copy_from_slice(&random[..2]),
            2 => address[8..].copy_from_slice(&random[..8]),
            3 => address = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, random[0]],
            _ => address.copy_from_slice(&random[..16]),
        }
        address
    };
    let (context, some) = (context(), random(32));
    let ip = if version == 4 {
        let (ours, theirs) = (context.ours.v4.unwrap().octets(), context.theirs.v4.unwrap().octets());
        Ip::V4 {
            class: byte(class),
            id: u16::try_from(id).unwrap(),
            df: df == 1,
            hops: byte(hops),
            protocol: byte(protocol),
            source: address_v4(ours, source, &some),
            destination: address_v4(theirs, destination, &some[16..]),
        }
    } else {
        Ip::V6 {
            class: byte(class),
            flow,
            hops: byte(hops),
            protocol: if protocol == 1 { 58 } else { byte(protocol) },
            source: address_v6(context.ours.v6.unwrap(), source, &some),
            destination: address_v6(context.theirs.v6.unwrap(), destination, &some[16..]),
        }
    };
    let len = usize::from(random(1)[0]);
    let payload = random(len);
    let ports = [u16::from_be_bytes([some[0], some[1]]), u16::try_from(port).unwrap()];
    let transport = match protocol {
        6 => {
            let mut options = match layout {
                0 => Vec::new(),
                1 => STAMPS.to_vec(),
                2 => SYN_OPTIONS.to_vec(),
                3 => [&SYN_OPTIONS[..16], &[1, 3, 3, 9]].concat(),
                _ => random(8),
            };
            if layout < 2 && blocks > 0 {
                options.extend([1, 1, 5, 2 + 8 * byte(blocks as u32)]);
                options.extend(random(8 * blocks));
            }
            let flags = byte(flags);
            Transport::Tcp(Tcp {
                ports,
                sequence: u32::from_be_bytes([some[2], some[3], some[4], some[5]]),
                acknowledgement: if flags & ACK == 0 { 0 } else { u32::from(ports[0]).wrapping_mul(77_777) },
                flags,
                window: 501,
                options: Options::parse(&options).unwrap(),
            })
        }
        17 => Transport::Udp { ports, checked: df == 1 },
        1 => Transport::Icmp { kind: byte(kind), code: byte(code) },
        _ => Transport::Other,
    };
    whole(ip, transport, &payload)
}

#[test]
fn every_packet_comes_back_to_the_byte_and_no_ip_packet_grows() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..20_000 {
        let packet = random_packet(&mut rng);
        assert!(size(&packet) < packet.len(), "{packet:02x?}");
        let mut broken = packet;
        let at = rng.next_u32() as usize % broken.len();
        broken[at] = rng.next_u32().to_le_bytes()[0];
        assert!(size(&broken) <= broken.len() + 1);
    }
}

#[test]
fn any_bytes_at_all_come_back() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    assert_eq!(size(&[]), 1);
    for _ in 0..20_000 {
        let mut bytes = vec![0; rng.next_u32() as usize % 100];
        rng.fill_bytes(&mut bytes);
        if let Some(first) = bytes.first_mut().filter(|_| rng.next_u32() % 2 == 0) {
            *first = if rng.next_u32() % 2 == 0 { 0x45 } else { 0x60 };
        }
        assert!(size(&bytes) <= bytes.len() + 1);
    }
}

#[test]
fn any_bytes_decompress_to_something_bounded_or_to_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut good = 0;
    for _ in 0..50_000 {
        let mut bytes = vec![0; rng.next_u32() as usize % 80];
        rng.fill_bytes(&mut bytes);
        let mut out = vec![1];
        match decompress(&bytes, &context(), &mut out) {
            Ok(()) => {
                good += 1;
                assert!(out.len() <= 1 + bytes.len() + 100);
            }
            Err(_) => assert_eq!(out, [1]),
        }
    }
    assert!(good > 10_000, "{good}");
    let mut long = vec![0x80 | 4 << 3; MAX_PACKET];
    assert!(decompress(&long, &context(), &mut Vec::new()).is_err(), "no length field says that");
    long[0] = 0x10;
    assert!(decompress(&long, &context(), &mut Vec::new()).is_ok());
}

#[test]
fn control_messages_and_nothing_are_no_packets() {
    for first in 0..0x10 {
        assert!(decompress(&[first, 1, 2], &context(), &mut Vec::new()).is_err());
    }
    assert!(decompress(&[], &context(), &mut Vec::new()).is_err());
}
