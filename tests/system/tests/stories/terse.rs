//! What the terse encoding promises of small packets holds on the air, beside version 1 on the same air.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use meshnet_system::daemon::Make::Ours;
use meshnet_system::flow::accept;
use meshnet_system::lab::{Lab, Security, Site, Spec};
use meshnet_system::ping::Ping;
use meshnet_system::story;
use meshnet_system::wait::wait_for;

/// How long anything small may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Payloads handed to the radio.
struct Seen {
    /// The longest of a ping of 56 bytes and its reply.
    ping: usize,
    /// The longest of some TCP segments that acknowledge and carry nothing, with timestamps.
    acknowledgement: usize,
}

#[test]
fn a_ping_takes_82_bytes_and_an_acknowledgement_45_where_version_1_takes_123_and_91() -> Result<()> {
    story(|dir| {
        let mut seen = Vec::new();
        for (security, name) in [(Security::Pki, "version1"), (Security::WireGuard, "terse")] {
            let dir = dir.join(name);
            std::fs::create_dir(&dir)?;
            let lab = Lab::start(&Spec::new(Ours, Ours).security(security), &dir)?;
            lab.west.reach(&lab.east, LIMIT)?;
            seen.push(Seen { ping: ping(&lab)?, acknowledgement: acknowledge(&lab)? });
        }
        let [plain, terse] = seen.as_slice() else { unreachable!("there are two") };
        ensure!((plain.ping, plain.acknowledgement) == (123, 91), "{} {}", plain.ping, plain.acknowledgement);
        ensure!(terse.ping <= 82, "a ping takes {} bytes", terse.ping);
        ensure!(terse.acknowledgement <= 45, "an acknowledgement takes {} bytes", terse.acknowledgement);
        Ok(())
    })
}

fn ping(lab: &Lab) -> Result<usize> {
    let before = lab.sim.transmissions()?.len();
    lab.ping(&lab.west, &lab.east, Ping { count: 5, ..Ping::default() })?;
    let sent = lab.sim.transmissions()?.split_off(before);
    let data = sent.iter().filter(|frame| frame.kind == "data");
    data.map(|frame| frame.payload).max().context("nothing was sent")
}

/// Has east acknowledge single bytes.
fn acknowledge(lab: &Lab) -> Result<usize> {
    let before = [sent(lab, &lab.west)?.len(), sent(lab, &lab.east)?.len()];
    let at = lab.east.at(4000);
    let listener = lab.east.namespace.run(|| TcpListener::bind(at).context("listening"))?;
    let mut stream =
        lab.west.namespace.run(|| TcpStream::connect_timeout(&at, LIMIT).context("connecting"))?;
    let _accepted = accept(&listener, Instant::now() + LIMIT)?;
    // The third segment of the handshake is over before anything else is sent.
    wait_for("the handshake's end", LIMIT, || {
        Ok((sent(lab, &lab.west)?.len() >= before[0] + 2).then_some(()))
    })?;
    let mut longest = 0;
    for _ in 0..3 {
        let before = sent(lab, &lab.east)?.len();
        stream.write_all(b"x")?;
        let answer =
            wait_for("an acknowledgement", LIMIT, || Ok(sent(lab, &lab.east)?.get(before).copied()))?;
        longest = longest.max(answer);
    }
    Ok(longest)
}

/// Returns the payload of each datagram that a site's daemon has sent.
fn sent(lab: &Lab, site: &Site) -> Result<Vec<usize>> {
    let sender = format!("!{:08x}", site.node);
    let all = lab.sim.transmissions()?;
    let mine = all.iter().filter(|frame| frame.kind == "data" && frame.sender == sender);
    Ok(mine.map(|frame| frame.payload).collect())
}
