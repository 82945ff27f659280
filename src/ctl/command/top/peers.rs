//! The peers: a row for each, and below it why its path is the one in use, and every way to it with what that has cost.

use std::time::Duration;

use meshnet_bus::describe::{Path, Peer};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::columns::{Column, cut, fit, heading, line, wrap};
use super::history::sparkline;
use super::view::{View, dash, owned};
use crate::render::network::{path_reason, peer_name};
use crate::render::units;

/// How many columns there are.
const COLUMNS: usize = 11;
/// Where the sparkline is among them.
const GRAPH: usize = 10;
/// A link, and a radio's node id.
const RADIO_PATH: usize = 17;
/// A link, and an IPv4 address with its port.
const UDP_PATH: usize = 26;
/// From this width on there is room for UDP addresses.
const ROOM_FOR_UDP: usize = 60;
/// As wide as terminals are if nobody made them wider.
const USUAL: usize = 80;
/// What belongs to the peer above.
const INDENT: &str = "  ";

/// Peers as lines.
#[derive(Debug)]
pub(super) struct Peers {
    /// The line above them.
    pub heading: Line<'static>,
    /// Those in sight.
    pub lines: Vec<Line<'static>>,
    /// Whether all of it is in sight.
    pub whole: bool,
}

impl Peers {
    /// Makes the lines that are in sight. With room for it, the ways to every peer are shown, else those to the selected one,
    /// which is always in sight.
    pub(super) fn new(view: &View<'_>, peers: &[Peer], udp: bool, width: usize, height: usize) -> Self {
        let columns = columns(peers, udp, width);
        let sheet = Sheet { view, widths: fit(&columns, width), columns, width };
        let heading = heading(&sheet.columns, &sheet.widths, view.faint());
        let selected = view.selected.min(peers.len().saturating_sub(1));
        // What cannot fit need not be made.
        if peers.len() <= height {
            let lines: Vec<_> = peers
                .iter()
                .flat_map(|peer| [sheet.peer(peer, false)].into_iter().chain(sheet.details(peer)))
                .collect();
            if lines.len() <= height {
                return Self { heading, lines, whole: true };
            }
        }
        let details = peers.get(selected).map(|peer| sheet.details(peer)).unwrap_or_default();
        let (total, block) = (peers.len() + details.len(), 1 + details.len());
        // The selected one in the middle, but nothing blank at an end, and its own beginning first of all.
        let first =
            (selected + block / 2).saturating_sub(height / 2).min(total.saturating_sub(height)).min(selected);
        let before = (first..selected).map(|at| sheet.peer(&peers[at], false));
        let itself = peers.get(selected).map(|peer| sheet.peer(peer, true));
        let after = peers.iter().skip(selected + 1).map(|peer| sheet.peer(peer, false));
        let lines = before.chain(itself).chain(details).chain(after).take(height).collect();
        Self { heading, lines, whole: false }
    }
}

/// The columns as they are shown. The path's is as wide as what a network has of links needs, so that it does not change its
/// place whenever a path comes or goes; only of what a wide terminal has more does a long address take its part.
fn columns(peers: &[Peer], udp: bool, width: usize) -> [Column; COLUMNS] {
    let known = peers.iter().flat_map(|peer| &peer.paths).map(|path| place(&path.link, &path.endpoint));
    let longest = known.chain(peers.iter().filter_map(used)).map(|path| path.width()).max().unwrap_or(0);
    let path = match udp {
        true if width >= ROOM_FOR_UDP => {
            longest.min(UDP_PATH + width.saturating_sub(USUAL) / 2).max(UDP_PATH)
        }
        _ => RADIO_PATH,
    };
    let name = peers.iter().map(|peer| peer_name(peer).width()).max().unwrap_or(0);
    [
        Column::new("PEER", 12, 0).most(name.min(16)),
        Column::new("STATE", 11, 4),
        Column::new("TIER", 7, 3),
        Column::new("PATH", path, 1).most(longest),
        Column::new("HEARD", 10, 5),
        Column::new("RTT", 8, 6).right(),
        Column::new("LOSS", 5, 7).right(),
        Column::new("RECEIVED", 9, 10).right(),
        Column::new("SENT", 9, 8).right(),
        Column::new("COST", 9, 2).right(),
        Column::new("AIR TAKEN", 10, 9).most(usize::MAX),
    ]
}

/// Where the lines are written.
struct Sheet<'v> {
    view: &'v View<'v>,
    columns: [Column; COLUMNS],
    widths: [usize; COLUMNS],
    width: usize,
}

