//! What an operator changes while everything runs: peers come, go and get another configuration, links are replaced, keys
//! renewed, peers pinged. And the decisions of a story about that.

use meshnet_proto::config::{PeerConfig, PeerMode};
use meshnet_proto::key::PresharedKey;
use meshnet_proto::link::LinkAddr;

use crate::internet;
use crate::script::Script;
use crate::world::{World, num};

impl World {
    /// Removes the peer `other` at a station, if it is one there.
    pub fn remove_peer(&mut self, at: usize, other: usize) {
        let key = self.plan.peer(at, other).public_key;
        self.stations[at].remove_peer(&key, self.now);
        self.watch.handle_peer(at, other, false);
        self.settle();
    }

    /// Gives a station a peer's configuration: adds the peer, or changes it.
    ///
    /// # Panics
    /// If it is not taken.
    pub fn set_peer(&mut self, at: usize, other: usize, peer: &PeerConfig) {
        // A WIREGUARD peer may come from anywhere.
        let reached = peer.mode == PeerMode::Wireguard || !peer.endpoints.is_empty();
        self.watch.handle_peer(at, other, !peer.allowed_ips.is_empty() && reached);
        if let Err(error) = self.stations[at].set_peer(peer, self.now) {
            self.fail(&format!("station {at} does not take its peer {other}: {error}"));
        }
        self.settle();
    }

    /// Gives a station the peer that it has by the plan.
    pub fn restore_peer(&mut self, at: usize, other: usize) {
        let planned = self.plan.peer(at, other);
        self.set_peer(at, other, &planned);
    }

    /// A station's link is removed, and its radio becomes another one.
    pub fn replace_link(&mut self, at: usize) {
        self.stations[at].replace_link(self.plan.seed, &mut self.air, self.now);
        self.watch.handle_new_link(at, self.now);
        self.settle();
    }

    /// A node pings another's host; returns the token if it does.
    pub fn ping(&mut self, at: usize, other: usize, bytes: u16) -> Option<u64> {
        let key = self.plan.peer(at, other).public_key;
        let token = self.stations[at].ping(&key, bytes, self.now)?;
        self.watch.handle_ping(at, self.stations[at].lives, token, other, self.now);
        self.settle();
        Some(token)
    }

    /// A node renews its keys with another.
    pub fn rekey(&mut self, at: usize, other: usize) {
        let key = self.plan.peer(at, other).public_key;
        self.stations[at].rekey(&key, self.now);
        self.settle();
    }
}

/// An operator changes something at a station of ours.
pub fn tell(world: &mut World, script: &mut Script<'_>, at: usize, other: usize) {
    let (now, planned) = (world.now, world.plan.peer(at, other));
    let story = |world: &mut World, what: &str| {
        world.watch.handle_story(&format!("operator at {at}: {what} {other}"), now);
    };
    match script.below(8) {
        0 | 1 => {
            story(world, "no longer a peer:");
            world.remove_peer(at, other);
        }
        2 | 3 => {
            story(world, "as planned:");
            world.restore_peer(at, other);
        }
        4 => {
            story(world, "removes and adds at once");
            world.remove_peer(at, other);
            world.restore_peer(at, other);
        }
        5 => {
            story(world, "other endpoints of");
            let elsewhere = LinkAddr::radio(0x0e00_0000 + u32::from(script.byte()));
            let here = LinkAddr::radio(num(other));
            let (elsewhere, here) = match planned.mode {
                PeerMode::Wireguard if script.once_in(2) || planned.endpoints.is_empty() => (
                    LinkAddr::udp(([198, 51, 100, script.byte()], 51820).into()),
                    LinkAddr::udp(internet::inner(other)),
                ),
                _ => (elsewhere, here),
            };
            let choices = [vec![], vec![elsewhere], vec![elsewhere, here], vec![here, elsewhere]];
            let endpoints = choices[script.below(choices.len())].clone();
            world.set_peer(at, other, &PeerConfig { endpoints, ..planned });
        }
        6 => {
            story(world, "other addresses of");
            let more = "10.8.0.0/16".parse().expect("a prefix");
            let taken = world.stations[at]
                .config
                .peers
                .iter()
                .any(|peer| peer.public_key != planned.public_key && peer.allowed_ips.contains(&more));
            let allowed_ips =
                if script.once_in(2) || taken { vec![] } else { vec![planned.allowed_ips[0], more] };
            world.set_peer(at, other, &PeerConfig { allowed_ips, ..planned });
        }
        _ => {
            story(world, "another secret with");
            let secret = PresharedKey::from_bytes([0xee; 32]);
            world.set_peer(at, other, &PeerConfig { preshared_key: Some(secret), ..planned });
        }
    }
}

/// A node of ours is asked to do something that costs air.
pub fn ask(world: &mut World, script: &mut Script<'_>, at: usize, other: usize) {
    match script.below(4) {
        0 | 1 => {
            let bytes = script.choose(&[0, 20, 56, 100, 400]);
            let token = world.ping(at, other, bytes);
            let now = world.now;
            world.watch.handle_story(&format!("{at} pings {other} with {bytes} bytes: {token:?}"), now);
        }
        2 => {
            let now = world.now;
            world.watch.handle_story(&format!("{at} renews its keys with {other}"), now);
            world.rekey(at, other);
        }
        _ => {
            let now = world.now;
            world.watch.handle_story(&format!("{at} replaces its link"), now);
            world.replace_link(at);
        }
    }
}
