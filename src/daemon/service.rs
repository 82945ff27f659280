//! The daemon on D-Bus: the network, its peers and links as objects, for `meshctl`, desktops and scripts.
//!
//! [`start`] connects to the system bus, puts the objects up, then takes the names: who calls by name finds everything in
//! place. Should the bus go away, the network goes on, and the service comes back when the bus does. [`serve`] puts the same
//! objects up on any connection, for a peer-to-peer one.
//!
//! The parts: `network`, `peer`, `link`, `radio` and `log_control` are the interfaces, whose documentation is in the
//! interface XML (`dist/dbus`); `tree` adds and removes objects and emits signals; `authorizer` asks polkit; `limits` and
//! `gate` bound what callers can cost; `arguments` and `secret` read what they send.
//!
//! Invariants: nothing is changed for a caller that polkit did not allow it to; no caller makes memory grow, or the core
//! wait; no secret is readable.

mod arguments;
pub mod authorizer;
mod core;
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
use meshnet_bus::names::{BUS_NAME, Instance, ROOT};
use tokio::task::JoinHandle;
use tracing::{info, warn};
use zbus::Connection;
use zbus::fdo::{ObjectManager, RequestNameFlags, RequestNameReply};

use self::authorizer::{Authorizer, Polkit};
use self::core::Core;
use self::log_control::{Log, LogControl};
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
    log: Log,
) -> anyhow::Result<Served> {
    // What changes from here on is told.
    let news = handle.changes();
    let core = Core::new(handle, authorizer);
    let server = connection.object_server();
    server.at(log_control::PATH, LogControl::new(core.clone(), log)).await?;
    let tree = Tree::new(connection, core).await?;
    server.at(ROOT, ObjectManager).await?;
    Ok(Served { _task: Task(tokio::spawn(tree.follow(news))) })
}

/// Puts the network on the system bus, under its name.
///
/// # Errors
/// If there is no bus, another program has the name, or policy forbids it.
pub async fn start(instance: &Instance, handle: Handle, log: Log) -> anyhow::Result<Service> {
    let instance = instance.clone();
    let first = connect(&instance, &handle, log).await?;
    let task = Task(tokio::spawn(stay(instance, handle, log, first)));
    Ok(Service { _task: task })
}

/// What holds our place on the bus.
struct Presence {
    connection: Connection,
    /// What polkit is asked over.
    questions: Connection,
    _served: Served,
}

/// Comes back whenever the bus went away.
async fn stay(instance: Instance, handle: Handle, log: Log, mut present: Presence) {
    loop {
        tokio::select! {
            () = present.connection.closed() => {}
            () = present.questions.closed() => {}
        }
        warn!("the bus went away; the network goes on, but cannot be watched or changed over it");
        let mut wait = FIRST_WAIT;
        present = loop {
            tokio::time::sleep(wait).await;
            match connect(&instance, &handle, log).await {
                Ok(present) => break present,
                Err(error) => warn!("not back on the bus: {error:#}"),
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        };
        info!("back on the bus");
    }
}

/// Connects, serves, and then takes the names.
async fn connect(instance: &Instance, handle: &Handle, log: Log) -> anyhow::Result<Presence> {
    let connection = Connection::system().await.context("no connection to the system bus")?;
    let questions = Connection::system().await.context("no second connection to the system bus")?;
    let authorizer = Arc::new(Polkit::new(&questions).await?);
    let served = serve(&connection, handle.clone(), authorizer, log).await?;
    let name = instance.bus_name();
    let forbidden = || {
        format!(
            "the bus does not give us the name {name}; is dist/dbus/org.meshnet1.conf installed, and do we run as the user meshnet?"
        )
    };
    let own = connection.request_name_with_flags(name.as_str(), RequestNameFlags::DO_NOT_QUEUE).await;
    match own {
        Ok(RequestNameReply::PrimaryOwner | RequestNameReply::AlreadyOwner) => {}
        Ok(RequestNameReply::Exists | RequestNameReply::InQueue) | Err(zbus::Error::NameTaken) => {
            bail!("another program has the bus name {name}: does the network {instance} run already?");
        }
        Err(error) => return Err(error).with_context(forbidden),
    }
    // Whoever sends to a name's owner may also send to all that queue for it: one rule of the policy covers every network.
    connection.request_name_with_flags(BUS_NAME, RequestNameFlags::empty()).await.with_context(forbidden)?;
    Ok(Presence { connection, questions, _served: served })
}
