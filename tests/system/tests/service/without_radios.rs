//! The package in a network over UDP alone, made as README.md says under "Without radios": no radio is anywhere, and the service
//! keeps its promises all the same.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use meshnet_system::booted_story;
use meshnet_system::flow::{noise, transfer};
use meshnet_system::machine::{Bus, Machine, link};
use meshnet_system::namespace::Namespace;
use meshnet_system::paced::Paced;
use meshnet_system::package::package;
use meshnet_system::ping::{self, Ping};
use meshnet_system::wait::wait_for;
use serde_json::Value;

use super::ground::{Interface, UNIT, pid, property};
use super::sandbox::is_confined;
use super::transcript::{Transcript, invitation};

/// How soon two that run reach each other.
const CONTACT: Duration = Duration::from_secs(30);
/// Bytes per second of the connection that is held: more than a radio could carry.
const PACE: u64 = 100_000;
/// How long a transfer may stall for a restart: the daemon's, the handshake, and what TCP waits by then.
const STALL: Duration = Duration::from_secs(10);

#[test]
fn a_network_over_udp_alone_is_made_as_the_readme_says_and_outlives_restarts_in_its_sandbox() -> Result<()> {
    booted_story(|dir| {
        let hosts = Hosts::boot(dir)?;
        let [cabin, summit] = hosts.networks()?;
        for (from, to) in [(&cabin, &hosts.inside[1]), (&summit, &hosts.inside[0])] {
            let ping = Ping { interval: Duration::from_millis(100), ..Ping::default() };
            let pinged = ping.run(from, to)?;
            ensure!(pinged.round_trips.len() == 5, "{}", pinged.output);
        }
        transfer(&cabin, &summit, hosts.port(4000)?, &noise(4_000_000, 1), Duration::from_secs(60))?;
        for host in [&hosts.cabin, &hosts.summit] {
            by_udp_alone(host)?;
            is_confined(host)?;
        }

        let before = Interface::of(&hosts.cabin)?;
        let held = Paced::start(&cabin, &summit, hosts.port(4001)?, PACE, CONTACT)?;
        for command in [&["systemctl", "restart", UNIT][..], &["systemctl", "kill", "--signal=SIGKILL", UNIT]]
        {
            let (daemon, begin, received) = (pid(&hosts.cabin)?, Instant::now(), held.received());
            hosts.cabin.run(command)?;
            wait_for("another daemon, ready", CONTACT, || {
                let runs = property(&hosts.cabin, "ActiveState")? == "active";
                Ok((runs && pid(&hosts.cabin).is_ok_and(|pid| pid != daemon)).then_some(()))
            })?;
            let at_start = held.received();
            wait_for("bytes through the new one", CONTACT, || {
                Ok((held.received() > at_start.max(received) + PACE).then_some(()))
            })?;
            let stall = held.longest_stall(begin);
            println!("{command:?}: the longest stall was {stall:?}");
            ensure!(stall < STALL, "{command:?}: a stall of {stall:?}");
            is_confined(&hosts.cabin)?;
        }
        ensure!(held.finish(CONTACT)? > PACE, "and all that was sent has arrived");
        let after = Interface::of(&hosts.cabin)?;
        ensure!(after == before, "{before:?} became {after:?}");
        ensure!(property(&hosts.cabin, "DropInPaths")?.is_empty(), "as the package has it");
        Ok(())
    })
}

/// Two machines on a cable, each other's peers.
struct Hosts {
    cabin: Machine,
    summit: Machine,
    /// Their addresses in the network: cabin's, summit's.
    inside: [String; 2],
}

impl Hosts {
    /// Boots both, types what README.md says, and waits until they reach each other.
    fn boot(dir: &Path) -> Result<Self> {
        let boot = |name, bus| -> Result<Machine> {
            let machine = Machine::boot(name, dir, bus)?;
            machine.install(&[package("meshnet")?])?;
            Ok(machine)
        };
        let (cabin, summit) = std::thread::scope(|scope| {
            let summit = scope.spawn(|| boot("summit", Bus::Broker));
            (boot("cabin", Bus::Daemon), summit.join().expect("it returns its errors"))
        });
        let (cabin, summit) = (cabin?, summit?);
        link([(&cabin, "192.0.2.1/24"), (&summit, "192.0.2.2/24")])?;

        let mut typed = Transcript::default();
        let told = Self::meet(&cabin, &summit, &mut typed);
        std::fs::write(dir.join("without-radios.log"), typed.text())?;
        told?;
        typed.is_typed_below("Without radios")?;

        let inside = [address(&cabin)?, address(&summit)?];
        ping::until_answered(&cabin.network()?, &inside[1], CONTACT)?;
        Ok(Self { cabin, summit, inside })
    }

    fn meet(cabin: &Machine, summit: &Machine, typed: &mut Transcript) -> Result<()> {
        typed.types(cabin, "meshctl init mesh0 --listen-port 51820")?;
        typed.types(cabin, "meshctl enable --now mesh0")?;
        let invited = invitation(&typed.types(cabin, "meshctl invite")?)?;
        let answer = invitation(&typed.types(summit, &format!("meshctl join '{invited}'"))?)?;
        typed.types(summit, "meshctl enable --now mesh0")?;
        typed.types(cabin, &format!("meshctl join '{answer}'"))?;
        Ok(())
    }

    fn networks(&self) -> Result<[Namespace; 2]> {
        Ok([self.cabin.network()?, self.summit.network()?])
    }

    /// A port of summit, inside the network.
    fn port(&self, port: u16) -> Result<std::net::SocketAddr> {
        Ok((self.inside[1].parse::<std::net::IpAddr>()?, port).into())
    }
}

/// Sees that a host has a udp link and no other, and reaches its peer by it.
fn by_udp_alone(host: &Machine) -> Result<()> {
    let shown = shown(host)?;
    let links: Vec<&str> =
        shown["links"].as_array().context("links")?.iter().filter_map(|link| link["name"].as_str()).collect();
    ensure!(links == ["udp0"], "{links:?}");
    ensure!(shown["peers"][0]["tier"] == "direct", "{shown}");
    Ok(())
}

fn address(host: &Machine) -> Result<String> {
    let shown = shown(host)?;
    let address = shown["addresses"][0].as_str().context("an address")?;
    Ok(address.split('/').next().unwrap_or(address).to_owned())
}

fn shown(host: &Machine) -> Result<Value> {
    Ok(serde_json::from_str(&host.run(&["meshctl", "--json=short", "show", "mesh0"])?)?)
}
