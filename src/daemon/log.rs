//! The log, on stderr; and what happens on a panic.

use std::io::{IsTerminal as _, stderr};
use std::process;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// Starts logging what `filter` lets through, and makes every panic end the process: a core in a state that it should never
/// be in must not go on, and starting anew is the supervisor's job.
///
/// # Errors
/// If `filter` is none.
pub fn start(filter: &str) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(filter).with_context(|| format!("\"{filter}\" is no log level or filter"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_target(false);
    let log = log.with_ansi(stderr().is_terminal());
    // The journal stamps each line by itself.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().init();
    } else {
        log.init();
    }
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("internal error: {panic}");
        process::abort();
    }));
    Ok(())
}
