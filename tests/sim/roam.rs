//! What happens where air is free: stations come and go there, addresses change behind translators, the weather turns, and
//! somebody who can write any source address carries what he recorded from one link to the other.

use std::net::SocketAddr;
use std::time::Duration;

use meshnet_proto::link::LinkAddr;

use crate::internet::{self, Weather};
use crate::script::Script;
use crate::watch::station_at;
use crate::world::{World, num};

impl World {
    /// A station's link where air is free comes or goes, and its daemon is told.
    pub fn attach(&mut self, at: usize, attached: bool) {
        self.net.attach(at, attached);
        self.stations[at].attach(attached.then(|| vec![internet::inner(at)]), self.now);
        self.settle();
    }

    /// A station is reached where air is free, or is not any more, and its daemon is told nothing.
    pub fn plug(&mut self, at: usize, plugged: bool) {
        self.net.attach(at, plugged);
    }

    /// A station says that it has these addresses where air is free, which may be anybody's.
    pub fn claim(&mut self, at: usize, addresses: Vec<SocketAddr>) {
        if self.stations[at].attached.is_some() {
            self.stations[at].claim(addresses, self.now);
            self.settle();
        }
    }

    /// A host slept for so long, as its daemon is told.
    pub fn resume(&mut self, at: usize, slept: Duration) {
        self.watch.handle_resume(at);
        self.stations[at].resume(slept, self.now);
        self.settle();
    }

    /// Somebody sends a station a datagram from any address, past every translator.
    pub fn forge(&mut self, at: usize, from: SocketAddr, payload: &[u8]) {
        self.take(at, from, payload);
    }
}

/// One thing happens where air is free.
pub fn happen(world: &mut World, script: &mut Script<'_>, at: usize, other: usize) {
    let story = |world: &mut World, line: String| {
        let now = world.now;
        world.watch.handle_story(&line, now);
    };
    match script.below(12) {
        0..=2 => {
            let attached = !world.net.is_attached(at);
            story(world, format!("the free link of {at}: {attached}"));
            world.attach(at, attached);
        }
        3 => {
            let plugged = script.once_in(2);
            story(world, format!("{at} is reached where air is free: {plugged}"));
            world.plug(at, plugged);
        }
        4 => {
            let weather = weather(script);
            story(world, format!("{weather:?}"));
            world.net.weather = weather;
        }
        5 if world.plan.stations[at].nat => {
            story(world, format!("the translator of {at} forgets"));
            world.net.rebind(at);
        }
        6..=8 => replay(world, script, at),
        9 => {
            let mut lies: Vec<_> = (0..world.stations.len()).map(|of| world.net.address(of)).collect();
            lies.push(SocketAddr::from(([198, 51, 100, 7], 51820)));
            let first = script.below(lies.len());
            lies.rotate_left(first);
            lies.truncate(1 + script.below(4));
            story(world, format!("{at} says that it is at {lies:?}"));
            world.claim(at, lies);
        }
        10 => {
            let slept = Duration::from_secs(script.choose(&[5, 150, 3600, 3 * 24 * 3600]));
            story(world, format!("{at} wakes from a sleep of {slept:?}, as it says"));
            world.resume(at, slept);
        }
        _ => garbage(world, script, at, other),
    }
}

fn weather(script: &mut Script<'_>) -> Weather {
    let share = |script: &mut Script<'_>| f64::from(script.byte()) / 512.0;
    match script.below(5) {
        0 => Weather::default(),
        1 => Weather { loss: 1.0, ..Weather::default() },
        2 => Weather { loss: 0.3, delay: Duration::from_millis(300), ..Weather::default() },
        3 => Weather {
            jitter: Duration::from_millis(u64::from(script.byte()) * 2),
            duplicate: share(script),
            ..Weather::default()
        },
        _ => Weather {
            delay: Duration::from_millis(u64::from(script.byte()) * 2),
            jitter: Duration::from_millis(u64::from(script.byte())),
            loss: share(script),
            duplicate: share(script),
        },
    }
}

/// What was recorded on one link is sent on the same or on the other, to whom it was for or to its sender, from an address
/// of the sender's, of somebody else's, or of nobody's.
fn replay(world: &mut World, script: &mut Script<'_>, at: usize) {
    for _ in 0..=script.below(4) {
        let count = world.watch.recorded.len();
        if count == 0 {
            return;
        }
        let recorded = world.watch.recorded[count - 1 - script.below(count)].clone();
        let Some(receiver) = station_at(recorded.to) else { continue };
        let to = if script.once_in(6) { recorded.from } else { receiver };
        let mut payload = recorded.payload;
        if script.once_in(8) {
            let place = script.below(payload.len());
            payload[place] ^= 1 << script.below(8);
        }
        if script.once_in(3) {
            let from = script.choose(&[recorded.from, recorded.from, at]);
            if !world.stations[to].is_tool && recorded.to.as_udp().is_some() {
                world.inject(to, LinkAddr::radio(num(from)), &payload);
            }
        } else {
            let nobodys = SocketAddr::from(([198, 51, 100, 9], 7));
            let of = |at: usize| world.net.address(at);
            let from = script.choose(&[of(recorded.from), of(at), internet::inner(recorded.from), nobodys]);
            world.forge(to, from, &payload);
        }
    }
}

/// Garbage, with a type and a length that make it be looked at.
fn garbage(world: &mut World, script: &mut Script<'_>, at: usize, other: usize) {
    let mut payload = vec![1 + script.byte() % 4, 0, 0, 0];
    payload.extend_from_slice(script.take(60));
    payload.resize(script.choose(&[148, 92, 64, 32, 48, payload.len()]), 0xa5);
    let from = world.net.address(other);
    world.forge(at, from, &payload);
}
