//! The version of a package is that of its changelog's first entry.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Checks that something may be a version's suffix.
///
/// # Errors
/// If Debian would not have it in a version: says what is allowed.
pub(super) fn suffix(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.';
    if !text.is_empty() && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("letters, digits and dots".to_owned())
    }
}

/// Begins the changelog with an entry for the latest version with a suffix.
///
/// # Errors
/// If it cannot be read or written, or is none.
pub(super) fn extend(path: &Path, suffix: &str) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let entry = entry(&text, suffix).with_context(|| format!("{} is no changelog", path.display()))?;
    fs::write(path, format!("{entry}\n{text}")).with_context(|| path.display().to_string())
}

fn entry(changelog: &str, suffix: &str) -> Option<String> {
    let (version, rest) = changelog.lines().next()?.split_once(')')?;
    let signed = changelog.lines().find(|line| line.starts_with(" -- "))?;
    Some(format!("{version}+{suffix}){rest}\n\n  * Built from the same source.\n\n{signed}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffixed_version_is_the_first_of_its_changelog() {
        let changelog = "meshnet (0.1.0) unstable; urgency=medium\n\n  * It.\n\n -- A <a@b>  Fri, 20 Nov 2026 12:00:00 +0000\n";
        let entry = entry(changelog, "2").unwrap();
        assert!(entry.starts_with("meshnet (0.1.0+2) unstable; urgency=medium\n\n"), "{entry}");
        assert!(entry.ends_with("\n\n -- A <a@b>  Fri, 20 Nov 2026 12:00:00 +0000\n"), "{entry}");
        assert!(suffix("2.x").is_ok() && suffix("").is_err() && suffix("1-2").is_err());
    }
}
