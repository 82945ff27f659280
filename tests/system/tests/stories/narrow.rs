//! A way that carries 1300 bytes, which neither end can know of, under a tunnel whose packets may be longer.

use std::time::Duration;

use anyhow::{Result, ensure};
use meshnet_system::pairing::Who::Ours;
use meshnet_system::pairing::{Ground, MTU, Pairing};
use meshnet_system::ping::Ping;
use meshnet_system::story;
use meshnet_system::wait::wait_for;

/// What the way carries, in bytes of IP.
const WAY: u16 = 1300;
/// How soon two reach each other.
const CONTACT: Duration = Duration::from_secs(15);
/// How soon all of a transfer is there.
const TRANSFER: Duration = Duration::from_secs(20);
/// Of IPv4 and ICMP.
const HEADERS: u16 = 28;

#[test]
fn an_mtu_of_60_less_than_the_way_carries_everything_over_ipv4_where_no_router_says_a_word() -> Result<()> {
    fits(&Ground::V4, WAY - 60)
}

#[test]
fn an_mtu_of_80_less_than_the_way_carries_everything_over_ipv6_where_no_router_says_a_word() -> Result<()> {
    // Inside, IPv6 takes 1280.
    fits(&Ground { inside: Ground::V4.inside, ..Ground::V6 }, WAY - 80)
}

#[test]
fn what_is_too_long_for_the_way_goes_in_pieces_over_ipv4_where_no_router_says_a_word() -> Result<()> {
    in_pieces(&Ground::V4, true)
}

#[test]
fn what_is_too_long_for_the_way_goes_in_pieces_over_ipv6_once_a_router_has_spoken() -> Result<()> {
    in_pieces(&Ground { inside: Ground::V4.inside, ..Ground::V6 }, false)
}

fn in_pieces(ground: &Ground, silent: bool) -> Result<()> {
    story(|dir| {
        let pairing = Pairing::start_on(&ground.narrowed(WAY), [Ours, Ours], false, dir)?;
        if silent {
            pairing.cable.keep_silent()?;
        }
        let Pairing { west, east, .. } = &pairing;
        west.reach(east, CONTACT)?;
        let long = Ping { size: MTU - HEADERS, interval: Duration::from_millis(100), ..Ping::default() };
        // Over IPv6 each end learns of it by a packet that is lost.
        wait_for("an answer as long as the tunnel carries", CONTACT, || {
            let one = Ping { count: 1, limit: Duration::from_millis(300), ..long };
            Ok((!one.run(&west.namespace, east.inside)?.round_trips.is_empty()).then_some(()))
        })?;
        for (from, to) in [(west, east), (east, west)] {
            from.ping(to, long)?;
            // Rows of datagrams.
            from.send(to, 4_000_000, TRANSFER)?;
        }
        Ok(())
    })
}

/// Pings as long as `mtu`, and TCP, go both ways over a narrow way that nobody speaks of.
fn fits(ground: &Ground, mtu: u16) -> Result<()> {
    story(|dir| {
        let mut pairing = Pairing::on(&ground.narrowed(WAY), [Ours, Ours], false, dir)?;
        pairing.cable.keep_silent()?;
        for host in [&mut pairing.east, &mut pairing.west] {
            host.mtu = mtu;
            host.start()?;
        }
        let Pairing { west, east, .. } = &pairing;
        west.reach(east, CONTACT)?;
        for (from, to) in [(west, east), (east, west)] {
            let interval = Duration::from_millis(100);
            from.ping(to, Ping { size: mtu - HEADERS, interval, ..Ping::default() })?;
            from.send(to, 2_000_000, TRANSFER)?;
        }
        // And the way is as narrow as it was made to be.
        let headers = if east.outside.contains(':') { 48 } else { 28 };
        let longer =
            Ping { count: 1, size: WAY - headers + 1, limit: Duration::from_millis(500), ..Ping::default() };
        let outside = longer.run(&west.namespace, &east.outside)?;
        ensure!(outside.round_trips.is_empty(), "{}", outside.output);
        Ok(())
    })
}
