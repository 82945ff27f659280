//! systemd on the bus: which networks' units there are, in which state, and starting and stopping them.
//!
//! An order to systemd is a job; its outcome comes as a signal. [`Units::order`] listens before the order is given, so that
//! no outcome is missed.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt as _;
use meshnet_bus::names::Instance;
use zbus::proxy::CacheProperties;
use zbus::wire::OwnedObjectPath;

use crate::bus::{self, ANSWER, Bus};
use crate::context::Context;
use crate::error::Error;

/// A unit as `ListUnitsByPatterns` tells it: name, description, load state, active state, sub state, what it follows, its
/// path, and the job that is queued for it.
pub(crate) type UnitRow =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// A link that enabling made or disabling removed: what was done, which, to what.
type UnitFileChange = (String, String, String);

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
    /// Tells whether a unit starts at boot: enabled, disabled, static and so on.
    fn get_unit_file_state(&self, unit: &str) -> zbus::Result<String>;
    /// Returns the unit's object, which is loaded for it.
    fn load_unit(&self, unit: &str) -> zbus::Result<OwnedObjectPath>;

    /// Asks for signals.
    fn subscribe(&self) -> zbus::Result<()>;

    /// A job is over.
    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;
}

/// A unit of any kind.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Unit",
    default_service = "org.freedesktop.systemd1",
    assume_defaults = false
)]
pub(crate) trait Unit {
    /// active, inactive, failed, activating and so on.
    #[zbus(property)]
    fn active_state(&self) -> zbus::Result<String>;
    /// loaded, not-found and so on.
    #[zbus(property)]
    fn load_state(&self) -> zbus::Result<String>;
    /// Whether the unit's own conditions let it start, the last time.
    #[zbus(property)]
    fn condition_result(&self) -> zbus::Result<bool>;
    /// Of the last start; empty before the first.
    #[zbus(property, name = "InvocationID")]
    fn invocation_id(&self) -> zbus::Result<Vec<u8>>;
}

/// A unit that is a service.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Service",
    default_service = "org.freedesktop.systemd1",
    assume_defaults = false
)]
pub(crate) trait Service {
    /// success, exit-code, timeout, watchdog and so on.
    #[zbus(property)]
    fn result(&self) -> zbus::Result<String>;
}

/// What is done to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Started.
    Start,
    /// Stopped.
    Stop,
}

impl Order {
    const fn method(self) -> &'static str {
        match self {
            Self::Start => "StartUnit",
            Self::Stop => "StopUnit",
        }
    }
}

/// How a unit is after an order.
#[derive(Debug, Default)]
pub(crate) struct Aftermath {
    /// active, inactive, failed and so on.
    pub active: String,
    /// loaded, not-found and so on.
    pub load: String,
    /// Whether its conditions held.
    pub conditions: bool,
    /// The service's result.
    pub result: String,
    /// Of the last start, in hexadecimal.
    pub invocation: Option<String>,
}

/// Orders to systemd's manager about a network's unit.
#[derive(Debug)]
pub(crate) struct Units<'b> {
    bus: &'b Bus,
    manager: ManagerProxy<'b>,
}

