//! The journal: structured fields, messages with an explanation, and a level that can be changed while it runs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::booted_story;
use meshnet_system::machine::Bus;
use meshnet_system::wait::wait_for;
use serde_json::Value;

use super::ground::{BUS_NAME, CONFIG, Pair, Station, UNIT};

/// The id of a radio that cannot be reached, which never changes: others' programs look for it.
const RADIO_LOST: &str = "9bed3d26e6024609bf9beb1653702986";
/// The id of a secret that others can read.
const SECRET_EXPOSED: &str = "457c794be71649adb4db67315e3d8b3c";

#[test]
fn what_concerns_a_peer_or_a_link_says_which_in_a_field() -> Result<()> {
    booted_story(|dir| {
        let pair = Pair::start(dir)?;
        let east = pair.east.config.private_key.public().to_string();
        let entries = entries(&pair.west)?;
        let with = |field: &str| entries.iter().filter_map(|entry| entry[field].as_str()).collect::<Vec<_>>();
        // A peer without a name is called by the beginning of its key.
        ensure!(with("PEER").iter().all(|peer| peer.starts_with(&east[..8])), "{:?}", with("PEER"));
        ensure!(!with("PEER").is_empty(), "the handshake names the peer");
        ensure!(with("LINK").contains(&"radio0"), "{:?}", with("LINK"));
        ensure!(with("SYSLOG_IDENTIFIER").iter().all(|name| *name == "meshnetd"));
        let by_field = format!("journalctl --quiet --output=cat PEER='{}' | wc -l", with("PEER")[0]);
        ensure!(pair.west.machine.shell(&by_field)? != "0\n", "journalctl finds them by it");
        Ok(())
    })
}

#[test]
fn a_lost_radio_is_a_message_with_an_id_that_the_catalog_explains() -> Result<()> {
    booted_story(|dir| {
        let Pair { west, sim, .. } = Pair::start(dir)?;
        drop(sim);
        let lost = wait_for("word of the lost radio", Duration::from_secs(30), || {
            let entries = entries(&west)?;
            let about = |entry: &&Value| entry["LINK"] == "radio0" && entry["MESSAGE_ID"] == RADIO_LOST;
            Ok(entries.iter().find(about).cloned())
        })?;
        ensure!(lost["PRIORITY"].as_str().is_some_and(|priority| priority <= "4"), "{lost}");
        let with_id = format!("MESSAGE_ID={RADIO_LOST}");
        let explained = west.machine.run(&["journalctl", "--no-pager", "-x", &with_id])?;
        ensure!(explained.contains("░░ Subject: Radio lost"), "{explained}");
        ensure!(explained.lines().filter(|line| line.starts_with("░░")).count() > 3, "{explained}");
        Ok(())
    })
}

#[test]
fn a_configuration_that_others_can_read_is_told_of_with_an_id() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        station.machine.run(&["chmod", "644", CONFIG])?;
        station.start()?;
        let told = entries(&station)?.into_iter().find(|entry| {
            entry["MESSAGE_ID"] == SECRET_EXPOSED
                && entry["MESSAGE"].as_str().is_some_and(|text| text.contains(CONFIG))
        });
        ensure!(told.is_some_and(|entry| entry["PRIORITY"] == "4"));
        Ok(())
    })
}

#[test]
fn every_message_id_of_the_catalog_has_a_text() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        let file = station.machine.run(&["cat", "/usr/lib/systemd/catalog/meshnet.catalog"])?;
        let ids: Vec<&str> = file.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        ensure!(ids.len() >= 10, "{ids:?}");
        // Package installation updates the database by a trigger of systemd's package.
        for id in ids {
            let text = station.machine.run(&["journalctl", "--dump-catalog", id])?;
            ensure!(text.contains("Subject: ") && text.lines().count() > 3, "{id}: {text}");
        }
        Ok(())
    })
}

#[test]
fn the_log_level_can_be_changed_while_it_runs_but_not_by_anybody() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        station.start()?;
        let level = |arguments: &[&str]| {
            station.machine.run(&[&["systemctl", "service-log-level", UNIT][..], arguments].concat())
        };
        ensure!(level(&[])? == "info\n");
        let set = ["busctl", "set-property", BUS_NAME, "/org/freedesktop/LogControl1"];
        let set = [&set[..], &["org.freedesktop.LogControl1", "LogLevel", "s", "debug"]].concat();
        ensure!(!station.machine.exec("alice", &set)?.status.success(), "alice may not");
        ensure!(level(&[])? == "info\n");

        level(&["debug"])?;
        ensure!(level(&[])? == "debug\n");
        wait_for("a message of that level", Duration::from_secs(30), || {
            Ok(entries(&station)?.iter().any(|entry| entry["PRIORITY"] == "7").then_some(()))
        })?;
        level(&["warning"])?;
        ensure!(level(&[])? == "warning\n");
        ensure!(
            station.machine.exec("root", &["systemctl", "service-log-level", UNIT, "loud"])?.status.code()
                != Some(0)
        );
        Ok(())
    })
}

/// Returns what the daemon itself said.
fn entries(station: &Station) -> Result<Vec<Value>> {
    let journal =
        ["journalctl", "--boot", "--quiet", "--output=json", "--all", "_COMM=meshnetd", "--unit", UNIT];
    let text = station.machine.run(&journal)?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}
