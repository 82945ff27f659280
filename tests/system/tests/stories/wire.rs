//! What ours and the reference hand to their radios has one and the same layout: that of the vectors, byte for byte.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::daemon::Make::{self, Ours, Reference};
use meshnet_system::eavesdrop::{Eavesdropper, Handed};
use meshnet_system::lab::{Lab, Spec};
use meshnet_system::ping::Ping;
use meshnet_system::{story, workspace};
use serde_json::Value;

const INIT: u8 = 1;
const RESPONSE: u8 = 2;
const DATA: u8 = 3;

#[test]
fn ours_as_initiator_writes_what_the_vectors_say() -> Result<()> {
    compare(Ours, Reference)
}

#[test]
fn ours_as_responder_writes_what_the_vectors_say() -> Result<()> {
    compare(Reference, Ours)
}

fn compare(west: Make, east: Make) -> Result<()> {
    story(|dir| {
        let mut lab = Lab::new(&Spec::new(west, east), dir)?;
        let ears = [Eavesdropper::new(&lab.west.namespace)?, Eavesdropper::new(&lab.east.namespace)?];
        for site in [&mut lab.west, &mut lab.east] {
            site.daemon.config_mut().connect = Eavesdropper::connect();
            site.start()?;
        }
        lab.west.reach(&lab.east, Duration::from_secs(30))?;
        lab.ping(&lab.west, &lab.east, Ping { count: 5, ..Ping::default() })?;

        let [west, east] = ears.map(|ear| ear.handed());
        let vectors = std::fs::read_to_string(workspace().join("tests/vectors/meshnet-0.1.0.json"))?;
        let vectors: Value = serde_json::from_str(&vectors)?;
        let init = only(&west, INIT)?;
        let response = only(&east, RESPONSE)?;
        for (found, name) in [(init, "init"), (response, "response")] {
            let vector = vectors["pki"][0][name].as_str().context("a vector")?;
            ensure!(vector.len() == 2 * found.payload.len(), "{name} has {} bytes", found.payload.len());
            ensure!(vector[..2] == format!("{:02x}", found.payload[0]), "{name} is of another type");
        }
        ensure!(response.payload[5..9] == init.payload[1..5], "the response names the initiator's session");
        ensure!(response.payload[1..5] != init.payload[1..5], "and has one of its own");

        // A frame's cost on top of its own bytes, as the vectors have it.
        let frame = &vectors["pki"][0]["frames"][0];
        let overhead = (text(&frame["packet"])?.len() - text(&frame["frame"])?.len()) / 2;
        for (side, handed) in [("west", &west), ("east", &east)] {
            let data: Vec<&Handed> = handed.iter().filter(|handed| handed.payload[0] == DATA).collect();
            ensure!(
                data.iter().all(|data| data.port == 256 && !data.want_ack),
                "{side}: data on port 256, no ack"
            );
            let counters: BTreeSet<u64> = data.iter().map(|data| counter(&data.payload)).collect();
            let last = u64::try_from(data.len())? - 1;
            ensure!(counters == (0..=last).collect(), "{side}: counters go from 0 by one: {counters:?}");
            let echoes = data.iter().filter(|data| data.payload.len() == 14 + 84 + overhead).count();
            ensure!(echoes >= 5, "{side}: {echoes} frames as long as an echo");
        }
        Ok(())
    })
}

/// Returns the first datagram of a type, if all of its kind are for the same port.
fn only(handed: &[Handed], kind: u8) -> Result<&Handed> {
    let first = handed.iter().find(|handed| handed.payload[0] == kind).context("no such datagram")?;
    ensure!(first.port == 256, "on port {}", first.port);
    Ok(first)
}

fn counter(payload: &[u8]) -> u64 {
    payload[1..9].iter().rev().fold(0, |counter, byte| counter << 8 | u64::from(*byte))
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("a vector")
}
