//! The codes that the process ends with.

use std::process::ExitCode;

/// How it ended. The numbers are nmcli's, as far as it has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It is done.
    Success = 0,
    /// It failed in a way that has no code of its own; `doctor`: something has to be mended.
    Failure = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// There was no outcome in time.
    Timeout = 3,
    /// The network did not start.
    Activation = 4,
    /// The network's daemon does not run, or there is no system bus.
    NotRunning = 8,
    /// There is no such network, peer or link.
    NoSuchObject = 10,
    /// The caller may not do this.
    NotAuthorized = 13,
}

impl Exit {
    /// Every code with its meaning, as the manual tells it.
    pub const MEANINGS: [(Self, &str); 8] = [
        (Self::Success, "success"),
        (Self::Failure, "failure; with doctor: something has to be mended"),
        (Self::Usage, "the command line makes no sense"),
        (Self::Timeout, "no outcome in time"),
        (Self::Activation, "the network did not start"),
        (Self::NotRunning, "the network's daemon does not run, or there is no system bus"),
        (Self::NoSuchObject, "no such network, peer or link"),
        (Self::NotAuthorized, "not authorised"),
    ];

    /// Returns the number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
