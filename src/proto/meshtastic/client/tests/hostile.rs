//! A radio that says anything at all: nothing panics, nothing grows, nothing spins.

use super::*;

const ROUNDS: u64 = 3_000;

/// What a radio may say in any order, to be mutated.
fn phrases(rng: &mut ChaCha20Rng) -> Vec<u8> {
    let any = rng.next_u32();
    let variant = match any % 12 {
        0 => Variant::MyInfo(MyNodeInfo { my_node_num: rng.next_u32(), ..MyNodeInfo::default() }),
        1 => Variant::Rebooted(any & 64 == 0),
        2 => Variant::QueueStatus(QueueStatus {
            res: rng.next_u32().cast_signed() % 50,
            free: rng.next_u32() % 18,
            maxlen: rng.next_u32() % 18,
            mesh_packet_id: rng.next_u32() % 2,
        }),
        3 => channel((rng.next_u32() % 10).cast_signed() - 1, "serial", (any >> 8 & 3).cast_signed()),
        4 => {
            let lora = LoraConfig {
                region: (rng.next_u32() % 40).cast_signed(),
                modem_preset: (rng.next_u32() % 16).cast_signed(),
                use_preset: any & 256 == 0,
                bandwidth: rng.next_u32() % 2000,
                spread_factor: rng.next_u32() % 16,
                coding_rate: rng.next_u32() % 10,
                tx_enabled: any & 512 == 0,
                ..LoraConfig::default()
            };
            Variant::Config(Config { variant: Some(section::Variant::Lora(lora)) })
        }
        5 => Variant::ConfigCompleteId(rng.next_u32()),
        6 => {
            let user = user(PEER, &vec![1; (rng.next_u32() % 40) as usize]);
            Variant::NodeInfo(NodeInfo { num: rng.next_u32(), user: Some(user), ..NodeInfo::default() })
        }
        _ => {
            let portnum = [1, 3, 4, 5, 6, 33, 67, 70, 256][(rng.next_u32() % 9) as usize];
            let payload = (0..rng.next_u32() % 40).map(|_| rng.next_u32() as u8).collect();
            let data = Data { portnum, payload, request_id: rng.next_u32(), ..Data::default() };
            let payload = Some(mesh_packet::Payload::Decoded(data));
            let from = if any & 1024 == 0 { OWN } else { rng.next_u32() };
            Variant::Packet(MeshPacket {
                from,
                to: OWN,
                payload,
                hop_start: any >> 16,
                ..MeshPacket::default()
            })
        }
    };
    frame(&FromRadio { id: 1, variant: Some(variant) }.encode_to_vec())
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut ChaCha20Rng) {
    for _ in 0..rng.next_u32() % 3 {
        let at = rng.next_u32() as usize % bytes.len();
        match rng.next_u32() % 3 {
            0 => bytes[at] = rng.next_u32() as u8,
            1 => bytes.insert(at, rng.next_u32() as u8),
            _ => bytes.truncate(at.max(1)),
        }
    }
}

/// What the client holds on to, in items; what it writes and says is drained.
fn held(client: &Client) -> usize {
    client.overflow.len()
        + client.radios.iter().count()
        + client.radios.heard_count()
        + client.bytes.len()
        + client.outputs.len()
}

fn babble(seed: u64) {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = ChaCha20Rng::from_seed(key);
    let mut bench = Bench::new(with_peer(seed.is_multiple_of(2).then_some([7; 32])));
    for step in 0..400_u64 {
        if bench.client.status().state == "down" {
            let serial = rng.next_u32() % 2 == 0;
            bench.client.handle_connected(if serial { Transport::Serial } else { Transport::Tcp }, bench.now);
            if !serial && rng.next_u32() % 4 != 0 {
                bench.configure(&Setup::default());
            }
        }
        let mut bytes = phrases(&mut rng);
        mutate(&mut bytes, &mut rng);
        bench.client.handle_bytes(&bytes, bench.now);
        bench.send(step, (rng.next_u32() % 300) as usize);
        bench.drain();
        assert!(held(&bench.client) < 1200, "the client hoards");
        if rng.next_u32() % 3 == 0 {
            // Timers that are due at once, over and over, would be a loop.
            for _ in 0..20 {
                let Some((at, _)) = bench.client.poll_timeout() else { break };
                bench.now = bench.now.max(at);
                bench.client.handle_timeout(bench.now);
                bench.drain();
            }
        }
        let mut spins = 0;
        while bench.client.poll_timeout().is_some_and(|(at, _)| at <= bench.now) {
            bench.client.handle_timeout(bench.now);
            bench.drain();
            spins += 1;
            assert!(spins < 10, "a timer that is always due: {:?}", bench.client.poll_timeout());
        }
    }
}

#[test]
fn a_babbling_radio_neither_panics_nor_fills_memory_nor_spins() {
    for seed in 0..ROUNDS / 10 {
        let outcome = std::panic::catch_unwind(|| babble(seed));
        assert!(outcome.is_ok(), "failed with seed {seed}");
    }
}

#[test]
fn random_bytes_are_no_messages() {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let mut bench = Bench::up(&Setup::default());
    for _ in 0..ROUNDS {
        let bytes: Vec<u8> = (0..rng.next_u32() % 600).map(|_| rng.next_u32() as u8).collect();
        bench.client.handle_bytes(&bytes, bench.now);
        bench.drain();
    }
    assert_eq!(bench.client.status().state, "up");
}

#[test]
fn a_radio_that_invents_millions_of_nodes_takes_no_memory() {
    let mut bench = Bench::up(&Setup::default());
    for num in 1..50_000 {
        let user = Some(user(num, &[1; 32]));
        bench.feed(Variant::NodeInfo(NodeInfo { num, user, ..NodeInfo::default() }));
        bench.feed(Variant::Packet(MeshPacket {
            from: num,
            to: OWN,
            payload: Some(mesh_packet::Payload::Decoded(private(b"x"))),
            ..MeshPacket::default()
        }));
        bench.drain();
    }
    assert!(held(&bench.client) < 1200);
}

#[test]
fn names_of_any_length_make_no_message_too_long() {
    let mut bench = Bench::up(&Setup::default());
    let long = "\u{20ac}".repeat(45);
    let own = User { id: long.clone(), long_name: long.clone(), short_name: long, ..user(OWN, &[1; 32]) };
    bench.feed(Variant::NodeInfo(NodeInfo { num: OWN, user: Some(own), ..NodeInfo::default() }));
    bench.client.introduce(radios::Introduction::AskPeer(PEER), bench.now);
    let (_, data) = bench.packets().pop().expect("the question is written");
    assert!(data.payload.len() < 200);
}
