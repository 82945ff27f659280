//! `systemctl reload`: what changed in the file is applied, everybody else notices nothing; a file with an error changes
//! nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use meshnet_system::config::{Peer, PeerMode};
use meshnet_system::wait::wait_for;
use meshnet_system::{booted_story, flow};

use super::ground::{CONFIG, Pair, Station, UNIT};

#[test]
fn a_reload_adds_changes_and_removes_peers_and_the_others_keep_their_sessions() -> Result<()> {
    booted_story(|dir| {
        let mut pair = Pair::start(dir)?;
        let east = pair.east.config.private_key.public().to_string();
        let handshake = handshake(&pair.west)?;

        let third =
            Peer { allowed_ips: "10.7.0.3/32".into(), endpoints: Peer::radio(0xa000_0003), ..third()? };
        pair.west.config.peers.push(third.clone());
        reload(&pair.west)?;
        let added = pair.west.described_peer(&third.public_key.to_string())?;
        ensure!(
            added.is_some_and(|peer| peer["allowed_ips"][0] == "10.7.0.3/32" && peer["origin"] == "config")
        );

        let moved = "10.7.0.3/32, 192.168.9.0/24";
        pair.west.config.peers[1].allowed_ips = moved.into();
        reload(&pair.west)?;
        let changed = pair.west.described_peer(&third.public_key.to_string())?;
        ensure!(changed.is_some_and(|peer| peer["allowed_ips"][1] == "192.168.9.0/24"));
        let routes = "ip route show dev mesh0";
        ensure!(pair.west.machine.shell(routes)?.contains("192.168.9.0/24"), "a new network is a route");

        pair.west.config.peers.pop();
        reload(&pair.west)?;
        ensure!(pair.west.described_peer(&third.public_key.to_string())?.is_none());
        ensure!(!pair.west.machine.shell(routes)?.contains("192.168.9.0/24"), "and goes with its peer");

        // The session that was there is still the same, and works.
        ensure!(self::handshake(&pair.west)?.abs_diff(handshake) <= 1, "no reload made a handshake");
        let peer = pair.west.described_peer(&east)?;
        ensure!(peer.is_some_and(|peer| peer["state"] == "established"));
        let [from, to] = pair.networks()?;
        let at = format!("{}:4000", pair.east.address()).parse()?;
        flow::transfer(&from, &to, at, &flow::noise(2_000, 1), Duration::from_secs(90))?;
        ensure!(self::handshake(&pair.west)?.abs_diff(handshake) <= 1, "nor did what followed");
        Ok(())
    })
}

#[test]
fn a_file_with_an_error_changes_nothing_and_the_answer_names_file_and_line() -> Result<()> {
    booted_story(|dir| {
        let mut pair = Pair::start(dir)?;
        let before = peers(&pair.west)?;
        pair.west.config.peers.push(third()?);
        let good = pair.west.config.text();
        let line = 1 + good.lines().count();
        pair.west.write_config(&format!("{good}AllowedIP = 10.7.0.4/32\n"))?;

        let pid = pair.west.pid()?;
        let refused = pair.west.machine.exec("root", &["systemctl", "reload", UNIT])?;
        let place = format!("{CONFIG}:{line}");
        wait_for("the journal's word on it", Duration::from_secs(10), || {
            Ok(pair.west.machine.journal(UNIT)?.contains(&place).then_some(()))
        })?;
        let said = pair.west.call("root", "Reload", &[])?.refusal("InvalidConfig")?;
        ensure!(said.contains(&place), "{said}");
        ensure!(!refused.status.success() || pair.west.property("StatusText")?.contains("mesh0.conf"));
        ensure!(peers(&pair.west)? == before, "not even the good part was applied");
        ensure!(pair.west.property("ActiveState")? == "active" && pair.west.pid()? == pid);
        pair.reach(Duration::from_secs(20))?;

        pair.west.configure()?;
        reload(&pair.west)?;
        ensure!(peers(&pair.west)?.len() == 2, "the mended file is applied");
        ensure!(!pair.west.property("StatusText")?.contains("mesh0.conf"), "and the complaint is gone");
        Ok(())
    })
}

#[test]
fn a_reload_that_would_take_a_restart_is_refused_and_says_so() -> Result<()> {
    booted_story(|dir| {
        let mut pair = Pair::start(dir)?;
        let east = pair.east.config.private_key.clone();
        pair.west.config.private_key = east;
        pair.west.config.peers.clear();
        pair.west.configure()?;
        let said = pair.west.call("root", "Reload", &[])?.refusal("NotSupported")?;
        ensure!(said.contains("restart"), "{said}");
        pair.reach(Duration::from_secs(20))
    })
}

fn reload(station: &Station) -> Result<()> {
    station.configure()?;
    let pid = station.pid()?;
    station.machine.run(&["systemctl", "reload", UNIT])?;
    ensure!(station.pid()? == pid, "a reload is no restart");
    Ok(())
}

/// Somebody who is nowhere.
fn third() -> Result<Peer> {
    Ok(Peer {
        public_key: meshnet_system::config::private_key()?.public(),
        preshared_key: None,
        allowed_ips: "10.7.0.3/32".into(),
        endpoints: Peer::radio(0xa000_0003),
        mode: PeerMode::Pki,
    })
}

/// When the last handshake with the first peer was, in seconds since 1970; told from its age, to the second.
fn handshake(station: &Station) -> Result<u64> {
    let told = station.peer_property(&station.config.peers[0].public_key, "LastHandshake")?;
    Ok(told.trim().trim_start_matches("t ").parse()?)
}

fn peers(station: &Station) -> Result<Vec<String>> {
    let described = station.describe()?;
    let peers = described["peers"].as_array().cloned().unwrap_or_default();
    Ok(peers.iter().map(|peer| peer["public_key"].to_string()).collect())
}
