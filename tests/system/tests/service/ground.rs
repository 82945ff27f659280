//! What most of these stories start from: machines with the package installed, a network `mesh0` configured as an
//! administrator would, and simulated radios.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use meshnet_proto::key::PublicKey;
use meshnet_system::config::{Config, Peer, PeerMode, private_key};
use meshnet_system::machine::{Bus, Machine};
use meshnet_system::namespace::Namespace;
use meshnet_system::package::package;
use meshnet_system::ping;
use meshnet_system::radiosim::{AirSpec, Port, Radiosim};
use serde_json::Value;

/// The network's unit.
pub const UNIT: &str = "meshnet@mesh0.service";
/// The network's configuration file.
pub const CONFIG: &str = "/etc/meshnet/mesh0.conf";
/// The network's name on the bus.
pub const BUS_NAME: &str = "org.meshnet1.mesh0";
/// The object of the network.
pub const ROOT: &str = "/org/meshnet1";

/// A machine with the package, and what its administrator knows.
#[derive(Debug)]
pub struct Station {
    /// The machine.
    pub machine: Machine,
    /// What its configuration says.
    pub config: Config,
    /// Its radio.
    pub radio: u32,
}

impl Station {
    /// Boots a machine and installs the package; the network `mesh0` is configured, without peers, but does not run.
    ///
    /// # Errors
    /// If anything of it fails.
    pub fn new(name: &str, address: &str, radio: u32, dir: &Path, bus: Bus) -> Result<Self> {
        let machine = Machine::boot(name, dir, bus)?;
        machine.install(&[package("meshnet")?])?;
        let config = Config {
            private_key: private_key()?,
            address: format!("{address}/24"),
            mtu: 180,
            tap_name: "mesh0".into(),
            connect: "tcp://127.0.0.1:4403".into(),
            more: Vec::new(),
            peers: Vec::new(),
            plain: false,
        };
        let station = Self { machine, config, radio };
        station.configure()?;
        Ok(station)
    }

    /// Writes its configuration file.
    ///
    /// # Errors
    /// If it cannot.
    pub fn configure(&self) -> Result<()> {
        self.write_config(&self.config.text())
    }

    /// Writes something else as its configuration file.
    ///
    /// # Errors
    /// If it cannot.
    pub fn write_config(&self, text: &str) -> Result<()> {
        self.machine.write(CONFIG, 0o600, text)?;
        self.machine.run(&["chown", "meshnet:", CONFIG])?;
        Ok(())
    }

    /// Starts the network.
    ///
    /// # Errors
    /// If it does not start, with what the journal says.
    pub fn start(&self) -> Result<()> {
        let start = self.machine.run(&["systemctl", "start", UNIT]);
        start.or_else(|error| Err(error.context(self.machine.journal(UNIT)?)))?;
        Ok(())
    }

    /// Returns it as its peers' configurations know it.
    #[must_use]
    pub fn as_peer(&self) -> Peer {
        Peer {
            public_key: self.config.private_key.public(),
            preshared_key: None,
            allowed_ips: self.config.address.replace("/24", "/32"),
            endpoints: Peer::radio(self.radio),
            mode: PeerMode::Pki,
        }
    }

    /// Returns its address inside the network.
    #[must_use]
    pub fn address(&self) -> &str {
        self.config.address.trim_end_matches("/24")
    }

    /// Returns a property of the network's unit.
    ///
    /// # Errors
    /// If systemd does not know it.
    pub fn property(&self, name: &str) -> Result<String> {
        property(&self.machine, name)
    }

    /// Returns the process id of the daemon, as the machine sees it.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pid(&self) -> Result<u32> {
        pid(&self.machine)
    }

    /// Returns what the kernel knows of the interface.
    ///
    /// # Errors
    /// If there is none.
    pub fn interface(&self) -> Result<Interface> {
        Interface::of(&self.machine)
    }

    /// Returns what the daemon describes.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn describe(&self) -> Result<Value> {
        let call = ["busctl", "--json=short", "call", BUS_NAME, ROOT, "org.meshnet1.Network", "Describe"];
        let answer: Value = serde_json::from_str(&self.machine.run(&call)?)?;
        let text = answer["data"][0].as_str().context("Describe returns a string")?;
        Ok(serde_json::from_str(text)?)
    }

    /// Returns a property of a peer's object, as `busctl` prints it.
    ///
    /// # Errors
    /// If there is no such peer or property.
    pub fn peer_property(&self, public_key: &PublicKey, name: &str) -> Result<String> {
        let path = meshnet_bus::names::peer_path(public_key.as_bytes());
        self.machine.run(&["busctl", "get-property", BUS_NAME, path.as_str(), "org.meshnet1.Peer", name])
    }

    /// Calls a method of the network as `user`, its arguments in the notation of `gdbus`.
    ///
    /// # Errors
    /// If there is no bus; a refusal is an answer.
    pub fn call(&self, user: &str, method: &str, arguments: &[&str]) -> Result<Answer> {
        self.call_at(user, ROOT, &format!("org.meshnet1.Network.{method}"), arguments)
    }

    /// Calls a method of any object of the daemon.
    ///
    /// # Errors
    /// If there is no bus; a refusal is an answer.
    pub fn call_at(&self, user: &str, path: &str, method: &str, arguments: &[&str]) -> Result<Answer> {
        let call =
            ["gdbus", "call", "--system", "--dest", BUS_NAME, "--object-path", path, "--method", method];
        let output = self.machine.exec(user, &[&call[..], arguments].concat())?;
        if output.status.success() {
            return Ok(Answer::Returned(String::from_utf8_lossy(&output.stdout).into_owned()));
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let error = said.split_once("GDBus.Error:").and_then(|(_, error)| error.split_once(": "));
        let (name, message) = error.with_context(|| said.clone())?;
        Ok(Answer::Refused { name: name.to_owned(), message: message.trim().to_owned() })
    }

    /// Returns the peer with this public key as the daemon describes it, if there is one.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub fn described_peer(&self, public_key: &str) -> Result<Option<Value>> {
        let described = self.describe()?;
        let peers = described["peers"].as_array().context("there is a list of peers")?;
        Ok(peers.iter().find(|peer| peer["public_key"] == public_key).cloned())
    }
}

