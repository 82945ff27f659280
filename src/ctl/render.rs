//! How answers look: tables and text for people, JSON for programs.

pub(crate) mod json;
pub(crate) mod network;
pub(crate) mod output;
pub(crate) mod overview;
pub(crate) mod qr;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod units;

use std::borrow::Cow;

/// Takes out what a terminal would obey: names come from radios and other people.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    /// Characters that reorder or hide their neighbours.
    const fn misleads(c: char) -> bool {
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    }
    if text.chars().any(|c| c.is_control() || misleads(c)) {
        Cow::Owned(text.chars().map(|c| if c.is_control() || misleads(c) { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        assert_eq!(super::clean("caf\u{e9} 7"), "caf\u{e9} 7");
        assert_eq!(super::clean("\u{1b}]0;x\u{7}\n\u{202e}"), "\u{fffd}]0;x\u{fffd}\u{fffd}\u{fffd}");
    }
}
