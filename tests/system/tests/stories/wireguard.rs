//! What every pair of WireGuard peers does: [`stock`] tells it of two stock peers, which shows that the stories are sound, and
//! `ours` of ours with each of them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use meshnet_system::flood::Flood;
use meshnet_system::pairing::{Ground, MTU, Pairing, Who};
use meshnet_system::ping::Ping;
use meshnet_system::wait::wait_for;
use meshnet_system::{cable, stock as wg, story};

mod files;
mod ours;
mod stock;

/// How soon two reach each other from nothing: a lost handshake is repeated after 5 s.
const CONTACT: Duration = Duration::from_secs(15);
/// How soon traffic flows again after an address changed: WireGuard asks for new keys after 15 s of silence.
const ROAMED: Duration = Duration::from_secs(30);
/// How soon two reach each other while one is flooded.
const FLOODED: Duration = Duration::from_secs(40);
/// WireGuard's keys are renewed when they are used and this old.
const REKEY_AFTER: Duration = Duration::from_secs(120);

/// West speaks first; pings and TCP go both ways.
fn converse(who: [Who; 2], with_secret: bool) -> Result<()> {
    converse_on(&Ground::V4, who, with_secret)
}

/// The same where no address is one of IPv4, outside or inside.
fn converse_by_ipv6(who: [Who; 2]) -> Result<()> {
    converse_on(&Ground::V6, who, false)
}

fn converse_on(ground: &Ground, who: [Who; 2], with_secret: bool) -> Result<()> {
    story(|dir| {
        let pairing = Pairing::start_on(ground, who, with_secret, dir)?;
        let Pairing { west, east, .. } = &pairing;
        west.reach(east, CONTACT)?;
        let ping = Ping { interval: Duration::from_millis(100), ..Ping::default() };
        west.ping(east, ping)?;
        east.ping(west, ping)?;
        // As large as the tunnel carries, and in two pieces.
        let longest = MTU - if ground.inside[0].contains(':') { 48 } else { 28 };
        for size in [longest, longest + 1, 3000] {
            west.ping(east, Ping { size, count: 2, ..ping })?;
        }
        west.send(east, 4_000_000, Duration::from_secs(60))?;
        east.send(west, 4_000_000, Duration::from_secs(60))?;
        let shown = pairing.shown()?;
        ensure!(
            shown.latest_handshake > 0 && shown.received > 4_000_000 && shown.sent > 4_000_000,
            "{shown:?}"
        );
        Ok(())
    })
}

/// Two with different secrets never understand each other, whatever else they agree in.
fn refuse_another_secret(who: [Who; 2]) -> Result<()> {
    story(|dir| {
        let mut pairing = Pairing::new(who, true, dir)?;
        pairing.west.forget_secret();
        pairing.east.start()?;
        pairing.west.start()?;
        let ping = Ping { count: 8, limit: Duration::from_secs(1), ..Ping::default() };
        let pinged = ping.run(&pairing.west.namespace, pairing.east.inside)?;
        ensure!(pinged.round_trips.is_empty(), "answered without the secret: {}", pinged.output);
        ensure!(pairing.shown()?.latest_handshake == 0, "a handshake was completed without the secret");
        Ok(())
    })
}

/// Pings go on while the keys are renewed, and none is lost to it.
fn renew(who: [Who; 2]) -> Result<()> {
    story(|dir| {
        let pairing = Pairing::start(who, false, dir)?;
        let Pairing { west, east, .. } = &pairing;
        west.reach(east, CONTACT)?;
        let before = pairing.shown()?.latest_handshake;
        let interval = Duration::from_millis(250);
        let count = (REKEY_AFTER + Duration::from_secs(12)).as_millis() / interval.as_millis();
        west.ping(east, Ping { count: u32::try_from(count)?, interval, ..Ping::default() })?;
        let after = pairing.shown()?.latest_handshake;
        let apart = after - before;
        ensure!((115..=135).contains(&apart), "keys are renewed after 120 s, and were after {apart} s");
        Ok(())
    })
}

/// Either one gets another address, and the other follows when it hears from there.
fn roam(who: [Who; 2]) -> Result<()> {
    story(|dir| {
        let mut pairing = Pairing::start(who, false, dir)?;
        let Pairing { west, east, .. } = &mut pairing;
        west.reach(east, CONTACT)?;

        west.move_to("192.0.2.11")?;
        west.reach(east, ROAMED)?;
        follows(east, west, west.at()?)?;

        east.move_to("192.0.2.12")?;
        east.reach(west, ROAMED)?;
        follows(west, east, east.at()?)?;

        // A port is part of an address: a NAT before east takes another one for it. (Of the stock peers one does not always
        // survive that its own is changed while it runs.)
        let port = east.at()?.port();
        let nat = format!(
            "table ip nat {{ chain out {{ type nat hook postrouting priority srcnat; udp sport {port} snat to :51999; }}; }}"
        );
        cable::run_for(&east.namespace, "nft", &[&nat])?;
        east.reach(west, ROAMED)?;
        follows(west, east, format!("{}:51999", east.outside).parse()?)?;
        Ok(())
    })
}

/// The one that stayed sends to where the other is, and only there.
fn follows(
    stayed: &meshnet_system::pairing::Host,
    moved: &meshnet_system::pairing::Host,
    at: SocketAddr,
) -> Result<()> {
    stayed.ping(moved, Ping { count: 3, interval: Duration::from_millis(100), ..Ping::default() })?;
    if stayed.is_stock() {
        let shown = wg::show_only(&stayed.namespace)?;
        ensure!(shown.endpoint == Some(at), "{at} moved there, and {shown:?}");
    }
    Ok(())
}

/// East is flooded until it answers with cookies; west, which has never met it, gets through by its own cookie.
fn meet_in_a_flood(who: [Who; 2]) -> Result<()> {
    story(|dir| {
        let mut pairing = Pairing::new(who, false, dir)?;
        pairing.east.start()?;
        // Somebody else's address: what is limited by address is not what is shown here.
        cable::ip(&pairing.west.namespace, &["address", "add", "192.0.2.66/24", "dev", pairing.cable.name])?;
        let east = &pairing.east;
        let from = "192.0.2.66:1024".parse()?;
        let flood = Flood::start(&pairing.west.namespace, from, east.at()?, &east.key())?;
        wait_for("a cookie", CONTACT, || Ok((flood.cookies() > 0).then_some(())))?;
        pairing.west.start()?;
        pairing.west.reach(&pairing.east, FLOODED)?;
        let cookies = flood.finish()?;
        ensure!(cookies > 10, "only {cookies} cookies: it was not under load for long");
        // And calm returns.
        pairing.east.ping(
            &pairing.west,
            Ping { count: 3, interval: Duration::from_millis(200), ..Ping::default() },
        )?;
        Ok(())
    })
}
