//! Two sites on one simulated air, ready for a story: `west` (10.7.0.1) and `east` (10.7.0.2).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::config::{Config, Peer, PeerMode, preshared_key, private_key};
use crate::daemon::{Daemon, Make};
use crate::flow::{self, Background, Transfer};
use crate::namespace::Namespace;
use crate::ping::{self, Ping, Pinged};
use crate::radiosim::{AirSpec, Port, Radiosim};

/// How the two are secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// A handshake, no preshared key.
    Pki,
    /// A handshake and a preshared key.
    PkiWithPsk,
    /// A preshared key alone.
    Symmetric,
    /// A session of WireGuard's, no preshared key.
    WireGuard,
}

/// What a lab is to be.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Whose daemons: west's, east's.
    pub makes: [Make; 2],
    /// How they are secured.
    pub security: Security,
    /// The interfaces' MTU.
    pub mtu: u16,
    /// The air.
    pub air: AirSpec,
    /// West's radio is on a serial port.
    pub serial: bool,
    /// The configuration files say nothing that goes without saying: see [`Config::plain`].
    pub plain: bool,
}

impl Spec {
    /// Returns the plainest lab of two makes.
    #[must_use]
    pub fn new(west: Make, east: Make) -> Self {
        Self {
            makes: [west, east],
            security: Security::Pki,
            mtu: 180,
            air: AirSpec::default(),
            serial: false,
            plain: false,
        }
    }

    /// The same with files as people write them.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// The same with another security.
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }
}

/// A namespace with a radio and a daemon.
#[derive(Debug)]
pub struct Site {
    /// Its address inside the tunnel.
    pub address: &'static str,
    /// Its radio.
    pub node: u32,
    // Fields drop in this order: the daemon goes before its namespace.
    /// Its daemon.
    pub daemon: Daemon,
    /// Where it lives.
    pub namespace: Namespace,
}

impl Site {
    /// Starts its daemon.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(&mut self) -> Result<()> {
        self.daemon.start(&self.namespace)
    }

    /// Pings the other one until it answers.
    ///
    /// # Errors
    /// If it does not within `limit`.
    pub fn reach(&self, other: &Self, limit: Duration) -> Result<()> {
        ping::until_answered(&self.namespace, other.address, limit)
    }

    /// Sends `len` bytes to the other one over TCP, each checked.
    ///
    /// # Errors
    /// If they do not all arrive within `limit`.
    pub fn send(&self, other: &Self, len: usize, limit: Duration) -> Result<Transfer> {
        let bytes = flow::noise(len, u64::from(self.node));
        flow::transfer(&self.namespace, &other.namespace, other.at(4000), &bytes, limit)
    }

    /// Starts to send `len` bytes to the other one over TCP, in the background.
    ///
    /// # Errors
    /// If no connection comes about within `limit`, which is also the limit for the whole.
    pub fn transfer_to(&self, other: &Self, len: usize, limit: Duration) -> Result<Background> {
        let bytes = flow::noise(len, u64::from(self.node));
        Background::start(&self.namespace, &other.namespace, other.at(4001), bytes, limit)
    }

    /// Returns the address of one of its ports.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address.parse().expect("written below as an address"), port)
    }
}

/// Two sites and the air between them.
#[derive(Debug)]
pub struct Lab {
    /// 10.7.0.1
    pub west: Site,
    /// 10.7.0.2
    pub east: Site,
    /// The air.
    pub sim: Radiosim,
    /// Where all files are.
    pub dir: PathBuf,
}

const WEST: (&str, &str, u32) = ("west", "10.7.0.1", 0xa000_0001);
const EAST: (&str, &str, u32) = ("east", "10.7.0.2", 0xa000_0002);

