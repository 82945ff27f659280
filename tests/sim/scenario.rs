//! A world and what happens in it, decoded from bytes; and after that the healing, which every world owes.
//!
//! Life-cycle: a plan from the first bytes → transitions until the bytes are used up → all faults off, everything started
//! → the hosts send until every one got something from every other ([`heal`]) within a bounded simulated time.

mod draw;

use std::fmt;
use std::time::Duration;

use meshnet_proto::config::PeerMode;
use meshnet_proto::link::LinkAddr;
use meshnet_radiosim::{Burst, Faults};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::change;
use crate::internet::Weather;
use crate::packet::Kind;
use crate::roam;
use crate::script::Script;
use crate::world::{World, address, num};

/// Transitions of one world, at most.
const MAX_TRANSITIONS: usize = 120;
/// A world's hosts send no more than this while things happen.
const MAX_PACKETS: usize = 20_000;
/// Simulated time that may pass before the healing.
const MAX_TIME: Duration = Duration::from_secs(4 * 24 * 3600);
/// The interval between packets of a pair while it heals: it grows, as hosts' own intervals do.
const HEAL_EVERY: Duration = Duration::from_secs(20);
const HEAL_EVERY_AT_MOST: Duration = Duration::from_secs(240);
/// Whatever happened, traffic flows again within this time.
pub const HEAL_WITHIN: Duration = Duration::from_secs(2 * 3600);

/// What a world came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// How long the healing took.
    pub healed: Duration,
    /// Packets that hosts sent.
    pub sent: u64,
    /// Those that arrived.
    pub arrived: u64,
    /// Steps taken.
    pub steps: u64,
}

/// Why a world failed, and what went before.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Why, in a line.
    pub why: String,
    /// The plan and the flow of packets.
    pub story: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.story, self.why)
    }
}

/// Returns the bytes of the story with this number.
#[must_use]
pub fn story(seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let len = 24 + rng.next_u32() as usize % 200;
    let mut bytes = vec![0; len];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Runs a story.
///
/// # Errors
/// If anything that must hold does not, or something panics.
pub fn run(bytes: &[u8]) -> Result<Outcome, Failure> {
    let (world, told) = tell(bytes);
    told.map_err(|why| Failure { why, story: world.story() })
}

/// Runs a story; returns its world too, to be looked at.
///
/// # Errors
/// As [`run`].
pub fn tell(bytes: &[u8]) -> (World, Result<Outcome, String>) {
    let mut script = Script::new(bytes);
    let mut world = World::new(draw::plan(&mut script));
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        transitions(&mut world, &mut script);
        heal(&mut world)
    }));
    let told = told.map(|healed| {
        let packets = &world.watch.packets;
        let arrived = packets.iter().filter(|packet| packet.delivered.is_some()).count() as u64;
        Outcome { healed, sent: packets.len() as u64, arrived, steps: world.steps }
    });
    let told = told.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let why = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        why.unwrap_or_default().replace('\n', ", ")
    });
    (world, told)
}

fn transitions(world: &mut World, script: &mut Script<'_>) {
    let start = world.now;
    for _ in 0..MAX_TRANSITIONS {
        if script.is_over() || world.now - start > MAX_TIME || world.watch.packets.len() > MAX_PACKETS {
            return;
        }
        transition(world, script);
        world.audit();
    }
}

