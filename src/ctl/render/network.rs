//! A network as text: what `meshctl show` prints. Only what is known is said.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anstyle::Style;
use meshnet_bus::describe::{Counters, Link, Network, Path, PathCounters, Peer, PeerRadio};

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
    if link.kind == "udp" {
        sheet.field("listens at", &link.connect);
        sheet.maybe("waiting", tally(&link.queued));
    } else {
        sheet.field("connected to", &link.connect);
        radio(sheet, link, unix_time);
        let mut air = units::airtime(link.airtime_used_ms, link.airtime_left_ms);
        air.push_str(" this hour");
        let spent = if link.airtime_left_ms == Some(0) { style::BAD } else { Style::new() };
        sheet.styled("airtime", spent, air);
        sheet.maybe("waiting for air", tally(&link.queued));
    }
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
        None => words.push("never heard from".to_owned()),
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
    if let Some(tier) = &peer.tier {
        sheet.styled("tier", tier_style(tier), tier);
    }
    if let Some(endpoint) = &peer.endpoint {
        let link = peer.link.as_deref().map(|link| format!(" through {link}")).unwrap_or_default();
        let why =
            peer.path_reason.as_deref().map(|why| format!(" ({})", path_reason(why))).unwrap_or_default();
        sheet.field("path", format!("{endpoint}{link}{why}"));
    }
    for path in &peer.paths {
        sheet.field(if path.current { "in use" } else { "also known" }, way(path));
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

/// A way to a peer: what it is, how it is, what it has cost.
fn way(path: &Path) -> String {
    let mut words = vec![format!("{} through {}", path.endpoint, path.link)];
    words.extend([&path.tier, &path.state].into_iter().filter(|word| !word.is_empty()).cloned());
    words.extend(path.origin.clone());
    words.push(
        path.last_heard_seconds.map_or_else(
            || "never heard".to_owned(),
            |seconds| format!("last heard {}", units::ago(seconds)),
        ),
    );
    words.extend(span_of(path.rtt_ms).map(|rtt| format!("round trip {rtt}")));
    words.extend(path.loss.map(|loss| format!("{:.0} % lost", loss * 100.0)));
    let (bytes, rest) = spent(&path.sent);
    format!("{}; {bytes} sent ({rest})", words.join(", "))
}

/// What was sent on a path: the bytes, and what they took (`42 datagrams, 4.2 s of air`).
pub(crate) fn spent(counters: &PathCounters) -> (String, String) {
    let PathCounters { datagrams, bytes, airtime_ms } = *counters;
    let air = match airtime_ms {
        0 => String::new(),
        air => format!(", {} of air", units::span_ms(air)),
    };
    (units::bytes(bytes), format!("{}{air}", units::count(datagrams, "datagram")))
}

/// The style of how near a peer is.
pub(crate) fn tier_style(tier: &str) -> Style {
    match tier {
        "direct" => style::GOOD,
        "radio" | "relayed" => style::WARN,
        _ => style::FAINT,
    }
}

/// Why a path is the one in use, as people say it.
pub(crate) fn path_reason(reason: &str) -> &str {
    match reason {
        "no-path" => "no link reaches it",
        "untried" => "nothing came this way yet",
        "proven" => "it answered, and is better in kind",
        "cheaper" => "its link costs less",
        "faster" => "it is faster",
        "silent" => "the one before fell silent",
        "unanswered" => "the one before did not answer",
        "link-down" => "the link before went down",
        "removed" => "the one before was removed",
        "roamed" => "the peer moved there",
        "heard" => "the peer speaks from there",
        other => other,
    }
}

/// The smoothed round trip time; something that is no time is none.
pub(crate) fn round_trip(peer: &Peer) -> Option<String> {
    span_of(peer.rtt_ms)
}

fn span_of(milliseconds: Option<f64>) -> Option<String> {
    let time = Duration::try_from_secs_f64(milliseconds? / 1000.0).ok()?;
    Some(units::span(time))
}

fn listed(items: &[String]) -> Option<String> {
    (!items.is_empty()).then(|| items.join(", "))
}

#[cfg(test)]
pub(crate) mod tests;
