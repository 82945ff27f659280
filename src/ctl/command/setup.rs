//! How a network comes to its file: which links, which addresses, what is written. For `init` and `join`.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use ipnet::{IpNet, Ipv4Net};
use meshnet_bus::names::Instance;
use meshnet_proto::key::PrivateKey;
use nix::ifaddrs::getifaddrs;
use zeroize::Zeroizing;

use super::output;
use crate::conf::{self, Conf, Udp};
use crate::context::Context;
use crate::error::Error;
use crate::prompt;
use crate::radios::{self, Found};

/// What a network is made of, as far as the command line says.
#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// Where the radio is: tcp://HOST, tcp://HOST:PORT or serial:///dev/…; else one is looked for
    #[arg(long, value_name = "WHERE")]
    pub radio: Option<String>,

    /// Listen for UDP on this port, 0 for any that is free; without --radio, no radio is looked for
    #[arg(long, value_name = "PORT", value_parser = listen_port)]
    pub listen_port: Option<u16>,

    /// Look for radios on the local networks too
    ///
    /// Connects to port 4403 of every host, at most 254 in each network. A radio serves one client: a connection may throw
    /// out the one that it has.
    #[arg(long)]
    pub scan: bool,

    /// Our address with its network's prefix length; several with commas, or several times
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub address: Vec<IpNet>,

    /// The interface's MTU in bytes; both ends should agree. More than 1500 takes a udp link
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(68..=9000))]
    pub mtu: Option<u16>,

    /// Ask nothing: take what is found
    #[arg(long, short)]
    pub yes: bool,

    /// Where the configurations are
    #[arg(long, value_name = "DIR", default_value = conf::DIR, value_hint = ValueHint::DirPath)]
    pub config_dir: PathBuf,
}

impl Setup {
    /// The directory, if it is another than the daemons'.
    pub(crate) fn elsewhere(&self) -> Option<&Path> {
        (self.config_dir != Path::new(conf::DIR)).then_some(&*self.config_dir)
    }

    /// The links that the network shall have: those that are named; and unless a udp link alone is, the radio that is found,
    /// of which whoever sits at the terminal chooses if there are several.
    ///
    /// # Errors
    /// If what is named makes no sense, or nothing or too much is found and nobody can be asked.
    pub(crate) async fn links(&self, need: Need, context: &Context) -> Result<Links, Error> {
        let listen_port = self.listen_port;
        let udp_alone = need != Need::Radio && listen_port.is_some() && self.radio.is_none() && !self.scan;
        let need = if need == Need::Link && listen_port.is_some() { Need::Nothing } else { need };
        let radio = if udp_alone { None } else { self.choose_radio(need, context).await? };
        let links = Links { radio, listen_port };
        match self.mtu {
            Some(mtu) if need != Need::Nothing && !may_be(mtu, &links) => Err(Error::usage(format!(
                "an MTU of {mtu} takes a udp link: at most {MAX_RADIO_MTU} by radio"
            ))
            .hint("--listen-port 51820")),
            Some(_) | None => Ok(links),
        }
    }

    async fn choose_radio(&self, need: Need, context: &Context) -> Result<Option<String>, Error> {
        if let Some(radio) = &self.radio {
            return check_radio(radio).map(Some);
        }
        let mut found = radios::local();
        if self.scan {
            context.talk("looking for radios on the local networks");
            found.extend(radios::scan().await);
        }
        let taken = taken_radios(&self.config_dir);
        found.retain(|radio| !taken.contains(&radio.connect));
        self.pick(&found, need, context)
    }

    fn pick(&self, found: &[Found], need: Need, context: &Context) -> Result<Option<String>, Error> {
        let asking = !self.yes && prompt::possible();
        match found {
            [] if need == Need::Nothing => Ok(None),
            [] if asking => {
                context.talk("no radio on USB; where is it? (tcp://HOST, serial:///dev/…)");
                if need == Need::Link {
                    context.talk("for a network over UDP, without a radio: --listen-port 51820");
                }
                check_radio(&prompt::ask("radio:")?).map(Some)
            }
            [] => {
                let error = Error::failure("there is no radio")
                    .because("none on USB and none listening on this host")
                    .hint("name it: --radio tcp://HOST or --radio serial:///dev/ttyUSB0; --scan looks on the local networks too");
                let without = "for a network over UDP, without a radio: --listen-port 51820";
                Err(if need == Need::Link { error.hint(without) } else { error })
            }
            [only] => {
                context.talk(&format!("radio: {only}"));
                if !asking || prompt::confirm("use it?")? {
                    Ok(Some(only.connect.clone()))
                } else if need == Need::Nothing {
                    Ok(None)
                } else {
                    check_radio(&prompt::ask("where is the radio?")?).map(Some)
                }
            }
            several if asking => {
                let choices: Vec<String> = several.iter().map(Found::to_string).collect();
                Ok(Some(several[prompt::choose("which radio?", &choices)?].connect.clone()))
            }
            several => {
                let list: Vec<&str> = several.iter().map(|radio| radio.connect.as_str()).collect();
                let error = Error::failure("there are several radios").because(list.join(", "));
                let choose = "choose one: --radio WHERE";
                Err(if need == Need::Radio {
                    error.hint(choose)
                } else {
                    error.hint(format!("{choose}; or none: --listen-port 51820"))
                })
            }
        }
    }
}