/// Returns a property of the unit of a machine's network.
///
/// # Errors
/// If systemd does not know it.
pub fn property(machine: &Machine, name: &str) -> Result<String> {
    Ok(machine.run(&["systemctl", "show", "--value", "--property", name, UNIT])?.trim().to_owned())
}

/// Returns the process id of a machine's daemon, as the machine sees it.
///
/// # Errors
/// If it does not run.
pub fn pid(machine: &Machine) -> Result<u32> {
    let pid = property(machine, "MainPID")?.parse()?;
    ensure!(pid != 0, "{} does not run", machine.name());
    Ok(pid)
}

/// What the kernel knows of a network's interface: as long as it is equal, whoever uses it noticed nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Interface {
    /// Another number is another interface, whatever its name.
    index: u32,
    /// Addresses and routes, the administrator's own among them.
    addressing: String,
}

impl Interface {
    /// Asks a machine's kernel.
    ///
    /// # Errors
    /// If there is none.
    pub fn of(machine: &Machine) -> Result<Self> {
        Ok(Self {
            index: machine.run(&["cat", "/sys/class/net/mesh0/ifindex"])?.trim().parse()?,
            addressing: machine.shell(
                "ip -oneline address show dev mesh0; ip route show dev mesh0; ip -6 route show dev mesh0",
            )?,
        })
    }
}

/// What a method returned.
#[derive(Debug)]
pub enum Answer {
    /// What it returned, in the notation of `gdbus`.
    Returned(String),
    /// The error's full name, and its sentence.
    Refused {
        /// `org.meshnet1.Error.NotAuthorized`
        name: String,
        /// For people.
        message: String,
    },
}

impl Answer {
    /// Expects success.
    ///
    /// # Errors
    /// If it was refused.
    pub fn success(self) -> Result<String> {
        match self {
            Self::Returned(text) => Ok(text),
            Self::Refused { name, message } => bail!("{name}: {message}"),
        }
    }

    /// Expects one of our errors, and returns its sentence.
    ///
    /// # Errors
    /// If it was something else.
    pub fn refusal(self, expected: &str) -> Result<String> {
        match self {
            Self::Refused { name, message } if name == format!("org.meshnet1.Error.{expected}") => {
                Ok(message)
            }
            other => bail!("{expected} was expected, not {other:?}"),
        }
    }
}

/// Two stations in radio contact, each the other's peer.
#[derive(Debug)]
pub struct Pair {
    /// 10.7.0.1
    pub west: Station,
    /// 10.7.0.2
    pub east: Station,
    /// The air.
    pub sim: Radiosim,
}

impl Pair {
    /// Makes them, both networks running. Files go to `dir`.
    ///
    /// # Errors
    /// If anything of it fails.
    pub fn start(dir: &Path) -> Result<Self> {
        let (west, east) = std::thread::scope(|scope| {
            let east = scope.spawn(|| Station::new("east", "10.7.0.2", 0xa000_0002, dir, Bus::Daemon));
            let west = Station::new("west", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon);
            (west, east.join().expect("it returns its errors"))
        });
        let (mut west, mut east) = (west?, east?);
        west.config.peers.push(east.as_peer());
        east.config.peers.push(west.as_peer());
        let sim = radios(&[&west, &east], dir)?;
        for station in [&west, &east] {
            station.configure()?;
            station.start()?;
        }
        let pair = Self { west, east, sim };
        pair.reach(Duration::from_secs(60))?;
        Ok(pair)
    }

    /// Pings from west to east until there is an answer.
    ///
    /// # Errors
    /// If there is none within `limit`.
    pub fn reach(&self, limit: Duration) -> Result<()> {
        ping::until_answered(&self.west.machine.network()?, self.east.address(), limit)
    }

    /// Returns both networks: west's, east's.
    ///
    /// # Errors
    /// If a machine does not run.
    pub fn networks(&self) -> Result<[Namespace; 2]> {
        Ok([self.west.machine.network()?, self.east.machine.network()?])
    }
}

/// Starts the air, with a radio for each station on TCP port 4403 of its loopback interface.
///
/// # Errors
/// If it does not start.
pub fn radios(stations: &[&Station], dir: &Path) -> Result<Radiosim> {
    let networks: Vec<Namespace> =
        stations.iter().map(|station| station.machine.network()).collect::<Result<_>>()?;
    let ports: Vec<(u32, Port)> = stations
        .iter()
        .zip(&networks)
        .map(|(station, network)| (station.radio, Port::tcp(network)))
        .collect();
    Radiosim::start(&AirSpec::default(), &ports, dir)
}
