//! A network's files: who owns them, who may read them, and what the daemon says of what is in them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::User;

use super::{Findings, Patient};
use crate::conf::{self, Conf};

/// Where the package puts the daemon.
const DAEMON: &str = "/usr/libexec/meshnetd";
/// Permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// Looks at the network's files.
pub(super) fn check(patient: &Patient<'_>, findings: &mut Findings) {
    let path = conf::path(Path::new(conf::DIR), patient.name);
    if !access("file", &path, findings) {
        return;
    }
    match Conf::read(&path) {
        Ok(conf) => {
            if let Some(key) = conf.interface("PrivateKeyFile").first() {
                access("key file", &path.with_file_name(key), findings);
            }
            content(&path, findings);
        }
        Err(error) => findings.warn("file", error.to_string(), "run it with sudo to see more"),
    }
}

/// Whether the daemon can read a file, and nobody else. Tells whether there is one to look at.
fn access(check: &'static str, path: &Path, findings: &mut Findings) -> bool {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            findings.fail(
                check,
                format!("{shown} is missing"),
                "\"sudo meshctl init\" writes one; meshnet.conf(5) tells what belongs there",
            );
            return false;
        }
        Err(error) => {
            findings.warn(check, format!("{shown} cannot be seen: {error}"), "run it with sudo to see more");
            return false;
        }
    };
    let mode = metadata.mode() & 0o7777;
    let user = User::from_name(conf::OWNER).ok().flatten();
    if mode & 0o044 != 0 {
        findings.fail(
            check,
            format!("{shown} can be read by others (mode {mode:04o})"),
            format!("sudo chmod 600 {shown}"),
        );
    } else if mode & OTHERS != 0 {
        findings.warn(
            check,
            format!("{shown} is open to others (mode {mode:04o})"),
            format!("sudo chmod 600 {shown}"),
        );
    }
    match user {
        Some(user) if metadata.uid() != user.uid.as_raw() => findings.fail(
            check,
            format!("{shown} is not the user {}'s, as which the daemon reads it", conf::OWNER),
            format!("sudo chown {0}: {shown}", conf::OWNER),
        ),
        Some(_) if mode & OTHERS == 0 => findings.ok(check, format!("{shown} is the daemon's alone")),
        Some(_) | None => {}
    }
    true
}

/// What the daemon itself says of the file, each of its lines.
fn content(path: &Path, findings: &mut Findings) {
    let Some(daemon) = daemon() else {
        findings.fail("daemon", format!("{DAEMON} is missing"), "sudo apt install meshnet");
        return;
    };
    let checked = Command::new(daemon).arg("--check").arg(path).stdin(Stdio::null()).output();
    let output = match checked {
        Ok(output) => output,
        Err(error) => {
            findings.fail(
                "daemon",
                format!("{DAEMON} cannot be run: {error}"),
                "sudo apt install --reinstall meshnet",
            );
            return;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<&str> = text.lines().collect();
    let sum = lines.pop().unwrap_or("no answer");
    for line in lines {
        let mend = format!("edit {}; see meshnet.conf(5)", path.display());
        if line.contains(": warning: ") {
            findings.warn("configuration", line, mend);
        } else {
            findings.fail("configuration", line, mend);
        }
    }
    if output.status.success() {
        findings.ok("configuration", sum);
    } else {
        findings.fail("configuration", sum, format!("meshnetd --check {}", path.display()));
    }
}

/// The daemon: where the package puts it, or beside this program.
fn daemon() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("meshnetd"));
    [Some(DAEMON.into()), beside].into_iter().flatten().find(|path: &PathBuf| path.exists())
}
