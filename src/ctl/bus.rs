//! The system bus: which networks there are, their objects, and what errors mean to the user.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use meshnet_bus::names::{Instance, ROOT};
use meshnet_bus::proxy::NetworkProxy;
use zbus::fdo;
use zbus::proxy::{CacheProperties, MethodFlags};
use zbus::{Connection, Proxy};

use crate::command::OneNetwork;
use crate::conf;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::systemd::{self, ManagerProxy};

/// How long a daemon may take to answer what it knows by heart.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// What this host has of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Presence {
    /// Whether a daemon owns the bus name.
    pub running: bool,
    /// The unit's active state, if systemd has it in memory: active, activating, failed, and so on.
    pub active: Option<String>,
    /// Whether it starts at boot.
    pub enabled: bool,
    /// Whether there is a configuration file, as far as this user can see.
    pub configured: bool,
}

/// The system bus.
#[derive(Debug, Clone)]
pub(crate) struct Bus {
    connection: Connection,
}

impl Bus {
    /// Opens the system bus (or `DBUS_SYSTEM_BUS_ADDRESS`).
    ///
    /// # Errors
    /// [`Exit::NotRunning`] if there is none.
    pub(crate) async fn connect() -> Result<Self, Error> {
        let opened = zbus::connection::Builder::system().build();
        let connection =
            within(ANSWER, "the system bus", async { Ok(opened.await) }).await?.map_err(|error| {
                Error::new(Exit::NotRunning, "cannot open the system bus")
                    .because(error)
                    .hint("systemctl status dbus")
            })?;
        Ok(Self { connection })
    }

    /// The connection itself.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Lists the networks whose daemons run.
    ///
    /// # Errors
    /// If the bus does not answer.
    pub(crate) async fn running(&self) -> Result<Vec<Instance>, Error> {
        let bus = fdo::DBusProxy::new(&self.connection)
            .await
            .map_err(|error| trouble(&error.into(), "the system bus"))?;
        let names = within(ANSWER, "the system bus", async {
            bus.list_names()
                .await
                .map_err(|error| trouble(&zbus::Error::FDO(Box::new(error)).into(), "the system bus"))
        })
        .await?;
        let mut running: Vec<Instance> =
            names.iter().filter_map(|name| Instance::from_bus_name(name.as_str())).collect();
        running.sort();
        Ok(running)
    }

    /// Tells whether somebody has this name on the bus.
    ///
    /// # Errors
    /// If the bus does not answer.
    pub(crate) async fn is_owned(&self, name: &'static str) -> Result<bool, Error> {
        let failed = |error: zbus::Error| trouble(&error.into(), "the system bus");
        let bus = fdo::DBusProxy::new(&self.connection).await.map_err(failed)?;
        let name = zbus::names::BusName::try_from(name).map_err(failed)?;
        within(ANSWER, "the system bus", async {
            bus.name_has_owner(name).await.map_err(|error| failed(zbus::Error::FDO(Box::new(error))))
        })
        .await
    }

    /// Lists everything that this host has of any network: running daemons, units, configuration files. Where systemd does
    /// not answer, or the directory cannot be read, their part is missing.
    ///
    /// # Errors
    /// If the bus does not answer.
    pub(crate) async fn networks(&self) -> Result<BTreeMap<Instance, Presence>, Error> {
        let (running, units) = tokio::join!(self.running(), self.units());
        let mut networks = units;
        for name in running? {
            networks.entry(name).or_default().running = true;
        }
        Ok(networks)
    }

    /// What systemd and the disk have of networks. systemd keeps a unit in memory that starts at boot, has started or failed; so
    /// those are known also to users who may not look into the directory of the configurations.
    async fn units(&self) -> BTreeMap<Instance, Presence> {
        let mut networks: BTreeMap<Instance, Presence> = BTreeMap::new();
        for name in conf::networks(Path::new(conf::DIR)) {
            networks.entry(name).or_default().configured = true;
        }
        let Ok(manager) = self.manager().await else { return networks };
        let listed = manager.list_units_by_patterns(&[], &[systemd::PATTERN]);
        let Ok(Ok(units)) = tokio::time::timeout(ANSWER, listed).await else { return networks };
        for (unit, _, load, active, ..) in units {
            if load == "loaded"
                && let Some(name) = systemd::instance_of(&unit)
            {
                networks.entry(name).or_default().active = Some(active);
            }
        }
        let ask = networks.keys().map(|name| {
            let (manager, unit) = (&manager, name.unit());
            async move { self.is_enabled(manager, &unit).await }
        });
        let enabled = futures_util::future::join_all(ask).await;
        for (presence, enabled) in networks.values_mut().zip(enabled) {
            presence.enabled = enabled;
        }
        networks
    }

