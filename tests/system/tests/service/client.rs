//! The client where it can only be tried whole: beside a real service and a journal.

use anyhow::{Context as _, Result, ensure};
use meshnet_system::booted_story;
use meshnet_system::machine::Bus;
use serde_json::Value;

use super::ground::{CONFIG, Station};

/// What doctor finds, by level, with the text of each.
fn doctor(station: &Station) -> Result<(bool, Vec<(String, String)>)> {
    let output = station.machine.exec("root", &["meshctl", "--json=short", "doctor", "mesh0"])?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("doctor said {}", String::from_utf8_lossy(&output.stdout)))?;
    let findings = report["findings"].as_array().context("no findings")?.iter();
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap_or("?").to_owned();
    let findings =
        findings.map(|finding| (text(finding, "level").to_lowercase(), text(finding, "what"))).collect();
    Ok((output.status.success(), findings))
}

#[test]
fn doctor_finds_nothing_broken_where_nothing_is_and_names_what_is() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        station.start()?;
        let (fine, findings) = doctor(&station)?;
        let failed: Vec<_> = findings.iter().filter(|(level, _)| level == "fail").collect();
        // Its radio is not there: that, and nothing else.
        ensure!(failed.iter().all(|(_, what)| what.contains("4403") || what.contains("radio")), "{failed:?}");
        ensure!(fine == failed.is_empty(), "the exit code says it too");

        station.machine.run(&["chmod", "644", CONFIG])?;
        let (_, findings) = doctor(&station)?;
        ensure!(
            findings.iter().any(|(level, what)| level != "ok" && what.contains(CONFIG)),
            "a file with a key that others can read: {findings:?}"
        );
        Ok(())
    })
}

#[test]
fn logs_are_those_of_the_network() -> Result<()> {
    booted_story(|dir| {
        let station = Station::new("lone", "10.7.0.1", 0xa000_0001, dir, Bus::Daemon)?;
        station.start()?;
        let logs = station.machine.run(&["meshctl", "logs", "mesh0", "--lines", "20"])?;
        ensure!(logs.contains("network is running"), "{logs}");
        Ok(())
    })
}
