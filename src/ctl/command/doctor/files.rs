//! A network's files: who owns them, who may read them, and what the daemon says of what is in them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use meshnet_bus::names::Instance;
use nix::unistd::User;

use super::{Findings, Patient};
use crate::conf::{self, Conf};

/// Where the package puts the daemon.
const DAEMON: &str = "/usr/libexec/meshnetd";
/// How the daemon's check says that a file holds no key, and names none.
const NO_KEY: &str = ": PrivateKey: missing in [Interface]";
/// What marks a line of the check that is no error.
const WARNING: &str = ": warning: ";
/// Permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// Looks at the network's files.
pub(super) fn check(patient: &Patient<'_>, findings: &mut Findings) {
    let path = conf::path(Path::new(conf::DIR), patient.name);
    let missing = format!(
        "\"sudo meshctl init {}\" writes one; meshnet.conf(5) tells what belongs there",
        patient.name
    );
    if !access("file", &path, &missing, findings) {
        return;
    }
    match Conf::read(&path) {
        Ok(conf) => {
            if let Some(key) = conf.interface("PrivateKeyFile").first() {
                let missing = "PrivateKeyFile names it: put the key there, or what \"meshctl genkey\" writes for an identity \
                               that peers do not know yet";
                access("key file", &path.with_file_name(key), missing, findings);
            }
            content(&path, &conf, patient.name, findings);
        }
        Err(error) => findings.warn("file", error.to_string(), "run it with sudo to see more"),
    }
}

/// Whether the daemon can read a file, and nobody else. Tells whether there is one to look at; what to do if it is missing
/// is the caller's to say.
fn access(check: &'static str, path: &Path, missing: &str, findings: &mut Findings) -> bool {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            findings.fail(check, format!("{shown} is missing"), missing);
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

/// What the daemon itself says of the file, each of its lines. A key that systemd passes on is not in the file, and the
/// daemon misses it when it is only asked to check: that line is left out.
fn content(path: &Path, conf: &Conf, name: &Instance, findings: &mut Findings) {
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
    let keyless = conf.interface("PrivateKey").is_empty() && conf.interface("PrivateKeyFile").is_empty();
    let credential = if keyless { credential(Path::new("/etc"), name) } else { None };
    if let Some(place) = &credential {
        lines.retain(|line| !line.contains(NO_KEY));
        findings.ok("key", format!("it is a credential: {}", place.display()));
    }
    let mended = credential.is_some() && lines.iter().all(|line| line.contains(WARNING));
    for line in lines {
        let mend = format!("edit {}; see meshnet.conf(5)", path.display());
        if line.contains(WARNING) {
            findings.warn("configuration", line, mend);
        } else {
            findings.fail("configuration", line, mend);
        }
    }
    if output.status.success() {
        findings.ok("configuration", sum);
    } else if mended {
        findings
            .ok("configuration", format!("{} is fine but for the key, which is elsewhere", path.display()));
    } else {
        findings.fail("configuration", sum, format!("meshnetd --check {}", path.display()));
    }
}

/// Where systemd has the network's private key from, if it passes one on: a file in its stores, or a drop-in of the unit that
/// names the credential. Contents are not looked at.
fn credential(etc: &Path, name: &Instance) -> Option<PathBuf> {
    let key = format!("meshnet.{name}.key");
    let stored = ["credstore", "credstore.encrypted"].map(|store| etc.join(store).join(&key));
    if let Some(file) = stored.into_iter().find(|file| file.exists()) {
        return Some(file);
    }
    let folders = [format!("{}.d", name.unit()), "meshnet@.service.d".to_owned()];
    let entries =
        folders.iter().filter_map(|folder| fs::read_dir(etc.join("systemd/system").join(folder)).ok());
    let mut files: Vec<PathBuf> =
        entries.flatten().filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "conf")).find(
        |file| {
            let text = fs::read_to_string(file).unwrap_or_default();
            text.lines().map(str::trim).any(|line| {
                let passes = ["LoadCredential", "SetCredential", "ImportCredential"];
                passes.iter().any(|word| line.starts_with(word))
                    && [key.as_str(), "meshnet.%i.key", "meshnet.%I.key"]
                        .iter()
                        .any(|name| line.contains(name))
            })
        },
    )
}

/// The daemon: where the package puts it, or beside this program.
fn daemon() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("meshnetd"));
    [Some(DAEMON.into()), beside].into_iter().flatten().find(|path: &PathBuf| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_systemd_passes_on_is_found() {
        let etc = tempfile::tempdir().unwrap();
        let name = Instance::new("mesh0").unwrap();
        let found = || credential(etc.path(), &name);
        let write = |file: &str, text: &str| {
            let path = etc.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        write("credstore/meshnet.mesh1.key", "");
        write("systemd/system/meshnet@.service.d/a.conf", "[Service]\n#LoadCredential=meshnet.%i.key\n");
        write(
            "systemd/system/meshnet@mesh0.service.d/b.conf",
            "[Service]\nLoadCredential=meshnet.mesh1.key\n",
        );
        assert_eq!(found(), None);
        let every = write(
            "systemd/system/meshnet@.service.d/c.conf",
            "[Service]\nLoadCredential=meshnet.%i.key:/k\n",
        );
        assert_eq!(found(), Some(every));
        let stored = write("credstore.encrypted/meshnet.mesh0.key", "");
        assert_eq!(found(), Some(stored));
    }

    #[test]
    fn the_daemon_says_in_these_words_that_a_file_has_no_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mesh0.conf");
        fs::write(&path, "[Interface]\nAddress = 10.0.0.1/24\nMeshtasticConnect = tcp://radio\n").unwrap();
        let findings = meshnetd::config::load(&path).unwrap_err();
        assert!(findings.iter().any(|finding| finding.to_string().contains(NO_KEY)), "{findings:?}");
    }
}
