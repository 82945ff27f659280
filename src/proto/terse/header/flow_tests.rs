//! Both ends of a flow over a link that loses, repeats and reorders.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::compress;
use super::flow::Flows;
use super::ip::Ip;
use super::options::Options;
use super::packet::{Packet, Transport};
use super::tcp::Tcp;
use super::tests::{ACK, PSH_ACK, STAMPS, context, random_packet, segment, v4, v6};

const ROOM: usize = 200;

/// The state of one direction of a connection.
#[derive(Clone, Copy)]
struct Sender {
    ports: [u16; 2],
    ip: Ip,
    sequence: u32,
    acknowledgement: u32,
    stamps: [u32; 2],
}

impl Sender {
    fn segment(&self, blocks: &[[u32; 2]], window: u16, payload: &[u8]) -> Vec<u8> {
        let mut options = vec![1, 1, 8, 10];
        options.extend(self.stamps.map(u32::to_be_bytes).as_flattened());
        if !blocks.is_empty() {
            options.extend([1, 1, 5, 2 + 8 * u8::try_from(blocks.len()).unwrap()]);
            options.extend(blocks.as_flattened().iter().flat_map(|edge| edge.to_be_bytes()));
        }
        let tcp = Tcp {
            ports: self.ports,
            sequence: self.sequence,
            acknowledgement: self.acknowledgement,
            flags: if payload.len() % 3 == 1 { PSH_ACK } else { ACK },
            window,
            options: Options::parse(&options).unwrap(),
        };
        let mut out = Vec::new();
        Packet { ip: self.ip, transport: Transport::Tcp(tcp), payload }.emit(&mut out).unwrap();
        out
    }

    /// What time and the connection do to the next segment.
    fn step(&mut self, rng: &mut ChaCha8Rng) {
        let far = rng.next_u32().is_multiple_of(40);
        self.ip = self.ip.with_id(self.ip.id().wrapping_add(1));
        self.sequence = self.sequence.wrapping_add(if far { 70_000 } else { rng.next_u32() % 300 });
        self.acknowledgement = self.acknowledgement.wrapping_add(rng.next_u32() % 2000);
        self.stamps = self.stamps.map(|stamp| stamp.wrapping_add(rng.next_u32() % 3000));
    }
}

fn sender(at: u16, rng: &mut ChaCha8Rng) -> Sender {
    let ip = if at % 3 == 2 { v6(77, 6) } else { v4(at % 3 * 500, 6) };
    let [sequence, acknowledgement, stamp, echo] = [(); 4].map(|()| rng.next_u32());
    Sender { ports: [40_000 + at, 22], ip, sequence, acknowledgement, stamps: [stamp, echo] }
}

#[test]
fn a_confirmed_flow_takes_nine_bytes_of_header_per_segment() {
    let context = context();
    let (mut ours, mut theirs) = (Flows::new(), Flows::new());
    let mut flow = sender(3, &mut ChaCha8Rng::seed_from_u64(1));
    let send = |ours: &mut Flows, theirs: &mut Flows, counter, packet: &[u8]| {
        let (mut bytes, mut back) = (Vec::new(), Vec::new());
        ours.compress(packet, &context, counter, ROOM, &mut bytes);
        theirs.decompress(&bytes, &context.mirrored(), counter, &mut back).unwrap();
        assert_eq!(back, packet);
        bytes.len()
    };
    let mut next = |data: bool, payload: &[u8]| {
        flow.ip = flow.ip.with_id(flow.ip.id().wrapping_add(1));
        flow.sequence = flow.sequence.wrapping_add(if data { 150 } else { 0 });
        flow.acknowledgement = flow.acknowledgement.wrapping_add(if data { 0 } else { 150 });
        flow.stamps = flow.stamps.map(|stamp| stamp.wrapping_add(1500));
        flow.segment(&[], 501, payload)
    };
    assert_eq!(send(&mut ours, &mut theirs, 0, &next(true, &[7; 150])), 150 + 24 + 1, "announced");
    assert_eq!(send(&mut ours, &mut theirs, 1, &next(true, &[7; 150])), 150 + 24, "not confirmed yet");
    let reply = segment(v4(1, 6), ACK, &STAMPS, &[]);
    let mirrored = context.mirrored();
    let mut bytes = Vec::new();
    theirs.compress(&reply, &mirrored, 0, ROOM, &mut bytes);
    assert_eq!(bytes[..3], [0x11, 0, 0]);
    ours.decompress(&bytes, &context, 0, &mut Vec::new()).unwrap();
    let len = send(&mut ours, &mut theirs, 2, &next(true, &[7; 150]));
    assert_eq!(len, 150 + 9 + 3, "with the confirmation of the other direction");
    assert_eq!(send(&mut ours, &mut theirs, 3, &next(true, &[7; 150])), 150 + 9);
    assert_eq!(send(&mut ours, &mut theirs, 4, &next(false, &[])), 11, "sequence and acknowledgement moved");
}