impl<'b> Units<'b> {
    /// Finds systemd.
    ///
    /// # Errors
    /// If it is not on the bus.
    pub(crate) async fn new(bus: &'b Bus) -> Result<Units<'b>, Error> {
        Ok(Units { bus, manager: bus.manager().await? })
    }

    /// Gives an order and waits for the job's result (`done`, `failed`, `timeout`, …); with no time to wait, for nothing.
    ///
    /// # Errors
    /// If systemd refuses the order, or [`crate::exit::Exit::Timeout`] if there is no outcome in time.
    pub(crate) async fn order(
        &self,
        order: Order,
        name: &Instance,
        wait: Option<Duration>,
        context: &Context,
    ) -> Result<Option<String>, Error> {
        let removed = self.manager.receive_job_removed().await;
        let mut removed = removed.map_err(|error| bus::trouble(&error.into(), "systemd"))?;
        // Whoever gives the order hears of its end even if this fails.
        let _ = self.manager.subscribe().await;
        let unit = name.unit();
        let job: OwnedObjectPath = self.change(order.method(), &(unit.as_str(), "replace"), context).await?;
        let Some(wait) = wait else { return Ok(None) };
        let outcome = async {
            while let Some(signal) = removed.next().await {
                let Ok(args) = signal.args() else { continue };
                if args.job == job {
                    return Ok(Some(args.result.clone()));
                }
            }
            Err(Error::failure("the bus closed the connection"))
        };
        bus::within(wait, &format!("systemd, which is to deal with {unit},"), outcome).await
    }

    /// Makes the unit start at boot, or not any longer.
    ///
    /// # Errors
    /// If systemd refuses.
    pub(crate) async fn enable(&self, enable: bool, name: &Instance, context: &Context) -> Result<(), Error> {
        let unit = name.unit();
        let files = [unit.as_str()];
        if enable {
            let body = (&files[..], false, false);
            let _: (bool, Vec<UnitFileChange>) = self.change("EnableUnitFiles", &body, context).await?;
        } else {
            let _: Vec<UnitFileChange> =
                self.change("DisableUnitFiles", &(&files[..], false), context).await?;
        }
        self.change("Reload", &(), context).await
    }

    /// Looks at the unit. What cannot be had is left empty: this is for telling what went wrong.
    pub(crate) async fn look(&self, name: &Instance) -> Aftermath {
        let look = async { self.look_at(name).await.unwrap_or_default() };
        tokio::time::timeout(ANSWER, look).await.unwrap_or_default()
    }

    async fn look_at(&self, name: &Instance) -> zbus::Result<Aftermath> {
        let path = self.manager.load_unit(&name.unit()).await?;
        let connection = self.bus.connection();
        let unit = UnitProxy::builder(connection)
            .path(path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let service = ServiceProxy::builder(connection)
            .path(path)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let invocation = unit.invocation_id().await.unwrap_or_default();
        let invocation: String = invocation.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Aftermath {
            active: unit.active_state().await?,
            load: unit.load_state().await?,
            conditions: unit.condition_result().await?,
            result: service.result().await?,
            invocation: Some(invocation).filter(|id| !id.is_empty()),
        })
    }

    fn change<'s, B, R>(
        &'s self,
        method: &'static str,
        body: &'s B,
        context: &'s Context,
    ) -> impl Future<Output = Result<R, Error>> + 's
    where
        B: serde::Serialize + zbus::wire::DynamicType,
        R: for<'d> zbus::wire::DynamicDeserialize<'d> + 's,
    {
        bus::change(self.manager.inner(), method, body, context, "systemd")
    }
}

/// Asks the bus to look at its activation files again.
///
/// # Errors
/// If it refuses.
pub(crate) async fn reload_bus(bus: &Bus) -> Result<(), Error> {
    let done = bus
        .connection()
        .call_method(
            Some("org.freedesktop.DBus"),
            "/org/freedesktop/DBus",
            Some("org.freedesktop.DBus"),
            "ReloadConfig",
            &(),
        )
        .await;
    done.map(|_| ()).map_err(|error| bus::trouble(&error.into(), "the system bus"))
}

/// The network whose unit this is.
pub(crate) fn instance_of(unit: &str) -> Option<Instance> {
    let unit = unit.rsplit('/').next()?;
    Instance::new(unit.strip_prefix("meshnet@")?.strip_suffix(".service")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_instances_with_a_networks_name_are_networks() {
        let name = |unit| instance_of(unit).map(|name| name.to_string());
        assert_eq!(name("meshnet@mesh0.service").as_deref(), Some("mesh0"));
        assert_eq!(name("/etc/systemd/system/meshnet@mesh0.service").as_deref(), Some("mesh0"));
        assert_eq!(name("meshnet@.service"), None);
        assert_eq!(name("meshnet@Mesh.service"), None);
        assert_eq!(name("ssh.service"), None);
    }
}
