//! The package itself: an upgrade that nobody on the network notices, a purge that leaves the administrator's work and
//! nothing else, and a refusal where it cannot run.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use meshnet_system::flow::{self, Background};
use meshnet_system::machine::{Bus, Machine};
use meshnet_system::package::{earlier, package};
use meshnet_system::wait::wait_for;
use meshnet_system::{booted_story, workspace};

use super::ground::{CONFIG, Pair, Station, UNIT};

#[test]
fn an_upgrade_runs_the_new_program_and_keeps_interface_and_tcp_connections() -> Result<()> {
    // A minute of it: an installation takes a while before it restarts anything.
    const LEN: usize = 40_000;
    booted_story(|dir| {
        let pair = Pair::start(dir)?;
        let west = &pair.west;
        // What runs is the earlier build from here on.
        let before = earlier(&package("meshnet")?, dir)?;
        west.machine.push(&before, "/tmp/earlier.deb")?;
        west.machine.run(&["dpkg", "--install", "/tmp/earlier.deb"])?;
        pair.reach(Duration::from_secs(60))?;

        // Nothing that we set: what an administrator adds by hand stays too.
        west.machine.run(&["ip", "route", "add", "10.99.0.0/24", "dev", "mesh0"])?;
        let (interface, daemon) = (west.interface()?, west.pid()?);
        let [from, to] = pair.networks()?;
        let at = format!("{}:4000", pair.east.address()).parse()?;
        let transfer = Background::start(&from, &to, at, flow::noise(LEN, 1), Duration::from_secs(400))?;
        wait_for("the first bytes", Duration::from_secs(90), || {
            Ok((transfer.received() >= 2_000).then_some(()))
        })?;
        west.machine.install(&[package("meshnet")?])?;
        ensure!(transfer.received() < LEN, "the upgrade was in the middle");
        ensure!(west.pid()? != daemon, "the new program runs");
        transfer.finish()?;
        let after = west.interface()?;
        ensure!(after == interface, "{interface:?} became {after:?}");
        ensure!(west.machine.run(&["cat", CONFIG])? == west.config.text());
        Ok(())
    })
}

#[test]
fn the_packages_own_test_passes() -> Result<()> {
    booted_story(|dir| {
        let machine = Machine::boot("lone", dir, Bus::Daemon)?;
        machine.install(&[package("meshnet")?, package("meshnet-radiosim")?])?;
        machine.push(&workspace().join("packaging/debian/tests/bus"), "/tmp/bus")?;
        let said = machine.command(&["sh", "/tmp/bus"]).succeed()?;
        ensure!(said.contains("A restart keeps the interface"), "{said}");
        Ok(())
    })
}

#[test]
fn an_upgrade_starts_nothing_that_did_not_run() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        station.machine.run(&["systemctl", "enable", "--now", UNIT])?;
        station.machine.run(&["systemctl", "stop", UNIT])?;
        let package = package("meshnet")?;
        station.machine.push(&package, "/tmp/again.deb")?;
        station.machine.run(&["dpkg", "--install", "/tmp/again.deb"])?;
        ensure!(station.property("ActiveState")? == "inactive");
        Ok(())
    })
}

#[test]
fn a_purge_leaves_what_the_administrator_wrote_and_nothing_else() -> Result<()> {
    booted_story(|dir| {
        let machine = Machine::boot("lone", dir, Bus::Daemon)?;
        let before = files(&machine)?;
        machine.install(&[package("meshnet")?])?;
        machine.run(&[
            "meshctl",
            "init",
            "mesh0",
            "--address",
            "10.7.0.1/24",
            "--radio",
            "tcp://127.0.0.1",
        ])?;
        machine.run(&["meshctl", "enable", "mesh0"])?;
        machine.run(&["systemctl", "start", UNIT])?;
        machine.write("/etc/systemd/system/meshnet@.service.d/serial.conf", 0o644, "[Service]\n")?;
        let apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes"];

        machine.run(&[&apt[..], &["remove", "meshnet"]].concat())?;
        ensure!(machine.shell("ip link show mesh0").is_err(), "a removed package runs no more");
        ensure!(machine.shell(&format!("cat {CONFIG}"))?.contains("PrivateKey"), "and is still configured");

        machine.run(&[&apt[..], &["purge", "meshnet"]].concat())?;
        let after = files(&machine)?;
        let left: Vec<&String> = after.difference(&before).collect();
        let ours = [
            "/etc/meshnet",
            CONFIG,
            "/etc/systemd/system/meshnet@.service.d",
            "/etc/systemd/system/meshnet@.service.d/serial.conf",
        ];
        ensure!(left == ours, "left: {left:?}");
        let gone: Vec<&String> = before.difference(&after).collect();
        ensure!(gone.is_empty(), "gone: {gone:?}");
        ensure!(machine.run(&["systemctl", "--failed", "--no-legend", "--no-pager"])?.is_empty());

        // And it may come back, to what was there.
        machine.install(&[package("meshnet")?])?;
        machine.run(&["systemctl", "start", UNIT])?;
        Ok(())
    })
}

#[test]
fn an_older_systemd_is_refused_with_its_version_as_the_reason() -> Result<()> {
    booted_story(|dir| {
        let machine = Machine::boot("lone", dir, Bus::Daemon)?;
        machine.push(&package("meshnet")?, "/tmp/meshnet.deb")?;
        // Debian 12, as apt sees it: an older systemd, and nothing that minds it but our package.
        let status = machine.run(&["cat", "/var/lib/dpkg/status"])?;
        let relations =
            ["Depends", "Pre-Depends", "Recommends", "Suggests", "Breaks", "Conflicts", "Replaces"];
        let mut older = String::new();
        let mut package = "";
        for line in status.lines() {
            let (field, value) = line.split_once(": ").unwrap_or_default();
            match field {
                "Package" => package = value,
                "Version" if package == "systemd" => {
                    older.push_str("Version: 252.39-1~deb12u1\n");
                    continue;
                }
                _ if relations.contains(&field) => continue,
                _ => {}
            }
            older.push_str(line);
            older.push('\n');
        }
        machine.write("/tmp/status", 0o644, older)?;
        let apt = "apt-get -s -o Dir::State::status=/tmp/status install /tmp/meshnet.deb";
        let refused = machine.exec("root", &["sh", "-c", apt])?;
        let said = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
        ensure!(!refused.status.success(), "{said}");
        let reason = "meshnet : Depends: systemd (>= 254) but 252.39-1~deb12u1 is to be installed";
        ensure!(said.contains(reason), "{said}");
        Ok(())
    })
}

/// Every file that is not a log, or what apt, dpkg and debconf keep for themselves.
fn files(machine: &Machine) -> Result<BTreeSet<String>> {
    let find = "find /etc /usr /var /opt /srv /home /run/meshnet* /boot -xdev \
                -path /var/lib/dpkg -prune -o -path /var/lib/apt -prune -o -path /var/log -prune \
                -o -path /var/cache/apt -prune -o -path /var/cache/debconf -prune -o -path /var/tmp -prune \
                -o -print 2>/dev/null || true";
    Ok(machine.shell(find)?.lines().map(str::to_owned).collect())
}
