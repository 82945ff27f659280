//! The terse encoding and what travels in it.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use meshnet_proto::control::Control;
use meshnet_proto::key::PrivateKey;
use meshnet_proto::offload::{Checksum, Offload, SegmentKind, Segmenter, Segments};
use meshnet_proto::terse::fragment::{Cut, split};
use meshnet_proto::terse::frame::{Datagram, expand_counter};
use meshnet_proto::terse::handshake::expand_init;
use meshnet_proto::terse::header::{Context, End, Flows, MAX_PACKET, compress, decompress};
use meshnet_proto::terse::keeper::Keeper;
use meshnet_proto::terse::reassembly::{Outcome, Patience, Reassembler};

use super::epoch;
use crate::script::Script;
use crate::world::address;

const PATIENCE: Patience = Patience { silence: Duration::from_secs(1), lifetime: Duration::from_secs(12) };
/// What a session's incomplete packets may keep.
const MAX_KEPT: usize = 16 * 1024;

/// Datagrams as a radio brings them: what is understood is written again to the byte; parts come together or are given up,
/// and what is kept of them is bounded.
pub fn terse(bytes: &[u8]) {
    let (mut script, mut now) = (Script::new(bytes), epoch());
    let mut parts = Reassembler::new(PATIENCE);
    while !script.is_over() {
        let len = script.below(240);
        datagram(script.take(len), &mut parts, now);
        now += Duration::from_millis(script.below(64) as u64 * 50);
        while parts.poll_missing(now).is_some() {}
        assert!(parts.bytes() <= MAX_KEPT, "{} bytes wait", parts.bytes());
    }
    parts.handle_timeout(now + PATIENCE.lifetime);
    assert_eq!(parts.bytes(), 0, "parts are kept for ever");
}

fn datagram(bytes: &[u8], parts: &mut Reassembler, now: Instant) {
    match Datagram::parse(bytes) {
        Ok(Datagram::Data(data)) => {
            assert_eq!(data.emit(), bytes);
            let counter = expand_counter(data.counter_low, u64::from(data.tag) << 14);
            assert_eq!(counter & 0xffff, u64::from(data.counter_low));
        }
        Ok(Datagram::Part(part)) => {
            assert_eq!(part.emit(), bytes);
            let _any = parts.push(&part, now);
        }
        Ok(Datagram::Init { body, .. }) => {
            let [ours, theirs] = [1, 2].map(|byte| PrivateKey::from_random([byte; 32]));
            assert!(expand_init(body, &ours, &theirs.public()).is_err(), "an init out of nothing");
        }
        Ok(Datagram::Response { .. }) | Err(_) => {}
    }
}

/// A sealed packet goes in parts through a link that loses, repeats and reorders, asks for what is missing, and comes out
/// as it was.
pub fn parts(bytes: &[u8]) {
    let (mut script, mut now) = (Script::new(bytes), epoch());
    let (mtu, counter, parity) = (40 + script.below(200), u64::from(script.byte()) << 12, script.once_in(2));
    let fates = script.take(40);
    let sealed: Vec<u8> = [&[1; 16], script.take(4096)].concat();
    let Some(mut flight) = split(3, counter, &sealed, mtu, parity) else { return };
    assert!(flight.iter().all(|datagram| datagram.len() <= mtu), "a part is longer than the link carries");
    let Some(cut) = Cut::of(sealed.len(), mtu) else { return };
    let mut keeper = Keeper::new(3, PATIENCE.lifetime);
    keeper.keep(counter, sealed.clone(), cut, now);
    let (mut reassembler, mut fates) = (Reassembler::new(PATIENCE), fates.iter().copied());
    let mut whole = None;
    for _ in 0..8 {
        for datagram in std::mem::take(&mut flight) {
            let fate = fates.next().unwrap_or(0);
            let Ok(Datagram::Part(part)) = Datagram::parse(&datagram) else { panic!("a part is none") };
            let times = match fate % 4 {
                1 => 0,
                2 => 2,
                _ => 1,
            };
            for _ in 0..times {
                if let Outcome::Whole { sealed, counter_low } = reassembler.push(&part, now) {
                    reassembler.accepted(counter_low, now);
                    assert!(whole.replace(sealed).is_none(), "it comes together twice");
                }
            }
        }
        now += PATIENCE.silence;
        while let Some(missing) = reassembler.poll_missing(now) {
            flight.extend(keeper.answer(missing, now));
        }
    }
    assert!(whole.is_none_or(|whole| whole == sealed), "it comes out changed");
}

/// A packet under way: its counter, compressed, and as it was.
type Flight = (u64, Vec<u8>, Vec<u8>);

