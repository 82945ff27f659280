//! What every verb is given: the global options, and where its answer goes.

use std::io::{self, Write as _};

use meshnet_bus::names::Instance;
use serde::Serialize;

use crate::cli::{Global, JsonMode};
use crate::error::Error;
use crate::render::output::{self, Stream};

/// The global options, and the two streams.
#[derive(Debug)]
pub(crate) struct Context {
    /// JSON instead of text; how.
    json: Option<JsonMode>,
    /// The network that `-n` names.
    pub network: Option<Instance>,
    /// Whether polkit may ask for a password.
    pub ask: bool,
    pager: bool,
    stdout: Stream,
    stderr: Stream,
}

impl Context {
    /// As the options say.
    pub(crate) fn new(global: &Global) -> Self {
        let json = if global.short_json { Some(JsonMode::Auto) } else { global.json };
        let stdout = Stream::new(&io::stdout(), global.color);
        Self {
            json: json.filter(|&mode| mode != JsonMode::Off),
            network: global.network.clone(),
            ask: !global.no_ask_password,
            pager: !global.no_pager && stdout.terminal,
            stdout,
            stderr: Stream::new(&io::stderr(), global.color),
        }
    }

    /// For verbs without options.
    pub(crate) fn plain() -> Self {
        let off = Stream { terminal: false, color: false };
        Self { json: None, network: None, ask: false, pager: false, stdout: off, stderr: off }
    }

    /// Whether JSON is wanted.
    pub(crate) fn wants_json(&self) -> bool {
        self.json.is_some()
    }

    /// Whether stdout takes colour.
    pub(crate) fn has_color(&self) -> bool {
        self.stdout.color
    }

    /// Whether long answers go through a pager.
    pub(crate) fn pages(&self) -> bool {
        self.pager
    }

    /// Whether stdout is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.stdout.terminal
    }

    /// Answers with a text that may be long: in a pager, on a terminal. Styles in it are taken out where none are wanted.
    ///
    /// # Errors
    /// If it cannot be written; a closed pipe ends the process in silence.
    pub(crate) fn page(&self, text: &str) -> Result<(), Error> {
        let text = self.stdout.styled(text);
        if !(self.pager && output::page(&text)?) {
            output::write(&text)?;
        }
        Ok(())
    }

    /// Answers with a text, or one more line of a stream of events; it is out when this returns.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub(crate) fn print(&self, text: &str) -> Result<(), Error> {
        Ok(output::write(&self.stdout.styled(text))?)
    }

    /// Answers in JSON, in the form that was asked for.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub(crate) fn print_json(&self, value: &impl Serialize) -> Result<(), Error> {
        let pretty = match self.json {
            Some(JsonMode::Pretty) => true,
            Some(JsonMode::Short) => false,
            Some(JsonMode::Auto | JsonMode::Off) | None => self.stdout.terminal,
        };
        let text = crate::render::json::text(value, pretty)?;
        if pretty { self.page(&text) } else { self.print(&text) }
    }

    /// Answers with one JSON object on a line of its own, for streams.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub(crate) fn print_json_line(&self, value: &impl Serialize) -> Result<(), Error> {
        self.print(&crate::render::json::text(value, false)?)
    }

    /// Says a line on stderr; whether that can be written is nobody's concern.
    pub(crate) fn talk(&self, line: &str) {
        let _ = writeln!(io::stderr(), "{}", self.stderr.styled(line));
    }
}
