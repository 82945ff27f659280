//! The log, on stderr; and what happens on a panic.

use std::io::{IsTerminal as _, stderr};
use std::process;

use std::sync::OnceLock;

use anyhow::Context as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// How the filter of the running log is changed.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging what `filter` lets through, and makes every panic end the process: a core in a state that it should never
/// be in must not go on, and starting anew is the supervisor's job.
///
/// # Errors
/// If `filter` is none.
pub fn start(filter: &str) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(filter).with_context(|| format!("\"{filter}\" is no log level or filter"))?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(stderr).with_target(false).with_ansi(stderr().is_terminal());
    // The journal stamps each line by itself.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        tracing_subscriber::registry().with(filter).with(lines.without_time()).init();
    } else {
        tracing_subscriber::registry().with(filter).with(lines).init();
    }
    // A log that was started before would have failed above.
    let _ = FILTER.set(handle);
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("internal error: {panic}");
        process::abort();
    }));
    Ok(())
}

/// Returns the least severe level that anything is logged at: error, warn, info, debug, trace, off.
#[must_use]
pub fn level() -> String {
    tracing::level_filters::LevelFilter::current().to_string()
}

/// Logs everything from this level on.
///
/// # Errors
/// If there is no such level, or no log that was started.
pub fn set_level(level: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level).with_context(|| format!("\"{level}\" is no log level"))?;
    let handle = FILTER.get().context("no log was started")?;
    handle.reload(filter).context("the log is gone")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    /// Tells this test that it is the process that is to panic.
    const VICTIM: &str = "MESHNETD_TEST_PANICS";

    #[test]
    fn a_panic_is_logged_and_aborts_the_process() {
        if std::env::var_os(VICTIM).is_some() {
            super::start("info").unwrap();
            panic!("on purpose");
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "log::tests::a_panic_is_logged_and_aborts_the_process", "--nocapture"]);
        let output = command.env(VICTIM, "1").output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains("ERROR internal error: ") && log.contains("on purpose"), "{log}");
        let abort = 6; // SIGABRT
        assert_eq!(output.status.signal(), Some(abort), "{log}");
    }
}
