//! A network as text: what `meshctl show` prints. Only what is known is said.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anstyle::Style;
use meshnet_bus::describe::{Counters, Link, Network, Peer, PeerRadio};

use super::style::{self, paint};
use super::{clean, units};

/// Returns the text of a network, its links and its peers.
pub(crate) fn show(network: &Network) -> String {
    let mut sheet = Sheet::default();
    itself(&mut sheet, network);
    for link in &network.links {
        one_link(&mut sheet, link, network.unix_time);
    }
    for peer in &network.peers {
        one_peer(&mut sheet, peer);
    }
    sheet.text
}

/// The style of a state of anything.
pub(crate) fn state_style(state: &str) -> Style {
    match state {
        "running" | "established" | "up" => style::GOOD,
        "starting" | "degraded" | "stopping" | "reloading" | "handshaking" | "connecting" | "configuring" => {
            style::WARN
        }
        "failed" | "faulty" | "down" | "not answering" => style::BAD,
        _ => style::FAINT,
    }
}

/// Why a network is degraded, as a clause.
pub(crate) fn reason(state_reason: &str) -> &str {
    match state_reason {
        "interface-down" => "the interface is down",
        "no-link" => "no link works",
        "state-unsaved" => "its state could not be saved",
        other => other,
    }
}

/// What a peer is called: its name, or the beginning of its key.
pub(crate) fn peer_name(peer: &Peer) -> String {
    match peer.name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => clean(name).into_owned(),
        None => clean(&peer.public_key).chars().take(12).chain(['…']).collect(),
    }
}

/// Counts by name, the largest first: `3 no-route, 1 queue-full`; `None` if all are zero.
pub(crate) fn tally(counts: &BTreeMap<String, u64>) -> Option<String> {
    let mut counts: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let words: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// Sections of a heading and fields below it.
#[derive(Debug, Default)]
struct Sheet {
    text: String,
}

impl Sheet {
    fn heading(&mut self, kind: &str, name: &str, state: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let (kind, name) = (paint(style::STRONG, kind), paint(style::STRONG, &clean(name)));
        let state = paint(state_style(state), &clean(state));
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.text, "{kind}: {name} ({state})");
    }

    fn field(&mut self, label: &str, value: impl AsRef<str>) {
        self.styled(label, Style::new(), value);
    }

    fn styled(&mut self, label: &str, style: Style, value: impl AsRef<str>) {
        let value = clean(value.as_ref());
        let value = if style == Style::new() { value.into_owned() } else { paint(style, &value) };
        let _ = writeln!(self.text, "  {label}: {value}");
    }

    fn maybe(&mut self, label: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.field(label, value);
        }
    }
}

fn itself(sheet: &mut Sheet, network: &Network) {
    sheet.heading("network", &network.interface, &network.state);
    if let Some(why) = &network.state_reason {
        sheet.styled("because", style::WARN, reason(why));
    }
    sheet.field("public key", &network.public_key);
    sheet.maybe("addresses", listed(&network.addresses));
    sheet.field("mtu", network.mtu.to_string());
    sheet.field("running for", units::age(network.uptime_seconds));
    sheet.field("version", &network.version);
    sheet.maybe("dropped", tally(&network.drops));
}

fn one_link(sheet: &mut Sheet, link: &Link, unix_time: u64) {
    sheet.heading("link", &link.name, &link.state);
    if let Some(fault) = &link.fault {
        sheet.styled("fault", style::BAD, fault);
    }
    if link.state != "up"
        && let Some(error) = &link.last_error
    {
        sheet.styled("last error", style::WARN, error);
    }
    sheet.field("connected to", &link.connect);
    radio(sheet, link, unix_time);
    let mut air = units::airtime(link.airtime_used_ms, link.airtime_left_ms);
    air.push_str(" this hour");
    let spent = if link.airtime_left_ms == Some(0) { style::BAD } else { Style::new() };
    sheet.styled("airtime", spent, air);
    sheet.maybe("waiting for air", tally(&link.queued));
    let mut traffic = format!("{} sent, {} received", units::count(link.sent, "datagram"), link.received);
    if link.refused > 0 {
        let _ = write!(traffic, ", {} refused", link.refused);
    }
    if link.malformed > 0 {
        let _ = write!(traffic, ", {} malformed", link.malformed);
    }
    sheet.field("traffic", traffic);
    for peer in &link.peers {
        sheet.field("hears", neighbour(peer, unix_time));
    }
}