/// What a network that is made cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A radio: nothing else leads to the other side.
    Radio,
    /// A link, which is a radio unless a udp link is named.
    Link,
    /// Nothing: it has a udp link anyway, and a radio if there is one.
    Nothing,
}

/// The links of a network that is made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Links {
    /// Where its radio is.
    pub radio: Option<String>,
    /// The port of its udp link; 0: any that is free.
    pub listen_port: Option<u16>,
}

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.listen_port.map(|port| match port {
            0 => "any free UDP port".to_owned(),
            port => format!("UDP port {port}"),
        });
        let links: Vec<String> = self.radio.clone().into_iter().chain(port).collect();
        f.write_str(&links.join(", "))
    }
}

/// The largest MTU without a udp link: an Ethernet frame's.
const MAX_RADIO_MTU: u16 = 1500;

/// Whether the daemon takes an MTU for these links.
pub(crate) fn may_be(mtu: u16, links: &Links) -> bool {
    mtu <= MAX_RADIO_MTU || links.listen_port.is_some()
}

/// Reads a port that the service may listen on.
fn listen_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port @ (0 | 1024..)) => Ok(port),
        Ok(1..1024) => Err("the service may not listen below 1024".to_owned()),
        Err(_) => Err("no port: 1024 to 65535, or 0 for any that is free".to_owned()),
    }
}

/// A port for a network of whose port nothing is said: WireGuard's usual one, or the next that neither another network here
/// nor another program has.
///
/// # Errors
/// If there is none near it.
pub(crate) fn free_port(directory: &Path) -> Result<u16, Error> {
    /// How many are tried.
    const TRIES: u16 = 100;
    let files = conf::networks(directory).into_iter().map(|name| conf::path(directory, &name));
    let taken: BTreeSet<u16> =
        files.filter_map(|file| Conf::read(&file).ok()?.udp()).map(|link| link.port).collect();
    let free = |port: &u16| !taken.contains(port) && !is_port_taken(Udp { port: *port, address: None });
    let mut ports = conf::UDP_PORT..conf::UDP_PORT + TRIES;
    ports.find(free).ok_or_else(|| {
        Error::failure("no free UDP port was found").hint("choose one: --listen-port PORT; 0 is any")
    })
}

/// Checks where a radio is said to be; what the daemon would refuse for other reasons, it says itself.
fn check_radio(text: &str) -> Result<String, Error> {
    let text = text.trim();
    let host = text.strip_prefix("tcp://").is_some_and(|host| !host.is_empty());
    let port = text.strip_prefix("serial://").is_some_and(|path| path.starts_with('/') && path.len() > 1);
    let plain =
        text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b',');
    if (host || port) && plain {
        return Ok(text.to_owned());
    }
    Err(Error::usage(format!("\"{text}\" is no place of a radio"))
        .hint("tcp://HOST, tcp://HOST:PORT or serial:///dev/ttyUSB0"))
}

/// The radios of other networks: each serves one.
fn taken_radios(directory: &Path) -> BTreeSet<String> {
    let files = conf::networks(directory).into_iter().map(|name| conf::path(directory, &name));
    files.filter_map(|file| Conf::read(&file).ok()).flat_map(|conf| conf.radios()).collect()
}

/// Our address in a network of our own that is not in use here: 10.x.y.1/24, x and y by chance, so that networks that
/// were made apart can be joined later.
///
/// # Errors
/// If there is no randomness, or every such network is in use.
pub(crate) fn free_address(directory: &Path) -> Result<IpNet, Error> {
    /// Far more than it takes unless nearly all are in use.
    const TRIES: usize = 64;
    let used = used_networks(directory);
    for _ in 0..TRIES {
        let bytes = output::random()?;
        let address = Ipv4Net::new(Ipv4Addr::new(10, bytes[0], bytes[1], 1), 24).map(IpNet::V4);
        let address = address.map_err(|error| Error::failure("no address").because(error))?;
        if !used.iter().any(|other| overlap(other, &address)) {
            return Ok(address);
        }
    }
    Err(Error::failure("no free private network was found").hint("choose one: --address ADDRESS/LENGTH"))
}

/// The networks of this host's interfaces, and of its other configurations.
fn used_networks(directory: &Path) -> Vec<IpNet> {
    let mut used = interface_networks().into_iter().map(|(_, network)| network).collect::<Vec<_>>();
    for name in conf::networks(directory) {
        if let Ok(conf) = Conf::read(&conf::path(directory, &name)) {
            used.extend(conf.interface("Address").iter().filter_map(|text| text.parse::<IpNet>().ok()));
        }
    }
    used
}

