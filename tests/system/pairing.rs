//! Two hosts on one cable with a WireGuard tunnel between them, ours or stock at either end: `west` (10.8.0.1 at
//! 192.0.2.1, unless another [`Ground`] is asked for) knows where `east` (10.8.0.2 at 192.0.2.2) is, and east learns where west
//! is when it speaks.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_proto::key::{PresharedKey, PrivateKey, PublicKey};

use crate::cable::{Cable, Routed, add_address, ip};
use crate::config::{Config, Peer, PeerMode, preshared_key, private_key};
use crate::daemon::{Daemon, Make};
use crate::flow::{self, Transfer};
use crate::namespace::Namespace;
use crate::ping::{self, Ping, Pinged};
use crate::process::Process;
use crate::stock::{self, Shown, Stock, StockConfig, StockMake, StockPeer};

/// The cable's name at both ends.
pub const CABLE: &str = "wan0";
/// Everybody's UDP port, at first.
pub const PORT: u16 = 51820;
/// The MTU inside, unless another is asked for.
pub const MTU: u16 = 1420;

/// Whose program is at an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Our daemon.
    Ours,
    /// Somebody else's.
    Stock(StockMake),
}

/// Addresses, and what is between the two.
#[derive(Debug, Clone, Copy)]
pub struct Ground {
    /// Outside the tunnel: west's, east's. Of one network, unless there are routers.
    pub outside: [&'static str; 2],
    /// Inside.
    pub inside: [&'static str; 2],
    /// How many bytes the way between the two carries, and their routers' addresses, if that is less than the ends can know of.
    pub narrow: Option<(u16, [&'static str; 2])>,
}

impl Ground {
    /// IPv4, and a cable.
    pub const V4: Self =
        Self { outside: ["192.0.2.1", "192.0.2.2"], inside: ["10.8.0.1", "10.8.0.2"], narrow: None };
    /// IPv6 alone, outside and inside, and a cable.
    pub const V6: Self =
        Self { outside: ["2001:db8:1::1", "2001:db8:1::2"], inside: ["fd08::1", "fd08::2"], narrow: None };

    /// The same with routers between the two networks, which carry so many bytes.
    #[must_use]
    pub fn narrowed(self, mtu: u16) -> Self {
        let v6 = self.outside[0].contains(':');
        let (east, routers) = match v6 {
            true => ("2001:db8:2::2", ["2001:db8:1::fe", "2001:db8:2::fe"]),
            false => ("198.51.100.2", ["192.0.2.254", "198.51.100.254"]),
        };
        Self { outside: [self.outside[0], east], narrow: Some((mtu, routers)), ..self }
    }

    fn cable(&self, west: &Host, east: &Host) -> Result<Cable> {
        let hosts = [west, east];
        let addresses = hosts.map(|host| with_length(&host.outside));
        match self.narrow {
            None => Cable::join(CABLE, [0, 1].map(|end| (&hosts[end].namespace, addresses[end].as_str()))),
            Some((mtu, routers)) => {
                let end = |end: usize| Routed {
                    namespace: &hosts[end].namespace,
                    address: &addresses[end],
                    router: routers[end],
                };
                Cable::routed(CABLE, [end(0), end(1)], mtu)
            }
        }
    }
}

/// An address with the length of its network's prefix.
fn with_length(address: &str) -> String {
    format!("{address}/{}", if address.contains(':') { 64 } else { 24 })
}

/// An address alone, as AllowedIPs name it.
fn alone(address: &str) -> String {
    format!("{address}/{}", if address.contains(':') { 128 } else { 32 })
}

/// One end.
#[derive(Debug)]
pub struct Host {
    /// Its name, for logs.
    name: &'static str,
    /// Its address inside the tunnel.
    pub inside: &'static str,
    /// Its address outside.
    pub outside: String,
    /// The MTU inside, in bytes, from the next start on.
    pub mtu: u16,
    key: PrivateKey,
    other: PublicKey,
    other_inside: &'static str,
    other_at: Option<SocketAddr>,
    other_name: Option<&'static str>,
    /// Further arguments of ours, from the next start on.
    pub arguments: Vec<String>,
    /// Further variables of its environment, likewise.
    pub environment: Vec<(&'static str, OsString)>,
    secret: Option<PresharedKey>,
    who: Who,
    dir: PathBuf,
    // Fields drop in this order: what runs goes before its namespace.
    running: Option<Running>,
    /// Where it lives.
    pub namespace: Namespace,
}

#[derive(Debug)]
enum Running {
    Ours(Box<Daemon>),
    Stock(Stock),
}

/// Two hosts and the cable between them.
#[derive(Debug)]
pub struct Pairing {
    /// Speaks first.
    pub west: Host,
    /// Is spoken to first.
    pub east: Host,
    /// Between them.
    pub cable: Cable,
}

impl Pairing {
    /// Makes both hosts and joins them; nothing runs yet. Files go to `dir`.
    ///
    /// # Errors
    /// If something cannot be made.
    pub fn new(who: [Who; 2], with_secret: bool, dir: &Path) -> Result<Self> {
        Self::on(&Ground::V4, who, with_secret, dir)
    }

    /// The same on any ground.
    ///
    /// # Errors
    /// If something cannot be made.
    pub fn on(ground: &Ground, who: [Who; 2], with_secret: bool, dir: &Path) -> Result<Self> {
        let keys = [private_key()?, private_key()?];
        let secret = with_secret.then(preshared_key).transpose()?;
        let host = |me: usize| -> Result<Host> {
            let east = SocketAddr::new(ground.outside[1].parse::<IpAddr>()?, PORT);
            Ok(Host {
                name: ["west", "east"][me],
                inside: ground.inside[me],
                outside: ground.outside[me].to_owned(),
                mtu: MTU,
                key: keys[me].clone(),
                other: keys[1 - me].public(),
                other_inside: ground.inside[1 - me],
                other_at: (me == 0).then_some(east),
                other_name: None,
                arguments: Vec::new(),
                environment: Vec::new(),
                secret: secret.clone(),
                who: who[me],
                dir: dir.to_owned(),
                running: None,
                namespace: Namespace::new()?,
            })
        };
        let (west, east) = (host(0)?, host(1)?);
        let cable = ground.cable(&west, &east)?;
        Ok(Self { west, east, cable })
    }

    /// The same with both running.
    ///
    /// # Errors
    /// If something does not start.
    pub fn start(who: [Who; 2], with_secret: bool, dir: &Path) -> Result<Self> {
        Self::start_on(&Ground::V4, who, with_secret, dir)
    }

    /// The same on any ground.
    ///
    /// # Errors
    /// If something does not start.
    pub fn start_on(ground: &Ground, who: [Who; 2], with_secret: bool, dir: &Path) -> Result<Self> {
        let mut pairing = Self::on(ground, who, with_secret, dir)?;
        pairing.east.start()?;
        pairing.west.start()?;
        Ok(pairing)
    }

    /// Returns what an end that is stock says of the other: west, if both are.
    ///
    /// # Errors
    /// If both are ours.
    pub fn shown(&self) -> Result<Shown> {
        let stock = [&self.west, &self.east].into_iter().find(|host| host.who != Who::Ours);
        stock::show_only(&stock.context("neither end is stock")?.namespace)
    }
}

impl Host {
    /// Starts what runs here.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(&mut self) -> Result<()> {
        self.running = Some(match self.who {
            Who::Ours => {
                let mut daemon = self.new_daemon();
                daemon.start(&self.namespace)?;
                Running::Ours(Box::new(daemon))
            }
            Who::Stock(make) => {
                let config = self.stock_config();
                Running::Stock(Stock::start(make, self.name, &self.namespace, &config, &self.dir)?)
            }
        });
        Ok(())
    }

    /// Starts our daemon by a configuration file that somebody else wrote.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_by(&mut self, file: &Path) -> Result<()> {
        let mut daemon = self.new_daemon();
        daemon.start_by(file, &self.namespace)?;
        self.running = Some(Running::Ours(Box::new(daemon)));
        Ok(())
    }

    fn new_daemon(&self) -> Daemon {
        let mut daemon = Daemon::new(Make::Ours, self.name, self.config(), &self.dir);
        daemon.arguments.clone_from(&self.arguments);
        daemon.environment.clone_from(&self.environment);
        daemon
    }

    /// Writes how it is set up as `wg-quick` reads it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_quick(&self, file: &Path) -> Result<()> {
        self.stock_config().write_quick(file)
    }

    /// Returns our daemon.
    ///
    /// # Errors
    /// If it is not ours, or does not run.
    pub fn daemon(&mut self) -> Result<&mut Daemon> {
        match &mut self.running {
            Some(Running::Ours(daemon)) => Ok(daemon),
            _ => anyhow::bail!("{} runs no daemon of ours", self.name),
        }
    }

    /// Returns what runs here.
    ///
    /// # Errors
    /// If nothing does.
    pub fn process(&mut self) -> Result<&mut Process> {
        match &mut self.running {
            Some(Running::Ours(daemon)) => daemon.process(),
            Some(Running::Stock(stock)) => Ok(stock.process()),
            None => anyhow::bail!("nothing runs at {}", self.name),
        }
    }

    /// Ends what runs here, which has no time to say goodbye.
    pub fn end(&mut self) {
        self.running = None;
    }

    /// Makes ours start with a name for where the other one is, instead of its address.
    pub fn knows_by_name(&mut self, name: &'static str) {
        self.other_name = Some(name);
    }

    /// Makes it start without the secret that the other one has.
    pub fn forget_secret(&mut self) {
        self.secret = None;
    }

    /// Returns whether somebody else's program is here.
    #[must_use]
    pub fn is_stock(&self) -> bool {
        self.who != Who::Ours
    }

    /// Returns its identity.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.key.public()
    }

    /// Returns where it listens.
    ///
    /// # Errors
    /// None while its address is one.
    pub fn at(&self) -> Result<SocketAddr> {
        Ok(SocketAddr::new(self.outside.parse()?, PORT))
    }

    /// Gives it another address outside, and takes the one that it had.
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn move_to(&mut self, address: &str) -> Result<()> {
        // In this order: with the first address of a subnet go the others.
        ip(&self.namespace, &["address", "del", &with_length(&self.outside), "dev", CABLE])?;
        add_address(&self.namespace, CABLE, &with_length(address))?;
        address.clone_into(&mut self.outside);
        Ok(())
    }

    /// Pings the other one until it answers.
    ///
    /// # Errors
    /// If it does not within `limit`.
    pub fn reach(&self, other: &Self, limit: Duration) -> Result<()> {
        ping::until_answered(&self.namespace, other.inside, limit)
    }

    /// Pings the other one; every ping has to be answered, and once.
    ///
    /// # Errors
    /// If one is not.
    pub fn ping(&self, other: &Self, ping: Ping) -> Result<Pinged> {
        let pinged = ping.run(&self.namespace, other.inside)?;
        ensure!(
            pinged.round_trips.len() == ping.count as usize && pinged.duplicates == 0,
            "{} of {} answered: {}",
            pinged.round_trips.len(),
            ping.count,
            pinged.output
        );
        Ok(pinged)
    }

    /// Sends `len` bytes to the other one over TCP, each checked.
    ///
    /// # Errors
    /// If they do not all arrive within `limit`.
    pub fn send(&self, other: &Self, len: usize, limit: Duration) -> Result<Transfer> {
        let at = SocketAddr::new(other.inside.parse()?, 4000);
        flow::transfer(&self.namespace, &other.namespace, at, &flow::noise(len, len as u64), limit)
    }

    fn config(&self) -> Config {
        let at = self.other_name.map(|name| format!("{name}:{PORT}"));
        let at = at.or_else(|| self.other_at.map(|at| at.to_string()));
        Config {
            private_key: self.key.clone(),
            address: with_length(self.inside),
            mtu: self.mtu,
            tap_name: "mesh0".into(),
            connect: String::new(),
            more: vec![format!("ListenPort = {PORT}")],
            peers: vec![Peer {
                public_key: self.other,
                preshared_key: self.secret.clone(),
                allowed_ips: alone(self.other_inside),
                endpoints: at.iter().map(|at| format!("udp://{at}")).collect(),
                mode: PeerMode::WireGuard,
            }],
            plain: false,
        }
    }

    fn stock_config(&self) -> StockConfig {
        StockConfig {
            private_key: self.key.clone(),
            listen_port: PORT,
            address: with_length(self.inside),
            mtu: self.mtu,
            peers: vec![StockPeer {
                public_key: self.other,
                preshared_key: self.secret.clone(),
                allowed_ips: alone(self.other_inside),
                endpoint: self.other_at,
            }],
        }
    }
}
