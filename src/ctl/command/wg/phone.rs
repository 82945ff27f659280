//! `meshctl wg phone`

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use ipnet::IpNet;
use meshnet_bus::settings::PeerSettings;
use meshnet_proto::key::{PresharedKey, PrivateKey};
use serde::Serialize;
use zbus::wire::OwnedObjectPath;
use zeroize::Zeroizing;

use super::super::{OneNetwork, invite, output, own_addresses, setup};
use super::{show_private, write_private};
use crate::conf::{self, Conf};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::ours::{Host, Ours};
use crate::{bus, invitation, runtime};

/// Every how many seconds a phone that is silent says that it is there, so that the NAT before it remembers it.
const KEEPALIVE: u16 = 25;

/// Make a phone, or anything that runs WireGuard, a peer
///
/// Makes a key pair for it, adds it to the network (through the daemon if that runs, else in the configuration file), and shows
/// its own file as a QR code, which the WireGuard app scans, or as text. Its private key is shown this once and kept nowhere
/// here. The network needs a udp link: ListenPort in [Interface].
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meshctl wg phone anna --endpoint vpn.example.org
  meshctl wg phone anna --endpoint 192.0.2.7:51820 --address 10.42.0.7 --psk
  meshctl -n mesh0 wg phone tablet --endpoint vpn.example.org --output tablet.conf")]
pub(crate) struct Phone {
    /// What the network shall call it
    #[arg(value_name = "NAME")]
    name: String,

    /// The address that it shall have; several with commas. Else one is chosen
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    address: Vec<IpAddr>,

    /// Where it reaches this host: HOST or HOST:PORT, as seen from outside. Else this host's own address, which serves in
    /// the same local network
    #[arg(long, value_name = "WHERE")]
    endpoint: Option<String>,

    /// What it shall send through the network; several with commas. Else the network's own addresses
    #[arg(long, value_name = "PREFIX", value_delimiter = ',')]
    route: Vec<IpNet>,

    /// Make a preshared key too
    #[arg(long)]
    psk: bool,

    /// Show a QR code, also where there is no terminal
    #[arg(long, conflicts_with_all = ["no_qr", "output"])]
    qr: bool,

    /// Show text, also on a terminal
    #[arg(long)]
    no_qr: bool,

    /// The file to write instead, readable by its owner alone; none is overwritten
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Where the configurations are
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, hide = true)]
    config_dir: Option<PathBuf>,
}

/// What `--json` tells.
#[derive(Serialize)]
struct Made<'a> {
    schema: u32,
    network: &'a str,
    name: &'a str,
    public_key: String,
    addresses: Vec<String>,
    file: String,
}

/// A peer to be.
struct Newcomer {
    name: String,
    key: PrivateKey,
    psk: Option<PresharedKey>,
    addresses: Vec<IpAddr>,
}

impl Phone {
    /// Makes it.
    pub(super) fn run(self, context: &Context) -> Result<Exit, Error> {
        if context.wants_json() && self.output.is_none() {
            return Err(Error::usage("the file holds a secret, and JSON shows none").hint("--output FILE"));
        }
        runtime::block_on(self.act(context))
    }

    async fn act(&self, context: &Context) -> Result<Exit, Error> {
        let directory = self.config_dir.as_deref();
        let ours = invite::find(&OneNetwork::default(), directory, context).await?;
        let path = conf::path(directory.unwrap_or(Path::new(conf::DIR)), &ours.name);
        let endpoint = self.endpoint(&ours, &path, context)?;
        let newcomer = self.newcomer(&ours)?;
        let text = newcomer.file(&ours, &self.route, &endpoint);
        // Before anything is changed: a peer whose key nobody has is of no use.
        if let Some(file) = &self.output {
            write_private(file, &text)?;
        }
        if let Err(error) = add(&ours, &path, &newcomer, directory, context).await {
            if let Some(file) = &self.output {
                let _ = std::fs::remove_file(file);
            }
            return Err(error);
        }
        match &self.output {
            Some(file) if context.wants_json() => context.print_json(&Made {
                schema: meshnet_bus::describe::SCHEMA,
                network: ours.name.as_str(),
                name: &newcomer.name,
                public_key: newcomer.key.public().to_string(),
                addresses: newcomer.addresses.iter().map(ToString::to_string).collect(),
                file: file.display().to_string(),
            })?,
            Some(_) => {}
            None => {
                let as_code = self.qr || (context.is_terminal() && !self.no_qr);
                show_private(&text, as_code, context)?;
            }
        }
        context.talk(&format!("{} is a peer of {}", newcomer.name, ours.name));
        Ok(Exit::Success)
    }

