//! systemd on the bus: which networks' units there are, and in which state.

use meshnet_bus::names::Instance;
use zbus::wire::OwnedObjectPath;

/// A unit as `ListUnitsByPatterns` tells it: name, description, load state, active state, sub state, what it follows, its
/// path, and the job that is queued for it.
pub(crate) type UnitRow =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// The instances of the template unit.
pub(crate) const PATTERN: &str = "meshnet@*.service";

/// systemd's manager.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub(crate) trait Manager {
    /// Lists the units in memory that match.
    fn list_units_by_patterns(&self, states: &[&str], patterns: &[&str]) -> zbus::Result<Vec<UnitRow>>;
    /// Lists the unit files that match, each with its state: enabled, disabled, indirect and so on.
    fn list_unit_files_by_patterns(
        &self,
        states: &[&str],
        patterns: &[&str],
    ) -> zbus::Result<Vec<(String, String)>>;
}

/// The network whose unit this is.
pub(crate) fn instance_of(unit: &str) -> Option<Instance> {
    let unit = unit.rsplit('/').next()?;
    Instance::new(unit.strip_prefix("meshnet@")?.strip_suffix(".service")?).ok()
}
