//! Styles. Text is always made with them; [`super::output`] takes them out where none are wanted.

use anstyle::{AnsiColor, Effects, Style};

/// Headings, names.
pub(crate) const STRONG: Style = Style::new().effects(Effects::BOLD);
/// What works.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What deserves a look.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// What fails.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
/// What matters less.
pub(crate) const FAINT: Style = Style::new().effects(Effects::DIMMED);
/// Before advice.
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default();

/// Returns the text in a style.
pub(crate) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Help in the same dress as everything else.
pub(crate) const HELP: clap::builder::Styles = clap::builder::Styles::styled()
    .header(STRONG)
    .usage(STRONG)
    .literal(GOOD)
    .placeholder(Style::new())
    .error(BAD)
    .valid(GOOD)
    .invalid(WARN);