fn context(script: &mut Script<'_>) -> Context {
    let end = |at: usize| End { v4: Some(address(at)), v6: Some(Ipv4Addr::to_ipv6_mapped(&address(at))) };
    if script.once_in(2) { Context { ours: end(0), theirs: end(1) } } else { Context::default() }
}

/// The compression of headers: whatever the bytes, they come out as they went in, and any bytes may come to be
/// decompressed.
pub fn header(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let context = context(&mut script);
    let packet = script.take(usize::MAX);
    let (mut compressed, mut out) = (Vec::new(), Vec::new());
    compress(packet, &context, &mut compressed);
    assert!(compressed.len() <= packet.len() + 1, "it grows from {} to {}", packet.len(), compressed.len());
    assert!(compressed.first().is_none_or(|dispatch| *dispatch >= 0x10), "it looks like a control message");
    let result = decompress(&compressed, &context.mirrored(), &mut out);
    assert!(result.is_ok() && out == packet, "it comes out changed: {compressed:02x?}");
    out.clear();
    match decompress(packet, &context, &mut out) {
        Ok(()) => assert!(out.len() <= MAX_PACKET.max(packet.len())),
        Err(_) => assert!(out.is_empty(), "something is left of what makes no sense"),
    }
}

/// The compression of flows in a session: packets are lost and reordered, and whatever arrives comes out as it went in.
pub fn flows(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let context = context(&mut script);
    let mut ends = [Flows::new(), Flows::new()];
    let mut late: [Vec<Flight>; 2] = [Vec::new(), Vec::new()];
    let mut packet = Vec::new();
    for counter in 0.. {
        if script.is_over() {
            break;
        }
        let (from, fate) = (script.below(2), script.below(4));
        change(&mut packet, &mut script);
        let contexts = [context, context.mirrored()];
        let mut sealed = Vec::new();
        ends[from].compress(&packet, &contexts[from], counter, 200, &mut sealed);
        assert!(sealed.len() <= packet.len() + 4, "it grows by more than it may");
        assert!(sealed.first().is_none_or(|dispatch| *dispatch >= 0x10), "it looks like a control message");
        late[from].push((counter, sealed, packet.clone()));
        let due = match fate {
            0 | 1 => late[from].len(),
            2 => 0,
            _ => {
                late[from].pop();
                0
            }
        };
        let arrived: Vec<_> = late[from].drain(..due).rev().collect();
        for (counter, sealed, packet) in arrived {
            let mut out = Vec::new();
            let result = ends[1 - from].decompress(&sealed, &contexts[1 - from], counter, &mut out);
            // A late packet may mean what is forgotten; never something else.
            assert!(result.is_err() || out == packet, "it comes out changed: {sealed:02x?}");
        }
    }
    let mut out = Vec::new();
    let _any = ends[0].decompress(bytes, &context, u64::from(u32::MAX), &mut out);
}

/// The next packet: a new one, or the last with some of its bytes changed, as the segments of a flow are.
fn change(packet: &mut Vec<u8>, script: &mut Script<'_>) {
    if packet.is_empty() || script.once_in(8) {
        let len = script.below(120);
        *packet = script.take(len).to_vec();
        return;
    }
    for _ in 0..script.below(4) {
        let at = script.below(packet.len().min(60));
        packet[at] = script.byte();
    }
}

/// Control messages: what is understood is written again, and understood as the same.
pub fn control(bytes: &[u8]) {
    if let Ok(control) = Control::parse(bytes) {
        assert!(Control::is_control(bytes));
        assert_eq!(Control::parse(&control.emit()), Ok(control));
    }
}

/// A frame that stands for several packets: however it is cut, no packet of a row of segments is longer than allowed, and
/// none is left over.
pub fn offload(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let number = |script: &mut Script<'_>| u16::from(script.byte()) << 8 | u16::from(script.byte());
    let mut small = |bound: u16| number(&mut script) % bound;
    let checksum = (small(4) > 0).then(|| Checksum { start: small(80), offset: small(20) });
    let size = small(1500);
    let kind = if small(2) == 0 { SegmentKind::Tcp } else { SegmentKind::Udp };
    let segments = (small(4) > 0).then_some(Segments { kind, size });
    let mtu = usize::from(small(1500));
    let frame = script.take(usize::MAX);
    let Ok(mut packets) = Segmenter::new(frame, Offload { checksum, segments }, mtu) else { return };
    let count = packets.remaining();
    assert!(count <= frame.len().max(1), "more packets than bytes");
    for left in (0..count).rev() {
        let len = packets.next_len();
        if segments.is_some_and(|segments| segments.kind == SegmentKind::Tcp) {
            assert!(len <= mtu, "{len} bytes are more than {mtu}");
        }
        let mut out = vec![0; len];
        assert_eq!((packets.write(&mut out), packets.remaining()), (Some(len), left));
    }
    assert_eq!(packets.write(&mut [0; 2048]), None);
}
