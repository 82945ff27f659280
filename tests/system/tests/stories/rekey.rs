//! New keys after so many messages, without a lost packet: `RekeyAfterMessages` lowers the number on our side, so that the
//! same code runs after 30 messages that runs after 65 536.

use std::time::Duration;

use anyhow::{Result, ensure};
use meshnet_system::daemon::Make::{self, Ours, Reference};
use meshnet_system::lab::{Lab, Security, Spec};
use meshnet_system::ping::Ping;
use meshnet_system::story;

#[test]
fn ours_renews_its_keys_with_ours_and_loses_nothing() -> Result<()> {
    renew(Ours, Security::Pki)
}

#[test]
fn ours_renews_its_keys_with_the_reference_and_loses_nothing() -> Result<()> {
    renew(Reference, Security::Pki)
}

#[test]
fn ours_renews_its_keys_with_the_reference_under_a_preshared_key() -> Result<()> {
    renew(Reference, Security::PkiWithPsk)
}

fn renew(east: Make, security: Security) -> Result<()> {
    story(|dir| {
        let mut lab = Lab::new(&Spec::new(Ours, east).security(security), dir)?;
        lab.west.daemon.config_mut().more.push("RekeyAfterMessages = 30".into());
        lab.west.start()?;
        lab.east.start()?;
        lab.west.reach(&lab.east, Duration::from_secs(30))?;
        let inits = |lab: &Lab| -> Result<usize> {
            let sent = lab.sim.transmissions()?;
            Ok(sent.iter().filter(|frame| frame.kind == "data" && frame.payload == 53).count())
        };
        let before = inits(&lab)?;
        // Over three renewals, not one may be lost to them.
        let ping = Ping { count: 110, interval: Duration::from_millis(400), ..Ping::default() };
        lab.ping(&lab.west, &lab.east, ping)?;
        let renewals = inits(&lab)? - before;
        ensure!((3..=6).contains(&renewals), "{renewals} renewals in 110 messages");
        lab.ping(&lab.east, &lab.west, Ping { count: 2, ..Ping::default() })?;
        Ok(())
    })
}
