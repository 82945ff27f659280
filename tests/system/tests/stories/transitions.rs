//! One TCP connection, ten times moved between Wi-Fi and radio: no byte is lost or changed, and nothing is reset.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use meshnet_system::cable::Cable;
use meshnet_system::daemon::Make::Ours;
use meshnet_system::lab::{Lab, Security, Spec};
use meshnet_system::paced::Paced;
use meshnet_system::ping::Ping;
use meshnet_system::timed_story;
use meshnet_system::wait::{let_pass, wait_for};

/// The Wi-Fi's name at both hosts.
const WIFI: &str = "wifi0";
const ADDRESSES: [&str; 2] = ["192.0.2.1/24", "192.0.2.2/24"];
/// Bytes per second on the radio: less than it carries.
const SLOW: u64 = 300;
/// Bytes per second on Wi-Fi: a thousand times what a radio carries.
const FAST: u64 = 300_000;
/// How long each path has its turn.
const TURN: Duration = Duration::from_secs(12);
/// How long a stall may be after Wi-Fi died: the path is left after 3 s at most, then TCP has to find out.
const STALL: Duration = Duration::from_secs(10);
/// How soon Wi-Fi is used after it returned.
const RETURN: Duration = Duration::from_secs(10);
/// Bytes that Wi-Fi has carried when the two have found to it: some of their pings.
const FOUND: u64 = 1_000;
/// Bytes that Wi-Fi has carried when it is used: more than probes, ARP and handshakes come to in that time.
const USED: u64 = 5_000;
/// Down and up again.
const PAIRS: usize = 5;

/// How Wi-Fi dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// The carrier goes: both kernels say so.
    Pulled,
    /// Nothing arrives any more: nobody says so.
    Silent,
}

#[test]
fn a_transfer_runs_through_ten_transitions_that_the_kernel_sees() -> Result<()> {
    timed_story(|dir| {
        let lab = lab(dir)?;
        let wifi =
            Cable::join(WIFI, [(&lab.west.namespace, ADDRESSES[0]), (&lab.east.namespace, ADDRESSES[1])])?;
        move_ten_times(&lab, &wifi, Death::Pulled)
    })
}

#[test]
fn a_transfer_runs_through_ten_transitions_that_nobody_tells_of() -> Result<()> {
    timed_story(|dir| {
        let lab = lab(dir)?;
        let wifi =
            Cable::join(WIFI, [(&lab.west.namespace, ADDRESSES[0]), (&lab.east.namespace, ADDRESSES[1])])?;
        move_ten_times(&lab, &wifi, Death::Silent)
    })
}

/// Two hosts that know each other's radio and nothing else; Wi-Fi is not there yet.
fn lab(dir: &std::path::Path) -> Result<Lab> {
    let mut spec = Spec::new(Ours, Ours).security(Security::WireGuard);
    spec.mtu = 1280;
    let mut lab = Lab::new(&spec, dir)?;
    for site in [&mut lab.west, &mut lab.east] {
        site.daemon.config_mut().more.push("ListenPort = 51820".into());
        site.start()?;
    }
    lab.west.reach(&lab.east, Duration::from_secs(60))?;
    Ok(lab)
}

fn move_ten_times(lab: &Lab, wifi: &Cable, death: Death) -> Result<()> {
    let (west, east) = (&lab.west.namespace, &lab.east.namespace);
    // Two that met by radio tell each other where else they are.
    let before = wifi.carried(west)?;
    wait_for("the two to find to Wi-Fi", Duration::from_secs(60), || {
        Ping { count: 5, ..Ping::default() }.run(west, lab.east.address)?;
        Ok((wifi.carried(west)? >= before + FOUND).then_some(()))
    })?;
    kill(wifi, death, lab)?;
    let_pass(TURN)?;
    let radio = Ping { count: 3, ..Ping::default() }.run(west, lab.east.address)?;
    let round_trip = radio.median().unwrap_or_default();
    let limit = Duration::from_secs(60);
    let transfer = Paced::start(west, east, lab.east.at(4002), SLOW, limit)?;
    wait_for("bytes by radio", limit, || Ok((transfer.received() > 2 * SLOW).then_some(())))?;
    for pair in 0..PAIRS {
        let before = wifi.carried(west)?;
        let (begin, received) = (Instant::now(), transfer.received());
        revive(wifi, death, lab)?;
        transfer.set_pace(FAST);
        wait_for("Wi-Fi to be used", RETURN, || Ok((wifi.carried(west)? >= before + USED).then_some(())))?;
        let_pass(TURN.saturating_sub(begin.elapsed()))?;
        let fast = transfer.received() - received;
        ensure!(fast > FAST, "pair {pair}: only {fast} bytes in {TURN:?} of Wi-Fi");

        // The sender has its pace for the radio a moment before, as a program that asks for little.
        transfer.set_pace(SLOW);
        let_pass(Duration::from_millis(500))?;
        let died = Instant::now();
        kill(wifi, death, lab)?;
        let_pass(TURN)?;
        let stall = transfer.longest_stall(died);
        println!("pair {pair}: a stall of {stall:?}, where the radio takes {round_trip:?} there and back");
        ensure!(stall <= STALL, "pair {pair}: a stall of {stall:?} ({round_trip:?} by radio)");
    }
    // What the sender still has is more than a radio carries in a reasonable time.
    revive(wifi, death, lab)?;
    let whole = transfer.finish(Duration::from_secs(180))?;
    ensure!(whole > SLOW * 10, "{whole} bytes");
    Ok(())
}

fn kill(wifi: &Cable, death: Death, lab: &Lab) -> Result<()> {
    match death {
        Death::Pulled => wifi.pull(&lab.west.namespace),
        Death::Silent => {
            wifi.mute(&lab.west.namespace)?;
            wifi.mute(&lab.east.namespace)
        }
    }
}

fn revive(wifi: &Cable, death: Death, lab: &Lab) -> Result<()> {
    match death {
        Death::Pulled => wifi.plug(&lab.west.namespace),
        Death::Silent => {
            wifi.unmute(&lab.west.namespace)?;
            wifi.unmute(&lab.east.namespace)
        }
    }
}