/// One thing happens, and some time passes.
fn transition(world: &mut World, script: &mut Script<'_>) {
    let count = world.stations.len();
    let at = script.below(count);
    let other = (at + 1 + script.below(count - 1)) % count;
    let mixed = world.plan.pairs.values().any(|pair| pair.mode == PeerMode::Wireguard);
    match script.below(if mixed { 48 } else { 32 }) {
        0..=5 => send(world, script, at, other, 1),
        6..=8 => send(world, script, at, other, 2 + script.clone().below(60)),
        9 | 10 => tell_faults(world, script),
        11 => {
            story_line(world, "the air is clear again");
            *world.air.faults_mut() = Faults::default();
        }
        12 => {
            let forget = script.once_in(3);
            world.reboot(at, forget);
        }
        13 => {
            story_line(world, &format!("another client takes the port of {at}"));
            world.air.evict(world.stations[at].radio, world.now);
        }
        14 => {
            let stalled = script.once_in(2);
            story_line(world, &format!("the way between {at} and its radio is stalled: {stalled}"));
            world.air.stall(world.stations[at].radio, stalled, world.now);
        }
        15 => {
            story_line(world, &format!("the connection of {at} breaks"));
            world.cut(at);
        }
        16 | 17 => restart(world, script, at),
        18..=20 => replay(world, script, at),
        21 => inject(world, script, at, other),
        22 => {
            story_line(world, &format!("garbage in the stream to {at}"));
            let bytes = script.take(24);
            world.disturb(at, bytes);
        }
        23 => {
            let hears = script.once_in(2);
            story_line(world, &format!("{other} hears {at}: {hears}"));
            let (from, to) = (world.stations[at].radio, world.stations[other].radio);
            world.air.set_hearing(from, to, hears.then(meshnet_radiosim::Hearing::default));
        }
        24 => {
            let nowhere = script.choose(&[[10, 9, 9, 9], [224, 0, 0, 251], [10, 0, 0, 255], [127, 0, 0, 1]]);
            world.send_foreign(at, address(at), nowhere.into(), 20);
        }
        // The tool does not look at inner sources.
        25 if !world.stations[other].is_tool => {
            let source = script.choose(&[[10, 0, 0, 77], [8, 8, 8, 8]]);
            world.send_foreign(at, source.into(), address(other), 20);
        }
        26 => {
            let bytes = script.take(40);
            world.handle_device(at, bytes);
        }
        27 | 28 => both_send(world, script, at, other),
        29 | 30 if !world.stations[at].is_tool => change::tell(world, script, at, other),
        32..=47 if !world.stations[at].is_tool => roam::happen(world, script, at, other),
        31 if !world.stations[at].is_tool => change::ask(world, script, at, other),
        _ => {}
    }
    let time = passing(script);
    world.run(time);
}

fn story_line(world: &mut World, line: &str) {
    let now = world.now;
    world.watch.handle_story(line, now);
}

/// Mostly moments, at times hours.
fn passing(script: &mut Script<'_>) -> Duration {
    let amount = u64::from(script.byte());
    match script.below(32) {
        0..=7 => Duration::ZERO,
        8..=15 => Duration::from_millis(amount * 10),
        16..=25 => Duration::from_millis(amount * 100),
        26..=28 => Duration::from_secs(amount),
        29 => Duration::from_secs(amount * 10),
        30 => Duration::from_secs(amount * 60),
        _ if amount < 32 => Duration::from_secs(amount * 3600),
        _ => Duration::from_secs(amount),
    }
}

fn kind(script: &mut Script<'_>) -> Kind {
    let port = 1000 + u16::from(script.byte() & 7);
    match script.below(8) {
        0..=2 => Kind::Udp { port },
        3 => Kind::Urgent { port },
        4 | 5 => Kind::Ping,
        _ => Kind::Tcp {
            port,
            sequence: u32::from(script.byte() & 15) * 100,
            acknowledgement: u32::from(script.byte() & 15) * 100,
        },
    }
}

fn send(world: &mut World, script: &mut Script<'_>, from: usize, to: usize, times: usize) {
    let kind = kind(script);
    let mtu = usize::from(world.stations[from].config.mtu);
    let room = mtu - 40;
    let data = match script.below(8) {
        0..=3 => usize::from(script.byte()) % 40,
        4..=5 => usize::from(script.byte()) % room.min(140),
        6 => room,
        _ => usize::from(script.byte()) * 6 % (room + 20),
    };
    // The tool's interface takes nothing longer either.
    let data = if world.stations[to].is_tool { data.min(140) } else { data };
    for _ in 0..times {
        world.send(from, to, kind, data);
    }
}

fn both_send(world: &mut World, script: &mut Script<'_>, a: usize, b: usize) {
    send(world, script, a, b, 1);
    send(world, script, b, a, 1);
}

fn tell_faults(world: &mut World, script: &mut Script<'_>) {
    let share = |script: &mut Script<'_>| f64::from(script.byte()) / 512.0;
    let mut faults = Faults { reorder_delay: Duration::from_secs(3), ..Faults::default() };
    match script.below(6) {
        0 => faults.loss = share(script),
        1 => {
            faults.burst = Some(Burst {
                good: Duration::from_secs(1 + u64::from(script.byte())),
                bad: Duration::from_secs(1 + u64::from(script.byte())),
                loss: 1.0,
            });
        }
        2 => faults.duplicate = share(script),
        3 => faults.reorder = share(script),
        4 => faults.corrupt = share(script),
        _ => {
            (faults.loss, faults.duplicate) = (share(script) / 2.0, share(script));
            (faults.reorder, faults.corrupt) = (share(script), share(script) / 4.0);
        }
    }
    story_line(world, &format!("{faults:?}"));
    *world.air.faults_mut() = faults;
}