    async fn is_enabled(&self, manager: &ManagerProxy<'_>, unit: &str) -> bool {
        let state = tokio::time::timeout(ANSWER, manager.get_unit_file_state(unit)).await;
        state.is_ok_and(|state| state.is_ok_and(|state| state.starts_with("enabled")))
    }

    /// Returns systemd's manager.
    ///
    /// # Errors
    /// If the bus does not answer.
    pub(crate) async fn manager(&self) -> Result<ManagerProxy<'_>, Error> {
        let made = ManagerProxy::builder(&self.connection).cache_properties(CacheProperties::No).build();
        made.await.map_err(|error| trouble(&error.into(), "systemd"))
    }

    /// Returns the network's object; nothing is called yet, and nothing cached.
    ///
    /// # Errors
    /// If the bus does not answer.
    pub(crate) async fn network(&self, name: &Instance) -> Result<NetworkProxy<'_>, Error> {
        let made = async {
            NetworkProxy::builder(&self.connection)
                .destination(name.bus_name())
                .path(ROOT)
                .cache_properties(CacheProperties::No)
                .build()
                .await
        };
        made.await.map_err(|error| trouble(&error.into(), name.as_str()))
    }

    /// The network that a verb is for: the one that the command line names, or the only one.
    ///
    /// # Errors
    /// If none is named and there are none, or several.
    pub(crate) async fn choose(&self, named: &OneNetwork, context: &Context) -> Result<Instance, Error> {
        if let Some(name) = named.named(context) {
            return Ok(name);
        }
        let networks = self.networks().await?;
        let running: Vec<&Instance> =
            networks.iter().filter(|(_, presence)| presence.running).map(|(name, _)| name).collect();
        let all: Vec<&Instance> = networks.keys().collect();
        match (all.as_slice(), running.as_slice()) {
            ([only], _) => Ok((*only).clone()),
            ([], _) => Err(Error::new(Exit::NoSuchObject, "there is no network on this host")
                .hint("\"meshctl init mesh0\" makes one")),
            (names, _) => {
                let list: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
                Err(Error::usage("there are several networks")
                    .because(list.join(", "))
                    .hint("name one with -n NAME"))
            }
        }
    }

    /// Refuses a network whose daemon does not run, so that asking starts none.
    ///
    /// # Errors
    /// [`Exit::NotRunning`] if it does not run, [`Exit::NoSuchObject`] if there is nothing of that name.
    pub(crate) async fn require_running(&self, name: &Instance) -> Result<(), Error> {
        match self.networks().await?.get(name) {
            Some(presence) if presence.running => Ok(()),
            Some(_) => Err(Error::new(Exit::NotRunning, format!("{name} does not run")).hint(format!(
                "\"meshctl up {name}\" starts it; \"meshctl doctor {name}\" says what is wrong"
            ))),
            None => Err(no_such_network(name)),
        }
    }
}

/// This host has nothing of that name.
pub(crate) fn no_such_network(name: &Instance) -> Error {
    Error::new(Exit::NoSuchObject, format!("there is no network {name}"))
        .hint(format!("\"meshctl init {name}\" makes it; \"meshctl status\" lists those that there are"))
}