/// The counter, the packet, and what it was compressed to.
type UnderWay = (u64, Vec<u8>, Vec<u8>);

#[test]
fn loss_repetition_and_disorder_spoil_no_other_packet() {
    for seed in 0..30 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let context = context();
        let mut flows = [Flows::new(), Flows::new()];
        let mut counters = [0, 0_u64];
        let mut under_way: [Vec<UnderWay>; 2] = Default::default();
        let mut senders: Vec<_> = (0..24).map(|at| sender(at, &mut rng)).collect();
        let (mut sizes, mut alone, mut refused, mut delivered) = (0, 0, 0, 0);
        let loss = [0, 10, 40][usize::try_from(seed % 3).unwrap()];
        for _ in 0..4000 {
            let from = rng.next_u32() as usize % 2;
            let at = (rng.next_u32() % if seed % 2 == 0 { 6 } else { 24 }) as usize;
            senders[at].step(&mut rng);
            let blocks = [[senders[at].acknowledgement.wrapping_add(500), 9], [1, 2], [3, 4]];
            let count = (rng.next_u32() % 12).saturating_sub(8) as usize;
            let packet = match rng.next_u32() % 10 {
                0 => random_packet(&mut rng),
                _ => senders[at].segment(&blocks[..count], 500 + at as u16 % 2, &vec![1; at % 5]),
            };
            let ends = if from == 0 { context } else { context.mirrored() };
            let mut bytes = Vec::new();
            flows[from].compress(&packet, &ends, counters[from], ROOM, &mut bytes);
            sizes += bytes.len();
            let mut plain = Vec::new();
            compress(&packet, &ends, &mut plain);
            alone += plain.len();
            if rng.next_u32() % 100 >= loss {
                under_way[from].push((counters[from], packet, bytes));
            }
            counters[from] += 1;
            // Most arrive at once; some wait, and are overtaken.
            while under_way[from].len() > (rng.next_u32() % 4) as usize * 2 {
                let at =
                    if rng.next_u32() % 4 == 0 { rng.next_u32() as usize % under_way[from].len() } else { 0 };
                let (counter, packet, bytes) = under_way[from].remove(at);
                let mut back = Vec::new();
                match flows[1 - from].decompress(&bytes, &ends.mirrored(), counter, &mut back) {
                    Ok(()) => assert_eq!(back, packet, "seed {seed}, counter {counter}"),
                    Err(_) => refused += 1,
                }
                delivered += 1;
            }
        }
        assert!(sizes < alone, "seed {seed}: flows save {sizes} of {alone}");
        assert_eq!((refused, delivered > 2000), (0, true), "seed {seed}");
    }
}

#[test]
fn nothing_is_announced_at_the_cost_of_a_second_datagram() {
    let context = context();
    let packet = segment(v4(7, 6), ACK, &STAMPS, &[5; 100]);
    for (room, len) in [(123, 125), (124, 124), (125, 125)] {
        let (mut flows, mut bytes) = (Flows::new(), Vec::new());
        flows.compress(&packet, &context, 0, room, &mut bytes);
        assert_eq!(bytes.len(), len, "{room}");
    }
}

#[test]
fn a_reference_to_what_is_not_known_and_any_bytes_are_refused_or_bounded() {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut flows = Flows::new();
    assert!(flows.decompress(&[0x50, 0, 0], &context(), 1, &mut Vec::new()).is_err());
    let (mut bytes, mut other) = (Vec::new(), Flows::new());
    other.compress(&segment(v4(7, 6), ACK, &STAMPS, &[]), &context(), 5, ROOM, &mut bytes);
    flows.decompress(&bytes, &context().mirrored(), 5, &mut Vec::new()).unwrap();
    assert!(flows.decompress(&[0x50, 0, 1, 0, 1, 0, 1], &context(), 6, &mut Vec::new()).is_ok());
    let late = flows.decompress(&[0x50, 0, 1, 0, 1, 0, 1], &context(), 4, &mut Vec::new());
    assert!(late.is_err(), "it means the base before");
    for counter in 6..50_000 {
        let mut bytes = vec![0; rng.next_u32() as usize % 60];
        rng.fill_bytes(&mut bytes);
        if let Some(first) = bytes.first_mut() {
            *first = [0x11, 0x50, 0x70, 0x80][rng.next_u32() as usize % 4] | *first & 15;
        }
        let mut out = vec![1];
        match flows.decompress(&bytes, &context(), counter, &mut out) {
            Ok(()) => assert!(out.len() <= 1 + bytes.len() + 100),
            Err(_) => assert_eq!(out, [1]),
        }
    }
}
