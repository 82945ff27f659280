//! What a world is like before anything happens in it: its air, its stations, and how each two of them talk.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use meshnet_proto::config::{Config, PeerConfig, PeerMode};
use meshnet_proto::key::{PresharedKey, PrivateKey, PublicKey};
use meshnet_proto::link::LinkAddr;
use meshnet_proto::meshtastic::airtime::{PRESETS, Preset, Region};
use meshnet_radiosim::{Acquainted, RadioConfig};

use crate::internet;

/// What a world is like.
#[derive(Debug, Clone)]
pub struct Plan {
    /// All its chance.
    pub seed: u64,
    /// The modem preset of all radios.
    pub preset: Preset,
    /// The region's name.
    pub region: &'static str,
    /// The stations.
    pub stations: Vec<StationPlan>,
    /// How pairs of stations talk, by the lower and the higher one; pairs that are not here by handshakes.
    pub pairs: BTreeMap<(usize, usize), PairPlan>,
    /// The radios have each other's keys from the start.
    pub acquainted: bool,
    /// How often a radio tells its host its measurements.
    pub telemetry: Option<Duration>,
    /// Radios introduce themselves by themselves.
    pub node_info: bool,
}

/// What a station is like.
#[derive(Debug, Clone, Copy)]
pub struct StationPlan {
    /// It behaves as the Python tool.
    pub tool: bool,
    /// Its interface's MTU.
    pub mtu: u16,
    /// After so many messages it renews a session.
    pub rekey_after_messages: u64,
    /// The hop limit in its configuration.
    pub hop_limit: Option<u8>,
    /// It has a link where air is free from the start.
    pub attached: bool,
    /// There is a translator in front of that.
    pub nat: bool,
}

impl Default for StationPlan {
    fn default() -> Self {
        Self {
            tool: false,
            mtu: 180,
            rekey_after_messages: 1 << 16,
            hop_limit: None,
            attached: false,
            nat: false,
        }
    }
}

/// How two stations talk.
#[derive(Debug, Clone, Copy, Default)]
pub struct PairPlan {
    /// Which session protocol.
    pub mode: PeerMode,
    /// Whether they have a secret.
    pub preshared: bool,
    /// Where they find each other, by configuration.
    pub ways: Ways,
}

/// By which links the configurations of two stations let them find each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ways {
    /// By radio; what else there is they have to find.
    #[default]
    Radio,
    /// Where air is free, and not by radio: for WIREGUARD only.
    Free,
    /// Both.
    Both,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            preset: PRESETS[0],
            region: "US",
            stations: vec![StationPlan::default(); 2],
            pairs: BTreeMap::new(),
            acquainted: true,
            telemetry: Some(Duration::from_secs(60)),
            node_info: true,
        }
    }
}

impl Plan {
    /// Returns how two stations talk.
    #[must_use]
    pub fn pair(&self, a: usize, b: usize) -> PairPlan {
        self.pairs.get(&(a.min(b), a.max(b))).copied().unwrap_or_default()
    }

    /// Returns the configuration of the peer `at` at a station.
    #[must_use]
    pub fn peer(&self, ours: usize, at: usize) -> PeerConfig {
        let pair = self.pair(ours, at);
        let secret = [low_byte(ours.min(at)) + 1, low_byte(ours.max(at)) + 1];
        PeerConfig {
            public_key: private_key(at).public(),
            preshared_key: pair.preshared.then(|| {
                PresharedKey::from_bytes([secret; 16].concat().try_into().expect("16 times 2 is 32"))
            }),
            allowed_ips: vec![IpNet::from(Ipv4Net::from(address(at)))],
            endpoints: self.endpoints(pair.ways, at),
            mode: pair.mode,
            keepalive: None,
            bulk_over_metered: None,
        }
    }

    /// Where others find a station. Behind a translator there is nothing to be written down.
    fn endpoints(&self, ways: Ways, at: usize) -> Vec<LinkAddr> {
        let free = (ways != Ways::Radio && !self.stations[at].nat).then(|| internet::inner(at));
        let radio = (ways != Ways::Free).then(|| LinkAddr::radio(num(at)));
        free.map(LinkAddr::udp).into_iter().chain(radio).collect()
    }

    pub(super) fn config(&self, ours: usize) -> Config {
        let others = (0..self.stations.len()).filter(|at| *at != ours);
        let peers = others.map(|at| self.peer(ours, at));
        Config {
            private_key: private_key(ours),
            addresses: vec![Ipv4Net::new(address(ours), 24).expect("24 bits are fine").into()],
            mtu: self.stations[ours].mtu,
            rekey_after_messages: self.stations[ours].rekey_after_messages,
            peers: peers.collect(),
        }
    }

    pub(super) fn radio(&self, at: usize) -> RadioConfig {
        let mut radio = RadioConfig::new(num(at));
        radio.preset = self.preset;
        radio.region = Region::number_of(self.region).expect("a plan names a region that is known");
        radio.acquainted = if self.acquainted { Acquainted::All } else { Acquainted::Nobody };
        radio.telemetry = self.telemetry;
        radio.node_info = self.node_info;
        radio
    }
}

/// The public key of a station.
#[must_use]
pub fn public_key(at: usize) -> PublicKey {
    private_key(at).public()
}

fn private_key(at: usize) -> PrivateKey {
    PrivateKey::from_random([low_byte(at) + 1; 32])
}

fn low_byte(at: usize) -> u8 {
    at.to_le_bytes()[0]
}

/// The node number of a station's radio.
#[must_use]
pub fn num(at: usize) -> u32 {
    0x0a00_0001 + u32::from(low_byte(at))
}

/// The address of a station.
#[must_use]
pub fn address(at: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, low_byte(at) + 1)
}
