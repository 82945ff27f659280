//! A reload: a network of radios gets its first udp link and loses its last one, udp links are moved and added, and those who
//! have nothing to do with it notice nothing.

use std::net::UdpSocket;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use meshnet_system::cable::{Cable, ip, run_for};
use meshnet_system::config::PeerMode;
use meshnet_system::story;
use meshnet_system::wait::wait_for;

use super::ground::{CABLE, Host, INSIDE, LIMIT, OUTSIDE, by_cable, hosts};

/// What a reload says that did what the file says.
const DONE: &str = "the configuration is read again";
/// And one that did not.
const REFUSED: &str = "the configuration stays as it is";

const OF_RADIOS: (u64, bool, bool, bool) = (64, false, true, false);
const WITH_UDP: (u64, bool, bool, bool) = (1000, true, false, true);

#[test]
fn a_network_of_radios_gets_its_first_udp_link_and_loses_it_again_and_another_peer_notices_nothing()
-> Result<()> {
    story(|dir| {
        let ([mut west, mut east, mut north], _sim) = hosts(dir, PeerMode::Pki)?;
        let _cable = Cable::join(CABLE, [(&west.namespace, OUTSIDE[0]), (&east.namespace, OUTSIDE[1])])?;
        for host in [&mut west, &mut east, &mut north] {
            host.daemon.start(&host.namespace)?;
        }
        west.reach(&east)?;
        north.reach(&west)?;
        assert_eq!(west.habits()?, OF_RADIOS);
        let met = Instant::now();
        let kept = north.transfer(&west, 12_000)?;
        wait_for("bytes by radio", LIMIT, || Ok((kept.received() > 0).then_some(())))?;

        for host in [&mut west, &mut east] {
            host.reload(DONE, |config| {
                config.more.push("ListenPort = 51820".into());
                config.mtu = 1280;
                config.peers[0].mode = PeerMode::WireGuard;
            })?;
            assert_eq!(host.habits()?, WITH_UDP);
        }
        // They tell each other by radio where they are, and go to the cable by themselves.
        west.reach(&east)?;
        west.wait_for_tier(INSIDE[1], "direct")?;
        east.wait_for_tier(INSIDE[0], "direct")?;
        west.send(&east, 2_000_000)?;
        east.send(&west, 2_000_000)?;
        ensure!(kept.received() < 12_000, "the connection by radio was to last until here");

        for host in [&mut west, &mut east] {
            host.reload(DONE, |config| {
                config.more.clear();
                config.mtu = 180;
            })?;
            assert_eq!(host.habits()?, OF_RADIOS);
            assert_eq!(host.links()?.len(), 1);
        }
        west.reach(&east)?;
        west.wait_for_tier(INSIDE[1], "radio")?;
        east.send(&west, 500)?;

        kept.finish()?;
        let handshake = north.peer(INSIDE[0])?["last_handshake_seconds"].as_u64().context("no handshake")?;
        ensure!(handshake >= met.elapsed().as_secs(), "north had to begin anew");
        Ok(())
    })
}

#[test]
fn a_session_that_began_by_radio_moves_to_a_udp_link_that_a_reload_brings_and_back_without_a_handshake()
-> Result<()> {
    story(|dir| {
        let ([mut west, mut east, _], _sim) = hosts(dir, PeerMode::WireGuard)?;
        let _cable = Cable::join(CABLE, [(&west.namespace, OUTSIDE[0]), (&east.namespace, OUTSIDE[1])])?;
        for host in [&mut west, &mut east] {
            host.daemon.config_mut().mtu = 1280;
            host.daemon.start(&host.namespace)?;
        }
        west.reach(&east)?;
        let met = Instant::now();
        let kept = west.transfer(&east, 400_000)?;
        wait_for("bytes by radio", LIMIT, || Ok((kept.received() > 1_000).then_some(())))?;
        for host in [&mut west, &mut east] {
            host.reload(DONE, |config| config.more.push("ListenPort = 51820".into()))?;
        }
        // Far more than a radio carries in that time.
        wait_for("bytes by cable", LIMIT, || Ok((kept.received() > 200_000).then_some(())))?;
        kept.finish()?;
        east.wait_for_tier(INSIDE[0], "direct")?;
        for host in [&mut west, &mut east] {
            host.reload(DONE, |config| config.more.clear())?;
        }
        east.wait_for_tier(INSIDE[0], "radio")?;
        west.reach(&east)?;
        let handshake = west.peer(INSIDE[1])?["last_handshake_seconds"].as_u64().context("no handshake")?;
        ensure!(handshake >= met.elapsed().as_secs(), "one session for all of it");
        Ok(())
    })
}

