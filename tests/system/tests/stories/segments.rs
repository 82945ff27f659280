//! TCP's segments are as long as the way to the peer wants them: short by a slow radio, from the first SYN on, and as long as
//! the interface takes by Wi-Fi. Whoever moves is told so by its route.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use meshnet_system::cable::{Cable, run_for};
use meshnet_system::flow::accept;
use meshnet_system::lab::{Lab, Site};
use meshnet_system::ping::Ping;
use meshnet_system::radiosim::AirSpec;
use meshnet_system::story;
use meshnet_system::wait::wait_for;
use serde_json::Value;

/// The MTU of a lab's interface.
const WHOLE: u64 = 1280;
/// Of IPv4 and TCP, timestamps included: once they are agreed on, `ss` shows both lengths without them.
const HEADERS: u64 = 40 + 12;
/// What a radio at LONG_FAST is given at a time: more than every host must be able to take, and six seconds at most.
const BY_RADIO: std::ops::Range<u64> = 576..800;
/// How long anything may take on a slow radio.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn segments_are_short_by_a_slow_radio_and_long_by_wifi_and_change_as_the_peer_moves() -> Result<()> {
    story(|dir| {
        // The air is slow; the time until something has gone through it is not what is shown.
        let air = AirSpec { preset: "LONG_FAST".into(), speed: 4.0, ..AirSpec::default() };
        let lab = Lab::by_radio_yet(air, dir)?;
        let fitting = mtu(&lab.west, &lab.east)?.context("the radio's route bears no length")?;
        ensure!(BY_RADIO.contains(&fitting), "packets of {fitting} bytes by radio");
        bears(&lab, Some(fitting))?;
        fits(&lab, fitting)?;

        let ends = [(&lab.west.namespace, "192.0.2.1/24"), (&lab.east.namespace, "192.0.2.2/24")];
        let wifi = Cable::join("wifi0", ends)?;
        let ping = Ping { count: 1, limit: Duration::from_secs(1), ..Ping::default() };
        wait_for("the routes to be those of Wi-Fi", LIMIT, || {
            // They look for Wi-Fi while traffic flows.
            ping.run(&lab.west.namespace, lab.east.address)?;
            Ok((mtu(&lab.west, &lab.east)?.is_none() && mtu(&lab.east, &lab.west)?.is_none()).then_some(()))
        })?;
        fits(&lab, WHOLE)?;

        wifi.pull(&lab.west.namespace)?;
        bears(&lab, Some(fitting))?;
        fits(&lab, fitting)
    })
}

/// Waits until the routes of both to each other bear this length.
fn bears(lab: &Lab, length: Option<u64>) -> Result<()> {
    let Lab { west, east, .. } = lab;
    wait_for("the routes to bear another length", Duration::from_secs(5), || {
        Ok((mtu(west, east)? == length && mtu(east, west)? == length).then_some(()))
    })
}

/// Connects the two, and checks what each end makes of packets of so many bytes: what it tells the other that it takes, which is
/// what its SYN bore, and how long the segments are that it sends itself.
fn fits(lab: &Lab, length: u64) -> Result<()> {
    let Lab { west, east, .. } = lab;
    let at = east.at(4000);
    let listener = east.namespace.run(|| TcpListener::bind(at).context("listening"))?;
    let _connected = west.namespace.run(|| TcpStream::connect_timeout(&at, LIMIT).context("connecting"))?;
    let _accepted = accept(&listener, Instant::now() + LIMIT)?;
    for site in [west, east] {
        let sockets = run_for(
            &site.namespace,
            "ss",
            &["-tinOH", "state", "established", "( sport = :4000 or dport = :4000 )"],
        )?;
        let told = number(&sockets, "advmss:")?;
        let sent = number(&sockets, "mss:")?;
        ensure!(
            (told, sent) == (length - HEADERS, length - HEADERS),
            "{}: {told} and {sent} where packets have {length} bytes: {sockets}",
            site.address
        );
    }
    Ok(())
}

/// The length that the route from one to the other bears, if it bears one.
fn mtu(from: &Site, to: &Site) -> Result<Option<u64>> {
    let text = run_for(&from.namespace, "ip", &["-j", "route", "get", to.address])?;
    let routes: Value = serde_json::from_str(&text).context("what ip says of a route")?;
    Ok(routes[0]["metrics"][0]["mtu"].as_u64())
}

/// A number that `ss` gives of the only socket.
fn number(sockets: &str, name: &str) -> Result<u64> {
    let word = sockets.split_whitespace().find_map(|word| word.strip_prefix(name));
    word.and_then(|number| number.parse().ok()).with_context(|| format!("no {name} in {sockets}"))
}
