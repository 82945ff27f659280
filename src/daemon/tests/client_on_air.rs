//! The Meshtastic client against simulated radios, in simulated time: what one sender gets out of the firmware, how much
//! it keeps inside the radio, and what heals by itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use meshnet_proto::link::{Class, LinkAddr, LinkEvent, LinkId, Refusal, Transmit};
use meshnet_proto::meshtastic::airtime::{Preset, Region};
use meshnet_proto::meshtastic::client::{
    Client, ClientConfig, Contact, Ending, KeyState, Notice, Output, Transport,
};
use meshnet_radiosim::{
    Acquainted, Air, AirConfig, ClientId, ClientOutput, RadioConfig, RadioId, Transport as Port,
};

const NODES: [u32; 2] = [0xa000_0001, 0xa000_0002];

/// A client with its radio and the backlog of its core.
struct End {
    client: Client,
    radio: RadioId,
    port: Option<ClientId>,
    room: u16,
    backlog: VecDeque<Transmit>,
    received: Vec<(Instant, usize)>,
    notices: Vec<Notice>,
    refused: Vec<(u64, Refusal)>,
    keys: usize,
}

struct World {
    air: Air,
    ends: Vec<End>,
    start: Instant,
    now: Instant,
    /// The most packets that waited in the queue of the first radio.
    deepest: usize,
}

fn radio(node: u32, preset: &str) -> RadioConfig {
    RadioConfig {
        preset: Preset::by_name(preset).unwrap(),
        region: Region::number_of("US").unwrap(),
        ..RadioConfig::new(node)
    }
}

fn datagram(to: u32, len: usize, token: u64) -> Transmit {
    Transmit {
        link: LinkId(0),
        to: LinkAddr::radio(to),
        payload: vec![7; len],
        segment: None,
        class: Class::Bulk,
        far: false,
        token,
    }
}

impl World {
    fn new(radios: [RadioConfig; 2], configured_keys: bool) -> Self {
        let start = Instant::now();
        let mut air = Air::new(AirConfig::default(), 7, start);
        let ids = radios.map(|radio| air.add_radio(radio, start));
        let now = start + Duration::from_secs(10);
        let mut world = Self { air, ends: Vec::new(), start, now, deepest: 0 };
        for (at, id) in ids.into_iter().enumerate() {
            let peer = 1 - at;
            let public_key = configured_keys.then(|| world.air.public_key(ids[peer]));
            let contacts = vec![Contact { node: NODES[peer], public_key }];
            let seed = [u8::try_from(at).unwrap(); 32];
            let client = Client::new(ClientConfig { contacts, ..ClientConfig::default() }, seed, now);
            world.ends.push(End {
                client,
                radio: id,
                port: None,
                room: 0,
                backlog: VecDeque::new(),
                received: Vec::new(),
                notices: Vec::new(),
                refused: Vec::new(),
                keys: 0,
            });
        }
        for at in 0..2 {
            world.connect(at);
        }
        world.run(Duration::from_secs(5));
        world
    }

    fn connect(&mut self, at: usize) {
        let end = &mut self.ends[at];
        end.port = Some(self.air.handle_client_connected(end.radio, Port::Tcp, self.now));
        end.client.handle_connected(Transport::Tcp, self.now);
    }

    /// Lets time pass, each thing at its moment.
    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        self.settle();
        loop {
            let clients = self.ends.iter().filter_map(|end| end.client.poll_timeout().map(|(at, _)| at));
            let next = clients.chain(self.air.poll_timeout()).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.air.handle_timeout(self.now);
            for end in &mut self.ends {
                if end.client.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
                    end.client.handle_timeout(self.now);
                }
            }
            self.settle();
        }
        self.now = until;
        self.air.handle_timeout(until);
        self.settle();
    }

    fn settle(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            while let Some(ready) = self.air.poll_ready() {
                busy = true;
                self.read(ready);
            }
            for end in &mut self.ends {
                busy |= end.settle(&mut self.air, self.now);
            }
            self.deepest = self.deepest.max(self.air.queued(self.ends[0].radio));
        }
    }

    fn read(&mut self, ready: ClientId) {
        let Some(end) = self.ends.iter_mut().find(|end| end.port == Some(ready)) else { return };
        while let Some(output) = self.air.poll_client(ready) {
            match output {
                ClientOutput::Bytes(bytes) => end.client.handle_bytes(&bytes, self.now),
                ClientOutput::Closed => {
                    end.port = None;
                    end.client.handle_disconnected(Ending::Closed, self.now);
                }
            }
        }
    }

    fn queue(&mut self, count: u64, len: usize) {
        self.ends[0].backlog.extend((0..count).map(|token| datagram(NODES[1], len, token)));
    }
}

