//! `org.freedesktop.LogControl1`, for `systemctl service-log-level`.
//!
//! The interface is systemd's (org.freedesktop.LogControl1(5)); its levels are syslog's names, of which the log here knows
//! five. A setter of a property holds the object tree while it waits, so polkit is asked without a word to the user.

use meshnet_bus::Error;
use meshnet_bus::names::ACTION_CONTROL;
use zbus::message::Header;

use super::core::Core;

/// Where systemd looks for it.
pub const PATH: &str = "/org/freedesktop/LogControl1";

/// The log, as this interface needs it.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// Returns the least severe level that is logged: error, warn, info, debug, trace.
    pub level: fn() -> String,
    /// Logs from this level on.
    pub set_level: fn(&str) -> anyhow::Result<()>,
    /// Where the log goes: journal or console.
    pub target: &'static str,
}

/// `org.freedesktop.LogControl1`.
pub struct LogControl {
    core: Core,
    log: Log,
}

impl LogControl {
    /// Controls this log.
    #[must_use]
    pub const fn new(core: Core, log: Log) -> Self {
        Self { core, log }
    }
}

#[zbus::interface(name = "org.freedesktop.LogControl1")]
impl LogControl {
    /// The least severe level that is logged. Set it to emerg, alert, crit, err, warning, notice, info or debug; reads as one of
    /// err, warning, info, debug.
    #[zbus(property(emits_changed_signal = "false"))]
    fn log_level(&self) -> String {
        to_syslog(&(self.log.level)()).to_owned()
    }

    #[zbus(property)]
    async fn set_log_level(
        &self,
        level: String,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<(), Error> {
        let _permit = self.core.admit_setter(header.as_ref(), ACTION_CONTROL).await?;
        let ours = from_syslog(&level).ok_or_else(|| {
            Error::InvalidArgs(
                "a log level is one of emerg, alert, crit, err, warning, notice, info, debug".to_owned(),
            )
        })?;
        (self.log.set_level)(ours).map_err(|error| Error::Failed(format!("{error:#}")))
    }

    /// Where the log goes: journal or console. It cannot be set to another than it is.
    #[zbus(property(emits_changed_signal = "false"))]
    fn log_target(&self) -> String {
        self.log.target.to_owned()
    }

    #[zbus(property)]
    async fn set_log_target(
        &self,
        target: String,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<(), Error> {
        let _permit = self.core.admit_setter(header.as_ref(), ACTION_CONTROL).await?;
        if target == self.log.target {
            return Ok(());
        }
        Err(Error::NotSupported(format!(
            "the log goes to the {}; another place takes a restart",
            self.log.target
        )))
    }

    /// How the journal calls the daemon.
    #[zbus(property(emits_changed_signal = "const"))]
    fn syslog_identifier(&self) -> &str {
        "meshnetd"
    }
}

fn to_syslog(level: &str) -> &'static str {
    match level {
        "error" => "err",
        "warn" => "warning",
        "info" => "info",
        _ => "debug",
    }
}

fn from_syslog(level: &str) -> Option<&'static str> {
    Some(match level {
        "emerg" | "alert" | "crit" | "err" => "error",
        "warning" => "warn",
        "notice" | "info" => "info",
        "debug" => "debug",
        _ => return None,
    })
}
