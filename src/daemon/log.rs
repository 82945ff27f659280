//! The log: to the journal if that is where stderr goes, else to stderr; how much of it, which can change at any time; and what
//! happens on a panic.

mod fields;
mod journal;

use std::io::{IsTerminal as _, stderr};
use std::process;
use std::sync::OnceLock;

use anyhow::Context as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

/// What the log lets through, once it is started.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Where it goes, once it is started.
static TARGET: OnceLock<&str> = OnceLock::new();

/// That is no level of syslog's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLevel;

impl std::fmt::Display for BadLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no log level: one of emerg, alert, crit, err, warning, notice, info, debug")
    }
}

impl std::error::Error for BadLevel {}

/// Starts logging what `filter` lets through, and makes every panic end the process: a core in a state that it should never
/// be in must not go on, and starting anew is the supervisor's job.
///
/// # Errors
/// If `filter` is none.
pub fn start(filter: &str) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(filter).with_context(|| format!("\"{filter}\" is no log level or filter"))?;
    let (filter, handle) = reload::Layer::new(filter);
    let (to, target) = match journal::Journal::open() {
        Ok(Some(journal)) => (journal.boxed(), "journal"),
        _ => (to_stderr(), "console"),
    };
    tracing_subscriber::registry().with(filter).with(to).init();
    // The first start is the one that counts, as it is for the log itself.
    let _ = FILTER.set(handle);
    let _ = TARGET.set(target);
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("internal error: {panic}");
        process::abort();
    }));
    Ok(())
}

type Filtered = tracing_subscriber::layer::Layered<reload::Layer<EnvFilter, Registry>, Registry>;

fn to_stderr() -> Box<dyn tracing_subscriber::Layer<Filtered> + Send + Sync> {
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr).with_target(false);
    let layer = layer.fmt_fields(fields::Plain).with_ansi(stderr().is_terminal());
    // The journal stamps each line by itself.
    if std::env::var_os("JOURNAL_STREAM").is_some() { layer.without_time().boxed() } else { layer.boxed() }
}

/// Gives the journal time to take the last words of a process that is about to end: it asks the kernel who sent a message when
/// it reads it, and one whose sender is gone belongs to no unit, where nobody looks for it.
pub fn settle() {
    /// Far more than the journal takes on a busy machine, and little beside the wait for the next start.
    const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(500);
    if target() == "journal" {
        std::thread::sleep(LAST_WORDS);
    }
}

/// Returns where the log goes, in LogControl1's words: journal or console.
#[must_use]
pub fn target() -> &'static str {
    TARGET.get().copied().unwrap_or("console")
}

/// Returns the level of what is logged, in syslog's words: with a filter that tells parts apart, that of its most talkative.
#[must_use]
pub fn level() -> String {
    let most = FILTER.get().and_then(|handle| handle.with_current(EnvFilter::max_level_hint).ok()).flatten();
    let level = match most {
        Some(LevelFilter::OFF) => "emerg",
        Some(LevelFilter::ERROR) => "err",
        Some(LevelFilter::WARN) => "warning",
        Some(LevelFilter::INFO) => "info",
        Some(_) | None => "debug",
    };
    level.to_owned()
}

/// Logs from here on what is of a level of syslog's or more important.
///
/// # Errors
/// If there is no such level.
pub fn set_level(level: &str) -> Result<(), BadLevel> {
    let filter = filter_of(level)?;
    tracing::info!("the log level is {level}, as somebody asked for");
    if let Some(handle) = FILTER.get() {
        // The only failure is that the log has ended.
        let _ = handle.reload(EnvFilter::new(filter));
    }
    Ok(())
}

/// The filter for a level of syslog's. The levels that the daemon does not use count as the next that it does.
fn filter_of(level: &str) -> Result<&'static str, BadLevel> {
    match level {
        "emerg" | "alert" | "crit" | "err" => Ok("error"),
        "warning" => Ok("warn"),
        "notice" | "info" => Ok("info"),
        // What the bus and netlink libraries tell of themselves would bury everything else.
        "debug" => Ok("info,meshnetd=debug,meshnet_proto=debug"),
        _ => Err(BadLevel),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    /// Tells this test that it is the process that is to do it.
    const VICTIM: &str = "MESHNETD_TEST_VICTIM";

    /// Runs a test of this module again, in a process of its own; returns its output.
    fn again(test: &str) -> process::Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("log::tests::{test}"), "--nocapture"]);
        command.env(VICTIM, "1").env_remove("JOURNAL_STREAM").output().unwrap()
    }

    #[test]
    fn a_panic_is_logged_and_aborts_the_process() {
        if std::env::var_os(VICTIM).is_some() {
            start("info").unwrap();
            panic!("on purpose");
        }
        let output = again("a_panic_is_logged_and_aborts_the_process");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains("ERROR internal error: ") && log.contains("on purpose"), "{log}");
        let abort = 6; // SIGABRT
        assert_eq!(output.status.signal(), Some(abort), "{log}");
    }

    #[test]
    fn the_level_can_change_at_any_time() {
        if std::env::var_os(VICTIM).is_some() {
            start("warn").unwrap();
            assert_eq!(level(), "warning");
            tracing::debug!("first");
            set_level("debug").unwrap();
            assert_eq!(level(), "debug");
            tracing::debug!(message_id = "0123", peer = "cabin", "second");
            assert_eq!(set_level("verbose"), Err(BadLevel));
            set_level("emerg").unwrap();
            assert_eq!(level(), "err");
            tracing::warn!("third");
            return;
        }
        let output = again("the_level_can_change_at_any_time");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{log}");
        assert!(log.contains("DEBUG second peer=\"cabin\"\n"), "{log}");
        assert!(!log.contains("first") && !log.contains("third") && !log.contains("0123"), "{log}");
    }
}
