//! A copy of a directory that is brought up to date rather than made again: what did not change keeps its modification
//! time, by which Cargo knows that there is nothing to compile.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Makes `to` hold what `from` holds, without the entries of `from` that are named `unwanted` and without touching
/// entries of `to` so named. Files that are the same stay as they are; others are replaced or removed.
///
/// # Errors
/// If something cannot be read or written.
pub(super) fn mirror(from: &Path, to: &Path, unwanted: &[&str]) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let wanted = |name: &OsString| !unwanted.iter().any(|unwanted| name == unwanted);
    let names = entries(from)?;
    for name in entries(to)?.difference(&names).filter(|name| wanted(name)) {
        remove(&to.join(name))?;
    }
    for name in names.iter().filter(|name| wanted(name)) {
        let (from, to) = (from.join(name), to.join(name));
        let kind = fs::symlink_metadata(&from)?.file_type();
        if fs::symlink_metadata(&to).is_ok_and(|there| there.file_type() != kind) {
            remove(&to)?;
        }
        if kind.is_dir() {
            // What Cargo and fuzzers leave below a member is no source either.
            mirror(&from, &to, &["target"])?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&from)?;
            if fs::read_link(&to).ok().as_ref() != Some(&target) {
                let _ = fs::remove_file(&to);
                symlink(target, &to)?;
            }
        } else if !same(&from, &to) {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// Whether two files have the same contents and mode.
fn same(one: &Path, other: &Path) -> bool {
    let read = |path| Some((fs::metadata(path).ok()?.permissions(), fs::read(path).ok()?));
    read(one) == read(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_follows_what_changes_and_leaves_alone_what_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("src/target")).unwrap();
        fs::create_dir_all(from.join("target")).unwrap();
        for name in ["same", "changed", "gone", "src/kept", "src/target/built", "target/built"] {
            fs::write(from.join(name), "one").unwrap();
        }
        symlink("same", from.join("link")).unwrap();
        mirror(&from, &to, &["target"]).unwrap();
        let written = fs::metadata(to.join("same")).unwrap().modified().unwrap();

        fs::write(from.join("changed"), "two").unwrap();
        fs::remove_file(from.join("gone")).unwrap();
        fs::remove_file(from.join("link")).unwrap();
        fs::create_dir(from.join("link")).unwrap();
        mirror(&from, &to, &["target"]).unwrap();

        assert_eq!(fs::metadata(to.join("same")).unwrap().modified().unwrap(), written);
        assert_eq!(fs::read(to.join("changed")).unwrap(), b"two");
        assert!(to.join("link").is_dir() && to.join("src/kept").exists());
        for absent in ["gone", "src/target", "target"] {
            assert!(!to.join(absent).exists(), "{absent}");
        }
    }
}