/// What the link's radio says of itself.
fn radio(sheet: &mut Sheet, link: &Link, unix_time: u64) {
    let radio = &link.radio;
    if let Some(id) = &radio.radio {
        let mut text = id.clone();
        if let Some(name) = radio.radio_name.as_deref().filter(|name| !name.is_empty()) {
            let _ = write!(text, " \"{name}\"");
        }
        if let Some(firmware) = &radio.firmware {
            let _ = write!(text, ", firmware {firmware}");
        }
        sheet.field("radio", text);
    }
    let mut settings: Vec<String> = [&radio.region, &radio.preset].into_iter().flatten().cloned().collect();
    if radio.radio.is_some() {
        let name = radio.channel_name.as_deref().filter(|name| !name.is_empty());
        let name = name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
        settings.push(format!("channel {}{name}", radio.channel_index));
    }
    settings.extend(radio.hop_limit.map(|hops| units::count(hops.into(), "hop")));
    sheet.maybe("set to", listed(&settings));
    let busy = [
        radio.channel_utilization.map(|percent| format!("busy {percent:.1} % of the last minute")),
        radio.air_util_tx.map(|percent| format!("sent {percent:.1} % of the last hour by this radio")),
    ];
    sheet.maybe("channel", listed(&busy.into_iter().flatten().collect::<Vec<_>>()));
    if let (Some(free), Some(all)) = (radio.queue_free, radio.queue_len) {
        sheet.field("radio's queue", format!("{free} of {all} places free"));
    }
    if let Some(until) = radio.stopped_until.filter(|until| *until > unix_time) {
        let wait = Duration::from_secs(until - unix_time);
        sheet.styled("refuses to send", style::BAD, format!("for another {}", units::span(wait)));
    }
    if radio.nodes_heard > 0 {
        sheet.field("nodes heard", radio.nodes_heard.to_string());
    }
}

/// A peer's radio as ours knows it.
fn neighbour(peer: &PeerRadio, unix_time: u64) -> String {
    let mut words = vec![peer.radio.clone()];
    match peer.heard {
        None => words.push("never heard".to_owned()),
        Some(heard) => {
            words.push(units::ago(unix_time.saturating_sub(heard)));
            words.extend(peer.hops.map(|hops| match hops {
                0 => "directly".to_owned(),
                hops => format!("over {}", units::count(hops.into(), "hop")),
            }));
            words.extend(peer.snr.map(|snr| format!("{snr:.1} dB over noise")));
            words.extend(peer.rssi.map(|rssi| format!("{rssi} dBm")));
        }
    }
    if peer.key == "missing" {
        words.push("its public key is missing in our radio".to_owned());
    }
    words.join(", ")
}

fn one_peer(sheet: &mut Sheet, peer: &Peer) {
    sheet.heading("peer", &peer_name(peer), &peer.state);
    sheet.field("public key", &peer.public_key);
    sheet.maybe("allowed ips", listed(&peer.allowed_ips));
    sheet.maybe("endpoints", listed(&peer.endpoints));
    if let Some(endpoint) = &peer.endpoint {
        let link = peer.link.as_deref().map(|link| format!(" through {link}")).unwrap_or_default();
        sheet.field("path", format!("{endpoint}{link}"));
    }
    match peer.last_handshake_seconds {
        Some(seconds) => sheet.field("latest handshake", units::ago(seconds)),
        None => sheet.styled("latest handshake", style::FAINT, "never"),
    }
    sheet.maybe("last heard", peer.last_seen_seconds.map(units::ago));
    sheet.maybe("round trip", round_trip(peer));
    if let Some(loss) = peer.loss {
        sheet.field("loss", format!("{:.0} % of what was asked", loss * 100.0));
    }
    let unused = Counters::default();
    if peer.sent != unused || peer.received != unused {
        let traffic = |counters: &Counters| {
            format!("{} ({})", units::bytes(counters.bytes), units::count(counters.packets, "packet"))
        };
        sheet
            .field("transfer", format!("{} received, {} sent", traffic(&peer.received), traffic(&peer.sent)));
        let (received, sent) =
            (units::span_ms(peer.received.airtime_ms), units::span_ms(peer.sent.airtime_ms));
        sheet.field("airtime", format!("{received} received, {sent} sent"));
    }
    if peer.waiting > 0 {
        sheet.field("waiting", units::count(peer.waiting, "frame"));
    }
    sheet.maybe("dropped", tally(&peer.drops));
    let origin = match peer.origin.as_str() {
        "config" => None,
        "bus" => Some("added with \"peer add\""),
        "bus-volatile" => Some("added with \"peer add\", until the daemon ends"),
        other => Some(other),
    };
    sheet.maybe("origin", origin);
    // The default mode goes without saying.
    sheet.maybe("mode", (peer.mode != "PKI").then_some(&peer.mode));
}

