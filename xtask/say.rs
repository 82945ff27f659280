//! What is shown to the person at the terminal: steps as they happen, tables, and one verdict at the end.

use std::io::IsTerminal as _;

/// Announces a step.
pub(crate) fn step(text: &str) {
    eprintln!("{} {text}", paint("1;34", "==>"));
}

/// Says how a step went on.
pub(crate) fn note(text: &str) {
    eprintln!("    {text}");
}

/// Ends everything in one line.
pub(crate) fn verdict(good: bool, text: &str) {
    let word = if good { paint("1;32", "PASSED") } else { paint("1;31", "FAILED") };
    eprintln!("\n{word} {text}");
}

/// Prints rows as a table on standard output, the first row being its head; numbers are right-aligned.
pub(crate) fn table(rows: &[Vec<String>]) {
    print!("{}", layout(rows));
}

fn layout(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (cell, &width) in row.iter().zip(&widths) {
            let number = cell.starts_with(|c: char| c.is_ascii_digit()) && index > 0 && !cell.contains('/');
            let cell = if number { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            line.push_str(&cell);
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
        if index == 0 {
            text.push_str(&"-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1)));
            text.push('\n');
        }
    }
    text
}

fn paint(colour: &str, text: &str) -> String {
    if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_with_numbers_to_the_right() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = layout(&[row(["what", "ms"]), row(["ping", "7"]), row(["transfer", "1250"])]);
        assert_eq!(text, "what      ms\n--------------\nping         7\ntransfer  1250\n");
    }
}