/// Each interface of this host with its networks.
pub(crate) fn interface_networks() -> Vec<(String, IpNet)> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let network = |interface: nix::ifaddrs::InterfaceAddress| {
        let (address, mask) = (interface.address?, interface.netmask?);
        let network = match (address.as_sockaddr_in(), mask.as_sockaddr_in()) {
            (Some(address), Some(mask)) => IpNet::with_netmask(address.ip().into(), mask.ip().into()),
            _ => {
                let (address, mask) = (address.as_sockaddr_in6()?, mask.as_sockaddr_in6()?);
                IpNet::with_netmask(address.ip().into(), mask.ip().into())
            }
        };
        Some((interface.interface_name, network.ok()?))
    };
    interfaces.filter_map(network).collect()
}

/// Whether two networks have an address in common.
pub(crate) fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// Whether another program listens where a udp link would. Nothing is sent.
pub(crate) fn is_port_taken(link: Udp) -> bool {
    // The first is of both families, where the host speaks both.
    let all: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
    let addresses = link.address.map_or(all.to_vec(), |address| vec![address]);
    addresses.into_iter().any(|address| {
        let bound = UdpSocket::bind((address, link.port));
        bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    })
}

/// The text of a fresh network's file.
///
/// # Errors
/// If there is no randomness for the key.
pub(crate) fn text(
    network: &Instance,
    addresses: &[IpNet],
    mtu: Option<u16>,
    links: &Links,
) -> Result<(Zeroizing<String>, PrivateKey), Error> {
    /// Room for all of it, so that the key is not copied about.
    const ROOM: usize = 4096;
    let key = PrivateKey::from_random(*output::random()?);
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let mut text = Zeroizing::new(String::with_capacity(ROOM));
    let mut line = |key: &str, value: &str| text.extend([key, " = ", value, "\n"]);
    line("# See meshnet.conf(5).\n[Interface]\nTapName", network.as_str());
    line("PrivateKey", &key.to_base64());
    line("Address", &addresses.join(", "));
    if let Some(mtu) = mtu {
        line("MTU", &mtu.to_string());
    }
    links.radio.iter().for_each(|radio| line("MeshtasticConnect", radio));
    links.listen_port.iter().for_each(|port| line("ListenPort", &port.to_string()));
    Ok((text, key))
}

/// An address as a prefix of its own.
pub(crate) fn host(address: IpAddr) -> IpNet {
    address.into()
}

/// Addresses as a sentence has them.
pub(crate) fn list(addresses: &[IpNet]) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(", ")
}

/// What to do next with a network that was just made.
pub(crate) fn next_steps(steps: &[(String, &str)]) -> String {
    let width = steps.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    steps.iter().fold(String::from("next:\n"), |mut text, (command, what)| {
        let _ = writeln!(text, "  {command:width$}   {what}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_of_radios_are_taken() {
        for good in ["tcp://radio.example", "tcp://[::1]:4403", "serial:///dev/ttyUSB0"] {
            assert_eq!(check_radio(good).unwrap(), good);
        }
        for bad in
            ["", "radio", "tcp://", "serial://ttyUSB0", "tcp://a\nPrivateKey = x", "tcp://a # b", "udp://a"]
        {
            assert!(check_radio(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_port_that_another_network_or_program_has_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let first = free_port(directory.path()).unwrap();
        let text = format!("[Interface]\nListenPort = {first}\n");
        std::fs::write(directory.path().join("mesh7.conf"), text).unwrap();
        let second = free_port(directory.path()).unwrap();
        let _taken = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, second)).unwrap();
        let third = free_port(directory.path()).unwrap();
        assert!(first < second && second < third, "{first} {second} {third}");
        assert!(listen_port("51820") == Ok(51820) && listen_port("0") == Ok(0));
        assert!(listen_port("53").is_err() && listen_port("65536").is_err());
    }

    #[test]
    fn a_free_address_is_in_no_network_that_is_in_use() {
        let directory = tempfile::tempdir().unwrap();
        // All but 10.128.0.0/9 is taken.
        std::fs::write(directory.path().join("mesh7.conf"), "[Interface]\nAddress = 10.0.0.1/9\n").unwrap();
        for _ in 0..20 {
            let address = free_address(directory.path()).unwrap();
            assert!(address.to_string().starts_with("10.") && address.prefix_len() == 24, "{address}");
            assert!(!overlap(&address, &"10.0.0.0/9".parse().unwrap()), "{address}");
        }
        std::fs::write(directory.path().join("mesh7.conf"), "[Interface]\nAddress = 10.0.0.1/8\n").unwrap();
        assert!(free_address(directory.path()).is_err());
    }
}
