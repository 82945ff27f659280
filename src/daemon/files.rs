//! Files that the daemon writes: its state and its status. Each is replaced whole: a reader, or a daemon that was killed,
//! finds the old text or the new one, never a part.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::unistd::{self, AccessFlags, Gid, Group, Uid, User};
use zeroize::Zeroizing;

/// The longest state file that is read: some hundred bytes for each peer.
const MAX_STATE_LEN: u64 = 4 << 20;

/// Makes a directory (0700, its parents too) if it is missing, for the user that the daemon will be. One that is there
/// stays as it is.
///
/// # Errors
/// If it cannot be made.
pub fn make_dir(path: &Path, owner: (Option<Uid>, Option<Gid>)) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        // Another daemon, started at the same time, was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        made => made?,
    }
    match owner {
        (None, None) => Ok(()),
        (uid, gid) => unistd::chown(path, uid, gid).map_err(io::Error::from),
    }
}

/// Sees to it that a directory which was there before is of use to the user that the daemon has become: a network that ran
/// as another one leaves a directory that is not.
///
/// # Errors
/// If nothing can be read or written there: says whose it is.
pub fn check_dir(path: &Path) -> anyhow::Result<()> {
    let wanted = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    let Err(error) = unistd::access(path, wanted) else { return Ok(()) };
    let owner = fs::metadata(path).ok().map(|found| user_name(found.uid()));
    let me = user_name(unistd::geteuid().as_raw());
    let path = path.display();
    Err(error).with_context(|| match owner {
        Some(owner) if owner != me => format!(
            "{path} belongs to {owner}, and this network runs as {me} (chown -R {me} {path}, or name another directory)"
        ),
        _ => format!("cannot read and write in {path}"),
    })
}

/// Says why the user that we run as cannot read `path` (whose it is, or which directory on the way bars it), and the command
/// that mends it. `None` if that cannot be told.
#[must_use]
pub fn denied(path: &Path) -> Option<(String, String)> {
    let me = user_name(unistd::geteuid().as_raw());
    let path = std::path::absolute(path).ok()?;
    // Neither owner nor mode is why, then: a running network reaches only the places that it was started with.
    if unistd::access(&path, AccessFlags::R_OK).is_ok() {
        return None;
    }
    let mut way: Vec<&Path> = path.ancestors().skip(1).collect();
    way.reverse();
    let barred = way.into_iter().find(|dir| unistd::access(*dir, AccessFlags::X_OK).is_err());
    let culprit = barred.unwrap_or(&path);
    let found = fs::metadata(culprit).ok()?;
    let (owner, mode) = (user_name(found.uid()), found.mode() & 0o7777);
    let shown = culprit.display();
    let whose = format!("{shown} belongs to {owner}, mode {mode:04o}, and this network runs as {me}");
    let mend = match (barred.is_some(), owner == me) {
        (false, true) => format!("chmod u+r {shown}"),
        (false, false) => format!("chown {me} {shown}"),
        (true, true) => format!("chmod u+x {shown}"),
        // The directory may hold what others own: the group's way in is enough.
        (true, false) => format!("chgrp {} {shown} && chmod g+x {shown}", group_name(unistd::getegid())),
    };
    Some((whose, mend))
}

fn group_name(gid: Gid) -> String {
    let group = Group::from_gid(gid).ok().flatten();
    group.map_or_else(|| gid.to_string(), |group| group.name)
}

fn user_name(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// Reserves a file for this process until what is returned is dropped: two daemons that share a state would each overwrite
/// what the other must not forget. The lock is on a file beside it (`.lock`), since the file itself is replaced.
///
/// # Errors
/// If another process has it, or the lock's file cannot be made.
pub fn reserve(path: &Path) -> anyhow::Result<File> {
    let lock = beside(path, ".lock");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&lock);
    let file = file.with_context(|| format!("cannot open {}", lock.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another meshnetd keeps its state in {}: give each network its own TapName, or its own --state-dir",
            path.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", lock.display()))
        }
    }
}

/// Replaces a file (0600). With `durable` the new text survives a power failure once this returns.
///
/// # Errors
/// If the text cannot be written; then the old one stays.
pub fn replace(path: &Path, text: &[u8], durable: bool) -> io::Result<()> {
    let temporary = beside(path, ".new");
    let result = write_then_rename(path, &temporary, text, durable);
    if result.is_err() {
        // It may never have been made; the error that matters is the first.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write_then_rename(path: &Path, temporary: &Path, text: &[u8], durable: bool) -> io::Result<()> {
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(text)?;
    if durable {
        file.sync_all()?;
    }
    fs::rename(temporary, path)?;
    if durable && let Some(parent) = path.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Reads a state file; `None` if there is none yet.
///
/// # Errors
/// If it cannot be read, or is far too long to be one.
pub fn read_state(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // At once in its final size, for it may hold keys: a buffer that grows leaves copies behind.
    let len = file.metadata()?.len().min(MAX_STATE_LEN) + 1;
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(len).unwrap_or_default()));
    file.take(MAX_STATE_LEN + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_STATE_LEN {
        return Err(io::Error::other(format!("longer than {MAX_STATE_LEN} bytes")));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_replaced_file_is_private_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh0.state");
        fs::write(beside(&path, ".new"), "left by a daemon that was killed").unwrap();
        replace(&path, b"one", true).unwrap();
        replace(&path, b"two", false).unwrap();
        assert_eq!(*read_state(&path).unwrap().unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn daemons_that_start_together_make_their_directory_together() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let path = dir.path().join(format!("{round}/meshnet"));
            let together = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        together.wait();
                        make_dir(&path, (None, None)).unwrap();
                    });
                }
            });
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        }
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(make_dir(&dir.path().join("file"), (None, None)).is_err(), "no directory");
    }

    #[test]
    fn a_failed_replacement_keeps_the_old_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh0.state");
        replace(&path, b"one", true).unwrap();
        fs::create_dir(beside(&path, ".new")).unwrap();
        assert!(replace(&path, b"two", true).is_err());
        assert_eq!(*read_state(&path).unwrap().unwrap(), b"one");
    }

    #[test]
    fn a_state_belongs_to_one_daemon_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh0.state");
        let first = reserve(&path).unwrap();
        let refused = reserve(&path).unwrap_err().to_string();
        assert!(refused.starts_with("another meshnetd keeps its state in "), "{refused}");
        reserve(&dir.path().join("mesh1.state")).unwrap();
        // A daemon that was killed leaves the lock's file, which locks nothing.
        drop(first);
        reserve(&path).unwrap();
    }

    #[test]
    fn no_state_yet_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_state(&dir.path().join("none")).unwrap().is_none());
    }
}
