//! The official Meshtastic Python client, unmodified, takes a simulated radio for a real one.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use meshnet_system::namespace::Namespace;
use meshnet_system::process::Process;
use meshnet_system::python::{Python, fixture};
use meshnet_system::radiosim::{AirSpec, Port, Radiosim};
use meshnet_system::story;

const ALICE: u32 = 0xa000_0001;
const BOB: u32 = 0xa000_0002;

#[test]
fn the_official_client_reads_a_radio_and_sends_a_text_that_another_one_hears() -> Result<()> {
    story(|dir| {
        let python = Python::provision()?;
        let (alice, bob) = (Namespace::new()?, Namespace::new()?);
        let air = AirSpec::default();
        let _sim = Radiosim::start(&air, &[(ALICE, Port::tcp(&alice)), (BOB, Port::tcp(&bob))], dir)?;
        let client = |name: &str, arguments: &[&str]| -> Result<String> {
            let mut command = Command::new(python.program("meshtastic"));
            command.args(["--host", "127.0.0.1"]).args(arguments);
            let mut process = Process::start(name, command, Some(&alice), dir)?;
            let status = process.wait(Duration::from_secs(60))?;
            ensure!(status.success(), "meshtastic {arguments:?}: {status}");
            process.output()
        };

        let info = client("info", &["--info"])?;
        for part in ["Owner:", "!a0000001", "\"region\": \"US\"", "SHORT_TURBO", "publicKey"] {
            ensure!(info.contains(part), "--info has no {part}");
        }
        let nodes = client("nodes", &["--nodes"])?;
        ensure!(nodes.contains("!a0000001") && nodes.contains("!a0000002"), "--nodes lists both radios");

        let mut listener = Command::new(python.program("python"));
        listener.arg(fixture("listen.py")).arg("127.0.0.1");
        let mut listener = Process::start("listener", listener, Some(&bob), dir)?;
        listener.wait_for_line("listening", Duration::from_secs(60))?;
        client("send-all", &["--sendtext", "hello, everyone"])?;
        listener.wait_for_line("!a0000001 says hello, everyone", Duration::from_secs(30))?;
        let sent = client("send-one", &["--dest", "!a0000002", "--ack", "--sendtext", "hello, Bob"])?;
        ensure!(sent.contains("Received an ACK"), "the acknowledgement came back");
        listener.wait_for_line("!a0000001 says hello, Bob", Duration::from_secs(30))?;
        Ok(())
    })
}
