//! Links that keep to one interface: they go and come back with it.

use anyhow::{Result, ensure};
use meshnet_system::cable::{Cable, ip};
use meshnet_system::story;
use meshnet_system::wait::wait_for;

use super::ground::{CABLE, Host, LIMIT, OUTSIDE, by_cable, configure};

/// Plugs in a cable anew that was taken away.
fn rejoin(hosts: &[Host; 2]) -> Result<Cable> {
    Cable::join(CABLE, [(&hosts[0].namespace, OUTSIDE[0]), (&hosts[1].namespace, OUTSIDE[1])])
}

#[test]
fn a_link_that_is_bound_to_an_interface_comes_back_with_it() -> Result<()> {
    story(|dir| {
        let (mut hosts, _cable, _sim) = by_cable(dir)?;
        for (host, at) in hosts.iter_mut().zip(["192.0.2.2", "192.0.2.1"]) {
            host.daemon.stop()?;
            configure(host, at, &format!("BindToDevice = {CABLE}"));
            host.daemon.start(&host.namespace)?;
        }
        hosts[0].reach(&hosts[1])?;
        for _ in 0..2 {
            // It goes at both ends, and nothing of that name is there.
            ip(&hosts[0].namespace, &["link", "delete", CABLE])?;
            for host in &mut hosts {
                host.daemon.process()?.wait_for_line("the UDP socket failed, and is opened again", LIMIT)?;
                wait_for("the link to be down", LIMIT, || {
                    let links = host.links()?;
                    let error = links[0]["last_error"].as_str().unwrap_or_default().to_owned();
                    Ok((links[0]["up"] == false && error.contains("evice")).then_some(()))
                })?;
            }
            let _cable = rejoin(&hosts)?;
            for host in &mut hosts {
                host.daemon.process()?.wait_for_line("the UDP socket is open again", LIMIT)?;
                assert_eq!(host.links()?[0]["up"], true);
            }
            hosts[0].reach(&hosts[1])?;
            hosts[1].reach(&hosts[0])?;
        }
        Ok(())
    })
}

#[test]
fn a_link_that_is_bound_to_an_interface_follows_one_that_was_exchanged_for_it_in_a_moment() -> Result<()> {
    story(|dir| {
        let (mut hosts, _cable, _sim) = by_cable(dir)?;
        let west = &mut hosts[0];
        west.daemon.stop()?;
        configure(west, "192.0.2.2", &format!("BindToDevice = {CABLE}"));
        west.daemon.start(&west.namespace)?;
        hosts[0].reach(&hosts[1])?;
        ip(&hosts[0].namespace, &["link", "delete", CABLE])?;
        let _cable = rejoin(&hosts)?;
        hosts[0].reach(&hosts[1])?;
        ensure!(hosts[0].daemon.process()?.output()?.contains("the UDP socket is open again"));
        Ok(())
    })
}

#[test]
fn a_marked_link_that_loses_its_interface_says_that_it_takes_a_restart() -> Result<()> {
    story(|dir| {
        let (mut hosts, _cable, _sim) = by_cable(dir)?;
        let west = &mut hosts[0];
        west.daemon.stop()?;
        configure(west, "192.0.2.2", &format!("BindToDevice = {CABLE}\nFwMark = 7"));
        west.daemon.start(&west.namespace)?;
        ip(&west.namespace, &["link", "delete", CABLE])?;
        let said = west.daemon.process()?.wait_for_line("the network has to be restarted", LIMIT)?;
        ensure!(said.contains("a FwMark takes CAP_NET_ADMIN"), "{said}");
        let _cable = rejoin(&hosts)?;
        let west = &mut hosts[0];
        wait_for("the status to say why", LIMIT, || {
            let links = west.links()?;
            let error = links[0]["last_error"].as_str().unwrap_or_default().to_owned();
            Ok((links[0]["up"] == false && error.contains("only a start of the daemon has it")).then_some(()))
        })?;
        west.daemon.stop()?;
        west.daemon.start(&west.namespace)?;
        hosts[0].reach(&hosts[1])
    })
}