/// The smoothed round trip time; something that is no time is none.
pub(crate) fn round_trip(peer: &Peer) -> Option<String> {
    let time = Duration::try_from_secs_f64(peer.rtt_ms? / 1000.0).ok()?;
    Some(units::span(time))
}

fn listed(items: &[String]) -> Option<String> {
    (!items.is_empty()).then(|| items.join(", "))
}

#[cfg(test)]
pub(crate) mod tests {
    use meshnet_bus::describe::{Radio, SCHEMA};

    use super::*;

    /// A network with a bit of everything.
    pub(crate) fn example() -> Network {
        let counts = |pairs: &[(&str, u64)]| pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        let radio = Radio {
            radio: Some("!d45b9db8".to_owned()),
            radio_name: Some("Attic".to_owned()),
            firmware: Some("2.7.4".to_owned()),
            region: Some("EU_868".to_owned()),
            preset: Some("LONG_FAST".to_owned()),
            hop_limit: Some(3),
            channel_index: 1,
            channel_name: Some("mesh".to_owned()),
            duty_percent: Some(1.0),
            channel_utilization: Some(12.54),
            queue_free: Some(14),
            queue_len: Some(16),
            nodes_heard: 7,
            ..Radio::default()
        };
        let cabin = Peer {
            public_key: "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=".to_owned(),
            name: Some("cabin".to_owned()),
            mode: "PKI".to_owned(),
            origin: "config".to_owned(),
            state: "established".to_owned(),
            last_handshake_seconds: Some(7_300),
            last_seen_seconds: Some(185),
            endpoint: Some("!a1b2c3d4".to_owned()),
            link: Some("radio0".to_owned()),
            endpoints: vec!["!a1b2c3d4".to_owned()],
            allowed_ips: vec!["10.42.0.2/32".to_owned()],
            rtt_ms: Some(1843.2),
            loss: Some(0.031),
            sent: Counters { packets: 40, bytes: 3_500, datagrams: 42, airtime_ms: 4_200 },
            received: Counters { packets: 1, bytes: 84, datagrams: 3, airtime_ms: 980 },
            drops: counts(&[("queue-full", 2), ("no-route", 11)]),
            ..Peer::default()
        };
        let hut = Peer {
            public_key: "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=".to_owned(),
            mode: "SYMMETRIC".to_owned(),
            origin: "bus-volatile".to_owned(),
            state: "idle".to_owned(),
            allowed_ips: vec!["10.42.0.3/32".to_owned()],
            endpoints: vec!["!00000003".to_owned()],
            ..Peer::default()
        };
        Network {
            schema: SCHEMA,
            version: "0.1.0".to_owned(),
            interface: "mesh0".to_owned(),
            state: "running".to_owned(),
            public_key: "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned(),
            addresses: vec!["10.42.0.1/24".to_owned(), "fd00::1/64".to_owned()],
            mtu: 1280,
            unix_time: 1_800_000_000,
            uptime_seconds: 11_000,
            peers: vec![cabin, hut],
            links: vec![Link {
                name: "radio0".to_owned(),
                kind: "meshtastic".to_owned(),
                connect: "tcp://192.0.2.7:4403".to_owned(),
                state: "up".to_owned(),
                up: true,
                queued: counts(&[("bulk", 2), ("control", 0)]),
                airtime_used_ms: 4_200,
                airtime_left_ms: Some(31_800),
                sent: 1,
                received: 9,
                radio,
                peers: vec![PeerRadio {
                    radio: "!a1b2c3d4".to_owned(),
                    hops: Some(0),
                    snr: Some(6.25),
                    rssi: Some(-97),
                    heard: Some(1_799_999_815),
                    key: "known".to_owned(),
                }],
                ..Link::default()
            }],
            drops: counts(&[]),
            ..Network::default()
        }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn everything_that_is_known_is_shown_and_nothing_else() {
        let expected = "\
network: mesh0 (running)
  public key: AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
  addresses: 10.42.0.1/24, fd00::1/64
  mtu: 1280
  running for: 3 hours
  version: 0.1.0

link: radio0 (up)
  connected to: tcp://192.0.2.7:4403
  radio: !d45b9db8 \"Attic\", firmware 2.7.4
  set to: EU_868, LONG_FAST, channel 1 \"mesh\", 3 hops
  channel: busy 12.5 % of the last minute
  radio's queue: 14 of 16 places free
  nodes heard: 7
  airtime: 4.2 s of 36 s this hour
  waiting for air: 2 bulk
  traffic: 1 datagram sent, 9 received
  hears: !a1b2c3d4, 3 minutes ago, directly, 6.2 dB over noise, -97 dBm

peer: cabin (established)
  public key: AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=
  allowed ips: 10.42.0.2/32
  endpoints: !a1b2c3d4
  path: !a1b2c3d4 through radio0
  latest handshake: 2 hours ago
  last heard: 3 minutes ago
  round trip: 1.8 s
  loss: 3 % of what was asked
  transfer: 84 B (1 packet) received, 3.4 KiB (40 packets) sent
  airtime: 980 ms received, 4.2 s sent
  dropped: 11 no-route, 2 queue-full

peer: AwMDAwMDAwMD… (idle)
  public key: AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=
  allowed ips: 10.42.0.3/32
  endpoints: !00000003
  latest handshake: never
  origin: added with \"peer add\", until the daemon ends
  mode: SYMMETRIC
";
        assert_eq!(plain(&show(&example())), expected);
    }

    #[test]
    fn what_is_wrong_stands_at_the_top_of_its_section() {
        let mut network = example();
        network.state = "degraded".to_owned();
        network.state_reason = Some("no-link".to_owned());
        let link = &mut network.links[0];
        link.state = "down".to_owned();
        link.last_error = Some("connection refused".to_owned());
        link.radio.stopped_until = Some(network.unix_time + 720);
        let text = plain(&show(&network));
        assert!(text.starts_with("network: mesh0 (degraded)\n  because: no link works\n"), "{text}");
        assert!(text.contains("link: radio0 (down)\n  last error: connection refused\n"), "{text}");
        assert!(text.contains("refuses to send: for another 12 min\n"), "{text}");
    }

    #[test]
    fn a_radios_name_cannot_write_on_the_terminal() {
        let mut network = example();
        network.links[0].radio.radio_name = Some("\u{1b}[2J\nlink: fake (up)".to_owned());
        network.peers[0].name = Some("\u{202e}nibac".to_owned());
        let text = show(&network);
        assert!(!text.contains("\u{1b}[2J") && !text.contains('\u{202e}'), "{text:?}");
        assert!(!plain(&text).contains("\nlink: fake"), "{text}");
    }

    #[test]
    fn a_number_that_is_none_is_no_round_trip() {
        let peer = |rtt_ms| Peer { rtt_ms, ..Peer::default() };
        assert_eq!(round_trip(&peer(Some(f64::NAN))), None);
        assert_eq!(round_trip(&peer(Some(-1.0))), None);
        assert_eq!(round_trip(&peer(Some(f64::INFINITY))), None);
        assert_eq!(round_trip(&peer(Some(250.4))).as_deref(), Some("250 ms"));
    }
}
