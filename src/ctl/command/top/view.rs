//! How a network looks on the whole terminal: itself, what is wrong, its links, its peers.

use std::borrow::Cow;

use meshnet_bus::describe::{Link, Network};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::columns::{Column, fit, heading, line};
use super::history::{History, sparkline};
use super::peers::Peers;
use crate::render::{clean, units};

/// How many lines may say what is wrong.
const MAX_PROBLEMS: usize = 4;
/// How many links are shown.
const MAX_LINKS: usize = 6;
/// With fewer lines, none is blank.
const ROOMY: u16 = 16;
/// Beside what must be said of the network itself, there is room for the keys.
const ROOM_FOR_KEYS: u16 = 72;

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
    /// The peer that is always in sight, with all ways to it.
    pub selected: usize,
    /// Whether colours are wanted.
    pub color: bool,
}

impl View<'_> {
    /// Draws it.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        // Half of the terminal is the peers'.
        let share = usize::from(area.height / 4);
        let gap = u16::from(area.height >= ROOMY);
        let problems = self.problems(MAX_PROBLEMS.min(share.max(1)));
        let links = self.network.map_or(&[][..], |network| &network.links);
        let shown_links = links.len().min(MAX_LINKS.min(share));
        let [head, wrong, link_area, peer_area] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(lines(problems.len())),
            Constraint::Length(if shown_links == 0 { 0 } else { lines(shown_links) + 1 + gap }),
            Constraint::Fill(1),
        ])
        .areas(area);
        frame.render_widget(Paragraph::new(problems), wrong);
        let mut position = None;
        if let Some(network) = self.network {
            self.links(frame, below(link_area, gap), links, shown_links);
            let area = below(peer_area, gap);
            let (width, height) = (usize::from(area.width), usize::from(area.height).saturating_sub(1));
            let udp = links.iter().any(|link| link.kind == "udp");
            let peers = Peers::new(self, &network.peers, udp, width, height);
            if !peers.whole {
                let count = network.peers.len();
                position = Some(format!("peer {} of {count}", (self.selected + 1).min(count)));
            }
            let mut text = vec![peers.heading];
            text.extend(peers.lines);
            frame.render_widget(Paragraph::new(text), area);
        }
        self.head(frame, head, position);
    }

    fn head(&self, frame: &mut Frame<'_>, area: Rect, position: Option<String>) {
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
        let keys = match position {
            Some(position) => format!("{position}  ↑↓ others  q quits"),
            None => "q quits".to_owned(),
        };
        // On a narrow terminal the state counts more than the keys.
        if area.width >= ROOM_FOR_KEYS {
            frame.render_widget(Line::styled(keys, self.faint()).alignment(Alignment::Right), area);
        }
    }

    /// What is wrong, and how much more there is of it than there is room for.
    fn problems(&self, most: usize) -> Vec<Line<'_>> {
        let whole = self.problems.len() <= most;
        let shown = if whole { most } else { most - 1 };
        let style = self.color(Color::Yellow);
        let mut lines: Vec<_> =
            self.problems.iter().take(shown).map(|problem| Line::styled(clean(problem), style)).collect();
        if !whole {
            let more = self.problems.len() - shown;
            lines.push(Line::styled(format!("{more} more: see \"meshctl show\""), style));
        }
        lines
    }

    fn links(&self, frame: &mut Frame<'_>, area: Rect, links: &[Link], shown: usize) {
        let title = if shown < links.len() { "LINK (MORE)" } else { "LINK" };
        let columns = [
            Column::new(title, 8, 0).most(12),
            Column::new("STATE", 11, 1),
            Column::new("RADIO", 10, 3),
            Column::new("AIR THIS HOUR", 18, 2),
            Column::new("BUSY", 6, 4).right(),
            Column::new("QUEUED", 7, 5).right(),
            Column::new("AIR TAKEN", 10, 6).most(usize::MAX),
        ];
        let widths = fit(&columns, usize::from(area.width));
        let mut text = vec![heading(&columns, &widths, self.faint())];
        text.extend(links.iter().take(shown).map(|link| {
            let busy = link.radio.channel_utilization.map(|percent| format!("{percent:.0} %"));
            let queued = link.queued.values().fold(0u64, |sum, count| sum.saturating_add(*count));
            // Where there is none, none can be spent.
            let air = match link.kind.as_str() {
                "udp" => dash(),
                _ => units::airtime(link.airtime_used_ms, link.airtime_left_ms),
            };
            let graph = sparkline(&self.history.link(&link.name), widths[6]);
            line(
                &columns,
                &widths,
                [
                    Span::raw(owned(&link.name)),
                    Span::styled(owned(&link.state), self.state(&link.state)),
                    Span::raw(link.radio.radio.as_deref().map_or_else(dash, owned)),
                    Span::raw(air),
                    Span::raw(busy.unwrap_or_else(dash)),
                    Span::raw(queued.to_string()),
                    Span::styled(graph, self.color(Color::Cyan)),
                ],
            )
        }));
        frame.render_widget(Paragraph::new(text), area);
    }

    pub(super) fn color(&self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    pub(super) fn faint(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// How near a peer is, as a cell.
    pub(super) fn tier(&self, tier: Option<&str>) -> Span<'static> {
        let style = match tier {
            Some("direct") => self.color(Color::Green),
            Some("radio" | "relayed") => self.color(Color::Yellow),
            _ => self.faint(),
        };
        Span::styled(tier.map_or_else(dash, owned), style)
    }

    pub(super) fn state(&self, state: &str) -> Style {
        match state {
            "running" | "established" | "up" => self.color(Color::Green),
            "faulty" | "down" => self.color(Color::Red).add_modifier(Modifier::BOLD),
            "idle" => self.faint(),
            _ => self.color(Color::Yellow),
        }
    }

    /// The style of how a path stands.
    pub(super) fn path_state(&self, state: &str) -> Style {
        match state {
            "proven" => self.color(Color::Green),
            "dead" | "down" => self.color(Color::Red),
            _ => self.faint(),
        }
    }
}

/// The area without its first lines, which separate it from what is above.
fn below(area: Rect, gap: u16) -> Rect {
    Rect { y: area.y.saturating_add(gap), height: area.height.saturating_sub(gap), ..area }
}

fn lines(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

pub(super) fn owned(text: impl AsRef<str>) -> String {
    Cow::into_owned(clean(text.as_ref()))
}

pub(super) fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests;
