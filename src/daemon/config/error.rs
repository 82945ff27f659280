//! What can be wrong with a configuration, told so that the reader can mend it.

use std::fmt;

/// A problem at one place of a configuration: `file:line: key: what is wrong; what would be right`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file's name as given.
    pub file: String,
    /// The line, from 1; `None` if the file as a whole is meant.
    pub line: Option<u32>,
    /// The key, if the problem is with one.
    pub key: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub right: String,
    /// Whether the daemon starts all the same.
    pub severity: Severity,
    /// Whether it is that others can read a secret.
    pub exposes_secret: bool,
}

/// Whether a configuration with this problem is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is.
    Error,
    /// It is not, but somebody should look at it.
    Warning,
}

impl ConfigError {
    /// Makes an error about the whole of a file.
    pub(crate) fn file(file: &str, what: impl Into<String>, right: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            key: None,
            what: what.into(),
            right: right.into(),
            severity: Severity::Error,
            exposes_secret: false,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        write!(f, "{}; {}", self.what, self.right)
    }
}

impl std::error::Error for ConfigError {}

/// Quotes a value for a message: cut short, control characters escaped, and nothing that could be a secret in the
/// wrong place.
pub(super) fn quoted(text: &str) -> String {
    /// The longest sensible value, an IPv6 network in full, has 43 characters.
    const LONGEST: usize = 48;
    if looks_like_key(text) {
        return "what looks like a key".to_owned();
    }
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

/// Tells whether any stretch of the text could be (a good part of) a key in base64 or hexadecimal.
pub(super) fn looks_like_key(text: &str) -> bool {
    /// A key has 43 characters before its padding; half of one is still no good in a log.
    const SUSPICIOUS: usize = 22;
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '+' || c == '/'))
        .any(|run| run.len() >= SUSPICIOUS)
}
