//! An error as the user is told it: what failed, why, what to do.

use std::fmt;
use std::io;

use crate::context::Context;
use crate::exit::Exit;
use crate::render::style;

/// What went wrong, and how the process ends because of it.
#[derive(Debug)]
pub(crate) struct Error {
    exit: Exit,
    what: String,
    why: Option<String>,
    hints: Vec<String>,
    quiet: bool,
}

impl Error {
    /// Something failed: `what` is a clause without a full stop ("cannot start mesh0").
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: None, hints: Vec::new(), quiet: false }
    }

    /// Something failed that has no exit code of its own.
    pub(crate) fn failure(what: impl Into<String>) -> Self {
        Self::new(Exit::Failure, what)
    }

    /// The command line makes no sense.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Says why: another clause, which follows a colon.
    #[must_use]
    pub(crate) fn because(mut self, why: impl fmt::Display) -> Self {
        self.why = Some(match self.why {
            Some(inner) => format!("{why}: {inner}"),
            None => why.to_string(),
        });
        self
    }

    /// Says what was tried when this happened; what was said so far becomes the reason.
    #[must_use]
    pub(crate) fn context(self, what: impl Into<String>) -> Self {
        let why = self.to_string();
        Self { what: what.into(), why: Some(why), ..self }
    }

    /// Says what to do; several are several lines.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// How the process ends.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Writes it to stderr.
    pub(crate) fn tell(&self, context: &Context) {
        if self.quiet {
            return;
        }
        context.talk(&format!("meshctl: {}", crate::render::clean(&self.to_string())));
        for hint in &self.hints {
            context.talk(&format!("{} {}", style::paint(style::HINT, "hint:"), crate::render::clean(hint)));
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.why.iter().try_for_each(|why| write!(f, ": {why}"))
    }
}

/// An answer that could not be written. Whoever closed the pipe has read enough: that is no failure.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { quiet: true, ..Self::new(Exit::Success, "") };
        }
        Self::failure(error.to_string())
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(kind @ io::ErrorKind::BrokenPipe) => io::Error::from(kind).into(),
            _ => Self::failure(format!("{error:#}")),
        }
    }
}
