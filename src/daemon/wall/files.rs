//! Which files: by landlock(7).
//!
//! What was opened before (the TAP, the log, the state's lock) stays as it is. Device nodes all may be opened, since a reload may
//! name another serial port: which of them are there for the daemon is for the unit's `DeviceAllow=` and the ports' modes to say.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, path_beneath_rules,
};

use super::Places;

/// The version of landlock whose rights are asked for; an older kernel knows fewer of them.
const VERSION: ABI = ABI::V5;

/// What resolving names and users takes: the files of libc and of what plugs into it.
const SYSTEM: [&str; 11] = [
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/run/systemd",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/nscd",
    "/run/connman",
];
const DEVICES: [&str; 1] = ["/dev"];

/// Confines this thread to `places` and what the system's libraries need; to nothing without.
pub(super) fn confine(places: Option<Places<'_>>) -> Result<String, RulesetError> {
    let look: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let devices = look | AccessFs::WriteFile | AccessFs::IoctlDev;
    let own = look
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(VERSION))?
        .create()?;
    if let Some(places) = places {
        // Wherever it is kept, and whatever comes to lie there: it is replaced when the host moves to another network.
        let resolver = std::fs::canonicalize("/etc/resolv.conf").ok();
        rules = rules
            .add_rules(path_beneath_rules(resolver.as_deref().and_then(Path::parent), look))?
            .add_rules(path_beneath_rules(SYSTEM.map(Path::new), look))?
            .add_rules(path_beneath_rules(DEVICES, devices))?
            .add_rules(path_beneath_rules(places.read, look))?
            .add_rules(path_beneath_rules(places.write, own))?;
    }
    let status = rules.restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => "confined".to_owned(),
        RulesetStatus::PartiallyEnforced => "confined, as far as this kernel knows how".to_owned(),
        RulesetStatus::NotEnforced => "not confined: this kernel has no landlock".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn a_confined_thread_reaches_its_own_places_only() {
        let [config, state, elsewhere] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        fs::write(config.path().join("mesh0.conf"), "text").unwrap();
        fs::write(elsewhere.path().join("secret"), "text").unwrap();
        let confined = std::thread::spawn(move || {
            let places = Places { read: &[config.path()], write: &[state.path()] };
            let how = confine(Some(places)).unwrap();
            // What the daemon does: it reads its configuration, replaces its state, resolves names, opens ports.
            fs::read(config.path().join("mesh0.conf")).unwrap();
            crate::files::replace(&state.path().join("mesh0.state"), b"text", true).unwrap();
            fs::read("/etc/passwd").unwrap();
            fs::OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
            let outside = [
                fs::read(elsewhere.path().join("secret")).map(drop),
                fs::write(config.path().join("mesh1.conf"), "text"),
            ];
            // Their directories go where they may: after this thread.
            (how, outside.map(|result| result.map_err(|error| error.kind())), [config, state, elsewhere])
        });
        let (how, outside, _directories) = confined.join().unwrap();
        let expected = if how.starts_with("confined") { Err(ErrorKind::PermissionDenied) } else { Ok(()) };
        assert_eq!(outside, [expected, expected], "{how}");
    }
}
