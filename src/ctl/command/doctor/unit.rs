//! A network's unit and its name on the bus.

use super::{Findings, Patient};
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
    if presence.enabled {
        findings.ok("boot", "it starts at boot");
    } else {
        findings.warn("boot", "it does not start at boot", format!("sudo meshctl enable {name}"));
    }
}
