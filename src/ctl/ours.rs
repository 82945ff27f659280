//! What this host has to tell of its own networks: from the daemon if it runs, else from the configuration file.

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use meshnet_bus::describe::Network;
use meshnet_bus::names::Instance;
use meshnet_proto::key::{PrivateKey, PublicKey};

use crate::bus::{self, Bus};
use crate::conf::{self, Conf};
use crate::error::Error;
use crate::exit::Exit;
use crate::invitation;

/// One of our networks.
#[derive(Debug)]
pub(crate) struct Ours {
    /// What it is called.
    pub name: Instance,
    /// Whether its daemon runs.
    pub running: bool,
    /// Who we are in it.
    pub key: PublicKey,
    /// Our addresses.
    pub addresses: Vec<IpNet>,
    /// The interface's MTU, if it is known.
    pub mtu: Option<u16>,
    /// The node numbers of our radios; only a running daemon knows them.
    pub radios: Vec<u32>,
    /// The port of its first udp link, if it has one and the daemon tells; 0: another with each start.
    pub udp_port: Option<u16>,
    /// Everybody else in it.
    pub peers: Vec<Known>,
}

/// A peer of one of our networks.
#[derive(Debug)]
pub(crate) struct Known {
    /// Who it is.
    pub key: String,
    /// What it is called.
    pub name: Option<String>,
    /// Its addresses.
    pub allowed_ips: Vec<IpNet>,
}

/// Where our networks are looked for.
#[derive(Debug)]
pub(crate) struct Host {
    /// The bus, where daemons are; `None`: only files count.
    pub bus: Option<Bus>,
    /// Where the files are.
    pub directory: PathBuf,
}

impl Host {
    /// This host; or, if a directory is named, what is in it and nothing else. A host without a bus is one where nothing runs.
    pub(crate) async fn look(directory: Option<&Path>) -> Self {
        match directory {
            Some(directory) => Self { bus: None, directory: directory.to_owned() },
            None => Self { bus: Bus::connect().await.ok(), directory: conf::DIR.into() },
        }
    }

    /// The networks that there are, running or configured.
    ///
    /// # Errors
    /// If the bus does not answer.
    pub(crate) async fn networks(&self) -> Result<Vec<Instance>, Error> {
        let mut names = conf::networks(&self.directory);
        if let Some(bus) = &self.bus {
            names.extend(bus.networks().await?.into_keys());
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// What is known of one of them.
    ///
    /// # Errors
    /// If neither daemon nor file can be asked.
    pub(crate) async fn network(&self, name: &Instance) -> Result<Ours, Error> {
        if let Some(bus) = &self.bus
            && bus.running().await?.contains(name)
        {
            let proxy = bus.network(name).await?;
            let text = bus::within(bus::ANSWER, name.as_str(), async {
                proxy.describe().await.map_err(|error| bus::trouble(&error, name.as_str()))
            });
            let text = text.await?;
            return Network::from_json(&text)
                .ok()
                .and_then(|network| Ours::running(name.clone(), &network))
                .ok_or_else(|| Error::failure(format!("{name} answers what makes no sense")));
        }
        Ours::configured(name.clone(), &conf::path(&self.directory, name))
    }
}

impl Ours {
    /// As the daemon tells it.
    fn running(name: Instance, network: &Network) -> Option<Self> {
        let radio = |id: &String| u32::from_str_radix(id.strip_prefix('!')?, 16).ok();
        let peer = |peer: &meshnet_bus::describe::Peer| Known {
            key: peer.public_key.clone(),
            name: peer.name.clone(),
            allowed_ips: peer.allowed_ips.iter().filter_map(|prefix| prefix.parse().ok()).collect(),
        };
        Some(Self {
            name,
            running: true,
            key: network.public_key.parse().ok()?,
            addresses: network.addresses.iter().filter_map(|address| address.parse().ok()).collect(),
            mtu: Some(network.mtu),
            radios: network.links.iter().filter_map(|link| radio(link.radio.radio.as_ref()?)).collect(),
            udp_port: network.links.iter().find(|link| link.kind == "udp").map(|link| {
                link.connect.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0)
            }),
            peers: network.peers.iter().map(peer).collect(),
        })
    }

    /// As the configuration file has it.
    fn configured(name: Instance, path: &Path) -> Result<Self, Error> {
        let conf = Conf::read(path)?;
        let mut peers = Vec::new();
        let fields = ["PublicKey", "Name", "AllowedIPs"].map(|key| conf.sections("Peer", key));
        let [keys, names, prefixes] = fields;
        for ((key, name), prefixes) in keys.into_iter().zip(names).zip(prefixes) {
            peers.push(Known {
                key: key.first().copied().unwrap_or_default().to_owned(),
                name: name.first().map(|name| (*name).to_owned()),
                allowed_ips: prefixes.iter().filter_map(|prefix| prefix.parse().ok()).collect(),
            });
        }
        Ok(Self {
            key: own_key(&conf, path)?.public(),
            running: false,
            addresses: conf.interface("Address").iter().filter_map(|address| address.parse().ok()).collect(),
            mtu: conf.interface("MTU").first().and_then(|mtu| mtu.parse().ok()),
            radios: Vec::new(),
            udp_port: conf.udp_port(),
            peers,
            name,
        })
    }

    /// The beginning of our key, as an answer names it.
    pub(crate) fn key_start(&self) -> String {
        invitation::shorten(&self.key.to_string()).chars().take(invitation::TO_LEN).collect()
    }
}

/// The private key that a file holds or names.
///
/// # Errors
/// If it does neither, or what it names cannot be read.
pub(crate) fn own_key(conf: &Conf, path: &Path) -> Result<PrivateKey, Error> {
    let unknown = |why: &str| {
        Error::new(Exit::Failure, format!("cannot tell the public key of {}", path.display()))
            .because(why)
            .hint("start the network, and ask again: the daemon knows it")
    };
    if let Some(key) = conf.interface("PrivateKey").first() {
        return key.parse().map_err(|_| unknown("PrivateKey is no key"));
    }
    let file = conf.interface("PrivateKeyFile").first().map(|file| path.with_file_name(file));
    let file = file.ok_or_else(|| unknown("the file holds no private key"))?;
    let text = Conf::read(&file)?;
    text.text().trim().parse().map_err(|_| unknown("PrivateKeyFile holds no key"))
}

/// What this host calls itself, as far as a configuration can hold it.
pub(crate) fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim().split('.').next()?;
    invitation::name(name).filter(|name| name != "localhost")
}