/// A daemon dies and comes back, at once or later; its state may be lost with it.
fn restart(world: &mut World, script: &mut Script<'_>, at: usize) {
    if !world.stations[at].is_running() {
        return world.start(at);
    }
    world.kill(at);
    let may_forget = !(0..world.stations.len()).any(|other| {
        let symmetric = other != at && world.plan.pair(at, other).mode == PeerMode::Symmetric;
        symmetric && world.stations[other].is_tool
    });
    // A symmetric tool refuses for ever what a peer that forgot its counters seals with lower ones.
    if script.once_in(4) && may_forget {
        story_line(world, &format!("{at} loses its state"));
        world.stations[at].stored = None;
        world.watch.handle_lost_state(at);
    }
    if !script.once_in(4) {
        world.start(at);
    }
}

/// Somebody who can write any source address sends what he recorded, to whom it was for or to its sender.
fn replay(world: &mut World, script: &mut Script<'_>, at: usize) {
    let times = 1 + script.below(4);
    for _ in 0..times {
        let count = world.watch.recorded.len();
        if count == 0 {
            return;
        }
        let recorded = world.watch.recorded[count - 1 - script.below(count)].clone();
        let receiver = recorded.to.as_radio().and_then(crate::watch::station_of);
        let Some(receiver) = receiver else { continue };
        let mut payload = recorded.payload;
        match script.below(8) {
            0..=3 => world.inject(receiver, LinkAddr::radio(num(recorded.from)), &payload),
            // Thrown back at its sender: a symmetric tool would take it, and nothing lower ever after.
            4 if !world.stations[recorded.from].is_tool => {
                world.inject(recorded.from, LinkAddr::radio(num(receiver)), &payload);
            }
            5 => world.inject(at, LinkAddr::radio(num(recorded.from)), &payload),
            6 => {
                let place = script.below(payload.len());
                payload[place] ^= 1 << script.below(8);
                world.inject(receiver, LinkAddr::radio(num(recorded.from)), &payload);
            }
            _ => world.inject(receiver, LinkAddr::radio(0x0bad_0bad), &payload),
        }
    }
}

/// Garbage, with a type that makes it be looked at.
fn inject(world: &mut World, script: &mut Script<'_>, at: usize, other: usize) {
    let mut payload = vec![script.byte() % 6];
    payload.extend_from_slice(script.take(60));
    match script.below(4) {
        0 => payload.resize(53, 0xa5),
        1 => payload.resize(57, 0xa5),
        _ => {}
    }
    world.inject(at, LinkAddr::radio(num(other)), &payload);
}

/// All faults end and everything runs; returns how long it takes until every host hears from every other.
///
/// # Panics
/// If it takes too long.
pub fn heal(world: &mut World) -> Duration {
    story_line(world, "everything is well from here on");
    *world.air.faults_mut() = Faults::default();
    world.net.weather = Weather::default();
    let anybody = world.plan.pairs.values().any(|pair| pair.mode == PeerMode::Wireguard);
    for at in (0..world.stations.len()).filter(|_| anybody) {
        if !world.stations[at].is_tool {
            world.attach(at, true);
        }
    }
    for at in 0..world.stations.len() {
        world.air.stall(world.stations[at].radio, false, world.now);
        for other in 0..world.stations.len() {
            let (from, to) = (world.stations[at].radio, world.stations[other].radio);
            world.air.set_hearing(from, to, Some(meshnet_radiosim::Hearing::default()));
        }
        if !world.stations[at].is_running() {
            world.start(at);
        }
    }
    for at in 0..world.stations.len() {
        for other in (0..world.stations.len()).filter(|other| *other != at) {
            world.restore_peer(at, other);
        }
    }
    let start = world.now;
    let mut left: Vec<(usize, usize)> = Vec::new();
    for a in 0..world.stations.len() {
        left.extend((0..world.stations.len()).filter(|b| *b != a).map(|b| (a, b)));
    }
    let (mut sent, mut every) = (Vec::new(), HEAL_EVERY);
    while !left.is_empty() {
        if world.now - start > HEAL_WITHIN {
            world.fail(&format!("no traffic flows between {left:?}"));
        }
        for &(from, to) in &left {
            sent.push((from, to, world.send(from, to, Kind::Udp { port: 99 }, 4)));
        }
        world.run(every);
        every = (every * 5 / 4).min(HEAL_EVERY_AT_MOST);
        left.retain(|pair| {
            let arrived = |number: u16| world.watch.packets[usize::from(number)].delivered.is_some();
            !sent.iter().any(|&(from, to, number)| (from, to) == *pair && arrived(number))
        });
    }
    world.audit();
    world.now - start
}
