//! Finds radios: serial ports of boards that carry Meshtastic, and hosts that listen on its port.
//!
//! Nothing is said to a radio here: a radio serves one client and drops the one before it, so that whether something *is* a
//! radio shows when the daemon connects. Serial ports are found in sysfs, and a listener of this host in /proc, without
//! opening them; only a scan of the local networks connects, which is why it happens on request alone.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Where radios listen for clients.
pub(crate) const PORT: u16 = 4403;

/// USB vendors of boards that carry Meshtastic, and of the serial adapters on them.
const VENDORS: [(u16, &str); 7] = [
    (0x10c4, "Silicon Labs CP210x"),
    (0x1a86, "WCH CH34x/CH91xx"),
    (0x1915, "Nordic"),
    (0x239a, "Adafruit nRF52 (RAK, T-Echo)"),
    (0x2886, "Seeed"),
    (0x2e8a, "Raspberry Pi RP2040"),
    (0x303a, "Espressif"),
];

/// How many networks are scanned, of at most 254 hosts each.
const MAX_NETWORKS: usize = 4;
/// How many connections are under way at once.
const PARALLEL: usize = 64;
/// How long a host of the local network may take to answer.
const PATIENCE: Duration = Duration::from_millis(400);

/// Something that may be a radio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// For the configuration: `serial:///dev/…`, `tcp://…`.
    pub connect: String,
    /// What is known of it.
    pub what: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.connect, self.what)
    }
}

/// Finds what this host has, without opening anything.
pub(crate) fn local() -> Vec<Found> {
    let mut found = serial(Path::new("/"));
    if listens(Path::new("/proc/net"), PORT) {
        found.push(Found {
            connect: "tcp://127.0.0.1".to_owned(),
            what: format!("something listens on port {PORT} of this host"),
        });
    }
    found
}

/// The serial ports of known boards below a root directory, by their stable names where they have one.
fn serial(root: &Path) -> Vec<Found> {
    let stable = stable_names(root);
    let Ok(ports) = fs::read_dir(root.join("sys/class/tty")) else { return Vec::new() };
    let mut found: Vec<Found> = ports
        .filter_map(Result::ok)
        .filter_map(|port| {
            let name = port.file_name().into_string().ok()?;
            let board = board(&port.path().join("device"))?;
            let plain = PathBuf::from("/dev").join(&name);
            let path = stable.get(&name).unwrap_or(&plain);
            Some(Found { connect: format!("serial://{}", path.display()), what: format!("{board}, {name}") })
        })
        .collect();
    found.sort_by(|a, b| a.connect.cmp(&b.connect));
    found
}

/// The names under /dev/serial/by-id, which stay when ports are renumbered, by the port's own.
fn stable_names(root: &Path) -> BTreeMap<String, PathBuf> {
    let by_id = Path::new("/dev/serial/by-id");
    let Ok(links) = fs::read_dir(root.join(by_id.strip_prefix("/").unwrap_or(by_id))) else {
        return BTreeMap::new();
    };
    let name = |link: fs::DirEntry| {
        let port = fs::read_link(link.path()).ok()?.file_name()?.to_str()?.to_owned();
        Some((port, by_id.join(link.file_name())))
    };
    links.filter_map(Result::ok).filter_map(name).collect()
}

/// Whose USB device a tty's device is, if it is of a vendor that we know.
fn board(device: &Path) -> Option<String> {
    /// From a tty to its USB device: the port, the interface, the device.
    const DEEPEST: usize = 4;
    let device = device.canonicalize().ok()?;
    let usb = device.ancestors().take(DEEPEST).find(|directory| directory.join("idVendor").exists())?;
    let read = |name| fs::read_to_string(usb.join(name)).ok();
    let vendor = u16::from_str_radix(read("idVendor")?.trim(), 16).ok()?;
    let (_, maker) = VENDORS.iter().find(|(known, _)| *known == vendor)?;
    let product = read("product").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    Some(product.unwrap_or_else(|| (*maker).to_owned()))
}

/// Whether something listens on this port at an address of loopback, or at all addresses.
fn listens(proc: &Path, port: u16) -> bool {
    /// TCP's state of a listener, as /proc/net/tcp has it.
    const LISTEN: &str = "0A";
    let local = ["0100007F", "00000000"];
    let text = fs::read_to_string(proc.join("tcp")).unwrap_or_default();
    text.lines().skip(1).any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (at, state) = (words.next(), words.nth(1));
        at.and_then(|at| at.split_once(':'))
            .is_some_and(|(host, at)| local.contains(&host) && u16::from_str_radix(at, 16) == Ok(port))
            && state == Some(LISTEN)
    })
}

