//! A network's radios and addresses: as the daemon sees them if it runs, else as far as they can be seen without it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use meshnet_bus::describe::{Link, Network};
use meshnet_bus::names::Instance;
use tokio::net::TcpStream;

use super::super::setup::{interface_networks, overlap};
use super::{Findings, Patient};
use crate::bus::Bus;
use crate::conf::{self, Conf};
use crate::radios::PORT;
use crate::systemd::Units;

/// How long a radio on the network may take to accept a connection: one that sleeps between beacons takes a second.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks at the network's radios and addresses.
pub(super) async fn check(patient: &Patient<'_>, bus: Option<&Bus>, findings: &mut Findings) {
    let conf = Conf::read(&conf::path(Path::new(conf::DIR), patient.name)).ok();
    let places = conf.as_ref().map(Conf::radios).unwrap_or_default();
    for place in &places {
        if let Some(port) = place.strip_prefix("serial://") {
            serial(patient, Path::new(port), findings);
        }
    }
    match &patient.state {
        Some(network) => {
            network.links.iter().for_each(|link| running(link, findings));
            interface(patient.name, network, findings);
        }
        None => {
            let hosts: Vec<&str> = places.iter().filter_map(|place| place.strip_prefix("tcp://")).collect();
            let free = !hosts.is_empty() && is_stopped(patient, bus).await;
            for host in hosts {
                if free {
                    tcp(host, findings).await;
                } else {
                    findings.warn(
                        "radio",
                        format!("tcp://{host} was not looked at: a daemon may be using it"),
                        format!("to have it looked at: sudo systemctl stop {}", patient.name.unit()),
                    );
                }
            }
        }
    }
    let own = match (&patient.state, &conf) {
        (Some(network), _) => parse(network.addresses.iter().map(String::as_str)),
        (None, Some(conf)) => parse(conf.interface("Address").into_iter()),
        (None, None) => return,
    };
    addresses(patient.name, &own, findings);
}

/// Whether certainly no daemon of the network uses its radios and ports: a radio serves one client, and the next one throws it out. A
/// daemon that starts, hangs, or is out of the bus's sight has them too.
pub(super) async fn is_stopped(patient: &Patient<'_>, bus: Option<&Bus>) -> bool {
    let Some(bus) = bus.filter(|_| !patient.presence.running) else { return false };
    let Ok(units) = Units::new(bus).await else { return false };
    // Not what the list of units says: a unit that is not in memory is not in it, and neither is any if systemd is silent.
    matches!(units.look(patient.name).await.active.as_str(), "inactive" | "failed")
}

/// A link of a running network.
fn running(link: &Link, findings: &mut Findings) {
    let at = format!("{} ({})", link.name, link.connect);
    if link.kind == "udp" {
        if link.up {
            findings.ok("udp", format!("{at} is up"));
        } else {
            let why = link.fault.as_ref().or(link.last_error.as_ref()).unwrap_or(&link.state);
            let mend = "is the port another program's? \"ss -lunp\" says whose; is the address this host's?";
            findings.fail("udp", format!("{at} is not up: {why}"), mend);
        }
        return;
    }
    if let Some(fault) = &link.fault {
        let mend = if link.radio.region.as_deref() == Some("UNSET") {
            "meshtastic --set lora.region EU_868, or that of your country"
        } else {
            "README's troubleshooting has a line for it"
        };
        findings.fail("radio", format!("{at}: {fault}"), mend);
    } else if link.up {
        let radio = link.radio.radio.as_deref().unwrap_or("its node id is unknown");
        let region = link.radio.region.as_deref().unwrap_or("region unknown");
        findings.ok("radio", format!("{at} is up: {radio}, {region}"));
    } else {
        let why = link.last_error.as_deref().unwrap_or(&link.state);
        findings.fail(
            "radio",
            format!("{at} is not up: {why}"),
            "is it powered, and on the network or plugged in? no phone app connected?",
        );
    }
}

/// A serial port, and whether the unit may open it.
fn serial(patient: &Patient<'_>, port: &Path, findings: &mut Findings) {
    let shown = port.display();
    if port.exists() {
        findings.ok("port", format!("{shown} is there"));
    } else {
        findings.fail(
            "port",
            format!("{shown} is missing"),
            "plug the radio in; ls -l /dev/serial/by-id shows what is there",
        );
    }
    let folders = ["meshnet@.service.d".to_owned(), format!("{}.d", patient.name.unit())];
    let allowed = folders.iter().any(|folder| {
        ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"]
            .iter()
            .any(|directory| has_drop_in(&Path::new(directory).join(folder)))
    });
    if !allowed {
        findings.fail(
            "port",
            "the unit may not open serial ports",
            format!(
                "sudo install -D -m 644 /usr/share/doc/meshnet/examples/serial.conf /etc/systemd/system/{}.d/serial.conf\n\
                 sudo systemctl daemon-reload",
                patient.name.unit()
            ),
        );
    }
}

/// Whether a drop-in opens devices to the unit.
fn has_drop_in(folder: &Path) -> bool {
    let Ok(files) = fs::read_dir(folder) else { return false };
    files.filter_map(Result::ok).any(|file| {
        file.path().extension().is_some_and(|extension| extension == "conf")
            && fs::read_to_string(file.path())
                .is_ok_and(|text| text.lines().any(|line| line.trim_start().starts_with("DeviceAllow=")))
    })
}