impl End {
    fn settle(&mut self, air: &mut Air, now: Instant) -> bool {
        let mut busy = false;
        while let Some(output) = self.client.poll_output() {
            busy = true;
            match output {
                Output::Datagram { payload, .. } => self.received.push((now, payload.len())),
                Output::Notice(notice) => self.notices.push(notice),
                Output::Link(LinkEvent::Room(room)) => self.room = room,
                Output::Link(LinkEvent::Down) => self.room = 0,
                Output::Link(LinkEvent::Refused { token, reason }) => self.refused.push((token, reason)),
                Output::Link(LinkEvent::KeyKnown(_)) => self.keys += 1,
                Output::Link(_) => {}
                Output::Reconnect(reason) => panic!("{reason}"),
            }
        }
        while self.room > 0
            && let Some(transmit) = self.backlog.pop_front()
        {
            busy = true;
            self.room -= 1;
            self.client.handle_transmit(transmit, now);
        }
        while let Some(bytes) = self.client.poll_bytes() {
            busy = true;
            if let Some(port) = self.port {
                air.handle_client_bytes(port, &bytes, now);
            }
        }
        busy
    }
}

/// Bytes per second that arrive of an endless backlog of full datagrams, once the firmware's contention window has settled
/// (the last two thirds), and the most packets that waited inside the radio.
fn goodput(preset: &str, seconds: u64) -> (f64, usize) {
    let quiet = NODES.map(|node| RadioConfig { telemetry: None, node_info: false, ..radio(node, preset) });
    let mut world = World::new(quiet, false);
    world.queue(100_000, 219);
    let begin = world.now + Duration::from_secs(seconds / 3);
    world.run(Duration::from_secs(seconds));
    let bytes: usize = world.ends[1].received.iter().filter(|(at, _)| *at >= begin).map(|(_, len)| len).sum();
    #[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
    let rate = bytes as f64 / (world.now - begin).as_secs_f64();
    (rate, world.deepest)
}

#[test]
fn one_backlogged_sender_gets_nine_tenths_of_what_the_firmware_allows() {
    // Bytes per second that the firmware's medium access leaves to one sender.
    for (preset, bound) in
        [("SHORT_TURBO", 974.0), ("SHORT_FAST", 671.0), ("MEDIUM_FAST", 216.0), ("LONG_FAST", 72.0)]
    {
        let (rate, deepest) = goodput(preset, 300);
        println!("{preset}: {rate:.0} B/s of {bound}, at most {deepest} packets in the radio's queue");
        assert!(rate >= 0.9 * bound, "{preset}: {rate:.0} B/s of {bound}");
        assert!(deepest <= 2, "{preset}: {deepest} packets waited in the radio");
    }
}

#[test]
fn a_configured_radio_key_lets_strangers_talk_at_once() {
    let strangers = NODES.map(|node| RadioConfig {
        acquainted: Acquainted::Nobody,
        node_info: false,
        ..radio(node, "SHORT_FAST")
    });
    let mut world = World::new(strangers, true);
    world.queue(1, 60);
    world.run(Duration::from_secs(5));
    assert_eq!(world.ends[0].refused, []);
    assert_eq!(world.ends[1].received.len(), 1);
}

#[test]
fn strangers_come_by_each_others_keys_by_asking() {
    let strangers = NODES.map(|node| RadioConfig {
        acquainted: Acquainted::Nobody,
        node_info: false,
        ..radio(node, "SHORT_FAST")
    });
    let mut world = World::new(strangers, false);
    world.queue(1, 60);
    world.run(Duration::from_secs(30));
    assert_eq!(world.ends[0].refused, [], "the question went out before anything else");
    assert_eq!(world.ends[0].keys, 1, "{:?}", world.ends[0].notices);
    assert_eq!(world.ends[1].received.len(), 1);
    let (_, peer) = &world.ends[1].client.status().peers[0];
    assert!(matches!(peer.key, KeyState::Known(_)), "the peer can answer");
}