    /// Who it becomes.
    fn newcomer(&self, ours: &Ours) -> Result<Newcomer, Error> {
        let name = invitation::name(&self.name).ok_or_else(|| {
            Error::usage(format!("\"{}\" is no name", crate::render::clean(&self.name)))
                .hint("1 to 32 letters, digits, hyphens, underscores or dots")
        })?;
        let addresses = if self.address.is_empty() { invite::free(ours)? } else { self.address.clone() };
        if let Some(taken) = addresses.iter().find(|address| invite::is_taken(address, ours)) {
            return Err(Error::failure(format!("{taken} is somebody's already")).hint("meshctl peer list"));
        }
        let psk = if self.psk { Some(PresharedKey::from_bytes(*output::random()?)) } else { None };
        Ok(Newcomer { name, key: PrivateKey::from_random(*output::random()?), psk, addresses })
    }

    /// Where it reaches us.
    fn endpoint(&self, ours: &Ours, path: &Path, context: &Context) -> Result<String, Error> {
        let udp = ours.udp.ok_or_else(|| {
            Error::failure(format!("{} has no udp link", ours.name)).hint(format!(
                "ListenPort = 51820 in [Interface] of {}, then \"meshctl reload\"",
                path.display()
            ))
        })?;
        let port = udp.port;
        if port == 0 && self.endpoint.as_deref().is_none_or(|host| !has_port(host)) {
            return Err(Error::failure(format!(
                "{} listens on a port that changes with each start",
                ours.name
            ))
            .hint(format!("a fixed ListenPort in {}", path.display())));
        }
        match self.endpoint.as_deref() {
            Some(host) => endpoint(host, port),
            None => {
                let own = || own_addresses::outside(&ours.addresses).into_iter().min_by_key(IpAddr::is_ipv6);
                let address = udp.address.or_else(own).ok_or_else(|| {
                    Error::failure("this host has no address that others could reach").hint("--endpoint HOST")
                })?;
                let endpoint = SocketAddr::new(address, port).to_string();
                context.talk(&format!("{endpoint} is where it looks for us: that serves in this local network alone; else --endpoint"));
                Ok(endpoint)
            }
        }
    }
}

/// Whether the text ends with a port.
fn has_port(text: &str) -> bool {
    text.parse::<SocketAddr>().is_ok()
        || (text.parse::<IpAddr>().is_err()
            && text.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':')))
}

/// HOST:PORT of what the command line says.
fn endpoint(text: &str, port: u16) -> Result<String, Error> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, port).to_string());
    }
    let full = if has_port(text) { text.to_owned() } else { format!("{text}:{port}") };
    let fine = full.parse::<SocketAddr>().map(|place| place.port() != 0).unwrap_or_else(|_| {
        full.rsplit_once(':').is_some_and(|(host, port)| {
            let port = port.parse::<u16>().is_ok_and(|port| port != 0);
            let label = |label: &str| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            };
            port && host.len() <= 253 && host.split('.').all(label)
        })
    });
    fine.then_some(full).ok_or_else(|| {
        Error::usage(format!("\"{}\" is no HOST:PORT", crate::render::clean(text)))
            .hint("for example vpn.example.org:51820 or [2001:db8::7]:51820")
    })
}

