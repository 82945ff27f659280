//! A network's daemon as the verbs use it: found, known to run, described.

use meshnet_bus::describe::{Network, SCHEMA};
use meshnet_bus::names::{Instance, ROOT};
use meshnet_bus::proxy::NetworkProxy;
use serde_json::value::RawValue;
use zbus::Proxy;
use zbus::proxy::{CacheProperties, MethodFlags};
use zbus::wire::ObjectPath;

use crate::bus::{self, ANSWER, Bus};
use crate::command::OneNetwork;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// A daemon that runs, or did a moment ago.
#[derive(Debug)]
pub(crate) struct Daemon<'b> {
    /// Its network.
    pub name: Instance,
    /// Its object.
    pub network: NetworkProxy<'b>,
    bus: &'b Bus,
}

impl<'b> Daemon<'b> {
    /// The daemon that a verb is for: of the network that the command line names, or of the only one, or of the only one that
    /// runs. None is started by it.
    ///
    /// # Errors
    /// [`Exit::NotRunning`], [`Exit::NoSuchObject`], or that several could be meant.
    pub(crate) async fn open(
        bus: &'b Bus,
        named: &OneNetwork,
        context: &Context,
    ) -> Result<Daemon<'b>, Error> {
        let running = bus.running().await?;
        let name = match (named.named(context), running.as_slice()) {
            (Some(name), running) => {
                if !running.contains(&name) {
                    bus.require_running(&name).await?;
                }
                name
            }
            (None, [only]) => only.clone(),
            (None, _) => {
                let name = bus.choose(named, context).await?;
                bus.require_running(&name).await?;
                name
            }
        };
        let network = bus.network(&name).await?;
        Ok(Daemon { name, network, bus })
    }

    /// The daemon of this network, without a look at whether it runs.
    ///
    /// # Errors
    /// If the bus does not answer.
    pub(crate) async fn of(bus: &'b Bus, name: Instance) -> Result<Daemon<'b>, Error> {
        let network = bus.network(&name).await?;
        Ok(Daemon { name, network, bus })
    }

    /// How the network is: the daemon's own text, checked to be JSON. Asking does not start a daemon that has ended.
    ///
    /// # Errors
    /// If there is no such answer.
    pub(crate) async fn describe_raw(&self) -> Result<Box<RawValue>, Error> {
        let who = self.name.as_str();
        let text: Option<String> = bus::within(ANSWER, who, async {
            let answer =
                self.network.inner().call_with_flags("Describe", MethodFlags::NO_AUTO_START, &()).await;
            answer.map_err(|error| bus::trouble(&error.into(), who))
        })
        .await?;
        RawValue::from_string(text.unwrap_or_default()).map_err(|error| self.misunderstood(&error))
    }

    /// How the network is.
    ///
    /// # Errors
    /// If there is no answer, or none that this program understands.
    pub(crate) async fn describe(&self) -> Result<Network, Error> {
        self.understand(&self.describe_raw().await?)
    }

    /// Reads a description of the schema that this program knows.
    ///
    /// # Errors
    /// If it is another.
    pub(crate) fn understand(&self, raw: &RawValue) -> Result<Network, Error> {
        let network = self.read(raw)?;
        if network.schema != SCHEMA {
            let what = format!("{} is described in schema {}", self.name, network.schema);
            return Err(Error::failure(what)
                .because(format!("this program knows schema {SCHEMA}"))
                .hint(format!("its daemon is of version {}: install the same of both", network.version)));
        }
        Ok(network)
    }

    /// Reads a description of any schema, as far as it can be read.
    ///
    /// # Errors
    /// If it cannot.
    pub(crate) fn read(&self, raw: &RawValue) -> Result<Network, Error> {
        Network::from_json(raw.get()).map_err(|error| self.misunderstood(&error))
    }

    /// An object of the daemon, for calls.
    ///
    /// # Errors
    /// If the bus does not answer.
    pub(crate) async fn object(
        &self,
        path: ObjectPath<'_>,
        interface: &'static str,
    ) -> Result<Proxy<'b>, Error> {
        zbus::proxy::Builder::new(self.bus.connection())
            .destination(self.name.bus_name())
            .path(path.into_owned())
            .interface(interface)
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .map_err(|error| bus::trouble(&error.into(), self.name.as_str()))
    }

    /// The network's own object, for calls.
    ///
    /// # Errors
    /// As [`Self::object`].
    pub(crate) async fn root(&self) -> Result<Proxy<'b>, Error> {
        self.object(ObjectPath::from_static_str_unchecked(ROOT), meshnet_bus::names::NETWORK).await
    }

    fn misunderstood(&self, error: &serde_json::Error) -> Error {
        Error::new(Exit::Failure, format!("cannot read what {} says of itself", self.name))
            .because(error)
            .hint("install the same version of meshctl and meshnetd")
    }
}
