//! Both ends at once: what one sends, the other hears, late or never.

use std::collections::BTreeMap;

use rand_core::Rng as _;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Message {
    Packet,
    Probe(u32),
    Answer(u32),
    Addresses,
}

struct World {
    ends: [End; 2],
    rng: ChaCha8Rng,
    wire: BTreeMap<(Instant, u64), (usize, LinkId, Message)>,
    /// The counter of both sessions' messages.
    serial: u64,
    /// The newest that arrived, at each end.
    newest: [u64; 2],
    /// Of the free link.
    works: bool,
    loss: u32,
    delay: Duration,
    jitter: Duration,
    /// When packets arrived, at each end.
    arrived: [Vec<(Duration, LinkId)>; 2],
    by_radio: u64,
}

fn place(end: usize, link: LinkId) -> LinkAddr {
    let number = u32::try_from(end).unwrap() + 1;
    if link == RADIO { LinkAddr::radio(number) } else { udp(&format!("192.0.2.{number}:51820")) }
}

impl World {
    fn new(seed: u64, with_lan: bool) -> Self {
        let end = |which: usize| {
            let mut end = End::new(true, Bulk::default());
            end.rng = ChaCha8Rng::seed_from_u64(seed * 2 + u64::try_from(which).unwrap());
            let mut places = vec![place(1 - which, RADIO)];
            if with_lan {
                places.push(place(1 - which, WIFI));
            }
            end.paths.set_configured(&places, end.now);
            end.paths.handle_link_up(RADIO, &radio(100), end.now);
            end.paths.set_session(true, end.now);
            end.paths.set_own_addresses(true, end.now);
            end
        };
        let ends = [end(0), end(1)];
        let start = ends[0].start;
        let mut world = Self {
            ends,
            rng: ChaCha8Rng::seed_from_u64(seed),
            wire: BTreeMap::new(),
            serial: 0,
            newest: [0, 0],
            works: true,
            loss: 0,
            delay: ms(1),
            jitter: Duration::ZERO,
            arrived: [vec![], vec![]],
            by_radio: 0,
        };
        for which in [0, 1] {
            world.ends[which].start = start;
            world.ends[which].now = start;
            world.ends[which].paths.handle_link_up(WIFI, &free(10), start);
            world.carry_out(which);
        }
        world
    }

    fn now(&self) -> Duration {
        self.ends[0].now - self.ends[0].start
    }

    fn put(&mut self, from: usize, link: LinkId, message: Message) {
        let now = self.ends[from].now;
        let (what, to) = match message {
            Message::Packet => (Sent::Packet, place(1 - from, link)),
            _ => (Sent::Control, place(1 - from, link)),
        };
        self.ends[from].paths.sent(link, to, what, 60, Duration::ZERO, now);
        let jitter = self.jitter * (self.rng.next_u32() % 1000) / 1000;
        let delay = if link == RADIO { ms(1500) } else { self.delay + jitter };
        let lost = link == WIFI && (!self.works || self.rng.next_u32() % 100 < self.loss);
        if link == RADIO {
            self.by_radio += 1;
        }
        self.serial += 1;
        if !lost {
            self.wire.insert((now + delay, self.serial), (1 - from, link, message));
        }
    }

    fn carry_out(&mut self, which: usize) {
        loop {
            let (now, start) = (self.ends[which].now, self.ends[which].start);
            let end = &mut self.ends[which];
            let Some(action) = end.paths.poll_action(&mut end.rng, now) else { return };
            match action {
                Action::Probe { link, to, token } => {
                    assert_eq!(to, place(1 - which, link));
                    end.probes.push((now - start, link, to, token));
                    self.put(which, link, Message::Probe(token));
                }
                Action::Changed { to, why, .. } => end.changes.push((now - start, to, why)),
                Action::Stranded => end.stranded.push(now - start),
                Action::Announce => {
                    let link = end.paths.current().unwrap().0;
                    end.announced.push(now - start);
                    self.put(which, link, Message::Addresses);
                }
            }
        }
    }

    fn packet(&mut self, from: usize) {
        if let Some((link, _)) = self.ends[from].paths.current() {
            self.put(from, link, Message::Packet);
            self.carry_out(from);
        }
    }

    fn take(&mut self, at: usize, link: LinkId, message: Message, serial: u64) {
        let (now, from) = (self.ends[at].now, place(1 - at, link));
        let is_newest = serial > self.newest[at];
        self.newest[at] = self.newest[at].max(serial);
        let proof = match message {
            Message::Probe(_) => Heard::Question,
            _ if !is_newest => Heard::Late,
            Message::Packet => Heard::Packet,
            Message::Answer(_) | Message::Addresses => Heard::Newest,
        };
        self.ends[at].paths.heard(link, from, proof, now);
        match message {
            Message::Packet => self.arrived[at].push((now - self.ends[at].start, link)),
            Message::Probe(token) => self.put(at, link, Message::Answer(token)),
            Message::Answer(token) => {
                self.ends[at].paths.answered(token, link, from, now);
            }
            Message::Addresses => {
                self.ends[at].paths.announced(&[place(1 - at, WIFI).as_udp().unwrap()], now);
            }
        }
        self.carry_out(at);
    }

