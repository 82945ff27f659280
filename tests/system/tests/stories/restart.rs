//! A daemon, or a radio, that ends and comes back: traffic goes on by itself.

use std::time::Duration;

use anyhow::Result;
use meshnet_system::daemon::Make::{self, Ours, Reference};
use meshnet_system::lab::{Lab, Security, Spec};
use meshnet_system::ping::Ping;
use meshnet_system::{story, wait};

/// How soon traffic has to flow again.
const RESUMED: Duration = Duration::from_secs(60);

macro_rules! restarts {
    ($($name:ident: $stays:expr, $restarts:expr, $security:expr;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            restart($stays, $restarts, $security)
        }
    )*};
}

restarts! {
    ours_goes_on_after_ours_restarts: Ours, Ours, Security::Pki;
    ours_goes_on_after_ours_restarts_in_symmetric_mode: Ours, Ours, Security::Symmetric;
    ours_goes_on_after_the_reference_restarts: Ours, Reference, Security::Pki;
    ours_goes_on_after_the_reference_restarts_in_symmetric_mode: Ours, Reference, Security::Symmetric;
    the_reference_goes_on_after_ours_restarts: Reference, Ours, Security::Pki;
}

/// East restarts twice: once west speaks first afterwards, once east does.
fn restart(stays: Make, restarts: Make, security: Security) -> Result<()> {
    story(|dir| {
        let mut lab = Lab::start(&Spec::new(stays, restarts).security(security), dir)?;
        lab.west.reach(&lab.east, Duration::from_secs(30))?;

        lab.east.daemon.stop()?;
        lab.east.start()?;
        // The reference that stays has no way to notice before it hears from the other side.
        if stays == Ours {
            lab.west.reach(&lab.east, RESUMED)?;
        } else {
            lab.east.reach(&lab.west, RESUMED)?;
        }
        settled(&lab)?;

        lab.east.daemon.kill()?;
        lab.east.start()?;
        lab.east.reach(&lab.west, RESUMED)?;
        settled(&lab)
    })
}

fn settled(lab: &Lab) -> Result<()> {
    lab.ping(&lab.west, &lab.east, Ping { count: 2, ..Ping::default() })?;
    lab.ping(&lab.east, &lab.west, Ping { count: 2, ..Ping::default() })?;
    Ok(())
}

#[test]
fn a_transfer_survives_the_death_of_the_receiving_daemon() -> Result<()> {
    disturbed_transfer(|lab| {
        lab.east.daemon.kill()?;
        lab.east.start()
    })
}

#[test]
fn a_transfer_survives_the_death_of_the_sending_daemon() -> Result<()> {
    disturbed_transfer(|lab| {
        lab.west.daemon.kill()?;
        lab.west.start()
    })
}

#[test]
fn a_transfer_survives_the_reboot_of_a_radio() -> Result<()> {
    disturbed_transfer(|lab| lab.sim.order_radio("reboot", lab.east.node))
}

#[test]
fn a_transfer_survives_a_radio_whose_network_swallows_everything() -> Result<()> {
    disturbed_transfer(|lab| lab.sim.order_radio("stall", lab.west.node))
}

/// Sends 12 kB, disturbs after a third of it, and expects every byte.
fn disturbed_transfer(disturb: impl FnOnce(&mut Lab) -> Result<()>) -> Result<()> {
    const LEN: usize = 12_000;
    story(|dir| {
        let mut lab = Lab::start(&Spec::new(Ours, Ours), dir)?;
        lab.west.reach(&lab.east, Duration::from_secs(30))?;
        let transfer = lab.west.transfer_to(&lab.east, LEN, Duration::from_secs(180))?;
        wait::wait_for("a third of the bytes", Duration::from_secs(60), || {
            Ok((transfer.received() >= LEN / 3).then_some(()))
        })?;
        disturb(&mut lab)?;
        transfer.finish()
    })
}
