//! What can be ordered of a running network, and what a reload does: the real core on a real interface in a network
//! namespace, over the simulator's real port, ordered through the handle that the D-Bus objects use.

use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command as Program;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use meshnet_bus::Error;
use meshnet_bus::describe::Network;
use meshnet_proto::config::PeerMode;
use meshnet_proto::key::{PresharedKey, PublicKey};
use meshnet_proto::link::LinkAddr;
use meshnet_system::namespace::Namespace;
use meshnet_system::radiosim::{AirSpec, Port, Radiosim};
use meshnet_system::story;
use meshnetd::config::{Endpoint, Source};
use meshnetd::control::{self, Change, Command, Handle, PeerChange};
use meshnetd::instance::{self, Parts};
use meshnetd::netlink::{self, Settings, Ways};
use meshnetd::peers::Roster;
use meshnetd::{config, tap};

const PRIVATE: &str = "SEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISEg=";
const ALICE: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

/// The radios, as the air knows them.
const NODES: [u32; 2] = [0xa000_0001, 0xa000_0002];

/// A directory with a configuration, in a namespace with two simulated radios: one on TCP, one on a serial port.
struct Site {
    dir: PathBuf,
    ports: [Port; 2],
    radios: Radiosim,
}

impl Site {
    /// The configuration with further lines at its end.
    fn write(&self, radios: &[usize], more: &str) -> Result<()> {
        let mut text =
            format!("[Interface]\nPrivateKey = {PRIVATE}\nAddress = 10.77.0.1/24\nTapName = mesh7\n");
        for radio in radios {
            text += &format!("[Link]\nName = radio{radio}\nConnect = {}\n", self.ports[*radio].connect());
        }
        text += &format!(
            "[Peer]\nName = alice\nPublicKey = {ALICE}\nAllowedIPs = 10.77.0.2/32\nEndpoint = !d45b9db8\n{more}"
        );
        fs::write(self.config(), text)?;
        Ok(fs::set_permissions(self.config(), fs::Permissions::from_mode(0o600))?)
    }

    fn config(&self) -> PathBuf {
        self.dir.join("mesh7.conf")
    }

    fn peers(&self) -> PathBuf {
        self.dir.join("mesh7.peers")
    }

    /// Runs the network while the story is told.
    fn run<F: Future<Output = Result<()>>>(&self, story: impl FnOnce(Handle) -> F) -> Result<()> {
        let (config, private_key) =
            config::load(&self.config()).map_err(|wrong| anyhow::anyhow!("{wrong:?}"))?;
        let tap = tap::open(&config.tap_name)?;
        let (interface, interface_events) = netlink::start(&config.tap_name)?;
        let roster = Roster::load(self.peers(), &config.peers)?;
        let allowed = roster.members().iter().flat_map(|member| member.peer.core.allowed_ips.clone());
        let mac = meshnet_proto::mac_of(&private_key.public());
        let settings = Settings::new(mac, config.mtu, config.addresses.clone(), allowed, Ways::Radios);
        interface.configure(settings.clone())?;
        let (handle, control) = control::channel();
        let parts = Parts {
            config,
            source: Source { file: self.config(), instance: None, credentials: None },
            bus_name: None,
            roster,
            private_key,
            tap,
            sockets: std::collections::BTreeMap::new(),
            interface,
            settings,
            interface_events,
            state_path: self.dir.join("mesh7.state"),
            status_path: self.dir.join("mesh7.status.json"),
            handle: handle.clone(),
            control,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            tokio::select! {
                ended = instance::run(parts) => ended.context("the network ended"),
                told = tokio::time::timeout(LIMIT, story(handle)) => told.context("it took too long")?,
            }
        })
    }
}

/// A site in a namespace of its own.
fn site(story_of: impl FnOnce(&Site) -> Result<()> + Send) -> Result<()> {
    story(|dir| {
        let namespace = Namespace::new()?;
        let ports = [Port::tcp(&namespace), Port::Serial(dir.join("radio1"))];
        let radios = [0, 1].map(|at| (NODES[at], ports[at].clone()));
        let radios = Radiosim::start(&AirSpec::default(), &radios, dir)?;
        let site = Site { dir: dir.to_owned(), ports, radios };
        namespace.run(|| story_of(&site))
    })
}

fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

/// What a peer is to be.
fn bob() -> PeerChange {
    PeerChange {
        name: Some("bob".to_owned()),
        allowed_ips: Some(vec!["10.88.0.0/24".parse().expect("a prefix")]),
        endpoints: Some(vec![Endpoint::Address(LinkAddr::radio(0xb0b))]),
        mode: Some(PeerMode::Symmetric),
        preshared_key: Some(PresharedKey::from_bytes([7; 32])),
        persist: Some(true),
        ..PeerChange::default()
    }
}

fn names(network: &Network) -> Vec<&str> {
    network.peers.iter().map(|peer| peer.name.as_deref().unwrap_or("?")).collect()
}

fn routes() -> Result<String> {
    let output = Program::new("ip").args(["route", "show", "dev", "mesh7"]).output()?;
    Ok(String::from_utf8(output.stdout)?)
}

/// Waits until the network is as wanted.
async fn wait(handle: &Handle, wanted: impl Fn(&Network) -> bool) -> Result<()> {
    let start = Instant::now();
    let mut changes = handle.changes();
    loop {
        let network = handle.describe().await?;
        if wanted(&network) {
            return Ok(());
        }
        ensure!(start.elapsed() < LIMIT, "it did not come to that: {network:?}");
        // Counters bring no news, so this looks again by itself as well.
        let _ = tokio::time::timeout(Duration::from_millis(200), changes.recv()).await;
    }
}

#[test]
fn a_peer_added_over_the_bus_is_there_in_the_next_life() -> Result<()> {
    site(|site| {
        site.write(&[0], "")?;
        site.run(|handle| async move {
            let mut changes = handle.changes();
            handle.order(|reply| Command::AddPeer(key(5), bob(), reply)).await?;
            let network = handle.describe().await?;
            assert_eq!(names(&network), ["alice", "bob"]);
            assert_eq!(network.peers[1].origin, "bus");
            assert!(routes()?.contains("10.88.0.0/24"));
            while changes.recv().await? != Change::Network {}
            Ok(())
        })?;
        assert_eq!(fs::metadata(site.peers())?.permissions().mode() & 0o777, 0o600);
        site.run(|handle| async move {
            assert_eq!(names(&*handle.describe().await?), ["alice", "bob"]);
            assert!(routes()?.contains("10.88.0.0/24"));
            handle.order(|reply| Command::RemovePeer(key(5), reply)).await?;
            assert_eq!(names(&*handle.describe().await?), ["alice"]);
            assert!(!routes()?.contains("10.88.0.0/24"));
            Ok(())
        })?;
        site.run(|handle| async move {
            assert_eq!(names(&*handle.describe().await?), ["alice"]);
            Ok(())
        })
    })
}

#[test]
fn a_peer_added_until_the_end_is_in_no_file() -> Result<()> {
    site(|site| {
        site.write(&[0], "")?;
        site.run(|handle| async move {
            let passing = PeerChange { persist: Some(false), ..bob() };
            handle.order(|reply| Command::AddPeer(key(5), passing, reply)).await?;
            assert_eq!(handle.describe().await?.peers[1].origin, "bus-volatile");
            Ok(())
        })?;
        site.run(|handle| async move {
            assert_eq!(names(&*handle.describe().await?), ["alice"]);
            Ok(())
        })
    })
}