/// A radio on the network that no daemon of ours uses at present.
async fn tcp(host: &str, findings: &mut Findings) {
    let host = host.trim_end_matches('/');
    let bare = host.rsplit(']').next().is_none_or(|rest| !rest.contains(':'));
    let address = if bare { format!("{host}:{PORT}") } else { host.to_owned() };
    match tokio::time::timeout(PATIENCE, TcpStream::connect(&address)).await {
        Ok(Ok(_)) => findings.ok("radio", format!("something takes connections at {address}")),
        Ok(Err(error)) => findings.fail(
            "radio",
            format!("{address} takes no connection: {error}"),
            "is the radio powered, on this network, with its Wi-Fi awake?",
        ),
        Err(_) => findings.fail(
            "radio",
            format!("{address} does not answer"),
            "is the radio powered, on this network, with its Wi-Fi awake?",
        ),
    }
}

/// What the kernel has of the interface, beside what the daemon gave it.
fn interface(name: &Instance, network: &Network, findings: &mut Findings) {
    let mtu = fs::read_to_string(format!("/sys/class/net/{name}/mtu")).ok();
    match mtu.and_then(|text| text.trim().parse::<u16>().ok()) {
        Some(mtu) if mtu == network.mtu => findings.ok("interface", format!("{name} is there, MTU {mtu}")),
        Some(mtu) => findings.warn(
            "interface",
            format!("{name} has MTU {mtu}, and the daemon set {}", network.mtu),
            format!("who changed it? sudo ip link set {name} mtu {}", network.mtu),
        ),
        None => findings.fail(
            "interface",
            format!("there is no interface {name}"),
            format!("sudo systemctl restart {}", name.unit()),
        ),
    }
    let read = |which: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{which}/rp_filter")).ok()?;
        text.trim().parse::<u8>().ok()
    };
    let own = parse(network.addresses.iter().map(String::as_str));
    let routed = network.peers.iter().flat_map(|peer| parse(peer.allowed_ips.iter().map(String::as_str)));
    let beyond = routed
        .filter(|prefix| prefix.addr().is_ipv4())
        .any(|prefix| !own.iter().any(|own| own.contains(&prefix)));
    // 1 is strict: a packet must come from where its answer would go.
    if beyond && read("all").max(read(name.as_str())) == Some(1) {
        findings.warn(
            "rp_filter",
            "networks behind peers may also be reached another way, and then their packets are dropped here",
            format!("sudo sysctl net.ipv4.conf.{name}.rp_filter=2"),
        );
    }
}

/// Whether other interfaces have our network too.
fn addresses(name: &Instance, own: &[IpNet], findings: &mut Findings) {
    let mut alone = true;
    for (interface, network) in interface_networks() {
        let shared = own.iter().find(|own| overlap(own, &network));
        if let Some(shared) = shared.filter(|_| interface != name.as_str()) {
            alone = false;
            findings.warn(
                "addresses",
                format!("{shared} overlaps {network} of {interface}: which way packets go is chance"),
                "another Address, at all peers; 10.x.y.0/24 with x and y by chance seldom collides",
            );
        }
    }
    if alone && !own.is_empty() {
        findings.ok("addresses", "no other interface has them");
    }
}

/// What two networks must not share: a radio, addresses.
pub(super) fn check_shared(directory: &Path, names: &[&Instance], findings: &mut Findings) {
    let mut radios: BTreeMap<String, &Instance> = BTreeMap::new();
    let mut prefixes: Vec<(IpNet, &Instance)> = Vec::new();
    for &name in names {
        let Ok(conf) = Conf::read(&conf::path(directory, name)) else { continue };
        for radio in conf.radios() {
            if let Some(first) = radios.insert(radio.clone(), name).filter(|first| *first != name) {
                findings.fail(
                    "shared",
                    format!("{first} and {name} use the same radio, {radio}, which serves one client"),
                    "a radio for each; or one network with both groups of peers",
                );
            }
        }
        for prefix in parse(conf.interface("Address").into_iter()) {
            if let Some((other, first)) =
                prefixes.iter().find(|(other, first)| *first != name && overlap(other, &prefix))
            {
                findings.fail(
                    "shared",
                    format!("{prefix} of {name} overlaps {other} of {first}"),
                    "addresses of their own for each network",
                );
            }
            prefixes.push((prefix, name));
        }
    }
}

fn parse<'t>(list: impl Iterator<Item = &'t str>) -> Vec<IpNet> {
    list.filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn networks_that_share_a_radio_or_addresses_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let names = ["mesh0", "mesh1", "mesh2"].map(|name| Instance::new(name).unwrap());
        let all: Vec<&Instance> = names.iter().collect();
        let write = |at: usize, address: &str, radio: &str| {
            let text = format!("[Interface]\nAddress = {address}\nMeshtasticConnect = {radio}\n");
            fs::write(conf::path(directory.path(), &names[at]), text).unwrap();
        };
        write(0, "10.1.0.1/24", "tcp://a");
        write(1, "10.2.0.1/24", "tcp://b");
        let mut findings = Findings::default();
        check_shared(directory.path(), &all, &mut findings);
        assert_eq!(findings.all, []);
        write(2, "10.1.0.77/16", "tcp://b");
        check_shared(directory.path(), &all, &mut findings);
        assert_eq!(findings.all.len(), 2, "{:?}", findings.all);
        assert!(findings.all.iter().all(|finding| finding.level == Level::Fail));
    }

    #[tokio::test]
    async fn a_radio_that_nobody_listens_at_is_told() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut findings = Findings::default();
        tcp(&address, &mut findings).await;
        drop(listener);
        tcp(&address, &mut findings).await;
        let levels: Vec<Level> = findings.all.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Ok, Level::Fail]);
    }

    #[test]
    fn a_drop_in_counts_if_it_opens_devices() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.conf"), "[Service]\n#DeviceAllow=x\n").unwrap();
        assert!(!has_drop_in(folder.path()));
        fs::write(folder.path().join("b.conf"), "[Service]\nDeviceAllow=char-ttyUSB rw\n").unwrap();
        assert!(has_drop_in(folder.path()));
    }
}