#[test]
fn udp_links_are_moved_set_up_anew_and_added_under_a_session_that_stays() -> Result<()> {
    story(|dir| {
        let ([mut west, mut east], _cable, _sim) = by_cable(dir)?;
        let met = Instant::now();
        let listens = |host: &Host, port: u16| -> Result<usize> {
            let shown = run_for(&host.namespace, "ss", &["-Hlun", &format!("sport = :{port}")])?;
            Ok(shown.lines().count())
        };
        // Another port: east follows, for it hears of it from west.
        west.reload(DONE, |config| config.more[0] = "ListenPort = 51821".into())?;
        assert_eq!((listens(&west, 51820)?, listens(&west, 51821)?), (0, 1));
        west.reach(&east)?;
        // The same port at one address: what listened everywhere has to go first.
        let one = "[Link]\nType = udp\nName = one\nListenPort = 51821\nAddress = 192.0.2.1";
        west.reload(DONE, |config| config.more[0] = one.into())?;
        assert_eq!(listens(&west, 51821)?, 1);
        west.reach(&east)?;
        // A second one beside it, and then alone.
        let two = "[Link]\nType = udp\nName = two\nListenPort = 51822";
        west.reload(DONE, |config| config.more.push(two.into()))?;
        let names: Vec<String> = west.links()?.iter().map(|link| link["name"].to_string()).collect();
        assert_eq!(names, ["\"one\"", "\"two\""]);
        west.reach(&east)?;
        west.reload(DONE, |config| drop(config.more.remove(0)))?;
        assert_eq!((listens(&west, 51821)?, listens(&west, 51822)?), (0, 1));
        west.reach(&east)?;
        west.send(&east, 1_000_000)?;
        let handshake = east.peer(INSIDE[0])?["last_handshake_seconds"].as_u64().context("no handshake")?;
        ensure!(handshake >= met.elapsed().as_secs(), "one session for all of it");
        Ok(())
    })
}

#[test]
fn what_cannot_be_had_is_refused_with_the_reason_and_nothing_is_changed() -> Result<()> {
    story(|dir| {
        let ([mut west, east], _cable, _sim) = by_cable(dir)?;
        let links = |host: &mut Host| -> Result<Vec<String>> {
            Ok(host.links()?.iter().map(|link| format!("{} {}", link["name"], link["connect"])).collect())
        };
        let before = links(&mut west)?;
        let port = "[Link]\nType = udp\nName = low\nListenPort = 500";
        let mark = "[Link]\nType = udp\nName = marked\nListenPort = 51899\nFwMark = 7";
        let marks = "[Link]\nType = udp\nName = udp0\nListenPort = 51820\nFwMark = 7";
        let taken = "[Link]\nType = udp\nName = taken\nListenPort = 51898";
        let _taken = west.namespace.run(|| Ok(UdpSocket::bind("0.0.0.0:51898")?))?;
        let device = "[Link]\nType = udp\nName = bound\nListenPort = 51899\nBindToDevice = nosuch0";
        // Instead of the first link, or beside it.
        for (more, keep, why) in [
            (port, true, "the link low takes a restart: a port below 1024 takes CAP_NET_BIND_SERVICE"),
            (mark, true, "the link marked takes a restart: a FwMark takes CAP_NET_ADMIN"),
            (marks, false, "the link udp0 takes a restart: a FwMark takes CAP_NET_ADMIN"),
            ("SealingThreads = 2", true, "another SealingThreads takes a restart"),
            ("RunAsUser = nobody", true, "another RunAsUser or RunAsGroup takes a restart"),
            // What the kernel refuses.
            (device, true, "nosuch0"),
            (taken, true, "51898"),
        ] {
            let said = west.reload(REFUSED, |config| {
                config.more = Vec::from_iter(keep.then(|| "ListenPort = 51820".into()));
                config.more.push(more.into());
            })?;
            ensure!(said.contains(why), "{more}: {said}");
            assert_eq!(links(&mut west)?, before, "{more}");
        }
        west.reach(&east)
    })
}

#[test]
fn a_link_whose_successor_cannot_be_opened_is_down_until_it_can() -> Result<()> {
    story(|dir| {
        let ([mut west, east], _cable, _sim) = by_cable(dir)?;
        let moved = "[Link]\nType = udp\nName = moved\nListenPort = 51820\nAddress = 192.0.2.7";
        let said = west.reload("not all of it is in force", |config| {
            config.more = vec![moved.into()];
            config.mtu = 1300;
        })?;
        ensure!(said.contains("192.0.2.7"), "{said}");
        let links = west.links()?;
        assert_eq!((&links[0]["name"], &links[0]["up"]), (&"moved".into(), &false.into()));
        ensure!(
            links[0]["last_error"].as_str().is_some_and(|error| error.contains("192.0.2.7")),
            "{links:?}"
        );
        assert_eq!(west.daemon.status()?["mtu"], 1300, "the rest of the file is in force");
        ip(&west.namespace, &["address", "add", "192.0.2.7/24", "dev", CABLE])?;
        west.daemon.process()?.wait_for_line("the UDP socket is open again", LIMIT)?;
        west.reach(&east)
    })
}
