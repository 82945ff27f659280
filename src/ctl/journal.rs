//! The reason, as the journal has it.

use std::process::{Command, Stdio};

use meshnet_bus::names::Instance;

/// How many lines tell the reason.
const LINES: &str = "10";

/// The last lines of a unit's last start; empty if the journal has none that this user may read.
pub(crate) fn last_lines(name: &Instance, invocation: Option<&str>) -> Vec<String> {
    // What the daemon said at its very end may still be on its way. Only root may ask for it; others get what is there.
    let _ = journalctl(&["--sync".to_owned()]);
    let what = match invocation {
        // What the service's processes said, and what systemd said of them.
        Some(id) => {
            vec![format!("_SYSTEMD_INVOCATION_ID={id}"), "+".to_owned(), format!("INVOCATION_ID={id}")]
        }
        None => vec!["-u".to_owned(), name.unit()],
    };
    let options = ["-n", LINES, "-o", "cat", "--no-pager", "-q"].map(str::to_owned);
    let words: Vec<String> = options.into_iter().chain(what).collect();
    journalctl(&words).map(|text| text.lines().map(str::to_owned).collect()).unwrap_or_default()
}

/// Runs journalctl; `None` if it is not there or fails.
fn journalctl(words: &[String]) -> Option<String> {
    let output = Command::new("journalctl").args(words).stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
