//! The daemon on D-Bus: the network, its peers and links as objects, for `meshctl`, desktops and scripts.
//!
//! [`start`] connects to the system bus, puts the objects up, then takes the names: who calls by name finds everything in
//! place. Should the bus go away, the network goes on, and the service comes back when the bus does. [`serve`] puts the same
//! objects up on any connection, for a peer-to-peer one.
//!
//! The parts: `network`, `peer`, `link`, `radio` and `log_control` are the interfaces, whose documentation is in the
//! interface XML (`dist/dbus`); `tree` adds and removes objects and emits signals (`digest` is what it
//! remembers of them); `authorizer` asks polkit; `limits` and
//! `gate` bound what callers can cost; `arguments` and `secret` read what they send.
//!
//! Invariants: nothing is changed for a caller that polkit did not allow it to; no caller makes memory grow, or the core
//! wait; no secret is readable.

mod arguments;
pub mod authorizer;
mod core;
mod digest;
pub mod gate;
pub mod interface;
pub mod limits;
pub mod link;
pub mod log_control;
pub mod network;
pub mod peer;
pub mod radio;
mod secret;
mod tree;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use meshnet_bus::names::{BUS_NAME, Instance};
use tokio::task::JoinHandle;
use tracing::{info, warn};
use zbus::Connection;
use zbus::fdo::{RequestNameFlags, RequestNameReply};

use self::authorizer::{Authorizer, Polkit};
use self::core::Core;
use self::gate::Refusals;
use self::log_control::LogControl;
use self::tree::Tree;
use crate::control::Handle;

/// How long after the bus went away the first attempt to come back is made.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How far apart the attempts get.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A task that ends when this is dropped.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The daemon on the system bus; leaves it when dropped.
#[derive(Debug)]
pub struct Service {
    _task: Task,
}

/// Objects on one connection; kept up to date until dropped.
#[derive(Debug)]
pub struct Served {
    _task: Task,
}

/// Puts the objects up on a connection, and keeps them as the network is.
///
/// # Errors
/// If the core does not answer, or the connection is gone.
pub async fn serve(
    connection: &Connection,
    handle: Handle,
    authorizer: Arc<dyn Authorizer>,
) -> anyhow::Result<Served> {
    // What changes from here on is told.
    let news = handle.changes();
    let core = Core::new(handle, authorizer);
    let server = connection.object_server();
    server.at(log_control::PATH, LogControl::new(core.clone())).await?;
    let tree = Tree::new(connection, core).await?;
    Ok(Served { _task: Task(tokio::spawn(tree.follow(news))) })
}

/// Puts the network on the system bus, under its name.
///
/// # Errors
/// If there is no bus, another program has the name, or policy forbids it.
pub async fn start(instance: &Instance, handle: Handle) -> anyhow::Result<Service> {
    let address = zbus::Address::system().context("no address of the system bus")?;
    start_at(address, instance, handle).await
}

/// As [`start`], on the bus at this address.
///
/// # Errors
/// As [`start`].
pub async fn start_at(
    address: zbus::Address,
    instance: &Instance,
    handle: Handle,
) -> anyhow::Result<Service> {
    let place = Place { address, instance: instance.clone(), handle };
    let first = place.take().await?;
    Ok(Service { _task: Task(tokio::spawn(place.keep(first))) })
}

/// Where a network is to be found, and what.
struct Place {
    address: zbus::Address,
    instance: Instance,
    handle: Handle,
}

/// What holds our place on the bus.
struct Presence {
    connection: Connection,
    /// What polkit is asked over.
    questions: Connection,
    _served: Served,
    _refusals: Task,
}

impl Place {
    /// Comes back whenever the bus went away.
    async fn keep(self, mut present: Presence) {
        loop {
            tokio::select! {
                () = present.connection.closed() => {}
                () = present.questions.closed() => {}
            }
            warn!("the bus went away; the network goes on, but cannot be watched or changed over it");
            drop(present);
            let mut wait = FIRST_WAIT;
            present = loop {
                tokio::time::sleep(wait).await;
                match self.take().await {
                    Ok(present) => break present,
                    Err(error) => warn!("not back on the bus: {error:#}"),
                }
                wait = (wait * 2).min(LONGEST_WAIT);
            };
            info!("back on the bus");
        }
    }

    /// Connects, serves, and then takes the names.
    async fn take(&self) -> anyhow::Result<Presence> {
        let (connection, refusals) = self.attach().await?;
        let refusals = Task(refusals.send_over(&connection));
        // Nobody has a reason to call this one: what is refused there is not answered.
        let (questions, _) = self.attach().await?;
        let authorizer = Arc::new(Polkit::new(&questions).await?);
        let served = serve(&connection, self.handle.clone(), authorizer).await?;
        self.take_names(&connection).await?;
        Ok(Presence { connection, questions, _served: served, _refusals: refusals })
    }

    async fn attach(&self) -> anyhow::Result<(Connection, Refusals)> {
        let (builder, refusals) = gate::to(&self.address).await?;
        let connection = builder.build().await.context("the bus does not let us in")?;
        Ok((connection, refusals))
    }

    async fn take_names(&self, connection: &Connection) -> anyhow::Result<()> {
        let name = self.instance.bus_name();
        let forbidden = || {
            format!(
                "the bus does not give us the name {name}: its policy (org.meshnet1.conf in dbus-1/system.d) gives it to \
                 the user meshnet alone"
            )
        };
        // Who may send to a name's owner may also send to all that queue for it: one rule of the policy covers every
        // network. It must be so before anybody can find us by our own name.
        connection
            .request_name_with_flags(BUS_NAME, RequestNameFlags::empty())
            .await
            .with_context(forbidden)?;
        let own = connection.request_name_with_flags(name.as_str(), RequestNameFlags::DO_NOT_QUEUE).await;
        match own {
            Ok(RequestNameReply::PrimaryOwner | RequestNameReply::AlreadyOwner) => Ok(()),
            Ok(RequestNameReply::Exists | RequestNameReply::InQueue) | Err(zbus::Error::NameTaken) => {
                let network = &self.instance;
                bail!("another program has the bus name {name}: does the network {network} run already?");
            }
            Err(error) => Err(error).with_context(forbidden),
        }
    }
}
