//! The whole way from nothing to a running network, as its user types it: two hosts, each with a radio, that meet by one
//! exchange of lines. Its transcript is what README.md shows (`target/system/first-network.txt`).

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::machine::{Bus, Machine, link};
use meshnet_system::package::package;
use meshnet_system::wait::wait_for;
use meshnet_system::{base, booted_story, workspace};
use serde_json::Value;

/// How soon whatever the radios have to do is done.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn from_nothing_to_a_network_by_what_the_readme_says() -> Result<()> {
    booted_story(|dir| {
        let mut typed = Transcript::default();
        let told = tell(dir, &mut typed);
        // Of a story that fails, what was typed up to there is what one wants to see.
        let name = "first-network";
        std::fs::write(dir.join(format!("{name}.log")), &typed.0)?;
        told?;
        std::fs::write(base("")?.join(format!("{name}.txt")), &typed.0)?;
        let readme = std::fs::read_to_string(workspace().join("README.md"))?;
        let shown = what_is_typed(&readme);
        for line in what_is_typed(&typed.0) {
            ensure!(shown.contains(&line), "README.md does not show what was typed: {line}");
        }
        Ok(())
    })
}

/// The lines at the hosts' prompts. Keys differ each time, so what one exchange of lines holds is left out.
fn what_is_typed(text: &str) -> Vec<String> {
    let prompt = |line: &&str| line.starts_with("cabin# ") || line.starts_with("summit# ");
    let typed = text.lines().map(str::trim).filter(prompt);
    typed.map(|line| line.split("meshnet:1,").next().unwrap_or(line).to_owned()).collect()
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
            machine.push(&file, &format!("/tmp/{name}"))?;
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
    let invitation = line(&typed.types(&cabin, "meshctl invite --for 10.42.0.2")?)?;

    typed.installs(&summit, "apt install ./meshnet_*.deb")?;
    typed.types(&summit, &format!("meshctl join --radio tcp://192.0.2.1:4404 '{invitation}'"))?;
    typed.types(&summit, "systemctl enable --now meshnet@mesh0")?;
    link_up(&summit)?;
    let answer = line(&typed.types(&summit, "meshctl invite --to cabin")?)?;

    typed.types(&cabin, &format!("meshctl join '{answer}'"))?;
    cabin.until("ping -c 1 -W 5 10.42.0.2", LIMIT)?;
    let status = typed.types(&cabin, "meshctl")?;
    ensure!(status.contains("mesh0") && status.contains("running"), "{status}");
    let pings = typed.types(&cabin, "ping -c 3 10.42.0.2")?;
    ensure!(pings.contains(" 0% packet loss"), "{pings}");
    let shown = typed.types(&summit, "meshctl show")?;
    ensure!(shown.contains("cabin") && shown.contains("established"), "{shown}");
    let pinged = typed.types(&summit, "meshctl ping cabin")?;
    ensure!(
        pinged.contains("the air alone takes"),
        "the time beside the least that the air allows: {pinged}"
    );

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

/// Finds the line for the other side in what `meshctl` printed.
fn line(printed: &str) -> Result<String> {
    let line = printed.lines().find(|line| line.starts_with("meshnet:1,"));
    Ok(line.with_context(|| format!("no line for the other side: {printed}"))?.to_owned())
}

/// What was typed at which host, and what it printed.
#[derive(Debug, Default)]
struct Transcript(String);

impl Transcript {
    /// Types a line at a host's root prompt; returns what comes back, which must be success.
    fn types(&mut self, machine: &Machine, line: &str) -> Result<String> {
        let printed = self.prompt(machine, line)?;
        self.0.push_str(&printed);
        Ok(printed)
    }

    /// The same for a package manager, of whose words only the end is kept.
    fn installs(&mut self, machine: &Machine, line: &str) -> Result<()> {
        let printed = self.prompt(machine, line)?;
        self.0.push_str("…\n");
        for line in printed.lines().filter(|line| line.starts_with("Setting up ")) {
            self.0.push_str(line);
            self.0.push('\n');
        }
        Ok(())
    }

    fn prompt(&mut self, machine: &Machine, line: &str) -> Result<String> {
        self.0.push_str(&format!("{}# {line}\n", machine.name()));
        let shell = format!("cd /tmp; export DEBIAN_FRONTEND=noninteractive COLUMNS=100; exec 2>&1; {line}");
        let shell = shell.replace("apt install", "apt-get install --yes");
        let printed = machine.command(&["sh", "-c", &shell]).limit(Duration::from_secs(180)).succeed();
        printed.inspect_err(|error| self.0.push_str(&format!("{error:#}")))
    }
}