impl Sheet<'_> {
    /// A peer as a whole.
    fn peer(&self, peer: &Peer, selected: bool) -> Line<'static> {
        let view = self.view;
        let graph = sparkline(&view.history.peer(&peer.public_key), self.widths[GRAPH]);
        let name = if selected { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        self.line([
            Span::styled(peer_name(peer), name),
            Span::styled(owned(&peer.state), view.state(&peer.state)),
            view.tier(peer.tier.as_deref()),
            Span::raw(used(peer).unwrap_or_else(dash)),
            Span::raw(heard(peer.last_seen_seconds)),
            Span::raw(rtt(peer.rtt_ms)),
            Span::raw(percent(peer.loss)),
            Span::raw(bytes(peer.received.bytes)),
            Span::raw(bytes(peer.sent.bytes)),
            Span::raw(cost(peer.sent.bytes, peer.sent.airtime_ms)),
            Span::styled(graph, view.color(Color::Cyan)),
        ])
    }

    /// Why its path is used, and all ways to it.
    fn details(&self, peer: &Peer) -> Vec<Line<'static>> {
        let room = self.width.saturating_sub(INDENT.len());
        let why = peer.path_reason.as_deref().map(|why| format!("why: {}", owned(path_reason(why))));
        let why = why.map(|why| wrap(&why, room)).unwrap_or_default();
        let why = why.into_iter().map(|text| Line::styled(format!("{INDENT}{text}"), self.view.faint()));
        why.chain(peer.paths.iter().map(|path| self.path(path))).collect()
    }

    /// A way to it.
    fn path(&self, path: &Path) -> Line<'static> {
        let view = self.view;
        let has_state = self.widths[1] > 0;
        let kind = match path.current {
            true => "in use",
            // Without a column for it, here is where it can be said.
            false if !has_state && !path.state.is_empty() => &path.state,
            false => "also known",
        };
        self.line([
            Span::styled(cut(&format!("{INDENT}{}", owned(kind)), self.widths[0]), view.faint()),
            Span::styled(owned(&path.state), view.path_state(&path.state)),
            view.tier(Some(path.tier.as_str()).filter(|tier| !tier.is_empty())),
            Span::raw(place(&path.link, &path.endpoint)),
            Span::raw(heard(path.last_heard_seconds)),
            Span::raw(rtt(path.rtt_ms)),
            Span::raw(percent(path.loss)),
            // Packets are counted by peer.
            Span::raw(""),
            Span::raw(bytes(path.sent.bytes)),
            Span::raw(cost(path.sent.bytes, path.sent.airtime_ms)),
            Span::raw(""),
        ])
    }

    fn line(&self, cells: [Span<'static>; COLUMNS]) -> Line<'static> {
        line(&self.columns, &self.widths, cells)
    }
}

/// The way that is in use.
fn used(peer: &Peer) -> Option<String> {
    Some(place(peer.link.as_deref().unwrap_or_default(), peer.endpoint.as_deref()?))
}

/// A link and an endpoint there.
fn place(link: &str, endpoint: &str) -> String {
    // An address is told from a radio's node id without it.
    let endpoint = endpoint.strip_prefix("udp://").unwrap_or(endpoint);
    owned(format!("{link} {endpoint}").trim())
}

/// What sending took: the air if it took any, else the bytes.
fn cost(sent_bytes: u64, airtime_ms: u64) -> String {
    match airtime_ms {
        0 => bytes(sent_bytes),
        air => span(Duration::from_millis(air)),
    }
}

/// A size, in at most 9 places.
fn bytes(count: u64) -> String {
    let text = units::bytes(count);
    match text.split_once('.') {
        Some((whole, rest)) if whole.len() > 3 => {
            format!("{whole}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        _ => text,
    }
}

/// A time that something takes, in at most 8 places for all that is shorter than ten years.
fn span(time: Duration) -> String {
    let minutes = time.as_secs_f64() / 60.0;
    match minutes {
        ..1.0 => units::span(time),
        // What would be rounded to 60.0 or 100.0.
        ..59.95 => format!("{minutes:.1} min"),
        ..5997.0 => format!("{:.1} h", minutes / 60.0),
        _ => format!("{:.0} d", minutes / 1440.0),
    }
}

/// The round trip; something that is no time is none.
fn rtt(milliseconds: Option<f64>) -> String {
    let time = milliseconds.and_then(|rtt| Duration::try_from_secs_f64(rtt / 1000.0).ok());
    time.map_or_else(dash, span)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(dash, |share| format!("{:.0} %", share * 100.0))
}

/// How long ago, in little room.
fn heard(seconds: Option<u64>) -> String {
    match seconds {
        None => "never".to_owned(),
        Some(0) => "just now".to_owned(),
        Some(seconds @ 1..60) => format!("{seconds} s ago"),
        Some(seconds @ 60..3600) => format!("{} min ago", seconds / 60),
        Some(seconds @ 3600..86_400) => format!("{} h ago", seconds / 3600),
        Some(seconds) => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_fit_their_columns() {
        for (count, text) in [(0, "0 B"), (1023, "1023 B"), (1_048_000, "1023 KiB"), (3_500, "3.4 KiB")] {
            assert_eq!(bytes(count), text);
        }
        for (seconds, text) in [
            (4, "4 s"),
            (59, "59 s"),
            (750, "12.5 min"),
            (3_599, "1.0 h"),
            (359_000, "99.7 h"),
            (360_000, "4 d"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        for shift in 0..36 {
            assert!(bytes(u64::MAX >> (shift + 14)).len() <= 9);
            assert!(span(Duration::from_millis((1 << shift) - 1)).len() <= 8);
        }
        assert_eq!(rtt(Some(f64::NAN)), "-");
    }
}
