//! Columns that fit a terminal: what matters most is kept where there is little room, and nothing is squeezed until it says
//! nothing.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub title: &'static str,
    /// Below that it is left out.
    pub least: usize,
    /// It takes no more, however much there is.
    pub most: usize,
    /// The lowest is kept longest, and grows first.
    pub rank: u8,
    pub right: bool,
}

impl Column {
    /// Of this width, whatever there is.
    pub(super) const fn new(title: &'static str, width: usize, rank: u8) -> Self {
        Self { title, least: width, most: width, rank, right: false }
    }

    /// For numbers.
    pub(super) const fn right(self) -> Self {
        Self { right: true, ..self }
    }

    /// May grow.
    pub(super) const fn most(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

/// Returns how wide each column is in a line of this width; 0: it has no place. The first by rank always has one.
pub(super) fn fit<const N: usize>(columns: &[Column; N], width: usize) -> [usize; N] {
    let mut order: [usize; N] = std::array::from_fn(|at| at);
    order.sort_by_key(|&at| columns[at].rank);
    let mut widths = [0; N];
    let mut left = width;
    for (place, &at) in order.iter().enumerate() {
        let gap = usize::from(place > 0);
        let wanted = if place == 0 { columns[at].least.min(width) } else { columns[at].least };
        if wanted + gap > left {
            break;
        }
        widths[at] = wanted;
        left -= wanted + gap;
    }
    for at in order {
        if widths[at] > 0 {
            let more = columns[at].most.saturating_sub(widths[at]).min(left);
            widths[at] += more;
            left -= more;
        }
    }
    widths
}

/// The line above the rows.
pub(super) fn heading<const N: usize>(
    columns: &[Column; N],
    widths: &[usize; N],
    style: Style,
) -> Line<'static> {
    line(columns, widths, columns.map(|column| Span::styled(column.title, style)))
}

/// A row: each cell as wide as its column, what is too long ends in an ellipsis.
pub(super) fn line<const N: usize>(
    columns: &[Column; N],
    widths: &[usize; N],
    cells: [Span<'static>; N],
) -> Line<'static> {
    let mut spans = Vec::with_capacity(2 * N);
    for ((column, &width), cell) in columns.iter().zip(widths).zip(cells) {
        if width == 0 {
            continue;
        }
        if !spans.is_empty() {
            spans.push(Span::raw(" "));
        }
        let text = cut(&cell.content, width);
        let fill = Span::raw(" ".repeat(width.saturating_sub(text.width())));
        let cell = Span::styled(text, cell.style);
        spans.extend(if column.right { [fill, cell] } else { [cell, fill] });
    }
    Line::from(spans)
}

/// As much of a text as fits; an ellipsis stands for the rest.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let Some(mut left) = width.checked_sub(1) else { return String::new() };
    let fits = |c: &char| {
        let taken = c.width().unwrap_or_default();
        left.checked_sub(taken).map(|rest| left = rest).is_some()
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// Breaks a text between words into lines of this width. A word that is longer is cut.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(last) if last.width() + 1 + word.width() <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(cut(word, width)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column::new("NAME", 6, 0).most(8),
        Column::new("STATE", 5, 2),
        Column::new("SENT", 4, 1).right().most(usize::MAX),
    ];

    #[test]
    fn what_matters_most_is_kept_and_grows_first() {
        for (width, widths) in [
            (0, [0, 0, 0]),
            (3, [3, 0, 0]),
            (10, [8, 0, 0]),
            (11, [6, 0, 4]),
            (16, [8, 0, 7]),
            (17, [6, 5, 4]),
            (30, [8, 5, 15]),
        ] {
            assert_eq!(fit(&COLUMNS, width), widths, "{width}");
        }
    }

    #[test]
    fn every_line_is_as_wide_as_the_columns() {
        let cells = || [Span::raw("a long name"), Span::raw("up"), Span::raw("12")];
        for width in 1..40 {
            let widths = fit(&COLUMNS, width);
            let columns = widths.iter().filter(|width| **width > 0).count();
            let expected = widths.iter().sum::<usize>() + columns - 1;
            assert_eq!(line(&COLUMNS, &widths, cells()).width(), expected, "{width}");
            assert!(expected <= width, "{width}");
        }
        assert_eq!(line(&COLUMNS, &fit(&COLUMNS, 17), cells()).to_string(), "a lon… up      12");
    }

    #[test]
    fn what_is_wide_is_cut_by_its_width() {
        assert_eq!(cut("cabin", 5), "cabin");
        assert_eq!(cut("cabins", 5), "cabi…");
        assert_eq!(cut("小屋小屋", 4), "小…");
        assert_eq!(cut("cabin", 0), "");
    }

    #[test]
    fn words_go_to_the_next_line_whole() {
        assert_eq!(wrap("it answered, and is better", 12), ["it answered,", "and is", "better"]);
        assert_eq!(wrap("unanswered", 4), ["una…"]);
        assert_eq!(wrap("", 4), [""; 0]);
    }
}
