//! Activation files: how the bus knows that the first call to a network's name starts its unit. One file for each network that
//! is enabled, since the bus knows no templates.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use meshnet_bus::names::Instance;

/// Where the system bus looks for what an administrator adds.
pub(crate) const DIR: &str = "/etc/dbus-1/system-services";

/// Writes the network's file, whole or not at all. One that is there is replaced.
///
/// # Errors
/// If the directory or the file cannot be written.
pub(crate) fn write(dir: &Path, name: &Instance) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let path = path(dir, name);
    // The bus reads only what ends in ".service".
    let draft = path.with_extension("service.new");
    let written = File::create(&draft).and_then(|mut file| {
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(text(name).as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &path)
    });
    if written.is_err() {
        // The first error is the one that tells something.
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Removes the network's file; tells whether there was one.
///
/// # Errors
/// If it is there and cannot be removed.
pub(crate) fn remove(dir: &Path, name: &Instance) -> io::Result<bool> {
    match fs::remove_file(path(dir, name)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The bus demands that the file is called as the name that it is for.
pub(crate) fn path(dir: &Path, name: &Instance) -> PathBuf {
    dir.join(format!("{}.service", name.bus_name()))
}

fn text(name: &Instance) -> String {
    // The bus asks systemd for the unit and never runs Exec, but wants one.
    format!(
        "# Written by \"meshctl enable {name}\", removed by \"meshctl disable {name}\".\n\
         [D-BUS Service]\nName={}\nExec=/bin/false\nUser=root\nSystemdService={}\n",
        name.bus_name(),
        name.unit()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_replaced_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("dbus-1/system-services");
        let name = Instance::new("mesh0").unwrap();
        write(&dir, &name).unwrap();
        write(&dir, &name).unwrap();
        let file = dir.join("org.meshnet1.mesh0.service");
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
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing else is left there");
        assert!(remove(&dir, &name).unwrap());
        assert!(!remove(&dir, &name).unwrap());
    }
}