    /// Packets leave `from` every so often, and nothing else happens but what the paths want.
    fn run(&mut self, time: Duration, from: &[usize], every: Duration) {
        let until = self.ends[0].now + time;
        let mut tick = self.ends[0].now;
        loop {
            let timers = self.ends.iter().filter_map(|end| end.paths.deadline()).map(|(due, _)| due);
            let next =
                timers.chain(self.wire.keys().next().map(|(due, _)| *due)).chain([tick]).min().unwrap();
            let next = next.max(self.ends[0].now);
            self.ends.iter_mut().for_each(|end| end.now = next.min(until));
            if next >= until {
                return;
            }
            if tick == next {
                from.iter().for_each(|from| self.packet(*from));
                tick += every;
            }
            while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= next) {
                let serial = entry.key().1;
                let (at, link, message) = entry.remove();
                self.take(at, link, message, serial);
            }
            for which in [0, 1] {
                if self.ends[which].paths.deadline().is_some_and(|(due, _)| due <= next) {
                    self.ends[which].paths.handle_timeout(next);
                    self.carry_out(which);
                }
            }
        }
    }

    fn changes(&self) -> usize {
        self.ends.iter().map(|end| end.changes.len()).sum()
    }

    fn is_on(&self, link: LinkId) -> bool {
        self.ends.iter().all(|end| end.paths.current().map(|(on, _)| on) == Some(link))
    }
}

#[test]
fn two_hosts_that_met_by_radio_go_to_wifi_by_themselves() {
    let mut world = World::new(1, false);
    assert!(world.is_on(RADIO));
    world.run(s(5), &[0], ms(200));
    assert!(world.is_on(WIFI), "{:?}", world.ends[0].changes);
    let (_, to, why) = world.ends[0].changes.last().copied().unwrap();
    assert_eq!((to, why), (Some((WIFI, place(1, WIFI))), Why::Proven));
    assert_eq!(world.ends[0].announced.len(), 1, "by radio, once");
}

#[test]
fn traffic_leaves_a_wifi_that_died_within_three_seconds_and_is_back_within_one() {
    for (delay, jitter) in [(ms(1), ms(1)), (ms(30), ms(20)), (ms(250), ms(100))] {
        let mut world = World::new(7, true);
        (world.delay, world.jitter) = (delay, jitter);
        world.run(s(10), &[0, 1], ms(50));
        assert!(world.is_on(WIFI));
        for round in 0..10 {
            world.works = false;
            let died = world.now();
            world.run(s(20 + round), &[0, 1], ms(50));
            assert!(world.is_on(RADIO), "round {round}");
            let first = |world: &World, at: usize, after: Duration, on: LinkId| {
                let mut arrived = world.arrived[at].iter();
                arrived.find(|(when, link)| *when > after && *link == on).unwrap().0 - after
            };
            for at in [0, 1] {
                let stall = first(&world, at, died, RADIO);
                assert!(stall < s(3) + ms(1500), "round {round}: {stall:?}");
                assert!(
                    delay > ms(10) || stall < ms(1500) + ms(1500),
                    "a fast path is left sooner: {stall:?}"
                );
            }
            world.works = true;
            let back = world.now();
            world.run(s(30), &[0, 1], ms(50));
            for at in [0, 1] {
                let trip = delay + jitter;
                assert!(first(&world, at, back, WIFI) < s(1) + trip * 3, "round {round}");
            }
            assert!(world.is_on(WIFI));
        }
        assert_eq!(world.changes(), 2 * (2 + 10 * 2), "{delay:?}");
    }
}

#[test]
fn loss_delay_and_reordering_do_not_make_a_path_flap() {
    for seed in 0..12 {
        for senders in [&[0][..], &[0, 1]] {
            let mut world = World::new(seed, true);
            (world.loss, world.delay, world.jitter) = (30, ms(250), ms(100));
            world.run(s(20), &[0, 1], ms(100));
            assert!(world.is_on(WIFI));
            let before = world.changes();
            world.run(s(1200), senders, ms(70));
            assert_eq!(world.changes(), before, "seed {seed}: {:?}", world.ends.map(|end| end.changes));
        }
    }
}

#[test]
fn a_fast_path_that_begins_to_lose_flaps_hardly_ever() {
    let mut falls = 0;
    for seed in 0..20 {
        let mut world = World::new(seed, true);
        world.run(s(20), &[0, 1], ms(100));
        let before = world.changes();
        world.loss = 30;
        world.run(s(600), &[0], ms(70));
        falls += world.changes() - before;
    }
    assert!(falls <= 4, "{falls} changes in 200 minutes");
}

#[test]
fn nothing_goes_by_radio_while_wifi_works_and_nothing_at_all_without_traffic() {
    let mut world = World::new(3, true);
    world.run(s(10), &[0, 1], ms(50));
    let before = world.by_radio;
    world.run(s(600), &[0, 1], ms(50));
    assert_eq!(world.by_radio, before);
    world.run(s(60), &[], s(3600));
    assert!(world.ends.iter().all(|end| end.paths.deadline().is_none()), "no timer is armed");
    assert!(world.wire.is_empty());
}

#[test]
fn the_same_seed_gives_the_same_course() {
    let course = || {
        let mut world = World::new(5, true);
        (world.loss, world.delay, world.jitter) = (30, ms(50), ms(50));
        world.run(s(60), &[0, 1], ms(70));
        (world.ends.map(|end| (end.probes, end.changes)), world.serial)
    };
    assert_eq!(course(), course());
}