/// Calls a method that polkit guards: it may ask for a password if `--no-ask-password` was not given, and takes as long as
/// the user takes to type it.
///
/// # Errors
/// What the daemon answers; `object` is what the call is about, for the message.
pub(crate) async fn change<B, R>(
    proxy: &Proxy<'_>,
    method: &'static str,
    body: &B,
    context: &Context,
    object: &str,
) -> Result<R, Error>
where
    B: serde::Serialize + zbus::wire::DynamicType,
    R: for<'d> zbus::wire::DynamicDeserialize<'d>,
{
    let flags = if context.ask { MethodFlags::ALLOW_INTERACTIVE_AUTH } else { MethodFlags::empty() };
    let answer = proxy.call_with_flags(method, flags, body).await;
    let answer = answer.map_err(|error| trouble(&error.into(), object))?;
    answer.ok_or_else(|| Error::failure(format!("{object}: the daemon gave no answer")))
}

/// Waits for an answer that should come soon.
///
/// # Errors
/// What the future gives; [`Exit::Timeout`] if it does not come.
pub(crate) async fn within<T>(
    time: Duration,
    who: &str,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(time, answer).await {
        Ok(answer) => answer,
        Err(_) => {
            Err(Error::new(Exit::Timeout, format!("{who} did not answer within {} s", time.as_secs_f32())))
        }
    }
}

/// What an error of the bus or of a daemon means to the user; `object` is what was asked.
pub(crate) fn trouble(error: &meshnet_bus::Error, object: &str) -> Error {
    use meshnet_bus::Error as Daemon;
    let exit = match error {
        Daemon::ZBus(error) => return bus_trouble(error, object),
        Daemon::NoSuchPeer(_) => Exit::NoSuchObject,
        Daemon::NotAuthorized(_) => {
            return not_authorized(&error.message(), object);
        }
        Daemon::Timeout(_) => Exit::Timeout,
        _ => Exit::Failure,
    };
    Error::new(exit, object).because(error.message())
}

fn not_authorized(why: &str, object: &str) -> Error {
    Error::new(Exit::NotAuthorized, format!("{object}: not authorised"))
        .because(why)
        .hint("run it with sudo, or as a user whom polkit lets (without --no-ask-password it can ask)")
}

/// What the bus itself says.
fn bus_trouble(error: &zbus::Error, object: &str) -> Error {
    match error {
        zbus::Error::FDO(inner) => match inner.as_ref() {
            fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_) => {
                Error::new(Exit::NotRunning, format!("{object} does not run"))
                    .hint(format!("\"meshctl up {object}\" starts it"))
            }
            fdo::Error::AccessDenied(why)
            | fdo::Error::AuthFailed(why)
            | fdo::Error::InteractiveAuthorizationRequired(why) => not_authorized(why, object),
            fdo::Error::NoReply(why) | fdo::Error::Timeout(why) | fdo::Error::TimedOut(why) => {
                Error::new(Exit::Timeout, format!("{object} did not answer")).because(why)
            }
            fdo::Error::UnknownObject(why) => Error::new(Exit::NoSuchObject, object).because(why),
            other => Error::failure(object).because(other),
        },
        zbus::Error::MethodError(name, text, _) => {
            let exit = match name.as_str() {
                "org.freedesktop.systemd1.NoSuchUnit" => Exit::NoSuchObject,
                _ => Exit::Failure,
            };
            Error::new(exit, object).because(text.clone().unwrap_or_else(|| name.to_string()))
        }
        other => Error::failure(object).because(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_the_exit_code_that_the_manual_says() {
        use meshnet_bus::Error as Daemon;
        let fdo = |error| Daemon::ZBus(zbus::Error::FDO(Box::new(error)));
        let text = String::new;
        for (error, exit) in [
            (Daemon::NoSuchPeer(text()), Exit::NoSuchObject),
            (Daemon::NotAuthorized(text()), Exit::NotAuthorized),
            (Daemon::Timeout(text()), Exit::Timeout),
            (Daemon::Busy(text()), Exit::Failure),
            (fdo(fdo::Error::ServiceUnknown(text())), Exit::NotRunning),
            (fdo(fdo::Error::AccessDenied(text())), Exit::NotAuthorized),
            (fdo(fdo::Error::NoReply(text())), Exit::Timeout),
        ] {
            let shown = format!("{error:?}");
            assert_eq!(trouble(&error, "mesh0").exit(), exit, "{shown}");
        }
    }
}
