//! Who may do what: reading is free, changing is for root and for whom polkit's rules name.

use anyhow::{Context as _, Result, ensure};
use meshnet_bus::names::peer_path;
use meshnet_proto::key::PublicKey;
use meshnet_system::booted_story;
use meshnet_system::config::private_key;
use meshnet_system::machine::Bus;

use super::ground::{Answer, BUS_NAME, Pair, ROOT, Station};

const SETTINGS: &str = "{'AllowedIPs': <['10.7.0.9/32']>, 'Endpoints': <['!a0000009']>}";

#[test]
fn an_unprivileged_user_reads_everything_and_changes_nothing() -> Result<()> {
    booted_story(|dir| {
        let pair = Pair::start(dir)?;
        let before = pair.west.describe()?["peers"].as_array().map(Vec::len);
        for (method, answer) in changes(&pair.west, "alice", &pair.east.config.private_key.public())? {
            answer.refusal("NotAuthorized").context(method)?;
        }
        ensure!(pair.west.describe()?["peers"].as_array().map(Vec::len) == before);

        pair.west.call("alice", "Describe", &[])?.success()?;
        let all = "org.freedesktop.DBus.ObjectManager.GetManagedObjects";
        let objects = pair.west.call_at("alice", ROOT, all, &[])?.success()?;
        for interface in ["org.meshnet1.Peer", "org.meshnet1.Link", "org.meshnet1.Link.Radio"] {
            ensure!(objects.contains(&format!("'{interface}'")), "{interface}: {objects}");
        }
        let all = ["'org.meshnet1.Network'"];
        pair.west.call_at("alice", ROOT, "org.freedesktop.DBus.Properties.GetAll", &all)?.success()?;
        let status = pair.west.machine.command(&["meshctl", "status"]).user("alice").succeed()?;
        ensure!(status.contains("mesh0"), "{status}");
        Ok(())
    })
}

#[test]
fn root_may_do_everything() -> Result<()> {
    booted_story(|dir| {
        let pair = Pair::start(dir)?;
        for (method, answer) in changes(&pair.west, "root", &pair.east.config.private_key.public())? {
            answer.success().context(method)?;
        }
        Ok(())
    })
}

#[test]
fn a_polkit_rule_gives_a_user_exactly_what_it_names() -> Result<()> {
    booted_story(|dir| {
        let pair = Pair::start(dir)?;
        let rule = "polkit.addRule(function(action, subject) {
                if (action.id == 'org.meshnet1.configure' && subject.user == 'alice') {
                    return polkit.Result.YES;
                }
            });";
        pair.west.machine.write("/etc/polkit-1/rules.d/50-alice.rules", 0o644, rule)?;
        pair.west.machine.run(&["systemctl", "restart", "polkit.service"])?;
        for (method, answer) in changes(&pair.west, "alice", &pair.east.config.private_key.public())? {
            if method.ends_with("Peer") {
                answer.success().context(method)?;
            } else {
                answer.refusal("NotAuthorized").context(method)?;
            }
        }
        Ok(())
    })
}

#[test]
fn where_polkit_does_not_answer_nobody_is_let_in() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        station.start()?;
        station.machine.run(&["systemctl", "mask", "--runtime", "--now", "polkit.service"])?;
        station.call("alice", "Reload", &[])?.refusal("NotAuthorized")?;
        station.call("alice", "Describe", &[])?.success()?;
        Ok(())
    })
}

#[test]
fn a_name_of_ours_can_be_taken_by_nobody_else() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        for name in ["org.meshnet1", "org.meshnet1.mesh1"] {
            let request = ["busctl", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus"];
            let request = [&request[..], &["org.freedesktop.DBus", "RequestName", "su", name, "0"]].concat();
            ensure!(!station.machine.exec("alice", &request)?.status.success(), "{name}");
        }
        station.start()?;
        let names = station.machine.run(&["busctl", "list", "--no-pager", "--no-legend"])?;
        let owner = names.lines().find(|line| line.starts_with(BUS_NAME)).context("the name is owned")?;
        ensure!(owner.contains("meshnet"), "{owner}");
        Ok(())
    })
}

/// Calls everything that changes something, as `user`; returns each method with what it answered.
fn changes(station: &Station, user: &str, peer: &PublicKey) -> Result<Vec<(&'static str, Answer)>> {
    let added = format!("'{}'", private_key()?.public());
    let mut answers = Vec::new();
    for (method, arguments) in [
        ("AddPeer", &[added.as_str(), SETTINGS][..]),
        ("SetPeer", &[added.as_str(), "{'Name': <'somebody'>}"]),
        ("RemovePeer", &[added.as_str()]),
        ("Rekey", &["''"]),
        ("Reload", &[]),
    ] {
        answers.push((method, station.call(user, method, arguments)?));
    }
    let path = peer_path(peer.as_bytes());
    answers.push(("Ping", station.call_at(user, path.as_str(), "org.meshnet1.Peer.Ping", &["16", "20000"])?));
    Ok(answers)
}
