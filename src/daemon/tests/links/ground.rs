//! Three hosts on one simulated air: west has two peers, east and north. A cable may join west and east.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use meshnet_system::cable::{Cable, run_for};
use meshnet_system::config::{Config, Peer, PeerMode, private_key};
use meshnet_system::daemon::{Daemon, Make};
use meshnet_system::flow::{self, Background};
use meshnet_system::namespace::Namespace;
use meshnet_system::ping::{self, Ping};
use meshnet_system::radiosim::{AirSpec, Port, Radiosim};
use meshnet_system::wait::wait_for;
use nix::sys::signal::Signal;
use serde_json::Value;

/// Far more than anything here takes.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// West, east and north.
const NAMES: [&str; 3] = ["west", "east", "north"];
const NODES: [u32; 3] = [0xa000_0001, 0xa000_0002, 0xa000_0003];
pub(super) const INSIDE: [&str; 3] = ["10.7.0.1", "10.7.0.2", "10.7.0.3"];
/// The ends of the cable.
pub(super) const OUTSIDE: [&str; 2] = ["192.0.2.1/24", "192.0.2.2/24"];
pub(super) const CABLE: &str = "wifi0";
/// A host with a daemon, whose configuration may change while it runs.
pub(super) struct Host {
    // Fields drop in this order: the daemon goes before its namespace.
    pub(super) daemon: Daemon,
    pub(super) namespace: Namespace,
    pub(super) inside: &'static str,
    file: PathBuf,
}

impl Host {
    /// Has the daemon read `config`, and waits for a word of it, which it returns.
    pub(super) fn reload(&mut self, word: &str, change: impl FnOnce(&mut Config)) -> Result<String> {
        let config = self.daemon.config_mut();
        change(config);
        config.write(&self.file)?;
        let process = self.daemon.process()?;
        process.signal(Signal::SIGHUP)?;
        process.wait_for_line(word, LIMIT)
    }

    pub(super) fn reach(&self, other: &Self) -> Result<()> {
        ping::until_answered(&self.namespace, other.inside, LIMIT)
    }

    /// What the status says of the peer at an address.
    pub(super) fn peer(&mut self, at: &str) -> Result<Value> {
        let status = self.daemon.status()?;
        let peers = status["peers"].as_array().context("no peers")?;
        let is_there = |peer: &&Value| peer["allowed_ips"][0] == format!("{at}/32");
        peers.iter().find(is_there).cloned().with_context(|| format!("no peer at {at}"))
    }

    pub(super) fn links(&mut self) -> Result<Vec<Value>> {
        Ok(self.daemon.status()?["links"].as_array().context("no links")?.clone())
    }

    /// Waits until the peer at an address is reached in a way. Traffic asks for it meanwhile: an announcement that the air lost is
    /// not repeated for its own sake.
    pub(super) fn wait_for_tier(&mut self, at: &str, tier: &str) -> Result<()> {
        let one = Ping { count: 1, limit: Duration::from_secs(1), ..Ping::default() };
        wait_for(&format!("{at} to be {tier}"), LIMIT, || {
            one.run(&self.namespace, at)?;
            Ok((self.peer(at)?["tier"] == tier).then_some(()))
        })
    }

    /// One of its ports.
    pub(super) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.inside.parse().expect("written above as an address"), port)
    }

    /// Sends so many bytes to another one, each of which is checked.
    pub(super) fn send(&self, other: &Self, len: usize) -> Result<()> {
        flow::transfer(&self.namespace, &other.namespace, other.at(4000), &flow::noise(len, 1), LIMIT)
            .map(drop)
    }

    /// Begins to send so many bytes to another one.
    pub(super) fn transfer(&self, other: &Self, len: usize) -> Result<Background> {
        Background::start(&self.namespace, &other.namespace, other.at(4001), flow::noise(len, 2), 3 * LIMIT)
    }

    /// What of the interface and the daemon goes with links where air is free: how many frames the kernel keeps, whether it
    /// hands over rows of TCP segments, whether TCP is held back on the way to everybody, and whether anybody looks around.
    pub(super) fn habits(&mut self) -> Result<(u64, bool, bool, bool)> {
        let shown = run_for(&self.namespace, "ip", &["-j", "link", "show", "mesh0"])?;
        let shown: Value = serde_json::from_str(&shown)?;
        let queue = shown[0]["txqlen"].as_u64().context("no txqlen")?;
        let rows = run_for(&self.namespace, "python3", &["-c", HAS_TSO])?.trim() == "1";
        let routes = run_for(&self.namespace, "ip", &["route", "show", "10.7.0.0/24"])?;
        let tasks = fs::read_dir(format!("/proc/{}/task", self.daemon.process()?.pid()))?;
        let names = tasks.map(|task| Ok(fs::read_to_string(task?.path().join("comm"))?.trim().to_owned()));
        let names = names.collect::<Result<Vec<String>>>()?;
        Ok((queue, rows, routes.contains("cwnd"), names.contains(&"surroundings".to_owned())))
    }
}