/// Connects to every host of the local networks, each a /24 at most, and lists those that listen on the port of radios.
pub(crate) async fn scan() -> Vec<Found> {
    let mut candidates = candidates(&own_addresses()).into_iter();
    let mut under_way = JoinSet::new();
    let mut found = Vec::new();
    loop {
        while under_way.len() < PARALLEL
            && let Some(host) = candidates.next()
        {
            under_way.spawn(async move {
                let address = SocketAddr::new(IpAddr::V4(host), PORT);
                let open = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await;
                open.is_ok_and(|connected| connected.is_ok()).then_some(host)
            });
        }
        match under_way.join_next().await {
            Some(Ok(Some(host))) => found.push(host),
            Some(_) => {}
            None => break,
        }
    }
    found.sort();
    let what = format!("listens on port {PORT}");
    found.into_iter().map(|host| Found { connect: format!("tcp://{host}"), what: what.clone() }).collect()
}

/// This host's IPv4 addresses with prefix lengths, but for loopback's and those of tunnels.
fn own_addresses() -> Vec<(Ipv4Addr, u32)> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let v4 = |interface: nix::ifaddrs::InterfaceAddress| {
        use nix::net::if_::InterfaceFlags as Flags;
        use nix::sys::socket::SockaddrIn;
        let reaches_hosts = interface.flags.contains(Flags::IFF_UP | Flags::IFF_BROADCAST);
        let address = interface.address?.as_sockaddr_in().map(SockaddrIn::ip)?;
        let mask = interface.netmask?.as_sockaddr_in().map(SockaddrIn::ip)?;
        (reaches_hosts && address.is_private()).then(|| (address, u32::from(mask).count_ones()))
    };
    interfaces.filter_map(v4).collect()
}

/// The hosts to look at: of each network, or of our /24 of it, all but ourselves.
fn candidates(own: &[(Ipv4Addr, u32)]) -> Vec<Ipv4Addr> {
    let mut hosts = Vec::new();
    for &(address, prefix) in own.iter().take(MAX_NETWORKS) {
        let mask = u32::MAX.checked_shl(32 - prefix.clamp(24, 32)).unwrap_or(0);
        let network = u32::from(address) & mask;
        let last = network | !mask;
        hosts.extend((network.saturating_add(1)..last).map(Ipv4Addr::from));
    }
    hosts.retain(|host| !own.iter().any(|(address, _)| address == host));
    hosts.sort();
    hosts.dedup();
    hosts
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A sysfs with one USB device that has a serial port.
    fn machine(vendor: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("sys/devices/usb1/1-1/1-1:1.0/ttyUSB0")).unwrap();
        fs::create_dir_all(at("sys/class/tty/ttyUSB0")).unwrap();
        fs::create_dir_all(at("sys/class/tty/tty0")).unwrap();
        fs::create_dir_all(at("dev/serial/by-id")).unwrap();
        fs::write(at("sys/devices/usb1/1-1/idVendor"), vendor).unwrap();
        fs::write(at("sys/devices/usb1/1-1/product"), "CP2102 USB to UART\n").unwrap();
        symlink(at("sys/devices/usb1/1-1/1-1:1.0/ttyUSB0"), at("sys/class/tty/ttyUSB0/device")).unwrap();
        symlink("../../ttyUSB0", at("dev/serial/by-id/usb-Silicon_Labs_0001")).unwrap();
        root
    }

    #[test]
    fn a_boards_port_is_found_by_its_stable_name() {
        let root = machine("10c4\n");
        let found = serial(root.path());
        assert_eq!(
            found,
            [Found {
                connect: "serial:///dev/serial/by-id/usb-Silicon_Labs_0001".to_owned(),
                what: "CP2102 USB to UART, ttyUSB0".to_owned(),
            }]
        );
        fs::remove_dir_all(root.path().join("dev")).unwrap();
        assert_eq!(serial(root.path())[0].connect, "serial:///dev/ttyUSB0");
    }

    #[test]
    fn other_ports_are_left_alone() {
        assert_eq!(serial(machine("046d\n").path()), []);
        assert_eq!(serial(Path::new("/nowhere")), []);
    }

    #[test]
    fn a_listener_of_this_host_is_seen_without_a_connection() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listens(Path::new("/proc/net"), port));
        drop(listener);
        assert!(!listens(Path::new("/proc/net"), port));
    }

    #[test]
    fn a_scan_stays_in_the_last_256_addresses_of_a_network_and_leaves_us_out() {
        let own = Ipv4Addr::new(192, 168, 7, 9);
        let hosts = candidates(&[(own, 16)]);
        assert_eq!(hosts.len(), 253);
        assert!(hosts.iter().all(|host| host.octets()[..3] == [192, 168, 7]) && !hosts.contains(&own));
        assert_eq!(candidates(&[(own, 30)]), [Ipv4Addr::new(192, 168, 7, 10)]);
        assert_eq!(candidates(&[(own, 32)]), Vec::<Ipv4Addr>::new());
        assert!(candidates(&[(own, 24); 100]).len() <= 254 * MAX_NETWORKS);
    }
}
