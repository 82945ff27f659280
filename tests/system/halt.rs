//! Stopping one thread of a process while its others run, which no signal does: `SIGSTOP` stops them all.

use std::sync::mpsc;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Stops the main thread of a process for the rest of its life. Returns when it stands still.
///
/// # Errors
/// If there is no such process, or this one may not trace it.
pub fn stop_main_thread(process: u32) -> Result<()> {
    let (tell, told) = mpsc::channel();
    let pid = Pid::from_raw(process.cast_signed());
    // A tracer is a thread, and what it traces goes on when it ends: so it stays until the process has ended. The process's
    // parent learns of that when the tracer has, and not before.
    thread::Builder::new().name("tracer".into()).spawn(move || {
        // Whoever asked may have given up.
        let _ = tell.send(stop(pid));
        while let Ok(status) = waitpid(pid, Some(WaitPidFlag::__WALL)) {
            if matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..)) {
                break;
            }
        }
    })?;
    told.recv().context("the tracer ended")?
}

fn stop(pid: Pid) -> Result<()> {
    ptrace::seize(pid, ptrace::Options::empty()).with_context(|| format!("tracing {pid}"))?;
    ptrace::interrupt(pid).with_context(|| format!("stopping {pid}"))?;
    let status = waitpid(pid, Some(WaitPidFlag::__WALL))?;
    ensure!(matches!(status, WaitStatus::Stopped(..) | WaitStatus::PtraceEvent(..)), "{status:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use nix::sys::signal::{Signal, kill};

    use super::*;
    use crate::wait::wait_for;

    #[test]
    fn a_process_whose_main_thread_is_stopped_is_killed_like_any_other_and_its_parent_learns_of_it()
    -> Result<()> {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 60 & echo $!; wait $!"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut parent = shell.spawn()?;
        let mut line = String::new();
        BufReader::new(parent.stdout.take().context("it was asked for")?).read_line(&mut line)?;
        let pid: u32 = line.trim().parse()?;
        stop_main_thread(pid)?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        ensure!(status.contains("State:\tt (tracing stop)"), "{status}");
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL)?;
        let ended = wait_for("the parent's end", Duration::from_secs(10), || Ok(parent.try_wait()?))?;
        ensure!(ended.code() == Some(128 + 9), "{ended}");
        Ok(())
    }
}
