//! A TCP connection between two hosts of a world, and what it cost.

use std::time::{Duration, Instant};

use crate::tcp::Tcp;
use crate::world::{World, public_key};

/// From and to which port.
const PORTS: [u16; 2] = [40_000, 4000];
/// Both ends' first numbers.
const FIRST: [u32; 2] = [0x1234_5678, 0xfedc_ba98];

/// What a station's radio has sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Transmissions.
    pub frames: u64,
    /// Bytes given to the chip.
    pub bytes: u64,
    /// Time on the air.
    pub air: Duration,
}

impl Traffic {
    /// Adds up what a station's radio has sent so far.
    #[must_use]
    pub fn of(world: &World, at: usize) -> Self {
        let totals = world.air.totals(world.stations[at].radio);
        Self { frames: totals.frames.values().sum(), bytes: totals.bytes, air: totals.airtime }
    }

    fn since(self, before: Self) -> Self {
        Self {
            frames: self.frames - before.frames,
            bytes: self.bytes - before.bytes,
            air: self.air - before.air,
        }
    }
}

/// How a transfer went.
#[derive(Debug, Clone, Copy)]
pub struct Carried {
    /// From the first segment until the receiver had all bytes.
    pub whole: Duration,
    /// What the sender's radio sent for it, and the receiver's.
    pub sent: [Traffic; 2],
    /// Segments that the hosts sent.
    pub segments: [u64; 2],
}

impl Carried {
    /// The air of both radios.
    #[must_use]
    pub fn air(&self) -> Duration {
        self.sent[0].air + self.sent[1].air
    }
}

/// Carries bytes from one host to another over a new connection, with its begin and its end; what is still under way after
/// that gets `rest` to arrive.
///
/// # Panics
/// If it takes longer than `limit`, or a byte arrives changed.
pub fn carry(
    world: &mut World,
    [from, to]: [usize; 2],
    bytes: &[u8],
    limit: Duration,
    rest: Duration,
) -> Carried {
    let (start, at) = (world.now, [from, to]);
    let before = at.map(|at| Traffic::of(world, at));
    let mtus = [mtu(world, from, to), mtu(world, to, from)];
    let mut ends = [
        Tcp::connect(bytes.to_vec(), mtus[0], FIRST[0], start),
        Tcp::listen(bytes.len(), mtus[1], FIRST[1], start),
    ];
    let (mut whole, mut segments) = (None, [0; 2]);
    let mut until: Option<Instant> = None;
    loop {
        converse(world, at, &mut ends, &mut segments);
        if whole.is_none() && ends[1].received().len() == bytes.len() {
            whole = Some(world.now - start);
        }
        if until.is_none() && ends.iter().all(Tcp::is_over) {
            until = Some(world.now + rest);
        }
        let end = until.unwrap_or(start + limit);
        if world.now >= end {
            break;
        }
        let timers = ends.iter().filter_map(Tcp::poll_timeout).min();
        world.step(timers.map_or(end, |timer| timer.clamp(world.now, end)));
        for end in &mut ends {
            end.handle_timeout(world.now);
        }
    }
    assert!(ends[1].received() == bytes, "{} bytes arrived of {}", ends[1].received().len(), bytes.len());
    let Some(whole) = whole.filter(|_| until.is_some()) else {
        panic!("it is not over after {limit:?}\n{}", world.story());
    };
    let after = at.map(|at| Traffic::of(world, at));
    Carried { whole, sent: [after[0].since(before[0]), after[1].since(before[1])], segments }
}

/// Hands over what goes from host to host at this moment.
fn converse(world: &mut World, at: [usize; 2], ends: &mut [Tcp; 2], segments: &mut [u64; 2]) {
    loop {
        let mut moved = false;
        for side in 0..2 {
            let other = 1 - side;
            while let Some(segment) = ends[side].poll_transmit(world.now) {
                moved = true;
                segments[side] += 1;
                world.send_segment((at[side], PORTS[side]), (at[other], PORTS[other]), &segment);
            }
        }
        while let Some((host, segment)) = world.poll_segment() {
            moved = true;
            let side = usize::from(host == at[1]);
            ends[side].handle(&segment, world.now);
        }
        if !moved {
            return;
        }
    }
}

/// How long packets to a peer may be: as the daemon tells its kernel by a route.
fn mtu(world: &World, at: usize, to: usize) -> u16 {
    let station = &world.stations[at];
    let by_path = station.node().and_then(|node| node.metered_path_mtu(&public_key(to)));
    by_path.map_or(station.config.mtu, |mtu| mtu.min(station.config.mtu))
}
