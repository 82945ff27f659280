//! How a network comes to its file: which radio, which addresses, what is written. For `init` and `join`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use ipnet::{IpNet, Ipv4Net};
use meshnet_bus::names::Instance;
use meshnet_proto::key::PrivateKey;
use nix::ifaddrs::getifaddrs;
use zeroize::Zeroizing;

use super::output;
use crate::conf::{self, Conf};
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

    /// Look for radios on the local networks too
    ///
    /// Connects to port 4403 of every host, at most 254 in each network. A radio serves one client: a connection may throw
    /// out the one that it has.
    #[arg(long)]
    pub scan: bool,

    /// Our address with its network's prefix length; several with commas, or several times
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub address: Vec<IpNet>,

    /// The interface's MTU in bytes; both ends should agree
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(68..=1500))]
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

    /// The radio that the network shall use: the one that is named, or the one that is found; with several, whoever sits at
    /// the terminal chooses.
    ///
    /// # Errors
    /// If what is named makes no sense, or nothing or too much is found and nobody can be asked.
    pub(crate) async fn choose_radio(&self, context: &Context) -> Result<String, Error> {
        if let Some(radio) = &self.radio {
            return check_radio(radio);
        }
        let mut found = radios::local();
        if self.scan {
            context.talk("looking for radios on the local networks");
            found.extend(radios::scan().await);
        }
        let taken = taken_radios(&self.config_dir);
        found.retain(|radio| !taken.contains(&radio.connect));
        self.pick(&found, context)
    }

    fn pick(&self, found: &[Found], context: &Context) -> Result<String, Error> {
        let asking = !self.yes && prompt::possible();
        match found {
            [] if asking => {
                context.talk("no radio on USB; where is it? (tcp://HOST, serial:///dev/…)");
                check_radio(&prompt::ask("radio:")?)
            }
            [] => Err(Error::failure("there is no radio").because("none on USB and none listening on this host").hint(
                "name it: --radio tcp://HOST or --radio serial:///dev/ttyUSB0; --scan looks on the local networks too",
            )),
            [only] => {
                context.talk(&format!("radio: {only}"));
                if asking && !prompt::confirm("use it?")? {
                    return check_radio(&prompt::ask("where is the radio?")?);
                }
                Ok(only.connect.clone())
            }
            several if asking => {
                let choices: Vec<String> = several.iter().map(Found::to_string).collect();
                Ok(several[prompt::choose("which radio?", &choices)?].connect.clone())
            }
            several => {
                let list: Vec<&str> = several.iter().map(|radio| radio.connect.as_str()).collect();
                Err(Error::failure("there are several radios").because(list.join(", ")).hint("choose one: --radio WHERE"))
            }
        }
    }
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

/// The text of a fresh network's file.
///
/// # Errors
/// If there is no randomness for the key.
pub(crate) fn text(
    network: &Instance,
    addresses: &[IpNet],
    mtu: Option<u16>,
    radio: &str,
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
    line("MeshtasticConnect", radio);
    Ok((text, key))
}

/// The section of a peer.
pub(crate) fn peer_section(
    name: Option<&str>,
    public_key: &str,
    preshared_key: Option<&str>,
    allowed_ips: &[IpNet],
    radios: &[u32],
) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(1024));
    let join = |list: Vec<String>| list.join(", ");
    text.push_str("\n[Peer]\n");
    let mut line = |key: &str, value: &str| text.extend([key, " = ", value, "\n"]);
    name.iter().for_each(|name| line("Name", name));
    line("PublicKey", public_key);
    preshared_key.iter().for_each(|key| line("PresharedKey", key));
    line("AllowedIPs", &join(allowed_ips.iter().map(ToString::to_string).collect()));
    line("Endpoint", &join(radios.iter().map(|radio| format!("!{radio:08x}")).collect()));
    text
}

/// An address as a prefix of its own.
pub(crate) fn host(address: IpAddr) -> IpNet {
    address.into()
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