/// ETHTOOL_GTSO of SIOCETHTOOL: whether an interface takes rows of TCP segments.
const HAS_TSO: &str = "
import array, fcntl, socket, struct
value = array.array('I', [0x1e, 0])
fcntl.ioctl(socket.socket(), 0x8946, struct.pack('16sP16x', b'mesh0', value.buffer_info()[0]))
print(value[1])
";

/// The hosts and their air; none runs yet.
pub(super) fn hosts(dir: &Path, mode: PeerMode) -> Result<([Host; 3], Radiosim)> {
    let namespaces = [Namespace::new()?, Namespace::new()?, Namespace::new()?];
    let ports = namespaces.each_ref().map(Port::tcp);
    let radios = [0, 1, 2].map(|at| (NODES[at], ports[at].clone()));
    let sim = Radiosim::start(&AirSpec::default(), &radios, dir)?;
    let keys = [private_key()?, private_key()?, private_key()?];
    let peer = |at: usize, mode| Peer {
        public_key: keys[at].public(),
        preshared_key: None,
        allowed_ips: format!("{}/32", INSIDE[at]),
        endpoints: Peer::radio(NODES[at]),
        mode,
    };
    let mut namespaces = namespaces.into_iter();
    let hosts = [0, 1, 2].map(|at| {
        let peers = match at {
            0 => vec![peer(1, mode), peer(2, PeerMode::Pki)],
            2 => vec![peer(0, PeerMode::Pki)],
            _ => vec![peer(0, mode)],
        };
        let config = Config {
            private_key: keys[at].clone(),
            address: format!("{}/24", INSIDE[at]),
            mtu: 180,
            tap_name: "mesh0".into(),
            connect: ports[at].connect(),
            more: Vec::new(),
            peers,
            plain: false,
        };
        let name = NAMES[at];
        let mut daemon = Daemon::new(Make::Ours, name, config, dir);
        daemon.arguments = vec!["--log".into(), "info,meshnetd=debug".into()];
        let namespace = namespaces.next().expect("one for each");
        Host { daemon, namespace, inside: INSIDE[at], file: dir.join(format!("{name}.conf")) }
    });
    Ok((hosts, sim))
}

/// Two hosts without radios that reach each other by UDP.
pub(super) fn by_cable(dir: &Path) -> Result<([Host; 2], Cable, Radiosim)> {
    let (hosts, sim) = hosts(dir, PeerMode::WireGuard)?;
    let [mut west, mut east, _] = hosts;
    let cable = Cable::join(CABLE, [(&west.namespace, OUTSIDE[0]), (&east.namespace, OUTSIDE[1])])?;
    for (host, other) in [(&mut west, "192.0.2.2"), (&mut east, "192.0.2.1")] {
        let config = host.daemon.config_mut();
        config.connect.clear();
        config.mtu = 1280;
        config.more.push("ListenPort = 51820".into());
        config.peers.truncate(1);
        config.peers[0].endpoints = vec![format!("{other}:51820")];
        host.daemon.start(&host.namespace)?;
    }
    west.reach(&east)?;
    Ok(([west, east], cable, sim))
}

/// Has a stopped daemon know its peer at another address, and its one link with further lines.
pub(super) fn configure(host: &mut Host, at: &str, lines: &str) {
    let config = host.daemon.config_mut();
    config.more = vec![format!("[Link]\nType = udp\nName = bound\nListenPort = 51820\n{lines}")];
    config.peers[0].endpoints = vec![format!("{at}:51820")];
}
