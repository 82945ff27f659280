//! What the running service may do: as little as it can.

use anyhow::{Context as _, Result, ensure};
use meshnet_system::booted_story;
use meshnet_system::machine::{Bus, Machine};

use super::ground::{Station, UNIT, pid};

/// CAP_NET_ADMIN alone, as the kernel writes it.
const NET_ADMIN: &str = "0000000000001000";
const NONE: &str = "0000000000000000";

#[test]
fn one_thread_may_configure_the_interface_and_no_other_may_do_anything() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        station.start()?;
        is_confined(&station.machine)
    })
}

#[test]
fn an_idle_network_takes_less_than_10_megabytes() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        station.start()?;
        // With the bus in use, and whatever of the program's file that needed.
        station.describe()?;
        let status = station.machine.run(&["cat", &format!("/proc/{}/status", station.pid()?)])?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let resident: u64 = resident.trim().trim_end_matches(" kB").parse()?;
        ensure!(resident < 10_000, "{resident} kB");
        Ok(())
    })
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_and_little_exposed() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        station.start()?;
        station.machine.run(&["systemd-analyze", "security", "--no-pager", "--threshold=20", UNIT])?;
        for unit in [UNIT, "meshnet.target"] {
            let verified = station.machine.exec("root", &["systemd-analyze", "verify", "--man=no", unit])?;
            ensure!(verified.status.success() && verified.stderr.is_empty(), "{unit}: {verified:?}");
        }
        let warnings =
            station.machine.shell("journalctl --boot --quiet --priority=warning --unit=init.scope")?;
        ensure!(!warnings.contains("meshnet"), "{warnings}");
        Ok(())
    })
}

#[test]
fn the_keys_of_a_network_can_be_read_by_nobody_else() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        station.start()?;
        for path in ["/etc/meshnet", "/var/lib/meshnet/mesh0", "/etc/meshnet/mesh0.conf"] {
            let refused = station.machine.exec("alice", &["cat", path])?;
            ensure!(!refused.status.success(), "{path}");
            let refused = station.machine.exec("alice", &["ls", &format!("{path}/")])?;
            ensure!(!refused.status.success(), "{path}");
        }
        let secret = station.config.private_key.to_base64();
        let shown = station.machine.shell(
            "busctl --json=short call org.meshnet1.mesh0 /org/meshnet1 org.freedesktop.DBus.ObjectManager \
             GetManagedObjects; journalctl --boot; meshctl --json show mesh0; meshctl show mesh0",
        )?;
        ensure!(!shown.contains(secret.as_str()), "no secret is shown anywhere");
        Ok(())
    })
}

/// Sees that one thread of a machine's daemon has the right to configure the interface, and no other has any right at all.
///
/// # Errors
/// If it is not so, with what the kernel says of the thread.
pub fn is_confined(machine: &Machine) -> Result<()> {
    let pid = pid(machine)?;
    let tasks = machine.shell(&format!("tail -n +1 /proc/{pid}/task/*/status"))?;
    let mut privileged = 0;
    let mut threads = 0;
    for status in tasks.split("==> ").skip(1) {
        let field = |name: &str| -> Result<&str> {
            let line = status.lines().find(|line| line.split(':').next() == Some(name));
            line.and_then(|line| line.split_whitespace().nth(1)).context(name.to_owned())
        };
        threads += 1;
        if field("CapPrm")? != NONE {
            ensure!(field("CapPrm")? == NET_ADMIN, "{status}");
            privileged += 1;
        } else {
            ensure!(field("CapEff")? == NONE && field("CapAmb")? == NONE, "{status}");
        }
        ensure!(field("CapAmb")? == NONE && field("CapInh")? == NONE, "nothing is handed on: {status}");
        ensure!(field("NoNewPrivs")? == "1" && field("Seccomp")? == "2", "{status}");
        ensure!(field("Uid")? != "0", "{status}");
    }
    ensure!(privileged == 1 && threads > 1, "{privileged} of {threads} threads: {tasks}");
    Ok(())
}