#[test]
fn what_came_from_the_configuration_file_is_not_changed_over_the_bus() -> Result<()> {
    site(|site| {
        site.write(&[0], "")?;
        let before = fs::read(site.config())?;
        site.run(|handle| async move {
            let alice: PublicKey = ALICE.parse()?;
            let removed = handle.order(|reply| Command::RemovePeer(alice, reply)).await;
            let Err(Error::FromConfigFile(text)) = removed else { anyhow::bail!("{removed:?}") };
            assert!(text.contains("mesh7.conf:10"), "{text}");
            let set = handle.order(|reply| Command::SetPeer(alice, bob(), reply)).await;
            assert!(matches!(set, Err(Error::FromConfigFile(_))), "{set:?}");
            let added = handle.order(|reply| Command::AddPeer(alice, bob(), reply)).await;
            assert!(matches!(added, Err(Error::PeerExists(_))), "{added:?}");
            let taken = PeerChange { allowed_ips: Some(vec!["10.77.0.2/32".parse()?]), ..bob() };
            let added = handle.order(|reply| Command::AddPeer(key(5), taken, reply)).await;
            assert!(matches!(added, Err(Error::PeerExists(_))), "{added:?}");
            assert_eq!(names(&*handle.describe().await?), ["alice"]);
            Ok(())
        })?;
        assert_eq!(fs::read(site.config())?, before);
        Ok(())
    })
}

#[test]
fn an_order_that_cannot_be_kept_on_disk_is_not_carried_out() -> Result<()> {
    site(|site| {
        site.write(&[0], "")?;
        // In the way of the text that is to replace the old one.
        fs::create_dir(site.dir.join("mesh7.peers.new"))?;
        site.run(|handle| async move {
            let added = handle.order(|reply| Command::AddPeer(key(5), bob(), reply)).await;
            assert!(matches!(added, Err(Error::Failed(_))), "{added:?}");
            assert_eq!(names(&*handle.describe().await?), ["alice"]);
            assert!(!routes()?.contains("10.88.0.0/24"));
            Ok(())
        })
    })
}

#[test]
fn a_reload_changes_what_the_file_changed_and_keeps_connections() -> Result<()> {
    site(|site| {
        site.write(&[0], "")?;
        site.run(|handle| async move {
            wait(&handle, |network| network.links[0].up).await?;
            let carol = format!(
                "AllowedIPs = 10.77.0.9/32\n[Peer]\nName = carol\nPublicKey = {}\nAllowedIPs = 10.99.0.0/16\nEndpoint = !0000000c\n",
                key(6)
            );
            site.write(&[0, 1], &carol)?;
            handle.order(Command::Reload).await?;
            let network = handle.describe().await?;
            assert_eq!(names(&network), ["alice", "carol"]);
            assert_eq!(network.peers[0].allowed_ips, ["10.77.0.2/32", "10.77.0.9/32"]);
            assert!(routes()?.contains("10.99.0.0/16"));
            wait(&handle, |network| network.links.len() == 2 && network.links[1].up).await?;
            let network = handle.describe().await?;
            assert_eq!(network.links[0].connections, 1, "the first link was left alone");

            site.write(&[1], "")?;
            handle.order(Command::Reload).await?;
            let network = handle.describe().await?;
            assert_eq!(names(&network), ["alice"]);
            let links: Vec<_> = network.links.iter().map(|link| (link.name.as_str(), link.connections)).collect();
            assert_eq!(links, [("radio1", 1)]);
            assert!(!routes()?.contains("10.99.0.0/16"));
            Ok(())
        })
    })
}

#[test]
fn a_bad_file_changes_nothing_and_says_where() -> Result<()> {
    site(|site| {
        site.write(&[0], "")?;
        site.run(|handle| async move {
            site.write(&[0, 1], "Endpoint = nonsense\n")?;
            let reloaded = handle.order(Command::Reload).await;
            let Err(Error::InvalidConfig(text)) = reloaded else { anyhow::bail!("{reloaded:?}") };
            assert!(text.contains("mesh7.conf:16: Endpoint"), "{text}");
            let network = handle.describe().await?;
            assert_eq!((names(&network), network.links.len()), (vec!["alice"], 1));

            let text = fs::read_to_string(site.config())?.replace("Endpoint = nonsense\n", "");
            fs::write(site.config(), text.replace("mesh7", "mesh8"))?;
            let reloaded = handle.order(Command::Reload).await;
            assert!(matches!(reloaded, Err(Error::NotSupported(_))), "{reloaded:?}");
            assert_eq!(handle.describe().await?.links.len(), 1);
            Ok(())
        })
    })
}

