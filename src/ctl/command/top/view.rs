//! How a network looks on the whole terminal: itself, what is wrong, its links, its peers.

use std::borrow::Cow;

use meshnet_bus::describe::{Link, Network, Peer};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use super::history::{History, sparkline};
use crate::render::network::{peer_name, round_trip};
use crate::render::{clean, units};

/// How many lines may say what is wrong.
const MAX_PROBLEMS: usize = 4;
/// How many links are shown.
const MAX_LINKS: usize = 6;

/// What is shown.
#[derive(Debug)]
pub(super) struct View<'v> {
    /// The network's name.
    pub name: &'v str,
    /// The last description.
    pub network: Option<&'v Network>,
    /// What deserves a look.
    pub problems: &'v [String],
    /// What the sparklines show.
    pub history: &'v History,
    /// The first peer in sight.
    pub first_peer: usize,
    /// Whether colours are wanted.
    pub color: bool,
}

impl View<'_> {
    /// Draws it.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let links = self.network.map_or(0, |network| network.links.len().min(MAX_LINKS));
        let problems = self.problems.len().min(MAX_PROBLEMS);
        let [head, wrong, link_area, peer_area] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(lines(problems)),
            Constraint::Length(if links == 0 { 0 } else { lines(links) + 2 }),
            Constraint::Fill(1),
        ])
        .areas(frame.area());
        self.head(frame, head);
        let text: Vec<Line<'_>> = self
            .problems
            .iter()
            .take(problems)
            .map(|problem| Line::styled(clean(problem), self.color(Color::Yellow)))
            .collect();
        frame.render_widget(Paragraph::new(text), wrong);
        let Some(network) = self.network else { return };
        self.links(frame, below(link_area), &network.links);
        self.peers(frame, below(peer_area), &network.peers);
    }

    fn head(&self, frame: &mut Frame<'_>, area: Rect) {
        let mut words = vec![Span::styled(clean(self.name), Style::new().add_modifier(Modifier::BOLD))];
        if let Some(network) = self.network {
            words.push("  ".into());
            words.push(Span::styled(clean(&network.state), self.state(&network.state)));
            if let Some(address) = network.addresses.first() {
                words.push(format!("  {}", clean(address)).into());
            }
            words.push(format!("  for {}", units::age(network.uptime_seconds)).into());
        }
        frame.render_widget(Line::from(words), area);
        let keys = Line::styled("↑↓ peers  q quits", self.faint()).alignment(Alignment::Right);
        // On a narrow terminal the state counts more than the keys.
        if area.width >= 72 {
            frame.render_widget(keys, area);
        }
    }

    fn links(&self, frame: &mut Frame<'_>, area: Rect, links: &[Link]) {
        let widths = [
            Constraint::Length(12),
            Constraint::Length(11),
            Constraint::Length(10),
            Constraint::Length(18),
            Constraint::Length(6),
            Constraint::Length(7),
            Constraint::Fill(1),
        ];
        let graph = graph_width(area, &widths);
        let rows = links.iter().take(MAX_LINKS).map(|link| {
            let busy = link.radio.channel_utilization.map(|percent| format!("{percent:.0} %"));
            let queued = link.queued.values().fold(0u64, |sum, count| sum.saturating_add(*count));
            Row::new([
                Cell::new(owned(&link.name)),
                Cell::new(Span::styled(owned(&link.state), self.state(&link.state))),
                Cell::new(link.radio.radio.as_deref().map_or_else(dash, owned)),
                Cell::new(units::airtime(link.airtime_used_ms, link.airtime_left_ms)),
                Cell::new(Line::from(busy.unwrap_or_else(dash)).right_aligned()),
                Cell::new(Line::from(queued.to_string()).right_aligned()),
                Cell::new(Span::styled(
                    sparkline(&self.history.link(&link.name), graph),
                    self.color(Color::Cyan),
                )),
            ])
        });
        let head = ["LINK", "STATE", "RADIO", "AIR THIS HOUR", "  BUSY", " QUEUED", "AIR TAKEN"];
        let table = Table::new(rows, widths).header(Row::new(head).style(self.faint())).column_spacing(1);
        frame.render_widget(table, area);
    }

    fn peers(&self, frame: &mut Frame<'_>, area: Rect, peers: &[Peer]) {
        let widths = [
            Constraint::Length(16),
            Constraint::Length(11),
            Constraint::Length(7),
            Constraint::Length(20),
            Constraint::Length(14),
            Constraint::Length(9),
            Constraint::Length(5),
            Constraint::Length(10),
            Constraint::Length(10),
            Constraint::Fill(1),
        ];
        let graph = graph_width(area, &widths);
        let rows = peers.iter().map(|peer| {
            let path = peer.endpoint.as_ref().map(|endpoint| {
                let link = peer.link.as_deref().unwrap_or_default();
                // An address is told from a radio's node id without it.
                let endpoint = endpoint.strip_prefix("udp://").unwrap_or(endpoint);
                owned(format!("{link} {endpoint}").trim())
            });
            let heard = peer.last_seen_seconds.map_or_else(|| "never".to_owned(), short_ago);
            let loss = peer.loss.map_or_else(dash, |loss| format!("{:.0} %", loss * 100.0));
            Row::new([
                Cell::new(peer_name(peer)),
                Cell::new(Span::styled(owned(&peer.state), self.state(&peer.state))),
                Cell::new(Span::styled(
                    peer.tier.as_deref().map_or_else(dash, owned),
                    self.tier(peer.tier.as_deref().unwrap_or_default()),
                )),
                Cell::new(path.unwrap_or_else(dash)),
                Cell::new(heard),
                Cell::new(Line::from(round_trip(peer).unwrap_or_else(dash)).right_aligned()),
                Cell::new(Line::from(loss).right_aligned()),
                Cell::new(Line::from(units::bytes(peer.received.bytes)).right_aligned()),
                Cell::new(Line::from(units::bytes(peer.sent.bytes)).right_aligned()),
                Cell::new(Span::styled(
                    sparkline(&self.history.peer(&peer.public_key), graph),
                    self.color(Color::Cyan),
                )),
            ])
        });
        let head = [
            "PEER",
            "STATE",
            "TIER",
            "PATH",
            "HEARD",
            "      RTT",
            " LOSS",
            "  RECEIVED",
            "      SENT",
            "AIR TAKEN",
        ];
        let table = Table::new(rows, widths).header(Row::new(head).style(self.faint())).column_spacing(1);
        let mut state = TableState::new().with_offset(self.first_peer.min(peers.len().saturating_sub(1)));
        frame.render_stateful_widget(table, area, &mut state);
    }

    fn color(&self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    fn faint(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn tier(&self, tier: &str) -> Style {
        match tier {
            "direct" => self.color(Color::Green),
            "radio" | "relayed" => self.color(Color::Yellow),
            _ => self.faint(),
        }
    }

    fn state(&self, state: &str) -> Style {
        match state {
            "running" | "established" | "up" => self.color(Color::Green),
            "faulty" | "down" => self.color(Color::Red).add_modifier(Modifier::BOLD),
            "idle" => self.faint(),
            _ => self.color(Color::Yellow),
        }
    }
}

/// The area without its first line, which separates it from what is above.
fn below(area: Rect) -> Rect {
    Rect { y: area.y.saturating_add(1), height: area.height.saturating_sub(1), ..area }
}

/// What is left for the sparkline beside columns of fixed width.
fn graph_width(area: Rect, widths: &[Constraint]) -> usize {
    let fixed: usize = widths
        .iter()
        .map(|width| match width {
            Constraint::Length(length) => usize::from(*length) + 1,
            _ => 0,
        })
        .sum();
    usize::from(area.width).saturating_sub(fixed)
}

fn lines(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn owned(text: impl AsRef<str>) -> String {
    Cow::into_owned(clean(text.as_ref()))
}

fn dash() -> String {
    "-".to_owned()
}

/// How long ago, in little room.
fn short_ago(seconds: u64) -> String {
    match seconds {
        0 => "just now".to_owned(),
        1..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::render::network::tests::example;

    fn screen(view: &View<'_>, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect()
    }

    #[test]
    fn a_network_with_its_links_and_peers() {
        let mut network = example();
        let mut history = History::default();
        history.add(&network);
        for increment in [400, 100, 800] {
            network.peers[0].sent.airtime_ms += increment;
            history.add(&network);
        }
        let problems = ["no link works".to_owned()];
        let view = View {
            name: "mesh0",
            network: Some(&network),
            problems: &problems,
            history: &history,
            first_peer: 0,
            color: true,
        };
        let expected = [
            "mesh0  running  10.42.0.1/24  for 3 hours                                                              ↑↓ peers  q quits",
            "no link works",
            "",
            "LINK         STATE       RADIO      AIR THIS HOUR        BUSY  QUEUED AIR TAKEN",
            "radio0       up          !d45b9db8  4.2 s of 36 s        13 %       2                                                ▄▁█",
            "",
            "PEER             STATE       TIER    PATH                 HEARD                RTT  LOSS   RECEIVED       SENT AIR TAKEN",
            "cabin            established radio   radio0 !a1b2c3d4     3 min ago          1.8 s   3 %       84 B    3.4 KiB       ▄▁█",
            "AwMDAwMDAwMD…    idle        -       -                    never                  -     -        0 B        0 B",
            "",
        ];
        assert_eq!(screen(&view, 120, 10), expected);
    }

    #[test]
    fn no_terminal_is_too_small() {
        let network = example();
        let history = History::default();
        let view = View {
            name: "mesh0",
            network: Some(&network),
            problems: &[],
            history: &history,
            first_peer: 7,
            color: false,
        };
        for (width, height) in [(0, 0), (1, 1), (20, 3), (80, 24), (500, 2)] {
            screen(&view, width, height);
        }
    }

    #[test]
    fn a_network_that_does_not_run_says_so() {
        let problems = ["mesh0 does not run".to_owned()];
        let history = History::default();
        let view = View {
            name: "mesh0",
            network: None,
            problems: &problems,
            history: &history,
            first_peer: 0,
            color: true,
        };
        assert_eq!(screen(&view, 40, 3), ["mesh0", "mesh0 does not run", ""]);
    }
}
