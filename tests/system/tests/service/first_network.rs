//! The whole way from nothing to a running network, as its user types it: two hosts, each with a radio, that meet by one
//! exchange of lines. Its transcript is what README.md shows (`target/system/first-network.txt`), but for keys, numbers and
//! times.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::machine::{Bus, Machine, link};
use meshnet_system::package::package;
use meshnet_system::wait::wait_for;
use meshnet_system::{base, booted_story};
use serde_json::Value;

use super::transcript::{DIR, Transcript, invitation};

/// How soon whatever the radios have to do is done.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn from_nothing_to_a_network_by_what_the_readme_says() -> Result<()> {
    booted_story(|dir| {
        let mut typed = Transcript::default();
        let told = tell(dir, &mut typed);
        // Of a story that fails, what was typed up to there is what one wants to see.
        let name = "first-network";
        std::fs::write(dir.join(format!("{name}.log")), typed.text())?;
        told?;
        std::fs::write(base("")?.join(format!("{name}.txt")), typed.text())?;
        typed.is_shown_below("Your first network in five minutes")
    })
}

fn tell(dir: &Path, typed: &mut Transcript) -> Result<()> {
    // One with each of the two implementations of the bus: nobody can tell.
    let (cabin, mut summit) =
        (Machine::boot("cabin", dir, Bus::Daemon)?, Machine::boot("summit", dir, Bus::Broker)?);
    link([(&cabin, "192.0.2.1/24"), (&summit, "192.0.2.2/24")])?;
    for (machine, names) in [(&cabin, &["meshnet", "meshnet-radiosim"][..]), (&summit, &["meshnet"])] {
        for name in names {
            let file = package(name)?;
            let name = file.file_name().context("a package is a file")?.to_string_lossy();
            machine.push(&file, &format!("{DIR}/{name}"))?;
        }
    }

    // Radios, for want of two on the desk: cabin's is on its own host, summit's is reached over a cable.
    typed.installs(&cabin, "apt install ./meshnet_*.deb ./meshnet-radiosim_*.deb")?;
    typed.types(
        &cabin,
        "systemd-run --quiet --unit=radios meshnet-radiosim --preset=SHORT_TURBO --region=US \\\n\
         \x20   --radio='!a1000001=tcp:127.0.0.1:4403' --radio='!a1000002=tcp:192.0.2.1:4404'",
    )?;
    cabin.until("journalctl --quiet --unit=radios --output=cat | grep '^ready '", LIMIT)?;

    let init = typed.types(&cabin, "meshctl init mesh0 --address 10.42.0.1/24")?;
    ensure!(init.contains("tcp://127.0.0.1"), "it finds the radio by itself: {init}");
    typed.types(&cabin, "systemctl enable --now meshnet@mesh0")?;
    link_up(&cabin)?;
    let invited = invitation(&typed.types(&cabin, "meshctl invite --for 10.42.0.2")?)?;

    typed.installs(&summit, "apt install ./meshnet_*.deb")?;
    typed.types(&summit, &format!("meshctl join --radio tcp://192.0.2.1:4404 '{invited}'"))?;
    typed.types(&summit, "systemctl enable --now meshnet@mesh0")?;
    link_up(&summit)?;
    let answer = invitation(&typed.types(&summit, "meshctl invite --to cabin")?)?;

    typed.types(&cabin, &format!("meshctl join '{answer}'"))?;
    cabin.until("ping -c 1 -W 5 10.42.0.2", LIMIT)?;
    let status = typed.types(&cabin, "meshctl")?;
    ensure!(status.contains("mesh0") && status.contains("running"), "{status}");
    typed.types_until(&cabin, "ping -c 3 10.42.0.2", " 0% packet loss")?;
    let shown = typed.types(&summit, "meshctl show")?;
    ensure!(shown.contains("cabin") && shown.contains("established"), "{shown}");
    typed.types_until(&summit, "meshctl ping cabin", ", 0 % lost")?;

    // All of it is still there after a reboot; the cable is put back.
    summit.reboot()?;
    link([(&cabin, "192.0.2.1/24"), (&summit, "192.0.2.2/24")])?;
    cabin.until("ping -c 1 -W 5 10.42.0.2", LIMIT)?;
    Ok(())
}

/// Waits until the daemon knows its radio.
fn link_up(machine: &Machine) -> Result<()> {
    wait_for("a link that is up", LIMIT, || {
        let output = machine.exec("root", &["meshctl", "--json=short", "show", "mesh0"])?;
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Ok((shown["links"][0]["state"] == "up").then_some(()))
    })
}