#[test]
fn peers_that_swap_their_addresses_are_swapped() -> Result<()> {
    site(|site| {
        let text = |alice: &str, carol: &str| {
            format!(
                "[Peer]\nName = carol\nPublicKey = {}\nAllowedIPs = 10.77.0.{carol}/32\nEndpoint = !0000000{alice}\n",
                key(6)
            )
        };
        site.write(&[0], &text("c", "3"))?;
        site.run(|handle| async move {
            let written = fs::read_to_string(site.config())?;
            let swapped = written
                .replace("77.0.2/", "77.0.x/")
                .replace("77.0.3/", "77.0.2/")
                .replace("77.0.x/", "77.0.3/");
            fs::write(site.config(), swapped)?;
            handle.order(Command::Reload).await?;
            let network = handle.describe().await?;
            assert_eq!(network.peers[0].allowed_ips, ["10.77.0.3/32"]);
            assert_eq!(network.peers[1].allowed_ips, ["10.77.0.2/32"]);
            Ok(())
        })
    })
}

#[test]
fn an_echo_that_nobody_answers_ends_with_the_patience_of_who_asked() -> Result<()> {
    site(|site| {
        site.write(&[0], "")?;
        site.run(|handle| async move {
            wait(&handle, |network| network.links[0].up).await?;
            let alice: PublicKey = ALICE.parse()?;
            let patience = Some(Duration::from_millis(100));
            let pong = handle.order(|reply| Command::Ping(alice, 16, patience, reply)).await;
            assert!(matches!(pong, Err(Error::Timeout(_))), "{pong:?}");
            let pong = handle.order(|reply| Command::Ping(key(5), 16, patience, reply)).await;
            assert!(matches!(pong, Err(Error::NoSuchPeer(_))), "{pong:?}");
            Ok(())
        })
    })
}

#[test]
fn a_network_without_a_working_link_says_so_while_it_lasts() -> Result<()> {
    site(|site| {
        site.write(&[0], "")?;
        site.run(|handle| async move {
            wait(&handle, |network| network.state == "running").await?;
            let mut changes = handle.changes();
            site.radios.order_radio("reboot", NODES[0])?;
            while changes.recv().await? != Change::LinkDown("radio0".to_owned()) {}
            wait(&handle, |network| network.state_reason.as_deref() == Some("no-link")).await?;
            while changes.recv().await? != Change::LinkUp("radio0".to_owned()) {}
            wait(&handle, |network| network.state == "running" && network.state_reason.is_none()).await
        })
    })
}

#[test]
fn a_change_of_one_peers_way_touches_its_routes_alone() -> Result<()> {
    story(|_| {
        let namespace = Namespace::new()?;
        namespace.run(|| {
            let _tap = tap::open("mesh7")?;
            let (interface, _events) = netlink::start("mesh7")?;
            let [near, far]: [ipnet::IpNet; 2] = ["10.77.0.2/32".parse()?, "10.78.0.0/16".parse()?];
            let addresses = vec!["10.77.0.1/24".parse()?];
            let ways = Ways::Mixed([(near, 600)].into());
            interface.configure(Settings::new([2; 6], 1420, addresses, [near, far], ways))?;
            let routes = || -> Result<String> {
                let shown =
                    Program::new("ip").args(["route", "show", "dev", "mesh7", "proto", "static"]).output()?;
                Ok(String::from_utf8(shown.stdout)?)
            };
            let before = routes()?;
            ensure!(before.contains("10.77.0.2 ") && before.contains("mtu 600"), "{before}");
            let tune = |changes: [(ipnet::IpNet, Option<u16>); 2]| -> Result<()> {
                interface.tune(changes.into()).context("the helper is busy")?.blocking_recv()?
            };
            tune([(near, None), (far, Some(700))])?;
            let tuned = routes()?;
            ensure!(!tuned.contains("10.77.0.2") && !tuned.contains("mtu 600"), "{tuned}");
            ensure!(tuned.contains("10.78.0.0/16") && tuned.contains("mtu 700"), "{tuned}");
            // What is gone already is no reason to fail.
            tune([(near, None), (far, None)])?;
            let after = routes()?;
            ensure!(after.lines().count() == 1 && !after.contains("mtu"), "{after}");
            Ok(())
        })
    })
}