#[test]
fn a_radio_that_forgot_its_nodes_is_given_the_key_again() {
    let mut world = World::new(NODES.map(|node| radio(node, "SHORT_FAST")), true);
    let forgetful = world.ends[0].radio;
    world.air.reboot(forgetful, true, world.now);
    world.run(Duration::from_secs(10));
    assert_eq!(world.ends[0].port, None, "the connection was cut");
    world.connect(0);
    world.run(Duration::from_secs(5));
    assert!(world.ends[0].notices.contains(&Notice::Rebooted), "{:?}", world.ends[0].notices);
    world.queue(1, 60);
    world.run(Duration::from_secs(5));
    assert_eq!(world.ends[1].received.len(), 1);
}

#[test]
fn the_duty_cycles_cliff_stops_the_sender_until_the_radio_says() {
    let european = NODES.map(|node| RadioConfig {
        region: Region::number_of("EU_868").unwrap(),
        ..radio(node, "MEDIUM_FAST")
    });
    let mut world = World::new(european, false);
    world.queue(2000, 219);
    world.run(Duration::from_secs(1200));
    let end = &world.ends[0];
    let told = end.notices.iter().filter(|notice| matches!(notice, Notice::DutyCycle { .. })).count();
    assert!((1..=3).contains(&told), "{:?}", end.notices);
    assert!((1..=4).contains(&end.refused.len()), "{:?}", end.refused);
    assert!(
        end.client.status().stopped_until.is_some_and(|until| until > world.now + Duration::from_secs(600))
    );
    let spent = world.ends[1].received.len();
    assert!(spent > 400, "{spent}");
}

#[test]
fn a_peer_behind_a_relay_is_reached_and_then_with_the_hops_it_takes() {
    let mut world = World::new(NODES.map(|node| radio(node, "SHORT_FAST")), false);
    let ends = [world.ends[0].radio, world.ends[1].radio];
    world.air.set_hearing(ends[0], ends[1], None);
    world.air.set_hearing(ends[1], ends[0], None);
    world.air.add_radio(radio(0xa000_0003, "SHORT_FAST"), world.now);
    // Long enough to forget that the two once heard each other.
    world.run(Duration::from_secs(4000));
    world.queue(1, 60);
    world.run(Duration::from_secs(5));
    assert_eq!(world.ends[1].received.len(), 1);
    assert_eq!(world.ends[1].client.status().peers[0].1.hops, Some(1));
    world.air.set_ledger(true);
    world.ends[1].backlog.push_back(datagram(NODES[0], 60, 1));
    world.run(Duration::from_secs(5));
    assert_eq!(world.ends[0].received.len(), 1, "the answer comes back");
    let sent = std::iter::from_fn(|| world.air.poll_ledger()).find(|entry| entry.sender.0 == NODES[1]);
    assert_eq!(sent.map(|entry| (entry.payload, entry.hop_limit)), Some((60, 1)));
}

#[test]
fn two_that_send_at_once_both_get_through() {
    let mut world = World::new(NODES.map(|node| radio(node, "SHORT_FAST")), false);
    world.queue(1000, 219);
    world.ends[1].backlog.extend((0..1000).map(|token| datagram(NODES[0], 219, token)));
    world.run(Duration::from_secs(200));
    let received = [0, 1].map(|at| world.ends[at].received.len());
    assert!(received.iter().all(|count| *count > 100), "{received:?}");
    assert!(world.ends.iter().all(|end| end.refused.is_empty()));
}

#[test]
fn an_idle_client_writes_a_heartbeat_every_five_minutes_and_nothing_else() {
    let quiet =
        NODES.map(|node| RadioConfig { telemetry: None, node_info: false, ..radio(node, "SHORT_FAST") });
    let mut world = World::new(quiet, false);
    world.run(Duration::from_secs(300));
    let before = world.ends[0].client.status().counters;
    world.run(Duration::from_secs(3000));
    let after = world.ends[0].client.status().counters;
    assert_eq!(after.questions - before.questions, 10);
    assert_eq!(after.fillers, before.fillers);
    assert!(world.now > world.start);
}
