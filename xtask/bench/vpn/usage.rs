//! What a process has used so far, as the kernel accounts it.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Of the kernel's clock, per second.
const TICKS: f64 = 100.0;

/// Returns seconds of processor time, user's and system's.
pub(super) fn processor(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // User and system time are the 12th and 13th field behind the name, which may have spaces and is in parentheses.
    let rest = stat.rsplit_once(')').context("no name in stat")?.1;
    let ticks: u64 =
        rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    #[allow(clippy::cast_precision_loss, reason = "a bench takes no years")]
    Ok(ticks as f64 / TICKS)
}

/// Returns megabytes of memory that are resident.
pub(super) fn resident(pid: u32) -> Result<f64> {
    Ok(number(format!("/proc/{pid}/status"), "VmRSS:")? / 1000.0)
}

/// Returns the most megabytes that ever were.
pub(super) fn peak(pid: u32) -> Result<f64> {
    Ok(number(format!("/proc/{pid}/status"), "VmHWM:")? / 1000.0)
}

/// Returns how often its threads gave up a processor to wait.
pub(super) fn waits(pid: u32) -> Result<f64> {
    let mut sum = 0.0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ends meanwhile does not count.
        sum += number(task?.path().join("status"), "voluntary_ctxt_switches:").unwrap_or(0.0);
    }
    Ok(sum)
}

fn number(path: impl AsRef<Path>, key: &str) -> Result<f64> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("{}: no {key}", path.display()))
}
