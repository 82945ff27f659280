//! Activation: how the bus knows that the first call to a network's name starts its unit, and that anybody may make it. Two
//! files for each network that is enabled, since the bus knows no templates: the service, and a policy. The package's own
//! policy covers a network that runs, by the name that all of them queue for; before one runs, dbus-daemon goes by the name
//! that is called, and denies what no rule names.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use meshnet_bus::names::Instance;
use nix::unistd::{AccessFlags, access};

/// Where the system bus looks for what an administrator adds.
pub(crate) const DIR: &str = "/etc/dbus-1";

/// Writes the network's files, each whole or not at all. Those that are there are replaced.
///
/// # Errors
/// If a directory or a file cannot be written; if the network was not activated before, there is none of the two then.
pub(crate) fn write(dir: &Path, name: &Instance) -> io::Result<()> {
    let before = is_written(dir, name);
    let written =
        put(&policy_path(dir, name), &policy(name)).and_then(|()| put(&path(dir, name), &service(name)));
    if written.is_err() && !before {
        // The first error is the one that tells something.
        let _ = remove(dir, name);
    }
    written
}

/// Whether the network has its files: the service is written last and removed first.
pub(crate) fn is_written(dir: &Path, name: &Instance) -> bool {
    path(dir, name).exists()
}

/// Whether a call to the network's name starts it: both files are there, whoever may have removed one.
pub(crate) fn is_whole(dir: &Path, name: &Instance) -> bool {
    is_written(dir, name) && policy_path(dir, name).exists()
}

/// Lists the networks that have their files.
pub(crate) fn networks(dir: &Path) -> Vec<Instance> {
    let Ok(entries) = fs::read_dir(dir.join("system-services")) else { return Vec::new() };
    let name =
        |entry: fs::DirEntry| Instance::from_bus_name(entry.file_name().to_str()?.strip_suffix(".service")?);
    let mut names: Vec<Instance> = entries.flatten().filter_map(name).collect();
    names.sort();
    names
}

/// Makes sure that [`remove`] will not be refused.
///
/// # Errors
/// If we may not change a directory that the files are in.
pub(crate) fn require_writable(dir: &Path, name: &Instance) -> io::Result<()> {
    for file in [path(dir, name), policy_path(dir, name)].into_iter().filter(|file| file.exists()) {
        access(file.parent().unwrap_or(dir), AccessFlags::W_OK)?;
    }
    Ok(())
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    // The bus reads only what ends in ".service", or ".conf".
    let mut draft = path.to_owned().into_os_string();
    draft.push(".new");
    let written = File::create(&draft).and_then(|mut file| {
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    });
    if written.is_err() {
        // The first error is the one that tells something.
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Removes the network's files; tells whether it was activated by them.
///
/// # Errors
/// If one is there and cannot be removed.
pub(crate) fn remove(dir: &Path, name: &Instance) -> io::Result<bool> {
    let gone = |path: PathBuf| match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    let activated = gone(path(dir, name))?;
    gone(policy_path(dir, name))?;
    Ok(activated)
}

/// The bus demands that the file is called as the name that it is for.
pub(crate) fn path(dir: &Path, name: &Instance) -> PathBuf {
    dir.join(format!("system-services/{}.service", name.bus_name()))
}

fn policy_path(dir: &Path, name: &Instance) -> PathBuf {
    dir.join(format!("system.d/{}.conf", name.bus_name()))
}

fn service(name: &Instance) -> String {
    // The bus asks systemd for the unit and never runs Exec, but wants one.
    format!(
        "# Written by \"meshctl enable {name}\", removed by \"meshctl disable {name}\".\n\
         [D-BUS Service]\nName={}\nExec=/bin/false\nUser=root\nSystemdService={}\n",
        name.bus_name(),
        name.unit()
    )
}

fn policy(name: &Instance) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN\"\n  \
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
         <!-- Written by \"meshctl enable {name}\", removed by \"meshctl disable {name}\". -->\n\
         <busconfig>\n  \
         <policy context=\"default\">\n    <allow send_destination=\"{}\"/>\n  </policy>\n\
         </busconfig>\n",
        name.bus_name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_written_replaced_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("dbus-1");
        let name = Instance::new("mesh0").unwrap();
        assert!(!is_written(&dir, &name));
        write(&dir, &name).unwrap();
        write(&dir, &name).unwrap();
        assert!(is_whole(&dir, &name));
        assert_eq!(networks(&dir), std::slice::from_ref(&name));
        let file = dir.join("system-services/org.meshnet1.mesh0.service");
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        let expected = [
            "[D-BUS Service]",
            "Name=org.meshnet1.mesh0",
            "Exec=/bin/false",
            "User=root",
            "SystemdService=meshnet@mesh0.service",
        ];
        assert_eq!(lines, expected);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
        let policy = fs::read_to_string(dir.join("system.d/org.meshnet1.mesh0.conf")).unwrap();
        assert!(policy.contains("<allow send_destination=\"org.meshnet1.mesh0\"/>"), "{policy}");
        for part in ["system-services", "system.d"] {
            assert_eq!(fs::read_dir(dir.join(part)).unwrap().count(), 1, "nothing else is left in {part}");
        }
        assert!(remove(&dir, &name).unwrap());
        assert_eq!(fs::read_dir(dir.join("system.d")).unwrap().count(), 0);
        assert!(!remove(&dir, &name).unwrap());
        assert_eq!(networks(&dir), []);
    }

    #[test]
    fn what_lacks_its_policy_is_not_whole_and_is_mended_by_another_write() {
        let root = tempfile::tempdir().unwrap();
        let name = Instance::new("mesh0").unwrap();
        write(root.path(), &name).unwrap();
        fs::remove_file(policy_path(root.path(), &name)).unwrap();
        assert!(is_written(root.path(), &name) && !is_whole(root.path(), &name));
        write(root.path(), &name).unwrap();
        assert!(is_whole(root.path(), &name));
    }

    #[test]
    fn files_that_were_there_outlive_a_write_that_fails() {
        let root = tempfile::tempdir().unwrap();
        let name = Instance::new("mesh0").unwrap();
        write(root.path(), &name).unwrap();
        // A draft that cannot be made.
        let draft = root.path().join("system-services/org.meshnet1.mesh0.service.new");
        fs::create_dir(&draft).unwrap();
        assert!(write(root.path(), &name).is_err());
        assert!(is_written(root.path(), &name));
        assert!(remove(root.path(), &name).unwrap());
        assert!(write(root.path(), &name).is_err());
        assert_eq!(fs::read_dir(root.path().join("system.d")).unwrap().count(), 0);
    }
}
