//! A network's unit and its name on the bus, and what starts it.

use std::path::Path;

use meshnet_bus::names::Instance;

use super::{Findings, Patient};
use crate::activation;
use crate::bus::Bus;
use crate::journal;
use crate::systemd::Units;

/// Looks at the unit.
pub(super) async fn check(patient: &Patient<'_>, bus: Option<&Bus>, findings: &mut Findings) {
    let (name, presence) = (patient.name, patient.presence);
    let Some(bus) = bus else { return };
    let Ok(units) = Units::new(bus).await else {
        findings.warn("unit", "systemd does not answer on the bus", "systemctl status dbus");
        return;
    };
    let unit = units.look(name).await;
    match unit.active.as_str() {
        "active" | "reloading" if presence.running => {
            findings.ok("unit", format!("{} runs and owns {}", name.unit(), name.bus_name()));
        }
        "active" | "reloading" => findings.fail(
            "unit",
            format!("{} runs, but nobody owns {} on the bus", name.unit(), name.bus_name()),
            format!(
                "sudo systemctl restart {}; is /usr/share/dbus-1/system.d/org.meshnet1.conf there?",
                name.unit()
            ),
        ),
        "failed" => {
            let said = journal::last_lines(name, unit.invocation.as_deref());
            let why = said.last().map_or_else(|| unit.result.clone(), Clone::clone);
            findings.fail(
                "unit",
                format!("it failed: {why}"),
                format!("meshctl logs {name} --lines 20\nsudo meshctl up {name}"),
            );
        }
        "activating" => findings.warn(
            "unit",
            "it is about to start, or tries again and again",
            format!("meshctl logs {name} --lines 20"),
        ),
        _ if unit.load == "not-found" => {
            findings.fail("unit", "there is no unit meshnet@.service", "sudo apt install meshnet");
        }
        _ if presence.running => findings.ok("unit", "a daemon runs, though not as systemd's unit"),
        _ => findings.fail("unit", "it does not run", format!("sudo meshctl up {name}")),
    }
    starts(Path::new(activation::DIR), name, presence.enabled, findings);
}

/// Looks at what starts it: the boot, by its unit's link, and a call to its name, by the bus's files. "meshctl enable" and
/// "disable" see to both; "systemctl enable" and "disable" know the first alone.
fn starts(dir: &Path, name: &Instance, enabled: bool, findings: &mut Findings) {
    let calls = format!("a call to {}", name.bus_name());
    match (enabled, activation::is_written(dir, name)) {
        (true, true) if activation::is_whole(dir, name) => {
            findings.ok("boot", format!("it starts at boot, and by {calls}"));
        }
        (true, _) => findings.warn(
            "boot",
            format!("it starts at boot, but not by {calls}: the bus has not been told, as after \"systemctl enable\""),
            format!("sudo meshctl enable {name}"),
        ),
        (false, true) => left_behind(dir, name, findings),
        (false, false) => {
            findings.warn("boot", "it does not start at boot", format!("sudo meshctl enable {name}"));
        }
    }
}

/// Looks for networks that nothing on this host knows but the bus, which would start them.
pub(super) fn check_unknown(dir: &Path, known: &[&Instance], findings: &mut Findings) {
    for name in activation::networks(dir).iter().filter(|name| !known.contains(name)) {
        left_behind(dir, name, findings);
    }
}

/// It does not start at boot, but the bus would start it.
fn left_behind(dir: &Path, name: &Instance, findings: &mut Findings) {
    let file = activation::path(dir, name);
    findings.warn(
        "boot",
        format!(
            "{name} does not start at boot, but anybody's call to {} starts it: {} is there still, as after \"systemctl \
             disable\"",
            name.bus_name(),
            file.display()
        ),
        format!("sudo meshctl disable {name}\nor, to have it start both ways: sudo meshctl enable {name}"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::Level;

    fn found(dir: &Path, enabled: bool) -> (Level, String, Option<String>) {
        let mut findings = Findings::default();
        starts(dir, &Instance::new("mesh0").unwrap(), enabled, &mut findings);
        let finding = findings.all.pop().unwrap();
        assert!(findings.all.is_empty() && finding.check == "boot");
        (finding.level, finding.what, finding.mend)
    }

    #[test]
    fn what_systemctl_enabled_does_not_start_by_a_call() {
        let dir = tempfile::tempdir().unwrap();
        let (level, what, mend) = found(dir.path(), true);
        assert_eq!((level, mend.as_deref()), (Level::Warn, Some("sudo meshctl enable mesh0")));
        assert!(what.contains("not by a call to org.meshnet1.mesh0"), "{what}");
    }

    #[test]
    fn what_systemctl_disabled_is_still_started_by_a_call() {
        let dir = tempfile::tempdir().unwrap();
        activation::write(dir.path(), &Instance::new("mesh0").unwrap()).unwrap();
        let (level, what, mend) = found(dir.path(), false);
        assert_eq!(level, Level::Warn);
        assert!(what.contains("system-services/org.meshnet1.mesh0.service"), "{what}");
        assert!(mend.unwrap().starts_with("sudo meshctl disable mesh0\n"));
    }

    #[test]
    fn what_meshctl_enabled_or_disabled_starts_both_ways_or_neither() {
        let dir = tempfile::tempdir().unwrap();
        let name = Instance::new("mesh0").unwrap();
        assert_eq!(found(dir.path(), false).0, Level::Warn);
        activation::write(dir.path(), &name).unwrap();
        assert_eq!(found(dir.path(), true).0, Level::Ok);
        std::fs::remove_file(dir.path().join("system.d/org.meshnet1.mesh0.conf")).unwrap();
        assert_eq!(found(dir.path(), true).0, Level::Warn, "the bus would refuse the call");
    }

    #[test]
    fn a_network_that_only_the_bus_knows_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let [mesh0, mesh1] = ["mesh0", "mesh1"].map(|name| Instance::new(name).unwrap());
        activation::write(dir.path(), &mesh0).unwrap();
        activation::write(dir.path(), &mesh1).unwrap();
        let mut findings = Findings::default();
        check_unknown(dir.path(), &[&mesh0], &mut findings);
        let [finding] = findings.all.as_slice() else { panic!("{:?}", findings.all) };
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.what.starts_with("mesh1 does not start at boot, but"), "{}", finding.what);
    }
}
