//! `org.freedesktop.LogControl1`, for `systemctl service-log-level`.
//!
//! The interface is systemd's (org.freedesktop.LogControl1(5)); its levels are syslog's names, of which the log here knows
//! four. A setter of a property holds the object tree while it waits, so polkit is asked without a word to the user.

use meshnet_bus::Error;
use meshnet_bus::names::ACTION_CONTROL;
use zbus::message::Header;

use super::core::Core;
use crate::log;

/// Where systemd looks for it.
pub const PATH: &str = "/org/freedesktop/LogControl1";

/// `org.freedesktop.LogControl1`.
pub struct LogControl {
    core: Core,
}

impl LogControl {
    /// Controls the process's log.
    #[must_use]
    pub const fn new(core: Core) -> Self {
        Self { core }
    }
}

#[zbus::interface(name = "org.freedesktop.LogControl1")]
impl LogControl {
    /// The least severe level that is logged. Set it to emerg, alert, crit, err, warning, notice, info or debug; reads as one of
    /// err, warning, info, debug.
    #[zbus(property(emits_changed_signal = "false"))]
    fn log_level(&self) -> String {
        log::level()
    }

    #[zbus(property)]
    async fn set_log_level(
        &self,
        level: String,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<(), Error> {
        let _permit = self.core.admit_setter(header.as_ref(), ACTION_CONTROL).await?;
        log::set_level(&level).map_err(|error| Error::InvalidArgs(error.to_string()))
    }

    /// Where the log goes: journal or console. It cannot be set to another than it is.
    #[zbus(property(emits_changed_signal = "false"))]
    fn log_target(&self) -> String {
        log::target().to_owned()
    }

    #[zbus(property)]
    async fn set_log_target(
        &self,
        target: String,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<(), Error> {
        let _permit = self.core.admit_setter(header.as_ref(), ACTION_CONTROL).await?;
        if target == log::target() {
            return Ok(());
        }
        Err(Error::NotSupported(format!(
            "the log goes to the {}; another place takes a restart",
            log::target()
        )))
    }

    /// How the journal calls the daemon.
    #[zbus(property(emits_changed_signal = "const"))]
    fn syslog_identifier(&self) -> &str {
        "meshnetd"
    }
}
