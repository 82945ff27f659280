//! The streams: colour where it is wanted, a pager where somebody reads.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write as _};
use std::process::{Command, Stdio};

use crate::cli::Color;

/// What a stream takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    /// Whether it is a terminal.
    pub terminal: bool,
    /// Whether styles may go there.
    pub color: bool,
}

impl Stream {
    /// Looks at a stream, and at what the user wants (<https://no-color.org>).
    pub(crate) fn new(stream: &impl IsTerminal, wanted: Color) -> Self {
        let terminal = stream.is_terminal();
        let color = match wanted {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                terminal && !is_set("NO_COLOR") && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
            }
        };
        Self { terminal, color }
    }

    /// Returns the text as this stream takes it.
    pub(crate) fn styled<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.color || !text.contains('\x1b') {
            return Cow::Borrowed(text);
        }
        Cow::Owned(anstream::adapter::strip_str(text).to_string())
    }
}

/// Whether a variable has a value that is not empty.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// Writes to stdout, to the end.
///
/// # Errors
/// If nobody takes it.
pub(crate) fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Shows a text in the pager that the user has; tells whether there was one.
///
/// # Errors
/// If the pager cannot be waited for.
pub(crate) fn page(text: &str) -> io::Result<bool> {
    let choice = ["MESHCTL_PAGER", "PAGER"].into_iter().find_map(|name| std::env::var(name).ok());
    let command = choice.unwrap_or_else(|| "less".to_owned());
    let mut words = command.split_whitespace();
    let Some(program) = words.next().filter(|&program| program != "cat") else { return Ok(false) };
    let mut pager = Command::new(program);
    pager.args(words).stdin(Stdio::piped());
    if !is_set("LESS") {
        // End by itself if all fits on the screen; show styles; leave the text there.
        pager.env("LESS", "FRX");
    }
    // A reader of status needs no shell: `less` starts none, also not under sudo.
    pager.env("LESSSECURE", "1");
    let Ok(mut child) = pager.spawn() else { return Ok(false) };
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever quits the pager has read enough.
        let _ = stdin.write_all(text.as_bytes());
    }
    child.wait()?;
    Ok(true)
}
