//! Two daemons, whoever made them and however secured, talk both ways: pings, and TCP with every byte checked.
//!
//! The reference with itself shows that the lab is sound: what fails there is no fault of ours.

use std::time::Duration;

use anyhow::{Result, ensure};
use meshnet_system::daemon::Make::{self, Ours, Reference};
use meshnet_system::lab::{Lab, Security, Spec};
use meshnet_system::ping::Ping;
use meshnet_system::story;

/// Names a test for each pair; the first is the one that speaks first.
macro_rules! pairs {
    ($($name:ident: $west:expr, $east:expr, $security:expr;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            converse($west, $east, $security)
        }
    )*};
}

pairs! {
    reference_talks_with_reference: Reference, Reference, Security::Pki;
    ours_talks_with_ours: Ours, Ours, Security::Pki;
    ours_talks_with_ours_with_a_preshared_key: Ours, Ours, Security::PkiWithPsk;
    ours_talks_with_ours_by_a_preshared_key_alone: Ours, Ours, Security::Symmetric;
    ours_talks_with_the_reference: Ours, Reference, Security::Pki;
    ours_talks_with_the_reference_with_a_preshared_key: Ours, Reference, Security::PkiWithPsk;
    ours_talks_with_the_reference_by_a_preshared_key_alone: Ours, Reference, Security::Symmetric;
    the_reference_talks_with_ours: Reference, Ours, Security::Pki;
    the_reference_talks_with_ours_with_a_preshared_key: Reference, Ours, Security::PkiWithPsk;
    the_reference_talks_with_ours_by_a_preshared_key_alone: Reference, Ours, Security::Symmetric;
}

#[test]
fn ours_talks_with_the_reference_by_files_that_say_no_more_than_they_must() -> Result<()> {
    speak(&Spec::new(Ours, Reference).plain())
}

#[test]
fn the_reference_talks_with_ours_by_files_that_say_no_more_than_they_must() -> Result<()> {
    speak(&Spec::new(Reference, Ours).plain())
}

fn converse(west: Make, east: Make, security: Security) -> Result<()> {
    speak(&Spec::new(west, east).security(security))
}

fn speak(spec: &Spec) -> Result<()> {
    story(|dir| {
        let lab = Lab::start(spec, dir)?;
        lab.west.reach(&lab.east, Duration::from_secs(30))?;
        lab.ping(&lab.west, &lab.east, Ping { count: 3, ..Ping::default() })?;
        lab.ping(&lab.east, &lab.west, Ping { count: 3, ..Ping::default() })?;
        lab.west.send(&lab.east, 1500, Duration::from_secs(120))?;
        lab.east.send(&lab.west, 1500, Duration::from_secs(120))?;

        // What it took, as the reference's format has it: these sizes are fixed, whoever sends.
        let sent = lab.sim.transmissions()?;
        let payloads = |len| sent.iter().filter(|frame| frame.kind == "data" && frame.payload == len).count();
        if spec.security == Security::Symmetric {
            ensure!(payloads(53) + payloads(57) == 0, "there is no handshake in symmetric mode");
        } else {
            ensure!(payloads(53) > 0 && payloads(57) > 0, "an init has 53 bytes and a response 57");
        }
        // An echo of 56 bytes is 84 of IP, 98 of Ethernet, 114 sealed, 123 with type and counter.
        ensure!(payloads(123) >= 8, "{} echo messages of 123 bytes", payloads(123));
        ensure!(
            sent.iter().all(|frame| frame.kind != "data" || frame.payload <= 219),
            "longer than a radio carries"
        );
        Ok(())
    })
}
