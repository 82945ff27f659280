//! What this host has to tell of its own networks: from the daemon if it runs, else from the configuration file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use meshnet_bus::describe::Network;
use meshnet_bus::names::Instance;
use meshnet_proto::key::{PrivateKey, PublicKey};

use crate::bus::{self, Bus};
use crate::conf::{self, Conf, Udp};
use crate::error::Error;
use crate::exit::Exit;
use crate::invitation;
use crate::place::Place;

/// The mode of a peer that is spoken to in WireGuard's protocol, as configurations and the bus spell it.
pub(crate) const WIREGUARD: &str = "WIREGUARD";

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
    /// Whether it has a radio at all.
    pub has_radio: bool,
    /// Its first udp link, if it has one.
    pub udp: Option<Udp>,
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
    /// Where it is reached by UDP.
    pub udp: Vec<Place>,
    /// Whether it is in mode WIREGUARD.
    pub wireguard: bool,
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
            udp: peer.endpoints.iter().filter_map(|endpoint| Place::read(endpoint, None)).collect(),
            wireguard: peer.mode == WIREGUARD,
        };
        Some(Self {
            name,
            running: true,
            key: network.public_key.parse().ok()?,
            addresses: network.addresses.iter().filter_map(|address| address.parse().ok()).collect(),
            mtu: Some(network.mtu),
            radios: network.links.iter().filter_map(|link| radio(link.radio.radio.as_ref()?)).collect(),
            has_radio: network.links.iter().any(|link| link.kind != "udp"),
            udp: network.links.iter().find(|link| link.kind == "udp").map(|link| listening(&link.connect)),
            peers: network.peers.iter().map(peer).collect(),
        })
    }

    /// As the configuration file has it.
    fn configured(name: Instance, path: &Path) -> Result<Self, Error> {
        let conf = Conf::read(path)?;
        let mut peers = Vec::new();
        let udp = conf.udp();
        let fields = ["PublicKey", "Name", "AllowedIPs", "Endpoint", "PeerMode"];
        let [keys, names, prefixes, endpoints, modes] =
            fields.map(|key| conf.sections("Peer", key).into_iter());
        for ((((key, name), prefixes), endpoints), mode) in
            keys.zip(names).zip(prefixes).zip(endpoints).zip(modes)
        {
            let places: Vec<Place> =
                endpoints.iter().filter_map(|endpoint| Place::read(endpoint, None)).collect();
            peers.push(Known {
                key: key.first().copied().unwrap_or_default().to_owned(),
                name: name.first().map(|name| (*name).to_owned()),
                allowed_ips: prefixes.iter().filter_map(|prefix| prefix.parse().ok()).collect(),
                // As the daemon takes it where nothing is said.
                wireguard: mode
                    .last()
                    .map_or(!places.is_empty() || (endpoints.is_empty() && udp.is_some()), |mode| {
                        mode.eq_ignore_ascii_case(WIREGUARD)
                    }),
                udp: places,
            });
        }
        Ok(Self {
            key: own_key(&conf, path)?.public(),
            running: false,
            addresses: conf.interface("Address").iter().filter_map(|address| address.parse().ok()).collect(),
            mtu: conf.interface("MTU").first().and_then(|mtu| mtu.parse().ok()),
            radios: Vec::new(),
            has_radio: !conf.radios().is_empty(),
            udp,
            peers,
            name,
        })
    }

    /// The beginning of our key, as an answer names it.
    pub(crate) fn key_start(&self) -> String {
        invitation::shorten(&self.key.to_string()).chars().take(invitation::TO_LEN).collect()
    }
}

/// Where a udp link listens, of what its daemon says: `udp://*:51820`, `udp://*%eth0:51820`, `udp://192.0.2.7:51820`,
/// `udp://192.0.2.7:51820%eth0`.
pub(crate) fn listening(connect: &str) -> Udp {
    let place = connect.strip_prefix("udp://").unwrap_or(connect);
    match place.split('%').next().unwrap_or_default().parse::<SocketAddr>() {
        Ok(at) => Udp { port: at.port(), address: Some(at.ip()) },
        Err(_) => {
            let port = place.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            Udp { port: port.unwrap_or(0), address: None }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_says_of_a_udp_link_is_understood() {
        for (text, port, address) in [
            ("udp://*:51820", 51820, None),
            ("udp://*%wlan0:7", 7, None),
            ("udp://192.0.2.7:0", 0, Some("192.0.2.7")),
            ("udp://[2001:db8::7]:5", 5, Some("2001:db8::7")),
            ("udp://192.0.2.7:5%eth0", 5, Some("192.0.2.7")),
            ("", 0, None),
        ] {
            let address = address.map(|text| text.parse().unwrap());
            assert_eq!(listening(text), Udp { port, address }, "{text}");
        }
    }
}
