//! Runs tasks side by side, each in a directory of its own, and says how far they are.

use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Instant;

use anyhow::{Context as _, Error, Result};
use meshnet_system::{base, interrupt, process};
use serde_json::Value;

use super::Task;
use crate::say;

/// How tasks ended, each with its job's name.
#[derive(Debug)]
pub(super) struct Ended {
    /// What they found.
    pub(super) found: Vec<(&'static str, Value)>,
    /// What they failed with; their logs are shown and kept.
    pub(super) failed: Vec<(&'static str, Error)>,
}

/// Runs all tasks, `at_once` at a time, the longest first; those that must be alone come last, one by one.
///
/// # Errors
/// When interrupted.
pub(super) fn run(mut tasks: Vec<Task>, at_once: usize) -> Result<Ended> {
    tasks.sort_by_key(|task| (!task.alone, task.expected));
    let whole = tasks.len();
    let waiting = Mutex::new(tasks);
    let found = Mutex::new(Vec::new());
    let failed = Mutex::new(Vec::new());
    // Held shared by a task, exclusively by one that must be alone.
    let machine = RwLock::new(());
    std::thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, whole.max(1)) {
            scope.spawn(|| {
                while let Some(task) = next(&waiting) {
                    if interrupt::check().is_err() {
                        return;
                    }
                    let (job, title) = (task.job, task.title.clone());
                    let start = Instant::now();
                    let done = if task.alone {
                        let _turn = machine.write().unwrap_or_else(PoisonError::into_inner);
                        work(task)
                    } else {
                        let _turn = machine.read().unwrap_or_else(PoisonError::into_inner);
                        work(task)
                    };
                    match done {
                        Ok(value) => {
                            let mut found = lock(&found);
                            found.push((job, value));
                            let seconds = start.elapsed().as_secs();
                            say::note(&format!("[{}/{whole}] {job}: {title} ({seconds} s)", found.len()));
                        }
                        Err(error) => {
                            say::note(&format!("{job}: {title} failed: {error:#}"));
                            lock(&failed).push((job, error.context(title)));
                        }
                    }
                }
            });
        }
    });
    interrupt::check()?;
    Ok(Ended { found: into(found), failed: into(failed) })
}

/// Takes the last one, which is the longest of those that need not be alone while there are such.
fn next(waiting: &Mutex<Vec<Task>>) -> Option<Task> {
    lock(waiting).pop()
}

fn work(task: Task) -> Result<Value> {
    let dir = tempfile::Builder::new().prefix(&format!("{}.", task.job)).tempdir_in(base("bench")?)?;
    let done = (task.work)(dir.path());
    if done.is_err() && interrupt::check().is_ok() {
        process::show_logs(dir.path());
        let kept = dir.keep();
        return done.with_context(|| format!("logs are in {}", shown(&kept)));
    }
    done
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn into<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}