/// Adds the peer: through the daemon if it runs, else to the configuration file.
async fn add(
    ours: &Ours,
    path: &Path,
    newcomer: &Newcomer,
    directory: Option<&Path>,
    context: &Context,
) -> Result<(), Error> {
    let host = Host::look(directory).await;
    let Some(bus) = host.bus.filter(|_| ours.running) else {
        let conf = Conf::read(path)?;
        let section = newcomer.section();
        let mut text = Zeroizing::new(String::with_capacity(conf.text().len() + section.len() + 1));
        text.push_str(conf.text());
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&section);
        return conf::rewrite(path, &text);
    };
    let proxy = bus.network(&ours.name).await?;
    let body = (newcomer.key.public().to_string(), newcomer.settings()?);
    let what = format!("cannot add the peer to {}", ours.name);
    let _: OwnedObjectPath = bus::change(proxy.inner(), "AddPeer", &body, context, &what).await?;
    Ok(())
}

impl Newcomer {
    /// Its addresses as prefixes of their own.
    fn prefixes(&self) -> Vec<String> {
        self.addresses.iter().map(|address| setup::host(*address).to_string()).collect()
    }

    /// The file that it runs with.
    fn file(&self, ours: &Ours, routes: &[IpNet], endpoint: &str) -> Zeroizing<String> {
        let list = |networks: &[IpNet]| {
            networks.iter().map(|network| network.trunc().to_string()).collect::<Vec<_>>().join(", ")
        };
        let routes = if routes.is_empty() { list(&ours.addresses) } else { list(routes) };
        let mut text = Zeroizing::new(String::with_capacity(4096));
        let mut line = |key: &str, value: &str| text.extend([key, " = ", value, "\n"]);
        line("[Interface]\nPrivateKey", &self.key.to_base64());
        line("Address", &self.prefixes().join(", "));
        // Both ends should agree; what WireGuard chooses by itself is what a udp link has.
        if let Some(mtu) = ours.mtu.filter(|mtu| *mtu < 1420) {
            line("MTU", &mtu.to_string());
        }
        line("\n[Peer]\nPublicKey", &ours.key.to_string());
        if let Some(psk) = &self.psk {
            line("PresharedKey", &psk.to_base64());
        }
        line("AllowedIPs", &routes);
        line("Endpoint", endpoint);
        line("PersistentKeepalive", &KEEPALIVE.to_string());
        text
    }

    /// As a configuration file of ours has it.
    fn section(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(1024));
        let mut line = |key: &str, value: &str| text.extend([key, " = ", value, "\n"]);
        line("\n[Peer]\nName", &self.name);
        line("PublicKey", &self.key.public().to_string());
        if let Some(psk) = &self.psk {
            line("PresharedKey", &psk.to_base64());
        }
        line("PeerMode", "WIREGUARD");
        line("AllowedIPs", &self.prefixes().join(", "));
        text
    }

    /// As the daemon is told; the secret through a pipe.
    fn settings(&self) -> Result<PeerSettings, Error> {
        let pipe = |key: &PresharedKey| {
            let (reader, mut writer) = std::io::pipe()?;
            // Less than a pipe holds: nobody need read yet.
            writer.write_all(key.to_base64().as_bytes())?;
            Ok::<_, std::io::Error>(std::os::fd::OwnedFd::from(reader).into())
        };
        let preshared_key = self.psk.as_ref().map(pipe).transpose();
        Ok(PeerSettings {
            name: Some(self.name.clone()),
            allowed_ips: Some(self.prefixes()),
            mode: Some("WIREGUARD".to_owned()),
            preshared_key: preshared_key
                .map_err(|error| Error::failure("cannot pass on the key").because(error))?,
            ..PeerSettings::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_gets_the_port_that_it_lacks() {
        for (text, full) in [
            ("vpn.example.org", "vpn.example.org:51820"),
            ("vpn.example.org:7", "vpn.example.org:7"),
            ("192.0.2.7", "192.0.2.7:51820"),
            ("192.0.2.7:7", "192.0.2.7:7"),
            ("2001:db8::7", "[2001:db8::7]:51820"),
            ("[2001:db8::7]", "[2001:db8::7]:51820"),
            ("[2001:db8::7]:7", "[2001:db8::7]:7"),
        ] {
            assert_eq!(endpoint(text, 51820).unwrap(), full);
        }
        for bad in ["", ":5", "a b", "host:0", "host:x", "host\nPostUp = x", "[::1", "192.0.2.7:0", "a..b"] {
            assert!(endpoint(bad, 51820).is_err(), "{bad}");
        }
    }
}
