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
const SYSTEM: [&str; 9] = [
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
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
        rules = rules
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
