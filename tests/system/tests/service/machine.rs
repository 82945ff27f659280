//! The ground that the other stories here stand on: machines boot, meet, and leave nothing behind.

use std::time::Duration;

use anyhow::{Result, ensure};
use meshnet_system::booted_story;
use meshnet_system::machine::{Bus, Machine, link};
use meshnet_system::ping::Ping;
use meshnet_system::wait::wait_for;

#[test]
fn two_machines_with_systemd_and_polkit_reach_each_other_over_a_cable() -> Result<()> {
    booted_story(|dir| {
        let west = Machine::boot("west", dir, Bus::Daemon)?;
        let east = Machine::boot("east", dir, Bus::Broker)?;
        link([(&west, "10.0.0.1/24"), (&east, "10.0.0.2/24")])?;
        let pinged = Ping { count: 2, ..Ping::default() }.run(&west.network()?, "10.0.0.2")?;
        ensure!(pinged.round_trips.len() == 2, "{}", pinged.output);

        for (machine, bus) in [(&west, "dbus-daemon"), (&east, "dbus-broker-launch")] {
            ensure!(machine.run(&["cat", "/proc/1/comm"])? == "systemd\n");
            let program = machine.shell("readlink /proc/$(systemctl show -P MainPID dbus.service)/exe")?;
            ensure!(program.trim().ends_with(bus), "{bus}: {program}");
            // Nobody has needed it so far: the bus starts it for this call.
            let authority = ["org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority"];
            let property = ["org.freedesktop.PolicyKit1.Authority", "BackendName"];
            let backend = machine.run(&[&["busctl", "get-property"], &authority[..], &property].concat())?;
            ensure!(backend.contains("js"), "polkit on {bus} takes rules: {backend}");
            let id = machine.exec("alice", &["id", "--user"])?;
            ensure!(id.stdout == b"1000\n", "alice is nobody special");
        }
        Ok(())
    })
}

#[test]
fn what_a_machine_wrote_survives_its_reboot_and_a_command_may_not_take_for_ever() -> Result<()> {
    booted_story(|dir| {
        let mut machine = Machine::boot("lone", dir, Bus::Daemon)?;
        machine.write("/etc/meshnet/written", 0o640, "before")?;
        machine.reboot()?;
        ensure!(machine.run(&["cat", "/etc/meshnet/written"])? == "before");
        ensure!(machine.run(&["stat", "--format=%a %U", "/etc/meshnet/written"])? == "640 root\n");
        ensure!(machine.shell("journalctl --list-boots --quiet | wc -l")? == "2\n");
        let ended = machine.command(&["sleep", "1000"]).limit(Duration::from_millis(100)).output()?;
        ensure!(ended.status.code() == Some(124), "{}", ended.status);
        Ok(())
    })
}

#[test]
fn a_machine_ends_with_its_guard_and_leaves_nothing_on_the_host() -> Result<()> {
    booted_story(|dir| {
        let machine = Machine::boot("brief", dir, Bus::Daemon)?;
        let mut left = machine.command(&["sleep", "1000"]).start()?;
        drop(machine);
        wait_for("the end of what ran in it", Duration::from_secs(10), || Ok(left.try_wait()?))?;
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let dir = dir.to_string_lossy();
        ensure!(!mounts.contains(&*dir), "{mounts}");
        for process in std::fs::read_dir("/proc")? {
            // Processes come and go while we look.
            let line = std::fs::read(process?.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            ensure!(!line.contains(&*dir), "{line}");
        }
        Ok(())
    })
}
