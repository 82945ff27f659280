//! A peer that is named by a host name, and moves: nothing but the name tells where it is, and the name is asked again.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use meshnet_system::namespace::Namespace;
use meshnet_system::pairing::Who::{Ours, Stock};
use meshnet_system::pairing::{Pairing, Who};
use meshnet_system::stock::StockMake::WireguardGo;
use meshnet_system::story;
use meshnet_system::wait::let_pass;
use nix::mount::{MsFlags, mount};

const NAME: &str = "east.example";
const ELSEWHERE: &str = "192.0.2.12";
/// How soon two reach each other from nothing.
const CONTACT: Duration = Duration::from_secs(15);
/// How soon a peer is found by its name where probes tell that it is gone: after 2.5 s. It has lost the session as well, which
/// WireGuard notices after 15 s of silence and mends by a handshake.
const FOUND: Duration = Duration::from_secs(30);
/// The same where only an unanswered handshake tells: 5 s later.
const FOUND_LATE: Duration = Duration::from_secs(35);

/// No name is asked for twice in five seconds, and in the first there is reason to ask twice: the network is one that it was not
/// in before. What is asked for after this is asked because the peer is gone.
const SETTLED: Duration = Duration::from_secs(6);

/// The hosts file of one namespace.
struct Hosts(PathBuf);

impl Hosts {
    fn new(namespace: &Namespace, dir: &Path) -> Result<Self> {
        let file = dir.join("hosts");
        std::fs::write(&file, "")?;
        namespace.run(|| {
            let over = Path::new("/etc/hosts");
            mount(Some(&file), over, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .context("mounting a hosts file")
        })?;
        Ok(Self(file))
    }

    fn say(&self, address: &str) -> Result<()> {
        let address: IpAddr = address.parse()?;
        // In place: a file that takes its place would not be the one that is mounted.
        Ok(std::fs::write(&self.0, format!("{address} {NAME}\n"))?)
    }
}

#[test]
fn a_peer_of_ours_that_moved_while_it_was_away_is_found_by_its_name() -> Result<()> {
    find_again([Ours, Ours], FOUND)
}

#[test]
fn a_stock_peer_that_moved_while_it_was_away_is_found_by_its_name() -> Result<()> {
    find_again([Ours, Stock(WireguardGo)], FOUND_LATE)
}

/// East starts anew at another address. It does not know where west is, so that it cannot speak first, and west hears nothing
/// from there unless it asks what the name stands for by then.
fn find_again(who: [Who; 2], limit: Duration) -> Result<()> {
    story(|dir| {
        let Pairing { mut west, mut east, cable: _cable } = Pairing::new(who, false, dir)?;
        let hosts = Hosts::new(&west.namespace, dir)?;
        hosts.say(&east.outside)?;
        east.start()?;
        west.knows_by_name(NAME);
        west.start()?;
        west.reach(&east, CONTACT)?;
        let_pass(SETTLED)?;

        east.end();
        east.move_to(ELSEWHERE)?;
        hosts.say(ELSEWHERE)?;
        east.start()?;
        west.reach(&east, limit)
    })
}
