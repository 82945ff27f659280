//! Cuts a configuration text into sections and entries.
//!
//! The dialect, as the Python tool reads it: `[Section]` alone on its line, `Key = value` in between, spelled exactly; lines that
//! start with `#` or `;` say nothing. Beyond it, a `#` after white space starts a comment anywhere, and white space
//! around a line does not matter. What the Python tool passes over in silence, a line that is none of these, is an
//! error here.

/// One `Key = value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'t> {
    /// The line, from 1.
    pub line: u32,
    /// What is before the first `=`.
    pub key: &'t str,
    /// What is after it, without a comment.
    pub value: &'t str,
}

/// One `[Name]` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section<'t> {
    /// The line of its header.
    pub line: u32,
    /// The text between the brackets.
    pub name: &'t str,
    /// Its entries in the order of the text.
    pub entries: Vec<Entry<'t>>,
}

/// A line that is nothing of the dialect. It holds no text of the line, which might be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stray {
    /// Starts like a section header, and is none.
    BadHeader,
    /// Has no `=`.
    NoEquals,
    /// Comes before any section.
    BeforeSection,
}

/// Cuts `text`; the second list holds the lines that make no sense, with their numbers.
pub(super) fn sections(text: &str) -> (Vec<Section<'_>>, Vec<(u32, Stray)>) {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut strays = Vec::new();
    for (line, content) in lines(text) {
        let content = uncommented(content);
        if content.is_empty() {
            continue;
        }
        if let Some(rest) = content.strip_prefix('[') {
            match rest.strip_suffix(']').map(str::trim) {
                Some(name) if !name.contains(['[', ']']) => {
                    sections.push(Section { line, name, entries: Vec::new() });
                }
                _ => strays.push((line, Stray::BadHeader)),
            }
            continue;
        }
        let Some((key, value)) = content.split_once('=') else {
            strays.push((line, Stray::NoEquals));
            continue;
        };
        match sections.last_mut() {
            Some(section) => section.entries.push(Entry { line, key: key.trim(), value: value.trim() }),
            None => strays.push((line, Stray::BeforeSection)),
        }
    }
    (sections, strays)
}

/// The lines with their numbers. Besides `\n` and `\r\n`, everything ends a line that ends one for the Python tool.
fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(at) = text.find(ends_line) else {
            rest = None;
            return Some(text);
        };
        let (line, tail) = text.split_at(at);
        let mut tail_chars = tail.chars();
        if tail_chars.next() == Some('\r') && tail_chars.clone().next() == Some('\n') {
            tail_chars.next();
        }
        rest = Some(tail_chars.as_str());
        Some(line)
    })
    .zip(1..)
    .map(|(content, line)| (line, content))
}

const fn ends_line(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The line without its comment and the white space around it.
fn uncommented(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return "";
    }
    let mut after_space = false;
    for (at, c) in line.char_indices() {
        if c == '#' && (after_space || line[..at].ends_with('=')) {
            return line[..at].trim_end();
        }
        after_space = c.is_whitespace();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<(u32, &str, &str)> {
        let (sections, strays) = sections(text);
        assert_eq!(strays, [], "{text:?}");
        sections.iter().flat_map(|s| &s.entries).map(|e| (e.line, e.key, e.value)).collect()
    }

    #[test]
    fn a_comment_starts_a_line_or_follows_white_space() {
        let text = "# a = 1\n[S] # s\n ; b = 2\nc = 3 # three\nd = 4#5\ne =#6\nf=\t# nothing\n";
        assert_eq!(entries(text), [(4, "c", "3"), (5, "d", "4#5"), (6, "e", ""), (7, "f", "")]);
    }

    #[test]
    fn only_the_first_equals_sign_separates() {
        assert_eq!(entries("[S]\nk = AAA==\n"), [(2, "k", "AAA==")]);
    }

    #[test]
    fn every_line_end_of_the_python_tool_ends_a_line() {
        for end in ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\u{85}", "\u{2028}", "\u{2029}"] {
            assert_eq!(
                entries(&["[S]", "a=1", "", "b=2"].join(end)),
                [(2, "a", "1"), (4, "b", "2")],
                "{end:?}"
            );
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        assert_eq!(entries("\u{feff}[S]\na=1"), [(2, "a", "1")]);
    }

    #[test]
    fn lines_that_are_nothing_are_told() {
        let (_, strays) = sections("a = 1\n[S\n[S]]\n[S]\nMTU 180\n");
        assert_eq!(
            strays,
            [(1, Stray::BeforeSection), (2, Stray::BadHeader), (3, Stray::BadHeader), (5, Stray::NoEquals)]
        );
    }
}
