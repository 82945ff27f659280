//! Ways that a network starts: at boot, on the first call to its name, with its key from a credential.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::booted_story;
use meshnet_system::config::private_key;
use meshnet_system::machine::Bus;

use super::ground::{BUS_NAME, ROOT, Station, UNIT};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn an_enabled_network_runs_after_a_boot_and_a_disabled_one_does_not() -> Result<()> {
    booted_story(|dir| {
        let mut station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        station.machine.run(&["systemctl", "enable", "--now", UNIT])?;
        station.machine.reboot()?;
        ensure!(station.machine.run(&["systemctl", "is-active", UNIT])? == "active\n");
        let address = station.machine.shell("ip -oneline address show dev mesh0")?;
        ensure!(address.contains("10.7.0.1/24"), "{address}");
        ensure!(station.describe()?["interface"] == "mesh0");

        station.machine.run(&["systemctl", "disable", UNIT])?;
        station.machine.reboot()?;
        ensure!(station.property("ActiveState")? == "inactive");
        Ok(())
    })
}

#[test]
fn the_target_stops_and_restarts_every_network() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        station.machine.run(&["systemctl", "enable", "--now", UNIT])?;
        station.machine.run(&["systemctl", "start", "meshnet.target"])?;
        let before = station.pid()?;
        station.machine.run(&["systemctl", "restart", "meshnet.target"])?;
        station.machine.until(&format!("systemctl is-active {UNIT}"), LIMIT)?;
        ensure!(station.pid()? != before);
        station.machine.run(&["systemctl", "stop", "meshnet.target"])?;
        station.machine.until(&format!("! systemctl is-active {UNIT}"), LIMIT)?;
        Ok(())
    })
}

#[test]
fn the_first_call_to_an_enabled_networks_name_starts_it_on_dbus_daemon() -> Result<()> {
    activation(Bus::Daemon)
}

#[test]
fn the_first_call_to_an_enabled_networks_name_starts_it_on_dbus_broker() -> Result<()> {
    activation(Bus::Broker)
}

fn activation(bus: Bus) -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, bus)?;
        station.machine.run(&["meshctl", "enable", "mesh0"])?;
        ensure!(station.machine.run(&["systemctl", "is-enabled", UNIT])? == "enabled\n");
        station.machine.run(&["systemctl", "stop", UNIT])?;

        let call = ["busctl", "get-property", BUS_NAME, ROOT, "org.meshnet1.Network", "Interface"];
        let answer = station.machine.command(&call).user("alice").succeed()?;
        ensure!(answer == "s \"mesh0\"\n", "anybody's first call starts it: {answer}");
        ensure!(station.property("ActiveState")? == "active");

        station.machine.run(&["meshctl", "disable", "--now", "mesh0"])?;
        ensure!(station.property("ActiveState")? == "inactive", "disable --now waits until it has stopped");
        let refused = station.machine.exec("alice", &call)?;
        ensure!(!refused.status.success(), "nothing starts a disabled one");
        ensure!(station.property("ActiveState")? == "inactive");
        let left = station.machine.shell("ls /etc/dbus-1/system-services 2>/dev/null | wc -l")?;
        ensure!(left == "0\n", "no activation file is left");
        Ok(())
    })
}

#[test]
fn a_network_whose_file_is_wrong_does_not_start_and_the_journal_says_where() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        let text = station.config.text();
        let line = 1 + text.lines().count();
        station.write_config(&format!("{text}Adress = 10.7.0.9/24\n"))?;
        ensure!(station.machine.run(&["systemctl", "start", UNIT]).is_err());
        let journal = station.machine.journal(UNIT)?;
        ensure!(journal.contains(&format!("mesh0.conf:{line}")), "{journal}");

        // What up says is what an administrator reads first.
        let up = station.machine.exec("root", &["meshctl", "up", "mesh0"])?;
        let said = String::from_utf8_lossy(&up.stderr).into_owned();
        ensure!(up.status.code() == Some(4) && said.contains(&format!("mesh0.conf:{line}")), "{said}");

        station.configure()?;
        station.machine.run(&["meshctl", "up", "mesh0"])?;
        ensure!(station.property("ActiveState")? == "active");
        Ok(())
    })
}

#[test]
fn the_private_key_may_be_a_credential_in_clear_or_encrypted() -> Result<()> {
    const DROP_IN: &str = "/etc/systemd/system/meshnet@mesh0.service.d/key.conf";
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        let machine = &station.machine;
        let text = station.config.text();
        let (_, keyless) = text.split_once("PrivateKey = ").context("a key")?;
        let (_, keyless) = keyless.split_once('\n').context("a line")?;
        station.write_config(&format!("[Interface]\n{keyless}"))?;
        ensure!(machine.run(&["systemctl", "start", UNIT]).is_err(), "there is no key so far");

        let key = private_key()?;
        machine.write("/etc/credstore/meshnet.mesh0.key", 0o600, &*key.to_base64())?;
        runs_with_key(&station, &key.public().to_string()).context("from the credential store")?;
        machine.run(&["rm", "/etc/credstore/meshnet.mesh0.key"])?;

        let key = private_key()?;
        machine.write("/tmp/mesh0.key", 0o600, &*key.to_base64())?;
        machine.write(DROP_IN, 0o644, "[Service]\nLoadCredential=meshnet.mesh0.key:/tmp/mesh0.key\n")?;
        runs_with_key(&station, &key.public().to_string()).context("by a drop-in")?;

        let key = private_key()?;
        let encrypt = ["systemd-creds", "encrypt", "--name=meshnet.mesh0.key", "-", "/tmp/mesh0.cred"];
        machine.command(&encrypt).input(key.to_base64().as_bytes()).succeed()?;
        let drop_in = "[Service]\nLoadCredentialEncrypted=meshnet.mesh0.key:/tmp/mesh0.cred\n";
        machine.write(DROP_IN, 0o644, drop_in)?;
        runs_with_key(&station, &key.public().to_string()).context("encrypted")?;

        // Nobody else finds it: not in the environment, not in the arguments, not in the journal.
        let pid = station.pid()?;
        let seen = machine.shell(&format!("cat /proc/{pid}/environ /proc/{pid}/cmdline; journalctl"))?;
        ensure!(!seen.contains(key.to_base64().as_str()));
        Ok(())
    })
}

fn runs_with_key(station: &Station, public: &str) -> Result<()> {
    station.machine.run(&["systemctl", "daemon-reload"])?;
    station.machine.shell(&format!("systemctl reset-failed {UNIT}; systemctl restart {UNIT}"))?;
    let described = station.describe()?;
    ensure!(described["public_key"] == public, "{described}");
    Ok(())
}