impl Lab {
    /// Makes the namespaces and the air; no daemon runs yet. Files go to `dir`.
    ///
    /// # Errors
    /// If something does not start.
    pub fn new(spec: &Spec, dir: &Path) -> Result<Self> {
        let namespaces = [Namespace::new()?, Namespace::new()?];
        let west_port =
            if spec.serial { Port::Serial(dir.join("west.tty")) } else { Port::tcp(&namespaces[0]) };
        let ports = [west_port, Port::tcp(&namespaces[1])];
        let sim = Radiosim::start(&spec.air, &[(WEST.2, ports[0].clone()), (EAST.2, ports[1].clone())], dir)?;
        let keys = [private_key()?, private_key()?];
        let preshared = match spec.security {
            Security::Pki | Security::WireGuard => None,
            Security::PkiWithPsk | Security::Symmetric => Some(preshared_key()?),
        };
        let daemon = |me: usize, (name, address, _): (&str, &str, u32), other: (&str, &str, u32)| {
            let peer = Peer {
                public_key: keys[1 - me].public(),
                preshared_key: preshared.clone(),
                allowed_ips: format!("{}/32", other.1),
                endpoints: Peer::radio(other.2),
                mode: match spec.security {
                    Security::Pki | Security::PkiWithPsk => PeerMode::Pki,
                    Security::Symmetric => PeerMode::Symmetric,
                    Security::WireGuard => PeerMode::WireGuard,
                },
            };
            let config = Config {
                private_key: keys[me].clone(),
                address: format!("{address}/24"),
                mtu: spec.mtu,
                tap_name: "mesh0".into(),
                connect: ports[me].connect(),
                more: Vec::new(),
                peers: vec![peer],
                plain: spec.plain,
            };
            Daemon::new(spec.makes[me], name, config, dir)
        };
        let daemons = [daemon(0, WEST, EAST), daemon(1, EAST, WEST)];
        let mut sites = namespaces
            .into_iter()
            .zip(daemons)
            .zip([WEST, EAST])
            .map(|((namespace, daemon), (_, address, node))| Site { address, node, daemon, namespace });
        let (Some(west), Some(east)) = (sites.next(), sites.next()) else { unreachable!("there are two") };
        Ok(Self { west, east, sim, dir: dir.to_owned() })
    }

    /// The same with both daemons running.
    ///
    /// # Errors
    /// If something does not start.
    pub fn start(spec: &Spec, dir: &Path) -> Result<Self> {
        let mut lab = Self::new(spec, dir)?;
        // The Python tool takes seconds to start: both at once.
        let Self { west, east, .. } = &mut lab;
        std::thread::scope(|scope| {
            let other = scope.spawn(|| east.start());
            let mine = west.start();
            other.join().expect("a start returns its errors").and(mine)
        })?;
        Ok(lab)
    }

    /// Two of ours with one session of WireGuard's that know each other's radio and nothing else, and would take UDP if there
    /// were a way for it.
    ///
    /// # Errors
    /// If something does not start.
    pub fn by_radio_yet(air: AirSpec, dir: &Path) -> Result<Self> {
        let spec = Spec { mtu: 1280, air, ..Spec::new(Make::Ours, Make::Ours).security(Security::WireGuard) };
        let mut lab = Self::new(&spec, dir)?;
        for site in [&mut lab.west, &mut lab.east] {
            site.daemon.config_mut().more.push("ListenPort = 51820".into());
            site.start()?;
        }
        lab.west.reach(&lab.east, Duration::from_secs(120))?;
        Ok(lab)
    }

    /// Pings from one site to the other. Every request is answered, and once, but for what the air lost: two radios that
    /// start in the same slot collide, and nothing repeats a ping.
    ///
    /// # Errors
    /// If an answer is missing that the ledger does not account for.
    pub fn ping(&self, from: &Site, to: &Site, ping: Ping) -> Result<Pinged> {
        let before = self.sim.lost()?;
        let pinged = ping.run(&from.namespace, to.address)?;
        let answered = pinged.round_trips.len();
        let lost = self.sim.lost()? - before;
        ensure!(
            answered > 0 && answered + lost >= ping.count as usize && pinged.duplicates == 0,
            "{answered} of {} pings answered, {lost} transmissions lost: {}",
            ping.count,
            pinged.output
        );
        Ok(pinged)
    }
}
