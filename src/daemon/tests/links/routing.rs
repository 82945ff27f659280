//! Marks and interfaces decide on a real kernel which way a link's packets take.

use std::time::Duration;

use anyhow::{Result, ensure};
use meshnet_system::cable::{Cable, ip, run_for};
use meshnet_system::ping::Ping;
use meshnet_system::story;

use super::ground::{CABLE, Host, by_cable, configure};

/// A second cable between the two, and its ends.
const OTHER: &str = "wifi1";
const OTHER_OUTSIDE: [&str; 2] = ["198.51.100.1/24", "198.51.100.2/24"];

#[test]
fn every_packet_of_a_marked_link_has_its_mark_and_goes_where_the_rules_for_it_say() -> Result<()> {
    story(|dir| {
        let (mut hosts, _cable, _sim) = by_cable(dir)?;
        for host in &mut hosts {
            host.daemon.stop()?;
        }
        // Only what has the mark finds east's address, which is none of the cable's network.
        let [west, east] = &mut hosts;
        ip(&east.namespace, &["address", "add", "203.0.113.2/32", "dev", "lo"])?;
        ip(&west.namespace, &["rule", "add", "fwmark", "0xca6c", "lookup", "100"])?;
        ip(&west.namespace, &["route", "add", "203.0.113.2", "via", "192.0.2.2", "table", "100"])?;
        let rules = "table inet marks {
            counter marked { }
            counter plain { }
            chain out {
                type filter hook output priority 0
                udp sport 51820 meta mark 0xca6c counter name marked
                udp sport 51820 meta mark != 0xca6c counter name plain
            }
        }";
        run_for(&west.namespace, "nft", &[rules])?;
        configure(west, "203.0.113.2", "FwMark = 0xca6c");
        east.daemon.config_mut().peers[0].endpoints.clear();
        for host in &mut hosts {
            host.daemon.start(&host.namespace)?;
        }
        let [west, east] = &hosts;
        west.reach(east)?;
        west.send(east, 100_000)?;
        let packets = |name: &str| -> Result<u64> {
            let shown = run_for(&west.namespace, "nft", &["list", "counter", "inet", "marks", name])?;
            let words: Vec<&str> = shown.split_whitespace().collect();
            let at = words.iter().position(|word| *word == "packets").unwrap_or_default();
            Ok(words[at + 1].parse()?)
        };
        ensure!(packets("marked")? > 10 && packets("plain")? == 0);
        Ok(())
    })
}

#[test]
fn a_link_that_is_bound_to_an_interface_sends_by_it_against_the_routes_and_hears_nothing_of_others()
-> Result<()> {
    story(|dir| {
        let (mut hosts, cable, _sim) = by_cable(dir)?;
        for host in &mut hosts {
            host.daemon.stop()?;
        }
        let [west, east] = &mut hosts;
        let other =
            Cable::join(OTHER, [(&west.namespace, OTHER_OUTSIDE[0]), (&east.namespace, OTHER_OUTSIDE[1])])?;
        ip(&east.namespace, &["address", "add", "203.0.113.2/32", "dev", "lo"])?;
        // The better route is not through the interface that the link is bound to.
        ip(&west.namespace, &["route", "add", "203.0.113.2", "via", "198.51.100.2", "metric", "1"])?;
        ip(&west.namespace, &["route", "add", "203.0.113.2", "via", "192.0.2.2", "metric", "9"])?;
        configure(west, "203.0.113.2", &format!("BindToDevice = {CABLE}"));
        east.daemon.config_mut().peers[0].endpoints.clear();
        for host in &mut hosts {
            host.daemon.start(&host.namespace)?;
        }
        let before = [cable.carried(&hosts[0].namespace)?, other.carried(&hosts[0].namespace)?];
        hosts[0].reach(&hosts[1])?;
        hosts[0].send(&hosts[1], 200_000)?;
        let after = [cable.carried(&hosts[0].namespace)?, other.carried(&hosts[0].namespace)?];
        ensure!(after[0] - before[0] > 200_000, "{before:?} {after:?}");
        ensure!(after[1] - before[1] < 20_000, "{before:?} {after:?}");

        // East knows west by the other cable alone from here on: nobody listens there.
        let [west, east] = &mut hosts;
        west.daemon.stop()?;
        west.daemon.config_mut().peers[0].endpoints.clear();
        west.daemon.start(&west.namespace)?;
        east.daemon.stop()?;
        east.daemon.config_mut().peers[0].endpoints = vec!["198.51.100.1:51820".into()];
        east.daemon.start(&east.namespace)?;
        let received = |host: &mut Host| -> Result<Option<u64>> { Ok(host.links()?[0]["bytes_in"].as_u64()) };
        let pinged = Ping { count: 3, limit: Duration::from_secs(2), ..Default::default() };
        ensure!(pinged.run(&east.namespace, west.inside)?.round_trips.is_empty());
        ensure!(other.carried(&west.namespace)? > after[1], "east did ask");
        assert_eq!(received(west)?, Some(0));
        Ok(())
    })
}
