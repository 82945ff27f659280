//! JSON for programs.

use serde::Serialize;

use crate::error::Error;

/// Returns the text of a value, with a newline at its end.
///
/// # Errors
/// If JSON cannot say it.
pub(crate) fn text(value: &impl Serialize, pretty: bool) -> Result<String, Error> {
    let made = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let mut text = made.map_err(|error| Error::failure("cannot write this as JSON").because(error))?;
    text.push('\n');
    Ok(text)
}
