//! Peers that are added over the bus: they stay, whatever happens to the daemon, and the file's peers are not theirs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::booted_story;
use meshnet_system::config::private_key;
use meshnet_system::machine::Bus;
use meshnet_system::wait::wait_for;

use super::ground::{Answer, Pair, Station, UNIT};

#[test]
fn a_peer_added_over_the_bus_carries_traffic_and_stays_over_every_end_of_the_daemon() -> Result<()> {
    booted_story(|dir| {
        let mut pair = Pair::start(dir)?;
        // The same peer, but from the bus.
        let east = pair.east.config.private_key.public().to_string();
        pair.west.config.peers.clear();
        pair.west.configure()?;
        pair.west.machine.run(&["systemctl", "reload", UNIT])?;
        ensure!(pair.west.described_peer(&east)?.is_none());
        let settings = "{'AllowedIPs': <['10.7.0.2/32']>, 'Endpoints': <['!a0000002']>, 'Name': <'east'>}";
        pair.west.call("root", "AddPeer", &[&format!("'{east}'"), settings])?.success()?;
        pair.reach(Duration::from_secs(60))?;

        for end in [&["systemctl", "restart", UNIT][..], &["systemctl", "kill", "--signal=SIGKILL", UNIT]] {
            let before = pair.west.pid()?;
            pair.west.machine.run(end)?;
            another(&pair.west, before)?;
            let peer = pair.west.described_peer(&east)?.with_context(|| format!("gone after {end:?}"))?;
            ensure!(peer["origin"] == "bus" && peer["name"] == "east", "{peer}");
            ensure!(peer["allowed_ips"][0] == "10.7.0.2/32" && peer["endpoints"][0] == "!a0000002", "{peer}");
            pair.reach(Duration::from_secs(60))?;
        }

        let quoted = format!("'{east}'");
        pair.west.call("root", "RemovePeer", &[&quoted])?.success()?;
        pair.west.machine.run(&["systemctl", "restart", UNIT])?;
        ensure!(pair.west.described_peer(&east)?.is_none(), "removed is removed");
        Ok(())
    })
}

#[test]
fn no_acknowledged_peer_is_lost_whenever_the_daemon_is_killed() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        // Restarts at once, as often as it takes.
        station.machine.write(
            "/etc/systemd/system/meshnet@mesh0.service.d/restart.conf",
            0o644,
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=10ms\nRestartSteps=0\n",
        )?;
        station.machine.run(&["systemctl", "daemon-reload"])?;
        station.start()?;
        let mut acknowledged = Vec::new();
        let mut next: u8 = 10;
        for round in 0..6_u64 {
            let pid = station.pid()?;
            // The moment is another one in each round: before, between and after what writing a file takes.
            let after = Duration::from_millis(20 + 37 * round);
            let kill = format!("sleep {}; kill -KILL {pid}", after.as_secs_f64());
            let mut killer = station.machine.command(&["sh", "-c", &kill]).start()?;
            // The one that follows takes orders too, maybe before we notice.
            while killer.try_wait()?.is_none() {
                let key = private_key()?.public().to_string();
                let settings =
                    format!("{{'AllowedIPs': <['10.8.0.{next}/32']>, 'Endpoints': <['!b00000{next:02x}']>}}");
                next = next.checked_add(1).context("too many peers for one network")?;
                // Killed in the middle of a call, it may or may not have heeded it.
                if let Ok(Answer::Returned(_)) =
                    station.call("root", "AddPeer", &[&format!("'{key}'"), &settings])
                {
                    acknowledged.push(key);
                }
            }
            another(&station, pid)?;
            for key in &acknowledged {
                ensure!(station.described_peer(key)?.is_some(), "round {round}: {key} is lost");
            }
        }
        ensure!(acknowledged.len() > 3, "{} peers were added", acknowledged.len());
        Ok(())
    })
}

#[test]
fn a_volatile_peer_ends_with_the_daemon_and_the_files_peers_are_read_only() -> Result<()> {
    booted_story(|dir| {
        let pair = Pair::start(dir)?;
        let key = private_key()?.public().to_string();
        let settings = "{'AllowedIPs': <['10.7.0.9/32']>, 'Endpoints': <['!a0000009']>, 'Persist': <false>}";
        pair.west.call("root", "AddPeer", &[&format!("'{key}'"), settings])?.success()?;
        ensure!(pair.west.described_peer(&key)?.is_some_and(|peer| peer["origin"] == "bus-volatile"));
        pair.west.machine.run(&["systemctl", "reload", UNIT])?;
        ensure!(pair.west.described_peer(&key)?.is_some(), "a reload is about the file alone");

        let east = format!("'{}'", pair.east.config.private_key.public());
        pair.west.call("root", "AddPeer", &[&east, settings])?.refusal("PeerExists")?;
        pair.west.call("root", "SetPeer", &[&east, "{'Name': <'mine'>}"])?.refusal("FromConfigFile")?;
        pair.west.call("root", "RemovePeer", &[&east])?.refusal("FromConfigFile")?;
        let file = pair.west.machine.run(&["cat", super::ground::CONFIG])?;
        ensure!(file == pair.west.config.text(), "nobody writes into the administrator's file");

        pair.west.machine.run(&["systemctl", "restart", UNIT])?;
        ensure!(pair.west.described_peer(&key)?.is_none());
        Ok(())
    })
}

#[test]
fn what_makes_no_sense_is_refused_whole() -> Result<()> {
    booted_story(|dir| {
        let pair = Pair::start(dir)?;
        let before = pair.west.describe()?["peers"].clone().as_array().map(Vec::len);
        let key = format!("'{}'", private_key()?.public());
        let east = "{'AllowedIPs': <['10.7.0.2/32']>, 'Endpoints': <['!a0000009']>}";
        pair.west.call("root", "AddPeer", &[&key, east])?.refusal("PeerExists")?;
        for (key, settings) in [
            ("'nonsense'", "{'AllowedIPs': <['10.7.0.9/32']>, 'Endpoints': <['!a0000009']>}"),
            (&key, "{'AllowedIPs': <['10.7.0.9/33']>, 'Endpoints': <['!a0000009']>}"),
            (&key, "{'AllowedIPs': <['10.7.0.9/32']>, 'Endpoints': <['nowhere']>}"),
            (&key, "{'AllowedIPs': <['10.7.0.9/32']>}"),
            (&key, "{'AllowedIPs': <['10.7.0.9/32']>, 'Endpoints': <['!a0000009']>, 'Mode': <'SYMMETRIC'>}"),
        ] {
            pair.west.call("root", "AddPeer", &[key, settings])?.refusal("InvalidArgs").context(settings)?;
        }
        pair.west.call("root", "RemovePeer", &[&key])?.refusal("NoSuchPeer")?;
        ensure!(pair.west.describe()?["peers"].as_array().map(Vec::len) == before);
        Ok(())
    })
}

/// Waits for another daemon than `before` that answers.
fn another(station: &Station, before: u32) -> Result<()> {
    wait_for("another daemon", Duration::from_secs(60), || {
        let ready = station.property("ActiveState")? == "active";
        Ok((ready && station.pid().is_ok_and(|pid| pid != before)).then_some(()))
    })
}
