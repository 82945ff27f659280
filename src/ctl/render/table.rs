//! Columns under headings, as wide as what is in them.

use anstyle::Style;
use unicode_width::UnicodeWidthStr as _;

use super::style::{self, paint};

/// Between columns.
const GAP: &str = "  ";

/// One value.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    /// Text; what a terminal would obey is taken out.
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self { text: super::clean(text.as_ref()).into_owned(), style: Style::new(), right: false }
    }

    /// A number, or what lines up like one.
    pub(crate) fn right(text: impl AsRef<str>) -> Self {
        Self { right: true, ..Self::new(text) }
    }

    /// In a style.
    #[must_use]
    pub(crate) fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }

    fn width(&self) -> usize {
        self.text.width()
    }
}

/// Rows of cells.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// With these headings and no rows.
    pub(crate) fn new(headings: impl Into<Vec<&'static str>>) -> Self {
        Self { headings: headings.into(), rows: Vec::new() }
    }

    /// Adds a row of as many cells as there are headings.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        let cells = cells.into();
        debug_assert_eq!(cells.len(), self.headings.len(), "a cell for each heading");
        self.rows.push(cells);
    }

    /// Returns the text, styles included, each line with its newline.
    pub(crate) fn render(&self) -> String {
        let right: Vec<bool> = (0..self.headings.len())
            .map(|at| self.rows.first().and_then(|row| row.get(at)).is_some_and(|cell| cell.right))
            .collect();
        let headings: Vec<Cell> = self
            .headings
            .iter()
            .zip(&right)
            .map(|(text, &right)| Cell { right, ..Cell::new(text).styled(style::STRONG) })
            .collect();
        let lines: Vec<&Vec<Cell>> = std::iter::once(&headings).chain(&self.rows).collect();
        let width =
            |at: usize| lines.iter().filter_map(|line| line.get(at)).map(Cell::width).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let mut text = String::new();
        for line in lines {
            for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
                if at > 0 {
                    text.push_str(GAP);
                }
                let fill = " ".repeat(width.saturating_sub(cell.width()));
                let last = at + 1 == line.len();
                let word = if cell.style == Style::new() {
                    cell.text.clone()
                } else {
                    paint(cell.style, &cell.text)
                };
                match (cell.right, last) {
                    (true, _) => text.extend([fill.as_str(), word.as_str()]),
                    (false, true) => text.push_str(&word),
                    (false, false) => text.extend([word.as_str(), fill.as_str()]),
                }
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them_and_lines_have_no_tail() {
        let mut table = Table::new(["NAME", "N", "STATE"]);
        table.row([Cell::new("a"), Cell::right("10"), Cell::new("up").styled(style::GOOD)]);
        table.row([Cell::new("longer"), Cell::right("7"), Cell::new("down")]);
        let text = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(text, "NAME     N  STATE\na       10  up\nlonger   7  down\n");
    }
}
